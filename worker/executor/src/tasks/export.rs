//! `export`: a trained package becomes files that other programs read.

use std::{collections::HashSet, path::Path};

use bytes::Bytes;
use graph::{Graph, onnx, rewrite};
use job::resolved::{ExportEngine, ExportSpec};
use plan::{PublishedTable, ResultDetail, TaskResult};
use tables::ManifestRow;
use types::{OutputObject, TaskKind};

use super::names;
use crate::{
    attempt::Attempt,
    error::TaskError,
    export_metadata::{self, Written},
    model::{Chosen, Engine},
    openvino_ir, packages,
};

const ONNX: &str = "model.onnx";
/// The constants of a graph that has many.
const ONNX_DATA: &str = "model.onnx.data";
const XML: &str = "model.xml";
const BIN: &str = "model.bin";
const TORCH: &str = "model.pt";
const METADATA: &str = "metadata.json";

/// Constants above this lie in a file of their own: an ONNX file cannot have 2 GiB.
const MOST_IN_FILE: usize = 1 << 30;

pub fn run(attempt: &Attempt, spec: &ExportSpec) -> Result<TaskResult, TaskError> {
    attempt.stages.show("export", 0);
    let package = packages::find(attempt, &spec.package)?;
    let chosen = attempt
        .stages
        .load("load", || Chosen::of_package(package.clone()))?;
    let graph = attempt.stages.load("graph", || graph(attempt, &chosen))?;
    attempt.check_cancelled()?;
    let (mut objects, written) = attempt
        .stages
        .load("export", || files(attempt, spec, &chosen, &graph))?;
    attempt.check_cancelled()?;
    let metadata = export_metadata::text(
        (&package.found, package.manifest()?),
        spec,
        &graph,
        chosen.model.as_ref(),
        &written,
    );
    objects.push(attempt.put(METADATA, metadata)?);
    objects.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    manifest(attempt, &objects)?;
    let published = |object: &OutputObject| PublishedTable {
        name: object.path.clone(),
        path: object.path.clone(),
    };
    Ok(TaskResult {
        detail: ResultDetail::Export {
            files: objects.iter().map(published).collect(),
            manifest: names::MANIFEST.to_owned(),
            package: package.found,
        },
        timings: Vec::new(),
        warnings: Vec::from_iter(spec.anomalib.then(|| {
            "the files resize images in another way than a job does: their scores are others, and have no parity".to_owned()
        })),
        reused: None,
    })
}

/// The whole way from an image to its score, as all files have it.
fn graph(attempt: &Attempt, chosen: &Chosen) -> Result<Graph, TaskError> {
    let statistics = chosen.statistics(attempt)?;
    let graph = chosen.model.inference_graph(&chosen.weights, &statistics)?;
    Ok(rewrite::fold_batch_norm(&graph))
}

/// Writes the model's files; says what their numbers are stored as.
fn files(
    attempt: &Attempt,
    spec: &ExportSpec,
    chosen: &Chosen,
    graph: &Graph,
) -> Result<(Vec<OutputObject>, Written), TaskError> {
    let half = match spec.compress_to_fp16 {
        true => models::kernels(chosen.model.as_ref(), &chosen.weights)?,
        false => HashSet::new(),
    };
    let any_size = match spec.anomalib {
        true => Some(from_any_size(chosen)?),
        false => None,
    };
    let form = onnx::Form {
        batch: None,
        half: Some(&half),
        any_size,
        beside: Some((MOST_IN_FILE, ONNX_DATA)),
    };
    let written = || onnx::files(graph, &form).map_err(models::ModelError::from);
    let file = |name: &str| attempt.scratch.join(name);
    let engine = match spec.engine {
        ExportEngine::Onnx => {
            let files = written()?;
            let mut objects = vec![attempt.put(ONNX, files.model)?];
            if !files.beside.is_empty() {
                objects.push(attempt.put_parts(ONNX_DATA, files.beside)?);
            }
            return Ok((objects, Written::default()));
        }
        ExportEngine::Openvino => {
            let files = written()?;
            let (from, beside, to) = (file(ONNX), file(ONNX_DATA), file(XML));
            write(&from, &[Bytes::from(files.model)])?;
            write(&beside, &files.beside)?;
            let engine = openvino_ir::save(&from, &to)?;
            for file in [from, beside] {
                std::fs::remove_file(&file).map_err(TaskError::scratch(&file))?;
            }
            engine
        }
        ExportEngine::Torch => {
            let engine = Engine::open(attempt)?;
            engine.write_file(graph, &file(TORCH))?;
            engine.version()
        }
    };
    let names: &[&str] = match spec.engine {
        ExportEngine::Torch => &[TORCH],
        ExportEngine::Onnx | ExportEngine::Openvino => &[XML, BIN],
    };
    let objects: Result<_, _> = names
        .iter()
        .map(|name| attempt.put_file(name, &file(name), None))
        .collect();
    let written = Written { by: Some(engine) };
    Ok((objects?, written))
}

fn write(path: &Path, pieces: &[Bytes]) -> Result<(), TaskError> {
    use std::io::Write;
    let written = std::fs::File::create(path).and_then(|mut file| {
        pieces.iter().try_for_each(|piece| file.write_all(piece))?;
        file.flush()
    });
    written.map_err(TaskError::scratch(path))
}

fn from_any_size(chosen: &Chosen) -> Result<onnx::FromAnySize, TaskError> {
    let preprocess = chosen.preprocess();
    let crop = match preprocess.crop {
        Some(size) => {
            let window = preprocess.window();
            let [rows, columns] =
                window.map_err(|error| TaskError::Assignment(error.to_string()))?;
            Some(([rows.start, columns.start], size))
        }
        None => None,
    };
    Ok(onnx::FromAnySize {
        channels: 3,
        size: preprocess.size,
        crop,
    })
}

fn manifest(attempt: &Attempt, objects: &[OutputObject]) -> Result<OutputObject, TaskError> {
    let row = |object: &OutputObject| ManifestRow {
        task: attempt.assignment.task.to_string(),
        kind: TaskKind::Export.to_string(),
        run: None,
        path: attempt.writer.path(&object.path),
        size: object.size,
        sha256: object.sha256.clone(),
        rows: object.rows,
    };
    attempt.put_table(names::MANIFEST, objects.iter().map(row))
}

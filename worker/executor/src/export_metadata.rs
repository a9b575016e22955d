//! `metadata.json` of an export: the keys that Anomalib 1.x's inferencers read, and under `nightshift` everything else.

use ::package::{Bounds, PackageManifest, Scale, Threshold};
use graph::{Dim, Graph, Port};
use job::resolved::ExportSpec;
use models::Model;
use plan::FoundPackage;
use serde_json::{Map, Value, json};

const FORMAT: u32 = 1;

/// What only the writer of the files knows.
#[derive(Debug, Default)]
pub struct Written {
    /// Version of OpenVINO or libtorch, if one of these wrote them.
    pub by: Option<String>,
}

pub fn text(
    (found, manifest): (&FoundPackage, &PackageManifest),
    spec: &ExportSpec,
    graph: &Graph,
    model: &dyn Model,
    written: &Written,
) -> String {
    let mut metadata = of_anomalib(manifest, model.map().is_some());
    metadata.insert(
        "nightshift".to_owned(),
        ours((found, manifest), spec, graph, written),
    );
    let mut text = serde_json::to_string_pretty(&metadata).unwrap_or_default();
    text.push('\n');
    text
}

/// Anomalib's inferencers have one range for scores and maps, which is the scores' here; what was not chosen is left out,
/// and then they do not normalize.
fn of_anomalib(manifest: &PackageManifest, has_map: bool) -> Map<String, Value> {
    let thresholds = &manifest.thresholds;
    let value = |threshold: &Option<Threshold>| threshold.as_ref().map(|t| t.value);
    let image = value(&thresholds.image);
    let mut metadata = Map::new();
    let task = match has_map {
        true => "segmentation",
        false => "classification",
    };
    metadata.insert("task".to_owned(), task.into());
    // With a map they normalize that, too, and want a threshold of pixels for it.
    let pixel = value(&thresholds.pixel).or(image.filter(|_| has_map));
    for (key, threshold) in [("image_threshold", image), ("pixel_threshold", pixel)] {
        if let Some(threshold) = threshold {
            metadata.insert(key.to_owned(), threshold.into());
        }
    }
    // They know no other normalization.
    if let (Some(_), Some(Scale::Range(Bounds { min, max }))) =
        (image, manifest.normalization.image)
    {
        metadata.insert("min".to_owned(), min.into());
        metadata.insert("max".to_owned(), max.into());
    }
    metadata
}

fn ours(
    (found, manifest): (&FoundPackage, &PackageManifest),
    spec: &ExportSpec,
    graph: &Graph,
    written: &Written,
) -> Value {
    let mut inputs: Vec<Value> = graph.inputs().iter().map(|p| port(graph, p)).collect();
    if let (true, Some(shape)) = (
        spec.anomalib,
        inputs.first_mut().map(|input| &mut input["shape"]),
    ) {
        shape[2] = "height".into();
        shape[3] = "width".into();
    }
    json!({
        "format": FORMAT,
        "version": env!("CARGO_PKG_VERSION"),
        "engine": spec.engine.as_str(),
        "written_by": written.by,
        "compress_to_fp16": spec.compress_to_fp16,
        "resized_inside": spec.anomalib,
        "parity": match (spec.anomalib, spec.compress_to_fp16) {
            (true, _) => "none: images are resized inside, without antialiasing",
            (false, false) => "scores are a job's if images are prepared as `preprocessing` says",
            (false, true) => "scores are a job's within 2e-2 of the largest, by kernels in half precision, if images are prepared as `preprocessing` says",
        },
        "inputs": inputs,
        "outputs": graph.outputs().iter().map(|p| port(graph, p)).collect::<Value>(),
        "preprocessing": manifest.preprocessing,
        "thresholds": manifest.thresholds,
        "normalization": manifest.normalization,
        "scores": "raw: no file normalizes them",
        "model": manifest.model,
        "weights": manifest.weights,
        "package": {"name": name_of(found), "version": found.version, "uri": found.uri, "sha256": found.sha256},
        "provenance": manifest.provenance,
    })
}

/// As a job names it, without the version that stands beside it.
fn name_of(found: &FoundPackage) -> &str {
    match found.version {
        Some(_) => found
            .name
            .split_once('@')
            .map_or(&found.name, |(name, _)| name),
        None => &found.name,
    }
}

fn port(graph: &Graph, port: &Port) -> Value {
    let extent = |dim: &Dim| match dim {
        Dim::Batch => Value::from("N"),
        Dim::Fixed(n) => Value::from(*n),
    };
    let shape: Value = graph.shape(port.value).dims().iter().map(extent).collect();
    json!({"name": port.name, "shape": shape})
}

//! Exported files give the scores that a job has written down.

use std::{fs, path::Path};

use engines::{Choice, CompileOptions};
use graph::{Builder, Dim, Graph};
use plan::ResultDetail;
use tables::ScoreRow;
use types::TaskKind;
use vision::Preprocess;

use crate::{
    images,
    job::{Job, yaml},
    process::Executor,
};

const SIDE: usize = 64;

/// A graph with the ports of the files, which is all that is looked at.
fn ports() -> Graph {
    let mut builder = Builder::new();
    let dims = [Dim::Batch, 3.into(), SIDE.into(), SIDE.into()];
    let image = builder.input("image", &dims).expect("no error");
    let map = builder.slice(image, 1, 0, 1).expect("no error");
    let score = builder
        .reduce_mean(image, &[1, 2, 3], false)
        .expect("no error");
    builder.output("anomaly_map", map).expect("no error");
    builder.output("pred_score", score).expect("no error");
    builder.finish().expect("no error")
}

fn prepared(uri: &str) -> Vec<f32> {
    let bytes = fs::read(uri.strip_prefix("file://").expect("no error")).expect("no error");
    let image = vision::decode(&bytes, &vision::Limits::default()).expect("no error");
    let mut values = vec![0.0; 3 * SIDE * SIDE];
    let preprocess = Preprocess::new([SIDE, SIDE], None);
    preprocess.apply(&image, &mut values).expect("no error");
    values
}

#[test]
fn files_give_a_jobs_scores() {
    let folder = tempfile::tempdir().expect("no error");
    images::dataset(&folder.path().join("data"), 8, 4);
    let text = yaml(folder.path(), "").replace("kind: benchmark", "kind: train");
    let mut training = Job::new(folder.path(), &text);
    let mut executor = Executor::start();
    training.run(&mut executor, 2);
    let scores: Vec<ScoreRow> = training.table(TaskKind::Reduce, "scores.parquet");
    assert_eq!(scores.len(), 8);
    let package = format!("{}/package.json", training.accepted(TaskKind::Evaluate).1);
    let package = training.store.local_path(&package).expect("no error");

    for (engine, file, readers) in [
        (
            "onnx",
            "model.onnx",
            &[Choice::OnnxRuntime, Choice::OpenVino][..],
        ),
        ("openvino", "model.xml", &[Choice::OpenVino]),
    ] {
        let work = folder.path().join(engine);
        let text = format!(
            "kind: export\nname: files\nmodel: {{package: {}}}\nexport: {{engine: {engine}}}\noutput: {}/out\n",
            package.display(),
            work.display()
        );
        let mut job = Job::new(&work, &text);
        job.run(&mut executor, 2);
        let (result, prefix) = job.accepted(TaskKind::Export);
        let ResultDetail::Export { files, .. } = &result.detail else {
            panic!("{result:?}")
        };
        assert!(files.iter().any(|published| published.name == file));
        let file = job
            .store
            .local_path(&format!("{prefix}/{file}"))
            .expect("no error");
        for reader in readers {
            check(*reader, &file, &scores);
        }
    }
}

fn check(reader: Choice, file: &Path, scores: &[ScoreRow]) {
    let engine = engines::open(reader).expect("no error");
    let compiled = engine
        .compile_file(file, &ports(), &CompileOptions::default())
        .expect("no error");
    let mut session = compiled.session().expect("no error");
    for row in scores {
        let mut outputs = [Vec::new(), Vec::new()];
        session
            .run(&[&prepared(&row.uri)], &mut outputs)
            .expect("no error");
        let [map, score] = outputs;
        let expected = row.score.expect("no error");
        let off = ((score[0] - expected) / expected).abs();
        assert!(
            off < 1e-4,
            "{} {reader}: {} instead of {expected}",
            row.uri,
            score[0]
        );
        let highest = map.into_iter().fold(f32::MIN, f32::max);
        assert_eq!(highest, score[0]);
    }
}

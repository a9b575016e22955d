//! Jobs whose images and results lie in a bucket.

use std::collections::BTreeMap;
use std::fs;

use objects::{Seaweed, WRITER, config};
use serde_json::Value;
use store::{Stores, StoresConfig};

use crate::kills::wait_for_socket;
use crate::sandbox::{JOB, Sandbox, files};

/// Each image's place below the dataset with its scores, as bits would print them.
fn scores(rows: &Value) -> BTreeMap<String, (String, String)> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| {
        assert_eq!(row["error"], Value::Null, "{row}");
        let (_, place) = row["uri"].as_str().unwrap().split_once("/tiny/").unwrap();
        let score = (
            row["score"].to_string(),
            row["score_normalized"].to_string(),
        );
        (place.to_owned(), score)
    })
    .collect()
}

#[test]
fn a_job_in_a_bucket_gives_the_same_scores_as_one_on_files() {
    let server = Seaweed::start(&["lab"]);
    let sandbox = Sandbox::with_job(12, 6);
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    let on_files = scores(&sandbox.json(&["results", "last", "--scores"]));
    assert_eq!(on_files.len(), 12);

    let text = config(
        "s3://lab/night",
        &server.endpoint(),
        WRITER,
        &sandbox.path("."),
    );
    sandbox.write("config.yaml", &text);
    let stores = Stores::new(StoresConfig::parse(&text, "config.yaml").unwrap());
    let store = stores.open("s3://lab/night").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let data = sandbox.path("data");
    for file in files(&data) {
        let path = format!("data/{}", file.strip_prefix(&data).unwrap().display());
        runtime
            .block_on(store.put(&path, fs::read(&file).unwrap().into()))
            .unwrap();
    }
    let job = JOB
        .replace("root: ./data", "root: s3://lab/night/data")
        .replace("output: ./out", "output: s3://lab/night/out");
    sandbox.write("bucket.yaml", &job);

    // Without the configuration it is refused, and what there is to do is said.
    let refused = sandbox.ctl(&["run", "bucket.yaml"]);
    refused.expect(2);
    assert!(
        refused
            .stderr
            .contains("s3://lab/night/out belongs to no configured store"),
        "{}",
        refused.stderr
    );

    sandbox
        .ctl(&["run", "bucket.yaml", "--config", "config.yaml"])
        .expect(0);
    let in_bucket =
        scores(&sandbox.json(&["results", "last", "--scores", "--config", "config.yaml"]));
    assert_eq!(in_bucket, on_files);
    let metrics = sandbox.json(&["results", "last", "--metrics", "--config", "config.yaml"]);
    assert_eq!(metrics.as_array().unwrap().len(), 4);

    // Who has no keys for the bucket reads through the coordinator.
    let coordinator = sandbox.start("coordinator", &["--config", "config.yaml"]);
    wait_for_socket(&sandbox);
    let without_keys = sandbox.json(&["results", "last", "--scores"]);
    assert_eq!(scores(&without_keys), on_files);
    let place = &sandbox.json(&["results", "last"])["results"];
    assert!(
        place
            .as_str()
            .unwrap()
            .starts_with("s3://lab/night/out/jobs/")
    );
    drop(coordinator);

    let found = runtime.block_on(store.list("out")).unwrap();
    for part in [
        "/spec.yaml",
        "/plan.json",
        "/_outputs.json",
        "/package.json",
        "/statistics.safetensors",
        "/manifest/000001.parquet",
        "/results/000001/scores.parquet",
        "/results/000001/metrics.parquet",
        "/log/",
    ] {
        assert!(
            found.iter().any(|info| info.path.contains(part)),
            "{part} is missing: {found:?}"
        );
    }
    // Copies of the images that were read, and no secret anywhere that people look.
    assert!(files(&sandbox.path("cache")).len() >= 18);
    for info in &found {
        let bytes = runtime.block_on(store.get(&info.path, None)).unwrap();
        assert!(
            !String::from_utf8_lossy(&bytes).contains(WRITER.1),
            "{}",
            info.path
        );
    }
    for log in files(&sandbox.path("s")) {
        let text = fs::read(&log).unwrap_or_default();
        assert!(
            !String::from_utf8_lossy(&text).contains(WRITER.1),
            "{}",
            log.display()
        );
    }
}

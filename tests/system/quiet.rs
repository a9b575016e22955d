//! What a job gives on a quiet night, to compare a disturbed one with.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::hangs::wait_for_state;
use crate::sandbox::{JOB, Sandbox};

/// How often each sample of each run was scored, by its place in the dataset and its scores as text; the metrics' rows
/// without their times.
#[derive(Debug, PartialEq)]
pub struct Results {
    scores: BTreeMap<String, usize>,
    metrics: Vec<String>,
}

/// A sandbox whose job has three runs, with fit and score tasks of their own, and what it gives undisturbed.
pub fn with_three_runs(train: u32, test: u32) -> (Sandbox, Results) {
    let sandbox = Sandbox::with_job(train, test);
    sandbox.write(
        "job.yaml",
        &JOB.replace("seed: 0", "seed: {grid: [0, 1, 2]}"),
    );
    let quiet = quiet(&sandbox);
    assert_eq!(quiet.scores.len(), 3 * 2 * test as usize);
    (sandbox, quiet)
}

/// What `job.yaml` gives undisturbed.
pub fn quiet(sandbox: &Sandbox) -> Results {
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    let results = results(sandbox, &[]);
    assert!(results.scores.values().all(|times| *times == 1));
    results
}

pub fn results(sandbox: &Sandbox, arguments: &[&str]) -> Results {
    let rows = |kind| {
        let rows = sandbox.json(&[&["results", "last", kind], arguments].concat());
        rows.as_array().unwrap().clone()
    };
    let mut scores = BTreeMap::new();
    for row in rows("--scores") {
        assert_eq!(row["error"], Value::Null, "{row}");
        let uri = row["uri"].as_str().unwrap();
        let (_, place) = uri.split_once("/tiny/").unwrap();
        let text = format!(
            "{} {place} {} {}",
            row["run"], row["score"], row["score_normalized"]
        );
        *scores.entry(text).or_insert(0) += 1;
    }
    let metrics = rows("--metrics").iter().map(Value::to_string).collect();
    Results { scores, metrics }
}

#[track_caller]
pub fn expect_the_quiet_results(sandbox: &Sandbox, quiet: &Results) {
    wait_for_state(sandbox, "succeeded");
    assert_eq!(results(sandbox, &[]), *quiet);
}

/// For proxies and clients that live beside the programs.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

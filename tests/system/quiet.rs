//! What a job gives on a quiet night, to compare a disturbed one with.

use std::collections::BTreeMap;
use std::sync::OnceLock;

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

/// A job that is disturbed, and what it gives undisturbed.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// Eleven short tasks: three runs on the same images, with fit, score and evaluate tasks of their own.
    ThreeRuns,
    /// So many images that `fit` is still at work when it is looked for.
    Long,
    /// Images without labels in a folder and in an archive, for four score tasks.
    Night,
}

impl Work {
    /// Tasks of [`Work::ThreeRuns`].
    pub const TASKS: usize = 11;

    pub fn sandbox(self) -> Sandbox {
        match self {
            Self::ThreeRuns => {
                let sandbox = Sandbox::with_job(40, 6);
                let job = JOB.replace("seed: 0", "seed: {grid: [0, 1, 2]}");
                sandbox.write("job.yaml", &job);
                sandbox
            }
            Self::Long => Sandbox::with_job(600, 3),
            Self::Night => night(),
        }
    }

    /// Computed once in this process.
    pub fn quiet(self) -> &'static Results {
        static THREE_RUNS: OnceLock<Results> = OnceLock::new();
        static LONG: OnceLock<Results> = OnceLock::new();
        static NIGHT: OnceLock<Results> = OnceLock::new();
        let (results, samples) = match self {
            Self::ThreeRuns => (&THREE_RUNS, 3 * 12),
            Self::Long => (&LONG, 6),
            Self::Night => (&NIGHT, 900),
        };
        let results = results.get_or_init(|| quiet(&self.sandbox()));
        assert_eq!(results.scores.len(), samples);
        results
    }
}

fn night() -> Sandbox {
    let sandbox = Sandbox::with_job(12, 2);
    let train = JOB.replace("kind: benchmark", "kind: train");
    sandbox.write("train.yaml", &train);
    sandbox.ctl(&["run", "train.yaml"]).expect(0);
    crate::images::mvtec(&sandbox.path("data/tiny/night"), 600, 0);
    crate::images::mvtec(&sandbox.path("packed"), 300, 0);
    let packed = sandbox.path("packed/train/good");
    let archive = sandbox.path("data/tiny/night.tar");
    crate::predict::tar(&packed, &archive, &["--hard-dereference", "-cf"]);
    sandbox.write(
        "job.yaml",
        "\
kind: predict
name: night
model: {package: tiny}
data: [data/tiny/night, data/tiny/night.tar]
output: ./out
resources: {retries: 20}
",
    );
    sandbox
}

/// What `job.yaml` gives undisturbed.
pub fn quiet(sandbox: &Sandbox) -> Results {
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    let results = results(sandbox, &[]);
    assert!(results.scores.values().all(|times| *times == 1));
    results
}

pub fn results(sandbox: &Sandbox, arguments: &[&str]) -> Results {
    results_of(sandbox, "last", arguments)
}

fn results_of(sandbox: &Sandbox, job: &str, arguments: &[&str]) -> Results {
    let rows = |kind| {
        let rows = sandbox.json(&[&["results", job, kind], arguments].concat());
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
    let metrics = rows("--metrics").iter().map(metric).collect();
    Results { scores, metrics }
}

/// Without what two sandboxes differ in: where a package lies.
fn metric(row: &Value) -> String {
    let mut row = row.clone();
    let parameters = row["parameters"].as_str().unwrap();
    let mut parameters: Value = serde_json::from_str(parameters).unwrap();
    let package = parameters.pointer_mut("/used/package");
    if let Some(package) = package.and_then(Value::as_object_mut) {
        package.retain(|name, _| matches!(name.as_str(), "name" | "version"));
    }
    row["parameters"] = parameters;
    row.to_string()
}

/// The newest job ends well, its results are proved to be whole, and they are those of the quiet night.
#[track_caller]
pub fn expect_the_quiet_results(sandbox: &Sandbox, quiet: &Results) {
    wait_for_state(sandbox, "succeeded");
    expect_the_quiet_results_of(sandbox, "last", quiet);
}

/// Those of a job that has ended.
#[track_caller]
pub fn expect_the_quiet_results_of(sandbox: &Sandbox, job: &str, quiet: &Results) {
    let report = sandbox.json(&["verify", job]);
    assert_eq!(report["whole"], true, "{report}");
    assert_eq!(results_of(sandbox, job, &[]), *quiet);
}

/// For proxies and clients that live beside the programs.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

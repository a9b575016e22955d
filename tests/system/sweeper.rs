//! What an attempt left that was not accepted goes after the retention; what was accepted and published stays.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use objects::{WRITER, config};
use serde_json::Value;
use store::{Store, Stores, StoresConfig};
use tokio::runtime::Runtime;

use crate::kills::wait_for_socket;
use crate::monitoring::{address, get};
use crate::processes::{Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::remote::server;
use crate::sandbox::{JOB, LIMIT, Running, SOON, Sandbox};

on_both_queues!(
    on_files_what_a_killed_executor_left_goes_and_nothing_else,
    in_a_bucket_what_a_killed_executor_left_goes_and_nothing_else,
    a_sweep_follows_no_link_out_of_its_prefix,
);

/// Short enough to wait for twice, long enough to see what is there before.
const RETENTION: &str = "4s";

/// A store as its owner sees it.
struct Output {
    store: Store,
    runtime: Runtime,
}

impl Output {
    fn new(stores: &Stores, uri: &str) -> Self {
        Self {
            store: stores.create(uri).unwrap(),
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    fn below(&self, prefix: &str) -> BTreeSet<String> {
        let listed = self.runtime.block_on(self.store.list(prefix)).unwrap();
        listed.into_iter().map(|object| object.path).collect()
    }

    fn put(&self, path: &str) {
        let content = "written late".into();
        self.runtime
            .block_on(self.store.put(path, content))
            .unwrap();
    }
}

/// The job, done by workers of which one lost its executor while it fitted; the prefix of that attempt.
fn job_with_a_crash(sandbox: &Sandbox, job: &str) -> String {
    let worker = sandbox.start("worker", &["--name", "box", "--config", "config.yaml"]);
    sandbox
        .ctl(&["submit", job, "--config", "config.yaml"])
        .expect(0);
    sandbox.wait_for_running("fit");
    worker.program("executor").signal(Signal::KILL);
    until("the end of the job", LIMIT, || {
        let state = sandbox.json(&["get", "jobs"])[0]["state"].clone();
        (state == "succeeded").then_some(())
    });
    worker.signal(Signal::TERM);
    worker.wait(LIMIT).expect(0);
    let attempts = attempts(sandbox);
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert_eq!(attempts[0]["outcome"], "crashed");
    assert_eq!(attempts[1]["outcome"], "accepted");
    attempts[0]["prefix"].as_str().unwrap().to_owned()
}

/// Of the fit task.
fn attempts(sandbox: &Sandbox) -> Vec<Value> {
    let fit = sandbox.tasks("fit");
    fit[0]["attempts"].as_array().unwrap().clone()
}

fn coordinator(sandbox: &Sandbox, retention: &str) -> Running {
    let coordinator = sandbox.start(
        "coordinator",
        &[
            "--config",
            "config.yaml",
            "--retention",
            retention,
            "--http",
            "127.0.0.1:0",
        ],
    );
    wait_for_socket(sandbox);
    coordinator
}

fn end(coordinator: Running) {
    coordinator.signal(Signal::TERM);
    coordinator.wait(SOON).expect(0);
}

fn what_a_killed_executor_left_goes_and_nothing_else(sandbox: &Sandbox, job: &str, out: &Output) {
    // With the default retention everything stays.
    let first = coordinator(sandbox, "14d");
    let prefix = job_with_a_crash(sandbox, job);
    let whole = out.below("jobs");
    let left = out.below(&prefix);
    assert!(
        left.iter().any(|path| path.contains("/log/")),
        "the attempt's log: {left:?}"
    );
    assert_eq!(attempts(sandbox)[0]["swept"], Value::Null);
    end(first);

    let mut second = coordinator(sandbox, RETENTION);
    until("the sweep", LIMIT, || {
        out.below(&prefix).is_empty().then_some(())
    });
    second.wait_for_word("swept");
    let said = second.stderr();
    let line = said.lines().find(|line| line.contains("swept")).unwrap();
    let task = prefix.split('/').nth(3).unwrap();
    assert!(line.contains(task), "{line}");
    until("the row of the sweep", LIMIT, || {
        attempts(sandbox)[0]["swept"].is_string().then_some(())
    });
    // Every other object is where it was.
    let kept: BTreeSet<String> = whole.difference(&left).cloned().collect();
    assert_eq!(out.below("jobs"), kept);
    let report = sandbox.json(&["verify", "last", "--config", "config.yaml"]);
    assert_eq!(report["whole"], true, "{report}");
    let scores = sandbox.json(&["results", "last", "--scores", "--config", "config.yaml"]);
    assert_eq!(scores.as_array().unwrap().len(), 6);

    // An upload that stood still until now.
    let late = format!("{prefix}/fit/part.parquet");
    out.put(&late);
    until("the second sweep", LIMIT, || {
        out.below(&prefix).is_empty().then_some(())
    });
    let address = address(&mut second);
    let objects = format!("nightshift_swept_objects_total {}", left.len() + 1);
    until("the counter", LIMIT, || {
        let (_, text) = get(&address, "/metrics");
        text.lines().any(|line| line == objects).then_some(())
    });
    let (_, text) = get(&address, "/metrics");
    assert!(
        text.lines()
            .any(|line| line == "nightshift_swept_attempts_total 1"),
        "{text}"
    );
    assert_eq!(out.below("jobs"), kept);
    // Its log is gone, which is no error.
    sandbox
        .ctl(&["logs", "last", "--config", "config.yaml"])
        .expect(0);
    end(second);
}

/// So many training images that a signal reaches the `fit` task while it runs.
fn sandbox() -> Sandbox {
    Sandbox::with_job(600, 3)
}

fn on_files_what_a_killed_executor_left_goes_and_nothing_else(queue: Queue) {
    let sandbox = sandbox().on(queue);
    sandbox.write("config.yaml", "stores: {}\n");
    let uri = store::file_uri(&sandbox.path("out"));
    let out = Output::new(&Stores::default(), &uri);
    what_a_killed_executor_left_goes_and_nothing_else(&sandbox, "job.yaml", &out);
}

fn in_a_bucket_what_a_killed_executor_left_goes_and_nothing_else(queue: Queue) {
    let sandbox = sandbox().on(queue);
    // Of its own: the same on the other queue may run beside it.
    let url = format!("s3://lab/swept-{queue:?}");
    let text = config(&url, &server().endpoint(), WRITER, &sandbox.path("."));
    sandbox.write("config.yaml", &text);
    let stores = Stores::new(StoresConfig::parse(&text, "config.yaml").unwrap());
    let job = JOB.replace("output: ./out", &format!("output: {url}/out"));
    sandbox.write("bucket.yaml", &job);
    let out = Output::new(&stores, &format!("{url}/out"));
    what_a_killed_executor_left_goes_and_nothing_else(&sandbox, "bucket.yaml", &out);
}

fn a_sweep_follows_no_link_out_of_its_prefix(queue: Queue) {
    let sandbox = sandbox().on(queue);
    sandbox.write("config.yaml", "stores: {}\n");
    let first = coordinator(&sandbox, "14d");
    let prefix = job_with_a_crash(&sandbox, "job.yaml");
    end(first);
    let mine = sandbox.path("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("letter"), "not the store's").unwrap();
    let folder = sandbox.path("out").join(&prefix);
    link(&mine, &folder.join("folder"));
    link(&mine.join("letter"), &folder.join("file"));
    let second = coordinator(&sandbox, RETENTION);
    until("the sweep", LIMIT, || (!folder.exists()).then_some(()));
    assert_eq!(
        fs::read_to_string(mine.join("letter")).unwrap(),
        "not the store's"
    );
    end(second);
}

fn link(to: &Path, at: &Path) {
    std::os::unix::fs::symlink(to, at).unwrap();
}

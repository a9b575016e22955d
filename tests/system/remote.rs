//! Jobs whose images and results lie in a bucket.

use std::fs;
use std::time::Duration;

use objects::{Fault, Proxy, Seaweed, WRITER, config};
use store::{Store, Stores, StoresConfig};

use crate::kills::wait_for_socket;
use crate::quiet::{quiet, results, runtime};
use crate::sandbox::{JOB, LIMIT, Sandbox, files};

/// The bucket at this address, as the sandbox's programs get to know it by `config.yaml`; its dataset, and `bucket.yaml`
/// with the sandbox's job on it.
pub fn bucket(sandbox: &Sandbox, endpoint: &str, adapt: impl Fn(&str) -> String) -> Store {
    let text = config("s3://lab/night", endpoint, WRITER, &sandbox.path("."));
    let text = adapt(&text);
    sandbox.write("config.yaml", &text);
    let stores = Stores::new(StoresConfig::parse(&text, "config.yaml").unwrap());
    let store = stores.open("s3://lab/night").unwrap();
    let data = sandbox.path("data");
    for file in files(&data) {
        let path = format!("data/{}", file.strip_prefix(&data).unwrap().display());
        runtime()
            .block_on(store.put(&path, fs::read(&file).unwrap().into()))
            .unwrap();
    }
    let job = JOB
        .replace("root: ./data", "root: s3://lab/night/data")
        .replace("output: ./out", "output: s3://lab/night/out");
    sandbox.write("bucket.yaml", &job);
    store
}

#[test]
fn a_job_in_a_bucket_gives_the_same_scores_as_one_on_files() {
    let server = Seaweed::start(&["lab"]);
    let sandbox = Sandbox::with_job(12, 6);
    let on_files = quiet(&sandbox);
    let store = bucket(&sandbox, &server.endpoint(), str::to_owned);
    let runtime = runtime();

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
    let with_keys = ["--config", "config.yaml"];
    assert_eq!(results(&sandbox, &with_keys), on_files);

    // Who has no keys for the bucket reads through the coordinator.
    let coordinator = sandbox.start("coordinator", &["--config", "config.yaml"]);
    wait_for_socket(&sandbox);
    assert_eq!(results(&sandbox, &[]), on_files);
    let place = &sandbox.json(&["results", "last"])["results"];
    assert!(
        place
            .as_str()
            .unwrap()
            .starts_with("s3://lab/night/out/jobs/")
    );
    // So do the pictures of a report come.
    let to = sandbox.path("report.html");
    let said = sandbox.json(&["report", "last", "--to", to.to_str().unwrap()]);
    assert_eq!(
        (&said["pictures"], &said["pictures_missing"]),
        (&12.into(), &0.into())
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
    // Copies of the images that were read.
    assert!(files(&sandbox.path("cache")).len() >= 18);
}

#[test]
fn an_outage_of_the_bucket_is_said_while_it_lasts() {
    let server = Seaweed::start(&["lab"]);
    let sandbox = Sandbox::with_job(12, 6);
    let on_files = quiet(&sandbox);
    let proxy = Proxy::before(server.port());
    let impatient = |text: &str| text.replace("retries: 6", "retries: 1");
    bucket(&sandbox, &proxy.endpoint(), impatient);
    proxy.set(|line, _| match line {
        line if line.contains(".png") => Fault::Answer("503 Service Unavailable", ""),
        _ => Fault::Pass,
    });
    let with_keys = ["--config", "config.yaml"];
    let mut run = sandbox.start("ctl", &[&["run", "bucket.yaml"], &with_keys[..]].concat());
    run.wait_for_word("; trying again");
    let listed = sandbox.json(&["get", "jobs"]);
    let outage = listed[0]["outage"].as_str().unwrap();
    assert!(outage.contains(".png"), "{outage}");
    assert!(run.stderr().contains(outage), "{}", run.stderr());
    proxy.set(|_, _| Fault::Pass);
    run.wait_for_word("no longer waiting");
    run.wait(LIMIT).expect(0);
    assert_eq!(results(&sandbox, &with_keys), on_files);
    assert_eq!(sandbox.json(&["get", "jobs"])[0]["outage"], "");
    // Every request was tried twice: nobody has to read about each.
    let logs = sandbox.ctl(&[&["logs", "last"], &with_keys[..]].concat());
    logs.expect(0);
    let mut said = logs.stdout;
    for log in ["s/coordinator.log", "s/worker.log"] {
        said += &fs::read_to_string(sandbox.path(log)).unwrap();
    }
    assert!(said.contains(".png"), "{said}");
    assert!(!said.contains("backing off"), "{said}");
}

/// Errors of all kinds, slow answers, resets, and answers that are lost after the server has done what was asked.
#[test]
fn a_server_that_stumbles_all_the_time_loses_and_doubles_nothing() {
    let server = Seaweed::start(&["lab"]);
    let sandbox = Sandbox::with_job(40, 6);
    let on_files = quiet(&sandbox);
    let proxy = Proxy::before(server.port());
    // A third of all requests fail: with so many tries not one of all gives up.
    let patient = |text: &str| text.replace("retries: 6", "retries: 15");
    bucket(&sandbox, &proxy.endpoint(), patient);
    let busy =
        "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    proxy.set(move |line, number| match number % 19 {
        1 | 6 if line.starts_with("PUT") => Fault::DropReply,
        3 if line.starts_with("PUT") => Fault::ResetReply,
        4 => Fault::Answer("503 Service Unavailable", busy),
        8 => Fault::Reset,
        9 => Fault::Answer("500 Internal Server Error", ""),
        12 => Fault::Delay(Duration::from_millis(300)),
        _ => Fault::Pass,
    });
    let with_keys = ["--config", "config.yaml"];
    let run = [&["run", "bucket.yaml"], &with_keys[..]].concat();
    sandbox.ctl(&run).expect(0);
    assert!(proxy.faults() > 20, "{} faults", proxy.faults());
    proxy.set(|_, _| Fault::Pass);
    assert_eq!(results(&sandbox, &with_keys), on_files);
    sandbox
        .ctl(&[&["verify", "last"], &with_keys[..]].concat())
        .expect(0);
}

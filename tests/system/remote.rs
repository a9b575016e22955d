//! Jobs whose images and results lie in a bucket.

use std::fs;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use objects::{Fault, Proxy, Seaweed, WRITER, config};
use store::{Store, Stores, StoresConfig};

use crate::kills::wait_for_socket;
use crate::quiet::{quiet, results, runtime};
use crate::sandbox::{JOB, LIMIT, Sandbox, files};

/// One server for all tests. It ends with this process.
pub fn server() -> &'static Seaweed {
    static SERVER: LazyLock<Seaweed> = LazyLock::new(|| Seaweed::start(&["lab"]));
    &SERVER
}

/// A part of a bucket that is one sandbox's.
pub struct Bucket {
    pub url: String,
    pub store: Store,
    /// The sandbox's `job.yaml`, on this bucket's images.
    pub job: String,
}

/// The bucket at this address, as the sandbox's programs get to know it by `config.yaml`, with the sandbox's images.
pub fn bucket(sandbox: &Sandbox, endpoint: &str, adapt: impl Fn(&str) -> String) -> Bucket {
    static NIGHTS: AtomicU32 = AtomicU32::new(0);
    let url = format!("s3://lab/night-{}", NIGHTS.fetch_add(1, Ordering::Relaxed));
    let text = config(&url, endpoint, WRITER, &sandbox.path("."));
    let text = adapt(&text);
    sandbox.write("config.yaml", &text);
    let stores = Stores::new(StoresConfig::parse(&text, "config.yaml").unwrap());
    let store = stores.open(&url).unwrap();
    let data = sandbox.path("data");
    for file in files(&data) {
        let path = format!("data/{}", file.strip_prefix(&data).unwrap().display());
        runtime()
            .block_on(store.put(&path, fs::read(&file).unwrap().into()))
            .unwrap();
    }
    let job = fs::read_to_string(sandbox.path("job.yaml")).unwrap();
    let job = job
        .replace("root: ./data", &format!("root: {url}/data"))
        .replace("output: ./out", &format!("output: {url}/out"));
    sandbox.write("bucket.yaml", &job);
    Bucket { url, store, job }
}

#[test]
fn a_job_in_a_bucket_gives_the_same_scores_as_one_on_files() {
    let sandbox = Sandbox::with_job(12, 6);
    let on_files = quiet(&sandbox);
    let Bucket { url, store, .. } = bucket(&sandbox, &server().endpoint(), str::to_owned);
    let runtime = runtime();

    // Without the configuration it is refused, and what there is to do is said.
    let refused = sandbox.ctl(&["run", "bucket.yaml"]);
    refused.expect(2);
    assert!(
        refused
            .stderr
            .contains(&format!("{url}/out belongs to no configured store")),
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
            .starts_with(&format!("{url}/out/jobs/"))
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
    let sandbox = Sandbox::with_job(12, 6);
    let on_files = quiet(&sandbox);
    let proxy = Proxy::before(server().port());
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

/// What a server says of a bucket that it does not have; Amazon's says it of writes, too.
const NO_BUCKET: Fault = Fault::Answer(
    "404 Not Found",
    "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>",
);

#[test]
fn a_missing_bucket_ends_the_job_and_is_said_with_the_way_out() {
    let proxy = Proxy::before(server().port());
    proxy.set(|_, _| NO_BUCKET);
    let sandbox = Sandbox::with_job(6, 3);
    let text = config("s3://absent", &proxy.endpoint(), WRITER, &sandbox.path("."));
    sandbox.write("config.yaml", &text);
    for (key, missing) in [
        ("root: ./data", "root: s3://absent/data"),
        ("output: ./out", "output: s3://absent/out"),
    ] {
        sandbox.write("bucket.yaml", &JOB.replace(key, missing));
        sandbox
            .ctl(&["run", "bucket.yaml", "--config", "config.yaml"])
            .expect(1)
            .says(&["the bucket s3://absent does not exist at", "create it"]);
    }
}

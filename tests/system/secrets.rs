//! No secret is anywhere that people or programs look: a night with failures on a broker, a bucket and the network, then a
//! search through everything that was written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use broker_harness::{Broker, Options};
use objects::{Fault, Proxy, Seaweed, WRITER};
use store::Store;
use tables::{
    AupimoRow, CurveRow, DefectRow, ExtremeRow, ManifestRow, MetricRow, PictureRow, Row, SampleRow,
    ScoreRow, TimingRow, read_bytes,
};
use tempfile::TempDir;

use crate::cluster::{certificates, coordinator, token};
use crate::hangs::executor_at_fit;
use crate::processes::Signal;
use crate::quiet::runtime;
use crate::remote::{Bucket, bucket};
use crate::sandbox::{JOB, LIMIT, SOON, Sandbox, files};

const OF_BROKER: &str = "broker-pass-7d1f0c";

/// What must not be found, by name: each in the forms in which it might be written.
struct Secrets(BTreeMap<&'static str, Vec<String>>);

impl Secrets {
    fn new(secrets: &[(&'static str, &str)]) -> Self {
        let forms = |secret: &str| {
            vec![
                secret.to_owned(),
                hex(secret.as_bytes()),
                // Three phases of base64: what stands before it shifts it.
                base64(secret.as_bytes(), 0),
                base64(secret.as_bytes(), 1),
                base64(secret.as_bytes(), 2),
            ]
        };
        Self(
            secrets
                .iter()
                .map(|(name, secret)| (*name, forms(secret)))
                .collect(),
        )
    }

    #[track_caller]
    fn expect_none(&self, place: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        for (name, forms) in &self.0 {
            for form in forms {
                assert!(
                    !text.contains(&form.to_lowercase()),
                    "the {name} is in {place}"
                );
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The part of a base64 text that these bytes decide alone, with so many others before them.
fn base64(bytes: &[u8], before: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = &bytes[(3 - before) % 3..];
    let whole = bytes.chunks_exact(3).flat_map(|three| {
        let number = three
            .iter()
            .fold(0, |number, byte| number << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(LETTERS[number >> shift & 63]))
    });
    whole.collect()
}

#[test]
fn the_forms_of_a_secret_are_those_of_the_encodings() {
    // base64 of "secretive", "xsecretive" and "xxsecretive".
    for (before, whole) in ["c2VjcmV0aXZl", "eHNlY3JldGl2ZQ==", "eHhzZWNyZXRpdmU="]
        .iter()
        .enumerate()
    {
        let part = base64(b"secretive", before);
        assert!(
            part.len() >= 8 && whole.contains(&part),
            "{part} in {whole}"
        );
    }
    assert_eq!(hex(b"az"), "617a");
    let secrets = Secrets::new(&[("word", "secretive")]);
    let found = |text: &'static str| {
        std::panic::catch_unwind(|| {
            Secrets::new(&[("word", "secretive")]).expect_none("x", text.as_bytes())
        })
        .is_err()
    };
    assert!(
        found("a Secretive b") && found("Basic eHNlY3JldGl2ZQ==") && found("736563726574697665")
    );
    secrets.expect_none("x", b"secret");
}

/// The rows of a table, as text: a file holds them compressed.
fn decoded(bytes: &[u8]) -> Option<String> {
    fn rows<R: Row + std::fmt::Debug>(bytes: &[u8]) -> Option<String> {
        let rows = read_bytes::<R>(bytes.to_vec().into()).ok()?;
        Some(format!("{rows:?}"))
    }
    rows::<ScoreRow>(bytes)
        .or_else(|| rows::<MetricRow>(bytes))
        .or_else(|| rows::<SampleRow>(bytes))
        .or_else(|| rows::<TimingRow>(bytes))
        .or_else(|| rows::<ManifestRow>(bytes))
        .or_else(|| rows::<ExtremeRow>(bytes))
        .or_else(|| rows::<PictureRow>(bytes))
        .or_else(|| rows::<CurveRow>(bytes))
        .or_else(|| rows::<AupimoRow>(bytes))
        .or_else(|| rows::<DefectRow>(bytes))
}

/// Everything in the bucket; how many tables that were.
fn search_the_bucket(secrets: &Secrets, store: &Store) -> usize {
    let mut tables = 0;
    let runtime = runtime();
    for info in runtime.block_on(store.list("")).unwrap() {
        let bytes = runtime.block_on(store.get(&info.path, None)).unwrap();
        secrets.expect_none(&info.path, &bytes);
        if info.path.ends_with(".parquet") {
            let rows = decoded(&bytes)
                .unwrap_or_else(|| panic!("{} is a table of no known kind", info.path));
            secrets.expect_none(&info.path, rows.as_bytes());
            tables += 1;
        }
    }
    tables
}

/// Files below a folder, but for those that hold secrets by their nature.
fn search_the_files(secrets: &Secrets, folder: &Path, but: &[PathBuf]) {
    for file in files(folder) {
        if !but.contains(&file) && file.is_file() {
            secrets.expect_none(&file.display().to_string(), &fs::read(&file).unwrap());
        }
    }
}

#[test]
fn no_secret_is_in_logs_state_tables_specs_or_messages() {
    let mut broker = Broker::start(&Options::default()).unwrap();
    broker.ctl(&["add_user", "night", OF_BROKER]).unwrap();
    let rights = ["set_permissions", "-p", "/", "night", ".*", ".*", ".*"];
    broker.ctl(&rights).unwrap();
    let server = Seaweed::start(&["lab"]);
    let proxy = Proxy::before(server.port());
    let mut sandbox = Sandbox::with_job(600, 6);
    fs::write(sandbox.path("data/tiny/test/good/damaged.png"), "no image").unwrap();
    let impatient = |text: &str| text.replace("retries: 6", "retries: 1");
    let Bucket {
        url: place, store, ..
    } = bucket(&sandbox, &proxy.endpoint(), impatient);
    certificates(&sandbox);
    let [user, of_worker] =
        [("ann", "user"), ("box", "worker")].map(|(name, role)| token(&sandbox, name, role));
    // `ctl token new` has shown them, once: that is not what is searched.
    let kept = TempDir::new().unwrap();
    fs::write(kept.path().join("worker.token"), &of_worker).unwrap();
    for file in files(&sandbox.path("")) {
        let shows = |extension: &str| file.extension().is_some_and(|is| is == extension);
        if shows("stdout") {
            fs::remove_file(file).unwrap();
        }
    }
    let secrets = Secrets::new(&[
        ("worker's token", &of_worker),
        ("user's token", &user),
        ("secret key of the store", WRITER.1),
        ("broker's password", OF_BROKER),
    ]);

    sandbox.set(
        "NIGHTSHIFT_BROKER",
        &format!("amqp://night@{}/", broker.address()),
    );
    sandbox.set("NIGHTSHIFT_CONFIG", "config.yaml");
    sandbox.set("NIGHTSHIFT_POLL", "2s");
    // What is refused at a start, by each that holds a secret.
    sandbox.set("NIGHTSHIFT_BROKER_PASSWORD", WRITER.1);
    sandbox.start("coordinator", &[]).wait(LIMIT).expect(5);
    let in_url = format!("amqp://night:{OF_BROKER}@{}/", broker.address());
    for program in ["coordinator", "worker"] {
        for flags in [
            &["--broker", &in_url][..],
            &["--broker", &in_url, "--print-config"],
        ] {
            sandbox.start(program, flags).wait(SOON).expect(2);
        }
    }
    sandbox.set("NIGHTSHIFT_BROKER_PASSWORD", OF_BROKER);

    let all = ["--log", "debug"];
    let (coordinator, url) = coordinator(&sandbox, &all);
    let to = ["--coordinator", &url, "--ca", "ca.crt"];
    sandbox.set("NIGHTSHIFT_TOKEN", &user);
    sandbox.start("worker", &to).wait(SOON).expect(5);
    sandbox.set("NIGHTSHIFT_TOKEN", &of_worker);
    sandbox.ctl(&[&["get", "jobs"], &to[..]].concat()).expect(5);
    let worker = sandbox.start("worker", &[&["--name", "box"], &to[..], &all].concat());
    sandbox.set("NIGHTSHIFT_TOKEN", &user);
    sandbox.set("NIGHTSHIFT_COORDINATOR", &url);
    sandbox.set("NIGHTSHIFT_CA", "ca.crt");

    // An executor that dies, a broker that goes away, a store that refuses; an image that is none.
    sandbox.ctl(&["submit", "bucket.yaml"]).expect(0);
    let executor = executor_at_fit(&sandbox, &worker, 1);
    let environment = fs::read(format!("/proc/{}/environ", executor.id)).unwrap();
    secrets.expect_none("the executor's environment", &environment);
    for process in [coordinator.process(), worker.process(), executor.clone()] {
        let line = fs::read(format!("/proc/{}/cmdline", process.id)).unwrap();
        secrets.expect_none("a command line", &line);
    }
    broker.kill().unwrap();
    executor.signal(Signal::ABORT);
    proxy.set(|line, number| match number % 2 {
        0 if line.starts_with("PUT") => Fault::Answer(
            "500 Internal Server Error",
            "<Error><Code>InternalError</Code><Message>x</Message></Error>",
        ),
        _ => Fault::Pass,
    });
    broker.start_again().unwrap();
    sandbox.ctl(&["submit", "bucket.yaml", "--wait", "--set", "seed=1"]);
    proxy.set(|_, _| Fault::Pass);
    // A store that the key does not belong to any more, and an image that no cache holds: the job fails for good.
    let image = fs::read(sandbox.path("data/tiny/train/good/0000.png")).unwrap();
    let put = store.put("data/tiny/train/good/new.png", image.into());
    runtime().block_on(put).unwrap();
    let denied = JOB
        .replace("root: ./data", &format!("root: {place}/data"))
        .replace("output: ./out", &format!("output: {place}/denied"));
    sandbox.write("denied.yaml", &denied);
    proxy.set(|line, _| match line {
        line if line.contains(".png") => Fault::Answer(
            "403 Forbidden",
            "<Error><Code>SignatureDoesNotMatch</Code><Message>x</Message></Error>",
        ),
        _ => Fault::Pass,
    });
    sandbox.ctl(&["submit", "denied.yaml", "--wait"]).expect(1);
    proxy.set(|_, _| Fault::Pass);
    sandbox.ctl(&["retry", "last", "--wait"]);

    // Everything that may be asked for.
    let jobs = sandbox.job_ids();
    assert!(jobs.len() >= 2);
    for job in &jobs {
        for words in [
            &["describe"][..],
            &["get", "tasks"],
            &["get", "runs"],
            &["get", "dead"],
            &["logs"],
            &["verify"],
        ] {
            for form in ["table", "json", "yaml"] {
                sandbox.ctl(&[words, &[job, "-o", form]].concat());
            }
        }
        for kind in ["--scores", "--metrics", "--timings"] {
            sandbox.ctl(&["results", job, kind, "-o", "json"]);
        }
        sandbox.ctl(&["report", job]);
    }
    for words in [
        &["get", "workers"][..],
        &["get", "models"],
        &["doctor"],
        &["--print-config"],
    ] {
        sandbox.ctl(words);
    }
    for program in ["coordinator", "worker"] {
        sandbox
            .start(program, &["--print-config"])
            .wait(SOON)
            .expect(0);
    }
    for program in [worker, coordinator] {
        program.signal(Signal::TERM);
        program.wait(SOON * 2).expect(0);
    }
    assert!(sandbox.path("s/nightshift.db").is_file());
    assert!(search_the_bucket(&secrets, &store) > 10);
    let holds = ["access_key", "secret_key"].map(|name| sandbox.path(name));
    search_the_files(&secrets, &sandbox.path(""), &holds);
}

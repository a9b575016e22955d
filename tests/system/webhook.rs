//! Whoever wants to know is told when a job has ended: signed, again until it is taken, whoever dies meanwhile.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use ring::hmac;
use serde_json::Value;

use crate::processes::{Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{LIMIT, Running, SOON, Sandbox};

on_both_queues!(
    the_end_of_a_job_is_told_until_it_is_taken_under_one_id_whoever_is_killed_meanwhile,
    the_receiver_of_the_documents_knows_the_coordinator_and_nobody_else,
);

const SECRET: &str = "the-secret-of-the-webhook";
/// A part of the address that only the receiver should know.
const PATH: &str = "/hook-of-the-factory";

/// A call that came.
#[derive(Debug, Clone)]
struct Call {
    delivery: String,
    signature: String,
    body: Vec<u8>,
    /// What it says is published was there when it came.
    has_results: bool,
    answered: u32,
}

impl Call {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Who is told, and answers as he is set to.
struct Receiver {
    port: u16,
    status: Arc<AtomicU32>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    fn start(status: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            port: listener.local_addr().unwrap().port(),
            status: Arc::new(AtomicU32::new(status)),
            calls: Arc::default(),
        };
        let (status, calls) = (receiver.status.clone(), receiver.calls.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A caller may be killed over his call.
                if let Some(call) = answer(stream.unwrap(), status.load(Ordering::Relaxed)) {
                    calls.lock().unwrap().push(call);
                }
            }
        });
        receiver
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    fn answers(&self, status: u32) {
        self.status.store(status, Ordering::Relaxed);
    }

    #[track_caller]
    fn wait_for(&self, what: &str, count: usize, which: impl Fn(&Call) -> bool) -> Vec<Call> {
        until(what, LIMIT, || {
            let calls = self.calls.lock().unwrap().clone();
            let found: Vec<Call> = calls.into_iter().filter(&which).collect();
            (found.len() >= count).then_some(found)
        })
    }
}

fn answer(mut stream: TcpStream, status: u32) -> Option<Call> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    assert_eq!(line, format!("POST {PATH} HTTP/1.1\r\n"));
    let (mut delivery, mut signature, mut length) = (String::new(), String::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "nightshift-delivery" => delivery = value.to_owned(),
            "nightshift-signature" => signature = value.to_owned(),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let told: Value = serde_json::from_slice(&body).unwrap();
    let results = told["results"]
        .as_str()
        .and_then(|uri| uri.strip_prefix("file://"));
    let has_results =
        results.is_some_and(|folder| Path::new(folder).join("scores.parquet").is_file());
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    Some(Call {
        delivery,
        signature,
        body,
        has_results,
        answered: status,
    })
}

/// The signature is that of the secret, over its time and the body.
#[track_caller]
fn expect_signed(call: &Call) {
    let (time, signed) = call.signature.split_once(",v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let text = [time.as_bytes(), b".", &call.body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag: String = hmac::sign(&key, &text)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(signed, tag);
}

/// A coordinator that tells this address, and a worker.
fn cluster(sandbox: &Sandbox, url: &str) -> (Running, Running) {
    sandbox.write("secret", &format!("{SECRET}\n"));
    let coordinator = coordinator(sandbox, url);
    (coordinator, sandbox.start("worker", &[]))
}

fn coordinator(sandbox: &Sandbox, url: &str) -> Running {
    let arguments = ["--webhook", url, "--webhook-secret-file", "secret"];
    let mut coordinator = sandbox.start("coordinator", &arguments);
    coordinator.wait_for_word("coordinator.sock");
    coordinator
}

fn the_end_of_a_job_is_told_until_it_is_taken_under_one_id_whoever_is_killed_meanwhile(
    queue: Queue,
) {
    let receiver = Receiver::start(500);
    let sandbox = Sandbox::with_job(6, 3).on(queue);
    let (first, _worker) = cluster(&sandbox, &receiver.url());
    sandbox
        .ctl(&["submit", "job.yaml", "--key", "line3", "--wait"])
        .expect(0);
    let job = sandbox.job_ids().remove(0);
    let refused = receiver.wait_for("two calls", 2, |_| true);
    let waits = until("the refusal to be shown", LIMIT, || {
        let jobs = sandbox.json(&["get", "jobs"]);
        jobs[0]["unpublished"].get(0).cloned()
    });
    assert_eq!(
        (&waits["what"], &waits["store"]),
        (&"notice".into(), &"the webhook".into())
    );
    let reason = waits["reason"].as_str().unwrap();
    assert!(reason.contains("127.0.0.1 answered 500"), "{reason}");

    first.signal(Signal::KILL);
    first.process().wait_for_end(SOON);
    let said = first.stderr();
    receiver.answers(204);
    let second = coordinator(&sandbox, &receiver.url());
    let taken = receiver.wait_for("a call that is taken", 1, |call| call.answered == 204);
    for call in refused.iter().chain(&taken) {
        expect_signed(call);
        assert!(call.has_results, "told before its results were there");
        assert_eq!(
            (&call.delivery, &call.body),
            (&refused[0].delivery, &refused[0].body)
        );
    }
    let told = refused[0].json();
    assert_eq!(told["delivery"], refused[0].delivery);
    for (name, value) in [
        ("job", job.as_str()),
        ("key", "line3"),
        ("name", "tiny"),
        ("kind", "benchmark"),
        ("state", "succeeded"),
    ] {
        assert_eq!(told[name], value, "{told}");
    }
    let rows = sandbox.json(&["results", "last", "--scores"]);
    let rows = rows.as_array().unwrap();
    let anomalous = rows.iter().filter(|row| row["is_anomalous"] == true);
    assert_eq!(told["images"], rows.len());
    assert_eq!(told["anomalous"], anomalous.count());
    assert_eq!(told["errors"], 0);
    until("nothing to be told any more", LIMIT, || {
        let jobs = sandbox.json(&["get", "jobs"]);
        jobs[0]["unpublished"]
            .as_array()
            .unwrap()
            .is_empty()
            .then_some(())
    });

    // Decided anew, it ends anew, and is told under another id; one that is cancelled, too.
    sandbox
        .ctl(&["rethreshold", "last", "--manual", "1", "--wait"])
        .expect(0);
    let anew = receiver.wait_for("another end", 1, |call| {
        call.delivery != refused[0].delivery
    });
    let told = anew[0].json();
    assert_eq!(told["state"], "succeeded");
    assert!(
        told["results"].as_str().unwrap().ends_with("/000002"),
        "{told}"
    );

    second.end();
    let logs = [said, sandbox.ctl(&["describe", "last"]).stdout];
    for log in logs {
        assert!(!log.contains(SECRET) && !log.contains(PATH), "{log}");
    }
}

/// A program of Python that runs until it is dropped.
struct Python(Child);

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn the_receiver_of_the_documents_knows_the_coordinator_and_nobody_else(queue: Queue) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    let program = page.split("```python\n").nth(1).unwrap();
    let program = program.split("```").next().unwrap();
    let sandbox = Sandbox::with_job(6, 3).on(queue);
    sandbox.write("receiver.py", program);
    sandbox.write("secret", &format!("{SECRET}\n"));
    let [port] = objects::free_ports();
    let told = fs::File::create(sandbox.path("told")).unwrap();
    let child = Command::new("python3")
        .args(["receiver.py", "secret", &port.to_string()])
        .current_dir(sandbox.path(""))
        .stdin(Stdio::null())
        .stdout(told)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _receiver = Python(child);
    let (_coordinator, _worker) = cluster(&sandbox, &format!("http://127.0.0.1:{port}/"));
    sandbox.ctl(&["submit", "job.yaml", "--wait"]).expect(0);
    let told = until("the receiver to print it", LIMIT, || {
        let told = fs::read_to_string(sandbox.path("told")).unwrap();
        told.ends_with('\n').then_some(told)
    });
    let job = sandbox.job_ids().remove(0);
    assert!(told.contains(&job) && told.contains("succeeded"), "{told}");

    let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let call = "POST / HTTP/1.1\r\nNightshift-Delivery: x\r\nNightshift-Signature: t=1,v1=00\r\nContent-Length: 2\r\n\r\n{}";
    stranger.write_all(call.as_bytes()).unwrap();
    let mut answer = String::new();
    stranger.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 403 "), "{answer}");
}

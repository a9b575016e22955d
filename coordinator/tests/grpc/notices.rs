//! Whoever is named at start is told of the ends of jobs; nobody is, where nobody is named.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use proto::v1::CancelRequest;
use serde_json::{Value, json};

use crate::sandbox::{Client, Sandbox, Worker, job_when};

/// Answers every call with this status, and hands on its id and body.
fn receiver(status: u16) -> (u16, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, calls) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Some(call) = answer(stream.unwrap(), status) else {
                continue;
            };
            if send.send(call).is_err() {
                return;
            }
        }
    });
    (port, calls)
}

fn answer(mut stream: TcpStream, status: u16) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut delivery, mut length) = (String::new(), 0);
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some(("nightshift-delivery", id)) => delivery = id.to_owned(),
            Some(("content-length", bytes)) => length = bytes.parse().ok()?,
            Some(_) => {}
            None if line.starts_with("POST ") => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    Some((delivery, serde_json::from_slice(&body).ok()?))
}

fn telling(folder: &Path, port: u16) -> Vec<String> {
    let secret = folder.join("secret");
    fs::write(&secret, "0123456789abcdef").unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    let secret = secret.display().to_string();
    ["--webhook", &url, "--webhook-secret-file", &secret]
        .map(str::to_owned)
        .to_vec()
}

fn next(calls: &Receiver<(String, Value)>) -> (String, Value) {
    calls.recv_timeout(Duration::from_secs(30)).unwrap()
}

#[tokio::test]
async fn each_end_is_told_once_to_who_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (port, calls) = receiver(204);
    let sandbox = Sandbox::start_with(telling(folder.path(), port)).await;
    let store = sandbox.store.path();
    let mut client = sandbox.client().await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;

    let done = sandbox.submit(&mut client, "a").await;
    worker.work_through(store).await;
    let (first, told) = next(&calls);
    assert_eq!(told["delivery"], first.as_str());
    let results = format!("{}/jobs/{done}/results/000001", sandbox.store_uri());
    for (name, value) in [
        ("job", json!(done)),
        ("state", json!("succeeded")),
        ("kind", json!("train")),
        ("images", json!(300)),
        ("anomalous", json!(7)),
        ("results", json!(results)),
        ("failures", json!([])),
    ] {
        assert_eq!(told[name], value, "{name} of {told}");
    }

    let failed = sandbox.submit(&mut client, "b").await;
    let list = worker.claim().await;
    worker
        .fail(&list, "invalid_input", "/data/texture/brick: no images")
        .await;
    // Its tables, which say so.
    let reduce = worker.claim().await;
    worker.complete(&reduce, store).await;
    let (second, told) = next(&calls);
    assert_eq!(
        (&told["job"], &told["state"]),
        (&json!(failed), &json!("failed"))
    );
    assert_eq!(told["images"], Value::Null);
    let failure = told["failures"][0].as_str().unwrap();
    assert!(failure.contains("/data/texture/brick: no images"), "{told}");

    let cancelled = sandbox.submit(&mut client, "c").await;
    cancel(&mut client, &cancelled).await;
    let (third, told) = next(&calls);
    assert_eq!(
        (&told["job"], &told["state"]),
        (&json!(cancelled), &json!("cancelled"))
    );
    assert!(first != second && second != third && third != first);
    for job in [done, failed, cancelled] {
        job_when(&mut client, &job, |job| job.unpublished.is_empty()).await;
    }
    assert!(calls.try_recv().is_err(), "each is told once");
}

#[tokio::test]
async fn what_is_not_taken_is_said_and_is_forgotten_where_nobody_is_to_be_told_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let (port, calls) = receiver(503);
    let mut sandbox = Sandbox::start_with(telling(folder.path(), port)).await;
    let mut client = sandbox.client().await;
    let job = sandbox.submit(&mut client, "a").await;
    let mut worker = Worker::register(&sandbox, "box", 1).await;
    worker.work_through(sandbox.store.path()).await;
    let (first, again) = (next(&calls), next(&calls));
    assert_eq!(first, again, "the same body under the same id");
    let refused = job_when(&mut client, &job, |job| !job.unpublished.is_empty()).await;
    assert_eq!(refused.state, "succeeded", "nothing waits for it");
    let waits = &refused.unpublished[0];
    assert_eq!(
        (waits.what.as_str(), waits.store.as_str()),
        ("notice", "the webhook")
    );
    let reason = &waits.reason;
    assert!(reason.contains("127.0.0.1 answered 503"), "{reason}");

    // It goes on after a kill; without an address it is dropped for good.
    sandbox.kill();
    sandbox.start_again().await;
    while next(&calls) != first {}
    sandbox.kill();
    let arguments = std::mem::take(&mut sandbox.arguments);
    sandbox.start_again().await;
    sandbox.wait_for_word("given up").await;
    // What it has said is written down by the answer to this.
    let mut client = sandbox.client().await;
    let other = sandbox.submit(&mut client, "b").await;
    sandbox.kill();
    while calls.try_recv().is_ok() {}
    sandbox.arguments = arguments;
    sandbox.start_again().await;
    let mut client = sandbox.client().await;
    cancel(&mut client, &other).await;
    let told = next(&calls).1;
    assert_eq!(told["job"], json!(other), "the first is not told again");
}

async fn cancel(client: &mut Client, job: &str) {
    let request = CancelRequest {
        request_id: format!("cancel-{job}"),
        job: job.to_owned(),
    };
    client.cancel(request).await.unwrap();
}

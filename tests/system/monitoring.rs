//! What monitoring reads of a coordinator: it lives, it is ready, and how many there are of what.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::processes::Signal;
use crate::sandbox::{LIMIT, Running, SOON, Sandbox};

/// What a path answers: the status line, and the body.
pub fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// Where a coordinator with `--http 127.0.0.1:0` answers.
pub fn address(coordinator: &mut Running) -> String {
    coordinator.wait_for_word("/metrics");
    let said = coordinator.stderr();
    let at = said.find("127.0.0.1:").unwrap();
    said[at..]
        .chars()
        .take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':'))
        .collect()
}

#[test]
fn monitoring_reads_health_and_numbers() {
    let sandbox = Sandbox::with_job(6, 3);
    let mut coordinator = sandbox.start("coordinator", &["--http", "127.0.0.1:0"]);
    coordinator.wait_for_word("coordinator.sock");
    let address = address(&mut coordinator);
    assert_eq!(
        get(&address, "/healthz"),
        ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned())
    );
    assert_eq!(get(&address, "/readyz").1, "ready\n");
    assert!(get(&address, "/elsewhere").0.contains("404"));

    let worker = sandbox.start("worker", &["--name", "box"]);
    sandbox.ctl(&["submit", "job.yaml", "--wait"]).expect(0);
    let (status, text) = get(&address, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "nightshift_jobs{state=\"succeeded\"} 1",
        "nightshift_tasks{pool=\"cpu\",state=\"succeeded\"} 5",
        "nightshift_attempts_total{outcome=\"accepted\"} 5",
        "nightshift_leases 0",
        "nightshift_outbox 0",
    ] {
        assert!(
            text.lines().any(|one| one == line),
            "{line} is not in\n{text}"
        );
    }
    // No id of a job is a label: their number would grow without bound.
    assert!(!text.contains(&sandbox.job_ids()[0]), "{text}");

    worker.signal(Signal::TERM);
    worker.wait(LIMIT).expect(0);
    coordinator.signal(Signal::TERM);
    coordinator.wait(SOON).expect(0);
    sandbox
        .start("coordinator", &["--http", "0.0.0.0:0"])
        .wait(SOON)
        .expect(2)
        .says(&["--http-insecure"]);
}

//! What monitoring reads of a coordinator and a worker: they live, they are ready, and how many there are of what.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::processes::{Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{LIMIT, Running, SOON, Sandbox};

on_both_queues!(
    monitoring_reads_health_and_numbers,
    a_worker_is_ready_while_its_coordinator_answers,
);

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

/// Where a program that was asked to listen at any port says that it does.
pub fn address(program: &mut Running) -> String {
    program.wait_for_word("/metrics");
    let said = program.stderr();
    let at = said.find("127.0.0.1:").unwrap();
    let part = |c: &char| c.is_ascii_digit() || matches!(c, '.' | ':');
    said[at..].chars().take_while(part).collect()
}

/// The numbers, which Prometheus' own tool reads without a complaint.
#[track_caller]
fn metrics(address: &str) -> String {
    let (status, text) = get(address, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: `python3 scripts/setup.py test` installs it");
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let checked = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(
        checked.status.success() && said.is_empty(),
        "{said}\n{text}"
    );
    text
}

/// Alert rules and dashboard of the chart are checked against what is kept in `tests/charts/recorded`: it has to tell of the
/// same families as a program does now. `UPDATE=1` records anew.
#[track_caller]
fn is_as_recorded(program: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../charts/recorded")
        .join(format!("{program}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, text).unwrap();
    }
    let recorded = fs::read_to_string(&path).unwrap();
    let families = |text: &str| -> BTreeSet<String> {
        let types = text.lines().filter(|line| line.starts_with("# TYPE "));
        types.map(str::to_owned).collect()
    };
    assert_eq!(families(text), families(&recorded), "UPDATE=1 records anew");
}

#[track_caller]
fn expect_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(
            text.lines().any(|one| one == *line),
            "{line} is not in\n{text}"
        );
    }
}

fn monitoring_reads_health_and_numbers(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).on(queue);
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
    let text = metrics(&address);
    expect_lines(
        &text,
        &[
            "nightshift_jobs{state=\"succeeded\"} 1",
            "nightshift_tasks{pool=\"cpu\",state=\"succeeded\"} 5",
            "nightshift_attempts_total{outcome=\"accepted\"} 5",
            "nightshift_leases 0",
            "nightshift_outbox{to=\"store\"} 0",
            "nightshift_outbox_refused{to=\"webhook\"} 0",
            "nightshift_backlog_seconds{pool=\"cpu\"} 0",
            "nightshift_oldest_task_seconds{pool=\"cpu\"} 0",
        ],
    );
    let above_zero = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        line.is_some_and(|line| !line.ends_with(" 0"))
    };
    assert!(above_zero("nightshift_scored_images_total"), "{text}");
    assert!(above_zero("nightshift_commit_seconds_count"), "{text}");
    is_as_recorded("coordinator", &text);
    // No id of a job is a label: their number would grow without bound.
    assert!(!text.contains(&sandbox.job_ids()[0]), "{text}");

    worker.signal(Signal::TERM);
    worker.wait(LIMIT).expect(0);
    coordinator.signal(Signal::TERM);
    coordinator.wait(SOON).expect(0);
    for program in ["coordinator", "worker"] {
        sandbox
            .start(program, &["--http", "0.0.0.0:0"])
            .wait(SOON)
            .expect(2)
            .says(&["--http-insecure"]);
    }
}

fn a_worker_is_ready_while_its_coordinator_answers(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).on(queue);
    let mut worker = sandbox.start("worker", &["--name", "box", "--http", "127.0.0.1:0"]);
    let address = address(&mut worker);
    assert_eq!(get(&address, "/healthz").1, "ok\n");
    let (status, why) = get(&address, "/readyz");
    assert!(
        status.contains("503") && why.contains("coordinator"),
        "{status} {why}"
    );

    let mut coordinator = sandbox.start("coordinator", &[]);
    coordinator.wait_for_word("coordinator.sock");
    let ready = |wanted: bool| {
        until(&format!("a worker that is ready: {wanted}"), LIMIT, || {
            (get(&address, "/readyz").0.contains("200") == wanted).then_some(())
        });
    };
    ready(true);
    sandbox.ctl(&["submit", "job.yaml", "--wait"]).expect(0);
    // The job ends before its worker hears of the last task's acceptance.
    until("five accepted attempts", LIMIT, || {
        let line = "nightshift_worker_attempts_total{outcome=\"accepted\"} 5";
        metrics(&address).contains(line).then_some(())
    });
    expect_lines(
        &metrics(&address),
        &[
            "nightshift_worker_slots 1",
            "nightshift_worker_busy_slots 0",
            "nightshift_worker_ready 1",
        ],
    );
    let text = metrics(&address);
    assert!(text.contains("nightshift_worker_executor_memory_bytes{slot=\"0\"} "));
    is_as_recorded("worker", &text);

    coordinator.signal(Signal::KILL);
    coordinator.wait(SOON);
    ready(false);
    // It lives: it would take tasks if there were somebody to give them.
    assert_eq!(get(&address, "/healthz").1, "ok\n");
    let mut coordinator = sandbox.start("coordinator", &[]);
    coordinator.wait_for_word("coordinator.sock");
    ready(true);
}

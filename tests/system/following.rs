//! `--wait` through what happens to coordinators and workers.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;

use crate::kills::wait_for_socket;
use crate::processes::{Signal, until};
use crate::sandbox::{LIMIT, Running, SOON, Sandbox};

/// A coordinator that listens on this machine's network as well; the port stays the same over its restarts.
pub fn coordinator(sandbox: &Sandbox, address: &str, arguments: &[&str]) -> Running {
    let coordinator = sandbox.start("coordinator", &[&["--listen", address], arguments].concat());
    until("a coordinator on the network", LIMIT, || {
        let ended = !coordinator.process().is_alive();
        assert!(!ended, "it has ended:\n{}", coordinator.stderr());
        std::net::TcpStream::connect(address).ok()
    });
    coordinator
}

/// An address of this machine that nobody listens on, and that the system gives to nobody who connects: it may be left for a
/// while.
pub fn free_address() -> String {
    let ports = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let given: u16 = ports.split_whitespace().next().unwrap().parse().unwrap();
    let below = given.checked_sub(1_024).unwrap();
    until("a free port", LIMIT, || {
        // Other test processes look for one, too.
        let port = 1_024 + RandomState::new().hash_one(()) as u16 % below;
        let free = TcpListener::bind(("127.0.0.1", port)).ok()?;
        Some(free.local_addr().unwrap().to_string())
    })
}

/// A command that has submitted the job there and waits for it.
fn waiting_at(sandbox: &Sandbox, url: &str) -> Running {
    let command = ["submit", "job.yaml", "--wait", "--coordinator", url];
    let mut waiting = sandbox.start("ctl", &command);
    waiting.wait_for_word("submitted");
    waiting
}

#[test]
fn a_remote_coordinator_may_be_restarted_while_a_command_waits() {
    let sandbox = Sandbox::with_job(6, 3);
    let address = free_address();
    let url = format!("http://{address}");
    let first = coordinator(&sandbox, &address, &[]);
    let mut waiting = waiting_at(&sandbox, &url);
    first.signal(Signal::TERM);
    first.wait(SOON).expect(0);
    waiting.wait_for_word("connecting again");
    let _second = coordinator(&sandbox, &address, &[]);
    let _worker = sandbox.start("worker", &["--coordinator", &url, "--name", "box"]);
    waiting.wait(LIMIT).expect(0).says(&["succeeded in"]);
}

#[test]
fn an_interrupt_is_heard_while_the_coordinator_is_away() {
    let sandbox = Sandbox::with_job(3, 3);
    let address = free_address();
    let url = format!("http://{address}");
    let first = coordinator(&sandbox, &address, &[]);
    let mut waiting = waiting_at(&sandbox, &url);
    first.signal(Signal::KILL);
    waiting.wait_for_word("connecting again");
    waiting.signal(Signal::INT);
    let retry = format!("--wait --coordinator {url}`");
    waiting
        .wait(SOON)
        .expect(130)
        .says(&["go on with `ctl retry ", &retry]);
}

#[test]
fn a_command_that_waits_brings_a_worker_where_there_is_none() {
    let sandbox = Sandbox::with_job(6, 3);
    let coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let waiting = sandbox.start("ctl", &["submit", "job.yaml", "--wait"]);
    waiting.wait(LIMIT).expect(0);
    sandbox
        .ctl(&["submit", "job.yaml", "--set", "seed=1"])
        .expect(0);
    sandbox.ctl(&["cancel", "last"]).expect(0);
    sandbox.ctl(&["retry", "last", "--wait"]).expect(0);
    drop(coordinator);
}

#[test]
fn a_command_that_waits_goes_on_when_the_coordinator_that_it_joined_ends() {
    let sandbox = Sandbox::with_job(600, 3);
    let coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let worker = sandbox.start("worker", &["--name", "box"]);
    until("the worker", LIMIT, || {
        let workers = sandbox.json(&["get", "workers"]);
        (workers[0]["state"] == "live").then_some(())
    });
    let waiting = sandbox.start("ctl", &["submit", "job.yaml", "--wait"]);
    sandbox.wait_for_running("fit");
    // Stopped, its executor does not end the job before both are gone; what it had is handed back.
    worker.program("executor").signal(Signal::STOP);
    worker.signal(Signal::TERM);
    worker.wait(SOON * 2).expect(0);
    coordinator.signal(Signal::TERM);
    coordinator.wait(SOON).expect(0);
    waiting
        .wait(LIMIT)
        .expect(0)
        .says(&["starting another one"]);
    assert_eq!(sandbox.outcomes("fit").last().unwrap(), "accepted");
}

#[test]
fn what_has_no_results_says_so_with_exit_code_3_and_a_cancelled_job_has_its_id() {
    let sandbox = Sandbox::with_job(3, 3);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    let cancelled = sandbox.json(&["cancel", "last"]);
    assert_eq!(cancelled["job"], sandbox.job_ids()[0].as_str());
    assert_eq!(cancelled["state"], "cancelled");
    for table in [&[][..], &["--metrics"], &["--scores"]] {
        let results = sandbox.ctl(&[&["results", "--last"], table].concat());
        results
            .expect(3)
            .says(&["is cancelled and has no published results"]);
    }
}

#[test]
fn a_job_that_scores_says_how_fast_and_for_how_long_yet() {
    let sandbox = Sandbox::with_job(6, 1_500);
    let coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let worker = sandbox.start("worker", &["--name", "box"]);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    sandbox.wait_for_running("score");
    until("a task that is scored", LIMIT, || {
        sandbox
            .outcomes("score")
            .contains(&"accepted".to_owned())
            .then_some(())
    });
    // It stands still, but not for long enough that nothing was done within the last minute.
    let executor = worker.program("executor");
    executor.signal(Signal::STOP);
    let pace = until("a rate", LIMIT, || {
        let pace = sandbox.json(&["get", "jobs"])[0]["pace"].clone();
        let rate = pace["images_per_s"].as_f64()?;
        (rate > 0.0).then_some(pace)
    });
    let number = |name: &str| pace[name].as_f64().unwrap();
    assert_eq!(number("total"), 3_000.0, "{pace}");
    assert!(
        number("done") >= 256.0 && number("done") < 3_000.0,
        "{pace}"
    );
    let left_s = (number("total") - number("done")) / number("images_per_s");
    assert!((number("left_s") - left_s).abs() < 0.01, "{pace}");
    let table = sandbox.ctl(&["get", "jobs"]).stdout;
    for word in ["IMAGES", "RATE", "LEFT", "/3000", "/s"] {
        assert!(table.contains(word), "{table}");
    }
    executor.signal(Signal::CONT);
    until("the end", LIMIT, || {
        let job = &sandbox.json(&["get", "jobs"])[0];
        (job["state"] == "succeeded" && job["pace"].is_null()).then_some(())
    });
    assert!(!sandbox.ctl(&["get", "jobs"]).stdout.contains("RATE"));
    drop(coordinator);
}

#[test]
fn logs_for_programs_are_one_object_a_line() {
    let sandbox = Sandbox::with_job(3, 3);
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    for form in ["json", "yaml"] {
        let logs = sandbox.ctl(&["logs", "last", "-o", form]);
        logs.expect(0);
        assert!(!logs.stdout.is_empty());
        for line in logs.stdout.lines() {
            let item = line.strip_prefix("- ").unwrap_or(line);
            let object: serde_json::Value = serde_json::from_str(item).expect(line);
            assert!(
                object["task"].is_string() && object["text"].is_string(),
                "{line}"
            );
            assert_eq!(line != item, form == "yaml");
        }
    }
}

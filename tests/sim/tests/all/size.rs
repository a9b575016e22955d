//! A job of 100,000 tasks: submit, claim, restart, and that none of them looks at all tasks.

use std::time::Instant;

use coordinator_core::*;
use types::*;

use crate::desk::{Desk, job};

/// `MAX_CHUNKS` of the planner bounds a run's chunks, so two runs share a listing.
fn big() -> Submit {
    sim::workload::submit(
        "job0",
        "s",
        None,
        ::job::resolved::JobKind::Benchmark,
        2,
        50_000,
        0,
    )
}

#[test]
fn c10_l6_i4_a_hundred_thousand_tasks() {
    let mut desk = Desk::new();
    let workers: Vec<Sender> = (0..1_000)
        .map(|n| desk.register(&format!("w{n}"), 1))
        .collect();
    let started = Instant::now();
    desk.submit(big());
    let submit = started.elapsed();
    let list = desk.granted(&workers[0], "list");
    let started = Instant::now();
    assert_eq!(desk.complete(&workers[0], &list), Verdict::Accepted);
    let expand = started.elapsed();
    for run in 0..2 {
        let fit = desk.granted(&workers[0], &format!("fit{run}"));
        assert_eq!(desk.complete(&workers[0], &fit), Verdict::Accepted);
    }
    let id: JobId = "job0".parse().unwrap();
    let ready = desk.core.job_view(&id).unwrap().tasks.of(TaskState::Ready);
    assert!(ready >= 100_000, "{ready}");

    let started = Instant::now();
    let mut running = Vec::new();
    for (n, worker) in workers.iter().enumerate() {
        running.push(desk.granted(worker, &format!("claim{n}")));
        assert!(
            desk.core.claim_steps() <= 4,
            "L6: {} steps",
            desk.core.claim_steps()
        );
    }
    let claims = started.elapsed();

    let started = Instant::now();
    let core = Core::rebuild(Settings::default(), desk.rows.clone(), Epoch(9), desk.now).unwrap();
    let restart = started.elapsed();
    assert_eq!(core.rows(), desk.rows);
    assert_eq!(core.audit(), Vec::<String>::new());
    desk.restart();
    // Every lease has a ttl again, and those who still compute complete.
    desk.wait(50_000);
    for (worker, assignment) in workers.iter().zip(&running) {
        assert_eq!(desk.complete(worker, assignment), Verdict::Accepted);
    }
    println!(
        "100,000 tasks: submit {submit:?}, expand {expand:?}, claim {:?} each, restart {restart:?}",
        claims / running.len() as u32
    );
}

#[test]
fn a_small_job_gets_its_share_beside_a_big_one() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    let b = desk.register("b", 1);
    desk.submit(job("job0", "s0", None, 50));
    desk.submit(job("job1", "s1", None, 1));
    let first = desk.granted(&a, "c1");
    let second = desk.granted(&b, "c2");
    assert_eq!(
        (first.task.job.as_str(), second.task.job.as_str()),
        ("job0", "job1")
    );
}

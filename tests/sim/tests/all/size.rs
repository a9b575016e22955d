//! A job of 100,000 tasks: what is decided costs no more than in a small one, and a restart loses nothing of it.

use std::time::{Duration, Instant};

use coordinator_core::*;
use plan::Assignment;
use types::*;

use crate::desk::{Desk, job};

/// The planner bounds a run's chunks, so two runs share a listing.
const RUNS: u32 = 2;
const CHUNKS: u64 = 50_000;
const WORKERS: usize = 1_000;

/// A lease lives for a minute.
const TTL_MS: u64 = 60_000;

/// A desk with workers, and a job whose score tasks are all ready.
fn with_ready(workers: usize, chunks: u64) -> (Desk, Vec<Sender>) {
    let mut desk = Desk::new();
    let workers: Vec<Sender> = (0..workers)
        .map(|n| desk.register(&format!("w{n}"), 1))
        .collect();
    desk.submit(benchmark(chunks));
    let list = desk.granted(&workers[0], "list");
    assert_eq!(desk.complete(&workers[0], &list), Verdict::Accepted);
    for run in 0..RUNS {
        let fit = desk.granted(&workers[0], &format!("fit{run}"));
        assert_eq!(desk.complete(&workers[0], &fit), Verdict::Accepted);
    }
    assert_eq!(tasks(&desk, TaskState::Ready), u64::from(RUNS) * chunks);
    (desk, workers)
}

fn benchmark(chunks: u64) -> Submit {
    let kind = ::job::resolved::JobKind::Benchmark;
    sim::workload::submit("job0", "s", None, kind, RUNS, chunks, 0)
}

fn tasks(desk: &Desk, state: TaskState) -> u64 {
    let job: JobId = "job0".parse().unwrap();
    desk.core.job_view(&job).unwrap().tasks.of(state)
}

/// Each worker claims once.
fn claim_all(desk: &mut Desk, workers: &[Sender]) -> Vec<Assignment> {
    let claim = |(n, worker): (usize, &Sender)| desk.granted(worker, &format!("claim{n}"));
    workers.iter().enumerate().map(claim).collect()
}

/// A coordinator that is started now knows what this one knows.
fn the_rows_hold_everything(desk: &Desk, after: &str) {
    assert!(desk.core.rows() == desk.rows, "I4: rows after {after}");
    let rows = desk.rows.clone();
    let rebuilt = Core::rebuild(Settings::default(), rows, Epoch(9), desk.now).unwrap();
    assert!(rebuilt.rows() == desk.rows, "I4: rebuilt after {after}");
    for core in [&desk.core, &rebuilt] {
        assert_eq!(core.audit(), Vec::<String>::new(), "I4: after {after}");
    }
    let job: JobId = "job0".parse().unwrap();
    let views = [&desk.core, &rebuilt].map(|core| core.job_view(&job).unwrap());
    assert_eq!(views[0].tasks, views[1].tasks, "I4: counts after {after}");
    assert_eq!(views[0].state, views[1].state, "I4: state after {after}");
}

#[test]
fn c10_after_a_restart_every_lease_lives_for_one_ttl_and_who_still_computes_completes() {
    let (mut desk, workers) = with_ready(WORKERS, CHUNKS);
    let running = claim_all(&mut desk, &workers);
    for (worker, assignment) in workers.iter().zip(&running) {
        desk.beat(worker, &[assignment.lease]);
    }
    // Nearly over when the coordinator goes.
    desk.wait(TTL_MS - 5_000);
    desk.restart();
    assert_eq!(tasks(&desk, TaskState::Running), WORKERS as u64);

    desk.wait(TTL_MS - 5_000);
    let outcomes: Vec<Outcome> = running.iter().map(|a| desk.outcome(a.lease)).collect();
    assert!(outcomes.iter().all(|o| *o == Outcome::Running));
    let (computing, silent) = running.split_at(WORKERS / 2);
    for (worker, assignment) in workers.iter().zip(computing) {
        assert_eq!(desk.complete(worker, assignment), Verdict::Accepted);
    }

    desk.wait(10_000);
    for assignment in silent {
        let lost = Outcome::Failed(FailureClass::Lost);
        assert_eq!(desk.outcome(assignment.lease), lost);
    }
    assert_eq!(tasks(&desk, TaskState::Running), 0);
    // Who comes back later has still computed it, and nobody has begun it again.
    for (worker, assignment) in workers[WORKERS / 2..].iter().zip(silent) {
        assert_eq!(desk.complete(worker, assignment), Verdict::Accepted);
    }
    let left = u64::from(RUNS) * CHUNKS - WORKERS as u64;
    assert_eq!(tasks(&desk, TaskState::Ready), left);
}

#[test]
fn l6_a_claim_takes_as_many_steps_as_in_a_job_of_a_hundred_tasks() {
    let steps = |chunks: u64| -> Vec<u64> {
        let (mut desk, workers) = with_ready(20, chunks);
        let mut steps = Vec::new();
        // Tasks that crashed avoid a worker each, and so stand in queues of their own.
        for round in 0..2 {
            for (n, worker) in workers.iter().enumerate() {
                let assignment = desk.granted(worker, &format!("{round}-{n}"));
                steps.push(desk.core.claim_steps());
                desk.beat(worker, &[assignment.lease]);
                if n % 4 == 0 {
                    desk.fail(worker, assignment.lease, FailureClass::Crashed);
                } else {
                    assert_eq!(desk.complete(worker, &assignment), Verdict::Accepted);
                }
            }
            desk.wait(5_000);
        }
        steps
    };
    let (small, large) = (steps(50), steps(CHUNKS));
    assert_eq!(small, large, "L6");
    // One for the job, one for each of the queues.
    assert!(large.iter().all(|steps| *steps <= 1 + 20 / 4), "{large:?}");
}

#[test]
fn i4_the_rows_of_a_hundred_thousand_tasks_hold_everything_after_each_kind_of_commit() {
    let mut desk = Desk::new();
    let worker = desk.register("w", 1);
    desk.submit(benchmark(CHUNKS));
    the_rows_hold_everything(&desk, "the submission");
    let list = desk.granted(&worker, "list");
    the_rows_hold_everything(&desk, "a grant");
    desk.complete(&worker, &list);
    the_rows_hold_everything(&desk, "the list that made the tasks");
    for run in 0..RUNS {
        let fit = desk.granted(&worker, &format!("fit{run}"));
        desk.complete(&worker, &fit);
    }
    the_rows_hold_everything(&desk, "the fits that made them ready");
    for n in 0..100 {
        let score = desk.granted(&worker, &format!("score{n}"));
        desk.beat(&worker, &[score.lease]);
        match n % 3 {
            0 => desk.fail(&worker, score.lease, FailureClass::Crashed),
            1 => _ = desk.complete(&worker, &score),
            // Held until the end.
            _ => {}
        }
    }
    the_rows_hold_everything(&desk, "failures, ends and heartbeats");
    desk.wait(2 * TTL_MS);
    the_rows_hold_everything(&desk, "leases that ran out");
    desk.cancel("job0", "c");
    assert_eq!(desk.state("job0"), JobState::Cancelled);
    the_rows_hold_everything(&desk, "the cancel");
    desk.retry("job0", "r");
    the_rows_hold_everything(&desk, "the retry of what was cancelled");
    desk.restart();
    assert!(tasks(&desk, TaskState::Ready) > 99_000);
}

/// The bounds of the design, for the decisions alone: with disk and network they are measured by `make bench`.
#[test]
fn decisions_about_a_hundred_thousand_tasks_take_no_time_that_anybody_notices() {
    let started = Instant::now();
    let (mut desk, workers) = with_ready(WORKERS, CHUNKS);
    let submit = started.elapsed();
    let started = Instant::now();
    claim_all(&mut desk, &workers);
    let claim = started.elapsed() / WORKERS as u32;
    let rows = desk.rows.clone();
    let started = Instant::now();
    Core::rebuild(Settings::default(), rows, Epoch(9), desk.now).unwrap();
    let restart = started.elapsed();
    println!("100,000 tasks: until ready {submit:?}, claim {claim:?} each, restart {restart:?}");
    // Ten times what they take, so that a busy machine does not fail: what they guard against is a factor of thousands.
    assert!(submit < Duration::from_secs(20), "{submit:?}");
    assert!(claim < Duration::from_millis(5), "{claim:?}");
    assert!(restart < Duration::from_secs(20), "{restart:?}");
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

#[test]
fn monitoring_reads_the_numbers_of_100_000_attempts_in_a_moment() {
    let (mut desk, workers) = with_ready(1, CHUNKS);
    desk.work_off(&workers[0], "all");
    let reads = [(); 5].map(|()| {
        let begun = Instant::now();
        let census = desk.core.census(desk.now);
        assert!(census.ended.outcomes["accepted"] > u64::from(RUNS) * CHUNKS);
        begun.elapsed()
    });
    // Whoever waits for a commit waits for it, too.
    assert!(
        reads.into_iter().min() < Some(Duration::from_millis(250)),
        "{reads:?}"
    );
}

/// Whoever follows a job looks at it up to five times a second, and the loop decides nothing meanwhile.
#[test]
fn a_look_at_a_job_takes_no_longer_for_its_hundred_thousand_tasks() {
    let look = |chunks: u64| {
        let (mut desk, workers) = with_ready(20, chunks);
        for assignment in claim_all(&mut desk, &workers).iter().zip(&workers).take(10) {
            desk.complete(assignment.1, assignment.0);
        }
        let id: JobId = "job0".parse().unwrap();
        let mut looks = [(); 20].map(|()| {
            let begun = Instant::now();
            let pace = desk.core.pace(&id, desk.now).unwrap();
            assert!(pace.done > 0 && pace.total > Some(pace.done));
            begun.elapsed()
        });
        looks.sort();
        looks[10]
    };
    let (small, large) = (look(50), look(CHUNKS));
    println!("how far a job is: {small:?} of 100 tasks, {large:?} of 100,000");
    // A walk over all tasks takes a thousand times as long.
    assert!(
        large < 50 * small.max(Duration::from_micros(1)),
        "{small:?} {large:?}"
    );
}

//! When a job that has ended is forgotten: not before its time, never while something of it is to come, and then wholly.

use coordinator_core::*;
use types::*;

use crate::desk::{Desk, job};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

fn desk() -> Desk {
    Desk::with(Settings {
        keep_jobs_ms: 30 * DAY_MS,
        retention_ms: DAY_MS,
        ..Settings::default()
    })
}

fn knows(desk: &Desk) -> bool {
    let known = desk.core.job_view(&"job0".parse().unwrap()).is_some();
    assert_eq!(known, !desk.rows.jobs.is_empty());
    assert_eq!(desk.core.rows(), desk.rows);
    known
}

/// A job that has succeeded.
fn done(desk: &mut Desk) -> Sender {
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", Some("night"), 2));
    desk.work_off(&a, "c");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    a
}

#[test]
fn a_job_is_forgotten_wholly_when_it_has_been_over_for_long() {
    let mut desk = desk();
    done(&mut desk);
    let ended = desk.core.census(desk.now).ended;
    assert_eq!(ended.outcomes["accepted"], 6);
    desk.pass(30 * DAY_MS - 1);
    assert!(knows(&desk));
    desk.pass(1);
    assert!(!knows(&desk));
    let left = Rows {
        workers: desk.rows.workers.clone(),
        counters: desk.rows.counters,
        ..Rows::default()
    };
    assert_eq!(desk.rows, left);
    // What monitoring counts only grows.
    assert_eq!(desk.core.census(desk.now).ended, ended);
    desk.restart();
    // Its key and its requests mean nothing any more; numbers go on.
    let reply = desk.submit(job("job1", "s", Some("night"), 2));
    let Reply::Submitted { job, outcome, .. } = reply else {
        panic!("{reply:?}");
    };
    assert_eq!((job.as_str(), outcome), ("job1", SubmitOutcome::Created));
    let b = desk.register("b", 1);
    let last = LeaseNumber(left.counters.lease);
    assert!(desk.granted(&b, "c-0").lease > last);
}

#[test]
fn whoever_asks_for_a_forgotten_job_hears_that_it_is_not_known() {
    let mut desk = desk();
    let a = done(&mut desk);
    let lease = *desk.rows.attempts.keys().next().unwrap();
    desk.pass(30 * DAY_MS);
    let unknown = |reply| matches!(reply, Reply::Refused(Refusal::UnknownJob(_)));
    assert!(unknown(desk.retry("job0", "r")));
    assert!(unknown(desk.cancel("job0", "r")));
    let a = desk.register(a.worker.as_str(), 2);
    assert_eq!(desk.beat(&a, &[lease]).cancel, [lease]);
}

#[test]
fn time_goes_on_over_a_restart_and_nothing_goes_soon_after_one() {
    let mut desk = desk();
    done(&mut desk);
    desk.pass(29 * DAY_MS);
    desk.restart();
    desk.pass(DAY_MS - 1);
    assert!(knows(&desk));
    desk.pass(1);
    assert!(!knows(&desk));

    // A clock that is a year ahead when the machine starts, and right soon after.
    let mut desk = self::desk();
    done(&mut desk);
    desk.now.wall_ms += 365 * DAY_MS as i64;
    desk.restart();
    desk.pass(HOUR_MS - 1);
    assert!(knows(&desk));
    desk.now.wall_ms -= 365 * DAY_MS as i64;
    desk.pass(1);
    assert!(knows(&desk));
    desk.pass(30 * DAY_MS);
    assert!(!knows(&desk));
}

#[test]
fn an_open_job_is_kept_and_a_retried_one_gets_its_time_anew() {
    let mut desk = desk();
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", None, 1));
    desk.pass(100 * DAY_MS);
    assert!(knows(&desk));
    let a = desk.register(a.worker.as_str(), 2);
    desk.cancel("job0", "stop");
    desk.work_off(&a, "c");
    assert_eq!(desk.state("job0"), JobState::Cancelled);
    desk.pass(29 * DAY_MS);
    desk.retry("job0", "again");
    desk.pass(10 * DAY_MS);
    assert!(knows(&desk));
    let a = desk.register(a.worker.as_str(), 3);
    desk.work_off(&a, "d");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    desk.pass(29 * DAY_MS);
    assert!(knows(&desk));
    desk.pass(DAY_MS);
    assert!(!knows(&desk));
}

#[test]
fn it_is_kept_until_what_its_attempts_left_is_swept_for_good() {
    let mut desk = desk();
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", None, 1));
    let list = desk.granted(&a, "first");
    desk.beat(&a, &[list.lease]);
    desk.fail(&a, list.lease, FailureClass::Crashed);
    desk.wait(2_000);
    desk.work_off(&a, "c");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    desk.pass(40 * DAY_MS);
    assert_eq!(desk.swept, std::slice::from_ref(&list.prefix));
    for found in [3, 1, 0] {
        assert!(knows(&desk));
        let lease = list.lease;
        desk.apply(|_| Event::PrefixSwept {
            lease,
            objects: found,
        });
        desk.pass(DAY_MS);
    }
    assert!(!knows(&desk));
    let ended = desk.core.census(desk.now).ended;
    assert_eq!((ended.swept, ended.swept_objects), (1, 4));
}

#[test]
fn it_is_kept_until_the_store_has_all_of_it() {
    let mut desk = desk();
    desk.submit(job("job0", "s", None, 1));
    // Nothing of it was begun: it ends although nobody could publish its spec.
    desk.cancel("job0", "stop");
    assert_eq!(desk.state("job0"), JobState::Cancelled);
    desk.pass(40 * DAY_MS);
    assert!(knows(&desk));
    for id in desk.core.outbox().map(|row| row.id).collect::<Vec<_>>() {
        desk.apply(|_| Event::OutboxDelivered { id, version: None });
    }
    desk.pass(HOUR_MS);
    assert!(!knows(&desk));
}

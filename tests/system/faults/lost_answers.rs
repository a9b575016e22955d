//! Calls and their answers that get lost or double, between worker and coordinator.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::cuts::Cuts;
use crate::faults::calls::{Fate, Step};
use crate::faults::{Site, rounds, with_seeds};
use crate::queues::{Queue, on_both_queues};
use crate::quiet::Work;

on_both_queues!(
    a_claim_whose_answer_is_lost_gets_the_same_task_again,
    a_completion_whose_answer_is_lost_counts_once,
    a_completion_that_arrives_twice_counts_once,
    calls_cut_at_every_step_lose_and_double_nothing,
);

/// A job in which each task's lease meets its fate once. That costs nothing but a repetition.
fn run_with(queue: Queue, mut fate: impl FnMut(&Step) -> Option<(u64, Fate)> + Send + 'static) {
    let site = Site::new(Work::ThreeRuns, queue, &[]);
    let worker = site.worker("box", &[]);
    let struck = Arc::new(Mutex::new(BTreeSet::new()));
    let of_rule = Arc::clone(&struck);
    site.calls.set(move |step| match fate(step) {
        Some((lease, fate)) if of_rule.lock().unwrap().insert(lease) => fate,
        _ => Fate::Pass,
    });
    site.submit();
    site.expect_the_quiet_results();
    site.expect_one_attempt_each();
    assert_eq!(struck.lock().unwrap().len(), Work::TASKS);
    // Not each of them: that a lease is over may be heard by a heartbeat first.
    assert!(site.calls.repeated() > 0);
    site.end([worker]);
}

fn a_claim_whose_answer_is_lost_gets_the_same_task_again(queue: Queue) {
    run_with(queue, |step| match step {
        Step::Granted(_, reply) => {
            let assignment: serde_json::Value =
                serde_json::from_str(&reply.assignment_json).unwrap();
            Some((assignment["lease"].as_u64().unwrap(), Fate::Lose))
        }
        _ => None,
    });
}

fn a_completion_whose_answer_is_lost_counts_once(queue: Queue) {
    run_with(queue, |step| match step {
        Step::Completed(request, _) => Some((request.lease, Fate::Lose)),
        _ => None,
    });
}

fn a_completion_that_arrives_twice_counts_once(queue: Queue) {
    run_with(queue, |step| match step {
        Step::Completing(request) => Some((request.lease, Fate::Double)),
        _ => None,
    });
}

fn calls_cut_at_every_step_lose_and_double_nothing(queue: Queue) {
    with_seeds(|_, chance| {
        let site = Site::new(Work::ThreeRuns, queue, &[]);
        let worker = site.worker("box", &[]);
        // An assignment takes some thousand bytes, a completion and its answer less.
        let mut cuts = Cuts {
            bytes: chance.below(100) as u64,
            below: 9_973,
            made: 0,
        };
        let rounds = rounds(2, 10);
        site.submit_among(&mut cuts, &site.calls.connections, rounds);
        let made = cuts.made;
        assert!(made >= rounds, "{made} cuts in {rounds} jobs");
        site.end([worker]);
    });
}

//! Jobs that stop because too much of them failed: their reduce still tells what became of each run.

use ::job::resolved::JobKind;
use coordinator_core::*;
use plan::TaskSpec;
use sim::workload;
use types::*;

use crate::desk::Desk;

/// A train job of one run with three chunks.
pub fn train() -> Submit {
    workload::submit("job0", "s", None, JobKind::Train, 1, 3, 0)
}

fn generation(desk: &Desk) -> u64 {
    let id = "job0".parse().unwrap();
    desk.core.job_view(&id).unwrap().results_generation
}

/// With list and fit accepted and one of the three score tasks failed for good, the others as `running` says.
fn failed(running: bool) -> (Desk, Sender, Option<plan::Assignment>) {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(train());
    for claim in ["list", "fit"] {
        let done = desk.granted(&a, claim);
        assert_eq!(desk.complete(&a, &done), Verdict::Accepted);
    }
    let bad = desk.granted(&a, "bad");
    let other = running.then(|| desk.granted(&a, "other"));
    desk.fail(&a, bad.lease, FailureClass::InvalidInput);
    (desk, a, other)
}

#[test]
fn only_the_reduce_is_done_and_sees_what_was_accepted_of_the_failed_run() {
    let (mut desk, a, _) = failed(false);
    desk.restart();
    let reduce = desk.granted(&a, "reduce");
    assert_eq!(reduce.spec, TaskSpec::Reduce);
    let outcome =
        |input: &plan::Input| matches!(input.outcome, plan::InputOutcome::Accepted { .. });
    let seen: Vec<(TaskKind, bool)> = reduce
        .inputs
        .iter()
        .map(|input| (input.spec.kind(), outcome(input)))
        .collect();
    assert_eq!(
        seen,
        [
            (TaskKind::List, true),
            (TaskKind::Fit, true),
            (TaskKind::Evaluate, false)
        ]
    );
    assert_eq!(desk.claim(&a, "more"), ClaimAnswer::Nothing);
    assert_eq!(desk.complete(&a, &reduce), Verdict::Accepted);
    desk.work_off(&a, "rest");
    assert_eq!(desk.state("job0"), JobState::Failed);
    assert_eq!(generation(&desk), 1);
    desk.restart();
    assert_eq!(desk.state("job0"), JobState::Failed);
}

#[test]
fn the_reduce_does_not_wait_for_what_winds_down_but_the_job_does() {
    let (mut desk, a, other) = failed(true);
    let other = other.unwrap();
    desk.work_off(&a, "reduce");
    assert_eq!(generation(&desk), 1);
    assert_eq!(desk.state("job0"), JobState::Running);
    assert_eq!(desk.beat(&a, &[other.lease]).cancel, [other.lease]);
    assert_eq!(desk.complete(&a, &other), Verdict::Cancelled);
    desk.restart();
    assert_eq!(desk.state("job0"), JobState::Failed);
}

#[test]
fn a_reduce_that_fails_is_tried_again_as_always() {
    let (mut desk, a, _) = failed(false);
    let reduce = desk.granted(&a, "reduce");
    desk.fail(&a, reduce.lease, FailureClass::Crashed);
    assert_eq!(
        desk.outcome(reduce.lease),
        Outcome::Failed(FailureClass::Crashed)
    );
    desk.wait(2_000);
    desk.work_off(&a, "again");
    assert_eq!(desk.state("job0"), JobState::Failed);
    assert_eq!(generation(&desk), 1);
}

#[test]
fn a_user_may_cancel_or_retry_while_the_reduce_is_open() {
    for granted in [false, true] {
        for cancel in [false, true] {
            let (mut desk, a, _) = failed(false);
            let reduce = granted.then(|| desk.granted(&a, "reduce"));
            if cancel {
                desk.cancel("job0", "x");
                assert_eq!(desk.claim(&a, "more"), ClaimAnswer::Nothing);
            } else {
                let reply = desk.retry("job0", "r");
                assert!(
                    matches!(reply, Reply::Retried { tasks: 5 }),
                    "three scores, evaluate, reduce: {reply:?}"
                );
            }
            desk.restart();
            if let Some(reduce) = &reduce {
                assert_eq!(desk.complete(&a, reduce), Verdict::Cancelled);
            }
            desk.work_off(&a, "rest");
            let wanted = if cancel {
                JobState::Cancelled
            } else {
                JobState::Succeeded
            };
            assert_eq!(desk.state("job0"), wanted);
            assert_eq!(generation(&desk), u64::from(!cancel));
            desk.restart();
        }
    }
}

#[test]
fn what_failed_for_good_is_listed_until_it_is_retried() {
    let (mut desk, a, _) = failed(false);
    let listed = |desk: &Desk| -> Vec<_> {
        let dead = desk.core.dead(None);
        dead.map(|t| {
            (
                t.id.to_string(),
                t.failure.class,
                t.attempts,
                t.worker.cloned(),
            )
        })
        .collect()
    };
    let bad = [(
        "job0-0004".to_owned(),
        FailureClass::InvalidInput,
        1,
        Some(a.worker.clone()),
    )];
    assert_eq!(listed(&desk), bad);
    desk.restart();
    assert_eq!(listed(&desk), bad);
    // Another job's list is another.
    let mut other = workload::submit("job1", "s1", None, JobKind::Train, 1, 3, 0);
    other.resolved.name = "other".to_owned();
    desk.submit(other);
    let (job0, job1) = ("job0".parse().unwrap(), "job1".parse().unwrap());
    assert_eq!(desk.core.dead(Some(&job0)).count(), 1);
    assert_eq!(desk.core.dead(Some(&job1)).count(), 0);
    desk.work_off(&a, "reduce");
    desk.retry("job0", "again");
    assert_eq!(listed(&desk), []);
}

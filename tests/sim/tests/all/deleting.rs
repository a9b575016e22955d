//! Jobs that their users delete: hidden at once, removed but for what models are made of, then forgotten.

use coordinator_core::*;
use plan::TaskSpec;
use types::*;

use crate::desk::{Desk, job};

const DAY_MS: u64 = 86_400_000;

fn desk() -> Desk {
    Desk::with(Settings {
        retention_ms: DAY_MS,
        ..Settings::default()
    })
}

fn job0() -> JobId {
    "job0".parse().unwrap()
}

fn removed(desk: &mut Desk, again: bool) {
    desk.apply(|_| Event::JobRemoved { job: job0(), again });
}

fn is_unknown(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused(Refusal::UnknownJob(_)))
}

#[test]
fn what_a_deleted_job_left_goes_twice_and_then_its_rows() {
    let mut desk = desk();
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", Some("night"), 2));
    desk.work_off(&a, "c");
    desk.deliver_all();
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    let expected: Vec<String> = desk
        .core
        .task_views(&job0(), desk.now)
        .unwrap()
        .iter()
        .filter(|task| matches!(task.spec, TaskSpec::Fit { .. } | TaskSpec::Evaluate { .. }))
        .map(|task| task.attempts[0].prefix.clone())
        .collect();

    assert_eq!(desk.delete("job0", "d"), Reply::Deleted { removed: false });
    // The same request gets the same answer; everybody else does not know it.
    assert_eq!(desk.delete("job0", "d"), Reply::Deleted { removed: false });
    assert!(is_unknown(&desk.delete("job0", "e")));
    assert!(is_unknown(&desk.retry("job0", "r")));
    assert!(is_unknown(&desk.cancel("job0", "x")));
    assert!(desk.core.find_job("job0").is_err() && desk.core.find_job("last").is_err());
    assert!(desk.core.job_view(&job0()).is_none() && desk.core.job_views().next().is_none());
    // Its key is free.
    let reply = desk.submit(job("job1", "t", Some("night"), 1));
    assert!(
        matches!(
            reply,
            Reply::Submitted {
                outcome: SubmitOutcome::Created,
                ..
            }
        ),
        "{reply:?}"
    );

    desk.pass(1_000);
    let order = |again| Removal {
        job: job0(),
        store: desk_store(),
        keep: expected.clone(),
        again,
    };
    assert_eq!(desk.removals, [order(false)]);
    // Lost orders come again after a restart.
    desk.restart();
    desk.pass(1_000);
    assert_eq!(desk.removals, [order(false), order(false)]);
    removed(&mut desk, false);
    removed(&mut desk, false);
    assert_eq!(desk.delete("job0", "d"), Reply::Deleted { removed: true });
    desk.pass(DAY_MS);
    // Time goes on over a restart.
    desk.restart();
    desk.pass(DAY_MS - 1);
    assert_eq!(desk.removals.len(), 2);
    desk.pass(1);
    assert_eq!(desk.removals[2..], [order(true)]);
    assert!(desk.rows.jobs.contains_key(&job0()));
    removed(&mut desk, true);
    desk.pass(1_000);
    assert!(!desk.rows.jobs.contains_key(&job0()));
    desk.restart();
    let reply = desk.submit(job("job1", "u", Some("night"), 1));
    assert!(
        matches!(
            reply,
            Reply::Submitted {
                outcome: SubmitOutcome::Attached,
                ..
            }
        ),
        "{reply:?}"
    );
}

fn desk_store() -> String {
    job("job0", "s", None, 1).resolved.output
}

#[test]
fn only_what_has_ended_is_deleted() {
    let mut desk = desk();
    desk.register("a", 1);
    desk.submit(job("job0", "s", None, 1));
    let reply = desk.delete("job0", "d");
    assert!(
        matches!(reply, Reply::Refused(Refusal::NotOver { .. })),
        "{reply:?}"
    );
    desk.cancel("job0", "stop");
    assert_eq!(desk.delete("job0", "d"), Reply::Deleted { removed: false });
    // Its spec is on the way to the store: it would be there after everything had been removed.
    desk.pass(1_000);
    assert!(desk.removals.is_empty());
    desk.deliver_all();
    desk.pass(60_000);
    assert_eq!(desk.removals.len(), 1);
    assert!(desk.removals[0].keep.is_empty());
}

#[test]
fn of_a_search_only_what_was_fitted_once_more_stays() {
    let mut desk = desk();
    let a = desk.register("a", 1);
    let kind = ::job::resolved::JobKind::Hpo;
    desk.submit(sim::workload::submit("job0", "s", None, kind, 5, 1, 0));
    desk.work_off(&a, "c");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    desk.delete("job0", "d");
    desk.pass(1_000);
    assert_eq!(desk.removals[0].keep.len(), 2);
}

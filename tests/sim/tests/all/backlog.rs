//! What pools are scaled by: how much a pool has to do, and for how long the oldest of it has waited.

use coordinator_core::*;
use types::*;

use crate::desk::{Desk, job};

fn backlog(desk: &Desk) -> Backlog {
    let pools = desk.core.census(desk.now).pools;
    pools.values().next().unwrap().backlog
}

#[test]
fn a_pool_has_to_do_what_runs_and_what_may_run() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", None, 2));
    // Nothing is known of any task yet: a minute for the list, and nothing for what waits for it.
    assert_eq!(
        backlog(&desk),
        Backlog {
            work_ms: 60_000,
            oldest_ms: 0
        }
    );
    desk.wait(5_000);
    assert_eq!(backlog(&desk).oldest_ms, 5_000);

    let list = desk.granted(&a, "list");
    assert_eq!(
        backlog(&desk),
        Backlog {
            work_ms: 60_000,
            oldest_ms: 0
        }
    );
    desk.beat(&a, &[list.lease]);
    desk.wait(20_000);
    assert_eq!(backlog(&desk).work_ms, 40_000);
    // It takes longer than was expected, and its slot is in use all the same.
    for _ in 0..5 {
        desk.beat(&a, &[list.lease]);
        desk.wait(10_000);
    }
    assert_eq!(backlog(&desk).work_ms, 1_000);
    desk.complete(&a, &list);

    desk.work_off(&a, "rest");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    assert_eq!(backlog(&desk), Backlog::default());
    // The next one's list is expected to last as long as the first one's did.
    desk.submit(job("job1", "t", None, 2));
    assert_eq!(backlog(&desk).work_ms, 70_000);
}

#[test]
fn a_task_waits_since_what_it_waited_for_was_accepted() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", None, 2));
    desk.wait(30_000);
    desk.beat(&a, &[]);
    let list = desk.granted(&a, "list");
    desk.wait(10_000);
    desk.complete(&a, &list);
    assert_eq!(backlog(&desk).oldest_ms, 0);
    desk.wait(7_000);
    assert_eq!(backlog(&desk).oldest_ms, 7_000);
    // What was tried and failed waits since then, and not while it has to.
    let fit = desk.granted(&a, "fit");
    desk.fail(&a, fit.lease, FailureClass::Crashed);
    assert_eq!(backlog(&desk).oldest_ms, 0);
}

#[test]
fn images_are_counted_when_their_scores_are_accepted() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", None, 2));
    assert_eq!(desk.core.census(desk.now).ended.images, 0);
    desk.work_off(&a, "c");
    let scored: u64 = desk
        .rows
        .attempts
        .values()
        .filter_map(|attempt| {
            let result = attempt.result_json.as_deref()?;
            let result: plan::TaskResult = serde_json::from_str(result).unwrap();
            match result.detail {
                plan::ResultDetail::Score { rows, .. } => Some(rows),
                _ => None,
            }
        })
        .sum();
    assert!(scored > 0);
    assert_eq!(desk.core.census(desk.now).ended.images, scored);
    desk.restart();
    assert_eq!(desk.core.census(desk.now).ended.images, scored);
}

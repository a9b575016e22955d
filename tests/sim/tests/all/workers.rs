//! Workers that come, fall silent, are remembered and leave.

use coordinator_core::*;
use types::*;

use crate::desk::{Desk, job};

#[test]
fn who_leaves_is_gone_at_once_and_what_it_held_is_free_and_uncounted() {
    for restart in [false, true] {
        let mut desk = Desk::new();
        let a = desk.register("a", 1);
        let b = desk.register("b", 1);
        desk.submit(job("job0", "s", None, 1));
        let list = desk.granted(&a, "c1");
        desk.beat(&a, &[list.lease]);
        desk.leave(&a);
        assert_eq!(desk.worker_state("a"), Some(WorkerState::Gone));
        let attempt = &desk.rows.attempts[&list.lease];
        let released = Outcome::Failed(FailureClass::Released);
        assert_eq!((attempt.outcome, attempt.counted), (released, false));
        if restart {
            desk.restart();
            assert_eq!(desk.worker_state("a"), Some(WorkerState::Gone));
        }
        // Whatever comes late from it changes nothing.
        desk.leave(&a);
        assert_eq!(desk.claim(&a, "c2"), ClaimAnswer::Unregistered);
        assert!(desk.beat(&a, &[list.lease]).register);
        let (_, reply) = desk.register_as("a", 1, false);
        assert!(matches!(
            reply,
            Reply::Refused(Refusal::StaleIncarnation { .. })
        ));
        assert_eq!(desk.worker_state("a"), Some(WorkerState::Gone));
        assert_eq!(desk.granted(&b, "d1").task, list.task);
        // Its next start is another matter.
        let again = desk.register("a", 2);
        desk.leave(&a);
        assert_eq!(desk.worker_state("a"), Some(WorkerState::Live));
        desk.work_off(&again, "e");
    }
}

#[test]
fn a_leave_that_overtakes_its_start_holds() {
    let mut desk = Desk::new();
    let mut late = desk.register("a", 1);
    late.worker = "late".parse().unwrap();
    desk.leave(&late);
    let (_, reply) = desk.register_as("late", 1, false);
    assert!(matches!(
        reply,
        Reply::Refused(Refusal::StaleIncarnation { .. })
    ));
    assert_eq!(desk.worker_state("late"), None);
    // Its next start is another matter.
    desk.register("late", 2);
    assert_eq!(desk.worker_state("late"), Some(WorkerState::Live));
}

#[test]
fn a_temporary_worker_is_not_shown_after_its_leave_and_forgotten_when_it_is_gone() {
    let mut desk = Desk::new();
    let (left, _) = desk.register_as("left", 1, true);
    let (killed, _) = desk.register_as("killed", 1, true);
    desk.submit(job("job0", "s", None, 1));
    let list = desk.granted(&killed, "c1");
    desk.beat(&killed, &[list.lease]);
    desk.leave(&left);
    assert_eq!(desk.worker_state("left"), None);
    assert_eq!(desk.worker_state("killed"), Some(WorkerState::Live));
    desk.restart();
    assert_eq!(desk.worker_state("left"), None);
    assert_eq!(desk.worker_state("killed"), Some(WorkerState::Unheard));
    desk.wait(62_000);
    assert!(desk.rows.workers.is_empty(), "{:?}", desk.rows.workers);
    let lost = Outcome::Failed(FailureClass::Lost);
    assert_eq!(desk.outcome(list.lease), lost);
    desk.restart();
}

#[test]
fn a_worker_that_is_silent_for_a_day_is_forgotten_and_may_come_again() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.wait(23 * 3_600_000);
    assert_eq!(desk.worker_state("a"), Some(WorkerState::Gone));
    desk.wait(3_700_000);
    assert_eq!(desk.worker_state("a"), None);
    assert!(desk.rows.workers.is_empty(), "{:?}", desk.rows.workers);
    assert!(desk.beat(&a, &[]).register);
    desk.register("a", 1);
    assert_eq!(desk.worker_state("a"), Some(WorkerState::Live));
}

#[test]
fn a_worker_is_not_live_after_a_restart_until_it_speaks() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.register("b", 1);
    assert_eq!(desk.worker_seen("a"), Some(desk.now.wall_ms));
    desk.restart();
    assert_eq!(desk.worker_state("a"), Some(WorkerState::Unheard));
    assert_eq!(desk.worker_seen("a"), None);
    let reply = desk.submit(job("job0", "s", None, 1));
    let Reply::Submitted { warnings, .. } = reply else {
        panic!("{reply:?}")
    };
    assert!(warnings[0].contains("no live worker"), "{warnings:?}");
    desk.beat(&a, &[]);
    assert_eq!(desk.worker_state("a"), Some(WorkerState::Live));
    assert_eq!(desk.worker_seen("a"), Some(desk.now.wall_ms));
    assert_eq!(desk.worker_state("b"), Some(WorkerState::Unheard));
    desk.wait(61_000);
    assert_eq!(desk.worker_state("b"), Some(WorkerState::Gone));
    // It may have been gone for days: the restart is no sign of it.
    assert_eq!(desk.worker_seen("b"), None);
}

#[test]
fn what_avoids_a_worker_waits_a_ttl_for_another_that_is_remembered() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    let b = desk.register("b", 1);
    desk.submit(job("job0", "s", None, 1));
    let list = desk.granted(&a, "c1");
    desk.fail(&a, list.lease, FailureClass::Crashed);
    desk.restart();
    desk.wait(2_000);
    assert_eq!(desk.claim(&a, "c2"), ClaimAnswer::Nothing);
    assert_eq!(desk.granted(&b, "d1").task, list.task);
}

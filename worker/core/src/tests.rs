//! The agent's guarantees, one test each.

use std::{sync::Arc, time::Duration};

use types::{Epoch, Failure, FailureClass, LeaseNumber, Progress, TaskId};

use crate::*;

const EPOCH: Epoch = Epoch(3);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn grant(lease: u64) -> Grant {
    let task: TaskId = "abcd-0001".parse().unwrap();
    Grant { lease: LeaseNumber(lease), task, timeout: None, memory_bytes: Some(1 << 30), assignment: Arc::from("{}") }
}

fn registered(settings: Settings) -> (Agent, u64) {
    let (mut agent, first) = Agent::new(settings);
    assert_eq!(first, [AgentEffect::Register]);
    let effects = agent.apply(AgentEvent::Registered { epoch: EPOCH, heartbeat_every: at(10) }, at(0));
    let claim = effects.iter().find_map(|effect| match effect {
        AgentEffect::Claim { claim, .. } => Some(*claim),
        _ => None,
    });
    (agent, claim.unwrap())
}

/// An agent that works on lease 7 in slot 0.
fn busy(settings: Settings) -> Agent {
    let (mut agent, claim) = registered(settings);
    let answer = ClaimAnswer::Granted(grant(7));
    let effects = agent.apply(AgentEvent::Claimed { claim, epoch: EPOCH, answer }, at(1));
    assert!(effects.contains(&AgentEffect::StartExecutor { slot: 0 }));
    let effects = agent.apply(AgentEvent::ExecutorReady { slot: 0 }, at(2));
    assert_eq!(effects[0], AgentEffect::RunTask { slot: 0, grant: grant(7) });
    agent
}

fn failure_reported(effects: &[AgentEffect]) -> Option<Failure> {
    effects.iter().find_map(|effect| match effect {
        AgentEffect::Report { report: Report::Fail(failure), .. } => Some(failure.clone()),
        _ => None,
    })
}

fn exit_by(signal: i32) -> AgentEvent {
    AgentEvent::ExecutorExited {
        slot: 0,
        exit: ExecutorExit { code: None, signal: Some(signal), last_words: "free(): invalid pointer".into() },
    }
}

fn released(effects: &[AgentEffect], lease: u64) -> bool {
    effects.contains(&AgentEffect::Report { lease: LeaseNumber(lease), report: Report::Release })
}

#[test]
fn an_unanswered_claim_is_asked_again_under_the_same_number() {
    let (mut agent, claim) = registered(Settings::default());
    assert!(agent.apply(AgentEvent::CallFailed(Call::Claim { claim }), at(1)).is_empty());
    let effects = agent.apply(AgentEvent::Ticked, at(3));
    assert!(effects.contains(&AgentEffect::Claim { claim, free_slots: 1 }), "{effects:?}");
}

#[test]
fn an_empty_answer_leads_to_a_new_number() {
    let (mut agent, claim) = registered(Settings::default());
    let answered = AgentEvent::Claimed { claim, epoch: EPOCH, answer: ClaimAnswer::Nothing };
    assert_eq!(agent.apply(answered, at(1)), [AgentEffect::Claim { claim: claim + 1, free_slots: 1 }]);
}

#[test]
fn a_completion_is_repeated_until_answered_and_then_forgotten() {
    let mut agent = busy(Settings::default());
    let done = AgentEvent::ExecutorDone { slot: 0, lease: LeaseNumber(7), result: "r".into(), outputs: "o".into() };
    let report = AgentEffect::Report {
        lease: LeaseNumber(7),
        report: Report::Complete { result: "r".into(), outputs: "o".into() },
    };
    assert_eq!(agent.apply(done.clone(), at(3))[0], report);
    assert!(!agent.apply(done, at(3)).contains(&report), "said twice by the executor, reported once");
    let _ = agent.apply(AgentEvent::CallFailed(Call::Report { lease: LeaseNumber(7) }), at(4));
    assert!(agent.apply(AgentEvent::Ticked, at(6)).contains(&report));
    assert_eq!(agent.leases(), [LeaseNumber(7)], "renewed while the report is under way");
    let verdict = Some(Verdict::Superseded);
    let effects = agent.apply(AgentEvent::Reported { lease: LeaseNumber(7), epoch: EPOCH, verdict }, at(7));
    assert!(effects.contains(&AgentEffect::Forget { lease: LeaseNumber(7) }));
    assert!(agent.leases().is_empty());
}

#[test]
fn a_cut_off_agent_gives_up_after_half_an_hour() {
    let mut agent = busy(Settings::default());
    let done = AgentEvent::ExecutorDone { slot: 0, lease: LeaseNumber(7), result: "r".into(), outputs: "o".into() };
    let _ = agent.apply(done, at(3));
    let mut forgotten_at = None;
    for second in 4..4000 {
        let effects = agent.apply(AgentEvent::Ticked, at(second));
        if effects.contains(&AgentEffect::Forget { lease: LeaseNumber(7) }) {
            forgotten_at = Some(second);
            break;
        }
        for effect in effects {
            if let AgentEffect::Report { lease, .. } = effect {
                let _ = agent.apply(AgentEvent::CallFailed(Call::Report { lease }), at(second));
            }
        }
    }
    assert_eq!(forgotten_at, Some(3 + 1801));
}

#[test]
fn a_death_by_signal_is_crashed_and_names_the_signal() {
    let mut agent = busy(Settings::default());
    let failure = failure_reported(&agent.apply(exit_by(11), at(3))).unwrap();
    assert_eq!(failure.class, FailureClass::Crashed);
    assert!(failure.message.contains("signal 11") && failure.message.contains("invalid pointer"), "{}", failure.message);
}

#[test]
fn a_kill_close_to_the_memory_limit_is_suspected_out_of_memory() {
    let mut agent = busy(Settings::default());
    let _ = agent.apply(AgentEvent::MemorySampled { slot: 0, resident_bytes: 1000 << 20 }, at(3));
    let failure = failure_reported(&agent.apply(exit_by(9), at(4))).unwrap();
    assert_eq!(failure.class, FailureClass::OutOfMemory);
    assert!(failure.message.starts_with("suspected"), "{}", failure.message);
}

#[test]
fn breaking_the_memory_limit_kills_and_reports_it() {
    let mut agent = busy(Settings::default());
    let effects = agent.apply(AgentEvent::MemorySampled { slot: 0, resident_bytes: 2 << 30 }, at(3));
    assert!(effects.contains(&AgentEffect::KillExecutor { slot: 0 }));
    let failure = failure_reported(&agent.apply(exit_by(9), at(4))).unwrap();
    assert_eq!(failure.class, FailureClass::OutOfMemory);
}

#[test]
fn a_still_pulse_is_stalled_and_a_moving_one_is_not() {
    let mut agent = busy(Settings::default());
    let moved = |pulse| AgentEvent::ExecutorProgressed {
        slot: 0,
        lease: LeaseNumber(7),
        progress: Progress { stage: "features".into(), ..Progress::default() },
        pulse,
        loading: false,
    };
    for second in 3..1000 {
        let effects = agent.apply(moved(second), at(second));
        assert!(!effects.contains(&AgentEffect::KillExecutor { slot: 0 }));
    }
    let _ = agent.apply(moved(999), at(1100));
    assert!(!agent.apply(AgentEvent::Ticked, at(1299)).contains(&AgentEffect::KillExecutor { slot: 0 }));
    assert!(agent.apply(AgentEvent::Ticked, at(1300)).contains(&AgentEffect::KillExecutor { slot: 0 }));
    let failure = failure_reported(&agent.apply(exit_by(9), at(1301))).unwrap();
    assert_eq!(failure.class, FailureClass::Stalled);
    assert!(failure.message.contains("features"), "{}", failure.message);
}

#[test]
fn a_task_over_its_time_is_timed_out() {
    let (mut agent, claim) = registered(Settings::default());
    let granted = Grant { timeout: Some(at(60)), ..grant(7) };
    let _ = agent.apply(AgentEvent::Claimed { claim, epoch: EPOCH, answer: ClaimAnswer::Granted(granted) }, at(1));
    let _ = agent.apply(AgentEvent::ExecutorReady { slot: 0 }, at(2));
    assert!(agent.apply(AgentEvent::Ticked, at(63)).contains(&AgentEffect::KillExecutor { slot: 0 }));
    assert_eq!(failure_reported(&agent.apply(exit_by(9), at(64))).unwrap().class, FailureClass::TimedOut);
}

#[test]
fn a_cancelled_lease_is_asked_to_stop_then_killed_then_handed_back() {
    let mut agent = busy(Settings::default());
    let cancel = AgentEvent::HeartbeatAnswered { epoch: EPOCH, cancel: vec![LeaseNumber(7)], drain: false, register: false };
    let effects = agent.apply(cancel.clone(), at(10));
    assert!(effects.contains(&AgentEffect::CancelTask { slot: 0, lease: LeaseNumber(7) }));
    assert!(!agent.apply(cancel, at(11)).contains(&AgentEffect::CancelTask { slot: 0, lease: LeaseNumber(7) }));
    assert!(agent.apply(AgentEvent::Ticked, at(15)).contains(&AgentEffect::KillExecutor { slot: 0 }));
    assert!(!agent.apply(AgentEvent::Ticked, at(16)).contains(&AgentEffect::KillExecutor { slot: 0 }));
    assert!(released(&agent.apply(exit_by(9), at(16)), 7));
}

#[test]
fn an_old_epoch_is_not_heard() {
    let mut agent = busy(Settings::default());
    let cancel = AgentEvent::HeartbeatAnswered { epoch: Epoch(2), cancel: vec![LeaseNumber(7)], drain: true, register: true };
    let effects = agent.apply(cancel, at(3));
    assert!(!effects.contains(&AgentEffect::CancelTask { slot: 0, lease: LeaseNumber(7) }));
    assert!(!agent.is_draining());
}

#[test]
fn draining_finishes_what_it_can_and_hands_back_the_rest() {
    let mut agent = busy(Settings::default());
    let effects = agent.apply(AgentEvent::DrainRequested, at(10));
    assert!(!effects.iter().any(|effect| matches!(effect, AgentEffect::Claim { .. })));
    assert!(!agent.apply(AgentEvent::Ticked, at(20)).contains(&AgentEffect::Exit));
    let effects = agent.apply(AgentEvent::Ticked, at(35));
    assert!(effects.contains(&AgentEffect::CancelTask { slot: 0, lease: LeaseNumber(7) }));
    assert!(released(&agent.apply(exit_by(9), at(36)), 7));
    let _ = agent.apply(AgentEvent::Reported { lease: LeaseNumber(7), epoch: EPOCH, verdict: None }, at(37));
    assert!(agent.apply(AgentEvent::Ticked, at(38)).contains(&AgentEffect::Exit));
    assert!(!agent.apply(AgentEvent::Ticked, at(39)).contains(&AgentEffect::Exit), "said once");
}

#[test]
fn a_draining_agent_ends_even_if_nobody_answers() {
    let mut agent = busy(Settings::default());
    let _ = agent.apply(AgentEvent::DrainRequested, at(10));
    let exit = (11..60).find(|second| agent.apply(AgentEvent::Ticked, at(*second)).contains(&AgentEffect::Exit));
    assert_eq!(exit, Some(45));
}

#[test]
fn an_executor_that_cannot_start_fails_the_task_with_the_reason() {
    let (mut agent, claim) = registered(Settings::default());
    let _ = agent.apply(AgentEvent::Claimed { claim, epoch: EPOCH, answer: ClaimAnswer::Granted(grant(7)) }, at(1));
    let effects = agent.apply(AgentEvent::ExecutorNotStarted { slot: 0, message: "no such file".into() }, at(2));
    assert_eq!(failure_reported(&effects).unwrap().message, "no such file");
}

#[test]
fn a_worker_that_is_not_known_registers_again_and_keeps_its_work() {
    let mut agent = busy(Settings::default());
    let unknown = AgentEvent::HeartbeatAnswered { epoch: Epoch(4), cancel: vec![], drain: false, register: true };
    assert!(agent.apply(unknown, at(11)).contains(&AgentEffect::Register));
    assert_eq!(agent.leases(), [LeaseNumber(7)]);
}

//! The agent event by event: claims, leases, limits, cancelling, ending.

use types::{Epoch, Failure, FailureClass, Incarnation, LeaseNumber, Progress};

use super::*;

/// An agent that is told things and remembers what it ordered last.
struct Bench {
    agent: Agent,
    now_ms: u64,
}

impl Bench {
    /// Registered, with its first claim on the way.
    fn registered(slots: u32) -> (Self, Call) {
        Self::with(AgentSettings::new(
            "w".parse().unwrap(),
            Incarnation(1),
            slots,
        ))
    }

    /// The same with wake-ups over a broker: it consumes, and its first claim has got nothing.
    fn idle(slots: u32) -> Self {
        let settings = AgentSettings::new("w".parse().unwrap(), Incarnation(1), slots);
        let (mut bench, claim) = Self::with(AgentSettings {
            poll_ms: Some(20_000),
            ..settings
        });
        let effects = bench.answer(claim, Answer::Nothing);
        assert_eq!(effects, [AgentEffect::ConsumeWakeUps]);
        bench
    }

    fn with(settings: AgentSettings) -> (Self, Call) {
        let mut bench = Self {
            agent: Agent::new(settings, 0),
            now_ms: 0,
        };
        assert!(sent(&bench.tell(AgentEvent::Ticked)).contains(&Call::Register));
        let effects = bench.answer(
            Call::Register,
            Answer::Registered {
                heartbeat_ms: 10_000,
            },
        );
        let claim = claim_of(&effects).expect("a free slot is claimed for");
        (bench, claim)
    }

    /// With the task of lease `lease` running in slot 0.
    fn running(lease: u64) -> Self {
        let (mut bench, claim) = Self::registered(1);
        let effects = bench.answer(claim, Answer::Granted(Box::new(grant(lease))));
        assert!(effects.contains(&AgentEffect::StartExecutor { slot: 0 }));
        let effects = bench.tell(AgentEvent::ExecutorReady { slot: 0 });
        assert!(
            effects
                .iter()
                .any(|e| matches!(e, AgentEffect::RunTask { slot: 0, .. }))
        );
        bench
    }

    fn tell(&mut self, event: AgentEvent) -> Vec<AgentEffect> {
        self.agent.apply(event, self.now_ms)
    }

    fn answer(&mut self, call: Call, answer: Answer) -> Vec<AgentEffect> {
        self.tell(AgentEvent::Answered {
            call,
            epoch: Epoch(5),
            answer,
        })
    }

    /// Ticks once a second; everything ordered meanwhile.
    fn wait(&mut self, ms: u64) -> Vec<AgentEffect> {
        let mut effects = Vec::new();
        for _ in 0..ms / 1_000 {
            self.now_ms += 1_000;
            effects.extend(self.tell(AgentEvent::Ticked));
        }
        effects
    }
}

fn grant(lease: u64) -> Grant {
    Grant {
        lease: LeaseNumber(lease),
        task: "abcd-0001".parse().unwrap(),
        assignment_json: "{}".to_owned(),
        timeout_ms: Some(3_600_000),
        memory_bytes: Some(1_000),
    }
}

fn sent(effects: &[AgentEffect]) -> Vec<Call> {
    effects
        .iter()
        .filter_map(|e| {
            if let AgentEffect::Send(call) = e {
                Some(call.clone())
            } else {
                None
            }
        })
        .collect()
}

fn claim_of(effects: &[AgentEffect]) -> Option<Call> {
    sent(effects)
        .into_iter()
        .find(|call| matches!(call, Call::Claim { .. }))
}

fn failure_sent(effects: &[AgentEffect]) -> Option<FailureClass> {
    sent(effects).into_iter().find_map(|call| {
        if let Call::Fail { failure, .. } = call {
            Some(failure.class)
        } else {
            None
        }
    })
}

fn runs(effect: &AgentEffect) -> bool {
    matches!(effect, AgentEffect::RunTask { .. })
}

fn done(lease: u64) -> AgentEvent {
    AgentEvent::TaskDone {
        slot: 0,
        lease: LeaseNumber(lease),
        result_json: "r".to_owned(),
        outputs_json: "o".to_owned(),
    }
}

#[test]
fn a_claim_is_asked_under_the_same_id_until_it_is_answered() {
    let (mut bench, claim) = Bench::registered(1);
    bench.tell(AgentEvent::CallFailed {
        call: claim.clone(),
    });
    assert_eq!(claim_of(&bench.wait(2_000)), Some(claim.clone()));
    let next = {
        bench.answer(claim.clone(), Answer::Nothing);
        claim_of(&bench.wait(2_000))
    };
    assert!(next.is_some_and(|next| next != claim));
}

#[test]
fn a_grant_that_comes_twice_is_run_once() {
    let (mut bench, claim) = Bench::registered(2);
    bench.answer(claim.clone(), Answer::Granted(Box::new(grant(1))));
    let again = bench.answer(claim, Answer::Granted(Box::new(grant(1))));
    assert!(
        !again
            .iter()
            .any(|e| matches!(e, AgentEffect::StartExecutor { .. }))
    );
    assert_eq!(bench.agent.leases(), [LeaseNumber(1)]);
}

#[test]
fn a_lease_granted_after_nothing_was_said_is_not_dropped() {
    let (mut bench, claim) = Bench::registered(1);
    bench.answer(claim.clone(), Answer::Nothing);
    bench.answer(claim, Answer::Granted(Box::new(grant(1))));
    assert_eq!(bench.agent.leases(), [LeaseNumber(1)]);
}

#[test]
fn a_coordinator_of_a_lower_epoch_is_not_heard() {
    let mut bench = Bench::running(1);
    let cancel = Answer::Heartbeat {
        cancel: vec![LeaseNumber(1)],
        drain: true,
        register: false,
    };
    let effects = bench.tell(AgentEvent::Answered {
        call: Call::Heartbeat { leases: Vec::new() },
        epoch: Epoch(4),
        answer: cancel,
    });
    assert!(
        !effects
            .iter()
            .any(|e| matches!(e, AgentEffect::CancelTask { .. }))
    );
}

#[test]
fn what_hangs_is_stalled_and_what_moves_is_not() {
    let mut bench = Bench::running(1);
    for pulse in 1..4 {
        bench.wait(200_000);
        let progress = Progress::default();
        bench.tell(AgentEvent::ExecutorProgressed {
            slot: 0,
            lease: LeaseNumber(1),
            progress,
            pulse,
            loading: false,
        });
    }
    let effects = bench.wait(299_000);
    assert!(!effects.contains(&AgentEffect::KillExecutor { slot: 0 }));
    let effects = bench.wait(1_000);
    assert!(effects.contains(&AgentEffect::KillExecutor { slot: 0 }));
    let effects = bench.tell(AgentEvent::ExecutorExited {
        slot: 0,
        exit: Exit::Signal(9),
        last_words: String::new(),
    });
    assert_eq!(failure_sent(&effects), Some(FailureClass::Stalled));
}

#[test]
fn an_executor_that_kept_much_memory_is_replaced_before_the_next_task() {
    for (kept, replaced) in [(250, false), (251, true)] {
        let mut bench = Bench::running(1);
        let mut effects = bench.tell(done(1));
        bench.tell(AgentEvent::MemorySampled {
            slot: 0,
            bytes: kept,
        });
        effects.extend(bench.wait(2_000));
        let claim = claim_of(&effects).expect("a slot is free");
        let effects = bench.answer(claim, Answer::Granted(Box::new(grant(2))));
        assert_eq!(
            effects.contains(&AgentEffect::KillExecutor { slot: 0 }),
            replaced
        );
        if replaced {
            assert!(!effects.iter().any(runs));
            let exited = bench.tell(AgentEvent::ExecutorExited {
                slot: 0,
                exit: Exit::Signal(9),
                last_words: String::new(),
            });
            assert_eq!(failure_sent(&exited), None);
            assert!(exited.contains(&AgentEffect::StartExecutor { slot: 0 }));
            assert!(
                bench
                    .tell(AgentEvent::ExecutorReady { slot: 0 })
                    .iter()
                    .any(runs)
            );
        } else {
            assert!(effects.iter().any(runs));
        }
    }
}

#[test]
fn the_memory_limit_and_the_time_limit_have_their_classes() {
    let mut bench = Bench::running(1);
    assert!(
        bench
            .tell(AgentEvent::MemorySampled {
                slot: 0,
                bytes: 1_001
            })
            .contains(&AgentEffect::KillExecutor { slot: 0 })
    );
    let effects = bench.tell(AgentEvent::ExecutorExited {
        slot: 0,
        exit: Exit::Signal(9),
        last_words: String::new(),
    });
    assert_eq!(failure_sent(&effects), Some(FailureClass::OutOfMemory));

    let mut bench = Bench::running(1);
    for pulse in 1..=36 {
        let progress = Progress::default();
        bench.tell(AgentEvent::ExecutorProgressed {
            slot: 0,
            lease: LeaseNumber(1),
            progress,
            pulse,
            loading: false,
        });
        bench.wait(100_000);
    }
    let effects = bench.tell(AgentEvent::ExecutorExited {
        slot: 0,
        exit: Exit::Signal(9),
        last_words: String::new(),
    });
    assert_eq!(failure_sent(&effects), Some(FailureClass::TimedOut));
}

#[test]
fn a_cancelled_task_has_three_seconds() {
    let mut bench = Bench::running(1);
    let cancel = Answer::Heartbeat {
        cancel: vec![LeaseNumber(1)],
        drain: false,
        register: false,
    };
    let effects = bench.answer(Call::Heartbeat { leases: Vec::new() }, cancel);
    assert!(effects.contains(&AgentEffect::CancelTask {
        slot: 0,
        lease: LeaseNumber(1)
    }));
    assert!(
        !bench
            .wait(2_000)
            .contains(&AgentEffect::KillExecutor { slot: 0 })
    );
    assert!(
        bench
            .wait(1_000)
            .contains(&AgentEffect::KillExecutor { slot: 0 })
    );
    let effects = bench.tell(AgentEvent::ExecutorExited {
        slot: 0,
        exit: Exit::Signal(9),
        last_words: String::new(),
    });
    assert!(sent(&effects).contains(&Call::Release {
        lease: LeaseNumber(1)
    }));
}

/// With the coordinator's default of a heartbeat a second, the ticks of a worker, and an executor that hears nothing.
#[test]
fn an_executor_is_gone_within_five_seconds_of_a_cancel() {
    const TICK_MS: u64 = 250;
    for cancelled_after_ms in (0..2_000).step_by(50) {
        let mut bench = Bench::running(1);
        let every_second = Answer::Registered {
            heartbeat_ms: 1_000,
        };
        let _ = bench.answer(Call::Register, every_second);
        let _ = bench.wait(20_000);
        let cancelled_ms = bench.now_ms + cancelled_after_ms;
        let mut killed = false;
        while !killed {
            bench.now_ms += TICK_MS;
            let mut effects = bench.tell(AgentEvent::Ticked);
            let beats = sent(&effects);
            let beat = beats
                .iter()
                .find(|call| matches!(call, Call::Heartbeat { .. }));
            if let Some(beat) = beat {
                let cancel = match bench.now_ms >= cancelled_ms {
                    true => vec![LeaseNumber(1)],
                    false => Vec::new(),
                };
                let answer = Answer::Heartbeat {
                    cancel,
                    drain: false,
                    register: false,
                };
                effects.extend(bench.answer(beat.clone(), answer));
            }
            killed = effects.contains(&AgentEffect::KillExecutor { slot: 0 });
            let since = bench.now_ms.saturating_sub(cancelled_ms);
            assert!(since <= 4_500, "cancelled {cancelled_after_ms} ms later");
        }
        assert!(bench.now_ms > cancelled_ms);
    }
}

#[test]
fn complete_is_told_for_half_an_hour_and_renewed_meanwhile() {
    let mut bench = Bench::running(1);
    let effects = bench.tell(done(1));
    let complete = sent(&effects)
        .into_iter()
        .find(|c| matches!(c, Call::Complete { .. }))
        .unwrap();
    let mut told = 1;
    for _ in 0..1_799 {
        bench.tell(AgentEvent::CallFailed {
            call: complete.short(),
        });
        let effects = bench.wait(1_000);
        told += sent(&effects)
            .iter()
            .filter(|c| matches!(c, Call::Complete { .. }))
            .count();
    }
    assert!(told > 100, "{told}");
    assert_eq!(bench.agent.leases(), [LeaseNumber(1)]);
    bench.wait(1_000);
    assert_eq!(bench.agent.leases(), []);
}

#[test]
fn a_superseded_result_is_dropped_without_a_deed() {
    let mut bench = Bench::running(1);
    bench.tell(done(1));
    let call = Call::Complete {
        lease: LeaseNumber(1),
        result_json: String::new(),
        outputs_json: String::new(),
    };
    let effects = bench.answer(call, Answer::Completed(Verdict::Superseded));
    assert!(
        effects
            .iter()
            .all(|e| matches!(e, AgentEffect::Send(Call::Claim { .. }))),
        "{effects:?}"
    );
    assert_eq!(bench.agent.leases(), []);
}

#[test]
fn sigterm_releases_what_is_not_finished_and_ends() {
    let mut bench = Bench::running(1);
    bench.tell(AgentEvent::DrainRequested);
    let effects = bench.wait(3_000);
    assert!(effects.contains(&AgentEffect::KillExecutor { slot: 0 }));
    assert_eq!(claim_of(&effects), None);
    let effects = bench.tell(AgentEvent::ExecutorExited {
        slot: 0,
        exit: Exit::Signal(9),
        last_words: String::new(),
    });
    assert!(sent(&effects).contains(&Call::Release {
        lease: LeaseNumber(1)
    }));
    assert!(!effects.contains(&AgentEffect::Exit));
    let effects = bench.answer(
        Call::Release {
            lease: LeaseNumber(1),
        },
        Answer::Noted,
    );
    assert_eq!(sent(&effects), [Call::Leave]);
    assert!(!effects.contains(&AgentEffect::Exit));
    let effects = bench.answer(Call::Leave, Answer::Noted);
    assert_eq!(effects, [AgentEffect::Exit]);
}

#[test]
fn an_idle_worker_says_that_it_leaves_until_it_is_heard() {
    let (mut bench, claim) = Bench::registered(1);
    assert_eq!(sent(&bench.tell(AgentEvent::DrainRequested)), [Call::Leave]);
    bench.tell(AgentEvent::CallFailed { call: Call::Leave });
    assert_eq!(sent(&bench.wait(1_000)), [Call::Leave]);
    // What the claim got after all is given back first.
    let effects = bench.answer(claim, Answer::Granted(Box::new(grant(1))));
    assert!(matches!(sent(&effects)[..], [Call::Release { .. }]));
    assert!(!effects.contains(&AgentEffect::Exit));
}

#[test]
fn a_worker_without_parent_gives_back_at_once_and_does_not_wait_for_long() {
    let mut bench = Bench::running(1);
    let effects = bench.tell(AgentEvent::EndRequested);
    assert!(effects.contains(&AgentEffect::KillExecutor { slot: 0 }));
    let exit = Exit::Signal(9);
    let effects = bench.tell(AgentEvent::ExecutorExited {
        slot: 0,
        exit,
        last_words: String::new(),
    });
    assert!(matches!(sent(&effects)[..], [Call::Release { .. }]));
    // Nobody answers.
    assert!(!bench.wait(1_000).contains(&AgentEffect::Exit));
    assert!(bench.wait(1_000).contains(&AgentEffect::Exit));
}

#[test]
fn a_drained_worker_ends_within_half_a_minute_though_nobody_answers() {
    let mut bench = Bench::running(1);
    bench.tell(done(1));
    bench.tell(AgentEvent::DrainRequested);
    assert!(!bench.wait(27_000).contains(&AgentEffect::Exit));
    assert!(bench.wait(1_000).contains(&AgentEffect::Exit));
}

#[test]
fn a_worker_that_nobody_knows_just_ends() {
    let settings = AgentSettings::new("w".parse().unwrap(), Incarnation(1), 1);
    let mut bench = Bench {
        agent: Agent::new(settings, 0),
        now_ms: 0,
    };
    bench.tell(AgentEvent::Ticked);
    let failed = AgentEvent::CallFailed {
        call: Call::Register,
    };
    bench.tell(failed);
    assert_eq!(bench.tell(AgentEvent::DrainRequested), [AgentEffect::Exit]);
}

#[test]
fn an_exit_without_a_word_is_a_crash_and_the_next_task_gets_a_new_executor() {
    let mut bench = Bench::running(1);
    let effects = bench.tell(AgentEvent::ExecutorExited {
        slot: 0,
        exit: Exit::Signal(11),
        last_words: String::new(),
    });
    assert_eq!(failure_sent(&effects), Some(FailureClass::Crashed));
    let claim = claim_of(&effects)
        .or_else(|| claim_of(&bench.wait(2_000)))
        .unwrap();
    bench.answer(
        Call::Fail {
            lease: LeaseNumber(1),
            failure: Failure {
                class: FailureClass::Crashed,
                message: String::new(),
            },
        },
        Answer::Noted,
    );
    let effects = bench.answer(claim, Answer::Granted(Box::new(grant(2))));
    assert!(effects.contains(&AgentEffect::StartExecutor { slot: 0 }));
}

#[test]
fn a_crash_says_how_where_and_with_which_last_words() {
    let mut bench = Bench::running(1);
    let progress = Progress {
        stage: "features".to_owned(),
        done: 37,
        total: 300,
        rate: 1.0,
    };
    let _ = bench.tell(AgentEvent::ExecutorProgressed {
        slot: 0,
        lease: LeaseNumber(1),
        progress,
        pulse: 5,
        loading: false,
    });
    let effects = bench.tell(AgentEvent::ExecutorExited {
        slot: 0,
        exit: Exit::Signal(6),
        last_words: "terminate called".to_owned(),
    });
    let message = effects.iter().find_map(|effect| match effect {
        AgentEffect::Send(Call::Fail { failure, .. }) => Some(failure.message.clone()),
        _ => None,
    });
    assert_eq!(
        message.as_deref(),
        Some(
            "the executor was killed by signal 6 (SIGABRT: a native library gave up), in stage features at 37 of 300; its last words: terminate called"
        )
    );
}

#[test]
fn an_abort_for_want_of_memory_is_out_of_memory() {
    let class = |signal: i32, words: &str| {
        let mut bench = Bench::running(1);
        let effects = bench.tell(AgentEvent::ExecutorExited {
            slot: 0,
            exit: Exit::Signal(signal),
            last_words: words.to_owned(),
        });
        let class = effects.iter().find_map(|effect| match effect {
            AgentEffect::Send(Call::Fail { failure, .. }) => Some(failure.class),
            _ => None,
        });
        class.unwrap()
    };
    let rust = "memory allocation of 243000000 bytes failed";
    let native = "terminate called after throwing an instance of 'std::bad_alloc' |   what():  std::bad_alloc";
    assert_eq!(class(6, rust), FailureClass::OutOfMemory);
    assert_eq!(class(6, native), FailureClass::OutOfMemory);
    assert_eq!(class(6, "double free or corruption"), FailureClass::Crashed);
    assert_eq!(class(11, rust), FailureClass::Crashed);
}

/// The number of the wake-up that a claim names.
fn woken_claim(effects: &[AgentEffect]) -> (Call, u64) {
    match claim_of(effects) {
        Some(
            call @ Call::Claim {
                wake_up: Some(number),
                ..
            },
        ) => (call, number),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wake_up_is_acked_when_its_claim_is_answered_whatever_the_answer() {
    for answer in [Answer::Nothing, Answer::Ended, Answer::Unregistered] {
        let mut bench = Bench::idle(1);
        let effects = bench.tell(AgentEvent::Woken { number: 7 });
        let (claim, number) = woken_claim(&effects);
        assert_eq!(number, 7);
        assert!(!effects.contains(&AgentEffect::AckWakeUp));
        let effects = bench.answer(claim, answer);
        assert!(effects.contains(&AgentEffect::AckWakeUp));
        assert!(!bench.wait(90_000).contains(&AgentEffect::AckWakeUp));
    }
}

#[test]
fn with_the_last_slot_taken_wake_ups_are_paused_before_the_ack() {
    let mut bench = Bench::idle(1);
    let (claim, _) = woken_claim(&bench.tell(AgentEvent::Woken { number: 7 }));
    let effects = bench.answer(claim, Answer::Granted(Box::new(grant(1))));
    let place = |wanted| effects.iter().position(|effect| *effect == wanted);
    assert!(place(AgentEffect::PauseWakeUps).unwrap() < place(AgentEffect::AckWakeUp).unwrap());
}

#[test]
fn who_has_a_slot_again_claims_at_once_and_wants_wake_ups_only_if_that_gets_nothing() {
    let mut bench = Bench::idle(1);
    let (claim, _) = woken_claim(&bench.tell(AgentEvent::Woken { number: 7 }));
    bench.answer(claim, Answer::Granted(Box::new(grant(1))));
    bench.tell(AgentEvent::ExecutorReady { slot: 0 });
    let effects = bench.tell(done(1));
    assert!(!effects.contains(&AgentEffect::ConsumeWakeUps));
    let effects = bench.answer(claim_of(&effects).unwrap(), Answer::Nothing);
    assert_eq!(effects, [AgentEffect::ConsumeWakeUps]);
}

#[test]
fn a_claim_that_got_nothing_is_made_again_when_a_task_of_this_worker_is_known_to_be_complete() {
    // The claim overtakes the outcome on its way, or its answer is overtaken by that of the outcome.
    for claim_first in [true, false] {
        let mut bench = Bench::idle(1);
        let (claim, _) = woken_claim(&bench.tell(AgentEvent::Woken { number: 7 }));
        bench.answer(claim, Answer::Granted(Box::new(grant(1))));
        bench.tell(AgentEvent::ExecutorReady { slot: 0 });
        let effects = bench.tell(done(1));
        let complete = sent(&effects)
            .into_iter()
            .find(|call| matches!(call, Call::Complete { .. }));
        let mut answers = [
            (claim_of(&effects).unwrap(), Answer::Nothing),
            (
                complete.unwrap().short(),
                Answer::Completed(Verdict::Accepted),
            ),
        ];
        if !claim_first {
            answers.reverse();
        }
        let [first, second] = answers;
        assert_eq!(claim_of(&bench.answer(first.0, first.1)), None);
        let again = claim_of(&bench.answer(second.0, second.1)).unwrap();
        // Once.
        assert_eq!(claim_of(&bench.answer(again, Answer::Nothing)), None);
        assert_eq!(claim_of(&bench.wait(14_000)), None);
    }
}

#[test]
fn with_a_slot_left_wake_ups_go_on() {
    let mut bench = Bench::idle(2);
    let (claim, _) = woken_claim(&bench.tell(AgentEvent::Woken { number: 7 }));
    let effects = bench.answer(claim, Answer::Granted(Box::new(grant(1))));
    assert!(effects.contains(&AgentEffect::AckWakeUp));
    assert!(!effects.contains(&AgentEffect::PauseWakeUps));
}

#[test]
fn who_gets_tasks_without_being_woken_wants_no_wake_ups_until_a_claim_gets_nothing() {
    let mut bench = Bench::idle(4);
    let (claim, _) = woken_claim(&bench.tell(AgentEvent::Woken { number: 7 }));
    let effects = bench.answer(claim, Answer::Granted(Box::new(grant(1))));
    let asked_on = claim_of(&effects).unwrap();
    // The next message is there before the answer: it is settled, and no other one comes.
    bench.tell(AgentEvent::Woken { number: 8 });
    let effects = bench.answer(asked_on, Answer::Granted(Box::new(grant(2))));
    assert!(effects.contains(&AgentEffect::PauseWakeUps));
    let (claim, _) = woken_claim(&effects);
    let effects = bench.answer(claim, Answer::Granted(Box::new(grant(3))));
    assert!(effects.contains(&AgentEffect::AckWakeUp));
    assert!(!effects.contains(&AgentEffect::ConsumeWakeUps));
    let asked_on = claim_of(&effects).unwrap();
    let effects = bench.answer(asked_on, Answer::Nothing);
    assert_eq!(effects, [AgentEffect::ConsumeWakeUps]);
}

#[test]
fn a_wake_up_that_comes_while_a_claim_is_asked_leads_to_another_claim() {
    let mut bench = Bench::idle(1);
    let poll = claim_of(&bench.wait(21_000)).unwrap();
    assert_eq!(claim_of(&bench.tell(AgentEvent::Woken { number: 8 })), None);
    // Even with no slot left: the coordinator is to hear that the wake-up has arrived.
    let effects = bench.answer(poll, Answer::Granted(Box::new(grant(1))));
    assert_eq!(woken_claim(&effects).1, 8);
    assert!(!effects.contains(&AgentEffect::AckWakeUp));
}

#[test]
fn a_wake_up_is_held_for_a_minute_at_most_though_nobody_answers() {
    let mut bench = Bench::idle(1);
    let (claim, _) = woken_claim(&bench.tell(AgentEvent::Woken { number: 7 }));
    assert!(!bench.wait(59_000).contains(&AgentEffect::AckWakeUp));
    assert!(bench.wait(1_000).contains(&AgentEffect::AckWakeUp));
    // The next one is not taken for answered by the claim that the first one led to.
    bench.tell(AgentEvent::Woken { number: 9 });
    let effects = bench.answer(claim, Answer::Nothing);
    assert!(!effects.contains(&AgentEffect::AckWakeUp));
    assert_eq!(woken_claim(&effects).1, 9);
}

#[test]
fn who_is_not_woken_claims_all_the_same_within_the_poll() {
    let mut bench = Bench::idle(1);
    assert_eq!(claim_of(&bench.wait(14_000)), None);
    let polled = claim_of(&bench.wait(6_000));
    assert!(matches!(polled, Some(Call::Claim { wake_up: None, .. })));
}

#[test]
fn a_worker_that_ends_wants_no_wake_ups() {
    let mut bench = Bench::idle(1);
    let effects = bench.tell(AgentEvent::DrainRequested);
    assert!(effects.contains(&AgentEffect::PauseWakeUps));
    assert!(!effects.contains(&AgentEffect::ConsumeWakeUps));
}

#[test]
fn without_a_broker_nothing_is_said_about_wake_ups() {
    let (mut bench, claim) = Bench::registered(1);
    let mut effects = bench.answer(claim, Answer::Nothing);
    effects.extend(bench.wait(60_000));
    assert!(effects.iter().all(|e| matches!(e, AgentEffect::Send(_))));
}

fn denied(call: Call) -> AgentEvent {
    let denial = Denial::Credentials("this token is not known here".to_owned());
    AgentEvent::CallDenied { call, denial }
}

#[test]
fn who_is_denied_before_any_answer_gives_up() {
    for denial in [
        Denial::Credentials("no".to_owned()),
        Denial::Protocol("no".to_owned()),
    ] {
        let settings = AgentSettings::new("w".parse().unwrap(), Incarnation(1), 1);
        let mut bench = Bench {
            agent: Agent::new(settings, 0),
            now_ms: 0,
        };
        bench.tell(AgentEvent::Ticked);
        // One that is not there yet is waited for, however long.
        let call = Call::Register;
        bench.tell(AgentEvent::CallFailed { call });
        assert!(sent(&bench.wait(30_000)).contains(&Call::Register));
        let effects = bench.tell(AgentEvent::CallDenied {
            call: Call::Register,
            denial: denial.clone(),
        });
        assert_eq!(effects, [AgentEffect::GiveUp(denial)]);
        assert!(bench.wait(60_000).is_empty());
    }
}

#[test]
fn who_was_answered_once_and_is_denied_later_keeps_what_it_has_and_tries_on() {
    let mut bench = Bench::running(3);
    let effects = bench.tell(AgentEvent::TaskDone {
        slot: 0,
        lease: LeaseNumber(3),
        result_json: "{}".to_owned(),
        outputs_json: "[]".to_owned(),
    });
    let complete = |effects: &[AgentEffect]| {
        let mut calls = sent(effects).into_iter();
        calls.find(|call| matches!(call, Call::Complete { .. }))
    };
    let call = complete(&effects).unwrap();
    for _ in 0..3 {
        assert!(
            !bench
                .tell(denied(call.short()))
                .contains(&AgentEffect::Exit)
        );
        assert_eq!(bench.agent.leases(), [LeaseNumber(3)]);
        assert!(complete(&bench.wait(20_000)).is_some());
    }
    bench.answer(call.short(), Answer::Completed(Verdict::Accepted));
    assert!(bench.agent.leases().is_empty());
}

#[test]
fn an_executor_that_starts_belongs_to_the_attempt_that_waits_for_it() {
    let expect = |lease| AgentEffect::Expect {
        slot: 0,
        lease: LeaseNumber(lease),
    };
    let (mut bench, claim) = Bench::registered(1);
    let effects = bench.answer(claim, Answer::Granted(Box::new(grant(1))));
    let place = |effect| effects.iter().position(|e| *e == effect);
    assert!(place(expect(1)).unwrap() < place(AgentEffect::StartExecutor { slot: 0 }).unwrap());
    // Taken back before it was ready; the next task meets the same executor.
    let heartbeat = Call::Heartbeat { leases: Vec::new() };
    let effects = bench.answer(
        heartbeat,
        Answer::Heartbeat {
            cancel: vec![LeaseNumber(1)],
            drain: false,
            register: false,
        },
    );
    let claim = claim_of(&effects)
        .or_else(|| claim_of(&bench.wait(2_000)))
        .unwrap();
    let effects = bench.answer(claim, Answer::Granted(Box::new(grant(2))));
    assert!(effects.contains(&expect(2)));
    assert!(!effects.contains(&AgentEffect::StartExecutor { slot: 0 }));
    // One that is ready gets its task at once.
    let effects = bench.tell(AgentEvent::ExecutorReady { slot: 0 });
    assert!(effects.iter().any(runs) && !effects.contains(&expect(2)));
}

//! Crash exactly there, restart, and see what must be.

use ::job::resolved::JobKind;
use coordinator_core::*;
use sim::{
    Faults, World,
    broker::BrokerFaults,
    coordinator::CrashPoint,
    invariants::About,
    worker::Does,
    workload,
    world::{Item, MakeEvent},
};
use types::*;

use crate::desk::{Desk, job};

/// A calm world of so many machines and one job that is submitted after five seconds.
pub fn world(machines: usize, always: Option<Does>) -> World {
    let mut world = World::new(1, Faults::default(), None);
    world.check_every = 1;
    for number in 0..machines {
        world.add_machine(number, 1, 8 << 30);
        world.machines[number].always = always;
    }
    world.at(0, Item::CoordinatorStart);
    let submit = job("job0", "submit-0", None, 2);
    world.user_asks(
        5_000,
        MakeEvent::Submit(Box::new(submit.clone())),
        About::Request(submit.request.clone()),
    );
    world.users.submits.push(submit);
    world
}

pub fn finish(world: &mut World) {
    let bound = world.now_ms + 3 * 3_600_000;
    world
        .run_until(bound, |w| {
            w.users.are_done() && !w.disk.rows.jobs.is_empty() && w.is_idle()
        })
        .unwrap();
    world.final_checks().unwrap();
}

pub fn until_jobs_exist(world: &mut World) {
    world
        .run_until(60_000, |w| !w.disk.rows.jobs.is_empty())
        .unwrap();
}

#[test]
fn c1_c7_submit_happens_once_or_not_at_all() {
    for point in [
        CrashPoint::CommitFails,
        CrashPoint::BeforeCommit,
        CrashPoint::AfterCommit,
    ] {
        let mut world = world(0, None);
        world.run_for(4_000).unwrap();
        world.coordinator.crash_next = Some(point);
        world
            .run_until(6_100, |w| w.coordinator.core.is_none() && w.now_ms > 5_900)
            .unwrap();
        assert_eq!(
            world.disk.rows.jobs.len(),
            usize::from(point == CrashPoint::AfterCommit),
            "{point:?}"
        );
        world.run_for(60_000).unwrap();
        assert_eq!(world.disk.rows.jobs.len(), 1, "{point:?}");
        assert!(
            matches!(
                world.users.requests[0].answer,
                Some(Reply::Submitted {
                    outcome: SubmitOutcome::Created,
                    ..
                })
            ),
            "{point:?}"
        );
    }
}

/// A worker is idle when the job comes; how long its first task waits.
fn first_wait_ms(world: &mut World) -> u64 {
    until_jobs_exist(world);
    let since_ms = world.now_ms;
    world
        .run_until(since_ms + 60_000, |w| !w.disk.rows.attempts.is_empty())
        .unwrap();
    world.now_ms - since_ms
}

#[test]
fn c2_a_wake_up_that_never_left_or_was_lost_costs_at_most_the_poll() {
    // The process dies after the commit and before the publish; the broker loses what it has confirmed.
    for lost in [0.0, 1.0] {
        let mut world = world(1, Some(Does::WorkFor(2_000)));
        world.add_broker(BrokerFaults {
            lost,
            ..BrokerFaults::default()
        });
        world.run_for(4_500).unwrap();
        if lost == 0.0 {
            world.coordinator.crash_next = Some(CrashPoint::AfterCommit);
        }
        let waited = first_wait_ms(&mut world);
        assert!(waited <= 24_000, "lost {lost}: {waited} ms");
        finish(&mut world);
    }
}

#[test]
fn c2_between_publish_and_confirm_wake_ups_may_double_and_nothing_else_does() {
    let mut world = world(2, Some(Does::WorkFor(2_000)));
    world.add_broker(BrokerFaults {
        unconfirmed: 1.0,
        ..BrokerFaults::default()
    });
    assert!(first_wait_ms(&mut world) <= 200);
    finish(&mut world);
    let attempts = &world.disk.rows.attempts;
    let accepted = attempts.values().filter(|a| a.outcome == Outcome::Accepted);
    assert_eq!(accepted.count(), attempts.len());
}

#[test]
fn c2_a_broker_that_comes_back_without_its_queue_stops_nothing() {
    let mut world = world(2, Some(Does::WorkFor(2_000)));
    world.add_broker(BrokerFaults::default());
    for _ in 0..5 {
        world.run_for(4_000).unwrap();
        world.restart_broker();
    }
    finish(&mut world);
    assert_eq!(
        world.state_of(&"job0".parse().unwrap()),
        Some(JobState::Succeeded)
    );
}

#[test]
fn c3_a_lost_grant_is_told_again_under_the_same_lease() {
    for (point, attempts) in [(CrashPoint::BeforeCommit, 1), (CrashPoint::AfterCommit, 1)] {
        let mut world = world(1, Some(Does::WorkFor(2_000)));
        until_jobs_exist(&mut world);
        world.coordinator.crash_next = Some(point);
        finish(&mut world);
        let of_list = world
            .disk
            .rows
            .attempts
            .values()
            .filter(|a| a.task == TaskIndex(0))
            .count();
        assert_eq!(of_list, attempts, "{point:?}");
        assert_eq!(
            world.state_of(&"job0".parse().unwrap()),
            Some(JobState::Succeeded)
        );
    }
}

#[test]
fn c3_a_grant_whose_worker_died_is_never_started_and_uncounted() {
    let mut world = world(1, None);
    until_jobs_exist(&mut world);
    world.coordinator.crash_next = Some(CrashPoint::AfterCommit);
    world
        .run_until(60_000, |w| !w.disk.rows.attempts.is_empty())
        .unwrap();
    world.kill_machine(0, 200_000);
    world.run_for(90_000).unwrap();
    let attempt = &world.disk.rows.attempts[&LeaseNumber(1)];
    assert_eq!(
        (attempt.outcome, attempt.counted),
        (Outcome::Failed(FailureClass::NeverStarted), false)
    );
    finish(&mut world);
}

#[test]
fn c4_of_a_cut_off_worker_and_its_successor_the_first_wins() {
    let mut world = world(2, Some(Does::WorkFor(100_000)));
    until_jobs_exist(&mut world);
    world.run_for(15_000).unwrap();
    let holder = world.disk.rows.attempts[&LeaseNumber(1)].worker.clone();
    let cut_off = world
        .machines
        .iter()
        .position(|m| m.name == holder)
        .unwrap();
    world.machines[cut_off].cut_off_until_ms = world.now_ms + 120_000;
    finish(&mut world);
    let outcomes: Vec<Outcome> = [1, 2]
        .map(|lease| world.disk.rows.attempts[&LeaseNumber(lease)].outcome)
        .into();
    assert_eq!(outcomes, [Outcome::Accepted, Outcome::Superseded]);
}

#[test]
fn c5_an_accepted_complete_stays_accepted_after_a_retry() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", None, 1));
    let list = desk.granted(&a, "c1");
    assert_eq!(desk.complete(&a, &list), Verdict::Accepted);
    let fit = desk.granted(&a, "c2");
    desk.fail(&a, fit.lease, FailureClass::InvalidInput);
    desk.work_off(&a, "reduce");
    assert_eq!(desk.state("job0"), JobState::Failed);
    assert!(matches!(desk.retry("job0", "r"), Reply::Retried { tasks } if tasks > 0));
    desk.restart();
    assert_eq!(desk.complete(&a, &list), Verdict::Accepted);
    desk.work_off(&a, "again");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    assert_eq!(
        desk.core
            .job_view(&"job0".parse().unwrap())
            .unwrap()
            .results_generation,
        2
    );
}

#[test]
fn c5_a_late_attempt_of_an_older_generation_wins_if_it_comes_first() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", None, 1));
    for n in 0..6 {
        let list = desk.granted(&a, &format!("c{n}"));
        desk.beat(&a, &[list.lease]);
        // One heartbeat, then silence for longer than the lease and the backoff.
        for _ in 0..13 {
            desk.wait(10_000);
            desk.beat(&a, &[]);
        }
    }
    assert_eq!(
        desk.outcome(LeaseNumber(6)),
        Outcome::Failed(FailureClass::Lost)
    );
    desk.work_off(&a, "reduce");
    desk.retry("job0", "r");
    let again = desk.granted(&a, "again");
    let late = plan::Assignment {
        lease: LeaseNumber(6),
        ..again.clone()
    };
    assert_eq!(desk.complete(&a, &late), Verdict::Accepted);
    assert_eq!(desk.complete(&a, &again), Verdict::Superseded);
    desk.restart();
    assert_eq!(desk.complete(&a, &again), Verdict::Superseded);
}

#[test]
fn c6_races_end_one_way_whatever_comes_first() {
    for complete_first in [true, false] {
        let mut desk = Desk::new();
        let a = desk.register("a", 1);
        desk.submit(job("job0", "s", None, 1));
        let list = desk.granted(&a, "c1");
        desk.beat(&a, &[list.lease]);
        // Complete and Cancel.
        if complete_first {
            assert_eq!(desk.complete(&a, &list), Verdict::Accepted);
            desk.cancel("job0", "x");
        } else {
            desk.cancel("job0", "x");
            assert_eq!(desk.state("job0"), JobState::Cancelling);
            assert_eq!(desk.beat(&a, &[list.lease]).cancel, [list.lease]);
        }
        let first = desk.complete(&a, &list);
        assert_eq!(
            first,
            if complete_first {
                Verdict::Accepted
            } else {
                Verdict::Cancelled
            }
        );
        assert_eq!(desk.state("job0"), JobState::Cancelled);
        // Retry and the late Complete.
        desk.retry("job0", "r");
        assert_eq!(desk.complete(&a, &list), first);
        desk.restart();
        desk.work_off(&a, "again");
        assert_eq!(desk.state("job0"), JobState::Succeeded);
    }
}

#[test]
fn c6_one_batch_may_retry_a_job_grant_its_task_and_cancel_it_again() {
    let mut world = world(1, None);
    until_jobs_exist(&mut world);
    world.run_for(2_000).unwrap();
    let id: JobId = "job0".parse().unwrap();
    let ask = |world: &mut World, make| world.user_asks(0, make, About::Nothing);
    let cancel = |request: &str| MakeEvent::Cancel(request.parse().unwrap(), id.clone());
    ask(&mut world, cancel("x1"));
    world.run_for(20_000).unwrap();
    assert_eq!(world.state_of(&id), Some(JobState::Cancelled));
    // Everything that arrives while it stands still is one batch; the worker's claim waits there since before.
    world.coordinator.paused_until_ms = world.now_ms + 15_000;
    ask(
        &mut world,
        MakeEvent::Retry("r".parse().unwrap(), id.clone()),
    );
    world.run_for(1_000).unwrap();
    let Some(claim) = world.parked_claim() else {
        panic!("an idle worker has a claim waiting")
    };
    let event = |to| Event::ClaimRequested { to, claim };
    world.inject(event);
    ask(&mut world, cancel("x2"));
    let before = world.disk.rows.attempts.len();
    world.run_for(15_000).unwrap();
    assert_eq!(world.disk.rows.attempts.len(), before + 1);
    finish(&mut world);
    assert_eq!(world.state_of(&id), Some(JobState::Cancelled));
}

#[test]
fn c6_release_and_complete() {
    for release_first in [true, false] {
        let mut desk = Desk::new();
        let a = desk.register("a", 1);
        desk.submit(job("job0", "s", None, 0));
        let list = desk.granted(&a, "c1");
        let (from, lease) = (a.clone(), list.lease);
        if release_first {
            desk.ask(|to| Event::AttemptReleased { to, from, lease });
            assert_eq!(desk.complete(&a, &list), Verdict::Accepted);
        } else {
            assert_eq!(desk.complete(&a, &list), Verdict::Accepted);
            desk.ask(|to| Event::AttemptReleased { to, from, lease });
        }
        assert_eq!(desk.outcome(list.lease), Outcome::Accepted);
        desk.restart();
        desk.work_off(&a, "rest");
        assert_eq!(desk.state("job0"), JobState::Succeeded);
    }
}

#[test]
fn c7_nothing_of_a_failed_batch_is_seen() {
    let mut world = world(1, Some(Does::WorkFor(2_000)));
    until_jobs_exist(&mut world);
    world.coordinator.crash_next = Some(CrashPoint::CommitFails);
    world
        .run_until(60_000, |w| w.coordinator.core.is_none())
        .unwrap();
    assert!(world.disk.rows.attempts.is_empty());
    finish(&mut world);
}

#[test]
fn c9_a_coordinator_that_stood_still_expires_nobody() {
    for pause_ms in [10_000, 120_000, 3_600_000] {
        let mut world = world(3, Some(Does::WorkFor(40_000)));
        until_jobs_exist(&mut world);
        world.run_for(15_000).unwrap();
        world.coordinator.paused_until_ms = world.now_ms + pause_ms;
        finish(&mut world);
        let failed: Vec<_> = world
            .disk
            .rows
            .attempts
            .values()
            .filter(|a| matches!(a.outcome, Outcome::Failed(_)))
            .collect();
        assert!(failed.is_empty(), "after {pause_ms} ms: {failed:?}");
    }
}

#[test]
fn c13_a_wall_clock_off_by_an_hour_moves_a_backoff_by_no_more_than_itself() {
    for jump_ms in [-3_600_000, 3_600_000] {
        let mut desk = Desk::new();
        let a = desk.register("a", 1);
        desk.submit(job("job0", "s", None, 1));
        let list = desk.granted(&a, "c1");
        desk.fail(&a, list.lease, FailureClass::Crashed);
        assert_eq!(desk.claim(&a, "c2"), ClaimAnswer::Nothing);
        desk.now.wall_ms += jump_ms;
        desk.restart();
        desk.wait(2_000);
        assert!(
            matches!(desk.claim(&a, "c3"), ClaimAnswer::Granted(_)),
            "{jump_ms}"
        );
    }
}

#[test]
fn c14_what_an_executor_does_becomes_its_class() {
    let table = [
        (Does::Hang, FailureClass::Stalled, 2),
        (Does::Crash, FailureClass::Crashed, 3),
        (Does::Grow, FailureClass::OutOfMemory, 2),
        (
            Does::Fail(FailureClass::InvalidInput),
            FailureClass::InvalidInput,
            1,
        ),
    ];
    for (does, class, attempts) in table {
        let mut world = world(1, Some(does));
        until_jobs_exist(&mut world);
        world
            .run_until(3_600_000, |w| {
                w.disk
                    .rows
                    .tasks
                    .values()
                    .any(|t| matches!(t.state, TaskState::Failed | TaskState::Dead))
            })
            .unwrap();
        let classes: Vec<Outcome> = world
            .disk
            .rows
            .attempts
            .values()
            .filter(|a| a.task == TaskIndex(0))
            .map(|a| a.outcome)
            .collect();
        assert_eq!(classes, vec![Outcome::Failed(class); attempts], "{does:?}");
    }
}

#[test]
fn c14_a_sick_worker_is_quarantined_and_no_task_pays_for_it() {
    let mut world = world(2, Some(Does::WorkFor(5_000)));
    world.machines[0].always = Some(Does::Crash);
    let submit = workload::submit("job0", "big", None, JobKind::Benchmark, 2, 6, 0);
    let about = About::Request(submit.request.clone());
    world.users.requests.clear();
    world.users.submits = vec![submit.clone()];
    world.user_asks(5_000, MakeEvent::Submit(Box::new(submit)), about);
    finish(&mut world);
    let rows = &world.disk.rows;
    let quarantined: Vec<bool> = rows
        .workers
        .values()
        .map(|w| w.quarantine.is_some())
        .collect();
    assert_eq!(quarantined, [true, false]);
    let crashed = rows
        .attempts
        .values()
        .filter(|a| a.outcome == Outcome::Failed(FailureClass::Crashed));
    let counted: Vec<bool> = crashed.map(|a| a.counted).collect();
    // Three, and what it had begun beside the third.
    assert!(
        counted.len() >= 3 && !counted.contains(&true),
        "{counted:?}"
    );
    let id: JobId = "job0".parse().unwrap();
    assert_eq!(world.state_of(&id), Some(JobState::Succeeded));
}

#[test]
fn c14_a_quarantine_ends_by_a_user_or_by_the_workers_next_start() {
    for restart in [false, true] {
        let mut desk = Desk::new();
        let a = desk.register("a", 1);
        let b = desk.register("b", 1);
        for (job_id, class) in [
            ("job0", FailureClass::Crashed),
            ("job1", FailureClass::Crashed),
            ("job2", FailureClass::Internal),
        ] {
            desk.submit(job(job_id, job_id, None, 1));
            let list = desk.granted(&a, &format!("{job_id}-{restart}"));
            desk.fail(&a, list.lease, class);
        }
        assert_eq!(desk.worker_state("a"), Some(WorkerState::Quarantined));
        assert_eq!(desk.claim(&a, "no"), ClaimAnswer::Nothing);
        // The third was not held against its task, which goes on elsewhere at once.
        assert_eq!(desk.granted(&b, "elsewhere").task.job.as_str(), "job2");
        desk.restart();
        desk.beat(&a, &[]);
        assert_eq!(desk.worker_state("a"), Some(WorkerState::Quarantined));
        let a = if restart {
            desk.register("a", 2)
        } else {
            let worker = a.worker.clone();
            let reply = desk.ask(|to| Event::ReleaseRequested { to, worker });
            assert_eq!(reply, Reply::WorkerReleased);
            a
        };
        assert_eq!(desk.worker_state("a"), Some(WorkerState::Live));
        desk.submit(job("job3", "job3", None, 1));
        assert_eq!(desk.granted(&a, "yes").task.job.as_str(), "job3");
    }
}

#[test]
fn c14_what_does_not_answer_speaks_against_a_worker_only_where_another_gets_on() {
    for gets_on in [false, true] {
        let mut desk = Desk::new();
        let a = desk.register("a", 1);
        let b = desk.register("b", 1);
        for number in 0..4 {
            let id = format!("job{number}");
            desk.submit(job(&id, &id, None, 1));
            let failed = desk.granted(&a, &format!("a{number}"));
            desk.fail(&a, failed.lease, FailureClass::Unavailable);
            assert_eq!(desk.worker_state("b"), Some(WorkerState::Live));
            desk.wait(5_000);
            let again = desk.granted(&b, &format!("b{number}"));
            assert_eq!(again.task, failed.task);
            if gets_on {
                desk.complete(&b, &again);
            }
        }
        let state = if gets_on {
            WorkerState::Quarantined
        } else {
            WorkerState::Live
        };
        assert_eq!(desk.worker_state("a"), Some(state));
        let of_a = |attempt: &&AttemptRow| attempt.worker == a.worker;
        let counted = desk.rows.attempts.values().filter(of_a);
        assert!(counted.clone().all(|attempt| attempt.counted != gets_on));
        assert_eq!(counted.count(), 4);
    }
}

#[test]
fn c14_what_a_quarantined_worker_had_begun_before_does_not_count_either() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.register("b", 1);
    let mut begun = Vec::new();
    for id in ["job0", "job1", "job2", "job3"] {
        desk.submit(job(id, id, None, 1));
        begun.push(desk.granted(&a, id).lease);
    }
    for lease in begun {
        desk.fail(&a, lease, FailureClass::Internal);
    }
    assert_eq!(desk.worker_state("a"), Some(WorkerState::Quarantined));
    assert!(desk.rows.attempts.values().all(|a| !a.counted));
    let reason = desk.rows.workers[&a.worker]
        .quarantine
        .clone()
        .unwrap()
        .reason;
    assert_eq!(
        reason,
        "3 attempts in a row failed, on as many tasks, the last of job2-0000: internal: simulated"
    );
    // Two had ended their tasks before the third; the two that came then go on.
    let ended = |id: &str| {
        let tasks = desk
            .core
            .task_views(&id.parse().unwrap(), desk.now)
            .unwrap();
        tasks[0].state
    };
    use TaskState::Ready;
    assert_eq!(
        ["job0", "job1", "job2", "job3"].map(ended),
        [TaskState::Failed, TaskState::Failed, Ready, Ready]
    );
}

#[test]
fn c14_the_last_worker_of_a_pool_goes_on() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    for job_id in ["job0", "job1", "job2", "job3"] {
        desk.submit(job(job_id, job_id, None, 1));
        let list = desk.granted(&a, job_id);
        desk.fail(&a, list.lease, FailureClass::Internal);
    }
    assert_eq!(desk.worker_state("a"), Some(WorkerState::Live));
    assert!(desk.rows.attempts.values().all(|a| a.counted));
}

#[test]
fn l3_a_dead_workers_task_is_granted_again_within_ttl_and_backoff() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    let b = desk.register("b", 1);
    desk.submit(job("job0", "s", None, 1));
    let list = desk.granted(&a, "c1");
    desk.beat(&a, &[list.lease]);
    // a is never heard of again; b goes on asking.
    let (ttl_ms, backoff_ms, tick_ms) = (60_000, 1_000, 1_000);
    let mut waited_ms = 0;
    let again = loop {
        match desk.claim(&b, &format!("d{waited_ms}")) {
            ClaimAnswer::Granted(again) => break again,
            _ => desk.wait(tick_ms),
        }
        waited_ms += tick_ms;
        desk.beat(&b, &[]);
        assert!(
            waited_ms <= ttl_ms + backoff_ms + 2 * tick_ms,
            "{waited_ms} ms"
        );
    };
    assert!(waited_ms >= ttl_ms, "{waited_ms} ms");
    assert_eq!(again.task, list.task);
    assert_eq!(
        desk.outcome(list.lease),
        Outcome::Failed(FailureClass::Lost)
    );
}

#[test]
fn l3_a_new_incarnation_frees_the_old_ones_tasks_at_once() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", None, 1));
    let list = desk.granted(&a, "c1");
    let again = desk.register("a", 2);
    assert_eq!(
        desk.outcome(list.lease),
        Outcome::Failed(FailureClass::NeverStarted)
    );
    assert_eq!(desk.granted(&again, "d1").task, list.task);
    // A late message of the old incarnation changes nothing.
    assert!(desk.beat(&a, &[list.lease]).register);
}

#[test]
fn c16_a_list_completed_twice_expands_once() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", None, 3));
    let list = desk.granted(&a, "c1");
    let tasks = |desk: &Desk| {
        desk.core
            .job_view(&"job0".parse().unwrap())
            .unwrap()
            .tasks
            .total()
    };
    assert_eq!(tasks(&desk), 4);
    for restart in [false, false, true, false] {
        if restart {
            desk.restart();
        }
        assert_eq!(desk.complete(&a, &list), Verdict::Accepted);
        assert_eq!(tasks(&desk), 7);
    }
}

#[test]
fn a_key_names_one_job_of_one_content() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    let outcome = |reply| match reply {
        Reply::Submitted { outcome, .. } => Ok(outcome),
        Reply::Refused(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        outcome(desk.submit(job("job0", "s0", Some("nightly"), 1))),
        Ok(SubmitOutcome::Created)
    );
    assert_eq!(
        outcome(desk.submit(job("job1", "s1", Some("nightly"), 1))),
        Ok(SubmitOutcome::Attached)
    );
    assert!(matches!(
        outcome(desk.submit(job("job2", "s2", Some("nightly"), 2))),
        Err(Refusal::KeyTaken { .. })
    ));
    desk.cancel("job0", "x");
    assert_eq!(
        outcome(desk.submit(job("job3", "s3", Some("nightly"), 1))),
        Ok(SubmitOutcome::Retried)
    );
    desk.restart();
    desk.work_off(&a, "c");
    assert_eq!(
        outcome(desk.submit(job("job4", "s4", Some("nightly"), 1))),
        Ok(SubmitOutcome::Done)
    );
    // The same requests again: the same answers.
    assert_eq!(
        outcome(desk.submit(job("job0", "s0", Some("nightly"), 1))),
        Ok(SubmitOutcome::Created)
    );
    assert_eq!(
        outcome(desk.submit(job("job3", "s3", Some("nightly"), 1))),
        Ok(SubmitOutcome::Retried)
    );
    assert_eq!(desk.rows.jobs.len(), 1);
}

//! C15: SIGTERM at any moment of an agent's life: what it held is finished or given back, and no task pays for it.

use coordinator_core::Outcome;
use sim::{
    broker::BrokerFaults,
    worker::{Does, ExecutorDoes},
    world::Item,
};
use types::{FailureClass, JobState};
use worker_core::AgentEvent;

use crate::crash_points::{finish, until_jobs_exist, world};

#[test]
fn c15_a_drain_at_any_moment_counts_against_nothing() {
    let mut outcomes = std::collections::BTreeSet::new();
    // Every 10 ms of the first seconds, in which the agent claims, starts its executor, computes for 2 s, writes and completes.
    for (after_ms, broker) in (0..500).map(|n| (10 * n, n % 2 == 1)) {
        let mut world = world(2, Some(Does::WorkFor(2_000)));
        if broker {
            world.add_broker(BrokerFaults::default());
        }
        until_jobs_exist(&mut world);
        world.run_for(after_ms).unwrap();
        for machine in 0..2 {
            let life = world.machines[machine].life;
            world
                .agent(machine, life, AgentEvent::DrainRequested)
                .unwrap();
        }
        finish(&mut world);
        let what = format!("after {after_ms} ms");
        let job = "job0".parse().unwrap();
        assert_eq!(world.state_of(&job), Some(JobState::Succeeded), "{what}");
        for row in world.disk.rows.attempts.values() {
            assert!(!row.counted, "{what}: {row:?}");
            outcomes.insert(row.outcome.as_str());
        }
        // Whoever drains ends, and says so.
        let lives = world.machines.iter().map(|machine| machine.life);
        assert!(lives.min() > Some(1), "{what}: an agent goes on");
        world.sweep_up().unwrap();
    }
    // Both ends were seen: finished within the grace, and handed back.
    assert!(
        outcomes.contains("accepted") && outcomes.contains("released"),
        "{outcomes:?}"
    );
}

#[test]
fn c15_what_completes_while_it_drains_is_accepted_even_if_the_answer_is_lost() {
    let mut world = world(1, Some(Does::WorkFor(2_000)));
    until_jobs_exist(&mut world);
    world
        .run_until(60_000, |w| {
            w.disk.rows.attempts.values().any(|row| row.started)
        })
        .unwrap();
    // The executor is done at the moment of the signal, and the first answer to Complete does not come.
    world.faults.lose_reply = 1.0;
    let life = world.machines[0].life;
    let executor = world.machines[0].executors[0];
    world.at(
        0,
        Item::Executor {
            machine: 0,
            slot: 0,
            life: executor,
            does: ExecutorDoes::Finishes { lease: 1 },
        },
    );
    world.run_for(0).unwrap();
    world.agent(0, life, AgentEvent::DrainRequested).unwrap();
    world.run_for(1_000).unwrap();
    world.faults.lose_reply = 0.0;
    finish(&mut world);
    let first = world.disk.rows.attempts.values().next().unwrap();
    assert_eq!(first.outcome, Outcome::Accepted);
}

#[test]
fn c15_an_agent_that_is_told_twice_gives_back_at_once() {
    let mut world = world(1, Some(Does::WorkFor(2_000)));
    until_jobs_exist(&mut world);
    world
        .run_until(60_000, |w| {
            w.disk.rows.attempts.values().any(|row| row.started)
        })
        .unwrap();
    let (life, since_ms) = (world.machines[0].life, world.now_ms);
    for _ in 0..2 {
        world.agent(0, life, AgentEvent::DrainRequested).unwrap();
    }
    world
        .run_until(since_ms + 1_000, |w| {
            let first = w.disk.rows.attempts.values().next().unwrap();
            first.outcome == Outcome::Failed(FailureClass::Released)
        })
        .unwrap();
    finish(&mut world);
}

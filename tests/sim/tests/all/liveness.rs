//! How soon things happen when nothing goes wrong but what a test makes go wrong.

use std::collections::BTreeMap;

use coordinator_core::{Submit, WorkerRow};
use job::resolved::DeviceChoice;
use sim::{
    Faults, World,
    broker::BrokerFaults,
    invariants::About,
    worker::Does,
    workload,
    world::{Item, MakeEvent},
};
use types::{Labels, TaskId, TaskState};

use crate::desk::job;

/// Idle workers ask again after this.
const POLL_MS: u64 = 20_000;
/// Between two looks of the coordinator at time.
const TICK_MS: u64 = 1_000;
/// After a claim that got nothing: the agent's pause, which ends at one of its ticks.
const PAUSE_MS: u64 = 1_000 + 2_000;
const AGENT_TICK_MS: u64 = 2_000;
/// There and back, and the batch between.
const NETWORK_MS: u64 = 100;

/// A calm world of so many machines, idle for a minute before the jobs come.
fn world(seed: u64, machines: usize, jobs: Vec<Submit>) -> World {
    let mut world = World::new(seed, Faults::default(), None);
    for number in 0..machines {
        world.add_machine(number, 1, 8 << 30);
        world.machines[number].always = Some(Does::WorkFor(3_000));
    }
    world.at(0, Item::CoordinatorStart);
    for (place, submit) in jobs.into_iter().enumerate() {
        let about = About::Request(submit.request.clone());
        let after = 60_000 + 40_000 * place as u64;
        world.user_asks(after, MakeEvent::Submit(Box::new(submit.clone())), about);
        world.users.submits.push(submit);
    }
    world
}

/// Runs to the end; the longest time for which a task was ready while a worker had nothing to do.
fn longest_wait_ms(world: &mut World) -> u64 {
    longest_wait_beside_ms(world, |_| true)
}

/// The longest time for which a task was ready while one of those workers had nothing to do.
fn longest_wait_beside_ms(world: &mut World, suits: impl Fn(&WorkerRow) -> bool) -> u64 {
    let mut since: BTreeMap<TaskId, u64> = BTreeMap::new();
    let mut longest = 0;
    while world.now_ms < 60_000 || !(world.users.are_done() && world.is_idle()) {
        assert!(world.now_ms < 3_600_000, "the jobs do not end");
        world.step().unwrap();
        let Some(core) = &world.coordinator.core else {
            continue;
        };
        let idle = core
            .worker_views()
            .any(|w| (w.tasks.len() as u32) < w.row.slots && suits(w.row));
        let jobs: Vec<_> = core.job_views().map(|job| job.id.clone()).collect();
        for task in jobs
            .iter()
            .flat_map(|job| core.task_views(job, world.now()).unwrap())
        {
            if task.state == TaskState::Ready && idle {
                let ready_ms = *since.entry(task.id).or_insert(world.now_ms);
                longest = longest.max(world.now_ms - ready_ms);
            } else {
                since.remove(&task.id);
            }
        }
    }
    longest
}

#[test]
fn l2_a_ready_task_is_claimed_at_once_if_somebody_is_woken() {
    for seed in 0..20 {
        let jobs = vec![job("job0", "s0", None, 3), job("job1", "s1", None, 0)];
        let waited = longest_wait_ms(&mut world(seed, 3, jobs));
        assert!(waited <= PAUSE_MS + NETWORK_MS, "seed {seed}: {waited} ms");
    }
}

#[test]
fn l2_a_ready_task_is_claimed_within_poll_and_tick_even_if_every_wake_is_lost() {
    let mut longest = 0;
    for seed in 0..20 {
        let jobs = vec![job("job0", "s0", None, 3), job("job1", "s1", None, 0)];
        let mut world = world(seed, 3, jobs);
        world.wakes_lost = true;
        let waited = longest_wait_ms(&mut world);
        assert!(
            waited <= POLL_MS + TICK_MS + PAUSE_MS + NETWORK_MS,
            "seed {seed}: {waited} ms"
        );
        longest = longest.max(waited);
    }
    // Otherwise the wakes were not lost, and the bound was not tried.
    assert!(longest > PAUSE_MS + NETWORK_MS, "{longest} ms");
}

/// What a woken worker waits for: the broker on both sides of the network, and its ack of the wake-up before.
const BROKER_MS: u64 = 200;

#[test]
fn l2_over_a_broker_a_ready_task_is_claimed_at_once() {
    for seed in 0..20 {
        let jobs = vec![job("job0", "s0", None, 3), job("job1", "s1", None, 0)];
        let mut world = world(seed, 3, jobs);
        world.add_broker(BrokerFaults::default());
        let waited = longest_wait_ms(&mut world);
        assert!(waited <= BROKER_MS, "seed {seed}: {waited} ms");
        let broker = world.broker.as_ref().unwrap();
        // Two jobs of a few tasks: far less than a wake-up a second.
        assert!(broker.count <= 40, "seed {seed}: {} wake-ups", broker.count);
    }
}

#[test]
fn l2_over_a_broker_a_ready_task_is_claimed_within_poll_and_tick_whatever_it_does_to_wake_ups() {
    let none = BrokerFaults::default();
    let always = [
        BrokerFaults { lost: 1.0, ..none },
        BrokerFaults {
            nacked: 1.0,
            ..none
        },
        BrokerFaults {
            unconfirmed: 1.0,
            ..none
        },
        BrokerFaults {
            doubled: 1.0,
            reordered: 1.0,
            ..none
        },
        BrokerFaults { late: 1.0, ..none },
        BrokerFaults { cut: 1.0, ..none },
        BrokerFaults {
            restart: 1.0,
            ..none
        },
    ];
    let mut longest = 0;
    for (seed, faults) in (0..4).flat_map(|seed| always.map(|faults| (seed, faults))) {
        let jobs = vec![job("job0", "s0", None, 3), job("job1", "s1", None, 0)];
        let mut world = world(seed, 3, jobs);
        world.add_broker(faults);
        let waited = longest_wait_ms(&mut world);
        // An agent looks at the time with its tick.
        let bound = POLL_MS + TICK_MS + AGENT_TICK_MS + NETWORK_MS;
        assert!(waited <= bound, "seed {seed}, {faults:?}: {waited} ms");
        longest = longest.max(waited);
    }
    assert!(longest > BROKER_MS, "{longest} ms");
}

#[test]
fn when_all_is_done_nothing_is_left_with_the_broker() {
    for seed in 0..20 {
        let mut world = world(seed, 3, vec![job("job0", "s0", None, 3)]);
        world.add_broker(BrokerFaults::default());
        longest_wait_ms(&mut world);
        world.run_for(1_000).unwrap();
        assert!(world.broker.as_ref().unwrap().is_empty(), "seed {seed}");
    }
}

/// Of these machines only the last is labelled, and the job is for it.
fn labelled(seed: u64, machines: usize) -> World {
    let zone: Labels = "zone=b".parse().unwrap();
    let mut jobs = vec![job("job0", "s0", None, 3), job("job1", "s1", None, 0)];
    for job in &mut jobs {
        workload::need(job, "auto", DeviceChoice::Auto, &zone, 1 << 30);
    }
    let mut world = world(seed, machines, jobs);
    world.machines[machines - 1].labels = zone;
    world.add_broker(BrokerFaults::default());
    world
}

#[test]
fn l2_over_a_broker_a_task_that_suits_one_worker_of_many_does_not_wait_for_its_poll() {
    for (seed, machines) in (0..20).flat_map(|seed| [2, 3, 30].map(|machines| (seed, machines))) {
        let mut world = labelled(seed, machines);
        let waited = longest_wait_beside_ms(&mut world, |row| !row.labels.is_empty());
        assert!(
            waited <= BROKER_MS,
            "seed {seed}, {machines} machines: {waited} ms"
        );
        // Eleven tasks: for each a few, and one for each who is idle.
        let published = world.broker.as_ref().unwrap().count;
        assert!(
            published <= 11 * (4 + machines as u64),
            "seed {seed}, {machines} machines: {published} wake-ups"
        );
    }
}

//! Two coordinators on one database, and a database that was restored from a backup.

use coordinator_core::Outcome;
use sim::{World, broker::BrokerFaults, worker::Does};
use types::{JobState, LeaseNumber};

use crate::crash_points::{finish, until_jobs_exist, world};

fn succeeded(world: &World) -> bool {
    world.state_of(&"job0".parse().unwrap()) == Some(JobState::Succeeded)
}

#[test]
fn c11_an_old_coordinator_that_wakes_after_a_takeover_writes_nothing_and_harms_nothing() {
    let mut refused = 0;
    for (after_ms, broker) in (0..60).map(|n| (250 * n, n % 2 == 1)) {
        let mut world = world(2, Some(Does::WorkFor(2_000)));
        if broker {
            world.add_broker(BrokerFaults::default());
        }
        until_jobs_exist(&mut world);
        world.run_for(after_ms).unwrap();
        world.take_over().unwrap();
        finish(&mut world);
        world.run_for(160_000).unwrap();
        assert!(world.predecessor.is_none());
        refused += world.refused_commits;
        assert!(succeeded(&world));
        let published: Vec<_> = world.store.published().collect();
        assert_eq!(published, ["jobs/job0/results/1"], "after {after_ms} ms");
        // Nobody paid for it with an attempt that counts.
        for row in world.disk.rows.attempts.values() {
            assert!(!row.counted, "after {after_ms} ms: {row:?}");
        }
        world.sweep_up().unwrap();
    }
    // Else it was not tried.
    assert!(refused >= 10, "{refused}");
}

#[test]
fn c12_a_restored_backup_reuses_nothing_and_keeps_what_was_published() {
    for (backup_ms, lost_ms) in [
        (0, 1_000),
        (0, 200_000),
        (3_000, 5_000),
        (3_000, 200_000),
        (8_000, 10_000),
        (8_000, 500_000),
        (20_000, 1_000),
        (200_000, 500_000),
    ] {
        let what = format!("backup after {backup_ms} ms, {lost_ms} ms lost");
        let mut world = world(2, Some(Does::WorkFor(2_000)));
        until_jobs_exist(&mut world);
        world.run_for(backup_ms).unwrap();
        let (backup, epoch) = (world.disk.rows.clone(), world.disk.epoch);
        world.run_for(lost_ms).unwrap();
        let published: Vec<String> = world.store.published().map(str::to_owned).collect();
        let granted = world.disk.rows.counters.lease;
        world.crash_coordinator("its disk is lost");
        world.disk.restore(backup, epoch);
        world.history.restored(&world.disk.rows);
        finish(&mut world);
        assert!(succeeded(&world), "{what}");
        // No lease, so no prefix, is among those that were granted before.
        let rows = &world.disk.rows;
        let new = |lease: &&LeaseNumber| lease.0 > rows.counters.restored;
        assert!(rows.counters.restored >= 1 << 32, "{what}");
        for lease in rows.attempts.keys().filter(new) {
            assert!(lease.0 > granted, "{what}");
        }
        // What ran when the backup was made is neither accepted nor swept.
        let old = rows.attempts.values().filter(|row| !new(&&row.lease));
        for row in old.filter(|row| row.outcome != Outcome::Accepted) {
            assert_eq!(row.sweep, None, "{what}");
        }
        world.sweep_up().unwrap();
        let now: Vec<&str> = world.store.published().collect();
        assert!(published.iter().all(|path| now.contains(&path.as_str())));
        world.store.named_objects_exist().unwrap();
    }
}

/// Otherwise what the test above looks for could not be seen.
#[test]
fn c12_a_backup_that_nobody_calls_one_is_found_out() {
    let mut world = world(2, Some(Does::WorkFor(2_000)));
    until_jobs_exist(&mut world);
    let (backup, epoch) = (world.disk.rows.clone(), world.disk.epoch);
    world.run_for(20_000).unwrap();
    world.crash_coordinator("its disk is lost");
    (world.disk.rows, world.disk.epoch) = (backup, epoch);
    world.history.restored(&world.disk.rows);
    for machine in 0..2 {
        // Agents that know the later epoch would not even listen.
        world.kill_machine(machine, 1_000);
    }
    let what = world.run_for(60_000).unwrap_err();
    assert!(what.starts_with("I2: "), "{what}");
}

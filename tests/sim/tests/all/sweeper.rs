//! When what attempts left is swept: not before the retention, never what counts, and until nothing comes any more.

use coordinator_core::*;
use sim::{World, store::part, worker::Does, world::Item};
use types::*;

use crate::crash_points::{finish, until_jobs_exist, world};
use crate::desk::{Desk, job};

const HOUR_MS: u64 = 3_600_000;

fn desk(retention_ms: u64) -> Desk {
    Desk::with(Settings {
        retention_ms,
        ..Settings::default()
    })
}

/// The list task was begun and failed, in a way that it is tried again.
fn failed(desk: &mut Desk) -> (Sender, plan::Assignment) {
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", None, 1));
    let list = desk.granted(&a, "c1");
    desk.beat(&a, &[list.lease]);
    desk.fail(&a, list.lease, FailureClass::Crashed);
    (a, list)
}

/// The list task's lease ran out.
fn lost(desk: &mut Desk) -> (Sender, plan::Assignment) {
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", None, 1));
    let list = desk.granted(&a, "c1");
    desk.beat(&a, &[list.lease]);
    desk.wait(61_000);
    assert_eq!(
        desk.outcome(list.lease),
        Outcome::Failed(FailureClass::Lost)
    );
    (a, list)
}

fn swept(desk: &mut Desk, lease: LeaseNumber, objects: u64) {
    desk.apply(|_| Event::PrefixSwept { lease, objects });
}

/// Time passes, and the coordinator looks at it once.
fn pass(desk: &mut Desk, ms: u64) {
    desk.now.mono_ms += ms;
    desk.now.wall_ms += ms as i64;
    desk.apply(|_| Event::Ticked);
}

#[test]
fn an_attempt_is_swept_a_retention_after_its_end_and_once_more() {
    let mut desk = desk(HOUR_MS);
    let (_, list) = failed(&mut desk);
    pass(&mut desk, HOUR_MS - 1);
    assert_eq!(desk.swept, [] as [&str; 0]);
    pass(&mut desk, 1);
    assert_eq!(desk.swept, std::slice::from_ref(&list.prefix));
    // Ordered once; the shell tries as often as it takes.
    pass(&mut desk, 10 * HOUR_MS);
    assert_eq!(desk.swept.len(), 1);
    swept(&mut desk, list.lease, 2);
    pass(&mut desk, HOUR_MS - 1);
    assert_eq!(desk.swept.len(), 1);
    pass(&mut desk, 1);
    assert_eq!(desk.swept.len(), 2);
    swept(&mut desk, list.lease, 0);
    pass(&mut desk, 10 * HOUR_MS);
    assert_eq!(desk.swept.len(), 2);
    assert_eq!(desk.core.sweeps_to_come(), 0);
    let ended = desk.core.census(desk.now).ended;
    assert_eq!((ended.swept, ended.swept_objects), (1, 2));
}

#[test]
fn as_long_as_something_is_found_it_is_swept_again() {
    let mut desk = desk(HOUR_MS);
    let (_, list) = failed(&mut desk);
    for round in 1..=5 {
        pass(&mut desk, HOUR_MS);
        assert_eq!(desk.swept.len(), round);
        swept(&mut desk, list.lease, 1);
    }
    pass(&mut desk, HOUR_MS);
    swept(&mut desk, list.lease, 0);
    pass(&mut desk, HOUR_MS);
    assert_eq!(desk.swept.len(), 6);
}

#[test]
fn who_speaks_of_a_swept_attempt_has_it_swept_again() {
    type Speak = fn(&mut Desk, &Sender, &plan::Assignment);
    let ways: [Speak; 3] = [
        |desk, a, list| assert_eq!(desk.beat(a, &[list.lease]).cancel, [list.lease]),
        |desk, a, list| assert_eq!(desk.complete(a, list), Verdict::Superseded),
        |desk, a, list| desk.fail(a, list.lease, FailureClass::Crashed),
    ];
    for speak in ways {
        let mut desk = desk(HOUR_MS);
        let (a, list) = lost(&mut desk);
        for round in 1..=2 {
            pass(&mut desk, HOUR_MS);
            assert_eq!(desk.swept.len(), round);
            swept(&mut desk, list.lease, 0);
        }
        let a = Sender { ..a };
        speak(&mut desk, &a, &list);
        speak(&mut desk, &a, &list);
        desk.restart();
        pass(&mut desk, 2 * HOUR_MS);
        assert_eq!(desk.swept.len(), 3);
        swept(&mut desk, list.lease, 0);
        pass(&mut desk, 2 * HOUR_MS);
        assert_eq!(desk.swept.len(), 3);
    }
}

#[test]
fn what_is_swept_is_not_accepted_any_more_and_what_was_accepted_late_is_never_swept() {
    for sweep_first in [true, false] {
        let mut desk = desk(HOUR_MS);
        let (a, list) = lost(&mut desk);
        if sweep_first {
            pass(&mut desk, HOUR_MS);
            assert_eq!(desk.swept, std::slice::from_ref(&list.prefix));
            // Whatever dies now: the answer is on disk before anything is deleted.
            desk.restart();
            assert_eq!(desk.complete(&a, &list), Verdict::Superseded);
        } else {
            assert_eq!(desk.complete(&a, &list), Verdict::Accepted);
            pass(&mut desk, 10 * HOUR_MS);
            desk.restart();
            pass(&mut desk, 10 * HOUR_MS);
            assert_eq!(desk.swept, [] as [&str; 0]);
            assert_eq!(desk.complete(&a, &list), Verdict::Accepted);
        }
        assert_eq!(desk.core.audit(), Vec::<String>::new());
    }
}

#[test]
fn while_an_agent_may_still_complete_nothing_is_swept_however_short_the_retention() {
    let mut desk = desk(60_000);
    let (a, list) = lost(&mut desk);
    pass(&mut desk, 31 * 60_000);
    assert_eq!(desk.swept, [] as [&str; 0]);
    assert_eq!(desk.complete(&a, &list), Verdict::Accepted);
    // What failed cannot be completed.
    let mut desk = self::desk(60_000);
    let (_, list) = failed(&mut desk);
    pass(&mut desk, 60_000);
    assert_eq!(desk.swept, [list.prefix]);
}

#[test]
fn a_running_lease_is_not_swept() {
    let mut desk = desk(60_000);
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", None, 1));
    let list = desk.granted(&a, "c1");
    for _ in 0..200 {
        desk.wait(20_000);
        desk.beat(&a, &[list.lease]);
    }
    assert_eq!(desk.swept, [] as [&str; 0]);
    assert_eq!(desk.complete(&a, &list), Verdict::Accepted);
}

#[test]
fn what_lost_a_race_was_cancelled_or_released_is_swept_too() {
    let mut desk = desk(HOUR_MS);
    let (a, first) = lost(&mut desk);
    let b = desk.register("b", 1);
    desk.wait(3_000);
    let second = desk.granted(&b, "c2");
    assert_eq!(desk.complete(&a, &first), Verdict::Accepted);
    assert_eq!(desk.complete(&b, &second), Verdict::Superseded);
    let fit = desk.granted(&b, "c3");
    desk.ask(|to| Event::AttemptReleased {
        to,
        from: b.clone(),
        lease: fit.lease,
    });
    let again = desk.granted(&b, "c4");
    desk.cancel("job0", "x");
    desk.fail(&b, again.lease, FailureClass::Crashed);
    assert_eq!(desk.outcome(again.lease), Outcome::Cancelled);
    pass(&mut desk, 2 * HOUR_MS);
    desk.swept.sort();
    let mut wanted = [second.prefix, fit.prefix, again.prefix];
    wanted.sort();
    assert_eq!(desk.swept, wanted);
}

#[test]
fn what_was_ordered_and_not_done_before_the_end_is_ordered_again() {
    let mut desk = desk(HOUR_MS);
    let (_, list) = failed(&mut desk);
    pass(&mut desk, HOUR_MS);
    // Since the restart only the wall clock knows, and it is not trusted.
    desk.restart();
    pass(&mut desk, HOUR_MS);
    assert_eq!(desk.swept, [list.prefix.clone(), list.prefix]);
    swept(&mut desk, list.lease, 1);
    desk.restart();
    pass(&mut desk, HOUR_MS);
    assert_eq!(desk.swept.len(), 3);
    swept(&mut desk, list.lease, 0);
    desk.restart();
    pass(&mut desk, 10 * HOUR_MS);
    assert_eq!(desk.swept.len(), 3);
}

#[test]
fn c13_a_wall_clock_off_by_an_hour_sweeps_nothing_early() {
    let retention_ms = Settings::default().retention_ms;
    let hour = HOUR_MS as i64;
    for (then, now) in [(0, hour), (-hour, hour), (hour, -hour), (-hour, 0)] {
        let mut desk = Desk::new();
        desk.now.wall_ms += then;
        let (_, list) = failed(&mut desk);
        desk.now.wall_ms -= then;
        let mut passed_ms = 0;
        // A coordinator that is started again every day.
        while desk.swept.is_empty() {
            desk.now.wall_ms += now;
            desk.restart();
            desk.now.wall_ms -= now;
            let day_ms = 24 * HOUR_MS;
            for _ in 0..24 {
                pass(&mut desk, HOUR_MS);
                passed_ms += HOUR_MS;
                if !desk.swept.is_empty() {
                    break;
                }
            }
            assert!(passed_ms < retention_ms + 2 * day_ms, "{then} {now}");
        }
        assert!(passed_ms >= retention_ms, "{then} {now}: {passed_ms} ms");
        assert_eq!(desk.swept, [list.prefix]);
    }
    // One that runs for all that time does not look at the wall clock at all.
    let mut desk = Desk::new();
    failed(&mut desk);
    desk.now.wall_ms += 100 * retention_ms as i64;
    pass(&mut desk, retention_ms - 1);
    assert_eq!(desk.swept, [] as [&str; 0]);
    pass(&mut desk, 1);
    assert_eq!(desk.swept.len(), 1);
}

/// A worker dies with the first task in work; its machine stays off for long.
fn with_a_dead_attempt() -> (World, String) {
    let mut world = world(2, Some(Does::WorkFor(5_000)));
    until_jobs_exist(&mut world);
    world
        .run_until(60_000, |w| w.store.paths().next().is_some())
        .unwrap();
    let prefix = world.assignments[&LeaseNumber(1)].prefix.clone();
    let holder = &world.disk.rows.attempts[&LeaseNumber(1)].worker;
    let machine = world.machines.iter().position(|m| m.name == *holder);
    world.kill_machine(machine.unwrap(), 10 * HOUR_MS);
    (world, prefix)
}

fn holds(world: &World, prefix: &str) -> bool {
    world.store.paths().any(|path| path.starts_with(prefix))
}

#[test]
fn l5_after_the_retention_nothing_is_left_but_what_was_accepted() {
    let (mut world, prefix) = with_a_dead_attempt();
    assert!(holds(&world, &prefix));
    finish(&mut world);
    world.sweep_up().unwrap();
    assert!(!holds(&world, &prefix));
    let named: Vec<_> = world.store.published().collect();
    assert_eq!(named, ["jobs/job0/results/1"]);
}

#[test]
fn c17_an_upload_that_stood_still_and_writes_to_a_swept_prefix_is_swept_again() {
    let (mut world, prefix) = with_a_dead_attempt();
    // The first sweep comes after a lease and the retention.
    let first_ms = 60_000 + world.retention_ms;
    world.write_late(first_ms + 60_000, part(&prefix), 7);
    world.run_for(first_ms + 5_000).unwrap();
    assert!(!holds(&world, &prefix), "swept once");
    world.run_for(60_000).unwrap();
    assert!(holds(&world, &prefix), "written again");
    // Whoever sweeps may die meanwhile.
    world.crash_coordinator("for the test");
    finish(&mut world);
    world.sweep_up().unwrap();
    assert!(!holds(&world, &prefix), "swept again");
    let sweep = world.disk.rows.attempts[&LeaseNumber(1)].sweep.unwrap();
    assert_eq!((sweep.objects, sweep.again), (2, false));
}

#[test]
fn i7_a_sweeper_that_ignores_manifests_is_found_by_a_late_complete() {
    let mut world = world(2, Some(Does::WorkFor(100_000)));
    world.mutation = Some(sim::Mutation::ManifestsIgnored);
    until_jobs_exist(&mut world);
    world.run_for(15_000).unwrap();
    let holder = world.disk.rows.attempts[&LeaseNumber(1)].worker.clone();
    let cut_off = world.machines.iter().position(|m| m.name == holder);
    world.machines[cut_off.unwrap()].cut_off_until_ms = world.now_ms + 120_000;
    let found = world.run_until(HOUR_MS, |w| w.users.are_done() && w.is_idle());
    let what = found.unwrap_err();
    assert!(what.starts_with("I8: "), "{what}");
}

#[test]
fn a_store_that_is_out_delays_the_sweeper_and_nothing_else() {
    let (mut world, prefix) = with_a_dead_attempt();
    world.faults.sweep_refused = 1.0;
    finish(&mut world);
    world.run_for(4 * world.retention_ms).unwrap();
    assert!(holds(&world, &prefix));
    world.at(0, Item::CalmDown);
    world.sweep_up().unwrap();
    assert!(!holds(&world, &prefix));
}

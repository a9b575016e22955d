//! Jobs with a deadline: they end by it, and say so.

use coordinator_core::*;
use plan::TaskSpec;
use sim::{
    Faults, World,
    invariants::About,
    worker::Does,
    workload,
    world::{Item, MakeEvent},
};
use types::*;

use crate::desk::{Desk, job};

const SECONDS: u64 = 600;

fn within(id: &str) -> Submit {
    let mut submit = job(id, id, None, 2);
    workload::must_end_within(&mut submit, SECONDS);
    submit
}

fn missed(desk: &Desk) -> Option<String> {
    let id = "job0".parse().unwrap();
    desk.core.job_view(&id).unwrap().stopped
}

#[test]
fn at_its_deadline_a_job_ends_but_for_its_reduce() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(within("job0"));
    let list = desk.granted(&a, "list");
    desk.complete(&a, &list);
    let fit = desk.granted(&a, "fit");
    for _ in 0..SECONDS / 10 {
        assert_eq!(missed(&desk), None);
        assert_eq!(desk.beat(&a, &[fit.lease]).cancel, []);
        desk.wait(10_000);
    }
    let failure = missed(&desk).unwrap();
    assert!(failure.starts_with("timed_out: "), "{failure}");
    assert!(failure.contains("600 s"), "{failure}");
    // What runs is told to stop; until then the job is open.
    assert_eq!(desk.beat(&a, &[fit.lease]).cancel, [fit.lease]);
    assert_eq!(desk.complete(&a, &fit), Verdict::Cancelled);
    desk.restart();
    desk.beat(&a, &[]);
    let reduce = desk.granted(&a, "reduce");
    assert_eq!(reduce.spec, TaskSpec::Reduce);
    let of_run = reduce.inputs.iter().find_map(|input| match &input.outcome {
        plan::InputOutcome::Failed { failure, .. } => Some(failure.to_string()),
        plan::InputOutcome::Accepted { .. } => None,
    });
    assert_eq!(of_run, Some(failure));
    desk.complete(&a, &reduce);
    desk.work_off(&a, "rest");
    assert_eq!(desk.state("job0"), JobState::Failed);
    desk.restart();
    assert_eq!(desk.state("job0"), JobState::Failed);
    assert!(missed(&desk).is_some());

    // A retry has all of the time again.
    desk.beat(&a, &[]);
    let reply = desk.retry("job0", "again");
    assert!(matches!(reply, Reply::Retried { .. }), "{reply:?}");
    assert_eq!(missed(&desk), None);
    for _ in 0..SECONDS / 10 - 1 {
        desk.wait(10_000);
        desk.beat(&a, &[]);
    }
    desk.work_off(&a, "second");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    desk.wait(SECONDS * 1_000);
    assert_eq!(
        (desk.state("job0"), missed(&desk)),
        (JobState::Succeeded, None)
    );
}

#[test]
fn a_deadline_ends_a_job_that_nobody_can_do_even_while_the_coordinator_is_down() {
    let mut desk = Desk::new();
    desk.submit(within("job0"));
    desk.wait(100_000);
    desk.restart();
    desk.wait(SECONDS * 1_000 - 101_000);
    assert_eq!(missed(&desk), None);
    // It passes between two processes, the second of which has another monotonic clock.
    desk.now.wall_ms += 3_600_000;
    desk.now.mono_ms = 5;
    desk.restart();
    desk.wait(1_000);
    assert!(missed(&desk).is_some());
    assert_eq!(desk.state("job0"), JobState::Queued);
    // Nobody comes to do the reduce.
    desk.wait(299_000);
    assert_eq!(desk.state("job0"), JobState::Queued);
    desk.restart();
    desk.wait(2_000);
    assert_eq!(desk.state("job0"), JobState::Failed);
    desk.restart();
}

#[test]
fn a_wall_clock_that_goes_back_does_not_lengthen_a_deadline_beyond_its_duration() {
    let mut desk = Desk::new();
    desk.submit(within("job0"));
    desk.wait(400_000);
    desk.now.wall_ms -= 3_600_000;
    desk.restart();
    desk.wait(SECONDS * 1_000 - 1_000);
    assert_eq!(missed(&desk), None);
    desk.wait(2_000);
    assert!(missed(&desk).is_some());
}

#[test]
fn a_cancelled_job_stays_cancelled() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(within("job0"));
    let list = desk.granted(&a, "list");
    desk.cancel("job0", "x");
    desk.wait(SECONDS * 1_000 + 400_000);
    desk.complete(&a, &list);
    assert_eq!(
        (desk.state("job0"), missed(&desk)),
        (JobState::Cancelled, None)
    );
}

#[test]
fn in_the_world_a_job_that_hangs_ends_by_its_deadline() {
    let mut world = World::new(7, Faults::default(), None);
    world.add_machine(0, 1, 8 << 30);
    // Long tasks, so that only some are done.
    world.machines[0].always = Some(Does::WorkFor(250_000));
    world.at(0, Item::CoordinatorStart);
    let submit = within("job0");
    let about = About::Request(submit.request.clone());
    world.user_asks(5_000, MakeEvent::Submit(Box::new(submit.clone())), about);
    world.users.submits.push(submit.clone());
    let bound_ms = 5_000 + SECONDS * 1_000 + 300_000 + 65_000;
    world.run_for(5_000 + SECONDS * 1_000).unwrap();
    world
        .run_until(bound_ms, |w| w.users.are_done() && w.is_idle())
        .unwrap();
    assert_eq!(world.state_of(&submit.id), Some(JobState::Failed));
    world.final_checks().unwrap();
}

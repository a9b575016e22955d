//! C8: what is to be published stands in the store exactly once, wherever the coordinator dies on the way.

use coordinator_core::{Event, OutboxItem, OutboxRow, Settings};
use sim::{coordinator::PutPoint, worker::Does};
use types::{FailureClass, JobState};

use crate::{
    crash_points::{finish, until_jobs_exist, world},
    desk::Desk,
    failed_jobs::train,
};

#[test]
fn c8_whatever_dies_around_the_put_there_is_exactly_one_generation() {
    for point in [PutPoint::Before, PutPoint::After, PutPoint::BeforeDone] {
        let mut world = world(1, Some(Does::WorkFor(2_000)));
        until_jobs_exist(&mut world);
        let life = world.coordinator.life;
        world.coordinator.crash_put = Some(point);
        finish(&mut world);
        assert!(world.coordinator.life > life, "{point:?}: nothing died");
        let published: Vec<_> = world.store.published().collect();
        assert_eq!(published, ["jobs/job0/results/1"], "{point:?}");
        let core = world.coordinator.core.as_ref().unwrap();
        let job = core.job_view(&"job0".parse().unwrap()).unwrap();
        assert_eq!(
            (job.state, job.results_generation),
            (JobState::Succeeded, 1),
            "{point:?}"
        );
        world.sweep_up().unwrap();
    }
}

fn entries(desk: &Desk) -> Vec<OutboxRow> {
    desk.core.outbox().cloned().collect()
}

#[test]
fn each_end_is_told_under_an_id_of_its_own_and_whoever_does_not_hear_holds_nothing_up() {
    let mut desk = Desk::with(Settings {
        notices: true,
        ..Settings::default()
    });
    let a = desk.register("a", 1);
    desk.submit(train());
    for claim in ["list", "fit"] {
        let done = desk.granted(&a, claim);
        desk.complete(&a, &done);
    }
    let bad = desk.granted(&a, "bad");
    desk.fail(&a, bad.lease, FailureClass::InvalidInput);
    desk.work_off(&a, "reduce");
    assert_eq!(desk.state("job0"), JobState::Failed);
    let posted = entries(&desk);
    let [first] = &posted[..] else {
        panic!("{posted:?}");
    };
    let OutboxItem::Notice(notice) = &first.item else {
        panic!("{first:?}");
    };
    assert_eq!(
        (notice.state, notice.results, notice.failures.len()),
        (JobState::Failed, 1, 2)
    );
    assert_eq!(notice.scored, None, "its only run has no evaluation");
    assert_eq!(notice.delivery, format!("job0-1-{}", first.id.0));

    // Nobody listens; a retry goes on all the same, in another life of the coordinator, and ends again.
    desk.apply(|_| Event::DeliveryFailed {
        id: first.id,
        why: "factory.example answered 500".to_owned(),
    });
    let view = desk.core.job_view(&first.job).unwrap();
    let [waits] = view.unpublished[..] else {
        panic!("{:?}", view.unpublished);
    };
    assert_eq!((waits.what, waits.store), ("notice", "the webhook"));
    desk.restart();
    desk.retry("job0", "again");
    desk.work_off(&a, "rest");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    let posted_since = entries(&desk);
    let [kept, second] = &posted_since[..] else {
        panic!("{posted_since:?}");
    };
    assert_eq!(kept, first);
    let OutboxItem::Notice(notice) = &second.item else {
        panic!("{second:?}");
    };
    assert_eq!((notice.state, notice.results), (JobState::Succeeded, 2));
    assert!(notice.scored.is_some());
    assert_ne!(kept.id, second.id);

    // One is told, the other given up: nothing is left, after a restart neither.
    for event in [
        Event::OutboxDelivered {
            id: second.id,
            version: None,
        },
        Event::DeliveryGivenUp { id: kept.id },
        Event::DeliveryGivenUp { id: kept.id },
    ] {
        desk.apply(|_| event);
    }
    assert_eq!(entries(&desk), []);
    desk.restart();
    assert_eq!(entries(&desk), []);
    assert_eq!(desk.state("job0"), JobState::Succeeded);
}

#[test]
fn what_a_job_waits_for_is_never_given_up() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(train());
    desk.work(&a, "all");
    let waited_for: Vec<OutboxRow> = entries(&desk)
        .into_iter()
        .filter(|row| row.item.is_waited_for())
        .collect();
    assert_eq!(waited_for.len(), 2, "results and a model");
    for row in &waited_for {
        desk.apply(|_| Event::DeliveryGivenUp { id: row.id });
    }
    assert!(waited_for.iter().all(|row| entries(&desk).contains(row)));
    assert_eq!(desk.state("job0"), JobState::Running);
}

#[test]
fn in_a_world_of_processes_who_wants_to_hear_hears_of_each_end() {
    let mut world = world(1, Some(Does::WorkFor(2_000)));
    world.history.notices = true;
    until_jobs_exist(&mut world);
    world.coordinator.crash_put = Some(PutPoint::After);
    finish(&mut world);
    assert_eq!(world.store.told("job0"), [JobState::Succeeded]);
    world.sweep_up().unwrap();
}

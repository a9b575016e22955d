//! How fast a job gets on, for people: told by heartbeats and completions, forgotten by a restart.

use coordinator_core::*;
use types::*;

use crate::desk::{Desk, job};

/// Three chunks: two of 256 images and one of 17.
const IMAGES: u64 = 529;

fn pace(desk: &Desk) -> Pace {
    let id = "job0".parse().unwrap();
    desk.core.pace(&id, desk.now).unwrap()
}

fn said(stage: &str, done: u64) -> Progress {
    Progress {
        stage: stage.to_owned(),
        done,
        total: 256,
        rate: 0.0,
    }
}

fn tell(desk: &mut Desk, from: &Sender, lease: LeaseNumber, progress: Progress) {
    desk.apply(|to| Event::HeartbeatReceived {
        to,
        from: from.clone(),
        leases: vec![(lease, Some(progress))],
    });
}

#[test]
fn images_of_all_workers_count_once_and_the_rest_takes_as_long_as_their_rate_says() {
    let mut desk = Desk::new();
    let [a, b] = ["a", "b"].map(|name| desk.register(name, 1));
    desk.submit(job("job0", "s", None, 3));
    let id = "job0".parse().unwrap();
    assert_eq!(desk.core.pace(&id, desk.now), None, "nothing is listed yet");
    let list = desk.granted(&a, "list");
    desk.complete(&a, &list);
    let before = stands_still(0);
    assert_eq!(pace(&desk), before);
    let fit = desk.granted(&a, "fit");
    tell(&mut desk, &a, fit.lease, said("features", 40));
    desk.wait(5_000);
    desk.complete(&a, &fit);
    assert_eq!(pace(&desk), before, "what is learned from is not scored");

    let one = desk.granted(&a, "one");
    let two = desk.granted(&b, "two");
    desk.wait(5_000);
    tell(&mut desk, &a, one.lease, said("score", 60));
    tell(&mut desk, &b, two.lease, said("score", 40));
    desk.wait(5_000);
    // The other stage's items are no images.
    tell(&mut desk, &a, one.lease, said("write", 3));
    assert_eq!(
        pace(&desk),
        Pace {
            done: 100,
            total: Some(IMAGES),
            images_per_s: 10.0,
            left_ms: Some(42_900),
        }
    );
    desk.complete(&a, &one);
    assert_eq!(pace(&desk).done, 256 + 40);
    assert!((pace(&desk).images_per_s - 29.6).abs() < 1e-9);
    // What is lost is to be scored again.
    desk.fail(&b, two.lease, FailureClass::Crashed);
    assert_eq!(pace(&desk).done, 256);
    assert!(pace(&desk).left_ms.is_some(), "a moment between two tasks");
    desk.wait(3_000);
    assert_eq!(
        (pace(&desk).images_per_s, pace(&desk).left_ms),
        (0.0, None),
        "nothing runs"
    );
    let three = desk.granted(&a, "three");
    assert!(pace(&desk).images_per_s > 0.0, "it goes on");
    desk.fail(&a, three.lease, FailureClass::Crashed);
    desk.wait(61_000);
    assert_eq!(
        (pace(&desk).images_per_s, pace(&desk).left_ms),
        (0.0, None),
        "nobody works"
    );
}

/// With a job of three chunks that are all to be scored.
fn trained() -> (Desk, Sender) {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", None, 3));
    for claim in ["list", "fit"] {
        let task = desk.granted(&a, claim);
        desk.complete(&a, &task);
    }
    (desk, a)
}

/// With the first of them scored and half of the second.
fn half_way() -> (Desk, Sender, LeaseNumber) {
    let (mut desk, a) = trained();
    let one = desk.granted(&a, "one");
    tell(&mut desk, &a, one.lease, said("score", 0));
    desk.wait(5_000);
    tell(&mut desk, &a, one.lease, said("score", 256));
    desk.complete(&a, &one);
    let two = desk.granted(&a, "two");
    tell(&mut desk, &a, two.lease, said("score", 128));
    let before = pace(&desk);
    assert_eq!(before.done, 256 + 128);
    assert!(before.images_per_s > 0.0 && before.left_ms.is_some());
    (desk, a, two.lease)
}

/// What is told of a job of which `done` images are scored and no more are.
fn stands_still(done: u64) -> Pace {
    Pace {
        done,
        total: Some(IMAGES),
        images_per_s: 0.0,
        left_ms: None,
    }
}

#[test]
fn a_job_that_is_being_cancelled_tells_what_it_has_scored_and_no_time() {
    let (mut desk, a, two) = half_way();
    desk.cancel("job0", "c");
    assert_eq!(desk.state("job0"), JobState::Cancelling);
    assert_eq!(pace(&desk), stands_still(256));
    desk.beat(&a, &[two]);
    desk.fail(&a, two, FailureClass::Crashed);
    assert_eq!(desk.state("job0"), JobState::Cancelled);
    let id = "job0".parse().unwrap();
    assert_eq!(desk.core.pace(&id, desk.now), None);
    // What was cancelled is to be scored again.
    desk.retry("job0", "again");
    assert_eq!(pace(&desk).done, 256);
    desk.restart();
    assert_eq!(pace(&desk), stands_still(256));
}

#[test]
fn a_job_whose_store_is_down_tells_no_rate() {
    let (mut desk, a, two) = half_way();
    desk.fail(&a, two, FailureClass::Unavailable);
    assert_eq!(pace(&desk), stands_still(256));
}

#[test]
fn what_was_scored_before_a_restart_is_no_speed() {
    let (mut desk, a) = trained();
    let one = desk.granted(&a, "one");
    desk.wait(10_000);
    tell(&mut desk, &a, one.lease, said("score", 100));
    assert!(pace(&desk).images_per_s > 9.0);
    desk.restart();
    assert_eq!((pace(&desk).done, pace(&desk).images_per_s), (0, 0.0));
    tell(&mut desk, &a, one.lease, said("score", 120));
    desk.wait(10_000);
    assert_eq!((pace(&desk).done, pace(&desk).images_per_s), (120, 0.0));
    tell(&mut desk, &a, one.lease, said("score", 140));
    assert!((pace(&desk).images_per_s - 2.0).abs() < 1e-9);
    desk.work_off(&a, "rest");
    desk.complete(&a, &one);
    desk.work_off(&a, "end");
    let id = "job0".parse().unwrap();
    assert_eq!(desk.core.pace(&id, desk.now), None, "all is scored");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
}

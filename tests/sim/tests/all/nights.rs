//! A pool that is scaled on the core's backlog does the night's work, whatever is taken away meanwhile.

use sim::night::{Night, Pool, Scaled};

fn night(pool: Pool) -> Night {
    Night {
        seed: 1,
        jobs: 4,
        every_s: 600,
        chunks: 100,
        rate: 10.0,
        pool,
    }
}

fn scaled(taken_an_hour: f64) -> Pool {
    Pool::Scaled(Scaled {
        max: 50,
        seconds_per_slot: 300,
        taken_an_hour,
        without_notice: 0.3,
    })
}

#[test]
fn every_image_is_scored_once_by_pods_that_came_when_they_were_needed() {
    let morning = night(scaled(0.0)).pass().unwrap();
    assert_eq!(morning.images, 4 * sim::workload::samples(100));
    assert_eq!((morning.lost, morning.taken), (0, 0));
    assert_eq!(morning.pods[0], 1);
    assert!(
        morning.most_pods > 5 && morning.most_pods <= 50,
        "{morning:?}"
    );
    let fixed = night(Pool::Fixed(50)).pass().unwrap();
    assert_eq!(fixed.images, morning.images);
    // Less is paid, and it takes longer by less than an arrival's distance.
    assert!(morning.pod_s * 2 < fixed.pod_s, "{morning:?} {fixed:?}");
    assert!(
        morning.done_s < fixed.done_s + 1_200,
        "{morning:?} {fixed:?}"
    );
}

#[test]
fn every_image_is_scored_once_though_machines_are_taken_away() {
    let mut long = night(scaled(6.0));
    long.chunks = 400;
    let morning = long.pass().unwrap();
    assert_eq!(morning.images, 4 * sim::workload::samples(400));
    assert!(morning.taken > 20 && morning.lost > 0, "{morning:?}");
    // The same seed is the same night.
    assert_eq!(long.pass().unwrap(), morning);
}

#[test]
fn a_pool_goes_to_zero_between_two_arrivals_that_are_far_apart() {
    let mut seldom = night(scaled(0.0));
    (seldom.jobs, seldom.every_s) = (2, 7_200);
    let morning = seldom.pass().unwrap();
    assert!(morning.pods[60..119].contains(&0), "{:?}", morning.pods);
    assert_eq!(morning.images, 2 * sim::workload::samples(100));
}

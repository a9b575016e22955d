//! C8: what is to be published stands in the store exactly once, wherever the coordinator dies on the way.

use sim::{coordinator::PutPoint, worker::Does};
use types::JobState;

use crate::crash_points::{finish, until_jobs_exist, world};

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

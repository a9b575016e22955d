//! SIGKILL of executor, agent or coordinator at a moment of the protocol.

use crate::faults::calls::Moment;
use crate::faults::{Chance, Site, with_seeds};
use crate::processes::Signal;
use crate::queues::{Queue, on_both_queues};
use crate::quiet::Work;
use crate::sandbox::LIMIT;

on_both_queues!(
    a_killed_executor_disturbs_nothing,
    a_killed_agent_disturbs_nothing,
    a_killed_coordinator_disturbs_nothing,
);

/// A kind of moment, in turn, and any of the tasks.
fn moment(seed: u64, chance: &mut Chance) -> (Moment, usize) {
    let kinds = Moment::ALL;
    let kind = kinds[(seed % kinds.len() as u64) as usize];
    (kind, chance.below(Work::TASKS))
}

fn a_killed_executor_disturbs_nothing(queue: Queue) {
    with_seeds(|_, chance| {
        let site = Site::new(Work::ThreeRuns, queue, &[]);
        let worker = site.worker("box", &[]);
        let nth = chance.below(Work::TASKS);
        site.submit_and_end_executor(&worker, nth, Signal::KILL);
        site.end([worker]);
    });
}

fn a_killed_agent_disturbs_nothing(queue: Queue) {
    with_seeds(|seed, chance| {
        let site = Site::new(Work::ThreeRuns, queue, &[]);
        let worker = site.worker("box", &[]);
        site.submit_and_kill(worker.process(), moment(seed, chance));
        worker.wait(LIMIT);
        let again = site.worker("box", &[]);
        site.end([again]);
    });
}

fn a_killed_coordinator_disturbs_nothing(queue: Queue) {
    with_seeds(|seed, chance| {
        let mut site = Site::new(Work::ThreeRuns, queue, &[]);
        let worker = site.worker("box", &[]);
        site.submit_and_kill(site.coordinator.process(), moment(seed, chance));
        site.replace_killed_coordinator();
        site.end([worker]);
    });
}

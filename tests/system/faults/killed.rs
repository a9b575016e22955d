//! SIGKILL of executor, agent or coordinator at a moment of the protocol.

use crate::faults::calls::{Fate, Moment};
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
        let granted = site.calls.at(Moment::Granted, nth, || Fate::Pass);
        site.submit();
        granted.recv_timeout(LIMIT).unwrap();
        let executor = worker.program("executor");
        executor.signal(Signal::KILL);
        executor.wait_for_end(LIMIT);
        site.end([worker]);
    });
}

fn a_killed_agent_disturbs_nothing(queue: Queue) {
    with_seeds(|seed, chance| {
        let site = Site::new(Work::ThreeRuns, queue, &[]);
        let worker = site.worker("box", &[]);
        let victim = worker.process();
        let (moment, nth) = moment(seed, chance);
        let killed = site.calls.at(moment, nth, move || {
            victim.signal(Signal::KILL);
            Fate::Lose
        });
        site.submit();
        killed.recv_timeout(LIMIT).unwrap();
        worker.wait(LIMIT);
        let again = site.worker("box", &[]);
        site.end([again]);
    });
}

fn a_killed_coordinator_disturbs_nothing(queue: Queue) {
    with_seeds(|seed, chance| {
        let mut site = Site::new(Work::ThreeRuns, queue, &[]);
        let worker = site.worker("box", &[]);
        let victim = site.coordinator.process();
        let (moment, nth) = moment(seed, chance);
        let killed = site.calls.at(moment, nth, move || {
            victim.signal(Signal::KILL);
            Fate::Lose
        });
        site.submit();
        killed.recv_timeout(LIMIT).unwrap();
        // It is dead already.
        site.kill_coordinator();
        site.start_coordinator_again();
        site.expect_the_quiet_results();
        // Whatever was lost was only an answer.
        site.expect_one_attempt_each();
        site.end([worker]);
    });
}

//! SIGSTOP of executor, agent or coordinator, for longer than others wait for them.

use crate::faults::calls::{Fate, Moment};
use crate::faults::site::{SHORT_LEASE, Site};
use crate::faults::with_seeds;
use crate::hangs::executor_at_fit;
use crate::processes::Signal;
use crate::queues::{Queue, on_both_queues};
use crate::quiet::Work;
use crate::sandbox::LIMIT;

on_both_queues!(
    a_stopped_executor_is_killed_and_disturbs_nothing,
    an_agent_that_stood_still_for_longer_than_its_lease_goes_on,
    a_coordinator_that_stood_still_takes_no_lease_away,
);

/// Above what any step of any task takes on a machine that is busy.
const STALL: [&str; 2] = ["--stall-timeout=10s", "--loading-timeout=20s"];

fn a_stopped_executor_is_killed_and_disturbs_nothing(queue: Queue) {
    with_seeds(|_, chance| {
        let site = Site::new(Work::ThreeRuns, queue, &[]);
        let worker = site.worker("box", &STALL);
        // There is a task after it: one that has nothing to do may stand still.
        let nth = chance.below(Work::TASKS - 1);
        site.submit_and_end_executor(&worker, nth, Signal::STOP);
        site.end([worker]);
    });
}

fn an_agent_that_stood_still_for_longer_than_its_lease_goes_on(queue: Queue) {
    with_seeds(|_, chance| {
        let site = Site::new(Work::ThreeRuns, queue, SHORT_LEASE);
        let still = site.worker("still", &[]);
        let process = still.process();
        // Given or being computed: its lease will run out, and the job needs somebody else.
        let nth = chance.below(Work::TASKS);
        let stopped = site.calls.at(Moment::Granted, nth, move || {
            process.signal(Signal::STOP);
            Fate::Pass
        });
        site.submit();
        stopped.recv_timeout(LIMIT).unwrap();
        let other = site.undisturbed_worker("other");
        site.expect_the_quiet_results();
        still.signal(Signal::CONT);
        other.end();
        // It is a worker like any other again.
        site.submit();
        site.expect_the_quiet_results();
        let list = &site.sandbox.tasks("list")[0];
        assert_eq!(list["attempts"][0]["worker"], "still", "{list}");
        site.end([still]);
    });
}

fn a_coordinator_that_stood_still_takes_no_lease_away(queue: Queue) {
    let site = Site::new(Work::Long, queue, SHORT_LEASE);
    let mut worker = site.worker("box", &[]);
    site.submit();
    executor_at_fit(&site.sandbox, &worker, 1);
    site.coordinator.signal(Signal::STOP);
    // A call waits for its answer far longer than a lease lives here.
    worker.wait_for_word("no answer from the coordinator");
    site.coordinator.signal(Signal::CONT);
    site.expect_the_quiet_results();
    assert_eq!(site.sandbox.outcomes("fit"), ["accepted"]);
    site.end([worker]);
}

//! Coordinator and worker lose sight of each other: calls and answers get lost, one of them stands still, leases run out.
//! The job ends, each sample is scored once, and the results are those of a quiet run.

use broker_harness::Proxy;

use crate::cuts::Cuts;
use crate::following::{coordinator, free_address};
use crate::hangs::executor_at_fit;
use crate::processes::Signal;
use crate::queues::{Queue, on_both_queues};
use crate::quiet::{Results, expect_the_quiet_results, quiet, runtime, with_three_runs};
use crate::sandbox::{Running, SOON, Sandbox};

on_both_queues!(
    calls_cut_at_every_step_lose_and_double_nothing,
    a_worker_cut_off_for_longer_than_its_lease_completes_in_vain,
    a_worker_that_stood_still_for_longer_than_its_lease_goes_on,
    a_coordinator_that_stood_still_takes_no_lease_away,
);

/// A lease short enough to wait for its end.
const SHORT_LEASE: [&str; 2] = ["--lease-ttl=3s", "--heartbeat=500ms"];

/// So many images that `fit` is still at work when it is looked for.
const MANY: u32 = 600;

/// A coordinator on the network.
struct Site {
    sandbox: Sandbox,
    quiet: Results,
    address: String,
    coordinator: Running,
}

impl Site {
    fn new((sandbox, quiet): (Sandbox, Results), queue: Queue) -> Self {
        let mut sandbox = sandbox.on(queue);
        // Who is cut off may hold a wake-up: then the poll bounds the wait.
        sandbox.set("NIGHTSHIFT_POLL", "2s");
        let address = free_address();
        let coordinator = coordinator(&sandbox, &address, &SHORT_LEASE);
        Self {
            sandbox,
            quiet,
            address,
            coordinator,
        }
    }

    fn with_long_job(queue: Queue) -> Self {
        let sandbox = Sandbox::with_job(MANY, 3);
        let quiet = quiet(&sandbox);
        Self::new((sandbox, quiet), queue)
    }

    fn worker(&self, name: &str, address: &str) -> Running {
        let url = format!("http://{address}");
        let mut worker = self
            .sandbox
            .start("worker", &["--coordinator", &url, "--name", name]);
        worker.wait_for_word("worker started");
        worker
    }

    fn submit(&self) {
        self.sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    }

    /// The first attempt lost its lease, and the second is another worker's.
    fn expect_taken_over_by(&self, worker: &str) {
        let outcomes = self.sandbox.outcomes("fit");
        assert_eq!(outcomes.len(), 2, "{outcomes:?}");
        // Without a heartbeat nobody knows that it had begun.
        assert!(["lost", "never_started"].contains(&outcomes[0].as_str()));
        assert_eq!(outcomes[1], "accepted");
        let fit = &self.sandbox.tasks("fit")[0];
        assert_eq!(fit["attempts"][1]["worker"], worker, "{fit}");
    }

    /// The worker ends as it should: whatever it held is settled.
    fn end(self, workers: impl IntoIterator<Item = Running>) {
        for worker in workers {
            worker.signal(Signal::TERM);
            worker.wait(SOON * 2).expect(0);
        }
        self.coordinator.signal(Signal::TERM);
        self.coordinator.wait(SOON).expect(0);
    }
}

fn calls_cut_at_every_step_lose_and_double_nothing(queue: Queue) {
    let runtime = runtime();
    let site = Site::new(with_three_runs(40, 6), queue);
    let proxy = runtime
        .block_on(Proxy::start(site.address.parse().unwrap()))
        .unwrap();
    let worker = site.worker("box", &proxy.address().to_string());
    let rounds = match std::env::var_os("NIGHTSHIFT_CHAOS") {
        Some(_) => 60,
        None => 3,
    };
    // An assignment takes some thousand bytes, a completion and its answer less.
    let mut cuts = Cuts {
        bytes: 7,
        below: 9_973,
        made: 0,
    };
    for _ in 0..rounds {
        site.submit();
        cuts.until_done(&site.sandbox, &proxy);
        expect_the_quiet_results(&site.sandbox, &site.quiet);
    }
    let made = cuts.made;
    assert!(made >= 3 * rounds, "{made} cuts in {rounds} jobs");
    site.end([worker]);
}

fn a_worker_cut_off_for_longer_than_its_lease_completes_in_vain(queue: Queue) {
    let runtime = runtime();
    let site = Site::with_long_job(queue);
    let proxy = runtime
        .block_on(Proxy::start(site.address.parse().unwrap()))
        .unwrap();
    let mut cut_off = site.worker("cut-off", &proxy.address().to_string());
    site.submit();
    executor_at_fit(&site.sandbox, &cut_off, 1);
    proxy.freeze(true);
    let other = site.worker("other", &site.address);
    // The other one gets the task when the lease has run out. Who is cut off computes on.
    expect_the_quiet_results(&site.sandbox, &site.quiet);
    site.expect_taken_over_by("other");
    proxy.cut();
    proxy.freeze(false);
    // What it tells now changes nothing; it is a worker like any other again.
    cut_off.wait_for_word("the coordinator answers");
    expect_the_quiet_results(&site.sandbox, &site.quiet);
    site.expect_taken_over_by("other");
    drop(other);
    site.submit();
    expect_the_quiet_results(&site.sandbox, &site.quiet);
    site.end([cut_off]);
}

fn a_worker_that_stood_still_for_longer_than_its_lease_goes_on(queue: Queue) {
    let site = Site::with_long_job(queue);
    let still = site.worker("still", &site.address);
    site.submit();
    executor_at_fit(&site.sandbox, &still, 1);
    still.signal(Signal::STOP);
    let other = site.worker("other", &site.address);
    expect_the_quiet_results(&site.sandbox, &site.quiet);
    site.expect_taken_over_by("other");
    still.signal(Signal::CONT);
    drop(other);
    site.submit();
    expect_the_quiet_results(&site.sandbox, &site.quiet);
    assert_eq!(
        site.sandbox.tasks("fit")[0]["attempts"][0]["worker"],
        "still"
    );
    site.end([still]);
}

fn a_coordinator_that_stood_still_takes_no_lease_away(queue: Queue) {
    let site = Site::with_long_job(queue);
    let mut worker = site.worker("box", &site.address);
    site.submit();
    executor_at_fit(&site.sandbox, &worker, 1);
    site.coordinator.signal(Signal::STOP);
    // A call waits for its answer far longer than a lease lives here.
    worker.wait_for_word("no answer from the coordinator");
    site.coordinator.signal(Signal::CONT);
    expect_the_quiet_results(&site.sandbox, &site.quiet);
    assert_eq!(site.sandbox.outcomes("fit"), ["accepted"]);
    site.end([worker]);
}

//! A coordinator on the network, workers that reach it through a proxy, and a job whose quiet results are known.

use tokio::runtime::Runtime;

use crate::faults::calls::Calls;
use crate::following::{coordinator, free_address};
use crate::processes::Signal;
use crate::queues::Queue;
use crate::quiet::{Results, Work, expect_the_quiet_results, runtime};
use crate::sandbox::{Running, SOON, Sandbox};

/// A lease short enough to wait for its end.
pub const SHORT_LEASE: &[&str] = &["--lease-ttl=3s", "--heartbeat=500ms"];

pub struct Site {
    pub sandbox: Sandbox,
    quiet: &'static Results,
    address: String,
    /// Of the coordinator.
    arguments: &'static [&'static str],
    pub coordinator: Running,
    /// Between workers and coordinator.
    pub calls: Calls,
    pub runtime: Runtime,
}

impl Site {
    pub fn new(work: Work, queue: Queue, arguments: &'static [&'static str]) -> Self {
        Self::of(work.sandbox().on(queue), work, arguments)
    }

    /// With this sandbox, which has the work's job.
    pub fn of(mut sandbox: Sandbox, work: Work, arguments: &'static [&'static str]) -> Self {
        let quiet = work.quiet();
        // Who is cut off may hold a wake-up: then the poll bounds the wait.
        sandbox.set("NIGHTSHIFT_POLL", "2s");
        let address = free_address();
        let coordinator = coordinator(&sandbox, &address, arguments);
        let runtime = runtime();
        let calls = Calls::before(&runtime, address.parse().unwrap());
        Self {
            sandbox,
            quiet,
            address,
            arguments,
            coordinator,
            calls,
            runtime,
        }
    }

    /// A worker whose calls go through the proxy.
    pub fn worker(&self, name: &str, arguments: &[&str]) -> Running {
        self.worker_at(&self.calls.address().to_string(), name, arguments)
    }

    /// One that is not disturbed.
    pub fn undisturbed_worker(&self, name: &str) -> Running {
        self.worker_at(&self.address, name, &[])
    }

    fn worker_at(&self, address: &str, name: &str, arguments: &[&str]) -> Running {
        let url = format!("http://{address}");
        let own = ["--coordinator", &url, "--name", name];
        let mut worker = self.sandbox.start("worker", &[&own, arguments].concat());
        worker.wait_for_word("worker started");
        worker
    }

    pub fn kill_coordinator(&self) {
        self.coordinator.signal(Signal::KILL);
        self.coordinator.process().wait_for_end(SOON);
    }

    /// After the one before has ended.
    pub fn start_coordinator_again(&mut self) {
        self.coordinator = coordinator(&self.sandbox, &self.address, self.arguments);
    }

    pub fn submit(&self) {
        self.sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    }

    #[track_caller]
    pub fn expect_the_quiet_results(&self) {
        expect_the_quiet_results(&self.sandbox, self.quiet);
    }

    /// Nothing was done twice, or in vain.
    #[track_caller]
    pub fn expect_one_attempt_each(&self) {
        let kinds = ["list", "fit", "score", "evaluate", "reduce"];
        let outcomes: Vec<_> = kinds.map(|kind| self.sandbox.outcomes(kind)).concat();
        assert_eq!(outcomes, ["accepted"; Work::TASKS]);
    }

    /// The newest job is done as on a quiet night. The programs end as they should, and leave no message.
    #[track_caller]
    pub fn end(self, workers: impl IntoIterator<Item = Running>) {
        self.expect_the_quiet_results();
        self.calls.expect_the_same_answers();
        self.sandbox.wait_for_no_message();
        // They say goodbye to the coordinator.
        let ended = workers.into_iter().map(Running::end).count();
        self.coordinator.end();
        self.sandbox.expect_no_other_message(ended as u32);
    }
}

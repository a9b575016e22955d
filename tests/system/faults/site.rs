//! A coordinator on the network, workers that reach it through a proxy, and a job whose quiet results are known.

use broker_harness::Proxy;
use tokio::runtime::Runtime;

use crate::cuts::Cuts;
use crate::faults::calls::{Calls, Fate, Moment};
use crate::following::{coordinator, free_address};
use crate::processes::{Process, Signal, until};
use crate::queues::Queue;
use crate::quiet::{Results, Work, expect_the_quiet_results, expect_the_quiet_results_of, runtime};
use crate::sandbox::{LIMIT, Running, SOON, Sandbox};

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

    /// Submits the job; at a moment of it, for the nth time, one of the programs is killed, and the call is lost.
    pub fn submit_and_kill(&self, victim: Process, (moment, nth): (Moment, usize)) {
        let killed = self.calls.at(moment, nth, move || {
            victim.signal(Signal::KILL);
            Fate::Lose
        });
        self.submit();
        killed.recv_timeout(LIMIT).unwrap();
    }

    /// Submits the job; the executor gets a signal when the nth task has been given, which ends it at once or soon.
    pub fn submit_and_end_executor(&self, worker: &Running, nth: usize, by: Signal) {
        let granted = self.calls.at(Moment::Granted, nth, || Fate::Pass);
        self.submit();
        granted.recv_timeout(LIMIT).unwrap();
        let executor = worker.program("executor");
        executor.signal(by);
        executor.wait_for_end(LIMIT);
    }

    /// Submits the job so often, each time among cuts, and expects it to be done as on a quiet night.
    pub fn submit_among(&self, cuts: &mut Cuts, proxy: &Proxy, times: u64) {
        for _ in 0..times {
            self.submit();
            cuts.until_done(&self.sandbox, proxy);
            self.expect_the_quiet_results();
        }
    }

    /// Another coordinator in the place of one that was killed finishes the job. What was lost were only answers: no task is
    /// done twice.
    pub fn replace_killed_coordinator(&mut self) {
        // It is dead already, or about to be.
        self.kill_coordinator();
        self.start_coordinator_again();
        self.expect_the_quiet_results();
        self.expect_one_attempt_each();
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

    /// Every job of the work ends well, and has the results of the quiet night.
    #[track_caller]
    pub fn expect_the_quiet_results_of_all(&self, name: &str) {
        let jobs = until("the end of all jobs", LIMIT, || {
            let jobs = self.sandbox.json(&["get", "jobs"]);
            let mut all = jobs.as_array().unwrap().iter();
            let ended = all.all(|job| job["state"] == "succeeded");
            ended.then_some(jobs)
        });
        let jobs = jobs.as_array().unwrap().iter();
        for job in jobs.filter(|job| job["name"] == name) {
            let id = job["id"].as_str().unwrap();
            expect_the_quiet_results_of(&self.sandbox, id, self.quiet);
        }
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

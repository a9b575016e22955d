//! A broker that dies, comes back, is cut off or takes nothing, in the middle of work: the job ends, each sample is
//! scored once, the results are those of a quiet run, and nothing is left with the broker.

use broker_harness::{Broker, Options, Proxy};
use queue::{Consumer, ConsumerState, Publisher, Settings, WakeUp};
use types::PoolName;

use crate::cuts::Cuts;
use crate::hangs::executor_at_fit;
use crate::kills::wait_for_socket;
use crate::processes::{Signal, until};
use crate::quiet::{Results, expect_the_quiet_results, runtime, with_three_runs};
use crate::sandbox::{LIMIT, Running, SOON, Sandbox};

/// A broker, and a sandbox with a job whose quiet results are known.
struct Night {
    sandbox: Sandbox,
    broker: Broker,
    quiet: Results,
}

impl Night {
    fn new(options: &Options) -> Self {
        let broker = Broker::start(options).unwrap();
        let (mut sandbox, quiet) = with_three_runs(40, 6);
        sandbox.use_broker(&format!("guest@{}/", broker.address()));
        Self {
            sandbox,
            broker,
            quiet,
        }
    }

    fn start(&self) -> (Running, Running) {
        let coordinator = self.sandbox.start("coordinator", &[]);
        wait_for_socket(&self.sandbox);
        let worker = self.sandbox.start("worker", &["--name", "box"]);
        self.wait_for_idle_worker();
        (coordinator, worker)
    }

    /// It has claimed once and got nothing: from now on it waits to be woken.
    fn wait_for_idle_worker(&self) {
        until("a live worker", LIMIT, || {
            let workers = self.sandbox.json(&["get", "workers"]);
            let mut workers = workers.as_array()?.iter();
            workers
                .any(|worker| worker["name"] == "box" && worker["state"] == "live")
                .then_some(())
        });
    }

    fn expect_the_quiet_results(&self) {
        expect_the_quiet_results(&self.sandbox, &self.quiet);
    }

    /// Asked over the protocol: what `rabbitmqctl list_queues` says may be seconds old.
    fn expect_an_empty_queue(&self) {
        runtime().block_on(async {
            let publisher = Publisher::start(self.as_a_client());
            let empty = async {
                while publisher.depth(&PoolName::default()).await.unwrap().ready > 0 {
                    tokio::task::yield_now().await;
                }
            };
            let waited = tokio::time::timeout(LIMIT, empty).await;
            waited.expect("the queue to be empty");
        });
    }

    fn as_a_client(&self) -> Settings {
        let url = format!("amqp://guest:guest@{}/", self.broker.address());
        Settings::new(url.parse().unwrap(), "a test")
    }
}

#[test]
fn a_broker_killed_or_stopped_and_started_in_the_middle_of_a_job_loses_nothing() {
    let mut night = Night::new(&Options::default());
    let (coordinator, worker) = night.start();
    // Killed last: a 3.10 node that is killed right after a queue's first declaration comes back with a broken one.
    for (kill, key) in [(false, "stopped"), (true, "killed")] {
        night
            .sandbox
            .ctl(&["submit", "job.yaml", "--key", key])
            .expect(0);
        night.sandbox.wait_for_running("fit");
        match kill {
            true => night.broker.kill().unwrap(),
            false => night.broker.stop().unwrap(),
        }
        // Work goes on without it.
        night.expect_the_quiet_results();
        let workers = night.sandbox.ctl(&["get", "workers"]);
        workers.expect(0).says(&["workers poll"]);
        night.broker.start_again().unwrap();
        until("the coordinator to be connected", LIMIT, || {
            let workers = night.sandbox.ctl(&["get", "workers"]);
            workers.stderr.contains(": connected").then_some(())
        });
    }
    // And with it again.
    night
        .sandbox
        .ctl(&["submit", "job.yaml", "--key", "again", "--wait"])
        .expect(0);
    night.expect_the_quiet_results();
    night.expect_an_empty_queue();
    // Dozens of tries: each outage is said once, or once more than a minute later, and so is its end.
    for (program, gone) in [
        (coordinator, "no connection to the broker"),
        (worker, "not consuming"),
    ] {
        for words in [gone, "connected to the broker"] {
            let lines = program.stderr().matches(words).count();
            assert!(
                (1..=6).contains(&lines),
                "{lines} of {words}:\n{}",
                program.stderr()
            );
        }
    }
}

#[test]
fn connections_cut_at_every_step_of_the_protocol_lose_nothing() {
    let runtime = runtime();
    let mut night = Night::new(&Options::default());
    let proxy = runtime
        .block_on(Proxy::start(night.broker.address()))
        .unwrap();
    night
        .sandbox
        .use_broker(&format!("guest@{}/", proxy.address()));
    night.sandbox.set("NIGHTSHIFT_POLL", "2s");
    let (_coordinator, _worker) = night.start();
    // Handshakes take some hundred bytes a side, wake-ups less.
    let mut cuts = Cuts {
        bytes: 0,
        below: 1_500,
        made: 0,
    };
    for round in 0..4_u64 {
        let key = format!("round-{round}");
        night
            .sandbox
            .ctl(&["submit", "job.yaml", "--key", &key])
            .expect(0);
        cuts.bytes = 7 * round;
        cuts.until_done(&night.sandbox, &proxy);
        night.expect_the_quiet_results();
    }
    assert!(cuts.made >= 4, "{} cuts", cuts.made);
    night.expect_an_empty_queue();
}

#[test]
fn a_coordinator_killed_between_accepting_a_job_and_publishing_publishes_after_its_restart() {
    let runtime = runtime();
    let mut night = Night::new(&Options::default());
    let proxy = runtime
        .block_on(Proxy::start(night.broker.address()))
        .unwrap();
    // Its worker reaches the broker by itself, and never polls: only a wake-up makes it go on.
    night.sandbox.set("NIGHTSHIFT_POLL", "1h");
    let own = format!("amqp://guest@{}/", proxy.address());
    let start = |night: &Night| night.sandbox.start("coordinator", &["--broker", &own]);
    let coordinator = start(&night);
    wait_for_socket(&night.sandbox);
    let _worker = night.sandbox.start("worker", &["--name", "box"]);
    night.wait_for_idle_worker();
    // What it writes now reaches nobody.
    proxy.freeze(true);
    night.sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    coordinator.signal(Signal::KILL);
    coordinator.process().wait_for_end(SOON);
    proxy.cut();
    proxy.freeze(false);
    let _coordinator = start(&night);
    night.expect_the_quiet_results();
    night.expect_an_empty_queue();
}

#[test]
fn a_task_longer_than_the_brokers_patience_is_done_once() {
    let night = Night::new(&Options {
        consumer_timeout: Some(std::time::Duration::from_secs(2)),
        ..Options::default()
    });
    let (_coordinator, worker) = night.start();
    night.sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    let executor = executor_at_fit(&night.sandbox, &worker, 1);
    executor.signal(Signal::STOP);
    // Somebody who holds a message, as workers do not, is cut off: then the time is over.
    runtime().block_on(async {
        let settings = night.as_a_client();
        let pool: PoolName = "canary".parse().unwrap();
        let publisher = Publisher::start(settings.clone());
        let mut consumer = Consumer::start(settings, pool.clone());
        let wake_up = WakeUp {
            pool,
            number: 1,
            hint: None,
            trace: None,
        };
        while publisher.publish(&wake_up).await.is_err() {}
        let held = consumer.next().await.unwrap();
        let mut state = consumer.state();
        let cut_off = state.wait_for(|state| matches!(state, ConsumerState::Disconnected(_)));
        tokio::time::timeout(LIMIT, cut_off)
            .await
            .expect("the broker cuts off who holds a message")
            .unwrap();
        drop(held);
        consumer.next().await.unwrap().ack().await.unwrap();
        consumer.close().await;
    });
    executor.signal(Signal::CONT);
    night.expect_the_quiet_results();
    assert_eq!(night.sandbox.outcomes("fit"), ["accepted"; 3]);
    assert!(
        !worker.stderr().contains("not consuming"),
        "{}",
        worker.stderr()
    );
    night.expect_an_empty_queue();
}

#[test]
fn a_broker_without_memory_is_said_and_work_goes_on_by_polling() {
    let mut night = Night::new(&Options::default());
    night.sandbox.set("NIGHTSHIFT_POLL", "2s");
    let (_coordinator, _worker) = night.start();
    let limit = |absolute: &[&str]| {
        let arguments = [&["set_vm_memory_high_watermark"], absolute].concat();
        night.broker.ctl(&arguments).unwrap();
    };
    limit(&["0.0001"]);
    let mut rounds = 0;
    until("the alarm to be seen", LIMIT, || {
        rounds += 1;
        let seed = format!("seed={rounds}");
        night
            .sandbox
            .ctl(&["submit", "job.yaml", "--wait", "--set", &seed])
            .expect(0);
        let workers = night.sandbox.ctl(&["get", "workers"]);
        workers.stderr.contains("takes no messages").then_some(())
    });
    night.sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    night.expect_the_quiet_results();
    limit(&["absolute", "512MB"]);
    until("the end of the alarm", LIMIT, || {
        let workers = night.sandbox.ctl(&["get", "workers"]);
        workers.stderr.contains(": connected").then_some(())
    });
    night.expect_an_empty_queue();
}

#[test]
fn what_is_wrong_with_the_broker_is_said_at_the_start() {
    let broker = Broker::start(&Options::default()).unwrap();
    let address = broker.address();
    let mut sandbox = Sandbox::with_job(3, 3);
    let refused = |sandbox: &Sandbox, place: &str, code: i32, words: &[&str]| {
        for program in ["coordinator", "worker"] {
            let url = format!("amqp://{place}");
            let ended = sandbox.start(program, &["--broker", &url]).wait(LIMIT);
            ended.expect(code).says(words);
            assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
        }
    };
    sandbox.set("NIGHTSHIFT_BROKER_PASSWORD", "s3cret");
    let of_guest = format!("guest@{address}/");
    refused(&sandbox, &of_guest, 5, &["refused the login", "guest"]);
    let in_url = format!("guest:s3cret@{address}/");
    refused(&sandbox, &in_url, 2, &["NIGHTSHIFT_BROKER_PASSWORD"]);
    sandbox.set("NIGHTSHIFT_BROKER_PASSWORD", "guest");
    let nowhere = format!("guest@{address}/nowhere");
    refused(&sandbox, &nowhere, 5, &["nowhere", "add_vhost"]);
    // A password from a file; a queue that somebody else has declared.
    sandbox.write("password", "guest\n");
    sandbox.set("NIGHTSHIFT_BROKER_PASSWORD", "wrong");
    let file = sandbox.path("password").display().to_string();
    sandbox.set("NIGHTSHIFT_BROKER_PASSWORD_FILE", &file);
    let declare = "rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, <<\"nightshift.v1.cpu\">>), true, false, [], none, <<\"guest\">>).";
    broker.ctl(&["eval", declare]).unwrap();
    refused(&sandbox, &of_guest, 6, &["other arguments", "delete_queue"]);
}

#[test]
fn a_broker_that_is_not_there_yet_is_no_reason_not_to_start() {
    let mut night = Night::new(&Options::default());
    night.broker.kill().unwrap();
    night.sandbox.set("NIGHTSHIFT_POLL", "2s");
    let (coordinator, worker) = night.start();
    night
        .sandbox
        .ctl(&["submit", "job.yaml", "--wait"])
        .expect(0);
    night.expect_the_quiet_results();
    for program in [&coordinator, &worker] {
        assert!(program.stderr().contains("the broker is not there"));
    }
    // The worker first: it says goodbye to the coordinator.
    for program in [worker, coordinator] {
        program.signal(Signal::TERM);
        program.wait(SOON * 2).expect(0);
    }
}

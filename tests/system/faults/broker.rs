//! A broker that dies, comes back, is cut off, loses patience or takes nothing, in the middle of work.

use std::net::SocketAddr;

use broker_harness::{Broker, Options, Proxy};
use queue::{Consumer, ConsumerState, Publisher, WakeUp};
use types::PoolName;

use crate::cuts::Cuts;
use crate::faults::calls::{Fate, Moment};
use crate::faults::{Site, rounds, with_seeds};
use crate::hangs::executor_at_fit;
use crate::processes::{Signal, until};
use crate::quiet::{Work, runtime};
use crate::sandbox::{LIMIT, Running, Sandbox};

/// A site on a broker of its own.
fn site(options: &Options) -> (Broker, Site) {
    let broker = Broker::start(options).unwrap();
    let site = site_at(broker.address());
    (broker, site)
}

fn site_at(broker: SocketAddr) -> Site {
    let mut sandbox = Work::ThreeRuns.sandbox();
    use_broker(&mut sandbox, broker);
    Site::of(sandbox, Work::ThreeRuns, &[])
}

fn use_broker(sandbox: &mut Sandbox, broker: SocketAddr) {
    sandbox.use_broker(&format!("guest@{broker}/"));
}

/// A worker that has claimed once and got nothing: from now on it waits to be woken.
fn idle_worker(site: &Site) -> Running {
    let worker = site.worker("box", &[]);
    until("a live worker", LIMIT, || {
        let workers = site.sandbox.json(&["get", "workers"]);
        (workers[0]["state"] == "live").then_some(())
    });
    worker
}

/// Waits until coordinators say this of their broker.
fn wait_for_said(site: &Site, what: &str) {
    until(&format!("a broker that is {what:?}"), LIMIT, || {
        let workers = site.sandbox.ctl(&["get", "workers"]);
        workers.stderr.contains(what).then_some(())
    });
}

#[test]
fn a_broker_killed_or_stopped_and_started_in_the_middle_of_a_job_loses_nothing() {
    let (mut broker, site) = site(&Options::default());
    let worker = idle_worker(&site);
    with_seeds(|seed, chance| {
        // Killed last: a 3.10 node that is killed right after a queue's first declaration comes back with a broken one.
        let kill = seed % 2 == 1;
        let nth = chance.below(Work::TASKS);
        let granted = site.calls.at(Moment::Granted, nth, || Fate::Pass);
        site.submit();
        granted.recv_timeout(LIMIT).unwrap();
        match kill {
            true => broker.kill().unwrap(),
            false => broker.stop().unwrap(),
        }
        // Work goes on without it.
        site.expect_the_quiet_results();
        wait_for_said(&site, "workers poll");
        broker.start_again().unwrap();
        wait_for_said(&site, ": connected");
    });
    // And with it again.
    site.submit();
    site.end([worker]);
}

#[test]
fn connections_cut_at_every_step_of_the_protocol_lose_nothing() {
    let broker = Broker::start(&Options::default()).unwrap();
    let runtime = runtime();
    let proxy = runtime.block_on(Proxy::start(broker.address())).unwrap();
    let site = site_at(proxy.address());
    let worker = idle_worker(&site);
    with_seeds(|_, chance| {
        // Handshakes take some hundred bytes a side, wake-ups less.
        let mut cuts = Cuts {
            bytes: chance.below(100) as u64,
            below: 1_500,
            made: 0,
        };
        let rounds = rounds(2, 10);
        site.submit_among(&mut cuts, &proxy, rounds);
        assert!(cuts.made >= rounds, "{} cuts", cuts.made);
    });
    site.end([worker]);
}

#[test]
fn a_coordinator_killed_between_accepting_a_job_and_publishing_publishes_after_its_restart() {
    let broker = Broker::start(&Options::default()).unwrap();
    let runtime = runtime();
    let proxy = runtime.block_on(Proxy::start(broker.address())).unwrap();
    let mut site = site_at(proxy.address());
    // Its worker reaches the broker by itself, and never polls: only a wake-up makes it go on.
    use_broker(&mut site.sandbox, broker.address());
    site.sandbox.set("NIGHTSHIFT_POLL", "1h");
    let worker = idle_worker(&site);
    use_broker(&mut site.sandbox, proxy.address());
    with_seeds(|_, _| {
        // What it writes now reaches nobody.
        proxy.freeze(true);
        site.submit();
        site.kill_coordinator();
        proxy.cut();
        proxy.freeze(false);
        site.start_coordinator_again();
        site.expect_the_quiet_results();
    });
    site.end([worker]);
}

#[test]
fn a_task_longer_than_the_brokers_patience_is_done_once() {
    let (_broker, site) = site(&Options {
        consumer_timeout: Some(std::time::Duration::from_secs(2)),
        ..Options::default()
    });
    let worker = idle_worker(&site);
    site.submit();
    let executor = executor_at_fit(&site.sandbox, &worker, 1);
    executor.signal(Signal::STOP);
    // Somebody who holds a message, as workers do not, is cut off: then the time is over.
    site.runtime.block_on(async {
        let settings = site.sandbox.as_a_client().unwrap();
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
    site.expect_the_quiet_results();
    site.expect_one_attempt_each();
    assert!(
        !worker.stderr().contains("not consuming"),
        "{}",
        worker.stderr()
    );
    site.end([worker]);
}

#[test]
fn a_broker_without_memory_is_said_and_work_goes_on_by_polling() {
    let (broker, site) = site(&Options::default());
    let worker = idle_worker(&site);
    let limit = |absolute: &[&str]| {
        let arguments = [&["set_vm_memory_high_watermark"], absolute].concat();
        broker.ctl(&arguments).unwrap();
    };
    limit(&["0.0001"]);
    // The broker looks once in a while, and only who publishes is told.
    until("the alarm to be seen", LIMIT, || {
        site.submit();
        site.expect_the_quiet_results();
        let workers = site.sandbox.ctl(&["get", "workers"]);
        workers.stderr.contains("takes no messages").then_some(())
    });
    site.submit();
    site.expect_the_quiet_results();
    limit(&["absolute", "512MB"]);
    wait_for_said(&site, ": connected");
    // What was written meanwhile comes before the messages of another job.
    site.submit();
    site.end([worker]);
}

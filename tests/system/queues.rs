//! The two ways in which workers learn that there is work; what must hold on both is tested on both.
//!
//! On the embedded queue alone are tests that no wake-up can make a difference to: of what `ctl run` starts by itself, which
//! never has a broker (`kills`, `following`); of what is refused before there is a task, or found in a dataset by one task
//! (`bad_files`, `bad_data`, `rights`, `roots`, `configuration`, `documents`); of who may connect (`cluster`, `silent`); and of
//! buckets, clocks and collectors by themselves (`remote`, `clock`, `collector`), which jobs on both queues use in `faults` and
//! `traces`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use broker_harness::{Broker, Options};
use queue::{Publisher, Settings};
use types::PoolName;

use crate::kills::wait_for_socket;
use crate::processes::until;
use crate::quiet::runtime;
use crate::sandbox::{LIMIT, Running, SOON, Sandbox};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    Embedded,
    RabbitMq,
}

/// Makes two tests of each function that takes a [`Queue`].
macro_rules! on_both_queues {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(#[test] fn $test() { super::$test($crate::queues::Queue::Embedded); })+
        }
        mod rabbitmq {
            $(#[test] fn $test() { super::$test($crate::queues::Queue::RabbitMq); })+
        }
    };
}
pub(crate) use on_both_queues;

/// One node for the tests that do it no harm. It ends with this process.
fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| Broker::start(&Options::default()).unwrap())
}

/// A virtual host of its own: the queues of two tests have the same name.
fn virtual_host(broker: &Broker) -> String {
    static HOSTS: AtomicU32 = AtomicU32::new(0);
    let name = format!("test-{}", HOSTS.fetch_add(1, Ordering::Relaxed));
    broker.ctl(&["add_vhost", &name]).unwrap();
    broker
        .ctl(&["set_permissions", "-p", &name, "guest", ".*", ".*", ".*"])
        .unwrap();
    name
}

impl Sandbox {
    /// With coordinator and workers on this queue.
    pub fn on(mut self, queue: Queue) -> Self {
        if queue == Queue::RabbitMq {
            let broker = broker();
            let host = virtual_host(broker);
            self.use_broker(&format!("guest@{}/{host}", broker.address()));
            // Nobody polls while a test runs: it is the wake-ups that make it go on.
            self.set("NIGHTSHIFT_POLL", "1h");
        }
        self
    }

    /// [`Sandbox::on`], with a coordinator and a worker that `ctl run` finds and uses, if the queue is a broker's: what `ctl`
    /// starts by itself never has one.
    pub fn served(self, queue: Queue) -> Self {
        let mut sandbox = self.coordinated(queue);
        if queue == Queue::RabbitMq {
            let mut worker = sandbox.start("worker", &["--name", "box"]);
            // Before, a command would bring its own.
            worker.wait_for_word("worker started");
            let live = || sandbox.json(&["get", "workers"])[0]["state"] == "live";
            until("a live worker", LIMIT, || live().then_some(()));
            sandbox.serving.insert(0, worker);
        }
        sandbox
    }

    /// [`Sandbox::on`], with a coordinator that `ctl run` finds and brings a worker to, if the queue is a broker's.
    pub fn coordinated(self, queue: Queue) -> Self {
        let mut sandbox = self.on(queue);
        if queue == Queue::RabbitMq {
            let coordinator = sandbox.start("coordinator", &[]);
            wait_for_socket(&sandbox);
            sandbox.serving.push(coordinator);
        }
        sandbox
    }

    /// Ends what serves it, and begins anew: with another configuration, say.
    pub fn served_anew(mut self, queue: Queue) -> Self {
        // The worker first: it says goodbye to the coordinator.
        self.serving.drain(..).for_each(Running::end);
        self.served(queue)
    }

    /// The broker's address, if there is one.
    pub fn broker(&self) -> Option<&str> {
        self.variable("NIGHTSHIFT_BROKER")
    }

    /// With coordinator and workers on this broker: `user@host:port/vhost`.
    pub fn use_broker(&mut self, place: &str) {
        self.set("NIGHTSHIFT_BROKER", &format!("amqp://{place}"));
        self.set("NIGHTSHIFT_BROKER_PASSWORD", "guest");
    }

    /// As the programs of this sandbox meet the broker, if there is one.
    pub fn as_a_client(&self) -> Option<Settings> {
        let url = self.broker()?.replacen("guest@", "guest:guest@", 1);
        Some(Settings::new(url.parse().unwrap(), "a test"))
    }

    /// Waits until no message waits for somebody, if there is a broker. Asked over the protocol: what `rabbitmqctl list_queues`
    /// says may be seconds old. A message that nobody takes is gone after a minute by itself, which does not count.
    #[track_caller]
    pub fn wait_for_no_message(&self) {
        self.wait_for_messages(0);
    }

    /// When so many workers have ended: each gives back what it was just woken by, if its claim was not answered yet.
    #[track_caller]
    pub fn expect_no_other_message(&self, given_back: u32) {
        self.wait_for_messages(given_back);
    }

    #[track_caller]
    fn wait_for_messages(&self, most: u32) {
        let Some(settings) = self.as_a_client() else {
            return;
        };
        let waited = runtime().block_on(async {
            let publisher = Publisher::start(settings);
            let pool = PoolName::default();
            // It may not have connected yet.
            let few = async {
                while !matches!(publisher.depth(&pool).await, Ok(depth) if depth.ready <= most) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(SOON * 2, few).await
        });
        assert!(waited.is_ok(), "more than {most} messages are left");
    }
}

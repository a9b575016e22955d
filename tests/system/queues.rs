//! The two ways in which workers learn that there is work; what must hold on both is tested on both.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use broker_harness::{Broker, Options};

use crate::sandbox::Sandbox;

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

    /// The broker's address, if there is one.
    pub fn broker(&self) -> Option<&str> {
        self.variable("NIGHTSHIFT_BROKER")
    }

    /// With coordinator and workers on this broker: `user@host:port/vhost`.
    pub fn use_broker(&mut self, place: &str) {
        self.set("NIGHTSHIFT_BROKER", &format!("amqp://{place}"));
        self.set("NIGHTSHIFT_BROKER_PASSWORD", "guest");
    }
}

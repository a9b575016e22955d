//! What the tests share: a broker, settings that recover fast, and waits that end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use broker_harness::{Broker, Options};
use queue::{Consumer, ConsumerState, Delivery, Publisher, Settings, WakeUp};
use types::{PoolName, TraceContext};

/// Idle workers ask this often; nothing may take longer once the broker is back.
pub const POLL: Duration = Duration::from_secs(20);

/// One node for the tests that do it no harm. It ends with this process.
pub fn broker() -> &'static Broker {
    log();
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| Broker::start(&Options::default()).expect("broker"))
}

/// What the queue says, where RUST_LOG asks for it: `RUST_LOG=queue=info cargo test ... -- --nocapture`.
pub fn log() {
    let asked = std::env::var("RUST_LOG").unwrap_or_else(|_| "off".to_owned());
    let filter = tracing_subscriber::EnvFilter::new(asked);
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_test_writer()
        .try_init();
}

pub fn settings(address: SocketAddr) -> Settings {
    log();
    let url = format!("amqp://guest:guest@{address}/")
        .parse()
        .expect("url");
    Settings {
        backoff_first: Duration::from_millis(10),
        backoff_longest: Duration::from_millis(200),
        renew_idle: Duration::from_secs(1),
        heartbeat: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(2),
        command_timeout: Duration::from_secs(5),
        publish_timeout: Duration::from_secs(5),
        ..Settings::new(url, "test")
    }
}

pub fn pool(name: &str) -> PoolName {
    name.parse().expect("pool")
}

pub fn wake_up(pool: &PoolName, number: u64) -> WakeUp {
    WakeUp {
        pool: pool.clone(),
        number,
        hint: Some("7k2m9x4c-0012".parse().expect("task")),
        trace: TraceContext::from_headers(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            Some("vendor=1"),
        )
        .ok(),
    }
}

/// Fails the test instead of hanging.
pub async fn within<T>(limit: Duration, what: &str, act: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, act).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took longer than {limit:?}"),
    }
}

pub async fn next(consumer: &mut Consumer) -> Delivery {
    within(POLL, "next", consumer.next())
        .await
        .expect("the consumer lives")
}

/// Publishes until the broker has it. A queue that is just being declared by the other side nacks for a moment.
pub async fn publish(publisher: &Publisher, wake_up: &WakeUp) {
    within(POLL, "publish", async {
        while publisher.publish(wake_up).await.is_err() {
            // A lost connection is reported at once, so a moment is left to whoever makes a new one.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub async fn consuming(consumer: &Consumer) {
    let mut state = consumer.state();
    within(
        POLL,
        "consuming",
        state.wait_for(|s| matches!(s, ConsumerState::Consuming)),
    )
    .await
    .expect("the consumer lives");
}

/// Everything still works: a new wake-up goes through, whatever older ones come before it.
pub async fn works(publisher: &Publisher, consumer: &mut Consumer, wake_up: &WakeUp) {
    consumer.resume();
    publish(publisher, wake_up).await;
    within(POLL, "the wake-up's delivery", async {
        loop {
            let delivery = consumer.next().await.expect("the consumer lives");
            let number = delivery.wake_up.number;
            // One that fails to be acked comes again, to whoever consumes then.
            let _ = delivery.ack().await;
            if number == wake_up.number {
                return;
            }
        }
    })
    .await;
}

/// A small generator with a seed, so that a failing run can be repeated.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

/// How often a fault is repeated: all of it with NIGHTSHIFT_CHAOS=1 (`make chaos`), else what fits in a test run.
pub fn rounds(in_tests: u64, in_chaos: u64) -> u64 {
    match std::env::var_os("NIGHTSHIFT_CHAOS") {
        Some(_) => in_chaos,
        None => in_tests,
    }
}

/// Threads that lapin has left of connections that are gone would grow without bound.
pub fn connection_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("proc");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("lapin"))
        .count()
}

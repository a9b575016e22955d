//! Connections that are cut, frozen, slow or refused.

use std::time::{Duration, Instant};

use broker_harness::{Direction, Proxy};
use queue::{Consumer, PublishError, Publisher, PublisherState};

use crate::support::*;

/// What a worker and the coordinator do, and about how many bytes each takes in its larger direction.
const STEPS: [(&str, u64); 7] = [
    ("declare", 1_200),
    ("publish", 250),
    ("confirm", 25),
    ("deliver", 300),
    ("cancel", 60),
    ("ack", 30),
    ("consume", 90),
];

/// 500 cuts at random bytes of every step, both sides at once.
#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_cuts() {
    let pool = pool("cuts");
    let proxy = Proxy::start(broker().address()).await.expect("proxy");
    let publisher = Publisher::start(settings(proxy.address()));
    let mut consumer = Consumer::start(settings(proxy.address()), pool.clone());
    works(&publisher, &mut consumer, &wake_up(&pool, 0)).await;
    let mut random = Random(20_261_124);
    let mut cuts = [0_u64; STEPS.len()];
    let wanted = rounds(500, 5_000);
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    let mut number = 0;
    while cuts.iter().sum::<u64>() < wanted {
        let at = number as usize % STEPS.len();
        let (step, bytes) = STEPS[at];
        let arm = |now: &str, random: &mut Random| {
            if now == step {
                let direction = [Direction::Up, Direction::Down][random.below(2) as usize];
                proxy.cut_after(direction, random.below(bytes));
            }
        };
        if step == "declare" {
            proxy.cut();
        }
        for now in ["declare", "publish", "confirm", "deliver"] {
            arm(now, &mut random);
        }
        number += 1;
        let published = within(POLL, "publish", publisher.publish(&wake_up(&pool, number))).await;
        // After a failure it may be there or not; then there is nothing to wait for.
        let delivery = match published {
            Ok(()) => tokio::time::timeout(Duration::from_millis(100), consumer.next())
                .await
                .ok()
                .flatten(),
            Err(_) => None,
        };
        arm("cancel", &mut random);
        within(POLL, "pause", consumer.pause()).await;
        arm("ack", &mut random);
        if let Some(delivery) = delivery {
            let _ = within(POLL, "ack", delivery.ack()).await;
        }
        arm("consume", &mut random);
        consumer.resume();
        number += 1;
        let recovery = Instant::now();
        works(&publisher, &mut consumer, &wake_up(&pool, number)).await;
        if proxy.disarm() {
            cuts[at] += 1;
            longest = longest.max(recovery.elapsed());
        }
        number += 1;
    }
    println!(
        "cuts by step {STEPS:?}: {cuts:?} in {:?}, longest recovery {longest:?}",
        start.elapsed()
    );
    assert!(cuts.iter().all(|&cuts| cuts > 0), "{cuts:?}");
    within(POLL, "the end of old connections", async {
        // This test's two, and those of tests that run beside it.
        while connection_threads() > 40 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_connection_is_noticed_and_replaced() {
    let pool = pool("frozen");
    let proxy = Proxy::start(broker().address()).await.expect("proxy");
    let publisher = Publisher::start(settings(proxy.address()));
    let mut consumer = Consumer::start(settings(proxy.address()), pool.clone());
    works(&publisher, &mut consumer, &wake_up(&pool, 0)).await;
    proxy.freeze(true);
    let start = Instant::now();
    let outcome = within(POLL, "publish", publisher.publish(&wake_up(&pool, 1))).await;
    assert!(
        matches!(
            outcome,
            Err(PublishError::TimedOut { .. } | PublishError::Disconnected(_))
        ),
        "{outcome:?}"
    );
    within(POLL, "pause", consumer.pause()).await;
    println!(
        "frozen: publish and pause returned after {:?}",
        start.elapsed()
    );
    // Later callers are not made to wait.
    within(POLL, "disconnected", async {
        while !matches!(publisher.state(), PublisherState::Disconnected(_)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    proxy.freeze(false);
    works(&publisher, &mut consumer, &wake_up(&pool, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_is_not_broken_and_refused_is_tried_again() {
    let pool = pool("slow");
    let proxy = Proxy::start(broker().address()).await.expect("proxy");
    proxy.delay(Duration::from_millis(50));
    let publisher = Publisher::start(settings(proxy.address()));
    let mut consumer = Consumer::start(settings(proxy.address()), pool.clone());
    works(&publisher, &mut consumer, &wake_up(&pool, 0)).await;
    proxy.delay(Duration::ZERO);
    proxy.refuse(true);
    proxy.cut();
    let outcome = within(POLL, "publish", publisher.publish(&wake_up(&pool, 1))).await;
    outcome.expect_err("nobody is there");
    within(POLL, "pause", consumer.pause()).await;
    proxy.refuse(false);
    works(&publisher, &mut consumer, &wake_up(&pool, 2)).await;
}

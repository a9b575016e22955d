//! The broker itself dies, at every step, and comes back.

use std::time::{Duration, Instant};

use broker_harness::{Broker, Options};
use queue::{Consumer, Publisher};

use crate::support::*;

const STEPS: [&str; 7] = [
    "declare", "publish", "confirm", "deliver", "cancel", "ack", "consume",
];

/// SIGKILL while a step is under way; everything still works when the broker is back. Ten times each in `make chaos`.
#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_killed_at_each_step() {
    let mut broker = Broker::start(&Options::default()).expect("broker");
    let pool = pool("killed");
    let publisher = Publisher::start(settings(broker.address()));
    let mut consumer = Consumer::start(settings(broker.address()), pool.clone());
    works(&publisher, &mut consumer, &wake_up(&pool, 0)).await;
    // In an orderly way it says so before it goes. First, since a broker that is killed within three seconds of a
    // queue's first declaration may have lost the queue's replica for good (docs/decisions/0104-wake-ups.md).
    broker.stop().expect("stop");
    within(POLL, "publish", publisher.publish(&wake_up(&pool, 1)))
        .await
        .expect_err("nobody is there");
    broker.start_again().expect("start again");
    works(&publisher, &mut consumer, &wake_up(&pool, 2)).await;
    let mut number = 0;
    let mut longest = Duration::ZERO;
    for _ in 0..rounds(1, 10) {
        for step in STEPS {
            number += 100;
            killed_at(step, &mut broker, &publisher, &mut consumer, &pool, number).await;
            broker.start_again().expect("start again");
            let back = Instant::now();
            works(&publisher, &mut consumer, &wake_up(&pool, number + 99)).await;
            longest = longest.max(back.elapsed());
        }
    }
    println!("killed at {STEPS:?}; longest recovery once it was back {longest:?}");
}

async fn killed_at(
    step: &str,
    broker: &mut Broker,
    publisher: &Publisher,
    consumer: &mut Consumer,
    pool: &types::PoolName,
    number: u64,
) {
    let kill = |broker: &mut Broker| tokio::task::block_in_place(|| broker.kill()).expect("kill");
    match step {
        "declare" => {
            // New ones, whose first connection meets the kill.
            let publisher = Publisher::start(settings(broker.address()));
            let consumer = Consumer::start(settings(broker.address()), pool.clone());
            kill(broker);
            within(POLL, "publish", publisher.publish(&wake_up(pool, number)))
                .await
                .expect_err("nobody is there");
            within(POLL, "close", consumer.close()).await;
        }
        "publish" => {
            let wake_up = wake_up(pool, number);
            let publish = within(POLL, "publish", publisher.publish(&wake_up));
            let (_, ()) = tokio::join!(publish, async { kill(broker) });
        }
        "confirm" => {
            let wake_ups: Vec<_> = (0..50).map(|i| wake_up(pool, number + i)).collect();
            let all = futures::future::join_all(wake_ups.iter().map(|w| publisher.publish(w)));
            let (_, ()) = tokio::join!(within(POLL, "publish", all), async {
                tokio::task::yield_now().await;
                kill(broker);
            });
        }
        "deliver" => {
            publish(publisher, &wake_up(pool, number)).await;
            kill(broker);
        }
        "cancel" => {
            let (_, ()) = tokio::join!(within(POLL, "pause", consumer.pause()), async {
                kill(broker)
            });
        }
        "ack" => {
            publish(publisher, &wake_up(pool, number)).await;
            let delivery = next(consumer).await;
            let (_, ()) = tokio::join!(within(POLL, "ack", delivery.ack()), async { kill(broker) });
        }
        _ => {
            consumer.pause().await;
            consumer.resume();
            kill(broker);
        }
    }
}

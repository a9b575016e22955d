//! The broker's own limits: its memory alarm, and how long a delivery may stay un-acked.

use std::time::{Duration, Instant};

use broker_harness::{Broker, Options};
use queue::{Consumer, ConsumerState, PublishError, Publisher, PublisherState};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_alarm_is_blocked_and_ends() {
    let broker = Broker::start(&Options::default()).expect("broker");
    let pool = pool("alarm");
    let publisher = Publisher::start(settings(broker.address()));
    let mut consumer = Consumer::start(settings(broker.address()), pool.clone());
    works(&publisher, &mut consumer, &wake_up(&pool, 0)).await;
    broker
        .ctl(&["set_vm_memory_high_watermark", "0.0001"])
        .expect("alarm");
    // The alarm rises at the broker's next look at its memory.
    let blocked = within(POLL, "blocked", async {
        let mut number = 1;
        loop {
            if let Err(error) = publisher.publish(&wake_up(&pool, number)).await {
                return error;
            }
            number += 1;
        }
    })
    .await;
    assert!(
        matches!(blocked, PublishError::Blocked { .. }),
        "{blocked:?}"
    );
    assert!(matches!(publisher.state(), PublisherState::Blocked(_)));
    let start = Instant::now();
    let again = publisher.publish(&wake_up(&pool, 1_000)).await;
    assert!(
        matches!(again, Err(PublishError::Blocked { .. })),
        "{again:?}"
    );
    assert!(start.elapsed() < POLL, "told at once");
    // Workers go on: acks and cancels are not held back.
    within(POLL, "pause", consumer.pause()).await;
    // A publisher that leaves now is not kept.
    let leaving = Publisher::start(settings(broker.address()));
    within(POLL, "publish", leaving.publish(&wake_up(&pool, 1_001)))
        .await
        .expect_err("blocked");
    within(POLL, "close", leaving.close()).await;

    broker
        .ctl(&["set_vm_memory_high_watermark", "absolute", "512MB"])
        .expect("alarm's end");
    works(&publisher, &mut consumer, &wake_up(&pool, 2_000)).await;
    assert!(matches!(publisher.state(), PublisherState::Connected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_up_held_too_long_costs_the_connection_and_nothing_else() {
    let options = Options {
        consumer_timeout: Some(Duration::from_secs(2)),
        ..Options::default()
    };
    let broker = Broker::start(&options).expect("broker");
    let pool = pool("held");
    let publisher = Publisher::start(settings(broker.address()));
    let mut consumer = Consumer::start(settings(broker.address()), pool.clone());
    publish(&publisher, &wake_up(&pool, 1)).await;
    let held = next(&mut consumer).await;
    let mut state = consumer.state();
    let lost = |s: &ConsumerState| matches!(s, ConsumerState::Disconnected(_));
    let limit = Duration::from_secs(60);
    within(limit, "the broker's patience", state.wait_for(lost))
        .await
        .expect("lives");
    held.ack().await.expect_err("too late");
    // It comes again, which is an empty claim.
    let again = next(&mut consumer).await;
    assert_eq!(again.wake_up.number, 1);
    again.ack().await.expect("ack");
    works(&publisher, &mut consumer, &wake_up(&pool, 2)).await;
}

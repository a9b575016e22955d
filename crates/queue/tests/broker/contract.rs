//! What publisher and consumer promise while nothing goes wrong.

use std::time::{Duration, Instant};

use broker_harness::Proxy;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeleteOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use queue::{BrokerError, Consumer, ConsumerState, PublishError, Publisher, Settings, queue_name};

use crate::support::*;

async fn raw() -> (Connection, lapin::Channel) {
    let url = format!("amqp://guest:guest@{}", broker().address());
    let connection = Connection::connect(&url, ConnectionProperties::default())
        .await
        .expect("connect");
    let channel = connection.create_channel().await.expect("channel");
    let confirms = ConfirmSelectOptions::default();
    channel.confirm_select(confirms).await.expect("confirms");
    (connection, channel)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_up_arrives_as_it_was_sent() {
    let pool = pool("as-sent");
    let publisher = Publisher::start(settings(broker().address()));
    let mut consumer = Consumer::start(settings(broker().address()), pool.clone());
    let mut sent = wake_up(&pool, 7);
    publish(&publisher, &sent).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.wake_up, sent);
    delivery.ack().await.expect("ack");
    sent.hint = None;
    sent.trace = None;
    publish(&publisher, &sent).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.wake_up, sent);
    delivery.ack().await.expect("ack");
    let depth = publisher.depth(&pool).await.expect("depth");
    assert_eq!((depth.ready, depth.consumers), (0, 1));
    consumer.close().await;
    publisher.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wake_up_at_a_time_and_none_after_pause_then_ack() {
    let pool = pool("one-at-a-time");
    let publisher = Publisher::start(settings(broker().address()));
    let mut first = Consumer::start(settings(broker().address()), pool.clone());
    for number in 0..3 {
        publish(&publisher, &wake_up(&pool, number)).await;
    }
    let held = next(&mut first).await;
    // The broker has answered a round trip later, and two are still with it.
    assert_eq!(publisher.depth(&pool).await.expect("depth").ready, 2);
    within(POLL, "pause", first.pause()).await;
    held.ack().await.expect("ack");
    let mut second = Consumer::start(settings(broker().address()), pool.clone());
    for number in 1..3 {
        let delivery = next(&mut second).await;
        assert_eq!(delivery.wake_up.number, number);
        delivery.ack().await.expect("ack");
    }
    second.pause().await;
    publish(&publisher, &wake_up(&pool, 3)).await;
    first.resume();
    let delivery = next(&mut first).await;
    assert_eq!(delivery.wake_up.number, 3);
    delivery.ack().await.expect("ack");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_up_that_crossed_the_cancel_goes_to_another_consumer() {
    let pool = pool("crossed");
    let publisher = Publisher::start(settings(broker().address()));
    let mut first = Consumer::start(settings(broker().address()), pool.clone());
    consuming(&first).await;
    publish(&publisher, &wake_up(&pool, 1)).await;
    within(POLL, "delivery", async {
        while publisher.depth(&pool).await.expect("depth").ready > 0 {}
    })
    .await;
    // Nobody has taken it from the first one.
    within(POLL, "pause", first.pause()).await;
    let mut second = Consumer::start(settings(broker().address()), pool.clone());
    let delivery = next(&mut second).await;
    assert_eq!(delivery.wake_up.number, 1);
    delivery.ack().await.expect("ack");
    second.pause().await;
    works(&publisher, &mut first, &wake_up(&pool, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_delivery_does_not_stop_the_consumer() {
    let pool = pool("dropped");
    let publisher = Publisher::start(settings(broker().address()));
    let mut consumer = Consumer::start(settings(broker().address()), pool.clone());
    for number in 0..2 {
        publish(&publisher, &wake_up(&pool, number)).await;
    }
    drop(next(&mut consumer).await);
    assert_eq!(next(&mut consumer).await.wake_up.number, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_wake_up_is_acked_and_does_not_come_again() {
    let pool = pool("aliens");
    let publisher = Publisher::start(settings(broker().address()));
    let mut consumer = Consumer::start(settings(broker().address()), pool.clone());
    consuming(&consumer).await;
    let (_connection, channel) = raw().await;
    let huge = vec![b'x'; 300_000];
    for body in [
        b"".as_slice(),
        b"\xff\xfe",
        b"{}",
        br#"{"v":2,"pool":"aliens","number":1}"#,
        &huge,
    ] {
        let written = channel
            .basic_publish(
                "".into(),
                queue_name(&pool).into(),
                BasicPublishOptions::default(),
                body,
                BasicProperties::default(),
            )
            .await;
        written.expect("publish").await.expect("confirm");
    }
    works(&publisher, &mut consumer, &wake_up(&pool, 1)).await;
    consumer.close().await;
    assert_eq!(publisher.depth(&pool).await.expect("depth").ready, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_is_declared_again_by_both_sides() {
    let pool = pool("deleted");
    let publisher = Publisher::start(settings(broker().address()));
    publish(&publisher, &wake_up(&pool, 1)).await;
    let (_connection, channel) = raw().await;
    let delete = || channel.queue_delete(queue_name(&pool).into(), QueueDeleteOptions::default());
    delete().await.expect("delete");
    let refused = publisher.publish(&wake_up(&pool, 2)).await;
    assert!(
        matches!(refused, Err(PublishError::Unroutable { .. })),
        "{refused:?}"
    );
    publisher
        .publish(&wake_up(&pool, 3))
        .await
        .expect("declared again");
    let mut consumer = Consumer::start(settings(broker().address()), pool.clone());
    next(&mut consumer).await.ack().await.expect("ack");
    // Declared again so soon, RabbitMQ 3.10 forgets to tell the consumer of the old one.
    delete().await.expect("delete");
    works(&publisher, &mut consumer, &wake_up(&pool, 4)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_hears_that_its_queue_is_gone_and_says_so() {
    let pool = pool("gone");
    // Nobody declares it again before it was looked at.
    let patient = Settings {
        backoff_first: POLL * 10,
        renew_idle: POLL * 10,
        ..settings(broker().address())
    };
    let consumer = Consumer::start(patient, pool.clone());
    let mut state = consumer.state();
    let consuming = state.wait_for(|state| matches!(state, ConsumerState::Consuming));
    drop(within(POLL, "consuming", consuming).await.expect("lives"));
    let (_connection, channel) = raw().await;
    let deleted = channel.queue_delete(queue_name(&pool).into(), QueueDeleteOptions::default());
    deleted.await.expect("delete");
    let told = state.wait_for(|state| matches!(state, ConsumerState::Disconnected(_)));
    let told = within(POLL, "the broker's word", told).await;
    let ConsumerState::Disconnected(error) = told.expect("lives").clone() else {
        panic!("waited for");
    };
    assert!(
        matches!(*error, BrokerError::ConsumerCancelled { .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_cannot_be_acked_on_another_connection() {
    let pool = pool("old-delivery");
    let proxy = Proxy::start(broker().address()).await.expect("proxy");
    let publisher = Publisher::start(settings(broker().address()));
    let mut consumer = Consumer::start(settings(proxy.address()), pool.clone());
    for number in 0..2 {
        publish(&publisher, &wake_up(&pool, number)).await;
    }
    let old = next(&mut consumer).await;
    proxy.cut();
    let again = next(&mut consumer).await;
    assert_eq!(again.wake_up.number, old.wake_up.number);
    // With the same channel and delivery number as the new one, which must stay un-acked.
    old.ack().await.expect_err("its connection is gone");
    assert_eq!(publisher.depth(&pool).await.expect("depth").ready, 1);
    again.ack().await.expect("ack");
    assert_eq!(next(&mut consumer).await.wake_up.number, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_publishers_share_a_connection() {
    let publisher = Publisher::start(settings(broker().address()));
    let start = Instant::now();
    let publishing = (0..2_000).map(|number| {
        let pool = pool(["many-a", "many-b"][number as usize % 2]);
        let publisher = &publisher;
        async move { publisher.publish(&wake_up(&pool, number)).await }
    });
    for outcome in futures::future::join_all(publishing).await {
        outcome.expect("publish");
    }
    println!("2,000 overlapping publishes: {:?}", start.elapsed());
    for name in ["many-a", "many-b"] {
        assert_eq!(
            publisher.depth(&pool(name)).await.expect("depth").ready,
            1_000
        );
    }
}

/// Publish, deliver, cancel, ack, consume: what a worker with one slot does with every task.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_cycles() {
    let pool = pool("cycles");
    let publisher = Publisher::start(settings(broker().address()));
    let mut consumer = Consumer::start(settings(broker().address()), pool.clone());
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    for number in 0..10_000 {
        let one = Instant::now();
        // A starved broker may nack one; the coordinator would send another.
        publish(&publisher, &wake_up(&pool, number)).await;
        let delivery = loop {
            let delivery = next(&mut consumer).await;
            if delivery.wake_up.number == number {
                break delivery;
            }
            delivery.ack().await.expect("ack");
        };
        if number % 2 == 0 {
            within(POLL, "pause", consumer.pause()).await;
            delivery.ack().await.expect("ack");
        } else {
            delivery.ack().await.expect("ack");
            within(POLL, "pause", consumer.pause()).await;
        }
        consumer.resume();
        longest = longest.max(one.elapsed());
    }
    println!(
        "10,000 cycles: {:?}, the longest {longest:?}",
        start.elapsed()
    );
    consumer.close().await;
    // The queue hears of a consumer's end when its connection's process has gone.
    within(POLL, "nothing to be left", async {
        loop {
            let depth = publisher.depth(&pool).await.expect("depth");
            if (depth.ready, depth.consumers) == (0, 0) {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_up_that_nobody_takes_is_dropped_in_time() {
    let pool = pool("too-late");
    let publisher = Publisher::start(queue::Settings {
        wake_up_ttl: Duration::from_millis(100),
        ..settings(broker().address())
    });
    publish(&publisher, &wake_up(&pool, 1)).await;
    within(POLL, "the queue to be empty", async {
        while publisher.depth(&pool).await.expect("depth").ready > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    publisher.close().await;
}

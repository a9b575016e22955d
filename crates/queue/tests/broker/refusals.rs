//! What the broker or the network refuses has a name and a way out, and no password in it.

use std::time::Instant;

use broker_harness::{Broker, Options};
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use queue::{
    BrokerError, BrokerUrl, Consumer, PublishError, Publisher, Settings, check, queue_name,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

const PASSWORD: &str = "s3cret-0451";

fn with_url(url: &str) -> Settings {
    Settings {
        url: url.parse::<BrokerUrl>().expect("url"),
        ..settings(broker().address())
    }
}

/// The error with its causes, as a person would read it.
fn text(error: &dyn std::error::Error) -> String {
    let source = error.source().map(text);
    format!("{error}: {source:?} {error:?}")
}

async fn refused(settings: &Settings) -> BrokerError {
    let error = within(POLL, "check", check(settings, &[pool("refused")]))
        .await
        .expect_err("refused");
    assert!(!text(&error).contains(PASSWORD), "{}", text(&error));
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_refuses_is_named() {
    let address = broker().address();
    let error = refused(&with_url(&format!("amqp://guest:{PASSWORD}@{address}"))).await;
    assert!(
        matches!(error, BrokerError::LoginRefused { .. }),
        "{error:?}"
    );
    assert!(text(&error).contains("check the password"), "{error}");
    let error = refused(&with_url(&format!("amqp://ann@{address}"))).await;
    assert!(text(&error).contains("no password was given"), "{error}");
    let error = refused(&with_url(&format!("amqp://guest:guest@{address}/nowhere"))).await;
    assert!(
        matches!(&error, BrokerError::VhostRefused { vhost, .. } if vhost == "nowhere"),
        "{error:?}"
    );

    broker()
        .ctl(&["add_user", "poor", PASSWORD])
        .expect("add_user");
    let poor = with_url(&format!("amqp://poor:{PASSWORD}@{address}"));
    let error = refused(&poor).await;
    assert!(
        matches!(error, BrokerError::VhostRefused { .. }),
        "{error:?}"
    );
    broker()
        .ctl(&["set_permissions", "poor", "^$", "^$", "^$"])
        .expect("set_permissions");
    let error = refused(&poor).await;
    assert!(matches!(error, BrokerError::Denied { .. }), "{error:?}");
    assert!(error.needs_somebody());

    // The rights that the message asks for are enough.
    broker()
        .ctl(&[
            "set_permissions",
            "poor",
            r"^nightshift\..*",
            r"^nightshift\..*|^amq\.default$",
            r"^nightshift\..*",
        ])
        .expect("set_permissions");
    let publisher = Publisher::start(poor.clone());
    let pool = pool("poor");
    let mut consumer = Consumer::start(poor, pool.clone());
    works(&publisher, &mut consumer, &wake_up(&pool, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_is_named_and_disturbs_no_other_pool() {
    let odd = pool("other-arguments");
    let url = format!("amqp://guest:guest@{}", broker().address());
    let connection = Connection::connect(&url, ConnectionProperties::default())
        .await
        .expect("connect");
    let channel = connection.create_channel().await.expect("channel");
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(3));
    channel
        .queue_declare(
            queue_name(&odd).into(),
            QueueDeclareOptions::durable(),
            arguments,
        )
        .await
        .expect("declare");

    let error = check(&settings(broker().address()), std::slice::from_ref(&odd))
        .await
        .expect_err("differs");
    assert!(
        matches!(&error, BrokerError::QueueDiffers { queue, .. } if *queue == queue_name(&odd)),
        "{error:?}"
    );
    assert!(error.to_string().contains("delete_queue"));
    let publisher = Publisher::start(settings(broker().address()));
    let fine = pool("other-pool");
    for number in 0..3 {
        publisher
            .publish(&wake_up(&fine, number))
            .await
            .expect("publish");
        let refused = publisher.publish(&wake_up(&odd, number)).await;
        assert!(
            matches!(
                refused,
                Err(PublishError::Refused(BrokerError::QueueDiffers { .. }))
            ),
            "{refused:?}"
        );
    }
    // The way out, while a consumer is waiting for it.
    let mut consumer = Consumer::start(settings(broker().address()), odd.clone());
    broker()
        .ctl(&["delete_queue", &queue_name(&odd)])
        .expect("delete_queue");
    works(&publisher, &mut consumer, &wake_up(&odd, 9)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_or_says_nothing_is_named_in_time() {
    let error = refused(&with_url(&format!("amqp://guest:{PASSWORD}@127.0.0.1:1"))).await;
    assert!(
        matches!(error, BrokerError::Unreachable { .. }),
        "{error:?}"
    );

    // Accepts by the kernel alone.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = silent.local_addr().expect("address");
    let threads = connection_threads();
    let silent_settings = with_url(&format!("amqp://guest:{PASSWORD}@{address}"));
    let start = Instant::now();
    let error = refused(&silent_settings).await;
    assert!(matches!(error, BrokerError::TimedOut { .. }), "{error:?}");
    assert!(start.elapsed() < POLL);
    let publisher = Publisher::start(silent_settings);
    let outcome = within(
        POLL,
        "publish",
        publisher.publish(&wake_up(&pool("silent"), 1)),
    )
    .await;
    assert!(
        matches!(
            outcome,
            Err(PublishError::Disconnected(_) | PublishError::TimedOut { .. })
        ),
        "{outcome:?}"
    );
    drop(publisher);
    // Nobody waits for the silent one any more; other tests' connections come and go.
    within(POLL, "its thread's end", async {
        while connection_threads() > threads + 8 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_works_with_the_authority_and_its_refusal_is_named() {
    let broker = Broker::start(&Options {
        tls: true,
        ..Options::default()
    })
    .expect("broker");
    let port = broker.tls_port();
    let url = format!("amqps://guest:guest@localhost:{port}/");
    let good = Settings {
        ca_file: Some(broker.ca_file()),
        ..with_url(&url)
    };
    let publisher = Publisher::start(good.clone());
    let pool = pool("tls");
    let mut consumer = Consumer::start(good.clone(), pool.clone());
    works(&publisher, &mut consumer, &wake_up(&pool, 1)).await;

    let is_tls = |error: &BrokerError| matches!(error, BrokerError::Tls { .. });
    let error = refused(&with_url(&url)).await;
    assert!(
        is_tls(&error) && text(&error).contains("UnknownIssuer"),
        "{}",
        text(&error)
    );
    // The certificate names localhost only.
    let by_number = with_url(&format!("amqps://guest:guest@127.0.0.1:{port}/"));
    let error = refused(&Settings {
        ca_file: Some(broker.ca_file()),
        ..by_number
    })
    .await;
    assert!(is_tls(&error), "{error:?}");
    let plain_port = with_url(&format!(
        "amqps://guest:guest@localhost:{}/",
        broker.address().port()
    ));
    let error = refused(&Settings {
        ca_file: Some(broker.ca_file()),
        ..plain_port
    })
    .await;
    assert!(is_tls(&error), "{error:?}");
    let no_file = Settings {
        ca_file: Some("/nowhere/ca.pem".into()),
        ..good.clone()
    };
    let error = refused(&no_file).await;
    assert!(text(&error).contains("/nowhere/ca.pem"), "{error:?}");
    // Plain AMQP to a TLS port: the broker ends it, and its words may arrive before the end or not.
    let error = refused(&with_url(&format!("amqp://guest:guest@localhost:{port}/"))).await;
    assert!(
        matches!(
            error,
            BrokerError::NotAmqp { .. } | BrokerError::Lost { .. } | BrokerError::Closed { .. }
        ),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_broker_is_told_so_and_somebody_has_to_look() {
    // A server of TLS that was spoken to plainly, and one of HTTP.
    for words in [
        &b"\x15\x03\x03\0\x02\x02\x46"[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ] {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let answering = tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.unwrap();
            stream.write_all(words).await.unwrap();
            // Until the other side has had enough of it.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let error = refused(&with_url(&format!("amqp://guest:guest@{address}/"))).await;
        assert!(matches!(error, BrokerError::NotAmqp { .. }), "{error:?}");
        assert!(error.needs_somebody());
        assert!(text(&error).contains("amqps://"), "{}", text(&error));
        answering.await.unwrap();
    }
}

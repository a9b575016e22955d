//! The password is in no log, whatever its level; in a process of its own, since it takes the events of all threads.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};

use broker_harness::{Broker, Options};
use queue::{PublishError, Publisher, Settings, WakeUp, check};
use types::PoolName;

const PASSWORD: &str = "s3cret-0451";

#[derive(Clone, Default)]
struct Everything(Arc<Mutex<Vec<u8>>>);

impl Everything {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Write for Everything {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// lapin's trace events print the frame with the password; this crate compiles them out.
#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_in_no_log() {
    let everything = Everything::default();
    let writer = everything.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("the only one here");
    let broker = Broker::start(&Options::default()).expect("broker");
    broker
        .ctl(&["add_user", "logged", PASSWORD])
        .expect("add_user");
    broker
        .ctl(&["set_permissions", "logged", ".*", ".*", ".*"])
        .expect("set_permissions");
    let pool = PoolName::default();
    let settings = |user: &str| {
        let url = format!("amqp://{user}:{PASSWORD}@{}", broker.address());
        Settings::new(url.parse().expect("url"), "test")
    };
    check(&settings("logged"), std::slice::from_ref(&pool))
        .await
        .expect("check");
    let error = check(&settings("nobody"), &[]).await.expect_err("refused");
    let publisher = Publisher::start(settings("nobody"));
    let wake_up = WakeUp {
        pool,
        number: 1,
        hint: None,
        trace: None,
    };
    let refused = publisher.publish(&wake_up).await;
    assert!(
        matches!(refused, Err(PublishError::Disconnected(_))),
        "{refused:?}"
    );
    let said = format!(
        "{error} {error:?} {refused:?} {:?} {publisher:?}",
        settings("nobody")
    );
    let log = String::from_utf8_lossy(&everything.lock()).into_owned();
    assert!(
        log.contains("connected to the broker") || log.contains("no connection"),
        "{log}"
    );
    assert!(!log.contains(PASSWORD), "{log}");
    assert!(!said.contains(PASSWORD), "{said}");
}

//! The coordinator's side: publish and know what became of it, within a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lapin::BasicProperties;
use lapin::Confirmation;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio::sync::{Mutex, watch};
use types::{PoolName, TraceContext};

use crate::backoff::{self, Backoff};
use crate::error::{self, BrokerError, PublishError};
use crate::link::{Health, Link};
use crate::outage::Outage;
use crate::settings::Settings;
use crate::topology::{self, Depth, queue_name};
use crate::wake_up::WakeUp;

/// Keeps one connection to the broker; a lost one is replaced in the background, with growing waits.
///
/// Many `publish` calls may run at once: their confirms overlap.
#[derive(Debug)]
pub struct Publisher {
    settings: Arc<Settings>,
    current: watch::Receiver<Current>,
    background: tokio::task::JoinHandle<()>,
}

/// What an operator wants to know.
#[derive(Debug, Clone)]
pub enum PublisherState {
    Connected,
    Blocked(String),
    Disconnected(Arc<BrokerError>),
}

#[derive(Debug, Clone)]
enum Current {
    Starting,
    Open(Arc<Session>),
    Lost(Arc<BrokerError>),
}

impl Publisher {
    /// Returns at once; the first connection is made in the background. Needs a tokio runtime.
    pub fn start(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let (sender, current) = watch::channel(Current::Starting);
        let background = tokio::spawn(keep_connected(Arc::clone(&settings), sender));
        Self {
            settings,
            current,
            background,
        }
    }

    /// Ok when the broker has taken the wake-up over. Never waits longer than `publish_timeout`.
    pub async fn publish(&self, wake_up: &WakeUp) -> Result<(), PublishError> {
        self.bounded(async |session: &Session| session.publish(wake_up).await)
            .await
    }

    /// How many wake-ups wait in a pool's queue; declares it where it is missing. One round trip.
    pub async fn depth(&self, pool: &PoolName) -> Result<Depth, PublishError> {
        self.bounded(async |session: &Session| session.depth(pool).await)
            .await
    }

    pub fn state(&self) -> PublisherState {
        match &*self.current.borrow() {
            Current::Starting => PublisherState::Disconnected(Arc::new(BrokerError::NotYet)),
            Current::Lost(error) => PublisherState::Disconnected(Arc::clone(error)),
            Current::Open(session) => match &*session.link.health().borrow() {
                Health::Open => PublisherState::Connected,
                Health::Blocked(reason) => PublisherState::Blocked(reason.clone()),
                Health::Ended(error) => PublisherState::Disconnected(Arc::clone(error)),
            },
        }
    }

    /// Says goodbye to the broker. Bounded.
    pub async fn close(self) {
        self.background.abort();
        let session = match &*self.current.borrow() {
            Current::Open(session) => Arc::clone(session),
            _ => return,
        };
        session.link.close().await;
    }

    async fn bounded<T>(
        &self,
        act: impl AsyncFnOnce(&Session) -> Result<T, PublishError>,
    ) -> Result<T, PublishError> {
        let after = self.settings.publish_timeout;
        let deadline = tokio::time::sleep(after);
        tokio::pin!(deadline);
        let session = tokio::select! {
            session = self.session() => session?,
            () = &mut deadline => return Err(PublishError::TimedOut { after }),
        };
        let act = act(&session);
        tokio::select! {
            biased;
            // First, since what is written to a blocking broker is neither read nor refused.
            reason = session.link.blocked() => Err(PublishError::Blocked { reason }),
            outcome = act => outcome,
            error = session.link.ended() => Err(PublishError::Disconnected(error)),
            () = &mut deadline => {
                session.link.end(BrokerError::TimedOut {
                    address: self.settings.url.address(),
                    what: "publish",
                    after,
                });
                Err(PublishError::TimedOut { after })
            }
        }
    }

    /// The connection of now. Waits for the very first one only; later a caller learns at once that there is none.
    async fn session(&self) -> Result<Arc<Session>, PublishError> {
        let mut current = self.current.clone();
        let current = current
            .wait_for(|current| !matches!(current, Current::Starting))
            .await;
        match current.as_deref() {
            Ok(Current::Open(session)) => Ok(Arc::clone(session)),
            Ok(Current::Lost(error)) => Err(PublishError::Disconnected(Arc::clone(error))),
            Ok(Current::Starting) | Err(_) => {
                Err(PublishError::Disconnected(Arc::new(BrokerError::NotYet)))
            }
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.background.abort();
    }
}

async fn keep_connected(settings: Arc<Settings>, current: watch::Sender<Current>) {
    let mut backoff = Backoff::new(settings.backoff_first, settings.backoff_longest);
    let mut outage = Outage::default();
    loop {
        let error = match Link::open(&settings).await {
            Ok(link) => {
                if outage.connected(Instant::now()) {
                    tracing::info!(broker = %settings.url, "connected to the broker");
                }
                let session = Arc::new(Session {
                    link,
                    channels: Mutex::default(),
                    ttl: settings.wake_up_ttl,
                    proved: watch::Sender::new(false),
                });
                current.send_replace(Current::Open(Arc::clone(&session)));
                let error = session.link.ended().await;
                // A broker that accepts and then drops everybody must not be asked ten times a second.
                if *session.proved.borrow() {
                    backoff.reset();
                }
                error
            }
            Err(error) => Arc::new(error),
        };
        let now = Instant::now();
        if outage.failed(now, error.needs_somebody()) {
            tracing::warn!(broker = %settings.url, error = %types::chain(&*error), for_s = outage.seconds(now), "no connection to the broker; trying on");
        }
        let wait = backoff.next(backoff::random());
        current.send_replace(Current::Lost(error));
        tokio::time::sleep(wait).await;
    }
}

#[derive(Debug)]
struct Session {
    link: Link,
    /// One channel a pool. A return is matched to a confirm by order alone, so only wake-ups of one queue, which share
    /// their fate, may be in flight together.
    channels: Mutex<HashMap<PoolName, Arc<PoolChannel>>>,
    ttl: Duration,
    /// Something was confirmed.
    proved: watch::Sender<bool>,
}

#[derive(Debug)]
struct PoolChannel {
    channel: lapin::Channel,
    /// Held while a message is written: lapin numbers messages before it queues their frames, and two writers could
    /// come by in the other order.
    writing: Mutex<()>,
}

impl Session {
    async fn publish(&self, wake_up: &WakeUp) -> Result<(), PublishError> {
        let queue = queue_name(&wake_up.pool);
        let pool = self.channel(&wake_up.pool).await?;
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let written = {
            let _writing = pool.writing.lock().await;
            pool.channel
                .basic_publish(
                    "".into(),
                    queue.as_str().into(),
                    options,
                    &wake_up.encode(),
                    properties(wake_up.trace.as_ref(), self.ttl),
                )
                .await
        };
        let confirmed = match written {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        match confirmed {
            Ok(Confirmation::Ack(None)) => {
                self.proved.send_replace(true);
                Ok(())
            }
            Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
                self.forget(&wake_up.pool, &pool).await;
                Err(PublishError::Unroutable { queue })
            }
            Ok(Confirmation::Nack(None) | Confirmation::NotRequested) => {
                Err(PublishError::Nacked { queue })
            }
            Err(error) => {
                self.forget(&wake_up.pool, &pool).await;
                Err(self.failure(topology::refusal(&queue, error)))
            }
        }
    }

    async fn depth(&self, pool: &PoolName) -> Result<Depth, PublishError> {
        // A channel of its own: a refusal ends the channel.
        let depth = async {
            let channel = self.link.channel().await?;
            let depth = topology::declare(&channel, pool).await?;
            let _ = channel.close(200, "OK".into()).await;
            Ok(depth)
        };
        depth.await.map_err(|error| self.failure(error))
    }

    /// The pool's channel, its queue declared when it was opened.
    async fn channel(&self, pool: &PoolName) -> Result<Arc<PoolChannel>, PublishError> {
        let mut channels = self.channels.lock().await;
        if let Some(channel) = channels.get(pool) {
            return Ok(Arc::clone(channel));
        }
        let open = async {
            let channel = self.link.channel().await?;
            topology::declare(&channel, pool).await?;
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await
                .map_err(error::closed)?;
            Ok(channel)
        };
        let channel = Arc::new(PoolChannel {
            channel: open.await.map_err(|error| self.failure(error))?,
            writing: Mutex::new(()),
        });
        channels.insert(pool.clone(), Arc::clone(&channel));
        Ok(channel)
    }

    async fn forget(&self, pool: &PoolName, channel: &Arc<PoolChannel>) {
        let mut channels = self.channels.lock().await;
        if channels.get(pool).is_some_and(|c| Arc::ptr_eq(c, channel)) {
            channels.remove(pool);
        }
    }

    /// A channel's error leaves the connection alone; everything else ends it, also where lapin tells nobody (a close
    /// with code 200).
    fn failure(&self, error: BrokerError) -> PublishError {
        if self.link.connected() {
            return PublishError::Refused(error);
        }
        let error = Arc::new(error);
        self.link.end_with(Arc::clone(&error));
        PublishError::Disconnected(error)
    }
}

fn properties(trace: Option<&TraceContext>, ttl: Duration) -> BasicProperties {
    let mut headers = FieldTable::default();
    let parent = trace.map(TraceContext::traceparent);
    let state = trace.and_then(TraceContext::tracestate);
    for (name, value) in [("traceparent", parent.as_deref()), ("tracestate", state)] {
        if let Some(value) = value {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
    }
    BasicProperties::default()
        .with_content_type("application/json".into())
        // Persistent. Quorum queues are anyway; said for whoever looks at the message.
        .with_delivery_mode(2)
        // Milliseconds, in digits. The queue's own limit holds for what other versions publish.
        .with_expiration(ttl.as_millis().to_string().into())
        .with_headers(headers)
}

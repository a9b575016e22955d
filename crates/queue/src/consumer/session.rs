//! The consumer's background task: session after session, each one link, until it is closed.

use std::sync::Arc;

use futures::StreamExt;
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use types::{PoolName, TraceContext};

use super::{Command, ConsumerState, Delivery, Slot, lock};
use crate::backoff::{self, Backoff};
use crate::error::{self, AckError, BrokerError};
use crate::link::Link;
use crate::outage::Outage;
use crate::settings::Settings;
use crate::topology;
use crate::wake_up::WakeUp;

/// The consumer's task: its wishes and waits outlive connections.
pub(super) struct Background {
    pub(super) settings: Settings,
    pub(super) pool: PoolName,
    pub(super) queue: String,
    /// Whether the agent wants deliveries; outlives connections.
    pub(super) wanted: bool,
    pub(super) closing: bool,
    pub(super) receiver: mpsc::UnboundedReceiver<Command>,
    /// For deliveries.
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) arrived: watch::Sender<()>,
    pub(super) slot: Slot,
    pub(super) report: watch::Sender<ConsumerState>,
    pub(super) backoff: Backoff,
    pub(super) outage: Outage,
}

/// How a session ended without an error.
enum End {
    Closed,
    /// The connection stays, the channel ends: what it holds goes back to the queue, and what the broker has muddled
    /// for it is forgotten.
    NewChannel,
}

impl Background {
    pub(super) async fn run(mut self) {
        while !self.closing {
            let ended = self.session().await;
            // What it delivered cannot be acked any more.
            if let Some(stale) = lock(&self.slot).take() {
                stale.give_back();
            }
            match ended {
                Ok(End::Closed) => return,
                Ok(End::NewChannel) => {}
                Err(error) => self.wait_after(error).await,
            }
        }
    }

    async fn wait_after(&mut self, error: BrokerError) {
        let now = Instant::now().into_std();
        if self.outage.failed(now, error.needs_somebody()) {
            tracing::warn!(queue = %self.queue, error = %types::chain(&error), for_s = self.outage.seconds(now), "not consuming; trying on");
        }
        let wait = self.backoff.next(backoff::random());
        self.report
            .send_replace(ConsumerState::Disconnected(Arc::new(error)));
        self.meanwhile(async |_| tokio::time::sleep(wait).await)
            .await;
    }

    /// Does something without a connection, and answers commands at the same time. None when closed meanwhile.
    async fn meanwhile<T>(&mut self, act: impl AsyncFnOnce(&Settings) -> T) -> Option<T> {
        let settings = self.settings.clone();
        let act = act(&settings);
        tokio::pin!(act);
        loop {
            let command = tokio::select! {
                done = &mut act => return Some(done),
                command = self.receiver.recv() => command,
            };
            match command {
                Some(Command::Pause(reply)) => {
                    self.wanted = false;
                    let _ = reply.send(());
                }
                Some(Command::Resume) => self.wanted = true,
                Some(Command::Ack(_, reply)) => answer(reply, Err(AckError)),
                Some(Command::Close) | None => {
                    self.closing = true;
                    return None;
                }
            }
        }
    }

    async fn session(&mut self) -> Result<End, BrokerError> {
        let Some(link) = self
            .meanwhile(async |settings| Link::open(settings).await)
            .await
        else {
            return Ok(End::Closed);
        };
        let link = link?;
        let pool = self.pool.clone();
        let ended = loop {
            let prepared = self.meanwhile(async |_| prepare(&link, &pool).await).await;
            let Some(prepared) = prepared else {
                break Ok(End::Closed);
            };
            let channel = prepared?;
            match self.consume(&link, &channel).await {
                Ok(End::NewChannel) => {
                    link.command("close a channel", async {
                        let closed = channel.close(200, "OK".into()).await;
                        closed.map_err(error::closed)
                    })
                    .await?;
                }
                ended => break ended,
            }
        };
        if matches!(ended, Ok(_) | Err(BrokerError::ConsumerCancelled { .. })) {
            link.close().await;
        }
        ended
    }

    async fn consume(&mut self, link: &Link, channel: &lapin::Channel) -> Result<End, BrokerError> {
        let mut consumer: Option<lapin::Consumer> = None;
        self.report.send_if_modified(|state| {
            let connected = matches!(state, ConsumerState::Disconnected(_));
            if connected {
                if self.outage.connected(Instant::now().into_std()) {
                    tracing::info!(queue = %self.queue, broker = %self.settings.url, "connected to the broker");
                }
                *state = ConsumerState::Paused;
            }
            connected
        });
        // While the agent holds a wake-up there is nothing to wait for.
        let mut holding = false;
        let mut idle_since = Instant::now();
        loop {
            if self.wanted && consumer.is_none() {
                consumer = Some(self.start_consuming(link, channel).await?);
                self.report.send_replace(ConsumerState::Consuming);
                idle_since = Instant::now();
            }
            let renew_at = idle_since + self.settings.renew_idle;
            let command = tokio::select! {
                biased;
                error = link.ended() => return Err(shared(&error)),
                command = self.receiver.recv() => command,
                message = next_message(&mut consumer) => {
                    holding = self.deliver(message)?;
                    continue;
                }
                () = sleep_until(renew_at), if consumer.is_some() && !holding => {
                    // Its wake-up, had one just come, goes back with the channel and comes again.
                    return Ok(End::NewChannel);
                }
            };
            match command {
                Some(Command::Pause(reply)) => {
                    self.wanted = false;
                    let crossed = match consumer.take() {
                        Some(consumer) => self.stop_consuming(link, channel, consumer).await,
                        None => Ok(false),
                    };
                    // Answered in any case: after an error nothing is delivered either.
                    let _ = reply.send(());
                    if crossed? {
                        return Ok(End::NewChannel);
                    }
                    self.report.send_replace(ConsumerState::Paused);
                }
                Some(Command::Resume) => self.wanted = true,
                Some(Command::Ack(acker, reply)) => {
                    let acked = self.ack(link, &acker).await;
                    if matches!(acked, Ok(true)) {
                        holding = false;
                        idle_since = Instant::now();
                    }
                    answer(
                        reply,
                        matches!(acked, Ok(true)).then_some(()).ok_or(AckError),
                    );
                    acked?;
                }
                Some(Command::Close) | None => {
                    self.closing = true;
                    return Ok(End::Closed);
                }
            }
        }
    }

    async fn start_consuming(
        &self,
        link: &Link,
        channel: &lapin::Channel,
    ) -> Result<lapin::Consumer, BrokerError> {
        let consume = channel.basic_consume(
            self.queue.as_str().into(),
            // The broker chooses a tag, another one each time: a late delivery cannot meet a new consumer.
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consuming = link.command("consume", async {
            let consumer = consume.await;
            consumer.map_err(|error| topology::refusal(&self.queue, error))
        });
        consuming.await.map_err(|error| match error {
            // The broker has answered other commands just before.
            BrokerError::TimedOut { after, .. } => BrokerError::QueueSilent {
                queue: self.queue.clone(),
                after,
            },
            error => error,
        })
    }

    /// True when a wake-up crossed the cancel: undelivered, and held by the broker for us.
    async fn stop_consuming(
        &self,
        link: &Link,
        channel: &lapin::Channel,
        mut consumer: lapin::Consumer,
    ) -> Result<bool, BrokerError> {
        let untaken = lock(&self.slot).take();
        let mut crossed = untaken.is_some();
        if let Some(delivery) = untaken {
            delivery.give_back();
        }
        link.command("cancel", async {
            channel
                .basic_cancel(consumer.tag(), BasicCancelOptions::default())
                .await
                .map_err(error::closed)?;
            // lapin ends the stream when the broker has agreed; what comes before that crossed the cancel.
            while let Some(message) = consumer.next().await {
                message.map_err(error::closed)?;
                crossed = true;
            }
            Ok(())
        })
        .await?;
        Ok(crossed)
    }

    /// True: a wake-up is held until it is acked (as is a message that is none, for a moment).
    fn deliver(
        &mut self,
        message: Option<Result<lapin::message::Delivery, lapin::Error>>,
    ) -> Result<bool, BrokerError> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(topology::refusal(&self.queue, error)),
            None => {
                return Err(BrokerError::ConsumerCancelled {
                    queue: self.queue.clone(),
                });
            }
        };
        match WakeUp::decode(&message.data, trace(&message.properties)) {
            Ok(wake_up) => {
                self.backoff.reset();
                let delivery = Delivery {
                    wake_up,
                    acker: Some(message.acker),
                    commands: self.commands.clone(),
                };
                *lock(&self.slot) = Some(delivery);
                self.arrived.send_replace(());
            }
            Err(error) => {
                tracing::warn!(queue = %self.queue, %error, "a message that is no wake-up is dropped");
                // By the same way as any ack, so that it is bounded too.
                let _ = self.commands.send(Command::Ack(message.acker, None));
            }
        }
        Ok(true)
    }

    /// False where the acker is of an earlier session; `Err` when this one is not to be used further.
    async fn ack(&self, link: &Link, acker: &Acker) -> Result<bool, BrokerError> {
        let ack = async {
            let acked = acker.ack(BasicAckOptions::default()).await;
            acked.map_err(error::closed)
        };
        link.command("ack", ack).await
    }
}

/// Channel, queue, prefetch.
async fn prepare(link: &Link, pool: &PoolName) -> Result<lapin::Channel, BrokerError> {
    let channel = link.channel().await?;
    link.command("declare", topology::declare(&channel, pool))
        .await?;
    link.command("set the prefetch", async {
        channel
            // Not the global kind: quorum queues never had it, and RabbitMQ 4.3 refuses it.
            .basic_qos(1, BasicQosOptions { global: false })
            .await
            .map_err(error::closed)
    })
    .await?;
    Ok(channel)
}

async fn next_message(
    consumer: &mut Option<lapin::Consumer>,
) -> Option<Result<lapin::message::Delivery, lapin::Error>> {
    match consumer {
        Some(consumer) => consumer.next().await,
        None => std::future::pending().await,
    }
}

/// Headers that say nothing are no reason to refuse a wake-up.
fn trace(properties: &lapin::BasicProperties) -> Option<TraceContext> {
    let header = |name: &str| match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        _ => None,
    };
    TraceContext::from_headers(header("traceparent")?, header("tracestate")).ok()
}

fn answer(reply: Option<oneshot::Sender<Result<(), AckError>>>, result: Result<(), AckError>) {
    if let Some(reply) = reply {
        // The agent may have stopped waiting.
        let _ = reply.send(result);
    }
}

/// The link's own reason is shared with others; ours is told in its words.
fn shared(error: &Arc<BrokerError>) -> BrokerError {
    BrokerError::Closed {
        reason: types::chain(&**error),
    }
}

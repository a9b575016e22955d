//! The worker's side: one consumer of a pool's queue, one wake-up at a time.
//!
//! ```text
//!            link lost, channel closed, consumer cancelled by the broker
//!        ┌──────────────────────────────┬───────────────────────────┐
//!        ▼                              │                           │
//!  Disconnected ── link, declare ─▶  Paused ── resume: consume ─▶ Consuming
//!        ▲  backoff                     ◀──── pause: cancel ────────┘ │
//!        └──────────────────────────────────── a wake-up crossed the cancel, nothing came for a while: a new channel
//! ```
//!
//! A background task owns the connection. Any error of connection, channel or consumer replaces all of it: the queue
//! is declared again, and a delivery can only be acked where it came from. A consumer that hears nothing for a while
//! consumes anew, since brokers lose consumers without telling them.

mod session;

use std::sync::Arc;

use lapin::Acker;
use tokio::sync::{mpsc, oneshot, watch};
use types::PoolName;

use crate::backoff::Backoff;
use crate::error::{AckError, BrokerError};
use crate::outage::Outage;
use crate::settings::Settings;
use crate::topology::queue_name;
use crate::wake_up::WakeUp;
use session::Background;

/// Receives the wake-ups of one pool. It starts consuming; `pause` and `resume` follow the agent's free slots.
///
/// The order that never holds a wake-up too many: `next`, claim, `pause` if that was the last slot, `ack`. The broker
/// sends no second wake-up before the ack, so none can cross the cancel.
#[derive(Debug)]
pub struct Consumer {
    commands: mpsc::UnboundedSender<Command>,
    waiting: watch::Receiver<()>,
    slot: Slot,
    state: watch::Receiver<ConsumerState>,
    background: Option<tokio::task::JoinHandle<()>>,
}

/// What an operator wants to know.
#[derive(Debug, Clone)]
pub enum ConsumerState {
    Consuming,
    Paused,
    Disconnected(Arc<BrokerError>),
}

/// A wake-up that the broker holds for us until it is acked. One that is dropped is acked: it has no value, and the
/// consumer would get no other.
#[derive(Debug)]
#[must_use = "the broker sends no other wake-up until this one is acked"]
pub struct Delivery {
    pub wake_up: WakeUp,
    acker: Option<Acker>,
    commands: mpsc::UnboundedSender<Command>,
}

#[derive(Debug)]
enum Command {
    Pause(oneshot::Sender<()>),
    Resume,
    /// Without a receiver for a delivery that was dropped.
    Ack(Acker, Option<oneshot::Sender<Result<(), AckError>>>),
    Close,
}

/// Where the wake-up lies until the agent takes it: with prefetch 1 there is at most one that counts, and one of an
/// ended connection is worth nothing.
type Slot = Arc<std::sync::Mutex<Option<Delivery>>>;

impl Delivery {
    /// Always ack, whatever the claim's answer was. Bounded by `command_timeout`.
    pub async fn ack(mut self) -> Result<(), AckError> {
        let Some(acker) = self.acker.take() else {
            return Err(AckError);
        };
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(Command::Ack(acker, Some(reply)))
            .map_err(|_| AckError)?;
        answer.await.unwrap_or(Err(AckError))
    }

    /// Neither acked nor kept: the end of its channel gives it back.
    fn give_back(mut self) {
        self.acker = None;
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(acker) = self.acker.take() {
            // Nobody listens any more: then its channel is gone too.
            let _ = self.commands.send(Command::Ack(acker, None));
        }
    }
}

impl Consumer {
    /// Returns at once; connects and consumes in the background. Needs a tokio runtime.
    pub fn start(settings: Settings, pool: PoolName) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (arrived, waiting) = watch::channel(());
        let not_yet = ConsumerState::Disconnected(Arc::new(BrokerError::NotYet));
        let (report, state) = watch::channel(not_yet);
        let slot = Slot::default();
        let task = Background {
            backoff: Backoff::new(settings.backoff_first, settings.backoff_longest),
            outage: Outage::default(),
            settings,
            queue: queue_name(&pool),
            pool,
            wanted: true,
            closing: false,
            receiver,
            commands: commands.clone(),
            arrived,
            slot: Arc::clone(&slot),
            report,
        };
        Self {
            commands,
            waiting,
            slot,
            state,
            background: Some(tokio::spawn(task.run())),
        }
    }

    /// The next wake-up; waits while there is none, paused or not connected. May be dropped at any time without
    /// losing one. None when the consumer has ended, which happens only with its runtime.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            self.waiting.mark_unchanged();
            if let Some(delivery) = lock(&self.slot).take() {
                return Some(delivery);
            }
            self.waiting.changed().await.ok()?;
        }
    }

    /// Stops the deliveries (`basic.cancel`). When it returns, `next` yields nothing until `resume`: a wake-up that
    /// crossed the cancel went back to the queue, for another worker. Bounded by `command_timeout`.
    pub async fn pause(&mut self) {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Pause(reply)).is_ok() {
            // An error means that the task has ended, and then nothing is delivered either.
            let _ = answer.await;
        }
    }

    /// Wants deliveries again (`basic.consume`), now or as soon as there is a connection.
    pub fn resume(&mut self) {
        let _ = self.commands.send(Command::Resume);
    }

    pub fn state(&self) -> watch::Receiver<ConsumerState> {
        self.state.clone()
    }

    /// Says goodbye to the broker, which gives what was not acked to somebody else. Bounded.
    pub async fn close(mut self) {
        let _ = self.commands.send(Command::Close);
        if let Some(task) = self.background.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Close);
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

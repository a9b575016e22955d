//! How everything else speaks to the loop that owns the core.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use coordinator_core::{Claim, Core, Event, Now, Reply, Ticket};
use monitoring::Histogram;
use spans::Spans;
use store::Stores;
use tokio::sync::{oneshot, watch};
use types::JobId;

use crate::{refusals::Refusals, wake_ups::WakeUps, webhook::Webhook};

/// The loop has ended, or is about to: whoever asks hears it as "unavailable".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator is ending; it answers again once it has been started again")]
pub struct Ended;

/// Reads what it wants to know.
pub type Look = Box<dyn FnOnce(&Core, Now) + Send>;

/// Makes the event once the loop has given it a ticket.
pub type MakeEvent = Box<dyn FnOnce(Ticket) -> Event + Send>;

pub enum Message {
    Ask {
        event: MakeEvent,
        reply: oneshot::Sender<Reply>,
    },
    /// A claim that may wait until there is something to do.
    Claim {
        claim: Claim,
        wait: Duration,
        reply: oneshot::Sender<Reply>,
    },
    Tell(Event),
    /// Looks at the core; answered only after all that it can see is committed.
    Query(Look),
    /// Answer what has arrived, commit, end.
    Stop,
}

/// Clones talk to the same loop.
#[derive(Clone)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    changes: Arc<Changes>,
    stores: Stores,
    wake_ups: Option<Arc<WakeUps>>,
    webhook: Option<Arc<Webhook>>,
    spans: Spans,
    commit_times: Histogram,
    refusals: Refusals,
}

impl Handle {
    pub fn new(
        changes: Arc<Changes>,
        stores: Stores,
        wake_ups: Option<Arc<WakeUps>>,
        webhook: Option<Arc<Webhook>>,
        spans: Spans,
        commit_times: Histogram,
    ) -> (Self, mpsc::Receiver<Message>) {
        let (inbox, receiver) = mpsc::channel();
        let handle = Self {
            inbox,
            changes,
            stores,
            wake_ups,
            webhook,
            spans,
            commit_times,
            refusals: Refusals::default(),
        };
        (handle, receiver)
    }

    /// Where jobs' objects lie.
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// How workers are woken, where it is over a broker.
    pub fn wake_ups(&self) -> Option<&WakeUps> {
        self.wake_ups.as_deref()
    }

    /// Who is told when jobs have ended, where somebody wants to be.
    pub fn webhook(&self) -> Option<&Webhook> {
        self.webhook.as_deref()
    }

    /// Where spans go.
    pub fn spans(&self) -> &Spans {
        &self.spans
    }

    /// How long the loop's commits took.
    pub fn commit_times(&self) -> &Histogram {
        &self.commit_times
    }

    /// Calls from the network that were not let in.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    pub async fn ask(
        &self,
        event: impl FnOnce(Ticket) -> Event + Send + 'static,
    ) -> Result<Reply, Ended> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Ask {
            event: Box::new(event),
            reply,
        })?;
        answer.await.map_err(|_| Ended)
    }

    pub async fn claim(&self, claim: Claim, wait: Duration) -> Result<Reply, Ended> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Claim { claim, wait, reply })?;
        answer.await.map_err(|_| Ended)
    }

    pub async fn query<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core, Now) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let (reply, answer) = oneshot::channel();
        let look = move |core: &Core, now: Now| drop(reply.send(look(core, now)));
        self.send(Message::Query(Box::new(look)))?;
        answer.await.map_err(|_| Ended)
    }

    pub fn tell(&self, event: Event) -> Result<(), Ended> {
        self.send(Message::Tell(event))
    }

    pub fn stop(&self) {
        // Fails only if the loop has ended already.
        let _ = self.send(Message::Stop);
    }

    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    fn send(&self, message: Message) -> Result<(), Ended> {
        self.inbox.send(message).map_err(|_| Ended)
    }
}

/// Tells those who watch a job that it changed; what changed they look up themselves.
#[derive(Debug, Default)]
pub struct Changes {
    watched: Mutex<HashMap<JobId, watch::Sender<()>>>,
}

impl Changes {
    pub fn subscribe(&self, job: &JobId) -> watch::Receiver<()> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|_, sender| sender.receiver_count() > 0);
        watched
            .entry(job.clone())
            .or_insert_with(|| watch::channel(()).0)
            .subscribe()
    }

    pub fn notify(&self, job: &JobId) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = watched.get(job) {
            sender.send_replace(());
        }
    }

    /// Ends all watching: the loop has ended.
    pub fn close(&self) {
        self.watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

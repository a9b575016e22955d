//! The one loop: applies what happened to the core, commits a whole batch at once, and only then lets anybody know.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use coordinator_core::{
    Change, Claim, ClaimAnswer, Core, Effect, Event, Now, OutboxRow, Reply, Ticket, WakeUp,
};
use spans::Spans;
use tokio::sync::{mpsc::UnboundedSender, oneshot};
use types::{JobId, PoolName, WorkerName};

use crate::{
    handle::{Changes, Look, Message},
    journal,
    settings::{BATCH, TICK},
    state_store::{StateStore, StateStoreError},
    sweeper, traces,
};

/// Where what is to be done outside goes.
pub struct Orders {
    pub deliveries: UnboundedSender<OutboxRow>,
    pub wake_ups: UnboundedSender<WakeUp>,
    pub deletions: UnboundedSender<sweeper::Order>,
}

pub struct EventLoop {
    core: Core,
    store: StateStore,
    inbox: Receiver<Message>,
    changes: Arc<Changes>,
    orders: Orders,
    spans: Spans,
    started: Instant,
    last_ticket: u64,
    asked: BTreeMap<Ticket, oneshot::Sender<Reply>>,
    /// Held claims, oldest first.
    waiting: BTreeMap<Ticket, WaitingClaim>,
}

/// A claim for which there was nothing to do so far.
struct WaitingClaim {
    claim: Claim,
    until: Instant,
    reply: oneshot::Sender<Reply>,
}

/// What a batch of events leaves to be done: in the order in which it is done.
#[derive(Default)]
struct Batch {
    persist: Vec<Change>,
    replies: Vec<(Ticket, Reply)>,
    wake: Vec<PoolName>,
    publish: Vec<WakeUp>,
    deliver: Vec<OutboxRow>,
    delete: Vec<sweeper::Order>,
    changed: Vec<JobId>,
    queries: Vec<Look>,
    stop: bool,
}

impl EventLoop {
    pub fn new(
        core: Core,
        store: StateStore,
        inbox: Receiver<Message>,
        changes: Arc<Changes>,
        orders: Orders,
        spans: Spans,
        started: Instant,
    ) -> Self {
        Self {
            core,
            store,
            inbox,
            changes,
            orders,
            spans,
            started,
            last_ticket: 0,
            asked: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Runs until told to stop. An error means that the batch could not be committed: nothing of it was shown to
    /// anybody, and the process has to end, since the core knows more than the database.
    pub fn run(mut self) -> Result<(), StateStoreError> {
        // What was promised to the store before the last end.
        for row in self.core.outbox() {
            self.deliver(row.clone());
        }
        let mut next_tick = Instant::now() + TICK;
        loop {
            let mut inbox = VecDeque::new();
            match self.inbox.recv_timeout(
                self.next_deadline(next_tick)
                    .saturating_duration_since(Instant::now()),
            ) {
                Ok(message) => inbox.push_back(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            // Deadlines are judged only when everything that had arrived before was applied.
            let tick = Instant::now() >= next_tick;
            let bound = if tick { usize::MAX } else { BATCH };
            while inbox.len() < bound {
                match self.inbox.try_recv() {
                    Ok(message) => inbox.push_back(message),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            while !inbox.is_empty() {
                let part: Vec<_> = inbox.drain(..inbox.len().min(BATCH)).collect();
                if self.turn(part)? {
                    return Ok(());
                }
            }
            if tick {
                let mut batch = Batch::default();
                self.apply(Event::Ticked, &mut batch);
                self.finish(batch)?;
                next_tick = Instant::now() + TICK;
            }
            self.end_waits();
        }
    }

    /// One batch: apply, commit, tell. True if it was the last.
    fn turn(&mut self, messages: Vec<Message>) -> Result<bool, StateStoreError> {
        let mut batch = Batch::default();
        for message in messages {
            self.take(message, &mut batch);
        }
        let stop = batch.stop;
        self.finish(batch)?;
        if stop {
            self.release_waiting();
        }
        Ok(stop)
    }

    fn take(&mut self, message: Message, batch: &mut Batch) {
        match message {
            Message::Ask { event, reply } => {
                let ticket = self.next_ticket();
                self.asked.insert(ticket, reply);
                self.apply(event(ticket), batch);
            }
            Message::Claim { claim, wait, reply } => {
                let ticket = self.next_ticket();
                let event = Event::ClaimRequested {
                    to: ticket,
                    claim: claim.clone(),
                };
                self.waiting.insert(
                    ticket,
                    WaitingClaim {
                        claim,
                        until: Instant::now() + wait,
                        reply,
                    },
                );
                self.apply(event, batch);
            }
            Message::Tell(event) => self.apply(event, batch),
            Message::Query(look) => batch.queries.push(look),
            Message::Stop => batch.stop = true,
        }
    }

    fn apply(&mut self, event: Event, batch: &mut Batch) {
        for effect in self.core.apply(event, now(self.started)) {
            match effect {
                Effect::Persist(change) => batch.persist.push(change),
                Effect::Reply { to, reply } => batch.replies.push((to, reply)),
                Effect::Wake { pool } if batch.wake.contains(&pool) => {}
                Effect::Wake { pool } => batch.wake.push(pool),
                Effect::Publish(wake_up) => batch.publish.push(wake_up),
                Effect::Deliver(row) => batch.deliver.push(row),
                Effect::Sweep(leftovers) => batch.delete.push(sweeper::Order::Attempt(leftovers)),
                Effect::Remove(removal) => batch.delete.push(sweeper::Order::Job(removal)),
                Effect::JobChanged(job) if batch.changed.contains(&job) => {}
                Effect::JobChanged(job) => batch.changed.push(job),
            }
        }
    }

    /// Commits the batch and then carries out the rest; claims that it woke may make another batch.
    fn finish(&mut self, mut batch: Batch) -> Result<(), StateStoreError> {
        loop {
            if !batch.persist.is_empty() {
                self.store.commit(&batch.persist)?;
                batch.persist.iter().for_each(|change| self.note(change));
            }
            for (ticket, reply) in batch.replies {
                self.answer(ticket, reply);
            }
            for wake_up in batch.publish {
                // What is not published is published again after the next start.
                let _ = self.orders.wake_ups.send(wake_up);
            }
            for row in batch.deliver {
                self.deliver(row);
            }
            for order in batch.delete {
                // As with deliveries: after the next start it is ordered again.
                let _ = self.orders.deletions.send(order);
            }
            for job in &batch.changed {
                self.changes.notify(job);
            }
            for look in batch.queries {
                look(&self.core, now(self.started));
            }
            if batch.wake.is_empty() {
                return Ok(());
            }
            let woken = std::mem::take(&mut batch.wake);
            batch = Batch::default();
            self.claim_again(&woken, &mut batch);
        }
    }

    /// Says what was committed.
    fn note(&self, change: &Change) {
        let context = traces::of(change, &self.core, &self.spans);
        journal::note(change, context.as_ref());
        if let Change::Attempt(row) = change {
            traces::record_attempt(row, &self.core, &self.spans);
        }
    }

    fn claim_again(&mut self, pools: &[PoolName], batch: &mut Batch) {
        // A caller that has gone would let its lease run out.
        self.waiting.retain(|_, waiting| !waiting.reply.is_closed());
        if self.waiting.is_empty() {
            return;
        }
        let woken: HashSet<&WorkerName> = self
            .core
            .worker_views()
            .filter(|view| pools.contains(&view.row.pool))
            .map(|view| &view.row.worker)
            .collect();
        let mut events = Vec::new();
        for (ticket, waiting) in &mut self.waiting {
            if woken.contains(&waiting.claim.from.worker) {
                waiting.claim.nonce = nonce();
                events.push(Event::ClaimRequested {
                    to: *ticket,
                    claim: waiting.claim.clone(),
                });
            }
        }
        for event in events {
            self.apply(event, batch);
        }
    }

    fn answer(&mut self, ticket: Ticket, reply: Reply) {
        if let Some(waiting) = self.waiting.get(&ticket) {
            let nothing = matches!(
                reply,
                Reply::Claimed {
                    answer: ClaimAnswer::Nothing,
                    ..
                }
            );
            if nothing && waiting.until > Instant::now() {
                return;
            }
        }
        let caller = self
            .waiting
            .remove(&ticket)
            .map(|waiting| waiting.reply)
            .or_else(|| self.asked.remove(&ticket));
        if let Some(caller) = caller {
            // A caller that has gone asks again: every request may be repeated.
            let _ = caller.send(reply);
        }
    }

    /// Answers the claims that have waited long enough.
    fn end_waits(&mut self) {
        let now = Instant::now();
        let over: Vec<Ticket> = self
            .waiting
            .iter()
            .filter(|(_, w)| w.until <= now || w.reply.is_closed())
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in over {
            self.answer_nothing(ticket);
        }
    }

    fn release_waiting(&mut self) {
        for ticket in self.waiting.keys().copied().collect::<Vec<_>>() {
            self.answer_nothing(ticket);
        }
    }

    fn answer_nothing(&mut self, ticket: Ticket) {
        if let Some(waiting) = self.waiting.remove(&ticket) {
            let reply = Reply::Claimed {
                epoch: self.store.epoch(),
                answer: ClaimAnswer::Nothing,
            };
            let _ = waiting.reply.send(reply);
        }
    }

    fn deliver(&self, row: OutboxRow) {
        // The publisher ends only with the process; what it does not get now is in the outbox after the next start.
        let _ = self.orders.deliveries.send(row);
    }

    fn next_deadline(&self, next_tick: Instant) -> Instant {
        self.waiting
            .values()
            .map(|waiting| waiting.until)
            .fold(next_tick, Instant::min)
    }

    fn next_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }
}

/// The only place where the coordinator's decisions meet a clock.
pub fn now(started: Instant) -> Now {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Now {
        mono_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        wall_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
    }
}

/// A random suffix for an attempt's prefix.
pub fn nonce() -> u32 {
    // Without the system's randomness (a broken sandbox), a fresh hasher's keys still differ by process and call.
    getrandom::u32().unwrap_or_else(|_| {
        use std::hash::{BuildHasher, Hasher, RandomState};
        #[expect(clippy::cast_possible_truncation, reason = "any 32 bits do")]
        let bits = RandomState::new().build_hasher().finish() as u32;
        bits
    })
}

//! The broker in miniature: one queue, one wake-up at a time for each consumer, and everything that it may do wrong.

use std::collections::{BTreeMap, BTreeSet};

use coordinator_core::{Effect, Event, WakeUp};
use worker_core::AgentEvent;

use crate::{
    chance::Chance,
    invariants::{About, Check},
    world::{Item, World},
};

/// The core takes a wake-up for lost when the broker has dropped it, however long its publishing took.
pub const WAKE_UP_TTL_MS: u64 = MESSAGE_TTL_MS + PUBLISH_MS;
const MESSAGE_TTL_MS: u64 = 60_000;
const PUBLISH_MS: u64 = 5_000;
/// Beyond this the oldest message is dropped.
const MAX_LENGTH: usize = 64;
const TICK_MS: u64 = 1_000;

/// Rates of what goes wrong between coordinator, broker and workers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BrokerFaults {
    /// Confirmed, and gone: the queue's disk is lost, its head dropped.
    pub lost: f64,
    pub nacked: f64,
    /// Stored, but no confirm comes.
    pub unconfirmed: f64,
    pub doubled: f64,
    pub reordered: f64,
    pub late: f64,
    /// Consumers' connections break, and what they hold is delivered again.
    pub cut: f64,
    /// Down for a while, and back with its queue or without it.
    pub restart: f64,
}

impl BrokerFaults {
    /// Each off, rare, heavy or, now and then, always.
    pub fn draw(chance: &mut Chance) -> Self {
        let mut rate = || *chance.pick(&[0.0, 0.0, 0.01, 0.01, 0.2, 0.2, 1.0]);
        Self {
            lost: rate(),
            nacked: rate(),
            unconfirmed: rate(),
            doubled: rate(),
            reordered: rate(),
            late: rate(),
            cut: rate(),
            restart: rate(),
        }
    }
}

#[derive(Debug, Default)]
pub struct Broker {
    pub faults: BrokerFaults,
    pub down: bool,
    queue: Vec<Message>,
    /// By machine: delivered and not acked.
    held: BTreeMap<usize, Message>,
    /// Machines that want wake-ups.
    consuming: BTreeSet<usize>,
    /// Machines whose shell has a wake-up: it takes no other, whatever became of that one here.
    busy: BTreeSet<usize>,
    /// On the way from the coordinator of now.
    published: BTreeSet<u64>,
    /// Of the coordinator of now: neither came back with a claim nor failed.
    open: BTreeSet<u64>,
    /// How many were published: for tests.
    pub count: u64,
}

#[derive(Debug, Clone)]
struct Message {
    number: u64,
    expires_ms: u64,
}

#[derive(Debug)]
pub enum BrokerDoes {
    Receive { number: u64, life: u64 },
    Tick,
    Restart,
}

impl Broker {
    /// Nothing waits to be delivered or acked.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.held.is_empty() && self.published.is_empty()
    }

    /// The coordinator was started again: it knows of nothing that is on its way.
    pub fn forget_coordinator(&mut self) {
        self.open.clear();
        self.published.clear();
    }

    /// Everything that is held goes back, the oldest first.
    fn give_back(&mut self, machine: usize) {
        if let Some(message) = self.held.remove(&machine) {
            self.queue.insert(0, message);
        }
    }

    fn give_all_back(&mut self) {
        for machine in self.held.keys().copied().collect::<Vec<_>>() {
            self.give_back(machine);
        }
    }
}

impl World {
    /// From now on wake-ups go through a broker.
    pub fn add_broker(&mut self, faults: BrokerFaults) {
        self.broker = Some(Broker {
            faults,
            ..Broker::default()
        });
        self.at(TICK_MS, Item::Broker(BrokerDoes::Tick));
    }

    pub fn broker_does(&mut self, does: BrokerDoes) {
        match does {
            BrokerDoes::Receive { number, life } => self.broker_receives(number, life),
            BrokerDoes::Tick => self.broker_ticks(),
            BrokerDoes::Restart => {
                if let Some(broker) = &mut self.broker {
                    broker.down = false;
                }
                self.note(|| "the broker is back".to_owned());
                self.deliver_wake_ups();
            }
        }
    }

    /// The coordinator's shell publishes after the commit.
    pub fn publish(&mut self, wake_up: &WakeUp) {
        let late = match &self.broker {
            Some(broker) => broker.faults.late,
            None => return,
        };
        let after = match self.chance.hits(late) {
            true => self.chance.between(100, PUBLISH_MS),
            false => self.chance.between(1, 10),
        };
        let number = wake_up.number;
        let life = self.coordinator.life;
        self.note(|| format!("wake-up {number:#x} is published"));
        self.at(after, Item::Broker(BrokerDoes::Receive { number, life }));
    }

    fn broker_receives(&mut self, number: u64, life: u64) {
        let now_ms = self.now_ms;
        let Some(broker) = &mut self.broker else {
            return;
        };
        broker.published.remove(&number);
        let faults = broker.faults;
        let taken = !broker.down && !self.chance.hits(faults.nacked);
        if taken && !self.chance.hits(faults.lost) {
            let copies = 1 + usize::from(self.chance.hits(faults.doubled));
            let message = Message {
                number,
                expires_ms: now_ms + MESSAGE_TTL_MS,
            };
            broker.queue.extend(vec![message; copies]);
            let surplus = broker.queue.len().saturating_sub(MAX_LENGTH);
            broker.queue.drain(..surplus);
        }
        let confirmed = taken && !self.chance.hits(faults.unconfirmed);
        if !confirmed && life == self.coordinator.life && self.coordinator.core.is_some() {
            let failed = Event::PublishFailed { number };
            self.coordinator.inbox.push((failed, About::Nothing));
            self.plan_batch();
        }
        self.deliver_wake_ups();
    }

    fn broker_ticks(&mut self) {
        self.at(TICK_MS, Item::Broker(BrokerDoes::Tick));
        let now_ms = self.now_ms;
        let Some(broker) = &mut self.broker else {
            return;
        };
        broker.queue.retain(|message| message.expires_ms > now_ms);
        let faults = broker.faults;
        if self.chance.hits(faults.cut * 0.2) {
            broker.give_all_back();
        }
        if !broker.down && self.chance.hits(faults.restart * 0.1) {
            self.restart_broker();
        }
        self.deliver_wake_ups();
    }

    /// Down for a while. The queue may be lost.
    pub fn restart_broker(&mut self) {
        let loses = self.chance.hits(0.5);
        let after = self.chance.between(500, 20_000);
        self.note(|| format!("the broker goes down (its queue is lost: {loses})"));
        let Some(broker) = &mut self.broker else {
            return;
        };
        broker.down = true;
        broker.give_all_back();
        if loses {
            broker.queue.clear();
        }
        self.at(after, Item::Broker(BrokerDoes::Restart));
    }

    /// To consumers that hold nothing, one each.
    fn deliver_wake_ups(&mut self) {
        let now_ms = self.now_ms;
        loop {
            let Some(broker) = &mut self.broker else {
                return;
            };
            let machines = &self.machines;
            let reachable = |machine: &&usize| {
                !broker.busy.contains(machine)
                    && machines[**machine].agent.is_some()
                    && machines[**machine].cut_off_until_ms <= now_ms
            };
            let idle: Vec<usize> = broker.consuming.iter().filter(reachable).copied().collect();
            broker.queue.retain(|message| message.expires_ms > now_ms);
            if broker.down || idle.is_empty() || broker.queue.is_empty() {
                return;
            }
            let machine = *self.chance.pick(&idle);
            let place = match self.chance.hits(broker.faults.reordered) {
                true => self.chance.between(0, broker.queue.len() as u64 - 1) as usize,
                false => 0,
            };
            let message = broker.queue.remove(place);
            let number = message.number;
            broker.held.insert(machine, message);
            broker.busy.insert(machine);
            let life = self.machines[machine].life;
            let after = self.chance.between(1, 10);
            let event = Box::new(AgentEvent::Woken { number });
            self.at(
                after,
                Item::Agent {
                    machine,
                    life,
                    event,
                },
            );
        }
    }

    pub fn consume_wake_ups(&mut self, machine: usize, wanted: bool) {
        let Some(broker) = &mut self.broker else {
            return;
        };
        match wanted {
            true => broker.consuming.insert(machine),
            false => broker.consuming.remove(&machine),
        };
        self.deliver_wake_ups();
    }

    /// An ack after the connection was lost acks nothing: somebody else has the message.
    pub fn ack_wake_up(&mut self, machine: usize) {
        let Some(broker) = &mut self.broker else {
            return;
        };
        broker.busy.remove(&machine);
        match self.chance.hits(broker.faults.cut) {
            true => broker.give_back(machine),
            false => _ = broker.held.remove(&machine),
        }
        self.deliver_wake_ups();
    }

    /// The agent's process is gone, and its connection with it.
    pub fn consumer_is_gone(&mut self, machine: usize) {
        if let Some(broker) = &mut self.broker {
            broker.busy.remove(&machine);
            broker.consuming.remove(&machine);
            broker.give_back(machine);
        }
    }

    /// What an event says about wake-ups, before the core hears it.
    pub fn note_wake_up(&mut self, event: &Event) {
        let number = match event {
            Event::ClaimRequested { claim, .. } => claim.wake_up,
            Event::PublishFailed { number } => Some(*number),
            _ => None,
        };
        if let (Some(broker), Some(number)) = (&mut self.broker, number) {
            broker.open.remove(&number);
        }
    }

    /// I14: what is on its way to the broker, or waits there, is within the window when something is added. Copies that
    /// the broker made, and what it kept although it did not confirm it, are not counted.
    pub fn wake_ups_stay_within_the_window(&mut self, effects: &[Effect]) -> Check {
        let (Some(broker), Some(core)) = (&mut self.broker, &self.coordinator.core) else {
            return Ok(());
        };
        let mut published = 0;
        for effect in effects {
            if let Effect::Publish(wake_up) = effect {
                if !broker.open.insert(wake_up.number) {
                    return Err(format!("I14: number {} came twice", wake_up.number));
                }
                broker.published.insert(wake_up.number);
                published += 1;
            }
        }
        if published == 0 {
            return Ok(());
        }
        broker.count += published;
        let now_ms = self.now_ms;
        let waiting = broker.queue.iter().filter(|m| m.expires_ms > now_ms);
        let unsettled: BTreeSet<u64> = waiting
            .map(|message| message.number)
            .chain(broker.published.iter().copied())
            .filter(|number| broker.open.contains(number))
            .collect();
        // A grant in the same event has taken its slot already, and the core counts after it, too.
        let free: u64 = core
            .worker_views()
            .filter(|view| view.state == coordinator_core::WorkerState::Live)
            .map(|view| u64::from(view.row.slots).saturating_sub(view.tasks.len() as u64))
            .sum();
        let window = 4.max(2 * free) as usize;
        if unsettled.len() > window {
            return Err(format!(
                "I14: {} wake-ups are on their way, the window is {window}",
                unsettled.len()
            ));
        }
        Ok(())
    }
}

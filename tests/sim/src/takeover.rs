//! A coordinator that does not know that another one has taken over: it stood still meanwhile, and wakes.

use std::collections::BTreeMap;

use coordinator_core::{Change, Core, Effect, Event, Now, Ticket};

use types::LeaseNumber;

use crate::{
    invariants::{About, Check},
    world::{Item, Who, World},
};

pub struct Predecessor {
    core: Core,
    epoch: u64,
    life: u64,
    started_ms: u64,
    inbox: Vec<(Event, About)>,
    waiting: BTreeMap<Ticket, (Who, About)>,
    /// How often it has woken and written nothing.
    idle: u32,
}

/// One that finds nothing to write does no harm for as long as one likes.
const IDLE_WAKES: u32 = 5;

impl World {
    /// The coordinator stands still, and another one starts on the same database. What the old one had ordered is on its way.
    pub fn take_over(&mut self) -> Check {
        let Some(core) = self.coordinator.core.take() else {
            return Ok(());
        };
        self.note(|| "another coordinator takes over".to_owned());
        self.predecessor = Some(Predecessor {
            core,
            epoch: self.coordinator.epoch,
            life: self.coordinator.life,
            started_ms: self.coordinator.started_ms(),
            inbox: std::mem::take(&mut self.coordinator.inbox),
            waiting: self.coordinator.hand_over(),
            idle: 0,
        });
        if let Some(broker) = &mut self.broker {
            broker.forget_coordinator();
        }
        let after = self.chance.between(500, 150_000);
        self.at(after, Item::PredecessorWakes);
        self.start_coordinator()
    }

    /// A call that reaches the coordinator of now may reach the old one as well, over a connection that nobody has closed.
    pub fn overhear(&mut self, ticket: Ticket, who: &Who, event: &Event, about: &About) {
        if self.predecessor.is_none() || !self.chance.hits(0.7) {
            return;
        }
        if let Some(old) = &mut self.predecessor {
            old.inbox.push((event.clone(), about.clone()));
            old.waiting.insert(ticket, (who.clone(), about.clone()));
        }
    }

    /// It goes on as if nothing had happened: its commits are refused, and what needs none is harmless.
    pub fn predecessor_wakes(&mut self) -> Check {
        let Some(mut old) = self.predecessor.take() else {
            return Ok(());
        };
        let now = Now {
            mono_ms: self.now_ms - old.started_ms,
            ..self.now()
        };
        let mut effects = Vec::new();
        for (event, _) in std::mem::take(&mut old.inbox) {
            // Who holds a lease of its successor speaks to that.
            if lease_of(&event).is_none_or(|lease| old.core.attempt(lease).is_some()) {
                effects.extend(old.core.apply(event, now));
            }
        }
        effects.extend(old.core.apply(Event::Ticked, now));
        let changes: Vec<Change> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Persist(change) => Some(change.clone()),
                _ => None,
            })
            .collect();
        if !changes.is_empty() {
            self.note(|| "the old coordinator wakes, may not write, and ends".to_owned());
            self.refused_commits += 1;
            return self.write(old.epoch, &changes);
        }
        for effect in effects {
            match effect {
                Effect::Reply { to, reply } => {
                    // Without a look at its history: agents that know a later epoch do not listen to it.
                    if let Some((who, _)) = old.waiting.remove(&to) {
                        self.send_reply(&who, reply);
                    }
                }
                Effect::Publish(wake_up) => self.publish(&wake_up),
                Effect::Sweep(order) => self.sweep_soon(order, old.life, 5),
                Effect::Remove(order) => self.remove_soon(order, old.life, 5),
                Effect::Deliver(_)
                | Effect::Persist(_)
                | Effect::Wake { .. }
                | Effect::JobChanged(_) => {}
            }
        }
        old.idle += 1;
        if old.idle < IDLE_WAKES {
            self.predecessor = Some(old);
            self.at(1_000, Item::PredecessorWakes);
        }
        Ok(())
    }
}

/// The lease that a report is about.
fn lease_of(event: &Event) -> Option<LeaseNumber> {
    match event {
        Event::AttemptCompleted { lease, .. }
        | Event::AttemptFailed { lease, .. }
        | Event::AttemptReleased { lease, .. } => Some(*lease),
        _ => None,
    }
}

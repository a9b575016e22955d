//! What monitoring is told of this agent: whether it lives, whether it takes tasks, and how many of what.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use monitoring::{Kind, Metrics, Watched};
use types::LeaseNumber;
use worker_core::{AgentEffect, AgentEvent, Answer, Call, SlotNumber, Verdict};

/// A loop that has not looked at its deadlines for so long hangs.
const TICK_LIMIT: Duration = Duration::from_secs(10);

/// Clones tell of the same agent.
#[derive(Clone)]
pub struct Status(Arc<Mutex<Facts>>);

struct Facts {
    slots: u32,
    ticked: Instant,
    registered: bool,
    /// The last call got an answer.
    answered: bool,
    draining: bool,
    /// Attempts that occupy a slot, and since when.
    held: BTreeMap<LeaseNumber, Instant>,
    /// Resident bytes of each executor that runs.
    executors: BTreeMap<SlotNumber, u64>,
    executor_exits: u64,
    /// Attempts that have ended, by outcome: a verdict, a failure class, `released`.
    ended: BTreeMap<&'static str, u64>,
}

impl Status {
    pub fn new(slots: u32) -> Self {
        Self(Arc::new(Mutex::new(Facts {
            slots,
            ticked: Instant::now(),
            registered: false,
            answered: false,
            draining: false,
            held: BTreeMap::new(),
            executors: BTreeMap::new(),
            executor_exits: 0,
            ended: BTreeMap::new(),
        })))
    }

    /// What has happened.
    pub fn note(&self, event: &AgentEvent) {
        self.facts().note(event);
    }

    /// What was ordered.
    pub fn note_order(&self, effect: &AgentEffect) {
        match effect {
            AgentEffect::RunTask { grant, .. } => {
                self.facts().held.insert(grant.lease, Instant::now());
            }
            AgentEffect::Finished { lease } => drop(self.facts().held.remove(lease)),
            _ => {}
        }
    }

    /// What would be begun anew if this worker ended now: the time that all its tasks have run.
    pub fn under_way(&self) -> Duration {
        self.facts().held.values().map(Instant::elapsed).sum()
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        // Whole after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn note(&mut self, event: &AgentEvent) {
        match event {
            AgentEvent::Ticked => self.ticked = Instant::now(),
            AgentEvent::Answered { call, answer, .. } => {
                self.answered = true;
                self.heard(call, answer);
            }
            AgentEvent::CallFailed { .. } | AgentEvent::CallDenied { .. } => self.answered = false,
            AgentEvent::DrainRequested | AgentEvent::EndRequested => self.draining = true,
            AgentEvent::MemorySampled { slot, bytes } => drop(self.executors.insert(*slot, *bytes)),
            AgentEvent::ExecutorExited { slot, .. } => {
                self.executors.remove(slot);
                self.executor_exits += 1;
            }
            _ => {}
        }
    }

    fn heard(&mut self, call: &Call, answer: &Answer) {
        match (call, answer) {
            (_, Answer::Registered { .. }) => self.registered = true,
            (_, Answer::Unregistered) => self.registered = false,
            (
                _,
                Answer::Heartbeat {
                    drain, register, ..
                },
            ) => {
                self.draining |= drain;
                self.registered &= !register;
            }
            (_, Answer::Completed(verdict)) => self.count(match verdict {
                Verdict::Accepted => "accepted",
                Verdict::Superseded => "superseded",
                Verdict::Cancelled => "cancelled",
            }),
            (Call::Fail { failure, .. }, Answer::Noted) => self.count(failure.class.as_str()),
            (Call::Release { .. }, Answer::Noted) => self.count("released"),
            _ => {}
        }
    }

    fn count(&mut self, outcome: &'static str) {
        *self.ended.entry(outcome).or_default() += 1;
    }

    fn ready(&self) -> Result<(), String> {
        let why = if self.draining {
            "it drains: nothing more is claimed"
        } else if !self.answered {
            "the coordinator does not answer"
        } else if !self.registered {
            "the coordinator does not know it yet"
        } else {
            return Ok(());
        };
        Err(why.to_owned())
    }

    fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        let mut gauge = |name, help, number| metrics.number(name, Kind::Gauge, help, number);
        gauge(
            "worker_slots",
            "Tasks that this worker does at a time.",
            u64::from(self.slots),
        );
        gauge(
            "worker_busy_slots",
            "Slots with a task.",
            self.held.len() as u64,
        );
        gauge(
            "worker_ready",
            "Whether it takes tasks: 1, or 0.",
            u64::from(self.ready().is_ok()),
        );
        metrics.family(
            "worker_attempts_total",
            Kind::Counter,
            "Attempts of this worker that have ended, by outcome.",
            self.ended
                .iter()
                .map(|(outcome, &n)| ([("outcome", (*outcome).to_owned())], n)),
        );
        metrics.family(
            "worker_executor_memory_bytes",
            Kind::Gauge,
            "Resident memory of the executor of each slot.",
            self.executors
                .iter()
                .map(|(slot, &bytes)| ([("slot", slot.to_string())], bytes)),
        );
        metrics.number(
            "worker_executor_exits_total",
            Kind::Counter,
            "Executors that have ended, for whatever reason.",
            self.executor_exits,
        );
        metrics
    }
}

impl Watched for Status {
    fn healthy(&self) -> Result<(), String> {
        let silent = self.facts().ticked.elapsed();
        match silent < TICK_LIMIT {
            true => Ok(()),
            false => Err(format!(
                "its loop has stood still for {} s",
                silent.as_secs()
            )),
        }
    }

    async fn ready(&self) -> Result<(), String> {
        self.facts().ready()
    }

    async fn metrics(&self) -> Result<Metrics, String> {
        Ok(self.facts().metrics())
    }
}

#[cfg(test)]
mod tests {
    use types::{Epoch, Failure, FailureClass};

    use super::*;

    const REGISTERED: Answer = Answer::Registered {
        heartbeat_ms: 1_000,
    };

    fn answered(call: Call, answer: Answer) -> AgentEvent {
        AgentEvent::Answered {
            call,
            epoch: Epoch(1),
            answer,
        }
    }

    #[test]
    fn it_is_ready_while_the_coordinator_knows_it_and_answers_and_it_takes_tasks() {
        let status = Status::new(2);
        let ready = || status.facts().ready().is_ok();
        assert!(!ready());
        status.note(&answered(Call::Register, REGISTERED));
        assert!(ready());
        status.note(&AgentEvent::CallFailed {
            call: Call::Register,
        });
        assert!(!ready());
        let beat = |drain, register| Answer::Heartbeat {
            cancel: Vec::new(),
            drain,
            register,
        };
        let call = || Call::Heartbeat { leases: Vec::new() };
        status.note(&answered(call(), beat(false, false)));
        assert!(ready());
        status.note(&answered(call(), beat(false, true)));
        assert!(!ready());
        status.note(&answered(Call::Register, REGISTERED));
        status.note(&answered(call(), beat(true, false)));
        assert!(!ready());
        assert!(status.healthy().is_ok());
    }

    #[test]
    fn what_ended_is_counted_by_its_outcome() {
        let status = Status::new(2);
        let failure = Failure {
            class: FailureClass::Crashed,
            message: String::new(),
        };
        let fail = Call::Fail {
            lease: LeaseNumber(1),
            failure,
        };
        status.note(&answered(fail, Answer::Noted));
        let complete = Call::Complete {
            lease: LeaseNumber(2),
            result_json: String::new(),
            outputs_json: String::new(),
        };
        status.note(&answered(complete, Answer::Completed(Verdict::Accepted)));
        status.note(&AgentEvent::MemorySampled { slot: 1, bytes: 5 });
        let text = status.facts().metrics().text();
        for line in [
            "nightshift_worker_slots 2",
            "nightshift_worker_busy_slots 0",
            "nightshift_worker_attempts_total{outcome=\"accepted\"} 1",
            "nightshift_worker_attempts_total{outcome=\"crashed\"} 1",
            "nightshift_worker_executor_memory_bytes{slot=\"1\"} 5",
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "{line} is not in\n{text}"
            );
        }
    }
}

//! A worker's machine: the real agent, fake executors, a network that loses and repeats.

use std::collections::BTreeSet;

use coordinator_core::{Claim, ClaimAnswer, Registration, Reply, Sender, Verdict};
use types::{
    Devices, Failure, FailureClass, Incarnation, Labels, PoolName, Progress, TaskKind, WorkerName,
};
use worker_core::{
    Agent, AgentEffect, AgentEvent, AgentSettings, Answer, Call, Exit, Grant, SlotNumber,
};

use crate::{
    executor,
    faults::Mutation,
    invariants::{About, Check},
    store::part,
    world::{Item, MakeEvent, Who, World},
};

#[derive(Debug)]
pub struct Machine {
    pub name: WorkerName,
    pub slots: u32,
    pub memory_bytes: u64,
    pub temporary: bool,
    pub engines: Vec<String>,
    pub devices: Devices,
    pub kinds: BTreeSet<TaskKind>,
    pub labels: Labels,
    pub agent: Option<Agent>,
    /// Of the agent's process.
    pub life: u64,
    started_ms: u64,
    pub cut_off_until_ms: u64,
    /// Of each slot's executor process.
    pub executors: Vec<u64>,
    /// Tasks that were run to their end here, by task and lease: for tests.
    pub finished: u64,
    /// Every executor does this instead of what chance says: for tests.
    pub always: Option<Does>,
}

#[derive(Debug, Clone)]
pub enum ExecutorDoes {
    Ready,
    Moves { lease: u64, pulse: u64 },
    Finishes { lease: u64 },
    Fails { lease: u64, class: FailureClass },
    Grows,
    Exits(Exit),
}

/// What becomes of a task on an executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    Work,
    /// Works for so long.
    WorkFor(u64),
    Fail(FailureClass),
    Crash,
    Hang,
    Grow,
}

const TICK_MS: u64 = 2_000;

impl World {
    pub fn add_machine(&mut self, number: usize, slots: u32, memory_bytes: u64) {
        let name = format!("worker{number}").parse().expect("a name");
        let executors = vec![0; slots as usize];
        let machine = Machine {
            name,
            slots,
            memory_bytes,
            temporary: number % 3 == 2,
            engines: vec!["openvino".to_owned()],
            devices: Devices::default(),
            kinds: TaskKind::ALL.iter().copied().collect(),
            labels: Labels::default(),
            agent: None,
            life: 0,
            started_ms: 0,
            cut_off_until_ms: 0,
            executors,
            finished: 0,
            always: None,
        };
        self.machines.push(machine);
        let after = self.chance.between(0, 3_000);
        self.at(after, Item::MachineStart { machine: number });
    }

    pub fn start_machine(&mut self, number: usize) {
        let now_ms = self.now_ms;
        let machine = &mut self.machines[number];
        if machine.agent.is_some() {
            return;
        }
        machine.life += 1;
        machine.started_ms = now_ms;
        let mut settings = AgentSettings::new(
            machine.name.clone(),
            Incarnation(machine.life),
            machine.slots,
        );
        settings.stall_ms = 60_000;
        settings.loading_stall_ms = 90_000;
        settings.poll_ms = self.broker.as_ref().map(|_| 20_000);
        machine.agent = Some(Agent::new(settings, 0));
        let life = machine.life;
        let name = machine.name.clone();
        self.note(|| format!("{name} starts, incarnation {life}"));
        self.at(
            0,
            Item::MachineTick {
                machine: number,
                life,
            },
        );
    }

    /// Agent and executors are gone at once.
    pub fn kill_machine(&mut self, number: usize, back_after_ms: u64) {
        let machine = &mut self.machines[number];
        machine.agent = None;
        machine.life += 1;
        machine.executors.iter_mut().for_each(|life| *life += 1);
        let name = machine.name.clone();
        self.note(|| format!("{name} dies"));
        self.consumer_is_gone(number);
        self.at(back_after_ms, Item::MachineStart { machine: number });
    }

    pub fn machine_tick(&mut self, number: usize, life: u64) -> Check {
        if self.machines[number].life != life || self.machines[number].agent.is_none() {
            return Ok(());
        }
        if self.chance.hits(self.faults.worker_crash * 0.1) {
            let back = self.chance.between(500, 90_000);
            self.kill_machine(number, back);
            return Ok(());
        }
        if self.chance.hits(self.faults.worker_cut_off * 0.1) {
            let until = self.now_ms + self.chance.between(5_000, 130_000);
            self.machines[number].cut_off_until_ms = until;
            self.note(|| format!("worker{number} is cut off until {} s", until / 1000));
        }
        self.at(
            TICK_MS,
            Item::MachineTick {
                machine: number,
                life,
            },
        );
        if self.chance.hits(self.faults.worker_drain * 0.1) {
            let how = *self.chance.pick(&[true, false]);
            let event = if how {
                AgentEvent::DrainRequested
            } else {
                AgentEvent::EndRequested
            };
            self.agent(number, life, event)?;
        }
        // Who drained a worker starts it again once it is empty: for all its tasks there may be nobody else.
        let empty = |agent: &Agent| agent.is_drained_by_user() && agent.leases().is_empty();
        if self.calm && self.machines[number].agent.as_ref().is_some_and(empty) {
            self.agent(number, life, AgentEvent::DrainRequested)?;
        }
        self.agent(number, life, AgentEvent::Ticked)
    }

    /// Feeds the agent and does what it says.
    pub fn agent(&mut self, number: usize, life: u64, event: AgentEvent) -> Check {
        let now_ms = self.now_ms;
        self.delete_superseded(&event);
        let machine = &mut self.machines[number];
        if machine.life != life {
            return Ok(());
        }
        let Some(agent) = &mut machine.agent else {
            return Ok(());
        };
        let effects = agent.apply(event, now_ms - machine.started_ms);
        for effect in effects {
            match effect {
                AgentEffect::Send(call) => self.send(number, life, call),
                AgentEffect::ConsumeWakeUps => self.consume_wake_ups(number, true),
                AgentEffect::PauseWakeUps => self.consume_wake_ups(number, false),
                AgentEffect::AckWakeUp => self.ack_wake_up(number),
                // Only its log's business.
                AgentEffect::Expect { .. } => {}
                AgentEffect::StartExecutor { slot } => {
                    let executor = &mut self.machines[number].executors[slot as usize];
                    *executor += 1;
                    let after = self.chance.between(20, 500);
                    self.executor_later(number, slot, after, ExecutorDoes::Ready);
                }
                AgentEffect::RunTask { slot, grant } => self.run_task(number, slot, &grant),
                AgentEffect::CancelTask { slot, lease } => {
                    if !self.chance.hits(self.faults.executor_hang) {
                        self.executor_later(
                            number,
                            slot,
                            50,
                            ExecutorDoes::Fails {
                                lease: lease.0,
                                class: FailureClass::Released,
                            },
                        );
                    }
                }
                AgentEffect::KillExecutor { slot } => {
                    self.machines[number].executors[slot as usize] += 1;
                    self.executor_later(number, slot, 20, ExecutorDoes::Exits(Exit::Signal(9)));
                }
                AgentEffect::Finished { .. } => self.machines[number].finished += 1,
                AgentEffect::Exit | AgentEffect::GiveUp(_) => {
                    let back = self.chance.between(500, 30_000);
                    self.kill_machine(number, back);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// M1: a worker's shell that tidies up after an attempt that was not accepted: it removes the task's folder, in which
    /// the accepted attempt's prefix lies, too. Nothing here says that this is wrong; I7 misses what is gone.
    fn delete_superseded(&mut self, event: &AgentEvent) {
        let AgentEvent::Answered {
            call: Call::Complete { lease, .. },
            answer: Answer::Completed(worker_core::Verdict::Superseded),
            ..
        } = event
        else {
            return;
        };
        let assignment = self.assignments.get(lease);
        let folder = assignment.and_then(|one| Some(one.prefix.rsplit_once('/')?.0.to_owned()));
        if let (Some(Mutation::WorkerDeletesSuperseded), Some(folder)) = (self.mutation, folder) {
            self.store.delete_below(&folder);
        }
    }

    fn executor_later(
        &mut self,
        number: usize,
        slot: SlotNumber,
        after_ms: u64,
        does: ExecutorDoes,
    ) {
        let life = self.machines[number].executors[slot as usize];
        self.at(
            after_ms,
            Item::Executor {
                machine: number,
                slot,
                life,
                does,
            },
        );
    }

    fn run_task(&mut self, number: usize, slot: SlotNumber, grant: &Grant) {
        let lease = grant.lease.0;
        if let Some(assignment) = self.assignments.get(&grant.lease).cloned() {
            self.begin_writing(&assignment);
        }
        let takes = self.chance.between(100, 25_000);
        let does = match self.machines[number].always {
            Some(does) => does,
            None => self.draw_fate(),
        };
        let later = |does| (takes, does);
        let (after, does) = match does {
            Does::Work => later(ExecutorDoes::Finishes { lease }),
            Does::WorkFor(ms) => (ms, ExecutorDoes::Finishes { lease }),
            Does::Fail(class) => later(ExecutorDoes::Fails { lease, class }),
            Does::Crash => later(ExecutorDoes::Exits(Exit::Signal(11))),
            Does::Hang => return,
            Does::Grow => later(ExecutorDoes::Grows),
        };
        // A pulse now and then, so that only what hangs is taken for hanging.
        for beat in 1..=(after / 20_000) {
            self.executor_later(
                number,
                slot,
                beat * 20_000,
                ExecutorDoes::Moves { lease, pulse: beat },
            );
        }
        self.executor_later(number, slot, after, does);
    }

    fn draw_fate(&mut self) -> Does {
        if self.chance.hits(self.faults.executor_crash) {
            Does::Crash
        } else if self.chance.hits(self.faults.executor_hang) {
            Does::Hang
        } else if self.chance.hits(self.faults.executor_memory) {
            Does::Grow
        } else if self.chance.hits(self.faults.task_fails) {
            use FailureClass::{DiskFull, Internal, InvalidInput, Unavailable};
            Does::Fail(*self.chance.pick(&[
                DiskFull,
                Internal,
                InvalidInput,
                Unavailable,
                Unavailable,
            ]))
        } else {
            Does::Work
        }
    }

    pub fn executor(
        &mut self,
        number: usize,
        slot: SlotNumber,
        executor_life: u64,
        does: ExecutorDoes,
    ) -> Check {
        let machine = &mut self.machines[number];
        if machine.executors[slot as usize] != executor_life {
            return Ok(());
        }
        let life = machine.life;
        let event = match does {
            ExecutorDoes::Ready => AgentEvent::ExecutorReady { slot },
            ExecutorDoes::Moves { lease, pulse } => AgentEvent::ExecutorProgressed {
                slot,
                lease: types::LeaseNumber(lease),
                progress: Progress::default(),
                pulse,
                loading: false,
            },
            ExecutorDoes::Finishes { lease } => {
                let lease = types::LeaseNumber(lease);
                let Some(assignment) = self.assignments.get(&lease) else {
                    return Ok(());
                };
                let (result, outputs, digest) = executor::work(assignment);
                self.store.put(part(&assignment.prefix), digest);
                let text = |e: Result<String, serde_json::Error>| e.map_err(|e| e.to_string());
                let result_json = text(serde_json::to_string(&result))?;
                let outputs_json = text(serde_json::to_string(&outputs))?;
                AgentEvent::TaskDone {
                    slot,
                    lease,
                    result_json,
                    outputs_json,
                }
            }
            ExecutorDoes::Fails { lease, class } => {
                let failure = Failure {
                    class,
                    message: "simulated".to_owned(),
                };
                AgentEvent::TaskFailed {
                    slot,
                    lease: types::LeaseNumber(lease),
                    failure,
                }
            }
            ExecutorDoes::Grows => AgentEvent::MemorySampled {
                slot,
                bytes: u64::MAX,
            },
            ExecutorDoes::Exits(exit) => {
                machine.executors[slot as usize] += 1;
                AgentEvent::ExecutorExited {
                    slot,
                    exit,
                    last_words: String::new(),
                }
            }
        };
        self.agent(number, life, event)
    }

    /// A call leaves the agent: it may be lost, late or doubled, and is given up after a while.
    fn send(&mut self, number: usize, life: u64, call: Call) {
        let machine = &self.machines[number];
        let from = Sender {
            worker: machine.name.clone(),
            incarnation: Incarnation(life),
        };
        let short = call.short();
        let patience = if matches!(call, Call::Claim { .. }) {
            35_000
        } else {
            10_000
        };
        let mut claimed = None;
        let (make, about) = match call {
            Call::Register => {
                let registration = Registration {
                    worker: from.worker,
                    incarnation: from.incarnation,
                    pool: PoolName::default(),
                    slots: machine.slots,
                    version: "1".to_owned(),
                    engines: machine.engines.clone(),
                    devices: machine.devices.clone(),
                    kinds: machine.kinds.clone(),
                    labels: machine.labels.clone(),
                    memory_bytes: machine.memory_bytes,
                    temporary: machine.temporary,
                };
                (MakeEvent::Register(registration), About::Nothing)
            }
            Call::Claim {
                id,
                free_slots,
                wake_up,
            } => {
                let claim = Claim {
                    from,
                    id: id.clone(),
                    free_slots,
                    wake_up,
                    nonce: 0,
                };
                claimed = Some(claim.clone());
                (MakeEvent::Claim(claim), About::Claim(id))
            }
            Call::Heartbeat { leases } => (MakeEvent::Heartbeat(from, leases), About::Nothing),
            Call::Complete {
                lease,
                result_json,
                outputs_json,
            } => {
                let (Ok(result), Ok(outputs)) = (
                    serde_json::from_str(&result_json),
                    serde_json::from_str(&outputs_json),
                ) else {
                    return;
                };
                (
                    MakeEvent::Complete(from, lease, Box::new(result), outputs),
                    About::Lease(lease),
                )
            }
            Call::Fail { lease, failure } => {
                (MakeEvent::Fail(from, lease, failure), About::Nothing)
            }
            Call::Release { lease } => (MakeEvent::Release(from, lease), About::Nothing),
            Call::Leave => (MakeEvent::Leave(from.clone()), About::Leave(from)),
        };
        let who = Who::Worker {
            machine: number,
            life,
            call: short.clone(),
            claim: claimed,
        };
        self.at(
            patience,
            Item::Agent {
                machine: number,
                life,
                event: Box::new(AgentEvent::CallFailed { call: short }),
            },
        );
        if self.now_ms < self.machines[number].cut_off_until_ms
            || self.chance.hits(self.faults.lose_request)
        {
            return;
        }
        let copies = if self.chance.hits(self.faults.duplicate) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let after = self.network_delay();
            self.at(
                after,
                Item::Arrive {
                    who: who.clone(),
                    make: Box::new(make.clone()),
                    about: about.clone(),
                },
            );
        }
    }

    pub fn network_delay(&mut self) -> u64 {
        if self.chance.hits(self.faults.delay) {
            self.chance.between(50, 30_000)
        } else {
            self.chance.between(1, 20)
        }
    }

    pub fn call_failed_soon(&mut self, who: &Who) {
        if let Who::Worker {
            machine,
            life,
            call,
            ..
        } = who
        {
            let event = Box::new(AgentEvent::CallFailed { call: call.clone() });
            self.at(
                50,
                Item::Agent {
                    machine: *machine,
                    life: *life,
                    event,
                },
            );
        }
    }

    pub fn send_reply(&mut self, who: &Who, reply: Reply) {
        if self.chance.hits(self.faults.lose_reply) {
            return;
        }
        let copies = if self.chance.hits(self.faults.duplicate) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let after = self.network_delay();
            match who {
                Who::User { place } => self.at(
                    after,
                    Item::UserHears {
                        place: *place,
                        reply: Box::new(reply.clone()),
                    },
                ),
                Who::Worker {
                    machine,
                    life,
                    call,
                    ..
                } => {
                    if self.now_ms < self.machines[*machine].cut_off_until_ms {
                        continue;
                    }
                    let event = Box::new(self.answer(call.clone(), reply.clone()));
                    self.at(
                        after,
                        Item::Agent {
                            machine: *machine,
                            life: *life,
                            event,
                        },
                    );
                }
            }
        }
    }

    fn answer(&mut self, call: Call, reply: Reply) -> AgentEvent {
        let (epoch, answer) = match reply {
            Reply::Registered {
                epoch,
                heartbeat_ms,
                ..
            } => (epoch, Answer::Registered { heartbeat_ms }),
            Reply::Claimed { epoch, answer } => {
                let answer = match answer {
                    ClaimAnswer::Granted(assignment) => {
                        let grant = Grant {
                            lease: assignment.lease,
                            task: assignment.task.clone(),
                            assignment_json: String::new(),
                            timeout_ms: assignment.resources.timeout_s.map(|s| s * 1000),
                            memory_bytes: assignment.resources.memory_bytes,
                        };
                        self.assignments.insert(assignment.lease, *assignment);
                        Answer::Granted(Box::new(grant))
                    }
                    ClaimAnswer::Nothing => Answer::Nothing,
                    ClaimAnswer::Ended => Answer::Ended,
                    ClaimAnswer::Unregistered => Answer::Unregistered,
                };
                (epoch, answer)
            }
            Reply::Heartbeat { epoch, answer } => (
                epoch,
                Answer::Heartbeat {
                    cancel: answer.cancel,
                    drain: answer.drain,
                    register: answer.register,
                },
            ),
            Reply::Completed { epoch, verdict } => {
                let verdict = match verdict {
                    Verdict::Accepted => worker_core::Verdict::Accepted,
                    Verdict::Superseded => worker_core::Verdict::Superseded,
                    Verdict::Cancelled => worker_core::Verdict::Cancelled,
                };
                (epoch, Answer::Completed(verdict))
            }
            Reply::Noted { epoch } => (epoch, Answer::Noted),
            Reply::Refused(refusal) => {
                self.note(|| format!("refused: {refusal}"));
                return AgentEvent::CallRefused {
                    call,
                    why: "refused".to_owned(),
                };
            }
            Reply::Submitted { .. }
            | Reply::Cancelled { .. }
            | Reply::Retried { .. }
            | Reply::Rethresholded { .. }
            | Reply::Deleted { .. }
            | Reply::Draining
            | Reply::WorkerReleased => return AgentEvent::CallFailed { call },
        };
        AgentEvent::Answered {
            call,
            epoch,
            answer,
        }
    }
}

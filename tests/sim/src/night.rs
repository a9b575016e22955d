//! A night of images that arrive, and a pool that is scaled on the backlog of the real core: when it is done, and what it cost.
//!
//! Seconds pass one by one. The core is the coordinator's own; workers, machines and the scaler are models of what they are outside:
//! a pod is asked for, runs after its node and its image are there, does one task at a time, and is paid for from the first
//! second to the last. The scaler is an autoscaler of Kubernetes with the chart's numbers.

use std::collections::VecDeque;

use coordinator_core::{
    Claim, ClaimAnswer, Core, Effect, Event, Now, Outcome, Registration, Reply, Sender, Settings,
    Ticket,
};
use plan::{Assignment, TaskSpec};
use types::{
    Devices, Epoch, Incarnation, JobState, Labels, LeaseNumber, PoolName, TaskKind, TaskState,
};

use crate::{chance::Chance, executor, workload};

/// What a night brings, and who is there for it.
#[derive(Debug, Clone)]
pub struct Night {
    pub seed: u64,
    /// Jobs, one every `every_s`, with so many chunks of 256 images each.
    pub jobs: u64,
    pub every_s: u64,
    pub chunks: u64,
    /// Images that a slot scores in a second.
    pub rate: f64,
    pub pool: Pool,
}

#[derive(Debug, Clone)]
pub enum Pool {
    /// So many pods from the beginning to the end.
    Fixed(u64),
    Scaled(Scaled),
}

/// The chart's `scaling`, and the machines.
#[derive(Debug, Clone)]
pub struct Scaled {
    pub max: u64,
    pub seconds_per_slot: u64,
    /// How often a machine is taken away, in an hour; 0: never.
    pub taken_an_hour: f64,
    /// How many of those go without a notice.
    pub without_notice: f64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Morning {
    /// When the last job had ended, from the first one's arrival on.
    pub done_s: u64,
    pub images: u64,
    /// What all pods took together, from being asked for to their end.
    pub pod_s: u64,
    pub most_pods: u64,
    pub taken: u64,
    /// Attempts that ended otherwise than accepted: with their machine, or handed back.
    pub lost: u64,
    pub released: u64,
    /// Pods at each minute.
    pub pods: Vec<u64>,
}

/// From the request to a worker that runs: the node comes, the image is pulled.
const START_S: (u64, u64) = (60, 180);
/// A scrape, and a question of the scaler.
const SCALE_EVERY_S: u64 = 15;
/// The chart's `scaleDownSeconds`, and its bounds on growth in `SCALE_EVERY_S`.
const SCALE_DOWN_S: u64 = 300;
const MOST_MORE_PODS: u64 = 20;
const MOST_TIMES: u64 = 4;
const COOLDOWN_S: u64 = 300;
/// The chart's drains.
const DRAIN_S: u64 = 300;
const SPOT_DRAIN_S: u64 = 20;
const HEARTBEAT_S: u64 = 10;
/// What tasks other than scoring take.
const OTHER_TASK_S: u64 = 20;
/// A night that is not over by then never will be.
const LIMIT_S: u64 = 48 * 3_600;

struct Pod {
    from: Sender,
    runs_at_s: u64,
    registered: bool,
    /// Ends then whatever it does; it takes nothing more.
    leaves_s: Option<u64>,
    busy: Option<Busy>,
}

struct Busy {
    assignment: Assignment,
    until_s: u64,
}

struct Desk {
    core: Core,
    second: u64,
    tickets: u64,
}

impl Desk {
    fn now(&self) -> Now {
        Now {
            mono_ms: self.second * 1_000,
            wall_ms: 1_700_000_000_000 + self.second as i64 * 1_000,
        }
    }

    /// Applies; the answer. What goes to the store is there at once.
    fn apply(&mut self, make: impl FnOnce(Ticket) -> Event) -> Option<Reply> {
        self.tickets += 1;
        let mut answer = None;
        let mut waiting = VecDeque::from([make(Ticket(self.tickets))]);
        while let Some(event) = waiting.pop_front() {
            for effect in self.core.apply(event, self.now()) {
                match effect {
                    Effect::Reply { reply, .. } => answer = Some(reply),
                    Effect::Deliver(row) => waiting.push_back(Event::OutboxDelivered {
                        id: row.id,
                        version: Some(1),
                    }),
                    _ => {}
                }
            }
        }
        answer
    }
}

impl Night {
    /// Lives through the night.
    ///
    /// # Errors
    /// The night does not end: some job is never done.
    pub fn pass(&self) -> Result<Morning, String> {
        let settings = Settings::default();
        let start = Now {
            mono_ms: 0,
            wall_ms: 1_700_000_000_000,
        };
        let mut run = Run {
            night: self,
            chance: Chance::new(self.seed),
            desk: Desk {
                core: Core::new(settings, Epoch(1), start),
                second: 0,
                tickets: 0,
            },
            pods: Vec::new(),
            made: 0,
            wishes: VecDeque::new(),
            idle_since_s: 0,
            morning: Morning::default(),
        };
        if let Pool::Fixed(pods) = self.pool {
            // They stand ready since before.
            (0..pods).for_each(|_| run.ask_for_pod(0));
        }
        loop {
            if run.second()? {
                return Ok(run.end());
            }
        }
    }
}

struct Run<'a> {
    night: &'a Night,
    chance: Chance,
    desk: Desk,
    pods: Vec<Pod>,
    made: u64,
    /// Wanted numbers of the last `SCALE_DOWN_S`, with when.
    wishes: VecDeque<(u64, u64)>,
    idle_since_s: u64,
    morning: Morning,
}

impl Run<'_> {
    /// One second; whether everything is done.
    fn second(&mut self) -> Result<bool, String> {
        let second = self.desk.second;
        if second >= LIMIT_S {
            return Err(format!(
                "seed {}: not done after {LIMIT_S} s",
                self.night.seed
            ));
        }
        let night = self.night;
        if second.is_multiple_of(night.every_s) && second / night.every_s < night.jobs {
            self.submit(second / night.every_s);
        }
        self.take_machines_away();
        if second.is_multiple_of(SCALE_EVERY_S)
            && let Pool::Scaled(scaled) = &night.pool
        {
            self.scale(scaled);
        }
        self.work();
        self.desk.apply(|_| Event::Ticked);
        let pods = self.pods.len() as u64;
        self.morning.pod_s += pods;
        self.morning.most_pods = self.morning.most_pods.max(pods);
        if second.is_multiple_of(60) {
            self.morning.pods.push(pods);
        }
        self.desk.second += 1;
        Ok(second >= night.every_s * (night.jobs - 1) && self.all_done())
    }

    fn submit(&mut self, number: u64) {
        let kind = ::job::resolved::JobKind::Benchmark;
        let name = format!("job{number}");
        let submit = workload::submit(&name, &name, None, kind, 1, self.night.chunks, 0);
        self.desk.apply(|to| Event::SubmitRequested {
            to,
            submit: Box::new(submit),
        });
    }

    fn all_done(&self) -> bool {
        let mut views = self.desk.core.job_views();
        views.all(|job| job.state == JobState::Succeeded)
    }

    fn ask_for_pod(&mut self, runs_at_s: u64) {
        self.made += 1;
        let from = Sender {
            worker: format!("pod-{}", self.made).parse().expect("a name"),
            incarnation: Incarnation(self.made),
        };
        self.pods.push(Pod {
            from,
            runs_at_s,
            registered: false,
            leaves_s: None,
            busy: None,
        });
    }

    /// What the chart's ScaledObject makes Kubernetes do.
    fn scale(&mut self, scaled: &Scaled) {
        let second = self.desk.second;
        let census = self.desk.core.census(self.desk.now());
        let (work_ms, running) = census.pools.values().fold((0, 0), |(work, running), pool| {
            let held = pool.tasks.get(&TaskState::Running).copied().unwrap_or(0);
            (work + pool.backlog.work_ms, running + held)
        });
        if work_ms > 0 {
            self.idle_since_s = second;
        }
        let staying = self
            .pods
            .iter()
            .filter(|pod| pod.leaves_s.is_none())
            .count() as u64;
        let by_work = work_ms.div_ceil(1_000).div_ceil(scaled.seconds_per_slot);
        let mut wanted = by_work.max(running).min(scaled.max);
        if work_ms == 0 {
            // The last one goes after the cooldown, and none comes before there is something to do.
            let cooling = second - self.idle_since_s < COOLDOWN_S;
            wanted = u64::from(cooling && staying > 0);
        }
        self.wishes.push_back((second, wanted));
        while self
            .wishes
            .front()
            .is_some_and(|(at, _)| at + SCALE_DOWN_S < second)
        {
            self.wishes.pop_front();
        }
        if wanted > staying {
            let more = (staying * (MOST_TIMES - 1)).max(MOST_MORE_PODS);
            for _ in 0..(wanted - staying).min(more) {
                let start = self.chance.between(START_S.0, START_S.1);
                self.ask_for_pod(second + start);
            }
            return;
        }
        let highest = self
            .wishes
            .iter()
            .map(|(_, wanted)| *wanted)
            .max()
            .unwrap_or(0);
        let drain = if scaled.taken_an_hour > 0.0 {
            SPOT_DRAIN_S
        } else {
            DRAIN_S
        };
        for _ in highest..staying {
            self.let_one_go(drain);
        }
    }

    /// The one that the Deployment's controller takes: what does not run yet first, then the youngest.
    fn let_one_go(&mut self, drain_s: u64) {
        let second = self.desk.second;
        let staying = self.pods.iter_mut().filter(|pod| pod.leaves_s.is_none());
        let first = staying.max_by_key(|pod| (!pod.registered, pod.from.incarnation));
        if let Some(pod) = first {
            pod.leaves_s = Some(if pod.registered {
                second + drain_s
            } else {
                second
            });
        }
    }

    fn take_machines_away(&mut self) {
        let Pool::Scaled(scaled) = &self.night.pool else {
            return;
        };
        let second = self.desk.second;
        let rate = scaled.taken_an_hour / 3_600.0;
        let mut gone = Vec::new();
        for (number, pod) in self.pods.iter_mut().enumerate() {
            if pod.registered && pod.leaves_s.is_none() && self.chance.hits(rate) {
                self.morning.taken += 1;
                if self.chance.hits(scaled.without_notice) {
                    gone.push(number);
                } else {
                    pod.leaves_s = Some(second + SPOT_DRAIN_S);
                }
            }
        }
        for number in gone.into_iter().rev() {
            // The coordinator hears nothing, and its lease runs out.
            self.pods.remove(number);
        }
    }

    fn work(&mut self) {
        let second = self.desk.second;
        let mut pods = std::mem::take(&mut self.pods);
        let mut nothing_left = false;
        pods.retain_mut(|pod| {
            if !pod.registered && pod.runs_at_s <= second {
                self.register(pod);
            }
            if let Some(busy) = pod.busy.take_if(|busy| busy.until_s <= second) {
                self.complete(pod, &busy.assignment);
            }
            if let Some(leaves_s) = pod.leaves_s
                && (pod.busy.is_none() || leaves_s <= second)
            {
                self.leave(pod);
                return false;
            }
            if pod.registered && pod.busy.is_none() && !nothing_left {
                nothing_left = !self.claim(pod);
            }
            if pod.registered && (second + pod.from.incarnation.0).is_multiple_of(HEARTBEAT_S) {
                self.beat(pod);
            }
            true
        });
        self.pods = pods;
    }

    fn register(&mut self, pod: &mut Pod) {
        pod.registered = true;
        let worker = Registration {
            worker: pod.from.worker.clone(),
            incarnation: pod.from.incarnation,
            pool: PoolName::default(),
            slots: 1,
            version: "1".to_owned(),
            engines: Vec::new(),
            devices: Devices::default(),
            kinds: TaskKind::ALL.iter().copied().collect(),
            labels: Labels::default(),
            memory_bytes: 1 << 40,
            temporary: false,
        };
        self.desk.apply(|to| Event::WorkerRegistered { to, worker });
    }

    /// Whether there was something to do.
    fn claim(&mut self, pod: &mut Pod) -> bool {
        let second = self.desk.second;
        let claim = Claim {
            from: pod.from.clone(),
            id: format!("{}-{second}", pod.from.worker)
                .parse()
                .expect("a name"),
            free_slots: 1,
            wake_up: None,
            nonce: 7,
        };
        let Some(Reply::Claimed {
            answer: ClaimAnswer::Granted(assignment),
            ..
        }) = self.desk.apply(|to| Event::ClaimRequested { to, claim })
        else {
            return false;
        };
        let lasts_s = match &assignment.spec {
            TaskSpec::Score { count, .. } => (*count as f64 / self.night.rate).ceil() as u64,
            _ => OTHER_TASK_S,
        };
        pod.busy = Some(Busy {
            until_s: second + lasts_s,
            assignment: *assignment,
        });
        true
    }

    fn complete(&mut self, pod: &Pod, assignment: &Assignment) {
        let (result, outputs, _) = executor::work(assignment);
        let (from, lease) = (pod.from.clone(), assignment.lease);
        self.desk.apply(|to| Event::AttemptCompleted {
            to,
            from,
            lease,
            result: Box::new(result),
            outputs,
        });
    }

    fn beat(&mut self, pod: &Pod) {
        let leases: Vec<(LeaseNumber, _)> = pod
            .busy
            .iter()
            .map(|busy| (busy.assignment.lease, None))
            .collect();
        let from = pod.from.clone();
        self.desk
            .apply(|to| Event::HeartbeatReceived { to, from, leases });
    }

    /// In good order: what it holds goes back.
    fn leave(&mut self, pod: &mut Pod) {
        if !pod.registered {
            return;
        }
        let from = pod.from.clone();
        if let Some(busy) = pod.busy.take() {
            let (from, lease) = (from.clone(), busy.assignment.lease);
            self.desk
                .apply(|to| Event::AttemptReleased { to, from, lease });
        }
        self.desk.apply(|to| Event::WorkerLeft { to, from });
    }

    fn end(mut self) -> Morning {
        let ended = self.desk.core.census(self.desk.now()).ended;
        let number = |outcome: &str| ended.outcomes.get(outcome).copied().unwrap_or(0);
        self.morning.done_s = self.desk.second;
        self.morning.images = ended.images;
        self.morning.lost = number("lost") + number("never_started");
        self.morning.released = number("released");
        debug_assert_eq!(number(Outcome::Superseded.as_str()), 0);
        self.morning
    }
}

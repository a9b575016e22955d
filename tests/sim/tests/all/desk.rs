//! One core with its rows on the desk: apply an event, commit, read the answer; restart at will.

use coordinator_core::*;
use plan::Assignment;
use sim::{executor, workload};
use types::*;

pub struct Desk {
    pub core: Core,
    pub rows: Rows,
    pub now: Now,
    /// Every wake-up that was ordered.
    pub published: Vec<WakeUp>,
    /// Every prefix that was ordered to be swept.
    pub swept: Vec<String>,
    pub removals: Vec<Removal>,
    settings: Settings,
    epoch: u64,
    tickets: u64,
}

impl Desk {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let now = Now {
            mono_ms: 0,
            wall_ms: 1_700_000_000_000,
        };
        Self {
            core: Core::new(settings.clone(), Epoch(1), now),
            rows: Rows::default(),
            now,
            published: Vec::new(),
            swept: Vec::new(),
            removals: Vec::new(),
            settings,
            epoch: 1,
            tickets: 0,
        }
    }

    /// Applies and commits; the effects.
    pub fn apply(&mut self, make: impl FnOnce(Ticket) -> Event) -> Vec<Effect> {
        self.tickets += 1;
        let effects = self.core.apply(make(Ticket(self.tickets)), self.now);
        for effect in &effects {
            match effect {
                Effect::Persist(change) => self.rows.put(change.clone()),
                Effect::Publish(wake_up) => self.published.push(wake_up.clone()),
                Effect::Sweep(order) => self.swept.push(order.prefix.clone()),
                Effect::Remove(order) => self.removals.push(order.clone()),
                _ => {}
            }
        }
        effects
    }

    pub fn ask(&mut self, make: impl FnOnce(Ticket) -> Event) -> Reply {
        let reply = self.apply(make).into_iter().find_map(|e| {
            if let Effect::Reply { reply, .. } = e {
                Some(reply)
            } else {
                None
            }
        });
        reply.expect("an event with a ticket is answered")
    }

    /// Time passes, and the coordinator looks at it once.
    pub fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms as i64;
        self.apply(|_| Event::Ticked);
        assert_eq!(self.core.rows(), self.rows);
    }

    pub fn wait(&mut self, ms: u64) {
        let step = 1_000;
        for _ in 0..ms.div_ceil(step) {
            self.now.mono_ms += step;
            self.now.wall_ms += step as i64;
            self.apply(|_| Event::Ticked);
        }
    }

    pub fn restart(&mut self) {
        self.epoch += 1;
        assert_eq!(self.core.audit(), Vec::<String>::new());
        assert_eq!(self.core.rows(), self.rows);
        self.core = Core::rebuild(
            self.settings.clone(),
            self.rows.clone(),
            Epoch(self.epoch),
            self.now,
        )
        .unwrap();
        assert_eq!(self.core.audit(), Vec::<String>::new());
        assert_eq!(self.core.rows(), self.rows);
    }

    pub fn register(&mut self, worker: &str, incarnation: u64) -> Sender {
        let (from, reply) = self.register_as(worker, incarnation, false);
        assert!(matches!(reply, Reply::Registered { .. }));
        from
    }

    pub fn register_as(
        &mut self,
        worker: &str,
        incarnation: u64,
        temporary: bool,
    ) -> (Sender, Reply) {
        let from = Sender {
            worker: worker.parse().unwrap(),
            incarnation: Incarnation(incarnation),
        };
        let worker = Registration {
            worker: from.worker.clone(),
            incarnation: from.incarnation,
            pool: PoolName::default(),
            slots: 1,
            version: "1".to_owned(),
            engines: Vec::new(),
            devices: Devices::default(),
            kinds: TaskKind::ALL.iter().copied().collect(),
            labels: Labels::default(),
            memory_bytes: 1 << 40,
            temporary,
        };
        let reply = self.ask(|to| Event::WorkerRegistered { to, worker });
        (from, reply)
    }

    pub fn leave(&mut self, from: &Sender) {
        let from = from.clone();
        assert!(matches!(
            self.ask(|to| Event::WorkerLeft { to, from }),
            Reply::Noted { .. }
        ));
    }

    /// How the worker is shown, if it is.
    pub fn worker_state(&self, name: &str) -> Option<WorkerState> {
        self.worker(name).map(|view| view.state)
    }

    /// When the worker spoke last, as people are told.
    pub fn worker_seen(&self, name: &str) -> Option<i64> {
        self.worker(name).and_then(|view| view.last_seen_ms)
    }

    fn worker(&self, name: &str) -> Option<WorkerView<'_>> {
        let mut views = self.core.worker_views();
        views.find(|view| view.row.worker.as_str() == name)
    }

    pub fn submit(&mut self, submit: Submit) -> Reply {
        self.ask(|to| Event::SubmitRequested {
            to,
            submit: Box::new(submit),
        })
    }

    pub fn claim(&mut self, from: &Sender, id: &str) -> ClaimAnswer {
        let claim = Claim {
            from: from.clone(),
            id: id.parse().unwrap(),
            free_slots: 1,
            wake_up: None,
            nonce: 7,
        };
        match self.ask(|to| Event::ClaimRequested { to, claim }) {
            Reply::Claimed { answer, .. } => answer,
            other => panic!("{other:?}"),
        }
    }

    pub fn granted(&mut self, from: &Sender, id: &str) -> Assignment {
        match self.claim(from, id) {
            ClaimAnswer::Granted(assignment) => *assignment,
            other => panic!("{id}: {other:?}"),
        }
    }

    pub fn beat(&mut self, from: &Sender, leases: &[LeaseNumber]) -> HeartbeatAnswer {
        let leases = leases.iter().map(|lease| (*lease, None)).collect();
        match self.ask(|to| Event::HeartbeatReceived {
            to,
            from: from.clone(),
            leases,
        }) {
            Reply::Heartbeat { answer, .. } => answer,
            other => panic!("{other:?}"),
        }
    }

    pub fn complete(&mut self, from: &Sender, assignment: &Assignment) -> Verdict {
        self.complete_warning(from, assignment, &[])
    }

    pub fn complete_warning(
        &mut self,
        from: &Sender,
        assignment: &Assignment,
        warnings: &[&str],
    ) -> Verdict {
        let (mut result, outputs, _) = executor::work(assignment);
        result.warnings = warnings.iter().map(|text| (*text).to_owned()).collect();
        let lease = assignment.lease;
        match self.ask(|to| Event::AttemptCompleted {
            to,
            from: from.clone(),
            lease,
            result: Box::new(result),
            outputs,
        }) {
            Reply::Completed { verdict, .. } => verdict,
            other => panic!("{other:?}"),
        }
    }

    pub fn fail(&mut self, from: &Sender, lease: LeaseNumber, class: FailureClass) {
        let failure = Failure {
            class,
            message: "simulated".to_owned(),
        };
        assert!(matches!(
            self.ask(|to| Event::AttemptFailed {
                to,
                from: from.clone(),
                lease,
                failure
            }),
            Reply::Noted { .. }
        ));
    }

    pub fn cancel(&mut self, job: &str, request: &str) -> Reply {
        self.ask(|to| Event::CancelRequested {
            to,
            request: request.parse().unwrap(),
            job: job.parse().unwrap(),
        })
    }

    pub fn delete(&mut self, job: &str, request: &str) -> Reply {
        self.ask(|to| Event::DeleteRequested {
            to,
            request: request.parse().unwrap(),
            job: job.parse().unwrap(),
        })
    }

    pub fn retry(&mut self, job: &str, request: &str) -> Reply {
        self.ask(|to| Event::RetryRequested {
            to,
            request: request.parse().unwrap(),
            job: job.parse().unwrap(),
        })
    }

    /// Asks for a manual threshold of images.
    pub fn rethreshold(&mut self, job: &str, request: &str, runs: &[u32], value: f64) -> Reply {
        self.ask(|to| Event::RethresholdRequested {
            to,
            request: request.parse().unwrap(),
            job: job.parse().unwrap(),
            runs: runs.to_vec(),
            new: manual(value),
        })
    }

    pub fn outcome(&self, lease: LeaseNumber) -> Outcome {
        self.rows.attempts[&lease].outcome
    }

    pub fn state(&self, job: &str) -> JobState {
        self.core.job_view(&job.parse().unwrap()).unwrap().state
    }

    /// Does whatever is ready until nothing is.
    pub fn work(&mut self, from: &Sender, prefix: &str) {
        for n in 0.. {
            let ClaimAnswer::Granted(assignment) = self.claim(from, &format!("{prefix}-{n}"))
            else {
                break;
            };
            assert_eq!(self.complete(from, &assignment), Verdict::Accepted);
        }
    }

    /// Does whatever is ready until nothing is; delivers the outbox, but tells nobody.
    pub fn work_off(&mut self, from: &Sender, prefix: &str) {
        self.work(from, prefix);
        self.deliver_all();
    }

    /// What is for stores is there.
    pub fn deliver_all(&mut self) {
        let rows = self.core.outbox();
        let for_stores = rows.filter(|row| !matches!(row.item, OutboxItem::Notice(_)));
        for id in for_stores.map(|row| row.id).collect::<Vec<_>>() {
            self.apply(|_| Event::OutboxDelivered {
                id,
                version: Some(1),
            });
        }
    }
}

pub fn manual(value: f64) -> ::job::Rethreshold {
    ::job::Rethreshold {
        image: Some(::job::resolved::ThresholdSpec::Manual { value }),
        pixel: None,
    }
}

pub fn job(id: &str, request: &str, key: Option<&str>, chunks: u64) -> Submit {
    workload::submit(
        id,
        request,
        key.map(str::to_owned),
        ::job::resolved::JobKind::Benchmark,
        1,
        chunks,
        0,
    )
}

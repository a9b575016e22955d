//! A job in memory: its tasks, what is ready, and the counts that must always equal a recount.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use job::resolved::{EngineChoice, JobKind, ResolvedJob};
use plan::{Dependency, DependencyRule, Expansion, Plan, TaskSpec};
use types::{JobId, JobState, LeaseNumber, TaskIndex, TaskKind, TaskState, WorkerName};

use crate::{
    effect::{Effect, Refusal},
    event::Now,
    pace::{Images, Speed},
    placement::{Needs, Standing},
    rows::{
        Avoid, Change, Deadline, ExpansionRow, JobProgressRow, JobRow, OutboxId, RethresholdRow,
        Stop, TaskRow,
    },
};

/// Position of a job among all, in order of submission.
pub(crate) type JobNumber = u64;

#[derive(Debug)]
pub(crate) struct Job {
    pub row: Arc<JobRow>,
    pub resolved: ResolvedJob,
    /// As planned at submit, and the runs and tasks that came since, but for score tasks.
    pub plan: Plan,
    pub progress: JobProgressRow,
    pub rethreshold: Option<RethresholdRow>,
    pub expansions: BTreeMap<TaskIndex, Arc<str>>,
    pub tasks: Vec<Task>,
    /// Kinds of its tasks.
    pub kinds: BTreeSet<TaskKind>,
    /// What its worker must offer one of; none: any will do.
    engines: &'static [EngineChoice],
    pub ready: Ready,
    pub counts: Counts,
    pub images: Images,
    /// Tasks that are failed or dead.
    pub failed: BTreeSet<TaskIndex>,
    /// Each run's evaluate task, and whether anything of the run was granted yet.
    pub runs: Vec<RunTasks>,
    /// Of a search: what its objective came to in each trial with an accepted evaluation.
    pub objectives: BTreeMap<u32, Option<f64>>,
    pub any_granted: bool,
    /// When each worker last completed a task of it, on the monotonic clock. Volatile.
    pub completed: BTreeMap<WorkerName, u64>,
    /// Of its images. Volatile.
    pub speed: Speed,
    /// Outbox entries without which the job does not end.
    pub publishing: BTreeSet<OutboxId>,
    /// On the monotonic clock: nothing of the job is granted before.
    pub paused_until_ms: Option<u64>,
    /// When its time limit is over, on the monotonic clock.
    pub limit_ms: Option<u64>,
    /// When it is to be forgotten, on the monotonic clock; present once it has ended.
    pub forget_ms: Option<u64>,
    /// Where the job stands in its pool's order, if it is there.
    pub rank: Option<Rank>,
    /// The progress row must be written.
    pub dirty: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RunTasks {
    pub evaluate: Option<TaskIndex>,
    pub granted: bool,
}

/// Smallest first: highest priority, then fewest running, then oldest.
pub(crate) type Rank = (std::cmp::Reverse<i32>, u64, JobNumber);

#[derive(Debug)]
pub(crate) struct Task {
    pub spec: TaskSpec,
    pub state: TaskState,
    pub generation: u32,
    pub accepts_from: u32,
    pub backoff: Option<Deadline>,
    /// The backoff's end on the monotonic clock; present while the task waits for it.
    pub due_ms: Option<u64>,
    pub avoid: Option<Avoid>,
    pub because: Option<TaskIndex>,
    pub accepted: Option<LeaseNumber>,
    pub depends_on: Vec<Dependency>,
    pub dependents: Vec<Dependency>,
    /// Dependencies that are not met yet.
    pub unmet: u32,
    pub attempts: Vec<LeaseNumber>,
    /// Differs from what the plan made: has a row.
    pub touched: bool,
}

/// Ready tasks whose backoff is over, apart by whom they avoid, so that a claim looks at heads only.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Ready {
    pub anywhere: BTreeSet<TaskIndex>,
    pub avoiding: BTreeMap<Avoid, BTreeSet<TaskIndex>>,
}

impl Ready {
    pub fn insert(&mut self, task: TaskIndex, avoid: Option<&Avoid>) {
        match avoid {
            None => _ = self.anywhere.insert(task),
            Some(avoid) => _ = self.avoiding.entry(avoid.clone()).or_default().insert(task),
        }
    }

    pub fn remove(&mut self, task: TaskIndex, avoid: Option<&Avoid>) {
        let Some(avoid) = avoid else {
            self.anywhere.remove(&task);
            return;
        };
        if let Some(set) = self.avoiding.get_mut(avoid) {
            set.remove(&task);
            if set.is_empty() {
                self.avoiding.remove(avoid);
            }
        }
    }

    pub fn len(&self) -> usize {
        let avoiding = self.avoiding.values().map(BTreeSet::len);
        self.anywhere.len() + avoiding.sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.anywhere.is_empty() && self.avoiding.is_empty()
    }

    pub fn first(&self) -> Option<TaskIndex> {
        let avoiding = self.avoiding.values().filter_map(BTreeSet::first);
        avoiding.chain(self.anywhere.first()).min().copied()
    }
}

/// Tasks by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; TaskState::ALL.len()]);

impl Counts {
    pub fn of(&self, state: TaskState) -> u64 {
        self.0[state as usize]
    }

    pub(crate) fn add(&mut self, state: TaskState) {
        self.0[state as usize] += 1;
    }

    fn sub(&mut self, state: TaskState) {
        self.0[state as usize] -= 1;
    }

    /// Tasks that have not ended.
    pub fn open(&self) -> u64 {
        TaskState::ALL
            .iter()
            .filter(|s| !s.is_terminal())
            .map(|s| self.of(*s))
            .sum()
    }

    /// Tasks with a lease.
    pub fn held(&self) -> u64 {
        self.of(TaskState::Running) + self.of(TaskState::Cancelling)
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Job {
    /// A job as its row describes it, before anything happened to it; or what is wrong with its plan.
    pub fn new(
        row: Arc<JobRow>,
        resolved: ResolvedJob,
        mut plan: Plan,
    ) -> Result<Self, (TaskIndex, String)> {
        let progress = JobProgressRow {
            job: row.id.clone(),
            stop: None,
            finished_ms: None,
            results_planned: 0,
            results_published: 0,
            outage: None,
            limit: None,
            deletion: None,
        };
        let models = resolved.runs.iter().map(|run| &run.model);
        let engines = match resolved.resources.engine.wanted(models) {
            all if all == EngineChoice::FASTEST_FIRST => &[],
            some => some,
        };
        let planned = Expansion {
            runs: std::mem::take(&mut plan.runs),
            tasks: std::mem::take(&mut plan.tasks),
            added_dependencies: Vec::new(),
        };
        let mut job = Self {
            row,
            resolved,
            plan,
            progress,
            rethreshold: None,
            expansions: BTreeMap::new(),
            tasks: Vec::new(),
            kinds: BTreeSet::new(),
            engines,
            ready: Ready::default(),
            counts: Counts::default(),
            images: Images::default(),
            failed: BTreeSet::new(),
            runs: Vec::new(),
            objectives: BTreeMap::new(),
            any_granted: false,
            completed: BTreeMap::new(),
            speed: Speed::default(),
            publishing: BTreeSet::new(),
            paused_until_ms: None,
            limit_ms: None,
            forget_ms: None,
            rank: None,
            dirty: false,
        };
        job.expand(planned)?;
        Ok(job)
    }

    pub fn id(&self) -> &JobId {
        &self.row.id
    }

    /// What its tasks need of their worker.
    pub fn needs(&self) -> Needs<'_> {
        Needs::of(&self.resolved.resources, &self.kinds, self.engines)
    }

    pub fn task(&self, index: TaskIndex) -> Option<&Task> {
        self.tasks.get(index.0 as usize)
    }

    pub fn next_index(&self) -> TaskIndex {
        TaskIndex(self.tasks.len() as u32)
    }

    /// Adds runs and tasks; nothing is added if any of them is wrong.
    pub fn expand(&mut self, expansion: Expansion) -> Result<(), (TaskIndex, String)> {
        self.check(&expansion)?;
        let first = self.tasks.len();
        let runs = self.runs.len() + expansion.runs.len();
        self.runs.resize(runs, RunTasks::default());
        self.plan.runs.extend(expansion.runs);
        for planned in expansion.tasks {
            if !matches!(planned.spec, TaskSpec::Score { .. }) {
                self.plan.tasks.push(planned.clone());
            }
            if let (TaskSpec::Evaluate { .. }, Some(run)) = (&planned.spec, planned.spec.run())
                && let Some(run) = self.runs.get_mut(run as usize)
            {
                run.evaluate = Some(planned.index);
            }
            self.kinds.insert(planned.spec.kind());
            self.counts.add(TaskState::Blocked);
            self.images.add(&planned.spec, TaskState::Blocked);
            self.tasks.push(Task {
                spec: planned.spec,
                state: TaskState::Blocked,
                generation: 0,
                accepts_from: 0,
                backoff: None,
                due_ms: None,
                avoid: None,
                because: None,
                accepted: None,
                depends_on: planned.depends_on,
                dependents: Vec::new(),
                unmet: 0,
                attempts: Vec::new(),
                touched: false,
            });
        }
        for index in first..self.tasks.len() {
            for dependency in self.tasks[index].depends_on.clone() {
                self.link(TaskIndex(index as u32), dependency);
            }
        }
        for (task, dependency) in expansion.added_dependencies {
            self.tasks[task.0 as usize].depends_on.push(dependency);
            self.link(task, dependency);
        }
        for index in first..self.tasks.len() {
            let task = &self.tasks[index];
            if task.unmet == 0 {
                self.open(TaskIndex(index as u32));
            }
        }
        Ok(())
    }

    /// [`Job::expand`] by what a task led to, with the row that says so; `json` is the expansion's.
    pub fn expand_by(
        &mut self,
        by: TaskIndex,
        expansion: Expansion,
        json: Arc<str>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.expand(expansion)
            .map_err(|(task, what)| Refusal::BrokenPlan {
                job: self.row.id.clone(),
                task: task.0,
                what,
            })?;
        out.push(Effect::Persist(Change::Expansion(
            self.expansion_row(by, &json),
        )));
        self.expansions.insert(by, json);
        Ok(())
    }

    fn check(&self, expansion: &Expansion) -> Result<(), (TaskIndex, String)> {
        let first = self.tasks.len();
        let end = first + expansion.tasks.len();
        let runs = self.runs.len() + expansion.runs.len();
        for (place, planned) in expansion.tasks.iter().enumerate() {
            if planned.index.0 as usize != first + place {
                return Err((planned.index, format!("stands at place {}", first + place)));
            }
            if let Some(run) = planned.spec.run()
                && run as usize >= runs
            {
                return Err((
                    planned.index,
                    format!("belongs to run {run}, which does not exist"),
                ));
            }
            if let Some(bad) = planned
                .depends_on
                .iter()
                .find(|d| d.task.0 as usize >= end || d.task == planned.index)
            {
                return Err((planned.index, format!("depends on task {}", bad.task.0)));
            }
        }
        for (task, dependency) in &expansion.added_dependencies {
            let waits = self
                .task(*task)
                .is_some_and(|t| t.state == TaskState::Blocked || t.state.is_terminal());
            if !waits || dependency.task.0 as usize >= end {
                return Err((
                    *task,
                    format!("cannot wait for task {} any more", dependency.task.0),
                ));
            }
        }
        Ok(())
    }

    /// Enters `task` among the dependents of what it depends on.
    fn link(&mut self, task: TaskIndex, dependency: Dependency) {
        let on = &mut self.tasks[dependency.task.0 as usize];
        on.dependents.push(Dependency {
            task,
            rule: dependency.rule,
        });
        let met = is_met(dependency.rule, on.state);
        if !met {
            self.tasks[task.0 as usize].unmet += 1;
        }
    }

    /// Moves a task without a lease that waits for nothing into `ready`.
    fn open(&mut self, index: TaskIndex) {
        self.move_to(index, TaskState::Ready);
        let task = &self.tasks[index.0 as usize];
        if task.due_ms.is_none() {
            self.ready.insert(index, task.avoid.as_ref());
        }
    }

    /// The backoff is over.
    pub fn due(&mut self, index: TaskIndex) {
        let task = &mut self.tasks[index.0 as usize];
        task.due_ms = None;
        if task.state == TaskState::Ready {
            self.ready.insert(index, task.avoid.as_ref());
        }
    }

    /// Brings a task into another state and keeps counts and indexes true. Its row is written unless it only
    /// moved between `blocked` and `ready`.
    pub fn set_state(&mut self, index: TaskIndex, state: TaskState, out: &mut Vec<Effect>) {
        let task = &self.tasks[index.0 as usize];
        let old = task.state;
        if old == TaskState::Ready {
            self.ready.remove(index, task.avoid.as_ref());
        }
        self.move_to(index, state);
        let task = &self.tasks[index.0 as usize];
        if state == TaskState::Ready && task.due_ms.is_none() {
            self.ready.insert(index, task.avoid.as_ref());
        }
        if matches!(state, TaskState::Failed | TaskState::Dead) {
            self.failed.insert(index);
        } else {
            self.failed.remove(&index);
        }
        if !(old == TaskState::Blocked && state == TaskState::Ready) {
            self.tasks[index.0 as usize].touched = true;
            out.push(Effect::Persist(Change::Task(self.task_row(index))));
        }
    }

    /// Tells the dependents of a task that has ended: opens what waited for it, skips what cannot come any more.
    pub fn propagate(&mut self, ended: TaskIndex, out: &mut Vec<Effect>) {
        let mut queue = vec![ended];
        while let Some(index) = queue.pop() {
            let task = &self.tasks[index.0 as usize];
            let state = task.state;
            let root = task.because.unwrap_or(index);
            for dependent in task.dependents.clone() {
                let waiting = &mut self.tasks[dependent.task.0 as usize];
                if waiting.state != TaskState::Blocked {
                    continue;
                }
                if is_met(dependent.rule, state) {
                    waiting.unmet -= 1;
                    if waiting.unmet == 0 {
                        self.set_state(dependent.task, TaskState::Ready, out);
                    }
                } else {
                    waiting.because = Some(root);
                    self.set_state(dependent.task, TaskState::Skipped, out);
                    queue.push(dependent.task);
                }
            }
        }
    }

    /// Counts again what the task waits for: after a retry opened tasks that had ended.
    pub fn recount_unmet(&mut self, index: TaskIndex) -> u32 {
        let depends_on = &self.tasks[index.0 as usize].depends_on;
        let unmet = depends_on
            .iter()
            .filter(|d| !is_met(d.rule, self.tasks[d.task.0 as usize].state))
            .count() as u32;
        self.tasks[index.0 as usize].unmet = unmet;
        unmet
    }

    pub fn task_row(&self, index: TaskIndex) -> TaskRow {
        let task = &self.tasks[index.0 as usize];
        TaskRow {
            job: self.row.id.clone(),
            index,
            state: if task.state == TaskState::Blocked {
                TaskState::Ready
            } else {
                task.state
            },
            generation: task.generation,
            accepts_from: task.accepts_from,
            backoff: task.backoff,
            avoid: task.avoid.clone(),
            because: task.because,
            accepted: task.accepted,
        }
    }

    pub fn expansion_row(&self, by: TaskIndex, json: &Arc<str>) -> ExpansionRow {
        ExpansionRow {
            job: self.row.id.clone(),
            by,
            expansion_json: json.clone(),
        }
    }

    pub fn state(&self) -> JobState {
        let failed = self.counts.of(TaskState::Failed) + self.counts.of(TaskState::Dead) > 0;
        if self.progress.finished_ms.is_some() {
            match self.progress.stop {
                Some(Stop::User) => JobState::Cancelled,
                Some(Stop::TooManyFailures | Stop::Deadline) => JobState::Failed,
                None if (failed || self.resolved.search.is_some()) && !self.has_found() => {
                    JobState::Failed
                }
                None => JobState::Succeeded,
            }
        } else if self.progress.stop == Some(Stop::User) {
            JobState::Cancelling
        } else if self.any_granted {
            JobState::Running
        } else {
            JobState::Queued
        }
    }

    /// Its user deleted it: nobody sees it any more.
    pub fn is_deleted(&self) -> bool {
        self.progress.deletion.is_some()
    }

    /// A user stopped it: nothing more is granted or accepted. Of a job that stopped for another reason only the
    /// reduce is open.
    pub fn is_cancelled(&self) -> bool {
        self.progress.stop == Some(Stop::User)
    }

    /// Ends the job if nothing of it is open any more, once what it published stands in the store. True if it ends now.
    pub fn finish_if_done(&mut self, now: Now) -> bool {
        let ends = self.progress.finished_ms.is_none()
            && self.counts.open() == 0
            && self.publishing.is_empty();
        if ends {
            self.progress.finished_ms = Some(self.end_ms(now));
            self.dirty = true;
        }
        ends
    }

    /// Could be granted now, as far as the task is concerned.
    pub fn is_ready(&self, index: TaskIndex) -> bool {
        let ready = |task: &Task| task.state == TaskState::Ready && task.due_ms.is_none();
        self.task(index).is_some_and(ready)
    }

    pub fn standing(&self) -> Standing {
        Standing {
            priority: self.resolved.priority,
            running: self.counts.held(),
            number: self.row.number,
            ready: self.ready.len() as u64,
        }
    }

    /// Tasks that may fail before the job stops.
    pub fn tolerated_failures(&self) -> u64 {
        match (self.resolved.max_failed_tasks, self.resolved.kind) {
            (Some(bound), _) => u64::from(bound),
            (None, JobKind::Benchmark | JobKind::Hpo) => u64::MAX,
            (None, JobKind::Train | JobKind::Test | JobKind::Predict | JobKind::Export) => 0,
        }
    }
}

pub(crate) fn is_met(rule: DependencyRule, state: TaskState) -> bool {
    match rule {
        DependencyRule::Success => state == TaskState::Succeeded,
        DependencyRule::Settled => state.is_terminal(),
    }
}

impl Job {
    /// Opens an ended task; whether it is ready is for the caller to say, when all are open.
    pub fn move_to_blocked(&mut self, index: TaskIndex) {
        self.move_to(index, TaskState::Blocked);
        self.tasks[index.0 as usize].touched = true;
        self.failed.remove(&index);
    }

    /// The task's state, and what is counted by it.
    fn move_to(&mut self, index: TaskIndex, state: TaskState) {
        let task = &mut self.tasks[index.0 as usize];
        self.counts.sub(task.state);
        self.images.sub(&task.spec, task.state);
        task.state = state;
        self.counts.add(state);
        self.images.add(&task.spec, state);
    }
}

impl Job {
    /// Derives everything that has no row of its own from the tasks' states.
    pub fn derive(&mut self) {
        self.counts = Counts::default();
        self.images = Images::default();
        self.ready = Ready::default();
        self.failed.clear();
        for i in 0..self.tasks.len() {
            let index = TaskIndex(i as u32);
            let unmet = self.recount_unmet(index);
            let task = &mut self.tasks[i];
            if matches!(task.state, TaskState::Blocked | TaskState::Ready) {
                task.state = if unmet == 0 {
                    TaskState::Ready
                } else {
                    TaskState::Blocked
                };
            }
            self.counts.add(task.state);
            self.images.add(&task.spec, task.state);
            if task.state == TaskState::Ready && task.due_ms.is_none() {
                self.ready.insert(index, task.avoid.as_ref());
            }
            if matches!(task.state, TaskState::Failed | TaskState::Dead) {
                self.failed.insert(index);
            }
        }
    }
}

//! New thresholds for a job that has ended: its evaluations and its reduce are done anew, from the scores that there are.
//!
//! It is all or nothing. What counted before is kept, and counts again if anything of the new comes to nothing: the job then
//! stands as before, and says why. What the new evaluations leave is published as a new generation, as after a retry.

use std::collections::BTreeMap;

use job::{Rethreshold, resolved::JobKind};
use plan::TaskSpec;
use types::{JobId, LeaseNumber, RequestId, TaskId, TaskIndex, TaskState};

use crate::{
    assign::prefix,
    core::Core,
    effect::{Effect, Refusal, Reply},
    event::Now,
    job::{Job, JobNumber, RunTasks},
    rows::{Change, RequestAnswer, RethresholdRow, UnderWay},
};

impl Core {
    pub(crate) fn rethreshold(
        &mut self,
        request: RequestId,
        id: &JobId,
        (runs, new): (&[u32], Rethreshold),
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Refusal> {
        let begin = |core: &mut Self, number, out: &mut Vec<Effect>| {
            let job = core.jobs.get_mut(&number);
            let job = job.ok_or_else(|| Refusal::UnknownJob(id.clone()))?;
            if job.resolved.kind == JobKind::Predict && !new.is_given() {
                return Err(Refusal::NoLabels(id.clone()));
            }
            let again = job.to_decide_anew(runs)?;
            let (tasks, before) = (again.len() as u32, job.progress.results_published);
            let row = job.begin_anew(runs, new, &again);
            out.push(Effect::Persist(Change::Rethreshold(row)));
            let again: Vec<_> = again.into_keys().map(|index| (index, true)).collect();
            core.open_again(number, &again, now, out);
            Ok(RequestAnswer::Rethresholded { tasks, before })
        };
        self.once(request, id, out, begin, |_, _, answer| match answer {
            RequestAnswer::Rethresholded { tasks, before } => {
                Some(Reply::Rethresholded { tasks, before })
            }
            _ => None,
        })
    }

    /// The job's reduce has been accepted: what a new threshold has led to is what counts now.
    pub(crate) fn end_rethreshold(&mut self, number: JobNumber, out: &mut Vec<Effect>) {
        let under_way = self
            .jobs
            .get_mut(&number)
            .and_then(|job| job.rethreshold.as_mut())
            .filter(|row| row.under_way.is_some());
        if let Some(row) = under_way {
            row.under_way = None;
            out.push(Effect::Persist(Change::Rethreshold(row.clone())));
        }
    }

    /// A new threshold comes to nothing: the job stands as before it. False if there is none under way.
    pub(crate) fn fall_back(
        &mut self,
        number: JobNumber,
        why: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        let row = self
            .jobs
            .get_mut(&number)
            .and_then(|job| job.rethreshold.as_mut());
        let Some((row, under_way)) = row.and_then(|row| {
            let under_way = row.under_way.take()?;
            Some((row, under_way))
        }) else {
            return false;
        };
        row.thresholds = under_way.before;
        row.failure = Some(why);
        out.push(Effect::Persist(Change::Rethreshold(row.clone())));
        for (index, lease) in under_way.kept {
            self.stop_leases(number, index, now, out);
            if let Some(job) = self.jobs.get_mut(&number) {
                job.count_again(index, lease, out);
            }
        }
        if let Some(job) = self.jobs.get_mut(&number) {
            job.progress.outage = None;
            job.paused_until_ms = None;
            job.limit_ms = None;
            job.dirty = true;
        }
        true
    }

    /// The first part of the scores that each of these runs (all, if none is named) would be decided anew from, relative to
    /// the root of the job's store.
    pub fn first_scores(&self, id: &JobId, runs: &[u32]) -> Result<Vec<String>, Refusal> {
        let job = self
            .job(id)
            .ok_or_else(|| Refusal::UnknownJob(id.clone()))?;
        let again = job.to_decide_anew(runs)?;
        let evaluates = again.keys().filter_map(|index| job.task(*index));
        let first = evaluates.filter_map(|evaluate| {
            let parts = evaluate.depends_on.iter().filter_map(|d| job.task(d.task));
            let mut scores = parts.filter(|t| matches!(t.spec, TaskSpec::Score { .. }));
            let attempt = self.attempts.get(&scores.next()?.accepted?)?;
            let result = serde_json::from_str::<plan::TaskResult>(attempt.result_json.as_deref()?);
            match result.ok()?.detail {
                plan::ResultDetail::Score { scores, .. } => {
                    Some(format!("{}/{scores}", prefix(attempt)))
                }
                _ => None,
            }
        });
        Ok(first.collect())
    }
}

impl Job {
    /// The evaluations of these runs (all, if none is named) and the reduce, each with the attempt that counts.
    fn to_decide_anew(&self, runs: &[u32]) -> Result<BTreeMap<TaskIndex, LeaseNumber>, Refusal> {
        let job = || self.id().clone();
        let state = self.state();
        if self.resolved.kind == JobKind::Export {
            return Err(Refusal::Export(job()));
        }
        if self.resolved.search.is_some() {
            return Err(Refusal::Search(job()));
        }
        if self.progress.finished_ms.is_none() {
            return Err(Refusal::JobOpen { job: job(), state });
        }
        // It may have results: of a run that had failed a score was still under way. Nothing of it is granted.
        if self.is_cancelled() {
            return Err(Refusal::JobCancelled(job()));
        }
        let accepted = |index: TaskIndex| Some((index, self.task(index)?.accepted?));
        let mut again = BTreeMap::new();
        for &run in runs {
            let tasks = self.runs.get(run as usize).ok_or(Refusal::UnknownRun {
                job: job(),
                run,
                runs: self.runs.len(),
            })?;
            let evaluate = tasks.evaluate.and_then(accepted);
            again.extend([evaluate.ok_or_else(|| match self.is_undecided(*tasks) {
                true => Refusal::NotDecided { job: job(), state },
                false => Refusal::RunWithoutScores { job: job(), run },
            })?]);
        }
        if runs.is_empty() {
            let evaluates = self.runs.iter().filter_map(|run| run.evaluate);
            again.extend(evaluates.filter_map(accepted));
        }
        let is_reduce = |index: &TaskIndex| {
            self.task(*index)
                .is_some_and(|task| matches!(task.spec, TaskSpec::Reduce))
        };
        let mut indexes = (0..self.tasks.len()).map(|i| TaskIndex(i as u32));
        let reduce = indexes.find(is_reduce).and_then(accepted);
        match reduce {
            Some(reduce) if !again.is_empty() && self.progress.results_published > 0 => {
                again.extend([reduce]);
                Ok(again)
            }
            _ if self.runs.iter().any(|run| self.is_undecided(*run)) => {
                Err(Refusal::NotDecided { job: job(), state })
            }
            _ => Err(Refusal::NoScores { job: job(), state }),
        }
    }

    /// Whether everything that the run's evaluation reads is there, and it has failed all the same: of too many bad images, say.
    fn is_undecided(&self, run: RunTasks) -> bool {
        let evaluate = run.evaluate.and_then(|index| self.task(index));
        evaluate.is_some_and(|evaluate| {
            let mut needs = evaluate.depends_on.iter();
            evaluate.state == TaskState::Failed
                && needs.all(|need| self.task(need.task).is_some_and(|t| t.accepted.is_some()))
        })
    }

    /// Notes what decides from now on, and what counts again if it comes to nothing.
    fn begin_anew(
        &mut self,
        runs: &[u32],
        new: Rethreshold,
        again: &BTreeMap<TaskIndex, LeaseNumber>,
    ) -> RethresholdRow {
        let mut row = self.rethreshold.take().unwrap_or_else(|| RethresholdRow {
            job: self.id().clone(),
            thresholds: BTreeMap::new(),
            under_way: None,
            failure: None,
            ended_ms: None,
        });
        let before = row.thresholds.clone();
        let all: Vec<u32> = match runs {
            // Those that failed, too: a retry of them is decided like the others.
            [] => (0..self.runs.len() as u32).collect(),
            named => named.to_vec(),
        };
        for run in all {
            let earlier = row.thresholds.get(&run).copied();
            let new = earlier.map_or(new, |earlier| new.over(earlier));
            row.thresholds.insert(run, new);
        }
        row.under_way = Some(UnderWay {
            kept: again.clone(),
            before,
        });
        row.failure = None;
        row.ended_ms = self.progress.finished_ms;
        self.rethreshold = Some(row.clone());
        row
    }

    /// The job goes on by a retry: what is said of it from now on is not of the last new threshold. What decides stays.
    pub(crate) fn leave_rethreshold(&mut self, out: &mut Vec<Effect>) {
        let told = |row: &&mut RethresholdRow| row.failure.is_some() || row.ended_ms.is_some();
        if let Some(row) = self.rethreshold.as_mut().filter(told) {
            row.failure = None;
            row.ended_ms = None;
            out.push(Effect::Persist(Change::Rethreshold(row.clone())));
        }
    }

    /// When a job that ends now has ended.
    pub(crate) fn end_ms(&self, now: Now) -> i64 {
        let before = self.rethreshold.as_ref().and_then(|row| row.ended_ms);
        before.unwrap_or(now.wall_ms)
    }

    /// The attempt counted before the task was done anew, and does so again. A generation later, so that nothing of the one
    /// in between can be accepted any more.
    fn count_again(&mut self, index: TaskIndex, lease: LeaseNumber, out: &mut Vec<Effect>) {
        let task = &mut self.tasks[index.0 as usize];
        task.generation += 1;
        task.accepts_from = task.generation;
        task.accepted = Some(lease);
        task.backoff = None;
        task.due_ms = None;
        // Leaves the ready ones by whom it avoids.
        self.set_state(index, TaskState::Succeeded, out);
        self.tasks[index.0 as usize].avoid = None;
        out.push(Effect::Persist(Change::Task(self.task_row(index))));
    }

    /// What decides in a run in place of the job file's thresholds.
    pub fn threshold_of(&self, run: u32) -> Option<Rethreshold> {
        self.rethreshold.as_ref()?.thresholds.get(&run).copied()
    }

    /// What counted before the task was opened for a new threshold.
    pub fn kept(&self, index: TaskIndex) -> Option<LeaseNumber> {
        let under_way = self.rethreshold.as_ref()?.under_way.as_ref()?;
        under_way.kept.get(&index).copied()
    }

    pub fn is_decided_anew(&self) -> bool {
        let row = self.rethreshold.as_ref();
        row.is_some_and(|row| row.under_way.is_some())
    }

    pub fn task_id(&self, index: TaskIndex) -> TaskId {
        TaskId {
            job: self.id().clone(),
            index,
        }
    }
}

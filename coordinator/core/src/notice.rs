//! What somebody outside is told when a job has ended: as it stood then, whatever becomes of it before they hear.

use job::resolved::JobKind;
use plan::{ResultDetail, TaskResult};
use serde::{Deserialize, Serialize};
use types::{JobState, TaskIndex};

use crate::{
    core::Core,
    effect::Effect,
    event::Now,
    job::{Job, JobNumber},
    rows::{OutboxId, OutboxItem},
};

/// After this nobody waits for the news any more.
const PATIENCE_MS: i64 = 24 * 3_600_000;

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The same for every try to deliver it, and of no other end.
    pub delivery: String,
    pub name: String,
    pub key: Option<String>,
    pub kind: JobKind,
    pub state: JobState,
    pub created_ms: i64,
    pub finished_ms: i64,
    pub runs: u32,
    /// None: not all of its runs have an evaluation, or it has none.
    pub scored: Option<Scored>,
    /// Generation of the newest results that stand in the store; 0: none.
    pub results: u64,
    /// The first of each kind, for people.
    pub failures: Vec<String>,
}

/// Images of a job, over its runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scored {
    /// Rows of the table `scores`, those with an error among them.
    pub images: u64,
    /// None: a run has no threshold.
    pub anomalous: Option<u64>,
    pub errors: u64,
    /// Images that were not scored again.
    pub reused: u64,
}

impl Notice {
    /// Whether it has been tried for long enough. At least one try is made, whatever the clock says.
    pub fn is_stale(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.finished_ms) >= PATIENCE_MS
    }
}

impl Core {
    /// Posts the news of a job that ends in this transaction, where somebody wants it.
    pub(crate) fn notify(&mut self, number: JobNumber, now: Now, out: &mut Vec<Effect>) {
        if !self.settings.notices {
            return;
        }
        let Some(job) = self.jobs.get(&number) else {
            return;
        };
        let failures = self.failures(job);
        let failures = failures
            .iter()
            .map(|(task, failure)| format!("{task}: {failure}"));
        let notice = Notice {
            delivery: String::new(),
            name: job.resolved.name.clone(),
            key: job.row.key.clone(),
            kind: job.resolved.kind,
            state: job.state(),
            created_ms: job.row.created_ms,
            finished_ms: now.wall_ms,
            runs: job.plan.runs.len() as u32,
            scored: self.scored(job),
            results: job.progress.results_published,
            failures: job.stopped().into_iter().chain(failures).collect(),
        };
        self.post(number, OutboxItem::Notice(Box::new(notice)), out);
    }

    /// Of a database that was restored from a backup the numbers come again, but not in the same epoch.
    pub(crate) fn delivery(&self, job: &Job, id: OutboxId) -> String {
        format!("{}-{}-{}", job.id(), self.epoch.0, id.0)
    }

    fn scored(&self, job: &Job) -> Option<Scored> {
        let evaluates = job.runs.iter().map(|run| run.evaluate);
        let evaluated = evaluates
            .map(|evaluate| match self.result(job, evaluate?)?.detail {
                ResultDetail::Evaluate {
                    rows,
                    errors,
                    anomalous,
                    ..
                } => Some(Scored {
                    images: rows,
                    anomalous,
                    errors,
                    reused: 0,
                }),
                _ => None,
            })
            .collect::<Option<Vec<Scored>>>()?;
        let mut scored = evaluated.into_iter().reduce(|all, one| Scored {
            images: all.images + one.images,
            anomalous: all.anomalous.zip(one.anomalous).map(|(a, b)| a + b),
            errors: all.errors + one.errors,
            reused: 0,
        })?;
        let planned = job.plan.tasks.iter();
        let lists = planned.filter_map(|task| match self.result(job, task.index)?.detail {
            ResultDetail::List { scored_before, .. } => scored_before,
            _ => None,
        });
        scored.reused = lists.map(|before| before.images).sum();
        Some(scored)
    }

    fn result(&self, job: &Job, index: TaskIndex) -> Option<TaskResult> {
        self.result_of(job.task(index)?.accepted?)
    }
}

//! What the accepted tasks of a job warn of, for people.

use std::collections::BTreeSet;

use plan::TaskSpec;
use serde::Deserialize;
use types::{JobId, LeaseNumber, TaskIndex};

use crate::{core::Core, job::Job};

/// Of a `plan::TaskResult`: a run may have thousands, and the rest of them is not looked at.
#[derive(Default, Deserialize)]
struct Warned {
    #[serde(default)]
    warnings: Vec<String>,
}

impl Core {
    /// What the tasks of a run warn of, each once. Its evaluation gathers that; without one, those before it are asked.
    pub fn run_warnings(&self, id: &JobId, run: u32) -> Vec<String> {
        let job = self.shown_job(id);
        let evaluate = job.and_then(|job| job.task(job.runs.get(run as usize)?.evaluate?));
        let (Some(job), Some(evaluate)) = (job, evaluate) else {
            return Vec::new();
        };
        if let Some(lease) = evaluate.accepted {
            return self.warned(lease);
        }
        let before = evaluate.depends_on.iter();
        let all = before.flat_map(|on| self.warned_by(job, on.task));
        let mut told = BTreeSet::new();
        all.filter(|warning| told.insert(warning.clone())).collect()
    }

    /// What the task warns of that puts the whole job's files together.
    pub(crate) fn job_warnings(&self, job: &Job) -> Vec<String> {
        let is_last = |spec: &TaskSpec| matches!(spec, TaskSpec::Reduce | TaskSpec::Export { .. });
        let mut planned = job.plan.tasks.iter().rev();
        let last = planned.find(|planned| is_last(&planned.spec));
        last.map_or(Vec::new(), |last| self.warned_by(job, last.index))
    }

    fn warned_by(&self, job: &Job, task: TaskIndex) -> Vec<String> {
        let accepted = job.task(task).and_then(|task| task.accepted);
        accepted.map_or(Vec::new(), |lease| self.warned(lease))
    }

    fn warned(&self, lease: LeaseNumber) -> Vec<String> {
        let attempt = self.attempts.get(&lease);
        let result = attempt.and_then(|attempt| attempt.result_json.as_deref());
        // Written by this core from typed values, so they read back.
        let warned: Option<Warned> = result.and_then(|json| serde_json::from_str(json).ok());
        warned.unwrap_or_default().warnings
    }
}

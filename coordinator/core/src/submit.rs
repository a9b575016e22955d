//! Submit: once per request id, and with a key once per content.

use std::sync::Arc;

use crate::{
    core::Core,
    effect::{Effect, Refusal, Reply, SubmitOutcome},
    event::{Now, Submit},
    job::{Job, JobNumber},
    placement::Placement,
    rows::{Change, JobRow, OutboxItem, RequestAnswer, RequestRow},
};

impl Core {
    pub(crate) fn submit(
        &mut self,
        submit: Submit,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Refusal> {
        if let Some(known) = self.requests.get(&submit.request) {
            let RequestAnswer::Submitted(outcome) = known.answer else {
                return Err(Refusal::RequestReused(submit.request));
            };
            let job = known.job.clone();
            let warnings = self
                .job(&job)
                .map(|job| self.warnings(job))
                .unwrap_or_default();
            return Ok(Reply::Submitted {
                job,
                outcome,
                warnings,
            });
        }
        let request = submit.request.clone();
        let of_key = submit
            .key
            .as_ref()
            .and_then(|key| self.keys.get(key).copied());
        let (number, outcome) = match of_key {
            Some(number) => (number, self.join(number, &submit, now, out)?),
            None => (self.create(submit, now, out)?, SubmitOutcome::Created),
        };
        let Some(job) = self.jobs.get(&number) else {
            return Err(Refusal::RequestReused(request));
        };
        let (job, warnings) = (job.id().clone(), self.warnings(job));
        self.remember(
            RequestRow {
                id: request,
                job: job.clone(),
                answer: RequestAnswer::Submitted(outcome),
            },
            out,
        );
        Ok(Reply::Submitted {
            job,
            outcome,
            warnings,
        })
    }

    fn join(
        &mut self,
        number: JobNumber,
        submit: &Submit,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<SubmitOutcome, Refusal> {
        if let Some(job) = self.jobs.get(&number)
            && job.row.digest != submit.digest
        {
            return Err(Refusal::KeyTaken {
                key: submit.key.clone().unwrap_or_default(),
                job: job.id().clone(),
            });
        }
        if self.reopen(number, now, out) > 0 {
            return Ok(SubmitOutcome::Retried);
        }
        let done = self
            .jobs
            .get(&number)
            .is_some_and(|job| job.progress.finished_ms.is_some());
        Ok(if done {
            SubmitOutcome::Done
        } else {
            SubmitOutcome::Attached
        })
    }

    fn create(
        &mut self,
        submit: Submit,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<JobNumber, Refusal> {
        if self.job_numbers.contains_key(&submit.id) {
            return Err(Refusal::JobIdTaken(submit.id));
        }
        self.check_skip(&submit.resolved)?;
        let broken = |(task, what): (types::TaskIndex, String)| Refusal::BrokenPlan {
            job: submit.id.clone(),
            task: task.0,
            what,
        };
        let plan_json = serde_json::to_string(&submit.plan)
            .map_err(|e| broken((types::TaskIndex(0), e.to_string())))?;
        let number = self.counters.job + 1;
        let row = Arc::new(JobRow {
            id: submit.id.clone(),
            number,
            key: submit.key.clone(),
            digest: submit.digest,
            resolved_json: submit.resolved_json,
            source_yaml: submit.source_yaml,
            plan_json,
            created_ms: now.wall_ms,
            trace: submit.trace,
        });
        let mut job = Job::new(row.clone(), submit.resolved, submit.plan).map_err(broken)?;
        job.dirty = true;
        self.counters.job = number;
        out.push(Effect::Persist(Change::Counters(self.counters)));
        out.push(Effect::Persist(Change::Job(row)));
        self.jobs.insert(number, job);
        self.job_numbers.insert(submit.id, number);
        if let Some(key) = submit.key {
            self.keys.insert(key, number);
        }
        self.start_clock(number, now);
        self.post(number, OutboxItem::Spec, out);
        self.settle(number, now, out);
        Ok(number)
    }

    /// What a user should know about a job that can be submitted all the same.
    pub(crate) fn warnings(&self, job: &Job) -> Vec<String> {
        if job.progress.finished_ms.is_some() {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        if let Placement::Nobody(nobody) = self.placement(job) {
            warnings.push(format!("{nobody}: the job waits for one"));
        }
        warnings.extend(self.quarantined_in(&job.resolved.resources.pool));
        warnings
    }
}

//! What the store has to show and others are to be told: entries written with the decision, delivered after it, marked done
//! by an event.

use job::resolved::JobKind;
use plan::{ResultDetail, TaskResult};
use types::{LeaseNumber, OutputObject, TaskIndex};

use crate::{
    assign::prefix,
    core::{Core, Undelivered},
    effect::Effect,
    event::Now,
    job::JobNumber,
    rows::{Change, ModelRow, OutboxId, OutboxItem, OutboxRow},
};

impl Core {
    pub(crate) fn post(&mut self, number: JobNumber, mut item: OutboxItem, out: &mut Vec<Effect>) {
        let id = self.next_outbox_id(out);
        if let (OutboxItem::Notice(notice), Some(job)) = (&mut item, self.jobs.get(&number)) {
            notice.delivery = self.delivery(job, id);
        }
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        if item.is_waited_for() {
            job.publishing.insert(id);
        }
        let row = OutboxRow {
            id,
            job: job.row.id.clone(),
            store: job.resolved.output.clone(),
            item,
        };
        out.push(Effect::Persist(Change::Outbox(row.clone())));
        out.push(Effect::Deliver(row.clone()));
        self.outbox.insert(id, row);
    }

    /// Publishes the job's results if `index` was its last task, the reduce or the export, and the models that it trained.
    pub(crate) fn publish_if_last(
        &mut self,
        number: JobNumber,
        index: TaskIndex,
        lease: LeaseNumber,
        result: &TaskResult,
        out: &mut Vec<Effect>,
    ) {
        let (Some(job), Some((tables, manifest))) =
            (self.jobs.get_mut(&number), result.detail.published())
        else {
            return;
        };
        let Some(attempt) = self.attempts.get(&lease) else {
            return;
        };
        debug_assert_eq!(attempt.task, index);
        job.progress.results_planned += 1;
        job.dirty = true;
        let (index, merged) = match &result.detail {
            ResultDetail::Reduce { index, merged, .. } => (index.clone(), merged.clone()),
            _ => (None, Vec::new()),
        };
        let item = OutboxItem::Results {
            generation: job.progress.results_planned,
            prefix: prefix(attempt),
            tables: tables.to_vec(),
            manifest: manifest.to_owned(),
            index,
            merged,
        };
        self.post(number, item, out);
        for item in self.trained_models(number) {
            self.post(number, item, out);
        }
    }

    fn trained_models(&self, number: JobNumber) -> Vec<OutboxItem> {
        let Some(job) = self.jobs.get(&number) else {
            return Vec::new();
        };
        // Of a search the one that was fitted with the best.
        let is_kept = |run: usize| match job.resolved.kind {
            JobKind::Train => true,
            JobKind::Hpo => job
                .plan
                .runs
                .get(run)
                .is_some_and(|run| run.trial.is_none()),
            JobKind::Test | JobKind::Predict | JobKind::Benchmark | JobKind::Export => false,
        };
        let model = |(run, evaluate): (usize, Option<TaskIndex>)| {
            let attempt = self.attempts.get(&job.task(evaluate?)?.accepted?)?;
            let result: TaskResult = serde_json::from_str(attempt.result_json.as_deref()?).ok()?;
            let outputs: Vec<OutputObject> =
                serde_json::from_str(attempt.outputs_json.as_deref()?).ok()?;
            let ResultDetail::Evaluate {
                package: Some(package),
                ..
            } = result.detail
            else {
                return None;
            };
            let sha256 = outputs.into_iter().find(|o| o.path == package)?.sha256;
            let package = format!("{}/{package}", prefix(attempt));
            Some(OutboxItem::Model {
                name: model_name(&job.resolved.name),
                run: run as u32,
                package,
                sha256,
            })
        };
        job.runs
            .iter()
            .map(|run| run.evaluate)
            .enumerate()
            .filter(|(run, _)| is_kept(*run))
            .filter_map(model)
            .collect()
    }

    /// Nothing is decided by it: whoever asks hears what the job waits for.
    pub(crate) fn delivery_failed(
        &mut self,
        id: OutboxId,
        why: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(row) = self.outbox.get(&id) else {
            return;
        };
        let tries = self.undelivered.entry(id).or_insert(Undelivered {
            since_ms: now.wall_ms,
            tries: 0,
            why: String::new(),
        });
        tries.tries += 1;
        tries.why = why;
        out.push(Effect::JobChanged(row.job.clone()));
    }

    /// Nobody is told any more what they did not want to hear for so long; whatever a job waits for is tried for ever.
    pub(crate) fn delivery_given_up(&mut self, id: OutboxId, out: &mut Vec<Effect>) {
        let Some(row) = self.outbox.get(&id) else {
            return;
        };
        if row.item.is_waited_for() {
            return;
        }
        out.push(Effect::JobChanged(row.job.clone()));
        out.push(Effect::Persist(Change::OutboxDone(id)));
        self.undelivered.remove(&id);
        self.outbox.remove(&id);
    }

    pub(crate) fn delivered(
        &mut self,
        id: OutboxId,
        version: Option<u32>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.undelivered.remove(&id);
        // Delivered twice: the second says nothing new.
        let Some(row) = self.outbox.remove(&id) else {
            return;
        };
        out.push(Effect::Persist(Change::OutboxDone(id)));
        let Some(&number) = self.job_numbers.get(&row.job) else {
            return;
        };
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        job.publishing.remove(&id);
        match row.item {
            OutboxItem::Spec | OutboxItem::Notice(_) => {}
            OutboxItem::Results { generation, .. } => {
                job.progress.results_published = job.progress.results_published.max(generation);
                job.dirty = true;
            }
            OutboxItem::Model {
                name,
                run,
                package,
                sha256,
            } => {
                let model = ModelRow {
                    name,
                    version: version.unwrap_or(1),
                    job: row.job,
                    run,
                    package: format!("{}/{package}", row.store.trim_end_matches('/')),
                    sha256,
                    created_ms: now.wall_ms,
                };
                out.push(Effect::Persist(Change::Model(model.clone())));
                self.models.insert(model.key(), model);
            }
        }
        self.settle(number, now, out);
    }
}

/// A job's name as a path segment.
pub fn model_name(job_name: &str) -> String {
    let name: String = job_name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
                c
            } else {
                '-'
            }
        })
        .collect();
    match name.trim_start_matches('.') {
        "" => "model".to_owned(),
        name => name.chars().take(128).collect(),
    }
}

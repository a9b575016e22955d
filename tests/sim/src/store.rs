//! The fake store: objects, what manifests and pointers name of them, the coordinator's puts and sweeps, and writes that come
//! late; and whom the coordinator tells of jobs that ended.

use std::collections::BTreeMap;

use coordinator_core::{
    AttemptRow, Core, Event, Leftovers, Notice, OutboxItem, OutboxRow, Outcome, Removal, Rows,
};
use plan::{Assignment, InputOutcome, TaskSpec};
use types::{JobId, JobState, LeaseNumber};

use crate::{
    coordinator::{CrashPoint, PutPoint},
    executor,
    invariants::{About, Check},
    world::{Item, World},
};

/// Objects by path, each as its digest.
type Objects = BTreeMap<String, u64>;

#[derive(Debug, Default)]
pub struct Store {
    objects: Objects,
    /// What was published, by its own path: the objects that it names.
    named: BTreeMap<String, Objects>,
    /// Who wanted to hear was told this, by delivery.
    told: BTreeMap<String, (JobId, Notice)>,
    /// Writes that stand still, on their way.
    pub late: u64,
}

impl Store {
    pub fn put(&mut self, path: String, digest: u64) {
        self.objects.insert(path, digest);
    }

    /// What is there under the path.
    pub fn get(&self, path: &str) -> Option<u64> {
        self.objects.get(path).copied()
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.objects.keys().map(String::as_str)
    }

    /// What was published, by its path: for tests.
    pub fn published(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }

    /// Deletes every object below a prefix; how many there were.
    pub fn delete_below(&mut self, prefix: &str) -> u64 {
        let below = format!("{prefix}/");
        let before = self.objects.len();
        self.objects.retain(|path, _| !path.starts_with(&below));
        (before - self.objects.len()) as u64
    }

    /// Deletes every object below a prefix but what is to stay, and what was published there.
    fn remove_below(&mut self, prefix: &str, keep: &[String]) {
        let below = format!("{prefix}/");
        let kept = |path: &str| {
            let mut keep = keep.iter();
            keep.any(|kept| path.starts_with(kept) && path[kept.len()..].starts_with('/'))
        };
        self.objects
            .retain(|path, _| !path.starts_with(&below) || kept(path));
        self.named.retain(|path, _| !path.starts_with(&below));
    }

    /// Writes something that names objects; a second time it must name the same.
    fn publish(&mut self, path: String, names: Objects) -> Check {
        match self.named.get(&path) {
            Some(first) if *first != names => Err(format!(
                "I7: {path} was published twice with different content"
            )),
            Some(_) => Ok(()),
            None => {
                self.named.insert(path, names);
                self.named_objects_exist()
            }
        }
    }

    /// I18: told twice under one id, it is the same; and what it says is published stands in the store.
    fn tell(&mut self, job: &JobId, notice: &Notice) -> Check {
        let generation = notice.results;
        let results = format!("jobs/{job}/results/{generation}");
        if generation > 0 && !self.named.contains_key(&results) {
            return Err(format!(
                "I18: the notice of job {job} names {results}, which is not there"
            ));
        }
        let news = (job.clone(), notice.clone());
        let told = self.told.entry(notice.delivery.clone());
        match told.or_insert_with(|| news.clone()) {
            first if *first == news => Ok(()),
            first => Err(format!("I18: {first:?} was told under the id of {news:?}")),
        }
    }

    /// The states that were told of a job, in order of their times: for tests.
    pub fn told(&self, job: &str) -> Vec<JobState> {
        let of_job = self.told.values().filter(|(of, _)| of.as_str() == job);
        let mut told: Vec<&Notice> = of_job.map(|(_, notice)| notice).collect();
        told.sort_by_key(|notice| notice.finished_ms);
        told.iter().map(|notice| notice.state).collect()
    }

    /// I7: every object that was ever named is there, with its digest. It can only change when something is named or
    /// deleted, and is looked at then.
    pub fn named_objects_exist(&self) -> Check {
        for (path, names) in &self.named {
            for (object, digest) in names {
                if self.objects.get(object) != Some(digest) {
                    return Err(format!("I7: {path} names {object}, which is gone"));
                }
            }
        }
        Ok(())
    }
}

/// The one part of an attempt.
pub fn part(prefix: &str) -> String {
    format!("{prefix}/part.parquet")
}

/// The attempt that a path belongs to.
fn lease_of(path: &str) -> Option<LeaseNumber> {
    // jobs/{job}/tasks/{task}/{lease}-{random}/...
    let (lease, _) = path.split('/').nth(4)?.split_once('-')?;
    lease.parse().ok().map(LeaseNumber)
}

/// I8: neither what somebody writes or may still complete, nor what was accepted.
fn sweeping_spares_what_counts(rows: &Rows, prefix: &str) -> Check {
    let row: Option<&AttemptRow> = lease_of(prefix).and_then(|lease| rows.attempts.get(&lease));
    match row {
        Some(row) if row.verdict.is_none() => Err(format!(
            "I8: {prefix} is swept, which {} and may still be completed",
            row.outcome.as_str()
        )),
        Some(row) if matches!(row.outcome, Outcome::Running | Outcome::Accepted) => Err(format!(
            "I8: {prefix} is swept, which is {}",
            row.outcome.as_str()
        )),
        _ => Ok(()),
    }
}

impl World {
    /// An attempt begins: its log is there whatever becomes of it, and part of what it writes may stand still on its way,
    /// however the attempt ends.
    pub fn begin_writing(&mut self, assignment: &Assignment) {
        self.store
            .put(format!("{}/log/000000.log", assignment.prefix), 0);
        if self.chance.hits(self.faults.late_write) {
            let (_, _, digest) = executor::work(assignment);
            let latest_ms = self.latest_write_ms();
            let after = self.chance.between(1, latest_ms);
            self.write_late(after, part(&assignment.prefix), digest);
        }
    }

    /// A write reaches the store after so long, whoever lives then.
    pub fn write_late(&mut self, after_ms: u64, path: String, digest: u64) {
        self.store.late += 1;
        self.at(after_ms, Item::LateWrite { path, digest });
    }

    pub fn late_write(&mut self, path: String, digest: u64) {
        self.note(|| format!("{path} is written late"));
        self.store.late -= 1;
        self.store.put(path, digest);
    }

    /// What comes later than the second sweep is swept only if its writer is heard of. The first comes one retention after the
    /// end, or as soon as a restarted coordinator's clock says so (it may be off by an hour, and retentions are shorter here);
    /// the second one retention after the first. A grant's answer may be on its way for so long that the attempt has ended
    /// before it begins.
    fn latest_write_ms(&self) -> u64 {
        let retentions = if self.faults.wall_jump > 0.0 { 1 } else { 2 };
        (retentions * self.retention_ms).saturating_sub(35_000)
    }

    pub fn deliver(&mut self, row: OutboxRow) {
        let after = self.chance.between(5, 500);
        self.at(
            after,
            Item::Put {
                row: Box::new(row),
                life: self.coordinator.life,
            },
        );
    }

    /// The publisher's put; it may happen without anybody hearing of it.
    pub fn put(&mut self, row: OutboxRow, life: u64) -> Check {
        let lives = life == self.coordinator.life && self.coordinator.core.is_some();
        // A request that had left a coordinator before its end reaches the store all the same.
        if !lives && !self.chance.hits(0.5) {
            return Ok(());
        }
        let point = match row.item {
            OutboxItem::Results { .. } if lives => self.coordinator.crash_put.take(),
            _ => None,
        };
        if point == Some(PutPoint::Before) {
            self.crash_coordinator("before the put");
            return Ok(());
        }
        let version = self.project(&row)?;
        if !lives {
            return Ok(());
        }
        match point {
            Some(PutPoint::After) => {
                self.crash_coordinator("after the put");
                return Ok(());
            }
            Some(PutPoint::BeforeDone) => {
                self.coordinator.crash_next = Some(CrashPoint::BeforeCommit);
            }
            Some(PutPoint::Before) | None => {}
        }
        if self.chance.hits(self.faults.put_reply_lost) {
            self.deliver(row);
            return Ok(());
        }
        self.coordinator.inbox.push((
            Event::OutboxDelivered {
                id: row.id,
                version,
            },
            About::Nothing,
        ));
        self.plan_batch();
        Ok(())
    }

    /// I7: what is published belongs to accepted attempts, is there, and is the same each time.
    fn project(&mut self, row: &OutboxRow) -> Result<Option<u32>, String> {
        let (path, prefix) = match &row.item {
            OutboxItem::Spec => return Ok(None),
            OutboxItem::Notice(notice) => {
                return self.store.tell(&row.job, notice).map(|()| None);
            }
            OutboxItem::Results {
                generation, prefix, ..
            } => (
                format!("jobs/{}/results/{generation}", row.job),
                prefix.clone(),
            ),
            OutboxItem::Model {
                name, run, package, ..
            } => (
                // A package that is published anew is a version of its own.
                format!("models/{name}/{}/{run}/{package}", row.job),
                package
                    .rsplit_once('/')
                    .map_or_else(String::new, |(prefix, _)| prefix.to_owned()),
            ),
        };
        let mut names = Objects::new();
        self.add_named(&prefix, &mut names);
        if !names.contains_key(&part(&prefix)) {
            return Err(format!(
                "I7: {path} names {prefix}, which nobody was granted"
            ));
        }
        for object in names.keys() {
            let row = lease_of(object).and_then(|lease| self.disk.rows.attempts.get(&lease));
            if row.is_none_or(|row| row.outcome != Outcome::Accepted) {
                return Err(format!(
                    "I7: {path} names {object}, which is not an accepted attempt's"
                ));
            }
        }
        if matches!(row.item, OutboxItem::Model { .. }) {
            // A package names what it was fitted to, and nothing that was scored.
            names.retain(|object, _| lease_of(object).is_some_and(|of| self.makes_a_model(of)));
        }
        self.store.publish(path, names).map(|()| Some(1))
    }

    /// What an attempt wrote, and everything that it was made from: a manifest has a row for each.
    fn add_named(&self, prefix: &str, names: &mut Objects) {
        let Some(assignment) = lease_of(prefix).and_then(|lease| self.assignments.get(&lease))
        else {
            return;
        };
        let (_, outputs, digest) = executor::work(assignment);
        for output in outputs {
            if names
                .insert(format!("{prefix}/{}", output.path), digest)
                .is_some()
            {
                return;
            }
        }
        let inputs = assignment.inputs.iter();
        for input in inputs.filter(|input| !executor::is_earlier(assignment, input)) {
            if let InputOutcome::Accepted { prefix, .. } = &input.outcome {
                self.add_named(prefix, names);
            }
        }
    }

    pub fn sweep_soon(&mut self, order: Leftovers, life: u64, after_ms: u64) {
        let order = Box::new(order);
        self.at(after_ms, Item::Sweep { order, life });
    }

    /// The sweeper deletes. The store may be out for a while, and the answer may be lost.
    pub fn sweep(&mut self, order: Leftovers, life: u64) -> Check {
        let lives = life == self.coordinator.life && self.coordinator.core.is_some();
        if !lives && !self.chance.hits(0.5) {
            return Ok(());
        }
        let again = self.chance.between(1_000, 20_000);
        if lives && self.chance.hits(self.faults.sweep_refused) {
            self.sweep_soon(order, life, again);
            return Ok(());
        }
        sweeping_spares_what_counts(&self.disk.rows, &order.prefix)?;
        let objects = self.store.delete_below(&order.prefix);
        self.note(|| format!("{} is swept: {objects} objects", order.prefix));
        self.store.named_objects_exist()?;
        if !lives {
            return Ok(());
        }
        if self.chance.hits(self.faults.put_reply_lost) {
            self.sweep_soon(order, life, again);
            return Ok(());
        }
        let lease = order.lease;
        self.coordinator
            .inbox
            .push((Event::PrefixSwept { lease, objects }, About::Nothing));
        self.plan_batch();
        Ok(())
    }

    fn makes_a_model(&self, lease: LeaseNumber) -> bool {
        let spec = self
            .assignments
            .get(&lease)
            .map(|assignment| &assignment.spec);
        matches!(spec, Some(TaskSpec::Fit { .. } | TaskSpec::Evaluate { .. }))
    }

    pub fn remove_soon(&mut self, order: Removal, life: u64, after_ms: u64) {
        let order = Box::new(order);
        self.at(after_ms, Item::Remove { order, life });
    }

    /// The sweeper removes what a deleted job left, as it sweeps attempts.
    pub fn remove(&mut self, order: Removal, life: u64) -> Check {
        let lives = life == self.coordinator.life && self.coordinator.core.is_some();
        if !lives && !self.chance.hits(0.5) {
            return Ok(());
        }
        let again = self.chance.between(1_000, 20_000);
        if lives && self.chance.hits(self.faults.sweep_refused) {
            self.remove_soon(order, life, again);
            return Ok(());
        }
        let progress = self.disk.rows.job_progress.get(&order.job);
        if progress.is_some_and(|row| row.deletion.is_none()) {
            return Err(format!(
                "I19: job {} is removed, and nobody deleted it",
                order.job
            ));
        }
        self.store
            .remove_below(&format!("jobs/{}", order.job), &order.keep);
        self.note(|| format!("job {} is removed", order.job));
        self.store.named_objects_exist()?;
        if !lives {
            return Ok(());
        }
        if self.chance.hits(self.faults.put_reply_lost) {
            self.remove_soon(order, life, again);
            return Ok(());
        }
        let Removal { job, again, .. } = order;
        self.coordinator
            .inbox
            .push((Event::JobRemoved { job, again }, About::Nothing));
        self.plan_batch();
        Ok(())
    }

    /// L5: what is left belongs to accepted attempts, or to attempts from before a restoration. Of jobs that were deleted it is
    /// what models are made of.
    pub fn nothing_unnamed_is_left(&self) -> Check {
        let rows = &self.disk.rows;
        for path in self.store.paths() {
            let Some(lease) = lease_of(path) else {
                return Err(format!("L5: {path} belongs to no attempt"));
            };
            let row = rows.attempts.get(&lease);
            if row.is_none() && self.makes_a_model(lease) {
                continue;
            }
            let kept = row.is_some_and(|row| row.outcome == Outcome::Accepted)
                || lease.0 <= rows.counters.restored;
            if !kept {
                let state = row.map_or("unknown", |row| row.outcome.as_str());
                return Err(format!("L5: {path} is left of an attempt that is {state}"));
            }
        }
        Ok(())
    }

    /// Nothing is on its way that could be swept, and nothing is to be swept any more.
    pub fn is_swept(&self) -> bool {
        let core = self.coordinator.core.as_ref();
        let rests = |core: &Core| core.sweeps_to_come() == 0 && core.deletions_to_come() == 0;
        self.store.late == 0 && core.is_some_and(rests)
    }
}

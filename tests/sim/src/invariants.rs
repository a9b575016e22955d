//! What must hold after every commit and with every answer, whatever went wrong.

use std::collections::{BTreeMap, BTreeSet};

use coordinator_core::{
    Change, ClaimAnswer, OutboxItem, Outcome, Reply, Rows, Sender, Stop, Verdict,
};
use job::resolved::JobKind;
use plan::TaskSpec;
use types::{FailureClass, JobId, LeaseNumber, RequestId, TaskIndex, TaskState, WorkerName};

/// What was seen so far, apart from the rows themselves.
#[derive(Debug, Default)]
pub struct History {
    highest_lease: u64,
    accepted: BTreeMap<(JobId, TaskIndex, u32), LeaseNumber>,
    current: BTreeMap<(JobId, TaskIndex), LeaseNumber>,
    outcomes: BTreeMap<LeaseNumber, (RequestId, Outcome)>,
    claims: BTreeMap<RequestId, LeaseNumber>,
    ended_claims: BTreeSet<RequestId>,
    verdicts: BTreeMap<LeaseNumber, Verdict>,
    answers: BTreeMap<RequestId, String>,
    expansions: BTreeSet<(JobId, TaskIndex)>,
    /// Somebody wants to hear when a job has ended.
    pub notices: bool,
}

pub type Check = Result<(), String>;

impl History {
    /// The database was restored from a backup: what it knew since is forgotten, but for what must not come twice.
    pub fn restored(&mut self, rows: &Rows) {
        *self = Self {
            highest_lease: self.highest_lease,
            notices: self.notices,
            ..Self::default()
        };
        for row in rows.attempts.values() {
            self.outcomes
                .insert(row.lease, (row.claim.clone(), row.outcome));
            let place = (row.job.clone(), row.task);
            if row.outcome == Outcome::Running {
                self.current.insert(place, row.lease);
            } else if row.outcome == Outcome::Accepted {
                self.accepted
                    .insert((place.0, place.1, row.generation), row.lease);
            }
        }
        self.expansions = rows.expansions.keys().cloned().collect();
    }

    /// Called with the rows as they were before, and what the transaction changed.
    pub fn commit(
        &mut self,
        before: &Rows,
        after: &Rows,
        changes: &[Change],
        epoch: u64,
        disk_epoch: u64,
    ) -> Check {
        no_row_is_written_under_an_old_epoch(epoch, disk_epoch)?;
        // Only how a batch leaves a row counts, not what it was in between.
        let mut last: BTreeMap<LeaseNumber, &coordinator_core::AttemptRow> = BTreeMap::new();
        for change in changes {
            if let Change::Attempt(row) = change {
                last.insert(row.lease, row);
            }
        }
        for row in last.values() {
            self.leases_only_grow(row)?;
            accepted_is_final(before, changes, row)?;
        }
        a_stopped_job_gets_nothing_more(before, after, changes)?;
        a_drained_worker_gets_nothing_more(before, changes)?;
        for row in last.values() {
            let place = (row.job.clone(), row.task);
            if row.outcome != Outcome::Running && self.current.get(&place) == Some(&row.lease) {
                self.current.remove(&place);
            }
            self.outcomes
                .insert(row.lease, (row.claim.clone(), row.outcome));
        }
        for row in last.values() {
            self.one_current_lease_a_task(row)?;
            self.one_accepted_attempt_a_generation(row)?;
            counted_attempts_stay_within_the_policy(after, row)?;
        }
        results_only_grow(before, changes)?;
        self.each_end_has_its_notice(before, changes)?;
        a_new_threshold_scores_nothing(before, after, changes)?;
        self.tasks_appear_only_with_an_accepted_result(changes)
    }

    /// I18: a transaction that ends a job posts one notice of it, if somebody wants to hear, and no other does. Walks the
    /// changes in their order: within one batch a job may end, be retried and end again.
    fn each_end_has_its_notice(&self, before: &Rows, changes: &[Change]) -> Check {
        let mut ended: BTreeMap<&JobId, bool> = before
            .job_progress
            .iter()
            .map(|(job, row)| (job, row.finished_ms.is_some()))
            .collect();
        let mut owed: BTreeMap<&JobId, i32> = BTreeMap::new();
        for change in changes {
            match change {
                Change::JobProgress(row) => {
                    let ends = row.finished_ms.is_some();
                    let had_ended = ended.insert(&row.job, ends).unwrap_or(false);
                    if self.notices && ends && !had_ended {
                        *owed.entry(&row.job).or_default() += 1;
                    }
                }
                Change::Outbox(row) => {
                    let OutboxItem::Notice(notice) = &row.item else {
                        continue;
                    };
                    if !notice.state.is_terminal() {
                        return Err(format!(
                            "I18: the notice of job {} says {}",
                            row.job, notice.state
                        ));
                    }
                    *owed.entry(&row.job).or_default() -= 1;
                }
                _ => {}
            }
        }
        match owed.into_iter().find(|(_, owed)| *owed != 0) {
            Some((job, owed)) => Err(format!("I18: {owed} ends of job {job} without notice")),
            None => Ok(()),
        }
    }

    fn leases_only_grow(&mut self, row: &coordinator_core::AttemptRow) -> Check {
        match self.outcomes.get(&row.lease) {
            Some((claim, _)) if *claim == row.claim => Ok(()),
            Some(_) => Err(format!("I2: lease {} was granted twice", row.lease)),
            None if row.lease.0 <= self.highest_lease => Err(format!(
                "I2: lease {} was granted after {}",
                row.lease, self.highest_lease
            )),
            None => {
                self.highest_lease = row.lease.0;
                Ok(())
            }
        }
    }

    fn one_current_lease_a_task(&mut self, row: &coordinator_core::AttemptRow) -> Check {
        if row.outcome != Outcome::Running {
            return Ok(());
        }
        match self.current.insert((row.job.clone(), row.task), row.lease) {
            Some(other) if other != row.lease => Err(format!(
                "I2: leases {other} and {} of one task are both current",
                row.lease
            )),
            _ => Ok(()),
        }
    }

    fn one_accepted_attempt_a_generation(&mut self, row: &coordinator_core::AttemptRow) -> Check {
        if row.outcome != Outcome::Accepted {
            return Ok(());
        }
        match self
            .accepted
            .insert((row.job.clone(), row.task, row.generation), row.lease)
        {
            Some(other) if other != row.lease => Err(format!(
                "I1: attempts {other} and {} of one generation are both accepted",
                row.lease
            )),
            _ => Ok(()),
        }
    }

    fn tasks_appear_only_with_an_accepted_result(&mut self, changes: &[Change]) -> Check {
        for change in changes {
            let Change::Expansion(row) = change else {
                continue;
            };
            let expansion = serde_json::from_str::<plan::Expansion>(&row.expansion_json);
            let adds_trials = expansion.is_ok_and(|expansion| !expansion.runs.is_empty());
            // Trials come with the end of another one, also where that one has failed.
            let ends = |a: &coordinator_core::AttemptRow| match a.outcome {
                Outcome::Accepted => adds_trials || a.task == row.by,
                Outcome::Failed(_) => adds_trials,
                _ => false,
            };
            let accepted = changes
                .iter()
                .any(|c| matches!(c, Change::Attempt(a) if a.job == row.job && ends(a)));
            if !accepted || !self.expansions.insert((row.job.clone(), row.by)) {
                return Err(format!(
                    "I16: job {} was expanded by task {} without an acceptance of its own",
                    row.job, row.by.0
                ));
            }
        }
        Ok(())
    }

    /// Called with every reply as it leaves the coordinator.
    pub fn reply(&mut self, rows: &Rows, about: &About, reply: &Reply) -> Check {
        match (about, reply) {
            (About::Claim(id), Reply::Claimed { answer, .. }) => self.claim_reply(rows, id, answer),
            (About::Lease(lease), Reply::Completed { verdict, .. }) => {
                self.verdict_reply(rows, *lease, *verdict)
            }
            (About::Leave(from), Reply::Noted { .. }) => who_left_is_not_there(rows, from),
            (About::Request(id), Reply::Submitted { job, outcome, .. }) => self.request_reply(
                rows,
                id,
                rows.jobs.contains_key(job),
                format!("{job} {outcome:?}"),
            ),
            (About::Request(id), Reply::Cancelled { state }) => {
                self.request_reply(rows, id, true, format!("{state}"))
            }
            (About::Request(id), Reply::Retried { tasks }) => {
                self.request_reply(rows, id, true, format!("{tasks}"))
            }
            (About::Request(id), Reply::Rethresholded { tasks, before }) => {
                self.request_reply(rows, id, true, format!("{tasks} after {before}"))
            }
            (About::Request(id), Reply::Deleted { .. }) => {
                self.request_reply(rows, id, true, "deleted".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn claim_reply(&mut self, rows: &Rows, id: &RequestId, answer: &ClaimAnswer) -> Check {
        match answer {
            ClaimAnswer::Granted(assignment) => {
                let lease = assignment.lease;
                // It may have ended within the batch that granted it; that it was granted stays true.
                if rows.attempts.get(&lease).is_none_or(|row| row.claim != *id) {
                    return Err(format!("I3: lease {lease} is told, but not committed"));
                }
                if self.ended_claims.contains(id)
                    || *self.claims.entry(id.clone()).or_insert(lease) != lease
                {
                    return Err(format!(
                        "I5: claim {id} got lease {lease} after another answer"
                    ));
                }
                Ok(())
            }
            ClaimAnswer::Ended => {
                self.ended_claims.insert(id.clone());
                Ok(())
            }
            ClaimAnswer::Nothing if self.claims.contains_key(id) => {
                Err(format!("I5: claim {id} got nothing after a lease"))
            }
            ClaimAnswer::Nothing | ClaimAnswer::Unregistered => Ok(()),
        }
    }

    fn verdict_reply(&mut self, rows: &Rows, lease: LeaseNumber, verdict: Verdict) -> Check {
        if rows.attempts.get(&lease).and_then(|row| row.verdict) != Some(verdict) {
            return Err(format!(
                "I3: lease {lease} is told {verdict:?}, but that is not committed"
            ));
        }
        match *self.verdicts.entry(lease).or_insert(verdict) {
            first if first == verdict => Ok(()),
            first => Err(format!(
                "I5: lease {lease} was told {first:?}, then {verdict:?}"
            )),
        }
    }

    fn request_reply(&mut self, rows: &Rows, id: &RequestId, exists: bool, text: String) -> Check {
        if !exists || !rows.requests.contains_key(id) {
            return Err(format!("I3: request {id} is answered, but not committed"));
        }
        match self
            .answers
            .entry(id.clone())
            .or_insert_with(|| text.clone())
        {
            first if *first == text => Ok(()),
            first => Err(format!(
                "I5: request {id} was answered {first:?}, then {text:?}"
            )),
        }
    }
}

/// What a reply answers.
#[derive(Debug, Clone)]
pub enum About {
    Claim(RequestId),
    Lease(LeaseNumber),
    Request(RequestId),
    Leave(Sender),
    Nothing,
}

fn who_left_is_not_there(rows: &Rows, from: &Sender) -> Check {
    match rows.workers.get(&from.worker) {
        Some(row) if row.incarnation == from.incarnation && !row.left => Err(format!(
            "I3: {} is told that it left, but that is not committed",
            from.worker
        )),
        _ => Ok(()),
    }
}

fn no_row_is_written_under_an_old_epoch(epoch: u64, disk_epoch: u64) -> Check {
    if epoch == disk_epoch {
        Ok(())
    } else {
        Err(format!("I6: epoch {epoch} wrote in epoch {disk_epoch}"))
    }
}

fn accepted_is_final(
    before: &Rows,
    changes: &[Change],
    row: &coordinator_core::AttemptRow,
) -> Check {
    match before.attempts.get(&row.lease) {
        Some(old) if old.outcome == Outcome::Accepted && row.outcome != Outcome::Accepted => {
            Err(format!("I1: lease {} is not accepted any more", row.lease))
        }
        Some(old) if old.verdict.is_some() && old.verdict != row.verdict => {
            Err(format!("I5: the verdict on lease {} changed", row.lease))
        }
        Some(old) if old.counted && !row.counted && !blamed_on_worker(changes, row) => {
            Err(format!("I12: lease {} is not counted any more", row.lease))
        }
        _ => Ok(()),
    }
}

/// Failures for which the batch quarantines the worker do not count against their tasks.
fn blamed_on_worker(changes: &[Change], row: &coordinator_core::AttemptRow) -> bool {
    let blamed = |change: &Change| matches!(change, Change::Worker(w) if w.quarantine.is_some() && w.worker == row.worker);
    changes.iter().any(blamed)
}

/// I11, but for the reduce of a job that failed. Walks the changes in their order: within one batch a job may be retried, granted and stopped again.
fn a_stopped_job_gets_nothing_more(before: &Rows, after: &Rows, changes: &[Change]) -> Check {
    let mut stopped: BTreeMap<&JobId, Option<Stop>> = before
        .job_progress
        .iter()
        .map(|(job, row)| (job, row.stop))
        .collect();
    let mut outcomes: BTreeMap<LeaseNumber, Outcome> = before
        .attempts
        .values()
        .map(|row| (row.lease, row.outcome))
        .collect();
    let mut anew: BTreeSet<&JobId> = before
        .rethresholds
        .values()
        .filter(|row| row.under_way.is_some())
        .map(|row| &row.job)
        .collect();
    for change in changes {
        match change {
            Change::Rethreshold(row) if row.under_way.is_some() => _ = anew.insert(&row.job),
            Change::Rethreshold(row) => _ = anew.remove(&row.job),
            Change::JobProgress(row) => _ = stopped.insert(&row.job, row.stop),
            Change::Attempt(row) => {
                let old = outcomes.insert(row.lease, row.outcome);
                let granted = old.is_none() && row.outcome == Outcome::Running;
                let accepted = old != Some(Outcome::Accepted) && row.outcome == Outcome::Accepted;
                let open = match stopped.get(&row.job).copied().flatten() {
                    None => true,
                    // A new threshold decides what there is of it.
                    Some(Stop::TooManyFailures | Stop::Deadline) => {
                        is_reduce(after, row) || anew.contains(&row.job)
                    }
                    Some(Stop::User) => false,
                };
                if (granted || accepted) && !open {
                    return Err(format!(
                        "I11: lease {} is {} although job {} was stopped",
                        row.lease,
                        row.outcome.as_str(),
                        row.job
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The plans here end with their reduce, and expansions come after it.
fn is_reduce(rows: &Rows, row: &coordinator_core::AttemptRow) -> bool {
    planned(rows, row).is_some_and(|spec| matches!(spec, TaskSpec::Reduce))
}

/// What the attempt's task is, if the plan has it.
fn planned(rows: &Rows, row: &coordinator_core::AttemptRow) -> Option<TaskSpec> {
    let plan = rows.jobs.get(&row.job).map(|job| job.plan_json.as_str());
    let plan: plan::Plan = serde_json::from_str(plan?).ok()?;
    let task = plan.tasks.get(row.task.0 as usize);
    task.map(|task| task.spec.clone())
}

/// What was published once stays the least that there is.
fn results_only_grow(before: &Rows, changes: &[Change]) -> Check {
    for change in changes {
        if let Change::JobProgress(row) = change
            && let Some(old) = before.job_progress.get(&row.job)
            && row.results_published < old.results_published
        {
            return Err(format!("I7: job {} has fewer results than before", row.job));
        }
    }
    Ok(())
}

/// I17: while a new threshold is under way nothing but evaluations and the reduce is granted, and what counted before is kept.
fn a_new_threshold_scores_nothing(before: &Rows, after: &Rows, changes: &[Change]) -> Check {
    let under_way = |rows: &Rows, job: &JobId| {
        let row = rows.rethresholds.get(job);
        row.is_some_and(|row| row.under_way.is_some())
    };
    for change in changes {
        let Change::Attempt(row) = change else {
            continue;
        };
        let granted = !before.attempts.contains_key(&row.lease);
        if granted && under_way(before, &row.job) && under_way(after, &row.job) {
            let spec = planned(after, row);
            if !matches!(spec, Some(TaskSpec::Evaluate { .. } | TaskSpec::Reduce)) {
                return Err(format!(
                    "I17: lease {} of task {} is granted for a new threshold",
                    row.lease, row.task.0
                ));
            }
        }
    }
    for (job, row) in &after.rethresholds {
        for (index, lease) in row.under_way.iter().flat_map(|under_way| &under_way.kept) {
            let kept = after.attempts.get(lease).map(|attempt| attempt.outcome);
            if kept != Some(Outcome::Accepted) {
                return Err(format!(
                    "I17: task {} of job {job} cannot fall back on lease {lease}, which is {kept:?}",
                    index.0
                ));
            }
        }
    }
    Ok(())
}

/// I17: a job that has ended has no threshold under way.
fn new_thresholds_end_with_their_jobs(rows: &Rows) -> Check {
    for (job, row) in &rows.rethresholds {
        let progress = rows.job_progress.get(job);
        let ended = progress.is_some_and(|progress| progress.finished_ms.is_some());
        if ended && row.under_way.is_some() {
            return Err(format!("I17: job {job} has ended before its new threshold"));
        }
    }
    Ok(())
}

/// C14, C15: from the answer to a drain or a leave on, and in quarantine, the worker's incarnation gets no lease.
fn a_drained_worker_gets_nothing_more(before: &Rows, changes: &[Change]) -> Check {
    let mut workers: BTreeMap<&WorkerName, &coordinator_core::WorkerRow> =
        before.workers.iter().collect();
    let mut known: BTreeSet<LeaseNumber> = before.attempts.keys().copied().collect();
    for change in changes {
        match change {
            Change::Worker(row) => _ = workers.insert(&row.worker, row),
            Change::Attempt(row) => {
                let granted = known.insert(row.lease);
                let drained = workers.get(&row.worker).is_some_and(|w| {
                    (w.draining || w.quarantine.is_some() || w.left)
                        && w.incarnation == row.incarnation
                });
                if granted && drained {
                    return Err(format!(
                        "C15: lease {} was granted to {}, which drains, is in quarantine, or left",
                        row.lease, row.worker
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn counted_attempts_stay_within_the_policy(
    after: &Rows,
    row: &coordinator_core::AttemptRow,
) -> Check {
    let Outcome::Failed(class) = row.outcome else {
        return Ok(());
    };
    let bound = match class {
        FailureClass::InvalidInput | FailureClass::Internal | FailureClass::TimedOut => 1,
        FailureClass::Lost => 6,
        FailureClass::Crashed => 3,
        FailureClass::Stalled | FailureClass::OutOfMemory | FailureClass::DiskFull => 2,
        FailureClass::Unavailable => usize::MAX,
        FailureClass::Released | FailureClass::NeverStarted => {
            return if row.counted {
                Err(format!("I12: {class} is counted for lease {}", row.lease))
            } else {
                Ok(())
            };
        }
    };
    let same = |a: &&coordinator_core::AttemptRow| {
        a.job == row.job
            && a.task == row.task
            && a.generation == row.generation
            && a.outcome == row.outcome
            && a.counted
    };
    let count = after.attempts.values().filter(same).count();
    if count > bound {
        Err(format!(
            "I12: task {} of job {} has {count} counted {class}",
            row.task.0, row.job
        ))
    } else {
        Ok(())
    }
}

/// A job has stopped if and only if more of its tasks failed than it allows, unless its user stopped it.
pub fn jobs_stop_when_too_many_tasks_failed(rows: &Rows) -> Check {
    for (id, job) in &rows.jobs {
        let Some(progress) = rows.job_progress.get(id) else {
            return Err(format!("I10: job {id} has no progress"));
        };
        let resolved: job::resolved::ResolvedJob =
            serde_json::from_str(&job.resolved_json).map_err(|e| e.to_string())?;
        let allowed = match (resolved.max_failed_tasks, resolved.kind) {
            (Some(bound), _) => bound as usize,
            (None, JobKind::Benchmark | JobKind::Hpo) => usize::MAX,
            (None, _) => 0,
        };
        let failed = rows
            .tasks
            .range((id.clone(), TaskIndex(0))..=(id.clone(), TaskIndex(u32::MAX)))
            .filter(|(_, task)| matches!(task.state, TaskState::Failed | TaskState::Dead))
            .count();
        let stopped = match progress.stop {
            Some(Stop::User | Stop::Deadline) => continue,
            Some(Stop::TooManyFailures) => true,
            None => false,
        };
        if stopped != (failed > allowed) {
            return Err(format!(
                "I10: {failed} tasks of job {id} failed, {allowed} may; stopped: {stopped}"
            ));
        }
    }
    Ok(())
}

/// I10: skipped only behind a task that did not succeed; a finished job has no open task.
pub fn ends_make_sense(rows: &Rows) -> Check {
    new_thresholds_end_with_their_jobs(rows)?;
    for ((job, index), row) in &rows.tasks {
        if row.state == TaskState::Skipped {
            let root = row
                .because
                .and_then(|because| rows.tasks.get(&(job.clone(), because)))
                .map(|r| r.state);
            if !matches!(
                root,
                Some(TaskState::Failed | TaskState::Dead | TaskState::Cancelled)
            ) {
                return Err(format!(
                    "I10: task {} of job {job} is skipped behind one that is {root:?}",
                    index.0
                ));
            }
        }
        let open = !row.state.is_terminal();
        if open
            && rows
                .job_progress
                .get(job)
                .is_some_and(|p| p.finished_ms.is_some())
        {
            return Err(format!(
                "I10: job {job} has ended with task {} {}",
                index.0, row.state
            ));
        }
    }
    Ok(())
}

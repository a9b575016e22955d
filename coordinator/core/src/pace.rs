//! How fast a job's images are scored and how long that takes yet, for people. Volatile: it begins anew with the coordinator.

use std::collections::VecDeque;

use plan::TaskSpec;
use types::{JobId, LeaseNumber, Progress, TaskIndex, TaskKind, TaskState};

use crate::{
    core::{Core, Held},
    event::Now,
    job::{Job, JobNumber},
};

/// What a rate is over, at most.
const WINDOW_MS: u64 = 60_000;
/// A rate over less is chance: an image more or less, or a package that is being loaded.
const LEAST_MS: u64 = 3_000;
/// Of three marks in a row the outer ones are at least so far apart.
const STEP_MS: u64 = 1_000;
/// What executors call what a score task does with its images.
const STAGE: &str = "score";

/// The images of a job, while some of them are still to be scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Scored, or of a task that has ended in another way, but for those that were cancelled.
    pub done: u64,
    /// None: not all of its data is listed yet.
    pub total: Option<u64>,
    /// Over the last minute, by all workers together; 0: none was scored, or nothing of the job runs.
    pub images_per_s: f64,
    /// Until all are scored, at this rate; none where that is not known, or a model is still to be trained.
    pub left_ms: Option<u64>,
}

/// What the job's tasks say of its images, counted as they change: a walk over 100,000 tasks takes milliseconds, and whoever
/// follows a job asks five times a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Images {
    /// Of score tasks that have ended and were not cancelled.
    done: u64,
    /// Of score tasks that have not ended.
    open: u64,
    /// Of all score tasks.
    total: u64,
    /// Tasks that may still tell of images.
    listing: u64,
    /// Tasks without which nothing is scored.
    fitting: u64,
}

impl Images {
    /// A task is in this state.
    pub fn add(&mut self, spec: &TaskSpec, state: TaskState) {
        self.count(spec, state, |number, by| *number += by);
    }

    /// A task is not in this state any more.
    pub fn sub(&mut self, spec: &TaskSpec, state: TaskState) {
        self.count(spec, state, |number, by| *number -= by);
    }

    fn count(&mut self, spec: &TaskSpec, state: TaskState, change: impl Fn(&mut u64, u64)) {
        let is_open = !state.is_terminal();
        match spec {
            TaskSpec::Score { count, .. } => {
                change(&mut self.total, *count);
                match state {
                    TaskState::Cancelled => {}
                    _ if is_open => change(&mut self.open, *count),
                    _ => change(&mut self.done, *count),
                }
            }
            TaskSpec::List { .. } => change(&mut self.listing, is_open.into()),
            TaskSpec::Fit { .. } => change(&mut self.fitting, is_open.into()),
            _ => {}
        }
    }
}

/// Images that were scored, with marks of how many there were when.
#[derive(Debug, Default)]
pub(crate) struct Speed {
    images: u64,
    /// Time on the monotonic clock and images until then, oldest first.
    marks: VecDeque<(u64, u64)>,
}

impl Speed {
    /// So many more, or none to begin with.
    pub fn count(&mut self, images: u64, now_ms: u64) {
        self.images += images;
        let before_last = self.marks.iter().nth_back(1).map(|(at_ms, _)| *at_ms);
        if before_last.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < STEP_MS) {
            self.marks.pop_back();
        }
        self.marks.push_back((now_ms, self.images));
        let oldest_ms = now_ms.saturating_sub(WINDOW_MS);
        while self
            .marks
            .front()
            .is_some_and(|(at_ms, _)| *at_ms < oldest_ms)
        {
            self.marks.pop_front();
        }
    }

    fn images_per_s(&self, now_ms: u64) -> f64 {
        let oldest_ms = now_ms.saturating_sub(WINDOW_MS);
        let mut marks = self.marks.iter();
        let Some((at_ms, images)) = marks.find(|(at_ms, _)| *at_ms >= oldest_ms) else {
            return 0.0;
        };
        let over_ms = now_ms.saturating_sub(*at_ms);
        if over_ms < LEAST_MS {
            return 0.0;
        }
        // Both are far below 2^53.
        (self.images - images) as f64 * 1_000.0 / over_ms as f64
    }
}

impl Held {
    /// Images that it has scored since the heartbeat before; none while it does something else.
    pub fn more_images(&mut self, progress: &Progress) -> Option<u64> {
        if progress.stage != STAGE {
            return None;
        }
        let before = self.images.unwrap_or(progress.done);
        self.images = Some(progress.done.max(before));
        Some(progress.done.saturating_sub(before))
    }
}

impl Job {
    /// Whether its speed says something of the time to come. Between two tasks of a worker nothing runs for a moment.
    fn gets_on(&self, now_ms: u64) -> bool {
        let is_recent = |at_ms: &u64| now_ms.saturating_sub(*at_ms) < LEAST_MS;
        let is_between = self.paused_until_ms.is_none() && self.completed.values().any(is_recent);
        self.progress.stop.is_none() && (self.counts.of(TaskState::Running) > 0 || is_between)
    }
}

impl Core {
    /// None: nothing of the job is to be scored, now or any more.
    pub fn pace(&self, id: &JobId, now: Now) -> Option<Pace> {
        let job = self.job(id)?;
        let Images {
            done,
            open,
            total,
            listing,
            fitting,
        } = job.images;
        let is_listed = listing == 0;
        if open == 0 {
            return None;
        }
        let done = done + self.scored_by_running(job);
        let images_per_s = match job.gets_on(now.mono_ms) {
            true => job.speed.images_per_s(now.mono_ms),
            false => 0.0,
        };
        let left = total.saturating_sub(done) as f64 / images_per_s;
        // At most the age of the universe: a rate above 0 is no less than one image a minute.
        let left_ms = (is_listed && fitting == 0 && images_per_s > 0.0)
            .then(|| (left * 1_000.0).round() as u64);
        Some(Pace {
            done,
            total: is_listed.then_some(total),
            images_per_s,
            left_ms,
        })
    }

    fn scored_by_running(&self, job: &Job) -> u64 {
        let of_job = self
            .held
            .iter()
            .filter(|(_, held)| held.job == job.row.number);
        let running = of_job.filter(|(lease, _)| {
            let attempt = self.attempts.get(lease);
            let task = attempt.and_then(|attempt| job.task(attempt.task));
            task.is_some_and(|task| {
                task.spec.kind() == TaskKind::Score && task.state == TaskState::Running
            })
        });
        running.filter_map(|(_, held)| held.images).sum()
    }

    /// An attempt is accepted: its task's images, as far as no heartbeat has told of them.
    pub(crate) fn count_images(
        &mut self,
        number: JobNumber,
        index: TaskIndex,
        lease: LeaseNumber,
        now: Now,
    ) {
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        if let Some(TaskSpec::Score { count, .. }) = job.task(index).map(|task| &task.spec) {
            let told = self.held.get(&lease).and_then(|held| held.images);
            let untold = told.map_or(0, |told| count.saturating_sub(told));
            job.speed.count(untold, now.mono_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_minute() {
        let mut speed = Speed::default();
        assert_eq!(speed.images_per_s(0), 0.0);
        speed.count(0, 1_000);
        // Ten a second, told twice a second; nothing is said before there is something to say.
        for at_ms in (1_500..=121_000).step_by(500) {
            speed.count(5, at_ms);
            let rate = speed.images_per_s(at_ms);
            assert!(rate == 0.0 || (rate - 10.0).abs() < 1e-9, "{at_ms}: {rate}");
            assert_eq!(rate > 0.0, at_ms >= 4_000, "{at_ms}");
        }
        assert!(speed.marks.len() <= 122, "{}", speed.marks.len());
        // It stands still, and is forgotten.
        assert!((speed.images_per_s(151_000) - 5.0).abs() < 0.2);
        assert_eq!(speed.images_per_s(182_000), 0.0);
        // It goes on after a pause: only what is new counts.
        speed.count(0, 600_000);
        speed.count(100, 610_000);
        assert!((speed.images_per_s(610_000) - 10.0).abs() < 1e-9);
    }
}

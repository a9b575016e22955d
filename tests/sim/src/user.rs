//! Users: submit, cancel, retry, submit again under the same key; each asks until it is answered, and sometimes once more.

use coordinator_core::{Outcome, Reply, Submit};
use job::resolved::DeviceChoice;
use types::{JobId, JobState, TaskIndex, TaskKind};

use crate::{
    invariants::{About, Check},
    store::part,
    workload,
    world::{Item, MakeEvent, Who, World},
};

#[derive(Debug, Default)]
pub struct Users {
    pub requests: Vec<Request>,
    pub submits: Vec<Submit>,
}

#[derive(Debug)]
pub struct Request {
    make: MakeEvent,
    about: About,
    pub answer: Option<Reply>,
    again: bool,
}

impl Users {
    pub fn are_done(&self) -> bool {
        self.requests.iter().all(|request| request.answer.is_some())
    }
}

impl World {
    pub fn plan_users(&mut self) {
        let jobs = self.chance.between(1, 3);
        for number in 0..jobs {
            let key = self.chance.hits(0.5).then(|| format!("key{number}"));
            let mut submit = workload::draw(&mut self.chance, number, key.clone());
            if self.chance.hits(0.3) {
                // What at least one machine has.
                let place = self.chance.between(0, self.machines.len() as u64 - 1) as usize;
                let knows_all = self.machines[place].kinds.len() == TaskKind::ALL.len();
                let machine = &self.machines[if knows_all { place } else { 0 }];
                let engine = *self.chance.pick(&["auto", "openvino", "onnxruntime"]);
                let has = machine.engines.iter().any(|has| has == engine);
                let engine = if has { engine } else { "auto" };
                let own = match machine.devices.are_gpus() {
                    true => DeviceChoice::Gpu,
                    false => DeviceChoice::Cpu,
                };
                let device = *self.chance.pick(&[DeviceChoice::Auto, own]);
                let memory_bytes = self.chance.between(1, machine.memory_bytes >> 30) << 30;
                let labels = machine.labels.clone();
                workload::need(&mut submit, engine, device, &labels, memory_bytes);
            }
            let (id, runs) = (submit.id.clone(), submit.plan.runs.len() as u32);
            let at = self.chance.between(100, 60_000);
            self.user_asks(
                at,
                MakeEvent::Submit(Box::new(submit.clone())),
                About::Request(submit.request.clone()),
            );
            self.users.submits.push(submit.clone());
            if key.is_some() && self.chance.hits(0.5) {
                let again = Submit {
                    request: format!("again-{number}").parse().expect("a name"),
                    id: format!("other{number}").parse().expect("an id"),
                    ..submit
                };
                let after = at + self.chance.between(0, 200_000);
                self.user_asks(
                    after,
                    MakeEvent::Submit(Box::new(again.clone())),
                    About::Request(again.request.clone()),
                );
                self.users.submits.push(again);
            }
            if self.chance.hits(0.3) {
                let request: types::RequestId = format!("cancel-{number}").parse().expect("a name");
                let after = at + self.chance.between(0, 150_000);
                self.user_asks(
                    after,
                    MakeEvent::Cancel(request.clone(), id.clone()),
                    About::Request(request),
                );
            }
            if self.chance.hits(0.2) {
                let machines = self.machines.len() as u64;
                let machine = self.chance.between(0, machines.saturating_sub(1)) as usize;
                let worker = self.machines[machine].name.clone();
                let after = self.chance.between(0, 200_000);
                self.user_asks(after, MakeEvent::Drain(worker), About::Nothing);
            }
            if self.chance.hits(0.2) {
                let machines = self.machines.len() as u64;
                let machine = self.chance.between(0, machines.saturating_sub(1)) as usize;
                let worker = self.machines[machine].name.clone();
                let after = self.chance.between(0, 200_000);
                self.user_asks(after, MakeEvent::ReleaseWorker(worker), About::Nothing);
            }
            if self.chance.hits(0.4) {
                let request: types::RequestId = format!("retry-{number}").parse().expect("a name");
                let after = at + self.chance.between(0, 250_000);
                self.user_asks(
                    after,
                    MakeEvent::Retry(request.clone(), id.clone()),
                    About::Request(request),
                );
            }
            if self.chance.hits(0.5) {
                self.plan_thresholds(number, &id, runs, at);
            }
            if self.chance.hits(0.3) {
                // When nobody says again that the job is to be: its id would be free.
                let after = at + self.chance.between(250_000, 600_000);
                let request: types::RequestId = format!("delete-{number}").parse().expect("a name");
                self.user_asks(
                    after,
                    MakeEvent::Delete(request.clone(), id.clone()),
                    About::Request(request),
                );
            }
        }
    }

    /// New thresholds, some of them early enough to meet faults; sometimes somebody cancels, or retries meanwhile.
    fn plan_thresholds(&mut self, number: u64, id: &JobId, runs: u32, at: u64) {
        for time in 0..self.chance.between(1, 4) {
            let after = at + self.chance.between(0, 400_000);
            let (named, new) = workload::draw_threshold(&mut self.chance, runs);
            let name = |what: &str| -> types::RequestId {
                let name = format!("{what}-{number}-{time}");
                name.parse().expect("a name")
            };
            let request = name("threshold");
            self.user_asks(
                after,
                MakeEvent::Rethreshold(request.clone(), id.clone(), named, new),
                About::Request(request),
            );
            let request = name("meanwhile");
            let make = match self.chance.between(0, 9) {
                0 | 1 => MakeEvent::Cancel(request.clone(), id.clone()),
                2 => MakeEvent::Retry(request.clone(), id.clone()),
                _ => continue,
            };
            let after = after + self.chance.between(0, 3_000);
            self.user_asks(after, make, About::Request(request));
        }
    }

    /// A user will ask this, until there is an answer; the request's place.
    pub fn user_asks(&mut self, after_ms: u64, make: MakeEvent, about: About) -> usize {
        let place = self.users.requests.len();
        let again = self.chance.hits(0.3);
        self.users.requests.push(Request {
            make,
            about,
            answer: None,
            again,
        });
        self.at(after_ms, Item::User { place });
        place
    }

    pub fn user_sends(&mut self, place: usize) {
        let request = &self.users.requests[place];
        let (make, about) = (Box::new(request.make.clone()), request.about.clone());
        if request.answer.is_none() {
            self.at(6_000, Item::User { place });
        }
        if !self.chance.hits(self.faults.lose_request) {
            let after = self.network_delay();
            self.at(
                after,
                Item::Arrive {
                    who: Who::User { place },
                    make,
                    about,
                },
            );
        }
    }

    pub fn user_hears(&mut self, place: usize, reply: Reply) {
        self.note(|| format!("user {place} hears {reply:?}"));
        let request = &mut self.users.requests[place];
        request.answer.get_or_insert(reply);
        if std::mem::take(&mut request.again) {
            let after = self.chance.between(10, 60_000);
            self.at(after, Item::User { place });
        }
    }

    pub fn state_of(&self, job: &JobId) -> Option<JobState> {
        Some(self.coordinator.core.as_ref()?.job_view(job)?.state)
    }

    /// I9 and I15: each sample is in one accepted part, and the results are those of a run without faults.
    pub fn results_equal_the_fault_free_run(&self) -> Check {
        let Some(core) = &self.coordinator.core else {
            return Ok(());
        };
        for submit in &self.users.submits {
            let Some(job) = core.job_view(&submit.id) else {
                continue;
            };
            if job.state != JobState::Succeeded {
                continue;
            }
            let chunks = submit.resolved.runs.first().map_or(0, |run| run.seed);
            let is_search = submit.resolved.search.is_some();
            // Trials that failed are results, too; then the search is another one.
            if is_search && self.anything_failed_for_good(&submit.id) {
                continue;
            }
            let runs = job.runs as usize;
            self.each_sample_is_scored_once(&submit.id, runs, workload::samples(chunks))?;
            let reduce = TaskIndex(submit.plan.tasks.len() as u32 - 1);
            let accepted = self
                .disk
                .rows
                .tasks
                .get(&(submit.id.clone(), reduce))
                .and_then(|task| task.accepted);
            let Some(attempt) = accepted.and_then(|lease| self.disk.rows.attempts.get(&lease))
            else {
                return Err(format!("I15: job {} succeeded without a reduce", submit.id));
            };
            self.store.named_objects_exist()?;
            let found = self
                .assignments
                .get(&attempt.lease)
                .and_then(|assignment| self.store.get(&part(&assignment.prefix)));
            let thresholds = self.disk.rows.rethresholds.get(&submit.id);
            let thresholds = thresholds.map(|row| row.thresholds.clone());
            let thresholds = thresholds.unwrap_or_default();
            let expected = match is_search {
                true => workload::expected_search(submit, chunks),
                false => workload::expected_reduce(&submit.plan, chunks, &thresholds),
            };
            if found != Some(expected) {
                return Err(format!(
                    "I15: job {} has other results than without faults",
                    submit.id
                ));
            }
            if job.results_generation == 0 {
                return Err(format!(
                    "I15: job {} succeeded, but published nothing",
                    submit.id
                ));
            }
        }
        Ok(())
    }

    /// Whether a task of the job ended without success, whatever became of it after a retry.
    fn anything_failed_for_good(&self, job: &JobId) -> bool {
        let failed = |row: &coordinator_core::TaskRow| {
            row.generation > 0
                || (row.state.is_terminal() && row.state != types::TaskState::Succeeded)
        };
        let mut rows = self.disk.rows.tasks.iter();
        rows.any(|((of, _), row)| of == job && failed(row))
    }

    fn each_sample_is_scored_once(&self, job: &JobId, runs: usize, samples: u64) -> Check {
        let Some(core) = &self.coordinator.core else {
            return Ok(());
        };
        let views = core.task_views(job, self.now()).unwrap_or_default();
        for run in 0..runs as u32 {
            let mut parts: Vec<(u64, u64)> = Vec::new();
            for task in views.iter().filter(|t| t.run == Some(run)) {
                let accepted = task
                    .attempts
                    .iter()
                    .filter(|a| a.row.outcome == Outcome::Accepted)
                    .count();
                if let plan::TaskSpec::Score { first, count, .. } = task.spec {
                    parts.extend(std::iter::repeat_n((*first, *count), accepted));
                }
            }
            parts.sort();
            let end = parts.iter().try_fold(0, |next, (first, count)| {
                (next == *first).then_some(first + count)
            });
            if end != Some(samples) {
                return Err(format!(
                    "I9: run {run} of job {job} has parts {parts:?} for {samples} samples"
                ));
            }
        }
        Ok(())
    }
}

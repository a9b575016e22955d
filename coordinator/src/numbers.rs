//! What monitoring reads of the coordinator: that it commits, and how many there are of what.

use std::time::Duration;

use coordinator_core::{Census, Core, Now, Outcome, Pool};
use monitoring::{Histogram, Kind, Metrics, Watched};
use tokio::time::timeout;
use types::FailureClass;

use crate::handle::Handle;

/// A loop that has not answered for so long commits nothing: its disk hangs, or it is overwhelmed.
const ANSWER: Duration = Duration::from_secs(2);

impl Watched for Handle {
    /// Whoever hears this is served. A loop that ends, ends the process.
    fn healthy(&self) -> Result<(), String> {
        Ok(())
    }

    async fn ready(&self) -> Result<(), String> {
        look(self, |_, _| ()).await
    }

    async fn metrics(&self) -> Result<Metrics, String> {
        let census = look(self, |core, now| core.census(now)).await?;
        let mut metrics = render(&census, self.commit_times());
        metrics.family(
            "refused_calls_total",
            Kind::Counter,
            "Calls from the network that were refused: for their token, or because one connection made too many.",
            self.refusals()
                .numbers()
                .map(|(reason, number)| ([("reason", reason.to_owned())], number)),
        );
        Ok(metrics)
    }
}

async fn look<T: Send + 'static>(
    handle: &Handle,
    at: impl FnOnce(&Core, Now) -> T + Send + 'static,
) -> Result<T, String> {
    match timeout(ANSWER, handle.query(at)).await {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(ended)) => Err(ended.to_string()),
        Err(_) => Err(format!(
            "the state was not written for {} s: is its disk full or slow?",
            ANSWER.as_secs()
        )),
    }
}

fn render(census: &Census, commit_times: &Histogram) -> Metrics {
    let mut metrics = Metrics::default();
    let jobs = census.jobs.iter();
    metrics.family(
        "jobs",
        Kind::Gauge,
        "Jobs by state.",
        jobs.map(|(state, &n)| ([("state", state.to_string())], n)),
    );
    let in_pool = |pool: &types::PoolName, state: &str| {
        [("pool", pool.to_string()), ("state", state.to_owned())]
    };
    let tasks = census.pools.iter().flat_map(|(pool, found)| {
        let tasks = found.tasks.iter();
        tasks.map(move |(state, &n)| (in_pool(pool, state.as_str()), n))
    });
    metrics.family(
        "tasks",
        Kind::Gauge,
        "Tasks by the pool that they want and their state.",
        tasks,
    );
    let workers = census.pools.iter().flat_map(|(pool, found)| {
        let workers = found.workers.iter();
        workers.map(move |(state, &n)| (in_pool(pool, state), n))
    });
    metrics.family(
        "workers",
        Kind::Gauge,
        "Workers by pool and state.",
        workers,
    );
    let of_pool = |number: fn(&Pool) -> u64| {
        let pools = census.pools.iter();
        pools.map(move |(pool, found)| ([("pool", pool.to_string())], number(found)))
    };
    metrics.family(
        "slots",
        Kind::Gauge,
        "Tasks that the live workers of a pool do at a time.",
        of_pool(|pool| pool.slots),
    );
    metrics.family(
        "backlog_seconds",
        Kind::Gauge,
        "What the tasks that run or may run are expected to take one slot.",
        of_pool(|pool| pool.backlog.work_ms.div_ceil(1_000)),
    );
    metrics.family(
        "oldest_task_seconds",
        Kind::Gauge,
        "For how long the task that has waited longest could have been running.",
        of_pool(|pool| pool.backlog.oldest_ms / 1_000),
    );
    let current = "Leases that are current.";
    metrics.number("leases", Kind::Gauge, current, census.leases);
    // Each from 0 on: of a number that was not there before, no growth is seen.
    let outcomes = [Outcome::Accepted, Outcome::Superseded, Outcome::Cancelled];
    let failed = FailureClass::ALL.into_iter().map(Outcome::Failed);
    metrics.family(
        "attempts_total",
        Kind::Counter,
        "Attempts that have ended, by outcome.",
        outcomes.into_iter().chain(failed).map(|outcome| {
            let ended = census.ended.outcomes.get(outcome.as_str());
            let label = ("outcome", outcome.as_str().to_owned());
            ([label], ended.copied().unwrap_or(0))
        }),
    );
    let images = "Images of accepted score tasks, each once a run.";
    metrics.number(
        "scored_images_total",
        Kind::Counter,
        images,
        census.ended.images,
    );
    let swept =
        "Attempts that were not accepted and whose objects were deleted after the retention.";
    metrics.number(
        "swept_attempts_total",
        Kind::Counter,
        swept,
        census.ended.swept,
    );
    let objects = "Objects of theirs that were deleted.";
    metrics.number(
        "swept_objects_total",
        Kind::Counter,
        objects,
        census.ended.swept_objects,
    );
    let outboxes = [("store", census.objects), ("webhook", census.notices)];
    let to = |receiver: &str| [("to", receiver.to_owned())];
    metrics.family(
        "outbox",
        Kind::Gauge,
        "Objects that the stores, and notices that the webhook, have not taken yet.",
        outboxes.map(|(receiver, found)| (to(receiver), found.waiting)),
    );
    metrics.family(
        "outbox_refused",
        Kind::Gauge,
        "Those of them that were refused at least once.",
        outboxes.map(|(receiver, found)| (to(receiver), found.refused)),
    );
    let commits = "How long the commits of batches of changes to the database took.";
    metrics.times("commit_seconds", commits, commit_times);
    metrics
}

#[cfg(test)]
mod tests {
    use coordinator_core::Backlog;
    use types::{JobState, TaskState};

    use super::*;

    #[test]
    fn each_number_stands_in_its_family() {
        let mut census = Census::default();
        census.jobs.insert(JobState::Running, 2);
        census.ended.outcomes.insert("lost", 3);
        (census.ended.swept, census.ended.swept_objects) = (2, 9);
        census.ended.images = 512;
        (census.objects.waiting, census.objects.refused) = (2, 1);
        census.notices.waiting = 3;
        let pool = Pool {
            tasks: [(TaskState::Ready, 7)].into(),
            workers: [("live", 1)].into(),
            slots: 4,
            backlog: Backlog {
                work_ms: 61_001,
                oldest_ms: 5_999,
            },
        };
        census.pools.insert("cpu".parse().unwrap(), pool);
        let text = render(&census, &Histogram::default()).text();
        for line in [
            "nightshift_jobs{state=\"running\"} 2",
            "nightshift_tasks{pool=\"cpu\",state=\"ready\"} 7",
            "nightshift_workers{pool=\"cpu\",state=\"live\"} 1",
            "nightshift_slots{pool=\"cpu\"} 4",
            "nightshift_attempts_total{outcome=\"lost\"} 3",
            "nightshift_attempts_total{outcome=\"crashed\"} 0",
            "nightshift_swept_attempts_total 2",
            "nightshift_swept_objects_total 9",
            "nightshift_outbox{to=\"store\"} 2",
            "nightshift_outbox_refused{to=\"store\"} 1",
            "nightshift_outbox{to=\"webhook\"} 3",
            "nightshift_outbox_refused{to=\"webhook\"} 0",
            "nightshift_backlog_seconds{pool=\"cpu\"} 62",
            "nightshift_oldest_task_seconds{pool=\"cpu\"} 5",
            "nightshift_scored_images_total 512",
            "nightshift_commit_seconds_count 0",
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "{line} is not in\n{text}"
            );
        }
    }
}

//! What monitoring reads of the coordinator: that it commits, and how many there are of what.

use std::time::Duration;

use coordinator_core::Census;
use monitoring::{Kind, Metrics, Watched};
use tokio::time::timeout;

use crate::handle::Handle;

/// A loop that has not answered for so long commits nothing: its disk hangs, or it is overwhelmed.
const ANSWER: Duration = Duration::from_secs(2);

impl Watched for Handle {
    /// Whoever hears this is served. A loop that ends, ends the process.
    fn healthy(&self) -> Result<(), String> {
        Ok(())
    }

    async fn ready(&self) -> Result<(), String> {
        census(self).await.map(drop)
    }

    async fn metrics(&self) -> Result<Metrics, String> {
        Ok(render(&census(self).await?))
    }
}

async fn census(handle: &Handle) -> Result<Census, String> {
    match timeout(ANSWER, handle.query(|core, _| core.census())).await {
        Ok(Ok(census)) => Ok(census),
        Ok(Err(ended)) => Err(ended.to_string()),
        Err(_) => Err(format!(
            "the state was not written for {} s: is its disk full or slow?",
            ANSWER.as_secs()
        )),
    }
}

fn render(census: &Census) -> Metrics {
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
    let pools = census.pools.iter();
    metrics.family(
        "slots",
        Kind::Gauge,
        "Tasks that the live workers of a pool do at a time.",
        pools.map(|(pool, found)| ([("pool", pool.to_string())], found.slots)),
    );
    let current = "Leases that are current.";
    metrics.number("leases", Kind::Gauge, current, census.leases);
    let attempts = census.ended.outcomes.iter();
    metrics.family(
        "attempts_total",
        Kind::Counter,
        "Attempts that have ended, by outcome.",
        attempts.map(|(outcome, &n)| ([("outcome", (*outcome).to_owned())], n)),
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
    let waiting = "Objects that the stores, and notices that the webhook, have not taken yet.";
    metrics.number("outbox", Kind::Gauge, waiting, census.outbox);
    let refused = "Those of them that were refused at least once.";
    metrics.number("outbox_refused", Kind::Gauge, refused, census.refused);
    metrics
}

#[cfg(test)]
mod tests {
    use coordinator_core::Pool;
    use types::{JobState, TaskState};

    use super::*;

    #[test]
    fn each_number_stands_in_its_family() {
        let mut census = Census::default();
        census.jobs.insert(JobState::Running, 2);
        census.ended.outcomes.insert("lost", 3);
        (census.ended.swept, census.ended.swept_objects) = (2, 9);
        let pool = Pool {
            tasks: [(TaskState::Ready, 7)].into(),
            workers: [("live", 1)].into(),
            slots: 4,
        };
        census.pools.insert("cpu".parse().unwrap(), pool);
        let text = render(&census).text();
        for line in [
            "nightshift_jobs{state=\"running\"} 2",
            "nightshift_tasks{pool=\"cpu\",state=\"ready\"} 7",
            "nightshift_workers{pool=\"cpu\",state=\"live\"} 1",
            "nightshift_slots{pool=\"cpu\"} 4",
            "nightshift_attempts_total{outcome=\"lost\"} 3",
            "nightshift_swept_attempts_total 2",
            "nightshift_swept_objects_total 9",
            "nightshift_outbox 0",
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "{line} is not in\n{text}"
            );
        }
    }
}

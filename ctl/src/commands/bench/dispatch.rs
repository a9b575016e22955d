//! `ctl bench dispatch`: empty tasks by way of real workers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;
use tokio::time::sleep;
use types::JobId;

use super::Folder;
use super::empty::EmptyJob;
use super::figures::{Spread, Usage, round};
use super::stamps::{self, Micros, OfJob};
use super::stand::{LOOK, Stand};
use crate::output::Table;
use crate::{Common, Error};

/// Tasks that each executor does before anything is measured.
const WARM_UP: u64 = 20;

#[derive(clap::Args)]
pub struct Args {
    /// Tasks of the job whose tasks a second are measured, and of the one that makes the load
    #[arg(long, value_name = "N", default_value_t = 4_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    tasks: u64,
    /// Jobs whose waits are measured, one after the other; each has four tasks that wait for each other
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    jobs: u32,
    /// Worker processes
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    workers: u32,
    /// Executor processes of each worker
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    slots: u32,
    /// Wake workers over this RabbitMQ, through a queue that stays there: `nightshift.v1.bench`. The password is
    /// NIGHTSHIFT_BROKER_PASSWORD
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    #[command(flatten)]
    folder: Folder,
    /// Where the tasks' objects go, in a new folder below it [default: beside the state]. In memory (/dev/shm) it is the
    /// dispatch alone that is measured, its state on disk all the same
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// A job with the moment when it was sent.
struct Sent {
    id: JobId,
    at: Micros,
}

struct Measured {
    tasks: u64,
    seconds: f64,
    idle: Spread,
    loaded: Spread,
    /// The coordinator's, while it dispatched the measured job.
    cpu_s: f64,
    peak_mib: f64,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let mut stand = Stand::open(
        common,
        &args.folder,
        args.store.as_deref(),
        args.broker.as_deref(),
    )
    .await?;
    let measured = measure(&mut stand, &args).await;
    stand.close(measured.is_err()).await?;
    let measured = measured?;
    let rate = measured.tasks as f64 / measured.seconds;
    let queue = if args.broker.is_some() {
        "rabbitmq"
    } else {
        "embedded"
    };
    let cpu_us = measured.cpu_s * 1e6 / measured.tasks as f64;
    let value = json!({
        "queue": queue,
        "workers": args.workers,
        "slots": args.slots,
        "tasks": measured.tasks,
        "seconds": round(measured.seconds),
        "tasks_per_s": round(rate),
        "idle_ms": measured.idle.value(),
        "loaded_ms": measured.loaded.value(),
        "coordinator": {"cpu_us_per_task": round(cpu_us), "peak_mib": round(measured.peak_mib)},
    });
    common.output.print(&value, || {
        let mut table = Table::new(&[
            "queue",
            ">tasks",
            ">tasks/s",
            ">idle p50",
            ">p99",
            ">loaded p50",
            ">p99",
            ">coordinator CPU/task",
            ">memory",
        ]);
        let ms = |time: Option<f64>| time.map_or("-".to_owned(), |time| format!("{time:.1} ms"));
        table.row([
            queue.to_owned(),
            measured.tasks.to_string(),
            format!("{rate:.0}"),
            ms(measured.idle.at(0.5)),
            ms(measured.idle.at(0.99)),
            ms(measured.loaded.at(0.5)),
            ms(measured.loaded.at(0.99)),
            format!("{cpu_us:.0} us"),
            format!("{:.0} MiB", measured.peak_mib),
        ]);
        table.render()
    })
}

async fn measure(stand: &mut Stand, args: &Args) -> Result<Measured, Error> {
    stand.bring_workers(args.workers, args.slots).await?;
    let executors = u64::from(args.workers) * u64::from(args.slots);
    let warm_up = send(stand, &EmptyJob::of(executors * WARM_UP)).await?;
    stand.wait(warm_up.id.as_str()).await?;

    let mut idle = Vec::new();
    for _ in 0..args.jobs {
        let job = send(stand, &EmptyJob::chain()).await?;
        stand.wait(job.id.as_str()).await?;
        idle.push(job);
    }

    let job = EmptyJob::of(args.tasks);
    let before = stand.coordinator_usage()?;
    let large = send(stand, &job).await?;
    stand.wait(large.id.as_str()).await?;
    let after = stand.coordinator_usage()?;

    let loaded = under_load(stand, &job, args.jobs).await?;
    let (stamps, repeated) = stamps::read(&stand.stamps()).map_err(|source| Error::Read {
        path: stand.stamps(),
        source,
    })?;
    if repeated > 0 {
        return Err(Error::cannot_run(format!(
            "{repeated} tasks were begun more than once: this machine is too busy to be measured"
        )));
    }
    let of_large = of_job(&stamps, &large, job.tasks())?;
    Ok(Measured {
        tasks: job.tasks(),
        seconds: seconds(&large, of_large),
        idle: waits(&stamps, &idle)?,
        loaded: waits(&stamps, &loaded)?,
        cpu_s: Usage::cpu_between(before, after),
        peak_mib: after.peak_mib,
    })
}

/// Jobs that were sent while another one had every executor busy.
async fn under_load(stand: &mut Stand, load: &EmptyJob, jobs: u32) -> Result<Vec<Sent>, Error> {
    let mut sent: Vec<Sent> = Vec::new();
    while sent.len() < jobs as usize {
        let before = sent.len();
        let load = send(stand, load).await?;
        // Everything else of it waits for its first task.
        while stand.ready_tasks(load.id.as_str()).await? == Some(0) {
            sleep(LOOK).await;
        }
        while sent.len() < jobs as usize {
            let job = send(stand, &EmptyJob::chain()).await?;
            stand.wait(job.id.as_str()).await?;
            // For the last one there was no load any more, or not all the time.
            if stand.ready_tasks(load.id.as_str()).await?.unwrap_or(0) == 0 {
                break;
            }
            sent.push(job);
        }
        stand.wait(load.id.as_str()).await?;
        if sent.len() == before {
            return Err(Error::Usage(
                "the load is over before a job beside it is: ask for more --tasks".to_owned(),
            ));
        }
    }
    Ok(sent)
}

async fn send(stand: &mut Stand, job: &EmptyJob) -> Result<Sent, Error> {
    let at = stamps::now();
    let id = stand.submit(job).await?;
    let id = id
        .parse()
        .map_err(|error: types::ParseIdError| Error::cannot_run(error.to_string()))?;
    Ok(Sent { id, at })
}

/// The job's stamps: all of them, or the measurement is none.
fn of_job<'a>(
    stamps: &'a BTreeMap<JobId, OfJob>,
    job: &Sent,
    tasks: u64,
) -> Result<&'a OfJob, Error> {
    stamps
        .get(&job.id)
        .filter(|found| found.len() as u64 == tasks)
        .ok_or_else(|| {
            let found = stamps.get(&job.id).map_or(0, BTreeMap::len);
            Error::cannot_run(format!(
                "job {} has {found} tasks that were begun, and should have {tasks}",
                job.id
            ))
        })
}

/// From the job's submission to the begin of its last task.
fn seconds(job: &Sent, stamps: &OfJob) -> f64 {
    let last = stamps.values().map(|stamp| stamp.begun).max();
    last.unwrap_or(job.at).saturating_sub(job.at) as f64 / 1e6
}

/// How long each task of these chains waited.
fn waits(stamps: &BTreeMap<JobId, OfJob>, jobs: &[Sent]) -> Result<Spread, Error> {
    let mut times = Vec::new();
    for job in jobs {
        let mut before = job.at;
        for stamp in of_job(stamps, job, EmptyJob::chain().tasks())?.values() {
            times.push(stamp.begun.saturating_sub(before) as f64 / 1e3);
            before = stamp.done;
        }
    }
    Ok(Spread::of(times))
}

#[cfg(test)]
mod tests {
    use types::TaskIndex;

    use super::stamps::Stamp;
    use super::*;

    fn sent(at: Micros) -> Sent {
        Sent {
            id: "abcd1234".parse().unwrap(),
            at,
        }
    }

    fn chain(times: [(Micros, Micros); 4]) -> BTreeMap<JobId, OfJob> {
        let stamps = times.map(|(begun, done)| Stamp { begun, done });
        BTreeMap::from([(sent(0).id, (0..4).map(TaskIndex).zip(stamps).collect())])
    }

    #[test]
    fn a_wait_is_from_the_end_of_the_task_before() {
        let stamps = chain([
            (2_000, 3_000),
            (7_000, 8_000),
            (9_000, 9_500),
            (10_000, 10_000),
        ]);
        let spread = waits(&stamps, &[sent(1_000)]).unwrap();
        assert_eq!(
            (spread.at(0.5), spread.at(0.75), spread.at(1.0)),
            (Some(1.0), Some(1.0), Some(4.0))
        );
        assert_eq!(seconds(&sent(1_000), &stamps[&sent(0).id]), 0.009);
    }

    #[test]
    fn a_job_with_missing_tasks_is_no_measurement() {
        let mut stamps = chain([(1, 2), (3, 4), (5, 6), (7, 8)]);
        stamps.get_mut(&sent(0).id).unwrap().pop_last();
        assert!(waits(&stamps, &[sent(0)]).is_err());
        assert!(waits(&BTreeMap::new(), &[sent(0)]).is_err());
    }
}

//! `ctl bench coordinator`: a large job with a coordinator alone; this command plays all of its workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use plan::{Assignment, TaskSpec};
use proto::v1::{ClaimRequest, CompleteRequest, RegisterRequest};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::Stores;
use tokio::task::JoinSet;
use types::{OutputObject, TaskKind};

use super::Folder;
use super::empty::{self, EmptyJob};
use super::figures::{Spread, Usage, round};
use super::stand::Stand;
use crate::client::Client;
use crate::output::Table;
use crate::{Common, Error};

/// Tasks that are running when the coordinator is killed, if the job has so many.
const RUNNING: u64 = 1_000;
/// How long a claim may be held while others have what is left of the job.
const WAIT_MS: u64 = 100;

#[derive(clap::Args)]
pub struct Args {
    /// Tasks of the job
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    tasks: u64,
    /// Workers that claim and complete at the same time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=200))]
    workers: u32,
    #[command(flatten)]
    folder: Folder,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let mut stand = Stand::open(common, &args.folder, None, None).await?;
    let measured = measure(&mut stand, &args).await;
    stand.close(measured.is_err()).await?;
    let value = measured?;
    common.output.print(&value, || {
        let mut table = Table::new(&["what", ">value"]);
        let rows = [
            ("tasks", "tasks", ""),
            ("submit, all or nothing", "submit_ms", " ms"),
            ("accept the list that creates the tasks", "expand_ms", " ms"),
            ("claim, p50", "/claim_ms/p50", " ms"),
            ("claim, p99", "/claim_ms/p99", " ms"),
            ("restart with all tasks open", "restart_ms", " ms"),
            ("tasks/s, claimed and completed", "tasks_per_s", ""),
            ("CPU for each", "cpu_us_per_task", " us"),
            ("peak memory before the restart", "/peak_mib/open", " MiB"),
            ("peak memory until all were done", "/peak_mib/done", " MiB"),
        ];
        for (what, place, unit) in rows {
            let place = format!("/{}", place.trim_start_matches('/'));
            let number = value.pointer(&place).cloned().unwrap_or_default();
            table.row([what.to_owned(), format!("{number}{unit}")]);
        }
        table.render()
    })
}

async fn measure(stand: &mut Stand, args: &Args) -> Result<Value, Error> {
    let job = EmptyJob::of(args.tasks);
    let mut player = Player::register(stand.client.clone(), 0).await?;
    let begun = Instant::now();
    let id = stand.submit(&job).await?;
    let submit_ms = ms(begun);

    let list = player.granted().await?;
    let begun = Instant::now();
    player.complete(&list).await?;
    let expand_ms = ms(begun);
    // The fits come before the score tasks that wait for them.
    for _ in 0..job.runs() {
        let fit = player.granted().await?;
        player.complete(&fit).await?;
    }

    let mut running = Vec::new();
    let mut claims = Vec::new();
    for _ in 0..RUNNING.min(job.score_tasks()) {
        let begun = Instant::now();
        running.push(player.granted().await?);
        claims.push(ms(begun));
    }
    let open = stand.coordinator_usage()?;

    let restart = stand.restart_coordinator().await?;
    let tasks = stand.job(&id).await?.tasks.unwrap_or_default();
    if (tasks.ready, tasks.running)
        != (
            job.score_tasks() - running.len() as u64,
            running.len() as u64,
        )
    {
        return Err(Error::cannot_run(format!(
            "after its restart the coordinator has {} tasks ready and {} running, and should have {} and {}",
            tasks.ready,
            tasks.running,
            job.score_tasks() - running.len() as u64,
            running.len()
        )));
    }
    player.client = stand.client.clone();
    for assignment in &running {
        player.complete(assignment).await?;
    }

    let before = stand.coordinator_usage()?;
    let begun = Instant::now();
    let done = work_off(stand, &id, args.workers).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let after = stand.coordinator_usage()?;
    let claims = Spread::of(claims);
    Ok(json!({
        "tasks": job.tasks(),
        "submit_ms": round(submit_ms),
        "expand_ms": round(expand_ms),
        "claim_ms": claims.value(),
        "restart_ms": round(restart.as_secs_f64() * 1e3),
        "workers": args.workers,
        "tasks_per_s": round(done as f64 / seconds),
        "cpu_us_per_task": round(Usage::cpu_between(before, after) * 1e6 / done as f64),
        "peak_mib": {"open": round(open.peak_mib), "done": round(after.peak_mib)},
    }))
}

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

/// Claims and completes until the job has ended; how many tasks that were.
async fn work_off(stand: &mut Stand, id: &str, workers: u32) -> Result<u64, Error> {
    let (over, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut at_work = JoinSet::new();
    for number in 1..=workers {
        let (client, over, done) = (stand.client.clone(), over.clone(), done.clone());
        at_work.spawn(async move {
            let mut player = Player::register(client, number).await?;
            while !over.load(Ordering::Relaxed) {
                if let Some(assignment) = player.claim(WAIT_MS).await? {
                    player.complete(&assignment).await?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok::<_, Error>(())
        });
    }
    let ended = tokio::select! {
        ended = stand.wait(id) => ended.map(drop),
        // Whoever ends before the job does has failed.
        Some(failed) = at_work.join_next() => joined(failed),
    };
    over.store(true, Ordering::Relaxed);
    while let Some(worker) = at_work.join_next().await {
        if ended.is_ok() {
            joined(worker)?;
        }
    }
    ended.map(|()| done.load(Ordering::Relaxed))
}

fn joined(worker: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    worker.map_err(|panic| Error::cannot_run_because("a worker that was played", panic))?
}

/// A worker that does its tasks in no time.
struct Player {
    client: Client,
    name: String,
    claims: u64,
}

/// Each name starts once.
const INCARNATION: u64 = 1;

impl Player {
    async fn register(mut client: Client, number: u32) -> Result<Self, Error> {
        let name = format!("bench-{number}");
        let request = RegisterRequest {
            worker: name.clone(),
            incarnation: INCARNATION,
            pool: empty::POOL.to_owned(),
            slots: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engines: ["openvino", "onnxruntime", "torch-cpu"]
                .map(str::to_owned)
                .to_vec(),
            devices: Vec::new(),
            memory_bytes: 1 << 40,
            temporary: false,
            labels: Default::default(),
            kinds: TaskKind::ALL
                .iter()
                .map(|kind| kind.as_str().to_owned())
                .collect(),
        };
        client.register(request).await?;
        Ok(Self {
            client,
            name,
            claims: 0,
        })
    }

    async fn claim(&mut self, wait_ms: u64) -> Result<Option<Assignment>, Error> {
        self.claims += 1;
        let request = ClaimRequest {
            worker: self.name.clone(),
            incarnation: INCARNATION,
            claim_id: format!("{}-{}", self.name, self.claims),
            free_slots: 1,
            wait_ms,
            wake_up: None,
        };
        let reply = self.client.claim(request).await?.into_inner();
        if reply.assignment_json.is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&reply.assignment_json)
            .map(Some)
            .map_err(|source| Error::cannot_run_because("cannot read an assignment", source))
    }

    /// A claim that there must be a task for.
    async fn granted(&mut self) -> Result<Assignment, Error> {
        self.claim(0).await?.ok_or_else(|| {
            Error::cannot_run("the coordinator granted nothing although tasks must be ready")
        })
    }

    async fn complete(&mut self, assignment: &Assignment) -> Result<(), Error> {
        let wrong = |source| Error::cannot_run_because("cannot write a result", source);
        let result = empty::result(assignment, 0.001).map_err(Error::cannot_run)?;
        if assignment.spec == TaskSpec::Reduce {
            // The one object that is read: the coordinator publishes it.
            let store = Stores::default().create(&assignment.store)?;
            let path = format!("{}/{}", assignment.prefix, empty::OBJECT);
            store.put(&path, empty::CONTENT.to_vec().into()).await?;
        }
        let outputs = [OutputObject {
            path: empty::OBJECT.to_owned(),
            size: empty::CONTENT.len() as u64,
            sha256: Sha256::digest(empty::CONTENT)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            rows: None,
        }];
        let request = CompleteRequest {
            worker: self.name.clone(),
            incarnation: INCARNATION,
            lease: assignment.lease.0,
            result_json: serde_json::to_string(&result).map_err(wrong)?,
            outputs_json: serde_json::to_string(&outputs).map_err(wrong)?,
        };
        let reply = self.client.complete(request).await?.into_inner();
        match reply.verdict() {
            proto::v1::complete_reply::Verdict::Accepted => Ok(()),
            other => Err(Error::cannot_run(format!(
                "the coordinator did not accept task {}: {other:?}",
                assignment.task
            ))),
        }
    }
}

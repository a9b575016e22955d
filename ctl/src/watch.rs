//! Follows a job to its end: progress, interruption, and going on when the coordinator goes away.

use std::future::Future;
use std::time::Duration;

use proto::Place;
use proto::v1::{CancelRequest, DrainRequest, Job, JobSnapshot, ListWorkersRequest, WatchRequest};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tonic::Streaming;
use types::JobState;

use crate::cluster::{Cluster, WorkerOptions};
use crate::progress::Display;
use crate::{Error, client};

/// Between looks at this command's own programs.
const LOOK: Duration = Duration::from_millis(250);
/// How long a cancelled job may take to wind down: the attempts' grace and some.
const CANCEL_LIMIT: Duration = Duration::from_secs(30);
/// Coordinators of this machine lost in a row, without a snapshot between them, before giving up.
const MAX_LOSSES: u32 = 3;
/// How long one on the network may be away: it is being restarted, or the network is.
const AWAY_LIMIT: Duration = Duration::from_secs(300);
/// Between two tries to reach it, at first and at most.
const PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(5);

pub struct Follow<'a> {
    pub place: &'a Place,
    pub job: String,
    /// The worker to bring along where no other serves the pool.
    pub worker: WorkerOptions,
    /// What to type to go on after an interruption.
    pub resume: String,
    /// What to type for what the command makes of the job's results, where the job alone leaves less: it begins another one.
    pub anew: Option<String>,
}

impl Follow<'_> {
    fn how_to_go_on(&self) -> String {
        let go_on = format!("go on with `{}`", self.resume);
        match &self.anew {
            None => go_on,
            Some(anew) => format!("{go_on}, or begin anew with `{anew}`"),
        }
    }
}

/// What the user asked for with Ctrl-C so far.
enum Interruption {
    None,
    Draining,
    Cancelling(Instant),
}

/// What a user sends to end a command; caught from the moment that this is made.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub fn listen() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind)
                .map_err(|source| Error::cannot_run_because("cannot listen to signals", source))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Does what can be left at any point: an interrupt ends it with this hint.
    pub async fn or<T>(
        &mut self,
        hint: &str,
        action: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            result = action => result,
            () = self.any() => Err(Error::Interrupted { hint: hint.to_owned() }),
        }
    }
}

/// Coordinators lost since the last snapshot.
#[derive(Default)]
struct Losses {
    count: u32,
    since: Option<Instant>,
}

impl Losses {
    /// How long to wait before the next try; `None` to give up.
    fn another(&mut self, place: &Place) -> Option<Duration> {
        self.count += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        match place {
            Place::State(_) => (self.count <= MAX_LOSSES).then_some(PAUSE * self.count),
            Place::Remote(_) => (since.elapsed() < AWAY_LIMIT)
                .then(|| MAX_PAUSE.min(PAUSE * (1 << (self.count - 1).min(10)))),
        }
    }
}

/// Returns the job at its end; an interruption is an error that says how to go on.
pub async fn follow(
    cluster: &mut Cluster,
    follow: &Follow<'_>,
    signals: &mut Signals,
) -> Result<Job, Error> {
    let mut display = Display::new();
    let mut interruption = Interruption::None;
    let mut losses = Losses::default();
    let result = loop {
        let opening = tokio::select! {
            opening = open_stream(cluster, follow) => opening,
            () = signals.any() => break Err(interrupted(follow)),
        };
        let ended = match opening {
            Ok(mut stream) => {
                follow_stream(
                    cluster,
                    follow,
                    &mut stream,
                    signals,
                    &mut display,
                    &mut interruption,
                    &mut losses,
                )
                .await
            }
            Err(error) => Err(error),
        };
        let lost = match ended {
            Err(Error::Unreachable { what, source }) => (what, source),
            other => break other,
        };
        let Some(pause) = losses.another(follow.place) else {
            let (what, source) = lost;
            let what = format!("{what}; {}", follow.how_to_go_on());
            break Err(Error::Unreachable { what, source });
        };
        if losses.count == 1 || matches!(follow.place, Place::State(_)) {
            let why = cluster.fallen().map_or(lost.0, |error| error.to_string());
            let what_next = match follow.place {
                Place::State(_) => "starting another one, the job goes on",
                Place::Remote(_) => "connecting again",
            };
            display.note(&format!("{why}; {what_next}"));
        }
        let opened = tokio::select! {
            opened = async {
                sleep(pause).await;
                cluster.reopen().await
            } => opened,
            () = signals.any() => break Err(interrupted(follow)),
        };
        match opened {
            Ok(()) => {}
            // The next try says so, or finds it again.
            Err(Error::Unreachable { .. }) => {}
            Err(error) => break Err(error),
        }
    };
    display.finish();
    result
}

/// Of a job that has a worker: one that was there before may have ended with its coordinator.
async fn open_stream(
    cluster: &mut Cluster,
    follow: &Follow<'_>,
) -> Result<Streaming<JobSnapshot>, Error> {
    cluster.ensure_worker(&follow.worker).await?;
    Ok(cluster
        .client
        .watch(WatchRequest {
            job: follow.job.clone(),
        })
        .await?
        .into_inner())
}

async fn follow_stream(
    cluster: &mut Cluster,
    follow: &Follow<'_>,
    stream: &mut Streaming<JobSnapshot>,
    signals: &mut Signals,
    display: &mut Display,
    interruption: &mut Interruption,
    losses: &mut Losses,
) -> Result<Job, Error> {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = stream.message() => {
                let Some(snapshot) = message? else {
                    return Err(Error::Unreachable { what: "the coordinator went away".to_owned(), source: None });
                };
                *losses = Losses::default();
                display.update(&snapshot);
                if let Some(job) = snapshot.job.filter(|job| is_terminal(&job.state)) {
                    return match interruption {
                        Interruption::Cancelling(_) => Err(interrupted(follow)),
                        _ => Ok(job),
                    };
                }
            }
            _ = signals.interrupt.recv() => {
                if !interrupt(cluster, follow, display, interruption).await? {
                    return Err(interrupted(follow));
                }
            }
            _ = signals.terminate.recv() => return Err(interrupted(follow)),
            _ = look.tick() => {
                if let Some(error) = cluster.fallen() {
                    return Err(Error::Unreachable { what: error.to_string(), source: None });
                }
                match interruption {
                    Interruption::Draining if is_drained(cluster).await? => return Err(interrupted(follow)),
                    Interruption::Cancelling(since) if since.elapsed() > CANCEL_LIMIT => return Err(interrupted(follow)),
                    // Joined somebody else's coordinator: their worker may have left.
                    Interruption::None if !cluster.is_private() => {
                        cluster.ensure_worker(&follow.worker).await?;
                    }
                    _ => {}
                }
            }
        }
    }
}

/// One Ctrl-C. False: leave now.
async fn interrupt(
    cluster: &mut Cluster,
    follow: &Follow<'_>,
    display: &Display,
    interruption: &mut Interruption,
) -> Result<bool, Error> {
    match interruption {
        Interruption::None => {
            let Some(worker) = cluster.worker_name().map(str::to_owned) else {
                display.note("leaving; the job goes on with the worker that has it");
                return Ok(false);
            };
            display.note("draining: what runs is finished, nothing new is begun; Ctrl-C again cancels the job");
            cluster.client.drain(DrainRequest { worker }).await?;
            *interruption = Interruption::Draining;
            Ok(true)
        }
        Interruption::Draining => {
            display.note("cancelling the job");
            cluster
                .client
                .cancel(CancelRequest {
                    request_id: client::request_id()?,
                    job: follow.job.clone(),
                })
                .await?;
            *interruption = Interruption::Cancelling(Instant::now());
            Ok(true)
        }
        Interruption::Cancelling(_) => Ok(false),
    }
}

/// True when this command's worker has nothing left to do.
async fn is_drained(cluster: &mut Cluster) -> Result<bool, Error> {
    let Some(name) = cluster.worker_name().map(str::to_owned) else {
        return Ok(true);
    };
    let reply = cluster
        .client
        .list_workers(ListWorkersRequest {})
        .await?
        .into_inner();
    Ok(reply
        .workers
        .iter()
        .find(|worker| worker.name == name)
        .is_none_or(|worker| worker.busy == 0))
}

fn interrupted(follow: &Follow<'_>) -> Error {
    Error::Interrupted {
        hint: format!("job {} is kept: {}", follow.job, follow.how_to_go_on()),
    }
}

pub fn is_terminal(state: &str) -> bool {
    JobState::parse(state).is_some_and(JobState::is_terminal)
}

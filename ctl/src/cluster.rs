//! A coordinator to talk to: a remote one, the one that listens in the state folder, or a private one for this command's life.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::Place;
use proto::v1::ListWorkersRequest;
use spans::Spans;
use store::Stores;
use tokio::time::{Instant, sleep};

use crate::client::{self, Client};
use crate::private::Program;
use crate::{Error, output};

/// How long a coordinator may take from its start to its socket: it reads its database first.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long a worker may take to register.
const WORKER_LIMIT: Duration = Duration::from_secs(10);
/// Exit code of a coordinator that cannot run here: above all, because another one has the state folder.
const STATE_IN_USE: i32 = 6;
/// A worker that was not heard for so long was killed: it beats every second, and says when it ends.
const SILENCE_LIMIT_MS: i64 = 10_000;
/// Coordinators started by one command before it gives up: others may be faster as often as scripts of short commands run beside it.
const MAX_STARTS: u32 = 20;
const POLL: Duration = Duration::from_millis(10);
/// Private programs wake each other, whatever the settings of this machine's other programs say.
const NO_BROKER: [&str; 2] = ["--broker", "none"];

/// The worker that a command brings along.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    pub pool: String,
    pub slots: u32,
}

/// Coordinators of other commands that end one after the other before that is an error.
const MAX_LOSSES: u32 = 3;

pub struct Cluster {
    pub client: Client,
    /// That this command can read itself.
    pub stores: Stores,
    /// On from the first span on; told to the collector when this is closed.
    pub spans: Spans,
    config: Option<PathBuf>,
    place: Place,
    coordinator: Option<Program>,
    worker: Option<PrivateWorker>,
}

struct PrivateWorker {
    name: String,
    program: Program,
}

impl Cluster {
    /// Joins the coordinator of that place; starts a private one in a state folder where nobody listens.
    pub async fn open(place: &Place, config: Option<&Path>) -> Result<Self, Error> {
        let stores = Stores::read_for_user(config)?;
        let joined = |client, coordinator| Self {
            client,
            stores,
            spans: Spans::default(),
            config: config.map(Path::to_owned),
            place: place.clone(),
            coordinator,
            worker: None,
        };
        let state = match place {
            Place::State(state) => state,
            Place::Remote(_) => return Ok(joined(proto::connect(place).await?, None)),
        };
        if let Some(client) = client::connect(place).await? {
            return Ok(joined(client, None));
        }
        create_private(state)?;
        let mut own = Program::start("coordinator", state, config, &NO_BROKER)?;
        let deadline = Instant::now() + START_LIMIT;
        let mut starts = 1;
        loop {
            if let Some(client) = client::connect(place).await? {
                // Of two commands started together, one coordinator gets the lock; the other ends.
                let coordinator = own.status().is_none().then_some(own);
                return Ok(joined(client, coordinator));
            }
            if let Some(status) = own.status() {
                let fallen = own.error(&format!("ended ({status})"));
                if status.code() != Some(STATE_IN_USE) || starts == MAX_STARTS {
                    return Err(fallen);
                }
                // Somebody else's has the folder: it is about to listen, or on its way out.
                while lock_is_held(state) && client::connect(place).await?.is_none() {
                    if Instant::now() >= deadline {
                        return Err(fallen);
                    }
                    sleep(POLL).await;
                }
                if client::connect(place).await?.is_none() {
                    starts += 1;
                    own = Program::start("coordinator", state, config, &NO_BROKER)?;
                }
                continue;
            }
            if Instant::now() >= deadline {
                let limit = START_LIMIT.as_secs();
                return Err(own.error(&format!("did not begin to listen within {limit} s")));
            }
            sleep(POLL).await;
        }
    }

    /// Opens, and brings a worker where none is.
    pub async fn open_with_worker(
        place: &Place,
        config: Option<&Path>,
        worker: &WorkerOptions,
    ) -> Result<Self, Error> {
        let mut cluster = Self::open(place, config).await?;
        let brought = cluster.insist(async |cluster| cluster.ensure_worker(worker).await);
        match brought.await {
            Ok(()) => Ok(cluster),
            Err(error) => {
                cluster.close().await;
                Err(error)
            }
        }
    }

    /// Does something that may be done twice, but for what it prints; once more if another command's coordinator ended with its command.
    pub async fn insist<T>(
        &mut self,
        action: impl AsyncFn(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut losses = 0;
        loop {
            match action(self).await {
                Err(error)
                    if error.may_be_reopened(&self.place)
                        && losses < MAX_LOSSES
                        && !output::has_printed() =>
                {
                    losses += 1;
                    self.reopen().await?;
                }
                other => return other,
            }
        }
    }

    /// Joins the coordinator that is there now, or starts one. The own worker stays and finds it by itself: what it computes
    /// is not lost.
    pub async fn reopen(&mut self) -> Result<(), Error> {
        // Ended first: a coordinator on its way out would only be lost once more.
        if let Some(mut coordinator) = self.coordinator.take() {
            coordinator.stop().await;
        }
        let opened = Self::open(&self.place, self.config.as_deref()).await?;
        self.client = opened.client;
        self.coordinator = opened.coordinator;
        let ended = |worker: &mut PrivateWorker| worker.program.status().is_some();
        if self.worker.as_mut().is_some_and(ended) {
            self.worker = None;
        }
        Ok(())
    }

    /// True if the coordinator is this command's own.
    pub fn is_private(&self) -> bool {
        self.coordinator.is_some()
    }

    /// Starts a worker unless a live one serves the pool already. With a coordinator that this command has just
    /// started it brings its own: whoever else lives there serves a command that is about to end.
    pub async fn ensure_worker(&mut self, options: &WorkerOptions) -> Result<(), Error> {
        let Place::State(state) = self.place.clone() else {
            // Who runs a coordinator on the network runs its workers, too.
            return Ok(());
        };
        let now = output::now_ms();
        if self.worker.is_some()
            || (!self.is_private()
                && self
                    .has_worker(|worker| {
                        worker.pool == options.pool
                            && now.saturating_sub(worker.last_seen_ms) < SILENCE_LIMIT_MS
                    })
                    .await?)
        {
            return Ok(());
        }
        // With a coordinator of its own, a command is the only one here, and its worker follows that of the last one:
        // a new start under a known name frees at once what the one before it held.
        let name = if self.is_private() {
            format!("ctl-{}", options.pool)
        } else {
            format!("ctl-{}-{}", options.pool, std::process::id())
        };
        let slots = options.slots.to_string();
        let own = ["--name", &name, "--pool", &options.pool, "--slots", &slots];
        let arguments = [&NO_BROKER[..], &own].concat();
        let mut program = Program::start("worker", &state, self.config.as_deref(), &arguments)?;
        let deadline = Instant::now() + WORKER_LIMIT;
        while !self.has_worker(|worker| worker.name == name).await? {
            if let Some(error) = program.fallen() {
                return Err(error);
            }
            if Instant::now() >= deadline {
                let limit = WORKER_LIMIT.as_secs();
                return Err(program.error(&format!("did not register within {limit} s")));
            }
            sleep(POLL).await;
        }
        self.worker = Some(PrivateWorker { name, program });
        Ok(())
    }

    async fn has_worker(
        &mut self,
        wanted: impl Fn(&proto::v1::Worker) -> bool,
    ) -> Result<bool, Error> {
        let reply = self
            .client
            .list_workers(ListWorkersRequest {})
            .await?
            .into_inner();
        Ok(reply
            .workers
            .iter()
            .any(|worker| worker.state == "live" && wanted(worker)))
    }

    /// Name of this command's own worker.
    pub fn worker_name(&self) -> Option<&str> {
        self.worker.as_ref().map(|worker| worker.name.as_str())
    }

    /// What ended of this command's own programs, if one did.
    pub fn fallen(&mut self) -> Option<Error> {
        let worker = self.worker.as_mut().map(|worker| &mut worker.program);
        let mut own = worker.into_iter().chain(self.coordinator.as_mut());
        own.find_map(Program::fallen)
    }

    /// Ends what is this command's own, the worker first.
    pub async fn close(&mut self) {
        self.spans.flush().await;
        if let Some(mut worker) = self.worker.take() {
            worker.program.stop().await;
        }
        if let Some(mut coordinator) = self.coordinator.take() {
            coordinator.stop().await;
        }
    }
}

/// Whether another coordinator holds the state folder.
fn lock_is_held(state: &Path) -> bool {
    let Ok(file) = File::open(state.join("lock")) else {
        return false;
    };
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) {
        Ok(()) => false,
        Err(error) => error == rustix::io::Errno::WOULDBLOCK,
    }
}

/// The state folder, readable by its owner alone.
pub fn create_private(state: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state)
        .map_err(|source| Error::Write {
            path: state.to_owned(),
            source,
        })
}

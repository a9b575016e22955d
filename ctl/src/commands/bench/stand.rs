//! The programs of a measurement: a coordinator, and workers whose executors do nothing, in a folder that goes with them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::Place;
use proto::v1::{GetJobRequest, Job, ListJobsRequest, ListWorkersRequest, SubmitRequest};
use tokio::time::{Instant, sleep};

use super::Folder;
use super::empty::{EmptyJob, POOL};
use super::figures::Usage;
use crate::client::{self, Client};
use crate::cluster::create_private;
use crate::private::Program;
use crate::watch::is_terminal;
use crate::{Common, Error, places};

/// How long a program may take from its start until it can be used.
const START_LIMIT: Duration = Duration::from_secs(60);
/// What the programs write down: a line for each task, that none of the peers writes, would be measured, too.
const LOG: [&str; 2] = ["--log", "warn"];
/// Between two looks at whether something has come about.
pub const LOOK: Duration = Duration::from_millis(25);

pub struct Stand {
    pub client: Client,
    folder: PathBuf,
    store: PathBuf,
    config: Option<PathBuf>,
    broker: String,
    coordinator: Program,
    workers: Vec<Program>,
}

impl Stand {
    pub async fn open(
        common: &Common,
        folder: &Folder,
        store: Option<&Path>,
        broker: Option<&str>,
    ) -> Result<Self, Error> {
        let own = |base: &Path| -> Result<PathBuf, Error> {
            let base = std::path::absolute(base).map_err(|source| Error::Read {
                path: base.to_owned(),
                source,
            })?;
            let own = base.join(format!("bench-{}", std::process::id()));
            create_private(&own)?;
            Ok(own)
        };
        let folder = match &folder.folder {
            Some(folder) => own(folder)?,
            None => own(&places::state_folder(common)?)?,
        };
        let store = store.map_or_else(|| Ok(folder.clone()), own)?;
        let config = common.config().map(Path::to_owned);
        let broker = broker.unwrap_or("none").to_owned();
        let (coordinator, client) = start_coordinator(&folder, config.as_deref(), &broker).await?;
        Ok(Self {
            client,
            folder,
            store: store.join("results"),
            config,
            broker,
            coordinator,
            workers: Vec::new(),
        })
    }

    /// What the executors append their stamps to.
    pub fn stamps(&self) -> PathBuf {
        self.folder.join("stamps")
    }

    /// Starts workers and waits until all of them are there.
    pub async fn bring_workers(&mut self, workers: u32, slots: u32) -> Result<(), Error> {
        let executor = self.executor()?;
        let executor = executor.display().to_string();
        for number in 0..workers {
            let (name, slots) = (format!("bench-{number}"), slots.to_string());
            let own = ["--name", &name, "--pool", POOL, "--slots", &slots];
            let kind = ["--executor", &executor, "--engines", "openvino"];
            let broker = ["--broker", &self.broker];
            let arguments = [&own[..], &kind, &broker, &LOG].concat();
            let config = self.config.as_deref();
            self.workers
                .push(Program::start("worker", &self.folder, config, &arguments)?);
        }
        let deadline = Instant::now() + START_LIMIT;
        loop {
            self.check()?;
            let reply = self.client.list_workers(ListWorkersRequest {}).await?;
            let there = reply.into_inner().workers;
            let live = there.iter().filter(|worker| worker.state == "live").count();
            if live == self.workers.len() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::cannot_run(format!(
                    "{live} of {workers} workers registered within {} s; see worker.log in {}",
                    START_LIMIT.as_secs(),
                    self.folder.display()
                )));
            }
            sleep(LOOK).await;
        }
    }

    /// A program that is started without arguments, as executors are.
    fn executor(&self) -> Result<PathBuf, Error> {
        let path = self.folder.join("executor");
        let failed = |source| Error::Write {
            path: path.clone(),
            source,
        };
        let quoted =
            |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
        let script = format!(
            "#!/bin/sh\nexec {} bench executor --stamps {}\n",
            quoted(&places::program("ctl")?),
            quoted(&self.stamps())
        );
        fs::write(&path, script).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        Ok(path)
    }

    pub fn coordinator_usage(&self) -> Result<Usage, Error> {
        let failed =
            |source| Error::cannot_run_because("cannot see what the coordinator uses", source);
        let pid = self.coordinator.pid().ok_or_else(|| {
            Error::cannot_run("the coordinator has ended in the middle of the measurement")
        })?;
        Usage::of(pid).map_err(failed)
    }

    /// Kills the coordinator and starts it again; how long it takes from its start to its first answer.
    pub async fn restart_coordinator(&mut self) -> Result<Duration, Error> {
        let failed = |source| Error::cannot_run_because("cannot kill the coordinator", source);
        self.coordinator.kill().await.map_err(failed)?;
        let begun = Instant::now();
        (self.coordinator, self.client) =
            start_coordinator(&self.folder, self.config.as_deref(), &self.broker).await?;
        Ok(begun.elapsed())
    }

    /// The id of the new job.
    pub async fn submit(&mut self, job: &EmptyJob) -> Result<String, Error> {
        let text = job.text(&self.store);
        let context = job::ReadContext {
            current_dir: &self.folder,
            now: job::Timestamp::UNIX_EPOCH,
        };
        let reading =
            job::read(&text, "bench", &[], &context).map_err(|errors| Error::InvalidFile {
                lines: errors.iter().map(ToString::to_string).collect(),
            })?;
        let request = SubmitRequest {
            request_id: client::request_id()?,
            key: String::new(),
            resolved_json: reading.job.to_json(),
            source_yaml: text,
        };
        Ok(self.client.submit(request).await?.into_inner().job)
    }

    /// The job as it stands.
    pub async fn job(&mut self, id: &str) -> Result<Job, Error> {
        self.check()?;
        let job = id.to_owned();
        Ok(self
            .client
            .get_job(GetJobRequest { job })
            .await?
            .into_inner())
    }

    /// Tasks of the job that could be granted now; nothing once it has ended.
    pub async fn ready_tasks(&mut self, id: &str) -> Result<Option<u64>, Error> {
        let job = self.job(id).await?;
        let ready = job.tasks.map_or(0, |tasks| tasks.ready);
        Ok((!is_terminal(&job.state)).then_some(ready))
    }

    /// Waits for the job's end, which must be success.
    pub async fn wait(&mut self, id: &str) -> Result<Job, Error> {
        loop {
            let job = self.job(id).await?;
            if is_terminal(&job.state) {
                return if job.state == "succeeded" {
                    Ok(job)
                } else {
                    Err(Error::cannot_run(format!(
                        "the measured job {}: {}; the logs are in {}",
                        job.state,
                        job.failures.join("; "),
                        self.folder.display()
                    )))
                };
            }
            sleep(LOOK).await;
        }
    }

    /// An error if one of the programs has ended.
    fn check(&mut self) -> Result<(), Error> {
        let mut all = [&mut self.coordinator].into_iter().chain(&mut self.workers);
        all.find_map(Program::fallen).map_or(Ok(()), Err)
    }

    /// Ends the programs and removes what they left; after a failure it stays, to be looked at.
    pub async fn close(mut self, failed: bool) -> Result<(), Error> {
        // All at once: each waits for its executors.
        self.workers.iter_mut().for_each(Program::dismiss);
        for worker in &mut self.workers {
            worker.stop().await;
        }
        self.coordinator.stop().await;
        if failed {
            return Ok(());
        }
        // The store's own folder, which may be the state's.
        let of_store = self.store.parent().filter(|own| *own != self.folder);
        for folder in of_store.into_iter().chain([self.folder.as_path()]) {
            remove(folder).map_err(|source| Error::Write {
                path: folder.to_owned(),
                source,
            })?;
        }
        Ok(())
    }
}

/// Removes the folder. Some file systems skip entries of a large folder that shrinks while it is read: tried again.
fn remove(folder: &Path) -> io::Result<()> {
    for _ in 0..3 {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            other => return other,
        }
    }
    fs::remove_dir_all(folder)
}

/// Starts it and waits for its first answer.
async fn start_coordinator(
    folder: &Path,
    config: Option<&Path>,
    broker: &str,
) -> Result<(Program, Client), Error> {
    let arguments = [&["--broker", broker], &LOG[..]].concat();
    let mut program = Program::start("coordinator", folder, config, &arguments)?;
    let place = Place::State(folder.to_owned());
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if let Some(mut client) = client::connect(&place).await? {
            client.list_jobs(ListJobsRequest {}).await?;
            return Ok((program, client));
        }
        if let Some(error) = program.fallen() {
            return Err(error);
        }
        if Instant::now() >= deadline {
            let limit = START_LIMIT.as_secs();
            return Err(program.error(&format!("did not begin to listen within {limit} s")));
        }
        sleep(LOOK).await;
    }
}

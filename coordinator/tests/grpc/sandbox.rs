//! A coordinator in a folder of its own, and the calls that the tests make.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    time::{Duration, Instant},
};

use plan::{Assignment, PublishedTable, ResultDetail, TaskResult};
use proto::v1::{self, complete_reply::Verdict};
use tempfile::TempDir;
use types::OutputObject;

pub use proto::Client;

/// Longer than anything here takes, shorter than a person waits.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Sandbox {
    pub state: TempDir,
    pub store: TempDir,
    /// With which it is started.
    pub arguments: Vec<String>,
    child: Option<Child>,
}

pub fn command(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
    command
        .arg("--state")
        .arg(state)
        .env_remove("NIGHTSHIFT_LOG");
    command
}

impl Sandbox {
    pub async fn start() -> Self {
        Self::start_with(Vec::new()).await
    }

    pub async fn start_with(arguments: Vec<String>) -> Self {
        let mut sandbox = Self {
            state: tempfile::tempdir().unwrap(),
            store: tempfile::tempdir().unwrap(),
            arguments,
            child: None,
        };
        sandbox.start_again().await;
        sandbox
    }

    pub async fn start_again(&mut self) {
        let mut log = fs::File::options();
        let log = log.create(true).append(true).open(self.log()).unwrap();
        let child = command(self.state.path())
            .args(&self.arguments)
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        self.client().await;
    }

    fn log(&self) -> PathBuf {
        self.state.path().join("stderr")
    }

    /// Waits until it has said this on standard error.
    pub async fn wait_for_word(&self, word: &str) {
        let start = Instant::now();
        while !fs::read_to_string(self.log()).unwrap().contains(word) {
            assert!(start.elapsed() < PATIENCE, "never said {word:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// As a power cut would: nothing is said and nothing is flushed.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn wait_for_exit(&mut self) -> Option<i32> {
        wait_for_exit(self.child.as_mut().unwrap())
    }

    pub async fn client(&self) -> Client {
        let start = Instant::now();
        loop {
            match proto::connect(&proto::Place::State(self.state.path().to_owned())).await {
                Ok(client) => return client,
                Err(error) => assert!(start.elapsed() < PATIENCE, "nobody listens: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn store_uri(&self) -> String {
        format!("file://{}", self.store.path().display())
    }

    pub fn stored(&self, path: &str) -> PathBuf {
        self.store.path().join(path)
    }

    pub fn submission(&self, request: &str, key: &str) -> v1::SubmitRequest {
        v1::SubmitRequest {
            request_id: request.to_owned(),
            key: key.to_owned(),
            resolved_json: resolved(&self.store_uri(), 0).to_string(),
            source_yaml: "kind: train\nname: brick\n".to_owned(),
        }
    }

    pub async fn submit(&self, client: &mut Client, request: &str) -> String {
        client
            .submit(self.submission(request, ""))
            .await
            .unwrap()
            .into_inner()
            .job
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn wait_for_exit(child: &mut Child) -> Option<i32> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the process did not end");
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A training of PaDiM on a folder of MVTec's layout.
pub fn resolved(store: &str, seed: u64) -> serde_json::Value {
    read(&format!(
        "kind: train\nname: brick\nmodel:\n  class_path: Padim\n  init_args: {{backbone: resnet18}}\n\
         data:\n  class_path: MVTec\n  init_args: {{root: /data/texture, category: brick}}\n\
         task: classification\nseed: {seed}\noutput: {store}\n"
    ))
}

/// What `ctl` would make of a job file.
pub fn read(yaml: &str) -> serde_json::Value {
    let context = job::ReadContext {
        current_dir: Path::new("/"),
        now: job::Timestamp::UNIX_EPOCH,
    };
    let reading = job::read(yaml, "job.yaml", &[], &context).unwrap();
    serde_json::from_str(&reading.job.to_json()).unwrap()
}

/// A worker without a computer: its answers are made up, its files are real.
pub struct Worker {
    pub client: Client,
    pub name: String,
    pub incarnation: u64,
    claims: u32,
}

impl Worker {
    pub async fn register(sandbox: &Sandbox, name: &str, incarnation: u64) -> Self {
        let mut client = sandbox.client().await;
        let request = v1::RegisterRequest {
            worker: name.to_owned(),
            incarnation,
            pool: "cpu".to_owned(),
            slots: 2,
            version: "0.1.0".to_owned(),
            engines: vec!["torch".to_owned()],
            memory_bytes: 8 << 30,
            ..v1::RegisterRequest::default()
        };
        let reply = client.register(request).await.unwrap().into_inner();
        assert!(reply.epoch > 0 && reply.heartbeat_ms < reply.lease_ttl_ms);
        Self {
            client,
            name: name.to_owned(),
            incarnation,
            claims: 0,
        }
    }

    pub fn claim_request(&mut self, wait_ms: u64) -> v1::ClaimRequest {
        self.claims += 1;
        v1::ClaimRequest {
            worker: self.name.clone(),
            incarnation: self.incarnation,
            claim_id: format!("{}-{}-{}", self.name, self.incarnation, self.claims),
            free_slots: 1,
            wake_up: None,
            wait_ms,
        }
    }

    /// The next task there is.
    pub async fn claim(&mut self) -> Assignment {
        let request = self.claim_request(20_000);
        let reply = self.client.claim(request).await.unwrap().into_inner();
        assert!(
            !reply.assignment_json.is_empty(),
            "nothing to do: {reply:?}"
        );
        serde_json::from_str(&reply.assignment_json).unwrap()
    }

    pub async fn heartbeat(&mut self, leases: &[u64]) -> v1::HeartbeatReply {
        let progress = v1::Progress {
            stage: "features".to_owned(),
            done: 3,
            total: 10,
            rate: 1.5,
        };
        self.tell(leases, &progress).await
    }

    /// A heartbeat that says this of each lease.
    pub async fn tell(&mut self, leases: &[u64], progress: &v1::Progress) -> v1::HeartbeatReply {
        let leases = leases
            .iter()
            .map(|&lease| v1::LeaseProgress {
                lease,
                progress: Some(progress.clone()),
            })
            .collect();
        let request = v1::HeartbeatRequest {
            worker: self.name.clone(),
            incarnation: self.incarnation,
            leases,
        };
        self.client.heartbeat(request).await.unwrap().into_inner()
    }

    pub fn completion(&self, assignment: &Assignment, store: &Path) -> v1::CompleteRequest {
        let (detail, files) = made_up(assignment);
        let folder = store.join(&assignment.prefix);
        let mut outputs = Vec::new();
        for path in files {
            let file = folder.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, path).unwrap();
            outputs.push(OutputObject {
                path: path.to_owned(),
                size: path.len() as u64,
                sha256: "00".repeat(32),
                rows: None,
            });
        }
        let result = TaskResult {
            detail,
            timings: Vec::new(),
            warnings: Vec::new(),
            reused: None,
        };
        v1::CompleteRequest {
            worker: self.name.clone(),
            incarnation: self.incarnation,
            lease: assignment.lease.0,
            result_json: serde_json::to_string(&result).unwrap(),
            outputs_json: serde_json::to_string(&outputs).unwrap(),
        }
    }

    pub async fn complete(&mut self, assignment: &Assignment, store: &Path) -> Verdict {
        let request = self.completion(assignment, store);
        self.client
            .complete(request)
            .await
            .unwrap()
            .into_inner()
            .verdict()
    }

    pub async fn fail(&mut self, assignment: &Assignment, class: &str, message: &str) {
        let request = v1::FailRequest {
            worker: self.name.clone(),
            incarnation: self.incarnation,
            lease: assignment.lease.0,
            class: class.to_owned(),
            message: message.to_owned(),
        };
        self.client.fail(request).await.unwrap();
    }

    /// Does everything there is until the job is through its last task.
    pub async fn work_through(&mut self, store: &Path) {
        loop {
            let assignment = self.claim().await;
            assert_eq!(
                self.complete(&assignment, store).await,
                Verdict::Accepted,
                "{:?}",
                assignment.spec
            );
            if matches!(assignment.spec, plan::TaskSpec::Reduce) {
                return;
            }
        }
    }
}

/// What an executor might have found, and the files it would have written.
fn made_up(assignment: &Assignment) -> (ResultDetail, Vec<&'static str>) {
    match assignment.spec {
        plan::TaskSpec::List { .. } => {
            let samples = "samples.parquet";
            (
                ResultDetail::List {
                    samples: samples.to_owned(),
                    train: 4,
                    scored: 300,
                    packages: Vec::new(),
                    licences: Vec::new(),
                    scored_before: None,
                },
                vec![samples],
            )
        }
        plan::TaskSpec::Fit { .. } => {
            let statistics = "statistics.safetensors";
            (
                ResultDetail::Fit {
                    statistics: statistics.to_owned(),
                    weights: None,
                },
                vec![statistics],
            )
        }
        plan::TaskSpec::Score { count, .. } => {
            let scores = "scores.parquet";
            (
                ResultDetail::Score {
                    scores: scores.to_owned(),
                    rows: count,
                    errors: 0,
                },
                vec![scores],
            )
        }
        plan::TaskSpec::Evaluate { .. } => {
            let package = "package/package.json";
            let detail = ResultDetail::Evaluate {
                metrics: Vec::new(),
                package: Some(package.to_owned()),
                rows: 300,
                errors: 0,
                anomalous: Some(7),
                index: None,
                merged: Vec::new(),
                certificate: None,
            };
            (detail, vec![package])
        }
        plan::TaskSpec::Reduce => {
            let table = PublishedTable {
                name: "metrics.parquet".to_owned(),
                path: "tables/metrics.parquet".to_owned(),
            };
            let detail = ResultDetail::Reduce {
                tables: vec![table],
                manifest: "manifest.parquet".to_owned(),
                index: None,
                merged: Vec::new(),
            };
            (detail, vec!["tables/metrics.parquet", "manifest.parquet"])
        }
        plan::TaskSpec::Export { .. } => panic!("no job of these tests exports"),
    }
}

/// The job once `wanted` holds.
pub async fn job_when(
    client: &mut Client,
    job: &str,
    wanted: impl Fn(&v1::Job) -> bool,
) -> v1::Job {
    let start = Instant::now();
    loop {
        let found = client
            .get_job(v1::GetJobRequest {
                job: job.to_owned(),
            })
            .await
            .unwrap()
            .into_inner();
        if wanted(&found) {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "still {found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

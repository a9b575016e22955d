//! A user's folder with data, job files, a state folder of its own, and `ctl` to type in it.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{Process, Signal, descendants, naming, until, within};

/// Far beyond what any job here takes, even if the machine is busy with something else.
pub const LIMIT: Duration = Duration::from_secs(90);
/// Programs end within seconds, and leave nothing running; more than they take on a machine that is busy.
pub const SOON: Duration = Duration::from_secs(15);

/// PaDiM with random weights on images of 64 x 64: a job of less than a second.
pub const JOB: &str = "\
kind: benchmark
name: tiny
model: {class_path: Padim, init_args: {backbone: resnet18, layers: [layer1, layer2], n_features: 8, pre_trained: false}}
data: {class_path: MVTec, init_args: {root: ./data, category: tiny, image_size: 64, val_split_mode: same_as_test}}
metrics: {image: [AUROC, F1Score], pixel: [AUROC, F1Score]}
task: segmentation
seed: 0
output: ./out
";

pub struct Sandbox {
    /// Before the folder: it is looked for what is left when they are gone.
    pub serving: Vec<Running>,
    home: Arc<Home>,
    bin: PathBuf,
    /// User that the programs run as, if not the test's own.
    pub user: Option<u32>,
    /// Variables that every program gets.
    environment: Vec<(String, String)>,
    started: AtomicU32,
    /// Somebody was told of the broker, if there is one: the programs that `ctl` starts by itself never are.
    uses_broker: AtomicBool,
}

/// The sandbox's folder. It goes when the sandbox and every program that the test has started in it are gone: then nothing
/// that serves it may be left running.
struct Home(TempDir);

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// A program that runs.
pub struct Running {
    child: Child,
    name: String,
    stdout: PathBuf,
    stderr: PathBuf,
    /// After the child: it is looked for what is left when the last one has gone.
    _home: Arc<Home>,
}

/// Where the programs are.
pub fn programs() -> PathBuf {
    let bin = std::env::var_os("NIGHTSHIFT_BIN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin"),
        PathBuf::from,
    );
    for program in ["ctl", "coordinator", "worker", "executor"] {
        assert!(
            bin.join(program).is_file(),
            "{program} is missing in {}: `make programs` builds it, NIGHTSHIFT_BIN names another folder",
            bin.display()
        );
    }
    bin.canonicalize().unwrap()
}

impl Sandbox {
    /// An empty folder. Directly below /tmp: the path of a socket must be short.
    pub fn new() -> Self {
        let mut folder = tempfile::Builder::new();
        folder.prefix("ns");
        Self {
            serving: Vec::new(),
            home: Arc::new(Home(folder.tempdir_in("/tmp").unwrap())),
            bin: programs(),
            user: None,
            environment: Vec::new(),
            started: AtomicU32::new(0),
            uses_broker: AtomicBool::new(false),
        }
    }

    /// With a data set in MVTec's layout and the file `job.yaml`.
    pub fn with_job(train: u32, test: u32) -> Self {
        let sandbox = Self::new();
        crate::images::mvtec(&sandbox.path("data/tiny"), train, test);
        sandbox.write("job.yaml", JOB);
        sandbox
    }

    /// Every program that is started from now on gets this variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// What programs get of this variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let mut set = self.environment.iter().rev();
        set.find(|(set, _)| set == name)
            .map(|(_, value)| value.as_str())
    }

    /// Builds a library for `LD_PRELOAD` from a source beside the tests; its path.
    pub fn preload(&self, source: &str) -> String {
        let library = self.path(source).with_extension("so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        library.display().to_string()
    }

    /// With other programs than those of the repository.
    pub fn use_programs(&mut self, bin: PathBuf) {
        self.bin = bin;
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.home.0.path().join(relative)
    }

    pub fn write(&self, relative: &str, text: &str) {
        fs::write(self.path(relative), text).unwrap();
    }

    /// One of the programs, with nothing of the caller's surroundings that would change what it does.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command
            .current_dir(self.home.0.path())
            .env("HOME", self.home.0.path())
            .env("NIGHTSHIFT_STATE", self.path("s"))
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("LD_LIBRARY_PATH")
            .env_remove("NIGHTSHIFT_NATIVE_DIR")
            .env_remove("NIGHTSHIFT_WEIGHTS")
            .env_remove("NIGHTSHIFT_CONFIG")
            .env_remove("NIGHTSHIFT_BROKER")
            .env_remove("CUDA_VISIBLE_DEVICES")
            .env_remove("CUDA_DEVICE_ORDER")
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .env_remove("TRACEPARENT")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        if let Some(user) = self.user {
            use std::os::unix::process::CommandExt;
            command.uid(user).gid(user);
        }
        command
    }

    pub fn start(&self, program: &str, arguments: &[&str]) -> Running {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        if program == "coordinator" || arguments.contains(&"--broker") {
            self.uses_broker.store(true, Ordering::Relaxed);
        }
        let (stdout, stderr) = (
            self.path(&format!("{number}.stdout")),
            self.path(&format!("{number}.stderr")),
        );
        let child = self
            .command(program)
            .args(arguments)
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Running {
            child,
            name: format!("{program} {}", arguments.join(" ")),
            stdout,
            stderr,
            _home: Arc::clone(&self.home),
        }
    }

    /// Runs `ctl` to its end.
    pub fn ctl(&self, arguments: &[&str]) -> Ended {
        self.start("ctl", arguments).wait(LIMIT)
    }

    /// What `ctl` says to programs.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.ctl(&[arguments, &["-o", "json"]].concat());
        ended.expect(0);
        serde_json::from_str(&ended.stdout).expect(&ended.stdout)
    }

    /// The tasks of the newest job, of one kind.
    pub fn tasks(&self, kind: &str) -> Vec<Value> {
        let tasks = self.json(&["get", "tasks", "last"]);
        tasks
            .as_array()
            .unwrap()
            .iter()
            .filter(|task| task["kind"] == kind)
            .cloned()
            .collect()
    }

    /// How the attempts of a kind of task ended, for the newest job.
    pub fn outcomes(&self, kind: &str) -> Vec<String> {
        self.tasks(kind)
            .iter()
            .flat_map(|task| task["attempts"].as_array().unwrap())
            .map(|attempt| attempt["outcome"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    pub fn job_ids(&self) -> Vec<String> {
        let jobs = self.json(&["get", "jobs"]);
        let id = |job: &Value| job["id"].as_str().unwrap().to_owned();
        jobs.as_array().unwrap().iter().map(id).collect()
    }

    /// Waits until a task of a kind is being computed.
    #[track_caller]
    pub fn wait_for_running(&self, kind: &str) {
        until(&format!("a running {kind} task"), LIMIT, || {
            // Before its coordinator listens there is nobody to ask.
            self.path("s/coordinator.sock").exists().then_some(())?;
            let ended = self.ctl(&["get", "tasks", "last", "-o", "json"]);
            let tasks: Value = serde_json::from_str(&ended.stdout).ok()?;
            let mut tasks = tasks.as_array()?.iter();
            tasks
                .any(|task| task["kind"] == kind && task["state"] == "running")
                .then_some(())
        });
    }

    /// One of the programs at work here, whoever started it.
    #[track_caller]
    pub fn program(&self, name: &str) -> Process {
        let folder = self.path("").display().to_string();
        until(&format!("a program {name}"), LIMIT, || {
            let mut programs = naming(&folder).into_iter();
            programs.find(|process| process.name == name)
        })
    }

    /// Nothing of a job that was refused is in its output folder.
    #[track_caller]
    pub fn expect_no_output(&self) {
        assert!(!self.path("out").exists(), "something was written to out/");
    }

    /// The output folder holds no results, no model and no file that is half written.
    #[track_caller]
    pub fn expect_nothing_half_written(&self) {
        for file in files(&self.path("out")) {
            let name = file.display().to_string();
            assert!(!name.contains("#") && !name.contains(".tmp"), "{name}");
            assert!(!name.contains("/models/"), "{name}");
        }
    }
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let is_used = self.broker().is_none() || self.uses_broker.load(Ordering::Relaxed);
        assert!(
            is_used || std::thread::panicking(),
            "a test on a broker that no program was told of"
        );
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let folder = self.0.path().display().to_string();
        let all_ended = || naming(&folder).is_empty().then_some(());
        // A test that failed may leave programs behind.
        if std::thread::panicking() || within(SOON, all_ended).is_none() {
            let left = naming(&folder);
            left.iter().for_each(|process| process.signal(Signal::KILL));
            assert!(std::thread::panicking(), "left running: {left:?}");
        }
    }
}

impl Running {
    pub fn process(&self) -> Process {
        Process::of(self.child.id()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        self.process().signal(signal);
    }

    pub fn programs(&self) -> Vec<Process> {
        descendants(self.child.id())
    }

    /// One of the programs that this one has started, at first hand or by another; no executor that only says what it has.
    #[track_caller]
    pub fn program(&self, name: &str) -> Process {
        until(&format!("a program {name}"), LIMIT, || {
            self.programs()
                .into_iter()
                .find(|process| process.name == name && !process.only_tells())
        })
    }

    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// Waits until it has said this on standard error.
    #[track_caller]
    pub fn wait_for_word(&mut self, word: &str) {
        until(
            &format!("{word:?} from {}:\n{}", self.name, self.stderr()),
            LIMIT,
            || {
                let said = self.stderr().contains(word);
                if !said && let Some(status) = self.child.try_wait().unwrap() {
                    assert!(
                        self.stderr().contains(word),
                        "{} ended ({status}) without {word:?}:\n{}",
                        self.name,
                        self.stderr()
                    );
                }
                said.then_some(())
            },
        );
    }

    /// Asks it to end, which it does as it should.
    #[track_caller]
    pub fn end(self) {
        self.signal(Signal::TERM);
        self.wait(SOON * 2).expect(0);
    }

    #[track_caller]
    pub fn wait(mut self, limit: Duration) -> Ended {
        let status = until(&format!("the end of {}", self.name), limit, || {
            self.child.try_wait().unwrap()
        });
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        Ended {
            status,
            stdout: read(&self.stdout),
            stderr: read(&self.stderr),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// It ended with this exit code.
    #[track_caller]
    pub fn expect(&self, code: i32) -> &Self {
        assert_eq!(
            self.status.code(),
            Some(code),
            "signal {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.status.signal(),
            self.stdout,
            self.stderr
        );
        self
    }

    /// Either of its outputs has each of these words.
    #[track_caller]
    pub fn tells(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(
                self.stderr.contains(word) || self.stdout.contains(word),
                "{word:?} is not in:\n{self:?}"
            );
        }
        self
    }

    /// Its standard error has all these words.
    #[track_caller]
    pub fn says(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(
                self.stderr.contains(word),
                "{word:?} is not in:\n{}",
                self.stderr
            );
        }
        self
    }
}

//! Command line and environment of the worker, merged once at start.

use std::{path::PathBuf, time::Duration};

use logging::LogSettings;
use types::{Devices, Labels, PoolName, WorkerName};

/// Claims tasks from the coordinator and runs executors for them.
///
/// SIGTERM drains: nothing more is claimed, what runs is finished within `--drain-timeout`, or handed back.
///
/// Exit codes: 0 ended when asked to; 2 wrong usage; 5 denied by the broker, or by a coordinator that has never let this
/// worker in; 6 cannot run here (no executor, a coordinator of another protocol).
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "worker", version)]
pub struct Settings {
    #[command(flatten)]
    pub file: settings::ConfigFile,
    #[command(flatten)]
    pub reach: proto::Reach,
    /// Folder for what executors keep while they compute [default: `scratch` in the state folder]
    #[arg(long, value_name = "DIR", env = "NIGHTSHIFT_SCRATCH", hide_env = true)]
    pub scratch: Option<PathBuf>,
    /// The worker's name: the same after each restart, and no other worker's [default: the machine's host name]
    #[arg(long, env = "NIGHTSHIFT_WORKER")]
    pub name: Option<WorkerName>,
    /// The pool to take tasks from
    #[arg(long, default_value = "cpu", env = "NIGHTSHIFT_POOL")]
    pub pool: PoolName,
    #[command(flatten)]
    pub queue: queue::Flags,
    /// How long an idle worker waits to be woken; then it asks for a task all the same
    #[arg(long, value_name = "TIME", value_parser = settings::time, default_value = "20s", env = "NIGHTSHIFT_POLL", hide_env_values = true)]
    pub poll: Duration,
    /// What executors compute on: `cpu`, or GPUs such as `cuda:0,cuda:1`, of which each executor has one for itself
    #[arg(
        long,
        value_name = "DEVICES",
        default_value = "cpu",
        env = "NIGHTSHIFT_DEVICE"
    )]
    pub device: Devices,
    /// Tasks at a time; the processors are shared between them [default: 1, or one for each GPU of --device]
    #[arg(long, env = "NIGHTSHIFT_SLOTS", hide_env_values = true, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub slots: Option<u32>,
    /// What jobs may ask for under `resources.labels`: `zone=b,disk=nvme`
    #[arg(long, value_name = "NAME=VALUE,...", env = "NIGHTSHIFT_LABELS")]
    pub labels: Option<Labels>,
    /// Engines that it offers; a job that asks for another one goes elsewhere [default: those that can be used here; torch-cuda where --device is of GPUs]
    #[arg(long, value_name = "ENGINES", env = "NIGHTSHIFT_ENGINES", hide_env_values = true, value_delimiter = ',', value_parser = ["openvino", "onnxruntime", "torch-cpu", "torch-cuda"])]
    pub engines: Option<Vec<String>>,
    /// The program that computes [default: `executor` beside this program]
    #[arg(
        long,
        value_name = "PATH",
        env = "NIGHTSHIFT_EXECUTOR",
        hide_env_values = true
    )]
    pub executor: Option<PathBuf>,
    /// Hand back everything and end when standard input is closed: for a worker that must not outlive its parent
    #[arg(long)]
    pub exit_with_stdin: bool,
    /// Kill a task when none of its counters has moved for so long: `90s`, `5m`
    #[arg(long, value_name = "TIME", value_parser = settings::time, default_value = "5m", env = "NIGHTSHIFT_STALL_TIMEOUT", hide_env_values = true)]
    pub stall_timeout: Duration,
    /// The same while it loads and compiles
    #[arg(long, value_name = "TIME", value_parser = settings::time, default_value = "10m", env = "NIGHTSHIFT_LOADING_TIMEOUT", hide_env_values = true)]
    pub loading_timeout: Duration,
    /// How long a worker that was asked to end may go on with what it has begun
    #[arg(long, value_name = "TIME", value_parser = settings::time, default_value = "3s", env = "NIGHTSHIFT_DRAIN_TIMEOUT", hide_env_values = true)]
    pub drain_timeout: Duration,
    /// Answer /healthz, /readyz and /metrics here over plain HTTP, such as 127.0.0.1:9091; `none`: nowhere
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "NIGHTSHIFT_WORKER_HTTP",
        hide_env_values = true
    )]
    pub http: Option<String>,
    /// Let others than this machine read --http: numbers of slots and attempts, and memory
    #[arg(long, env = "NIGHTSHIFT_WORKER_HTTP_INSECURE", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    pub http_insecure: bool,
    /// In a pod of Kubernetes that has the worker's name: write into its annotation what its deletion would cost, by what is under way.
    /// The service account must be allowed to patch pods
    #[arg(long, env = "NIGHTSHIFT_DELETION_COST", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    pub deletion_cost: bool,
    #[command(flatten)]
    pub logging: LogSettings,
}

//! Command line and environment of the worker, merged once at start.

use std::path::PathBuf;

use types::{PoolName, WorkerName};

/// Claims tasks from the coordinator and runs executors for them.
///
/// SIGTERM drains: nothing more is claimed, what runs is finished or handed back within half a minute.
///
/// Exit codes: 0 ended when asked to; 2 wrong usage; 6 cannot run here.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "worker", version)]
pub struct Settings {
    /// State folder of the coordinator [default: $XDG_STATE_HOME/nightshift, else ~/.local/state/nightshift]
    #[arg(
        long,
        value_name = "DIR",
        env = "NIGHTSHIFT_STATE",
        hide_env_values = true
    )]
    pub state: Option<PathBuf>,
    /// Configuration file, for the executors: which remote stores there are (docs/operations.md)
    #[arg(
        long,
        value_name = "FILE",
        env = "NIGHTSHIFT_CONFIG",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,
    /// The worker's name: the same after each restart [default: the machine's host name]
    #[arg(long, env = "NIGHTSHIFT_WORKER")]
    pub name: Option<WorkerName>,
    /// The pool to take tasks from
    #[arg(long, default_value = "cpu", env = "NIGHTSHIFT_POOL")]
    pub pool: PoolName,
    /// Tasks at a time; the processors are shared between them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub slots: u32,
    /// The program that computes [default: `executor` beside this program]
    #[arg(long, value_name = "PATH")]
    pub executor: Option<PathBuf>,
    /// End at once when standard input is closed: for a worker that must not outlive its parent
    #[arg(long)]
    pub exit_with_stdin: bool,
    /// Log as one JSON object a line
    #[arg(long)]
    pub log_json: bool,
    /// What to log: `warn`, `info`, `debug`, or targets such as `worker=debug`
    #[arg(
        long,
        value_name = "FILTER",
        env = "NIGHTSHIFT_LOG",
        default_value = "info",
        hide_env_values = true
    )]
    pub log: String,
}

//! Command line and environment of the coordinator, merged once at start.

use std::{path::PathBuf, time::Duration};

/// Keeps the state of jobs, hands out tasks, publishes results.
///
/// Listens on the Unix socket `coordinator.sock` in its state folder. One coordinator at a time owns a folder.
///
/// Exit codes: 0 ended when asked to; 2 wrong usage; 5 no permission for the state folder; 6 cannot run here (state
/// folder in use, on a network file system, disk full).
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "coordinator", version)]
pub struct Settings {
    /// State folder [default: $XDG_STATE_HOME/nightshift, else ~/.local/state/nightshift]
    #[arg(
        long,
        value_name = "DIR",
        env = "NIGHTSHIFT_STATE",
        hide_env_values = true
    )]
    pub state: Option<PathBuf>,
    /// Configuration file: which remote stores there are (docs/operations.md)
    #[arg(
        long,
        value_name = "FILE",
        env = "NIGHTSHIFT_CONFIG",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,
    /// End when standard input is closed: for a coordinator that must not outlive its parent
    #[arg(long)]
    pub exit_with_stdin: bool,
    /// Log as one JSON object a line
    #[arg(long)]
    pub log_json: bool,
    /// What to log: `warn`, `info`, `debug`, or targets such as `coordinator=debug`
    #[arg(
        long,
        value_name = "FILTER",
        env = "NIGHTSHIFT_LOG",
        default_value = "info",
        hide_env_values = true
    )]
    pub log: String,
}

/// Between two looks at deadlines.
pub const TICK: Duration = Duration::from_millis(500);

/// Most events that share one transaction: past this many a batch costs time, but saves hardly any more.
pub const BATCH: usize = 256;

/// How often a worker's heartbeat comes. The design's 10 s are for a network; on this machine a heartbeat costs
/// nothing and carries the progress that a person is looking at.
const HEARTBEAT_MS: u64 = 1_000;

/// The core's own settings.
pub fn core() -> coordinator_core::Settings {
    coordinator_core::Settings {
        heartbeat_ms: HEARTBEAT_MS,
        ..coordinator_core::Settings::default()
    }
}

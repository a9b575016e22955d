//! Command line and environment of the coordinator, merged once at start.

use std::{path::PathBuf, time::Duration};

use logging::LogSettings;

use crate::webhook::WebhookFlags;

/// Keeps the state of jobs, hands out tasks, publishes results.
///
/// Listens on the Unix socket `coordinator.sock` in its state folder. One coordinator at a time owns a folder.
///
/// Exit codes: 0 ended when asked to; 2 wrong usage; 5 no permission for the state folder, or denied by the broker;
/// 6 cannot run here (state folder in use, on a network file system, disk full).
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "coordinator", version)]
pub struct Settings {
    #[command(flatten)]
    pub file: settings::ConfigFile,
    /// State folder [default: $XDG_STATE_HOME/nightshift, else ~/.local/state/nightshift]
    #[arg(
        long,
        value_name = "DIR",
        env = "NIGHTSHIFT_STATE",
        hide_env_values = true
    )]
    pub state: Option<PathBuf>,
    /// Also listen here for workers and users, such as 0.0.0.0:7070
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "NIGHTSHIFT_LISTEN",
        hide_env_values = true
    )]
    pub listen: Option<String>,
    /// Tokens of those who may call over the network: a list of {name, role: user|worker, sha256}
    #[arg(
        long,
        value_name = "FILE",
        env = "NIGHTSHIFT_TOKENS",
        hide_env_values = true
    )]
    pub tokens: Option<PathBuf>,
    /// PEM file of the certificate chain to show over the network
    #[arg(
        long,
        value_name = "FILE",
        env = "NIGHTSHIFT_TLS_CERT",
        hide_env_values = true
    )]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key
    #[arg(
        long,
        value_name = "FILE",
        env = "NIGHTSHIFT_TLS_KEY",
        hide_env_values = true
    )]
    pub tls_key: Option<PathBuf>,
    /// Listen beyond this machine without TLS
    #[arg(long, env = "NIGHTSHIFT_INSECURE", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    pub insecure: bool,
    /// Answer /healthz, /readyz and /metrics here over plain HTTP, such as 127.0.0.1:9090; `none`: nowhere
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "NIGHTSHIFT_HTTP",
        hide_env_values = true
    )]
    pub http: Option<String>,
    /// Let others than this machine read --http: numbers of jobs, tasks and workers, no names but those of pools
    #[arg(long, env = "NIGHTSHIFT_HTTP_INSECURE", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    pub http_insecure: bool,
    #[command(flatten)]
    pub queue: queue::Flags,
    #[command(flatten)]
    pub webhook: WebhookFlags,
    /// How long what attempts wrote that were not accepted is kept, with their logs: then it is deleted from the store
    #[arg(
        long,
        value_name = "TIME",
        value_parser = settings::time,
        default_value = "14d",
        env = "NIGHTSHIFT_RETENTION",
        hide_env_values = true
    )]
    pub retention: Duration,
    /// How long a job is known after its end; what it published stays in the store. At least twice --retention if attempts of it failed
    #[arg(
        long,
        value_name = "TIME",
        value_parser = settings::time,
        default_value = "90d",
        env = "NIGHTSHIFT_KEEP_JOBS",
        hide_env_values = true
    )]
    pub keep_jobs: Duration,
    /// How long a task's lease lives without a word from its worker: then another worker gets the task
    #[arg(
        long,
        value_name = "TIME",
        value_parser = settings::time,
        default_value = "60s",
        env = "NIGHTSHIFT_LEASE_TTL",
        hide_env_values = true
    )]
    pub lease_ttl: Duration,
    /// How often a worker that holds tasks says so; at most a third of --lease-ttl
    #[arg(
        long,
        value_name = "TIME",
        value_parser = settings::time,
        default_value = "1s",
        env = "NIGHTSHIFT_HEARTBEAT",
        hide_env_values = true
    )]
    pub heartbeat: Duration,
    /// The state folder was restored from a backup: say so at its first start, and only then
    #[arg(long)]
    pub restored: bool,
    /// End when standard input is closed: for a coordinator that must not outlive its parent
    #[arg(long)]
    pub exit_with_stdin: bool,
    #[command(flatten)]
    pub logging: LogSettings,
}

/// Between two looks at deadlines.
pub const TICK: Duration = Duration::from_millis(500);

/// Most events that share one transaction: past this many a batch costs time, but saves hardly any more.
pub const BATCH: usize = 256;

/// Heartbeats that may get lost before a lease does.
const HEARTBEATS_A_LEASE: u32 = 3;

/// For half an hour an agent tries to tell how an attempt ended, and a bit.
const REPORT: Duration = Duration::from_secs(31 * 60);

/// Times that do not go together.
#[derive(Debug, thiserror::Error)]
#[error(
    "--lease-ttl {lease_ttl:?} with --heartbeat {heartbeat:?}: a lease must live for {HEARTBEATS_A_LEASE} heartbeats or more"
)]
pub struct LeaseError {
    lease_ttl: Duration,
    heartbeat: Duration,
}

impl Settings {
    /// Fails where one heartbeat that comes late would end a lease.
    pub fn check(&self) -> Result<(), LeaseError> {
        let (lease_ttl, heartbeat) = (self.lease_ttl, self.heartbeat);
        if heartbeat.saturating_mul(HEARTBEATS_A_LEASE) > lease_ttl {
            return Err(LeaseError {
                lease_ttl,
                heartbeat,
            });
        }
        Ok(())
    }

    /// The core's own settings. A wake-up is lost when the broker has dropped it, however long its publishing took.
    /// `confined`: users call from other machines.
    pub fn core(
        &self,
        broker: Option<&queue::Settings>,
        confined: bool,
    ) -> coordinator_core::Settings {
        let ttl = |broker: &queue::Settings| broker.wake_up_ttl + broker.publish_timeout;
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        coordinator_core::Settings {
            lease_ttl_ms: milliseconds(self.lease_ttl),
            heartbeat_ms: milliseconds(self.heartbeat),
            late_ms: milliseconds(self.lease_ttl.saturating_add(REPORT)),
            wake_up_ttl_ms: broker.map(ttl).map(milliseconds),
            retention_ms: milliseconds(self.retention),
            keep_jobs_ms: milliseconds(self.keep_jobs),
            notices: self.webhook.webhook.is_some(),
            confined,
            ..coordinator_core::Settings::default()
        }
    }
}

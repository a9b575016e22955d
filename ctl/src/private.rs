//! Programs that a command starts for its own life.
//!
//! They hold the reading end of a pipe as standard input and leave when it closes, so they go with this process however
//! it ends. They have process groups of their own: Ctrl-C reaches this process alone.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::{Error, places};

/// How long they may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// One of our programs, with its standard error in the state folder's log.
pub struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
    /// Where its own words begin: what is before them others have said.
    log_start: u64,
}

impl Program {
    pub fn start(
        name: &'static str,
        state: &Path,
        config: Option<&Path>,
        arguments: &[&str],
    ) -> Result<Self, Error> {
        let path = places::program(name)?;
        let log = state.join(format!("{name}.log"));
        let unopened = |source| Error::Write {
            path: log.clone(),
            source,
        };
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(unopened)?;
        let log_start = file.metadata().map_err(unopened)?.len();
        let twin = file.try_clone().map_err(unopened)?;
        let child = Command::new(&path)
            .arg("--state")
            .arg(state)
            // Its address is for others, whatever the settings of this machine's other programs say.
            .args(["--exit-with-stdin", "--http", "none"])
            .args(
                config
                    .into_iter()
                    .flat_map(|file| [Path::new("--config"), file]),
            )
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::from(twin))
            .stderr(Stdio::from(file))
            .process_group(0)
            .spawn()
            .map_err(|source| {
                Error::cannot_run_because(format!("cannot start {}", path.display()), source)
            })?;
        Ok(Self {
            name,
            child,
            log,
            log_start,
        })
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// If it has ended.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The error of a program that has ended by itself.
    pub fn fallen(&mut self) -> Option<Error> {
        let status = self.status()?;
        Some(self.error(&format!("ended ({status})")))
    }

    /// What is wrong with it, and what it said last.
    pub fn error(&self, what: &str) -> Error {
        let words = self.last_words();
        Error::cannot_run(format!("the {} {what}{words}", self.name))
    }

    /// The end of what it said, for the user's screen.
    fn last_words(&self) -> String {
        let tail = tail(&self.log, self.log_start, 2000).unwrap_or_default();
        let lines: Vec<&str> = tail
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let last = lines[lines.len().saturating_sub(3)..].join("\n  ");
        if last.is_empty() {
            String::new()
        } else {
            format!(":\n  {last}\n  (all of it: {})", self.log.display())
        }
    }

    /// Tells it to end: closes its standard input.
    pub fn dismiss(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Tells it to end, and waits until it has.
    pub async fn stop(&mut self) {
        self.dismiss();
        if timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            // Its group, so that nothing it started outlives it.
            if let Some(group) = self
                .pid()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(rustix::process::Pid::from_raw)
            {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = self.child.wait().await;
        }
    }

    /// As a machine that loses its power does.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }
}

/// At most so many bytes of the file's end, none from before `start`.
fn tail(path: &Path, start: u64, bytes: u64) -> io::Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes).max(start)))?;
    let mut text = Vec::new();
    file.take(bytes).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

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

fn log_path(state: &Path, program: &str) -> PathBuf {
    state.join(format!("{program}.log"))
}

/// Starts one of our programs with its standard error in the state folder's log.
pub fn start(
    program: &str,
    state: &Path,
    config: Option<&Path>,
    arguments: &[&str],
) -> Result<Child, Error> {
    let path = places::program(program)?;
    let log = log_path(state, program);
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(|source| Error::Write {
            path: log.clone(),
            source,
        })?;
    let twin = file
        .try_clone()
        .map_err(|source| Error::Write { path: log, source })?;
    Command::new(&path)
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
        })
}

/// Closes the program's standard input and waits for its end.
pub async fn stop(child: &mut Child) {
    drop(child.stdin.take());
    if timeout(STOP_LIMIT, child.wait()).await.is_err() {
        // Its group, so that nothing it started outlives it.
        if let Some(group) = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = child.wait().await;
    }
}

/// The error of a program that ended by itself.
pub fn ended(state: &Path, program: &str, status: ExitStatus) -> Error {
    Error::cannot_run(format!(
        "the {program} ended ({status}){}",
        last_words(state, program)
    ))
}

/// The end of a program's log, for the user's screen.
pub fn last_words(state: &Path, program: &str) -> String {
    let path = log_path(state, program);
    let tail = tail(&path, 2000).unwrap_or_default();
    let lines: Vec<&str> = tail
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = lines[lines.len().saturating_sub(3)..].join("\n  ");
    if last.is_empty() {
        String::new()
    } else {
        format!(":\n  {last}\n  (all of it: {})", path.display())
    }
}

fn tail(path: &Path, bytes: u64) -> io::Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut text = Vec::new();
    file.take(bytes).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

//! A child process with all that it started, which cannot outlive us.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Runs a command in a process group of its own. The group ends when the command does, and when our end of its
/// standard input closes, which the kernel sees to even if this process is killed; then a folder goes too.
const GUARD: &str = r#"folder=$1; shift; ("$@"; kill -9 0) & read -r _; [ -z "$folder" ] || rm -rf "$folder"; kill -9 0"#;

#[derive(Debug)]
pub(crate) struct Guarded(Child);

impl Guarded {
    /// `command` has its arguments, environment and outputs; its input is ours.
    pub(crate) fn start(command: &Command, folder: Option<&Path>) -> io::Result<Self> {
        let mut guarded = Command::new("/bin/sh");
        guarded.args(["-c", GUARD, "guard"]);
        guarded.arg(folder.unwrap_or(Path::new("")));
        guarded.arg(command.get_program()).args(command.get_args());
        guarded.env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                guarded.env(name, value);
            }
        }
        guarded
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        guarded.process_group(0);
        guarded.spawn().map(Self)
    }

    pub(crate) fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    pub(crate) fn wait(&mut self, limit: Duration) -> io::Result<()> {
        until(limit, "the process to end", || self.has_ended())
    }

    pub(crate) fn kill(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again and again until it holds.
pub(crate) fn until(
    limit: Duration,
    what: &str,
    mut holds: impl FnMut() -> io::Result<bool>,
) -> io::Result<()> {
    let start = Instant::now();
    while !holds()? {
        if start.elapsed() > limit {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("waited {limit:?} for {what}"),
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

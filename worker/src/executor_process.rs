//! One executor as a child process: starting, talking, watching its memory, killing.
//!
//! Agent and executor share a socket pair. The executor exits when its end closes, so an agent that dies
//! by any means leaves nothing behind; a parent-death signal would fire when the spawning *thread* ends.

use std::{
    io,
    os::{fd::AsRawFd, unix::net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use prost::Message;
use proto::v1::{FromExecutor, ToExecutor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
};
use worker_core::Exit;

/// The environment variable that tells the executor which descriptor is its end of the socket pair.
pub const SOCKET_VARIABLE: &str = "NIGHTSHIFT_EXECUTOR_FD";

/// Larger than any assignment; a length above it means that the stream is out of step.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// How much of the executor's last words is kept for the message of a crash.
const STDERR_TAIL_BYTES: usize = 4096;

/// What every executor of this agent is started with.
#[derive(Debug, Clone)]
pub struct ExecutorCommand {
    pub program: PathBuf,
    /// Folder of the native libraries, if the agent knows one.
    pub native: Option<PathBuf>,
    pub threads: usize,
    pub json_logs: bool,
    /// Configuration file, an absolute path.
    pub config: Option<PathBuf>,
}

/// A running executor, seen from the agent.
pub struct ExecutorProcess {
    /// Processes of this control group that the kernel had killed for memory when the executor began.
    oom_kills_before: u64,
    child: Child,
    pid: u32,
    writer: OwnedWriteHalf,
    stderr_tail: Arc<Mutex<Vec<u8>>>,
}

/// How an executor ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorExit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// The kernel killed something of this control group for memory meanwhile.
    pub oom_kill: bool,
    /// The last lines it wrote to its standard error.
    pub last_words: String,
}

impl ExecutorExit {
    /// The exit as the agent's state machine sees it.
    pub fn meaning(&self) -> Exit {
        match (self.signal, self.code) {
            (Some(libc::SIGKILL), _) if self.oom_kill => Exit::OutOfMemory,
            (Some(signal), _) => Exit::Signal(signal),
            (None, code) => Exit::Code(code.unwrap_or(-1)),
        }
    }
}

impl ExecutorCommand {
    /// Starts an executor in a process group of its own.
    pub fn spawn(&self) -> io::Result<(ExecutorProcess, ExecutorReader)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        let descriptor = theirs.as_raw_fd();
        let mut command = Command::new(&self.program);
        command
            .env(SOCKET_VARIABLE, descriptor.to_string())
            .env("OMP_WAIT_POLICY", "PASSIVE")
            .env("OMP_NUM_THREADS", self.threads.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if self.json_logs {
            command.env("NIGHTSHIFT_LOG_JSON", "1");
        }
        if let Some(config) = &self.config {
            command.env("NIGHTSHIFT_CONFIG", config);
        }
        if let Some(native) = &self.native {
            command.env("NIGHTSHIFT_NATIVE_DIR", native);
            command.env("LD_LIBRARY_PATH", library_path(native));
        }
        // SAFETY: between fork and exec only fcntl is called, which is async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                if libc::fcntl(descriptor, libc::F_SETFD, 0) == -1 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let mut child = command.spawn()?;
        drop(theirs);
        let pid = child
            .id()
            .ok_or_else(|| io::Error::other("the executor ended while it was started"))?;
        prefer_as_victim(pid);
        let stderr_tail = Arc::new(Mutex::new(Vec::new()));
        if let Some(mut stderr) = child.stderr.take() {
            let tail = Arc::clone(&stderr_tail);
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
                    let _ = io::Write::write_all(&mut io::stderr(), &buffer[..count]);
                    if let Ok(mut tail) = tail.lock() {
                        tail.extend_from_slice(&buffer[..count]);
                        let excess = tail.len().saturating_sub(STDERR_TAIL_BYTES);
                        tail.drain(..excess);
                    }
                }
            });
        }
        ours.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(ours)?.into_split();
        Ok((
            ExecutorProcess {
                oom_kills_before: oom_kills(),
                child,
                pid,
                writer,
                stderr_tail,
            },
            ExecutorReader { reader },
        ))
    }
}

impl ExecutorProcess {
    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub async fn send(&mut self, message: &ToExecutor) -> io::Result<()> {
        let body = message.encode_to_vec();
        let length = u32::try_from(body.len())
            .map_err(|_| io::Error::other("the assignment is larger than 4 GiB"))?;
        self.writer.write_all(&length.to_le_bytes()).await?;
        self.writer.write_all(&body).await
    }

    /// Kills the whole process group, so that nothing the executor started survives it.
    pub fn kill(&self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.pid.cast_signed()) {
            // The group may be gone already: then there is nothing to kill.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }

    pub async fn wait(&mut self) -> io::Result<ExecutorExit> {
        let status = self.child.wait().await?;
        Ok(ExecutorExit {
            code: status.code(),
            signal: std::os::unix::process::ExitStatusExt::signal(&status),
            oom_kill: oom_kills() > self.oom_kills_before,
            last_words: self.last_words(),
        })
    }

    fn last_words(&self) -> String {
        let tail = self
            .stderr_tail
            .lock()
            .map(|tail| tail.clone())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&tail);
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(3)..].join(" | ")
    }
}

/// The executor's side of the conversation.
pub struct ExecutorReader {
    reader: OwnedReadHalf,
}

impl ExecutorReader {
    /// The next message; `None` when the executor has closed its end.
    pub async fn next(&mut self) -> io::Result<Option<FromExecutor>> {
        let mut length = [0; 4];
        match self.reader.read_exact(&mut length).await {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_MESSAGE_BYTES {
            return Err(io::Error::other(format!(
                "the executor announced a message of {length} bytes"
            )));
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).await?;
        FromExecutor::decode(&body[..])
            .map(Some)
            .map_err(io::Error::other)
    }
}

/// Resident memory of a process in bytes; `None` once it is gone.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// How many processes of this control group the kernel has killed for memory.
fn oom_kills() -> u64 {
    let events = std::fs::read_to_string("/sys/fs/cgroup/memory.events").unwrap_or_default();
    events
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        .unwrap_or(0)
}

/// When the machine runs out of memory, the kernel shall take the executor and not the agent.
fn prefer_as_victim(pid: u32) {
    // Only lowering needs rights; a kernel without this file has no such choice to make.
    let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "500");
}

/// The native folder in front of what the user has set.
fn library_path(native: &Path) -> std::ffi::OsString {
    let mut path = native.as_os_str().to_owned();
    if let Some(rest) = std::env::var_os("LD_LIBRARY_PATH").filter(|rest| !rest.is_empty()) {
        path.push(":");
        path.push(rest);
    }
    path
}

//! One executor as a child process: starting, talking, watching its memory, killing.
//!
//! Agent and executor share a socket pair. The executor exits when its end closes, so an agent that dies
//! by any means leaves nothing behind; a parent-death signal would fire when the spawning *thread* ends.

use std::{
    fs::File,
    io,
    os::{
        fd::AsRawFd,
        unix::{fs::FileExt, net::UnixStream as StdUnixStream},
    },
    path::{Path, PathBuf},
    process::Stdio,
};

use prost::Message;
use proto::{
    executor_socket,
    v1::{FromExecutor, ToExecutor},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
    sync::mpsc,
};
use types::WorkerName;
use worker_core::Exit;

use crate::{
    cgroup::oom_kills,
    pins::{self, Pin},
};

/// A longer line of standard error is cut into several.
const MAX_LINE_BYTES: usize = 4096;

/// Lines of standard error that may wait to be looked at; then the executor waits.
const WAITING_LINES: usize = 1024;

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
    /// The agent's, for the executor's log.
    pub worker: WorkerName,
}

/// A running executor with what it says: messages, and lines of standard error.
pub struct Spawned {
    pub process: ExecutorProcess,
    pub reader: ExecutorReader,
    pub stderr: mpsc::Receiver<String>,
}

/// A running executor, seen from the agent.
pub struct ExecutorProcess {
    /// Processes of this control group that the kernel had killed for memory when the executor began.
    oom_kills_before: u64,
    child: Child,
    pid: u32,
    writer: OwnedWriteHalf,
    /// Messages, of which the first `sent` bytes are gone.
    outgoing: Vec<u8>,
    sent: usize,
}

/// How an executor ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorExit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// The kernel killed something of this control group for memory meanwhile.
    pub oom_kill: bool,
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
    /// The program in its surroundings.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_remove(queue::PASSWORD_VARIABLE)
            .env_remove(proto::TOKEN_VARIABLE)
            .env("OMP_WAIT_POLICY", "PASSIVE")
            .env("OMP_NUM_THREADS", self.threads.to_string())
            .env("NIGHTSHIFT_WORKER", self.worker.as_str())
            // Said by the flag alone, which the environment may have set for the agent.
            .env(
                "NIGHTSHIFT_LOG_JSON",
                if self.json_logs { "1" } else { "0" },
            )
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if std::env::var_os(pins::ORDER).is_none() {
            command.env(pins::ORDER, pins::BY_PLACE);
        }
        if let Some(config) = &self.config {
            command.env("NIGHTSHIFT_CONFIG", config);
        }
        if let Some(native) = &self.native {
            command.env("NIGHTSHIFT_NATIVE_DIR", native);
            command.env("LD_LIBRARY_PATH", library_path(native));
        }
        command
    }

    /// Starts an executor in a process group of its own, with the one device that it computes on.
    pub fn spawn(&self, pin: &Pin) -> io::Result<Spawned> {
        let (ours, theirs) = StdUnixStream::pair()?;
        let descriptor = theirs.as_raw_fd();
        let mut command = self.command();
        command
            .env(executor_socket::DESCRIPTOR_VARIABLE, descriptor.to_string())
            .env(pins::VISIBLE, &pin.visible)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
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
        let (lines, stderr) = mpsc::channel(WAITING_LINES);
        if let Some(pipe) = child.stderr.take() {
            tokio::spawn(read_lines(pipe, lines));
        }
        ours.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(ours)?.into_split();
        Ok(Spawned {
            process: ExecutorProcess {
                oom_kills_before: oom_kills(),
                child,
                pid,
                writer,
                outgoing: Vec::new(),
                sent: 0,
            },
            reader: ExecutorReader {
                reader,
                buffer: Vec::new(),
            },
            stderr,
        })
    }
}

impl ExecutorProcess {
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Puts a message behind what is still to be sent; an error says that it is too long.
    pub fn queue(&mut self, message: &ToExecutor) -> io::Result<()> {
        let frame = executor_socket::frame(message)?;
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
        }
        self.outgoing.extend(frame);
        Ok(())
    }

    /// Whether something is still to be sent.
    pub fn is_sending(&self) -> bool {
        self.sent < self.outgoing.len()
    }

    /// Sends some of it. May be dropped while it waits: an executor that does not read keeps nobody from killing it.
    pub async fn send_some(&mut self) -> io::Result<()> {
        self.sent += self.writer.write(&self.outgoing[self.sent..]).await?;
        Ok(())
    }

    /// Nothing more is sent: the executor does not listen any more.
    pub fn stop_sending(&mut self) {
        self.sent = self.outgoing.len();
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
        })
    }
}

/// Sends each line, until the executor and all that it started have closed their end.
async fn read_lines(mut pipe: impl AsyncRead + Unpin, lines: mpsc::Sender<String>) {
    let (mut buffer, mut line) = (vec![0; 4096], Vec::new());
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        for byte in &buffer[..count] {
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() == MAX_LINE_BYTES {
                send_line(&lines, &mut line).await;
            }
        }
    }
    send_line(&lines, &mut line).await;
}

async fn send_line(lines: &mpsc::Sender<String>, line: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(line).trim_end().to_owned();
    line.clear();
    if !text.is_empty() {
        // Nobody listens once the executor is done with; what it says is read all the same, so that it is not stuck.
        let _ = lines.send(text).await;
    }
}

/// The executor's side of the conversation.
pub struct ExecutorReader {
    reader: OwnedReadHalf,
    /// What came of the next message so far.
    buffer: Vec<u8>,
}

impl ExecutorReader {
    /// The next message; `None` when the executor has closed its end. May be dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> io::Result<Option<FromExecutor>> {
        loop {
            if let Some(body) = self.whole_message()? {
                return FromExecutor::decode(&body[..])
                    .map(Some)
                    .map_err(io::Error::other);
            }
            match self.reader.read_buf(&mut self.buffer).await {
                // What a dead executor had begun to say is of no use.
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a message's body from the buffer, if all of it is there.
    fn whole_message(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(length) = self.buffer.first_chunk() else {
            return Ok(None);
        };
        let length = executor_socket::length(*length)?;
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        let body = self.buffer[4..4 + length].to_vec();
        self.buffer.drain(..4 + length);
        Ok(Some(body))
    }
}

/// Where the kernel says how much memory a process has. Kept open: an executor is asked after every task.
pub struct MemoryGauge(File);

impl MemoryGauge {
    /// `None` if the process is gone.
    pub fn open(pid: u32) -> Option<Self> {
        File::open(format!("/proc/{pid}/statm")).ok().map(Self)
    }

    /// Resident bytes; `None` once the process is gone.
    pub fn resident_bytes(&self) -> Option<u64> {
        let mut text = [0; 128];
        let length = self.0.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..length]).ok()?;
        let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64)
    }
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

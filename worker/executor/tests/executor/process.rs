//! An executor as a child process.

use std::{
    io,
    os::{
        fd::AsRawFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use plan::Assignment;
use proto::{
    executor_socket::{DESCRIPTOR_VARIABLE, read_message, write_message},
    v1::{
        CancelTask, ExecutorLog, ExecutorProgress, FromExecutor, RunTask, TaskDone, TaskFailed,
        ToExecutor, from_executor, to_executor,
    },
};

pub struct Executor {
    pub child: Child,
    pub socket: Option<UnixStream>,
    pub progress: Vec<ExecutorProgress>,
    pub log: Vec<ExecutorLog>,
}

/// Rights are only refused to those who do not have them all.
pub const NOBODY: u32 = 65534;

/// Cargo names it to the tests of its own package; to others it lies above their programs' folder.
pub fn program() -> PathBuf {
    match option_env!("CARGO_BIN_EXE_executor") {
        Some(path) => path.into(),
        None => {
            let tests = std::env::current_exe().expect("the path of this test");
            tests.parent().expect("a folder").with_file_name("executor")
        }
    }
}

impl Executor {
    pub fn start() -> Self {
        Self::start_as(None, &[])
    }

    pub fn start_as(user: Option<u32>, environment: &[(&str, &Path)]) -> Self {
        Self::start_program(&program(), user, environment)
    }

    pub fn start_program(program: &Path, user: Option<u32>, environment: &[(&str, &Path)]) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let descriptor = theirs.as_raw_fd();
        let mut command = Command::new(program);
        command
            .env(DESCRIPTOR_VARIABLE, descriptor.to_string())
            .env("OMP_WAIT_POLICY", "PASSIVE")
            .stdin(Stdio::null());
        command.envs(environment.iter().copied());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        // SAFETY: between fork and exec only fcntl is called.
        unsafe {
            command.pre_exec(move || match libc::fcntl(descriptor, libc::F_SETFD, 0) {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(()),
            });
        }
        let child = command.spawn().expect("the executor starts");
        let mut executor = Self {
            child,
            socket: Some(ours),
            progress: Vec::new(),
            log: Vec::new(),
        };
        match executor.receive() {
            Some(from_executor::Message::Ready(ready)) => {
                assert_eq!(ready.version, env!("CARGO_PKG_VERSION"))
            }
            other => panic!("expected that it is ready, got {other:?}"),
        }
        executor
    }

    pub fn send(&mut self, message: to_executor::Message) {
        let socket = self.socket.as_mut().expect("still open");
        write_message(
            socket,
            &ToExecutor {
                message: Some(message),
            },
        )
        .expect("the executor listens");
    }

    pub fn receive(&mut self) -> Option<from_executor::Message> {
        let socket = self.socket.as_mut().expect("still open");
        read_message::<FromExecutor>(socket)
            .expect("a whole message")
            .and_then(|message| message.message)
    }

    pub fn begin(&mut self, assignment: &Assignment, scratch: &Path, threads: u32) {
        self.send(to_executor::Message::Run(RunTask {
            assignment_json: serde_json::to_string(assignment).expect("json"),
            scratch: scratch.display().to_string(),
            threads,
            lease: assignment.lease.0,
            device: "cpu".to_owned(),
            ..RunTask::default()
        }));
    }

    pub fn cancel(&mut self, lease: u64) {
        self.send(to_executor::Message::Cancel(CancelTask { lease }));
    }

    pub fn outcome(&mut self) -> Result<TaskDone, TaskFailed> {
        loop {
            match self.receive() {
                Some(from_executor::Message::Progress(progress)) => self.progress.push(progress),
                Some(from_executor::Message::Log(log)) => self.log.push(log),
                Some(from_executor::Message::Done(done)) => return Ok(done),
                Some(from_executor::Message::Failed(failed)) => return Err(failed),
                other => panic!("expected an outcome, got {other:?}"),
            }
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.socket = None;
        let _ = self.child.wait();
    }
}

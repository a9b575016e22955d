//! Becoming `executor-torch`, the same program with libtorch among its libraries, when a task needs that.
//!
//! Process, group and socket stay: the agent notices nothing. The task travels in a scratch file, its path in the
//! environment. There is no way back; `executor-torch` serves every later task as well, whatever its engine.

use std::{
    env, fs, io,
    os::{
        fd::AsRawFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use engines::{Choice, EngineError};
use job::resolved::EngineChoice;
use plan::Assignment;
use prost::Message;
use proto::{executor_socket::DESCRIPTOR_VARIABLE, v1::RunTask};

use crate::{error::TaskError, model::uses_engine};

const PROGRAM: &str = "executor-torch";
const TASK_VARIABLE: &str = "NIGHTSHIFT_EXECUTOR_TASK";
const TASK_FILE: &str = "handover.pb";
/// Loading libtorch from a cold disk takes seconds.
const ANSWER: Duration = Duration::from_secs(60);

/// Whether the task runs a graph in libtorch and this program has none.
pub fn needed(assignment: &Assignment) -> bool {
    matches!(
        assignment.engine,
        EngineChoice::TorchCpu | EngineChoice::TorchCuda
    ) && uses_engine(assignment)
        && !has_torch()
}

pub fn has_torch() -> bool {
    !matches!(
        engines::open(Choice::TorchCpu),
        Err(EngineError::NotLinked { .. })
    )
}

/// Becomes the other program; returns only if that cannot be.
pub fn hand_over(socket: &UnixStream, run: &RunTask) -> TaskError {
    // Its loader's complaint would be a crash to the agent, which is tried again; this way it has a type and advice.
    if let Err(error) = ask("--version") {
        return error;
    }
    let file = Path::new(&run.scratch).join(TASK_FILE);
    // The attempt, whose folder it is, has not been opened yet.
    let written =
        fs::create_dir_all(&run.scratch).and_then(|()| fs::write(&file, run.encode_to_vec()));
    if let Err(error) = written {
        return TaskError::scratch(file)(error);
    }
    let descriptor = socket.as_raw_fd();
    // SAFETY: clears a flag of a descriptor that is open, so that it lives on in the next program.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) } < 0 {
        return unusable(io::Error::last_os_error().to_string());
    }
    let failed = Command::new(program())
        .env(DESCRIPTOR_VARIABLE, descriptor.to_string())
        .env(TASK_VARIABLE, &file)
        .exec();
    // The file and the flag are of no more use, and do no harm: the agent empties scratch, and nothing else is started.
    unusable(failed.to_string())
}

/// The task that this program was started for, if `executor` became it; its file is removed.
pub fn take_over() -> anyhow::Result<Option<RunTask>> {
    let Some(file) = env::var_os(TASK_VARIABLE) else {
        return Ok(None);
    };
    let bytes = fs::read(&file).and_then(|bytes| fs::remove_file(&file).map(|()| bytes));
    let bytes =
        bytes.map_err(|error| anyhow::anyhow!("cannot take over {}: {error}", file.display()))?;
    Ok(Some(RunTask::decode(bytes.as_slice())?))
}

/// What `executor-torch` answers to an argument.
pub fn ask(argument: &str) -> Result<String, TaskError> {
    match answer(argument) {
        Ok(Output { status, stdout, .. }) if status.success() => {
            Ok(String::from_utf8_lossy(&stdout).into_owned())
        }
        Ok(Output { stderr, .. }) => {
            Err(unusable(String::from_utf8_lossy(&stderr).trim().to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(unusable("there is no such program".to_owned()))
        }
        Err(error) => Err(unusable(error.to_string())),
    }
}

/// The agent is not heard meanwhile: so the wait has an end.
fn answer(argument: &str) -> io::Result<Output> {
    let child = Command::new(program())
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let id = child.id();
    let (done, output) = mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    output.recv_timeout(ANSWER).unwrap_or_else(|_| {
        // SAFETY: sends a signal to a child that has not been waited for.
        unsafe { libc::kill(id.cast_signed(), libc::SIGKILL) };
        Err(io::Error::other(format!(
            "no answer within {} s",
            ANSWER.as_secs()
        )))
    })
}

/// Whether this program has libtorch, or could become the one that has it: that is not started, which would take half a second.
pub fn is_there() -> bool {
    has_torch() || program().is_file() && engines::has_torch_file()
}

/// Beside this program, even after that has been replaced while it ran.
fn program() -> PathBuf {
    env::current_exe()
        .unwrap_or_default()
        .with_file_name(PROGRAM)
}

fn unusable(why: String) -> TaskError {
    TaskError::NoTorchProgram {
        program: program(),
        why,
    }
}

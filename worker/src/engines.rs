//! Which engines the worker offers, and whether they compute on its devices: the executor is asked before anybody hears of it.

use std::{
    env, io,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;
use types::{Device, Devices};

use crate::executor_process::ExecutorCommand;

/// It loads every engine, from a cold disk perhaps.
const LIMIT: Duration = Duration::from_secs(60);
const TRIES: u32 = 3;

#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("cannot ask the executor {program} what it computes on")]
    Unasked {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the executor {program} does not say what it computes on ({status}): {words}; `make build` makes it anew"
    )]
    Unsaid {
        program: PathBuf,
        status: String,
        words: String,
    },
    #[error(
        "the executor {program} cannot compute with OpenVINO: {why}; `executor --probe` tells more"
    )]
    NoOpenVino { program: PathBuf, why: String },
    #[error(
        "the executor {program} finds the libraries of no engine: run `make setup`, or name their folder with NIGHTSHIFT_NATIVE_DIR"
    )]
    NoEngine { program: PathBuf },
    #[error(
        "--device {missing}: the executor {program} computes on {present} alone, with the engines {engines}; {why}"
    )]
    NoSuchDevice {
        program: PathBuf,
        missing: Device,
        present: String,
        engines: String,
        /// Why what computes on GPUs does not.
        why: String,
    },
}

/// The engine that computes on GPUs alone.
pub const ON_GPUS: &str = "torch-cuda";

/// What OpenVINO computes on, if it is not the processor.
const OPENVINO_DEVICE: &str = "NIGHTSHIFT_OPENVINO_DEVICE";

/// What is read of the answer of `executor --probe`.
#[derive(Deserialize)]
struct Answer {
    devices: Vec<String>,
    engines: Vec<Engine>,
}

#[derive(Deserialize)]
struct Engine {
    name: String,
    /// Why it cannot be used.
    error: Option<serde_json::Value>,
}

/// Those that the user names, else those that are here. An error, unless the executor has an engine for each GPU, and OpenVINO
/// the device that the environment names.
pub async fn engines(
    command: &ExecutorCommand,
    devices: &Devices,
    named: Option<&[String]>,
) -> Result<Vec<String>, ProbeError> {
    let openvino_device = env::var_os(OPENVINO_DEVICE).filter(|named| !named.is_empty());
    let here = if devices.are_gpus() || openvino_device.is_some() {
        let answer: Answer = ask(command, "--probe").await?;
        if openvino_device.is_some() {
            check_openvino(&answer, command)?;
        }
        if devices.are_gpus() {
            check(&answer, devices, command)?;
        }
        let usable = answer.engines.into_iter().filter(|e| e.error.is_none());
        usable
            .map(|engine| engine.name)
            .filter(|engine| devices.are_gpus() || engine != ON_GPUS)
            .collect()
    } else if let Some(named) = named {
        // A worker starts faster that does not ask.
        named.to_vec()
    } else {
        ask(command, "--engines").await?
    };
    match named.map_or(here, <[String]>::to_vec) {
        none if none.is_empty() => Err(ProbeError::NoEngine {
            program: command.program.clone(),
        }),
        some => Ok(some),
    }
}

/// What the executor says to an argument. One that somebody has killed, for want of memory perhaps, is asked again.
async fn ask<A: DeserializeOwned>(
    command: &ExecutorCommand,
    argument: &str,
) -> Result<A, ProbeError> {
    let mut output = answer(command, argument).await?;
    let mut tries = 1;
    while output.status.signal() == Some(libc::SIGKILL) && tries < TRIES {
        output = answer(command, argument).await?;
        tries += 1;
    }
    // Native libraries print, too: the answer is the last line.
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut lines = stdout.lines().rev();
    let answer = lines.find_map(|line| serde_json::from_str(line).ok());
    answer.filter(|_| output.status.success()).ok_or_else(|| {
        let words = String::from_utf8_lossy(&output.stderr);
        ProbeError::Unsaid {
            program: command.program.clone(),
            status: output.status.to_string(),
            words: words.lines().last().unwrap_or("without a word").to_owned(),
        }
    })
}

async fn answer(command: &ExecutorCommand, argument: &str) -> Result<Output, ProbeError> {
    let unasked = |source| ProbeError::Unasked {
        program: command.program.clone(),
        source,
    };
    let mut program = command.command();
    program
        .arg(argument)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    match timeout(LIMIT, program.output()).await {
        Ok(output) => output.map_err(unasked),
        Err(_) => {
            let why = format!("no answer within {} s", LIMIT.as_secs());
            Err(unasked(io::Error::other(why)))
        }
    }
}

/// Why the engine cannot be used.
fn error_of<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let mut engines = answer.engines.iter();
    let engine = engines.find(|engine| engine.name == name)?;
    engine.error.as_ref()?.as_str()
}

fn check_openvino(answer: &Answer, command: &ExecutorCommand) -> Result<(), ProbeError> {
    match error_of(answer, "openvino") {
        None => Ok(()),
        Some(why) => Err(ProbeError::NoOpenVino {
            program: command.program.clone(),
            why: why.to_owned(),
        }),
    }
}

fn check(answer: &Answer, devices: &Devices, command: &ExecutorCommand) -> Result<(), ProbeError> {
    let is_there = |device: &Device| answer.devices.contains(&device.to_string());
    let Some(missing) = devices.as_slice().iter().find(|one| !is_there(one)) else {
        return Ok(());
    };
    let usable = answer.engines.iter().filter(|e| e.error.is_none());
    let engines: Vec<&str> = usable.map(|engine| engine.name.as_str()).collect();
    let some = |words: String| match words.is_empty() {
        true => "none".to_owned(),
        false => words,
    };
    let more = || "`executor --probe` tells more".to_owned();
    Err(ProbeError::NoSuchDevice {
        program: command.program.clone(),
        missing: *missing,
        present: some(answer.devices.join(", ")),
        engines: some(engines.join(", ")),
        why: error_of(answer, ON_GPUS).map_or_else(more, str::to_owned),
    })
}

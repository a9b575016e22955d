//! Whether the executor can compute on the devices that the worker is to offer: asked before anybody hears of it.

use std::{env, io, path::PathBuf, process::Stdio, time::Duration};

use serde::Deserialize;
use tokio::time::timeout;
use types::{Device, Devices};

use crate::executor_process::ExecutorCommand;

/// It loads every engine, from a cold disk perhaps.
const LIMIT: Duration = Duration::from_secs(60);

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
        "--device {missing}: the executor {program} computes on {present} alone, with the engines {engines}; `executor --probe` tells more"
    )]
    NoSuchDevice {
        program: PathBuf,
        missing: Device,
        present: String,
        engines: String,
    },
}

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

/// An error, unless the executor has an engine for each GPU, and OpenVINO the device that the environment names.
pub async fn computes(command: &ExecutorCommand, devices: &Devices) -> Result<(), ProbeError> {
    let openvino_device = env::var_os(OPENVINO_DEVICE).filter(|named| !named.is_empty());
    if !devices.are_gpus() && openvino_device.is_none() {
        return Ok(());
    }
    let unasked = |source| ProbeError::Unasked {
        program: command.program.clone(),
        source,
    };
    let mut program = command.command();
    program
        .arg("--probe")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = match timeout(LIMIT, program.output()).await {
        Ok(output) => output.map_err(unasked)?,
        Err(_) => {
            let why = format!("no answer within {} s", LIMIT.as_secs());
            return Err(unasked(io::Error::other(why)));
        }
    };
    // Native libraries print, too: the answer is the last line.
    let stdout = String::from_utf8_lossy(&output.stdout);
    let mut lines = stdout.lines().rev();
    let answer = lines.find_map(|line| serde_json::from_str::<Answer>(line).ok());
    match answer.filter(|_| output.status.success()) {
        Some(answer) => {
            if openvino_device.is_some() {
                check_openvino(&answer, command)?;
            }
            match devices.are_gpus() {
                true => check(&answer, devices, command),
                false => Ok(()),
            }
        }
        None => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(ProbeError::Unsaid {
                program: command.program.clone(),
                status: output.status.to_string(),
                words: words.lines().last().unwrap_or("without a word").to_owned(),
            })
        }
    }
}

fn check_openvino(answer: &Answer, command: &ExecutorCommand) -> Result<(), ProbeError> {
    let mut engines = answer.engines.iter();
    let error = engines.find_map(|engine| match engine.name == "openvino" {
        true => engine.error.as_ref(),
        false => None,
    });
    match error.and_then(serde_json::Value::as_str) {
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
    Err(ProbeError::NoSuchDevice {
        program: command.program.clone(),
        missing: *missing,
        present: some(answer.devices.join(", ")),
        engines: some(engines.join(", ")),
    })
}

//! The program `openvino-ir`, which writes OpenVINO's own format.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::error::TaskError;

const PROGRAM: &str = "openvino-ir";

/// Writes an ONNX file as `xml` and what lies beside that; returns the version of OpenVINO that did it.
pub fn save(onnx: &Path, xml: &Path) -> Result<String, TaskError> {
    ask(&[onnx.as_os_str(), xml.as_os_str()])?;
    version()
}

/// Of OpenVINO; also tells whether the program can be used.
pub fn version() -> Result<String, TaskError> {
    ask(&["--version".as_ref()])
}

/// It is killed with this process, whose group it is in.
fn ask(arguments: &[&std::ffi::OsStr]) -> Result<String, TaskError> {
    let output = Command::new(program())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unusable(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    Err(unusable(match said.is_empty() {
        true => output.status.to_string(),
        false => said.to_owned(),
    }))
}

/// Beside this program, even after that has been replaced while it ran.
fn program() -> PathBuf {
    env::current_exe()
        .unwrap_or_default()
        .with_file_name(PROGRAM)
}

fn unusable(why: String) -> TaskError {
    TaskError::NoIrProgram {
        program: program(),
        why,
    }
}

//! `ctl doctor`: what this machine has, what it lacks, and what to do about it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use weights::WeightsFolder;

use crate::machine::{free_disk, memory_bytes};
use crate::output::{Table, counted};
use crate::{Common, Error, places};

/// Loading three native libraries takes about a second; this is for a cold disk.
const PROBE_LIMIT: Duration = Duration::from_secs(60);
/// Less free space than this is worth a word.
const LOW_DISK_BYTES: u64 = 2 << 30;
/// Less memory than this is worth a word: libtorch and a fit need about a gigabyte.
const LOW_MEMORY_BYTES: u64 = 2 << 30;

#[derive(clap::Args)]
pub struct Args {}

/// One thing looked at.
struct Check {
    what: String,
    /// `ok`; `optional`: not here, and only some jobs need it; `warning`; `missing`: no job runs without it.
    state: &'static str,
    found: String,
    /// What to do about it; empty if nothing.
    advice: String,
}

impl Check {
    fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            state: "ok",
            found: found.into(),
            advice: String::new(),
        }
    }

    fn bad(
        state: &'static str,
        what: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            state,
            found: found.into(),
            advice: advice.into(),
        }
    }
}

pub fn run(common: &Common, _: &Args) -> Result<(), Error> {
    let state = places::state_folder(common)?;
    let folder = WeightsFolder::new(places::weights_folder()?);
    let weights = super::weights::checked(&folder);
    let probe = probe();
    let mut checks = vec![
        Check::ok("version", env!("CARGO_PKG_VERSION")),
        cpu(&probe),
        devices(&probe),
        libraries(),
    ];
    checks.extend(programs());
    checks.extend(engines(&probe));
    checks.extend(openvino_ir(&probe));
    checks.extend(weight_checks(&folder, &weights));
    checks.push(storage(&state));
    let memory = memory_bytes();
    checks.push(memory_check(memory));
    let ready = checks.iter().all(|check| check.state != "missing");
    let value = json!({
        "ready": ready,
        "version": env!("CARGO_PKG_VERSION"),
        "checks": checks.iter().map(|check| json!({"what": check.what, "state": check.state, "found": check.found,
            "advice": if check.advice.is_empty() { Value::Null } else { check.advice.clone().into() }})).collect::<Value>(),
        "cpu": {"model": probe.as_ref().map_or(Value::Null, |answer| answer["cpu"]["model"].clone()), "features": cpu_features(), "cores": cores()},
        "engines": probe.as_ref().map_or(Value::Null, |answer| answer["engines"].clone()),
        "devices": probe.as_ref().map_or(Value::Null, |answer| answer["devices"].clone()),
        "native_folder": places::native_folder(),
        "weights": {"folder": folder.root(), "backbones": weights},
        "state_folder": state,
        "free_disk_bytes": free_disk(&state),
        "memory_bytes": memory.map(|(total, _)| total),
        "available_memory_bytes": memory.map(|(_, available)| available),
    });
    common.output.print(&value, || {
        let mut table = Table::new(&["what", "state", "found", "what to do"]);
        for check in &checks {
            table.row([
                check.what.clone(),
                check.state.to_owned(),
                check.found.clone(),
                check.advice.clone(),
            ]);
        }
        table.render()
    })?;
    if ready {
        Ok(())
    } else {
        Err(Error::cannot_run(
            "something that every job needs is missing, see above",
        ))
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    let all = [
        ("sse4.2", std::is_x86_feature_detected!("sse4.2")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx512vnni", std::is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", std::is_x86_feature_detected!("avx512bf16")),
    ];
    all.into_iter()
        .filter(|(_, has)| *has)
        .map(|(name, _)| name)
        .collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}

fn cpu(probe: &Result<Value, String>) -> Check {
    let features = cpu_features();
    let model = probe
        .as_ref()
        .ok()
        .and_then(|answer| answer["cpu"]["model"].as_str())
        .map_or(String::new(), |model| format!("{model}; "));
    let found = format!(
        "{model}{}; {}",
        counted(cores() as u64, "core"),
        features.join(" ")
    );
    if features.contains(&"avx2") {
        Check::ok("cpu", found)
    } else {
        Check::bad(
            "warning",
            "cpu",
            found,
            "works, slowly: the engines are fast with AVX2 or AVX-512",
        )
    }
}

/// Where the native libraries are looked for first.
fn libraries() -> Check {
    let what = "library folder";
    match places::native_folder() {
        Some(folder) if folder.is_dir() => Check::ok(what, folder.display().to_string()),
        Some(folder) => Check::bad(
            "warning",
            what,
            format!("{} is no folder", folder.display()),
            "set NIGHTSHIFT_NATIVE_DIR to the folder of the native libraries, or unset it",
        ),
        None => Check::bad(
            "optional",
            what,
            "no folder lib/ beside the programs: left to the system's loader",
            "",
        ),
    }
}

fn programs() -> Vec<Check> {
    ["coordinator", "worker", "executor"]
        .into_iter()
        .map(|name| match places::program(name) {
            Ok(path) => Check::ok(format!("program {name}"), path.display().to_string()),
            Err(error) => Check::bad(
                "missing",
                format!("program {name}"),
                error.to_string(),
                "`make build`, or copy all programs and lib/ together",
            ),
        })
        .collect()
}

/// What `executor --probe` says: engines with version and library or what is wrong, and the processor's name.
fn probe() -> Result<Value, String> {
    let path = places::program("executor").map_err(|error| error.to_string())?;
    let mut command = Command::new(path);
    command
        .arg("--probe")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(native) = places::native_folder() {
        // As the worker does for its executors: libtorch is resolved before main.
        command
            .env("NIGHTSHIFT_NATIVE_DIR", &native)
            .env("LD_LIBRARY_PATH", &native);
    }
    let child = command.spawn().map_err(|error| error.to_string())?;
    let id = child.id();
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(child.wait_with_output()));
    let output = match receive.recv_timeout(PROBE_LIMIT) {
        Ok(output) => output.map_err(|error| error.to_string())?,
        Err(_) => {
            if let Some(pid) = i32::try_from(id)
                .ok()
                .and_then(rustix::process::Pid::from_raw)
            {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            return Err(format!("no answer within {} s", PROBE_LIMIT.as_secs()));
        }
    };
    let stdout = String::from_utf8_lossy(&output.stdout);
    // Native libraries print, too: the answer is the last line.
    let answer = stdout
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str::<Value>(line).ok())
        .or_else(|| serde_json::from_str(&stdout).ok());
    answer.filter(|_| output.status.success()).ok_or_else(|| {
        let words = String::from_utf8_lossy(&output.stderr);
        format!(
            "executor --probe ended ({}): {}",
            output.status,
            words.lines().last().unwrap_or("without a word")
        )
    })
}

/// What `worker --device` may offer.
fn devices(probe: &Result<Value, String>) -> Check {
    let devices = probe.as_ref().ok().and_then(|p| p["devices"].as_array());
    let devices: Vec<&str> = devices
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match devices.as_slice() {
        [] => Check::bad("missing", "devices", "none", "an engine brings them"),
        devices => Check::ok("devices", devices.join(", ")),
    }
}

fn engines(probe: &Result<Value, String>) -> Vec<Check> {
    const ADVICE: &str = "`make setup` fetches the native libraries; lib/ beside the programs or NIGHTSHIFT_NATIVE_DIR names their folder; a copy of bin/ must follow its links (`cp -rL`)";
    let list = match probe {
        Ok(answer) => answer["engines"].as_array().cloned().unwrap_or_default(),
        Err(problem) => return vec![Check::bad("missing", "engines", problem.clone(), ADVICE)],
    };
    if list.is_empty() {
        return vec![Check::bad(
            "missing",
            "engines",
            "the executor was built without any",
            "build it with at least one engine",
        )];
    }
    let text = |engine: &Value, key: &str| engine[key].as_str().unwrap_or_default().to_owned();
    let usable = |engine: &Value| engine["error"].is_null();
    let there: Vec<String> = list
        .iter()
        .filter(|one| usable(one))
        .map(|one| text(one, "name"))
        .collect();
    let there = there.join(",");
    list.iter()
        .map(|engine| {
            let what = format!("engine {}", text(engine, "name"));
            if usable(engine) {
                // A library found by the system's loader has no path.
                let library = format!("{} {}", text(engine, "version"), text(engine, "library"));
                let words = |key: &str| {
                    let words = engine[key].as_array().into_iter().flatten();
                    words
                        .filter_map(Value::as_str)
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                // Where the library has devices of its own names.
                let devices = match (words("found_devices"), words("devices")) {
                    (found, used) if found.is_empty() || found == used => String::new(),
                    (found, used) => format!("; finds {found}, computes on {used}"),
                };
                let precisions = words("precisions");
                Check::ok(
                    what,
                    format!("{}{devices}; {precisions}", library.trim_end()),
                )
            } else {
                let error = text(engine, "error");
                match text(engine, "name").as_str() {
                    "torch-cuda" => Check::bad("optional", what, error, "only for NVIDIA GPUs"),
                    _ if there.is_empty() => Check::bad("missing", what, error, ADVICE),
                    _ => Check::bad(
                        "warning",
                        what,
                        error,
                        format!("{ADVICE}; workers here offer {there} alone"),
                    ),
                }
            }
        })
        .collect()
}

/// The program that writes OpenVINO's files, for exports alone.
fn openvino_ir(probe: &Result<Value, String>) -> Option<Check> {
    let helper = &probe.as_ref().ok()?["openvino_ir"];
    let what = "program openvino-ir";
    if let Some(version) = helper["version"].as_str() {
        return Some(Check::ok(
            what,
            format!("writes files of OpenVINO {version}"),
        ));
    }
    let error = helper["error"].as_str()?;
    let advice =
        "only for `ctl export --engine openvino`: `make build` makes it; it goes beside executor";
    Some(Check::bad("optional", what, error, advice))
}

fn weight_checks(folder: &WeightsFolder, weights: &[Value]) -> Vec<Check> {
    let check = |weights: &Value| {
        let backbone = weights["backbone"].as_str().unwrap_or_default();
        let what = format!("weights {backbone}");
        let import = format!("`ctl weights import FILE --backbone {backbone}`");
        if weights["path"].is_null() {
            return Check::bad(
                "optional",
                what,
                format!("none in {}", folder.root().display()),
                format!(
                    "{import}, FILE: torchvision's .pth or timm's safetensors; jobs with `pre_trained: false` need none"
                ),
            );
        }
        if let Some(problem) = weights["problem"].as_str() {
            return Check::bad("warning", what, problem, format!("{import}, again"));
        }
        match weights["licence"].as_str() {
            Some(licence) if licence != "unknown" => {
                Check::ok(what, format!("whole; licence {licence}"))
            }
            _ => Check::bad(
                "warning",
                what,
                "whole; licence unknown",
                format!("{import} --licence NAME, again"),
            ),
        }
    };
    weights.iter().map(check).collect()
}

fn storage(state: &Path) -> Check {
    let what = "state folder";
    // The nearest folder that is there: the rest is made when needed.
    let Some(there) = state.ancestors().find(|folder| folder.exists()) else {
        return Check::bad(
            "missing",
            what,
            state.display().to_string(),
            "choose another with --state",
        );
    };
    if rustix::fs::access(
        there,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )
    .is_err()
    {
        return Check::bad(
            "missing",
            what,
            format!("{} cannot be written", there.display()),
            "choose another with --state",
        );
    }
    match free_disk(there) {
        Some(free) => {
            let found = format!("{}, {} free", state.display(), gigabytes(free));
            if free < LOW_DISK_BYTES {
                Check::bad(
                    "warning",
                    what,
                    found,
                    "features are spooled there: free some space or choose another with --state",
                )
            } else {
                Check::ok(what, found)
            }
        }
        None => Check::bad(
            "warning",
            what,
            format!("{}: its free space is not known", there.display()),
            "choose another with --state",
        ),
    }
}

fn memory_check(memory: Option<(u64, u64)>) -> Check {
    match memory {
        Some((total, available)) => {
            let found = format!("{} of {} available", gigabytes(available), gigabytes(total));
            if available < LOW_MEMORY_BYTES {
                Check::bad(
                    "warning",
                    "memory",
                    found,
                    "close something, or keep image sizes small",
                )
            } else {
                Check::ok("memory", found)
            }
        }
        _ => Check::bad(
            "warning",
            "memory",
            "not known",
            "give tasks a limit: `resources: {memory: 8GiB}`",
        ),
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

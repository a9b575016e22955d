//! What this machine can compute with: for `ctl doctor`, and for workers at their start.

use std::collections::BTreeSet;

use engines::{Choice, EngineError, EngineInfo};
use serde_json::{Value, json};

use crate::{
    error::{TaskError, one_line},
    fingerprint, handover,
    model::weights_folder,
    openvino_ir,
};

/// One JSON object: version, engines, CPU, threads, weights.
pub fn probe() -> Value {
    let (not_linked, here): (Vec<_>, Vec<_>) = engines::probe()
        .into_iter()
        .partition(|engine| matches!(engine.error, Some(EngineError::NotLinked { .. })));
    let mut engines: Vec<Value> = here.into_iter().map(described).collect();
    engines.extend(beside(not_linked));
    let of_engines = engines.iter().filter_map(|e| e["devices"].as_array());
    let devices: BTreeSet<&str> = of_engines.flatten().filter_map(Value::as_str).collect();
    let folder = weights::WeightsFolder::new(weights_folder());
    let weights: Vec<Value> = folder
        .list()
        .into_iter()
        .map(|listed| {
            json!({
                "backbone": listed.backbone,
                "path": listed.path,
                "bytes": listed.bytes,
                "licence": listed.sidecar.as_ref().map(|sidecar| &sidecar.licence),
                "source": listed.sidecar.as_ref().map(|sidecar| &sidecar.source),
            })
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "devices": devices,
        "openvino_ir": match openvino_ir::version() {
            Ok(version) => json!({"version": version}),
            Err(error) => json!({"error": one_line(&error)}),
        },
        "engines": engines,
        "cpu": { "model": fingerprint::cpu_model(), "features": engines::cpu_features() },
        "threads": std::thread::available_parallelism().map_or(1, usize::from),
        "weights_folder": folder.root(),
        "weights": weights,
    })
}

fn described(engine: EngineInfo) -> Value {
    let precisions = engine.precisions.iter().map(|one| one.name());
    json!({
        "name": engine.name,
        "version": engine.version,
        "library": engine.path,
        "devices": engine.devices,
        "found_devices": engine.found_devices,
        "precisions": precisions.collect::<Vec<_>>(),
        "error": engine.error.map(|error| one_line(&error)),
    })
}

/// The engines that only `executor-torch` has, as that says.
fn beside(engines: Vec<EngineInfo>) -> Vec<Value> {
    if engines.is_empty() {
        return Vec::new();
    }
    let answer = handover::ask("--probe").map(|text| {
        let said = |line| serde_json::from_str::<Value>(line).ok();
        text.lines().rev().find_map(said).unwrap_or_default()
    });
    let of_engine = |name: &str| match &answer {
        Ok(probe) => {
            let mut said = probe["engines"].as_array().into_iter().flatten();
            said.find(|engine| engine["name"] == name).cloned().unwrap_or_else(|| {
                json!({"name": name, "error": "executor-torch did not say; `make build` makes it anew"})
            })
        }
        Err(TaskError::NoTorchProgram { program, why }) => {
            json!({"name": name, "error": format!("{}: {why}", program.display()), "advice": format!(
            "only for `engine: {name}`: `make build` makes executor-torch; it goes beside executor, with the native libraries in lib/")})
        }
        Err(error) => json!({"name": name, "error": one_line(error)}),
    };
    engines
        .iter()
        .map(|engine| of_engine(engine.name))
        .collect()
}

/// The names of the engines that can be used here, but for GPUs: those are only told by `--probe`, which takes longer.
pub fn present() -> Value {
    let mut there = vec![Choice::OpenVino, Choice::OnnxRuntime];
    there.retain(|choice| engines::open(*choice).is_ok());
    there.extend(handover::is_there().then_some(Choice::TorchCpu));
    there.into_iter().map(Choice::name).collect()
}

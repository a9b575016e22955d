//! What this machine can compute with, for `ctl doctor`.

use std::collections::BTreeSet;

use engines::EngineError;
use serde_json::{Value, json};

use crate::{
    error::{TaskError, one_line},
    fingerprint, handover,
    model::weights_folder,
    openvino_ir,
};

/// One JSON object: version, engines, CPU, threads, weights.
pub fn probe() -> Value {
    let engines: Vec<Value> = engines::probe()
        .into_iter()
        .map(|engine| match engine.error {
            Some(EngineError::NotLinked { engine }) => beside(engine),
            error => json!({
                "name": engine.name,
                "version": engine.version,
                "library": engine.path,
                "devices": engine.devices,
                "found_devices": engine.found_devices,
                "precisions": engine.precisions.iter().map(|one| one.name()).collect::<Vec<_>>(),
                "error": error.map(|error| one_line(&error)),
            }),
        })
        .collect();
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

/// The engine that only `executor-torch` has, as that says.
fn beside(engine: &'static str) -> Value {
    let answer = handover::ask("--probe").map(|text| {
        let probe: Option<Value> = text
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str(line).ok());
        let engines = probe.as_ref().and_then(|probe| probe["engines"].as_array());
        engines
            .and_then(|engines| engines.iter().find(|found| found["name"] == engine))
            .cloned()
    });
    match answer {
        Ok(Some(found)) => found,
        Ok(None) => {
            json!({"name": engine, "error": "executor-torch did not say; `make build` makes it anew"})
        }
        Err(TaskError::NoTorchProgram { program, why }) => {
            json!({"name": engine, "error": format!("{}: {why}", program.display()), "advice":
            "only for `engine: torch-cpu`: `make build` makes executor-torch; it goes beside executor, with the native libraries in lib/"})
        }
        Err(error) => json!({"name": engine, "error": one_line(&error)}),
    }
}

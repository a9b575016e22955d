//! What this machine can compute with, for `ctl doctor`.

use serde_json::{Value, json};

use crate::{fingerprint, model::weights_folder};

/// One JSON object: version, engines, CPU, threads, weights.
pub fn probe() -> Value {
    let engines: Vec<Value> = engines::probe()
        .into_iter()
        .map(|engine| {
            json!({
                "name": engine.name,
                "version": engine.version,
                "library": engine.path,
                "error": engine.error.map(|error| crate::error::chain(&error)),
            })
        })
        .collect();
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
        "engines": engines,
        "cpu": { "model": fingerprint::cpu_model(), "features": engines::cpu_features() },
        "threads": std::thread::available_parallelism().map_or(1, usize::from),
        "weights_folder": folder.root(),
        "weights": weights,
    })
}

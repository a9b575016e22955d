//! What tells a run from the others of the same model on the same dataset: the values on the job's grids.

use std::collections::BTreeMap;

use proto::v1::Run;
use serde_json::Value;

use crate::output::embedded;

/// One map a run: the paths whose values differ between runs of the same model and dataset. Category and seed have
/// columns of their own, and the model's name says what differs in the model.
pub fn of_runs(runs: &[Run]) -> Vec<BTreeMap<String, Value>> {
    let axes: Vec<BTreeMap<String, Value>> = runs
        .iter()
        .map(|run| {
            let mut found = BTreeMap::new();
            if let Value::Object(axes) = embedded(&run.axes_json) {
                for (path, value) in &axes {
                    leaves(path, value, &mut found);
                }
            }
            found.retain(|path, _| !has_a_column(path));
            found
        })
        .collect();
    runs.iter()
        .zip(&axes)
        .map(|(run, own)| {
            let others: Vec<_> = runs
                .iter()
                .zip(&axes)
                .filter(|(other, _)| other.model == run.model && other.dataset == run.dataset)
                .map(|(_, axes)| axes)
                .collect();
            own.iter()
                .filter(|(path, value)| others.iter().any(|other| other.get(*path) != Some(value)))
                .map(|(path, value)| (path.clone(), value.clone()))
                .collect()
        })
        .collect()
}

/// For people: `data.image_size=64 normalization=none`.
pub fn text(settings: &BTreeMap<String, Value>) -> String {
    let one = |(path, value): (&String, &Value)| format!("{path}={}", short(value));
    settings.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn has_a_column(path: &str) -> bool {
    path == "seed" || path == "data.category" || path == "model" || path.starts_with("model.")
}

/// The values that are no maps, by path. `init_args` says nothing to people.
fn leaves(path: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    let path = path.strip_suffix(".init_args").unwrap_or(path);
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, value)| leaves(&format!("{path}.{name}"), value, found)),
        value => _ = found.insert(path.replace(".init_args.", "."), value.clone()),
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(short).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

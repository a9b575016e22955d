//! The section `resources` of a job file: what the job's tasks need of their workers.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use types::Labels;

use crate::{
    names,
    node::{Node, Value},
    quantity,
    report::Report,
    resolved::{DeviceChoice, EngineChoice, Resources},
};

const KEYS: &[&str] = &[
    "pool", "timeout", "retries", "memory", "engine", "device", "labels",
];
pub(crate) const ENGINES: &[&str] = &["auto", "openvino", "onnxruntime", "torch-cpu", "torch-cuda"];
pub(crate) const DEVICES: &[&str] = &["auto", "cpu", "gpu"];

/// Less is not enough to load an engine.
const MIN_MEMORY: u64 = 64 << 20;

pub(crate) fn read(node: Option<&Node>, report: &mut Report<'_>) -> Option<Resources> {
    let mut resources = Resources::default();
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some(resources);
    };
    if !matches!(node.value, Value::Map(_)) {
        report.error(
            node.at,
            format!("resources: expected a map, found {}", node.describe()),
        );
        return None;
    }
    for entry in node.entries() {
        let value = &entry.node;
        let expected = |report: &mut Report<'_>, expected: &str| {
            report.error(
                value.at,
                format!(
                    "resources.{}: expected {expected}, found {}",
                    entry.key,
                    value.describe()
                ),
            );
        };
        let text = value
            .text()
            .map(|text| text.replace('_', "-").to_lowercase());
        let one_of = |words: &[&'static str], meant: Option<&str>, report: &mut Report<'_>| {
            let nearest = || names::nearest(text.as_deref()?, words.iter().copied());
            let message = format!(
                "resources.{}: expected one of {}, found {}",
                entry.key,
                words.join(", "),
                value.describe()
            );
            report.suggest(value.at, message, meant.map(str::to_owned).or_else(nearest));
        };
        match entry.key.as_str() {
            "timeout" | "memory" | "labels" if value.is_null() => {}
            "pool" => match value.text().map(str::parse) {
                Some(Ok(pool)) => resources.pool = pool,
                _ => expected(report, "a name such as cpu"),
            },
            "timeout" => match value.text().and_then(quantity::seconds) {
                Some(seconds) => resources.timeout_s = Some(seconds),
                None => expected(report, "a time with its unit, such as 90s, 30m or 2h"),
            },
            "memory" => match value.text().and_then(quantity::bytes) {
                Some(bytes) if bytes >= MIN_MEMORY => resources.memory_bytes = Some(bytes),
                _ => expected(
                    report,
                    "an amount with its unit, at least 64MiB, such as 8GiB",
                ),
            },
            "labels" => labels(value, &mut resources.labels, report),
            "retries" => match value.value {
                Value::Int(retries @ 0..=100) => resources.retries = retries as u32,
                _ => expected(report, "an integer from 0 to 100"),
            },
            "engine" => match text.as_deref().and_then(EngineChoice::parse) {
                Some(engine) => resources.engine = engine,
                None => one_of(ENGINES, None, report),
            },
            "device" => match text.as_deref().and_then(DeviceChoice::parse) {
                Some(device) => resources.device = device,
                None => {
                    // The word of libraries, and of `worker --device`.
                    let cuda = text.as_ref().is_some_and(|text| text.starts_with("cuda"));
                    one_of(DEVICES, cuda.then_some("gpu"), report);
                }
            },
            unknown => {
                let message = format!(
                    "resources has no key {unknown:?}; it has {}",
                    KEYS.join(", ")
                );
                report.suggest(
                    entry.at,
                    message,
                    names::nearest(unknown, KEYS.iter().copied()),
                );
            }
        }
    }
    if let Some(why) = resources.contradiction() {
        let device = node.get("device").map_or(node.at, |device| device.at);
        report.error(device, format!("resources.device: {why}"));
    }
    Some(resources)
}

impl Resources {
    /// The section of a job file that reads as these.
    pub fn section(&self) -> Json {
        let mut section = json!({
            "pool": self.pool.to_string(),
            "retries": self.retries,
            "engine": self.engine.as_str(),
            "device": self.device.as_str(),
            "labels": self.labels.iter().collect::<BTreeMap<_, _>>(),
        });
        if let Some(seconds) = self.timeout_s {
            section["timeout"] = format!("{seconds}s").into();
        }
        if let Some(bytes) = self.memory_bytes {
            // A power of two divides without loss.
            section["memory"] = format!("{}KiB", bytes as f64 / 1024.0).into();
        }
        section
    }
}

fn labels(node: &Node, labels: &mut Labels, report: &mut Report<'_>) {
    if !matches!(node.value, Value::Map(_)) {
        let found = node.describe();
        let message =
            format!("resources.labels: expected a map such as {{zone: b}}, found {found}");
        return report.error(node.at, message);
    }
    for entry in node.entries() {
        let Some(value) = entry.node.text() else {
            let (name, found) = (&entry.key, entry.node.describe());
            let message = format!("resources.labels.{name}: expected a text, found {found}");
            report.error(entry.node.at, message);
            continue;
        };
        if let Err(error) = labels.insert(&entry.key, value) {
            report.error(entry.at, format!("resources.labels: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{node::At, resolved::ModelSource};

    #[test]
    fn resources_written_as_a_section_read_back() {
        let read_back = |section: &Json| {
            let node = Node::from_json(section, At::START);
            let mut report = Report::new("", &[]);
            let resources = read(Some(&node), &mut report).expect("right");
            assert!(report.errors.is_empty());
            resources
        };
        let given = json!({
            "pool": "night", "timeout": "1h30m", "retries": 7, "memory": "1000000001kB", "engine": "torch_cpu", "device": "cpu",
            "labels": {"zone": "b", "disk": "ssd"},
        });
        let resources = read_back(&given);
        assert_eq!(resources.timeout_s, Some(5_400));
        for resources in [resources, Resources::default()] {
            assert_eq!(read_back(&resources.section()), resources);
        }
    }

    #[test]
    fn auto_is_the_fastest_offered_engine_that_reads_all_models() {
        let offered: Vec<String> = ENGINES[1..].iter().map(|&one| one.to_owned()).collect();
        let package = |name: &str| ModelSource::Package(name.to_owned());
        for (names, engine) in [
            (&["cells"][..], EngineChoice::TorchCuda),
            (&["model.onnx", "cells"], EngineChoice::Openvino),
            (&["model.onnx", "model.xml"], EngineChoice::Openvino),
        ] {
            let models: Vec<ModelSource> = names.iter().map(|name| package(name)).collect();
            assert_eq!(
                EngineChoice::Auto.among(&offered, &models),
                engine,
                "{names:?}"
            );
            let named = EngineChoice::TorchCpu.among(&offered, &models);
            assert_eq!(named, EngineChoice::TorchCpu);
        }
        let of_onnxruntime = &offered[1..];
        let auto = |name| EngineChoice::Auto.among(of_onnxruntime, &[package(name)]);
        assert_eq!(auto("model.onnx"), EngineChoice::Onnxruntime);
        // Nobody would be given it: it waits for one that has OpenVINO.
        assert_eq!(auto("model.xml"), EngineChoice::Auto);
        assert_eq!(
            EngineChoice::Auto.wanted(&[package("model.xml")]),
            [EngineChoice::Openvino]
        );
    }
}

//! Jobs of kind `export`: a trained package as files that other programs read.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    names,
    node::{Node, Value},
    report::Report,
    resolved::{EngineChoice, JobKind, Resources},
    run,
};

pub(crate) const KEYS: &[&str] = &["engine", "compress_to_fp16", "anomalib"];

/// What a job of kind export does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportSpec {
    /// A trained package: a name in the store's `models/` (with `@VERSION`), or the path or URI of its `package.json`.
    pub package: String,
    pub engine: ExportEngine,
    /// The network's weights are stored in half precision; what the model has learned is not.
    pub compress_to_fp16: bool,
    /// The files take images of any size, as Anomalib's inferencers give them, and resize them in another way than a job does.
    pub anomalib: bool,
}

/// Whose files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportEngine {
    Onnx,
    Openvino,
    Torch,
}

impl ExportEngine {
    pub const ALL: [Self; 3] = [Self::Onnx, Self::Openvino, Self::Torch];

    /// The word used in files and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            Self::Openvino => "openvino",
            Self::Torch => "torch",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.as_str() == text)
    }
}

impl ExportSpec {
    /// Why this cannot be done, and the key at fault.
    pub fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        match self.engine {
            ExportEngine::Torch if self.compress_to_fp16 => Some((
                "compress_to_fp16",
                "torch's files keep 32 bits; take the engine onnx or openvino, or leave it out",
            )),
            ExportEngine::Torch if self.anomalib => Some((
                "anomalib",
                "Anomalib's TorchInferencer reads no TorchScript; take the engine onnx or openvino, or leave it out",
            )),
            _ => None,
        }
    }

    /// What writing these files needs of the worker.
    pub(crate) fn needs(&self) -> EngineChoice {
        match self.engine {
            ExportEngine::Torch => EngineChoice::TorchCpu,
            ExportEngine::Onnx | ExportEngine::Openvino => EngineChoice::Auto,
        }
    }
}

/// `None` after saying what is wrong. The engine in `resources` becomes the one that the export needs.
pub(crate) fn read(
    root: &Node,
    current_dir: &Path,
    resources: Option<&mut Resources>,
    report: &mut Report<'_>,
) -> Option<ExportSpec> {
    for entry in root.entries() {
        if entry.key != "model" && crate::read::RUN_KEYS.contains(&entry.key.as_str()) {
            report.error(
                entry.at,
                format!("a job of kind export has no {:?}: the package has learned and was measured already", entry.key),
            );
        }
    }
    let package = run::Reader::new(JobKind::Export, current_dir).trained(root, report);
    let Some(node) = root.get("export").filter(|node| !node.is_null()) else {
        report.error(
            root.at,
            "the key `export` is missing; such as `export: {engine: openvino}`",
        );
        return None;
    };
    if !matches!(node.value, Value::Map(_)) {
        let message = format!(
            "export: expected a map with `engine`, found {}",
            node.describe()
        );
        report.error(node.at, message);
        return None;
    }
    for entry in node.entries() {
        if !KEYS.contains(&entry.key.as_str()) {
            report.suggest(
                entry.at,
                format!(
                    "export has no key {:?}; it has {}",
                    entry.key,
                    KEYS.join(", ")
                ),
                names::nearest(&entry.key, KEYS.iter().copied()),
            );
        }
    }
    let engine = engine(node, report);
    let compress_to_fp16 = truth(node, "compress_to_fp16", report);
    let anomalib = truth(node, "anomalib", report);
    let spec = ExportSpec {
        package: package?,
        engine: engine?,
        compress_to_fp16: compress_to_fp16?,
        anomalib: anomalib?,
    };
    if let Some((key, why)) = spec.contradiction() {
        let at = node.get(key).map_or(node.at, |node| node.at);
        report.error(at, format!("export.{key}: {why}"));
        return None;
    }
    let resources = resources?;
    match (spec.needs(), resources.engine) {
        (_, EngineChoice::Auto) => resources.engine = spec.needs(),
        (needed, given) if needed == given => {}
        (needed, _) => {
            let at = root.get("resources").map_or(root.at, |node| node.at);
            let needed = needed.as_str();
            report.error(
                at,
                format!("resources.engine: this export needs {needed}; leave it out"),
            );
            return None;
        }
    }
    Some(spec)
}

fn engine(node: &Node, report: &mut Report<'_>) -> Option<ExportEngine> {
    let words = ExportEngine::ALL.map(ExportEngine::as_str);
    let Some(engine) = node.get("engine").filter(|engine| !engine.is_null()) else {
        let message = format!("export.engine is missing; one of {}", words.join(", "));
        report.error(node.at, message);
        return None;
    };
    let text = engine
        .text()
        .map(|text| text.replace(['_', '-'], "").to_lowercase());
    let found = text.as_deref().and_then(ExportEngine::parse);
    if found.is_none() {
        report.suggest(
            engine.at,
            format!(
                "export.engine: expected one of {}, found {}",
                words.join(", "),
                engine.describe()
            ),
            text.and_then(|text| names::nearest(&text, words)),
        );
    }
    found
}

fn truth(node: &Node, key: &str, report: &mut Report<'_>) -> Option<bool> {
    let Some(value) = node.get(key).filter(|value| !value.is_null()) else {
        return Some(false);
    };
    match value.value {
        Value::Bool(value) => Some(value),
        _ => {
            let found = value.describe();
            report.error(
                value.at,
                format!("export.{key}: expected true or false, found {found}"),
            );
            None
        }
    }
}

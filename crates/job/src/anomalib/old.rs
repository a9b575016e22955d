//! Files of Anomalib before 1.0 in the words of 1.0.

use params::same_name;

use super::{into_entries, not_used, put};
use crate::{
    node::{At, Entry, Node, Value},
    report::Report,
};

pub(super) const DATASET: &str = "dataset";
const MODEL_NAME: &str = "model_name";

/// Whether sections are named as before 1.0.
pub(super) fn is_old(theirs: &[Entry]) -> bool {
    theirs.iter().any(|entry| match entry.key.as_str() {
        DATASET | MODEL_NAME => true,
        "model" => entry.node.get("name").is_some(),
        _ => false,
    })
}

/// The sections of 1.0; `at` is the file's place.
pub(super) fn renewed(theirs: Vec<Entry>, at: At, report: &mut Report<'_>) -> Vec<Entry> {
    let mut new = Node::new(at, Value::Map(Vec::new()));
    for entry in theirs {
        if entry.node.is_null() {
            continue;
        }
        match entry.key.as_str() {
            DATASET => each(entry, &mut new, report, dataset),
            "model" => each(entry, &mut new, report, model),
            MODEL_NAME => put(&mut new, "model.class_path", entry.at, entry.node, report),
            "metrics" => each(entry, &mut new, report, metrics),
            "project" => each(entry, &mut new, report, project),
            _ => put(&mut new, &entry.key.clone(), entry.at, entry.node, report),
        }
    }
    // As in the files that each model of 0.x brought along.
    if new
        .get("data")
        .is_none_or(|data| matches!(data.value, Value::Map(_)) && data.get("class_path").is_none())
    {
        let mvtec = Node::new(at, Value::Text("MVTec".to_owned()));
        put(&mut new, "data.class_path", at, mvtec, report);
    }
    let mut entries = into_entries(new);
    for entry in &mut entries {
        if let ("model" | "data", Value::Map(below)) = (entry.key.as_str(), &mut entry.node.value) {
            below.sort_by_key(|below| below.key != "class_path");
        }
    }
    entries
}

/// Every entry of a section; what is no map is an error.
fn each(
    section: Entry,
    new: &mut Node,
    report: &mut Report<'_>,
    entry: fn(Entry, &mut Node, &mut Report<'_>),
) {
    if !matches!(section.node.value, Value::Map(_)) {
        let found = section.node.describe();
        let message = format!("{}: expected a map, found {found}", section.key);
        return report.error(section.node.at, message);
    }
    into_entries(section.node)
        .into_iter()
        .for_each(|below| entry(below, new, report));
}

fn dataset(entry: Entry, new: &mut Node, report: &mut Report<'_>) {
    let path = match entry.key.as_str() {
        "format" => "data.class_path".to_owned(),
        "path" => "data.init_args.root".to_owned(),
        "transform_config" => {
            return into_entries(entry.node).into_iter().for_each(|below| {
                let path = format!("data.init_args.transform_config_{}", below.key);
                put(new, &path, below.at, below.node, report);
            });
        }
        "tiling" => {
            // Sizes of tiles say nothing where there are none.
            if entry
                .node
                .get("apply")
                .is_some_and(|apply| apply.value != Value::Bool(false))
            {
                not_used(
                    "dataset.tiling",
                    entry.at,
                    &entry.node,
                    "images are not cut into tiles",
                    report,
                );
            }
            return;
        }
        key => format!("data.init_args.{key}"),
    };
    put(new, &path, entry.at, entry.node, report);
}

fn model(entry: Entry, new: &mut Node, report: &mut Report<'_>) {
    let path = match entry.key.as_str() {
        "name" => "model.class_path".to_owned(),
        "class_path" | "init_args" => format!("model.{}", entry.key),
        "normalization_method" => {
            // Both words of 0.x for no normalization.
            let node = match entry.node.value {
                Value::Null => Node::new(entry.node.at, Value::Text("none".to_owned())),
                _ => entry.node,
            };
            return put(new, "normalization", entry.at, node, report);
        }
        key => format!("model.init_args.{key}"),
    };
    put(new, &path, entry.at, entry.node, report);
}

fn project(entry: Entry, new: &mut Node, report: &mut Report<'_>) {
    match entry.key.as_str() {
        _ if entry.node.is_null() => {}
        "seed" => put(new, "seed_everything", entry.at, entry.node, report),
        "path" => put(new, "default_root_dir", entry.at, entry.node, report),
        key => {
            let what = format!("project.{key}");
            not_used(
                &what,
                entry.at,
                &entry.node,
                "each job has a folder of its own",
                report,
            );
        }
    }
}

fn metrics(entry: Entry, new: &mut Node, report: &mut Report<'_>) {
    if entry.key != "threshold" || entry.node.get("method").is_none() {
        return put(
            new,
            &format!("metrics.{}", entry.key),
            entry.at,
            entry.node,
            report,
        );
    }
    let threshold = entry.node;
    let manual = threshold
        .get("method")
        .and_then(Node::text)
        .is_some_and(|method| same_name(method, "manual"));
    if manual && threshold.get("manual_image").is_none_or(Node::is_null) {
        let message = "metrics.threshold: the method manual needs a number as manual_image";
        return report.error(threshold.at, message);
    }
    for Entry { key, at, node } in into_entries(threshold) {
        match key.as_str() {
            "method" if manual => {}
            "method"
                if node
                    .text()
                    .is_some_and(|method| same_name(method, "adaptive")) =>
            {
                let adaptive = Node::new(node.at, Value::Text("F1AdaptiveThreshold".to_owned()));
                put(new, "metrics.threshold", at, adaptive, report);
            }
            "method" => {
                let found = node.describe();
                let message =
                    format!("metrics.threshold.method: expected adaptive or manual, found {found}");
                report.error(node.at, message);
            }
            "manual_pixel" if manual && node.is_null() => {
                report.warn(at, "metrics.threshold.manual_pixel is null: pixels have the threshold with the highest F1");
            }
            "manual_image" | "manual_pixel" if manual => {
                let level = key.trim_start_matches("manual_");
                put(new, &format!("metrics.threshold.{level}"), at, node, report);
            }
            key => {
                let because = match key {
                    "manual_image" | "manual_pixel" => "the method is adaptive",
                    _ => "no such key is known",
                };
                not_used(
                    &format!("metrics.threshold.{key}"),
                    at,
                    &node,
                    because,
                    report,
                );
            }
        }
    }
}

//! What the keys of Anomalib since 1.0 mean here.

use params::same_name;

use super::{asks_for_nothing, class, into_entries, keep_known, not_used, put};
use crate::{
    names,
    node::{At, Entry, Node, Value},
    report::Report,
    run,
};

const NOT_TRAINED: &str = "no model here is trained by gradient descent";
const WORKERS: &str = "each run is done once, by the workers that take it; `resources` says which, and with which engine";
const NO_GPU: &str =
    "the job goes to any worker; `resources: {device: gpu}` asks for one with a GPU";
const ONE_DEVICE: &str = "each task has one device, and the runs of a benchmark go side by side";
const NO_PICTURES: &str = "a job writes tables, and pictures on request";

/// Keys without a meaning here, and why.
const NOT_USED: &[(&str, &str)] = &[
    (
        "ckpt_path",
        "the model is fitted anew; `kind: test` uses one that is trained",
    ),
    ("optimizer", NOT_TRAINED),
    ("lr_scheduler", NOT_TRAINED),
    ("hardware", WORKERS),
    ("compute_openvino", "`resources.engine` chooses the engine"),
    (
        "writer",
        "results are always tables; `ctl results` shows them",
    ),
    (
        "logging",
        "results are always tables; `ctl results` shows them",
    ),
    ("visualization", NO_PICTURES),
    (
        "optimization",
        "models are neither compressed nor exported by this job",
    ),
    ("export", "models are not exported by this job"),
    ("tiling", "images are not cut into tiles"),
];

/// Keys that mean something here; what is nearly one of them was probably meant to be.
const USED: &[&str] = &[
    "model",
    "data",
    "task",
    "metrics",
    "normalization",
    "seed_everything",
    "default_root_dir",
    "results_dir",
    "trainer",
];

pub(super) fn translate(theirs: Vec<Entry>, ours: &mut Node, report: &mut Report<'_>) {
    for Entry { key, at, mut node } in theirs {
        if node.is_null() {
            continue;
        }
        match key.as_str() {
            "model" => {
                class::translate("model", models::REGISTRY, &mut node, report);
                put(ours, "model", at, node, report);
            }
            "data" => {
                class::translate("data", data::REGISTRY, &mut node, report);
                put(ours, "data", at, node, report);
            }
            "task" => put(ours, "task", at, node, report),
            "metrics" => {
                keep_known("metrics", run::METRICS_KEYS, &mut node, report);
                put(ours, "metrics", at, node, report);
            }
            "normalization" => {
                keep_known("normalization", &["normalization_method"], &mut node, report);
                put(ours, "normalization", at, node, report);
            }
            "seed" | "seed_everything" => match node.value {
                // Anomalib draws a seed (true), or leaves chance to itself (false).
                Value::Bool(_) => report.warn(
                    at,
                    format!("{key} is not used here: the seed is 0, so that the result can be repeated; give a number for another"),
                ),
                _ => put(ours, "seed", at, node, report),
            },
            "default_root_dir" => put(ours, "output", at, node, report),
            "results_dir" => results_dir(node, ours, report),
            "accelerator" => accelerator("accelerator", at, &node, ours, report),
            "trainer" => trainer(&Entry { key, at, node }, ours, report),
            _ => match NOT_USED.iter().find(|(known, _)| *known == key) {
                Some((_, because)) => not_used(&key, at, &node, because, report),
                None => {
                    let mut because = "no such key is known".to_owned();
                    if let Some(meant) = names::nearest(&key, USED.iter().copied()) {
                        because.push_str(&format!("; did you mean {meant:?}?"));
                    }
                    // An unknown key is named whatever its value is.
                    report.warn(at, format!("{key} is not used here: {because}"));
                }
            },
        }
    }
    one_task(ours, report);
}

/// Anomalib copies the file's task into the dataset's parameters; here the dataset's own would win.
fn one_task(ours: &mut Node, report: &mut Report<'_>) {
    let Some(task) = ours.get("task").cloned() else {
        return;
    };
    let Value::Map(entries) = &mut ours.value else {
        return;
    };
    let data = entries.iter_mut().find(|entry| entry.key == "data");
    let args = data.and_then(|data| match &mut data.node.value {
        Value::Map(entries) => entries.iter_mut().find(|entry| entry.key == "init_args"),
        _ => None,
    });
    let Some(Value::Map(args)) = args.map(|args| &mut args.node.value) else {
        return;
    };
    let Some(place) = args.iter().position(|arg| arg.key == "task") else {
        return;
    };
    let own = args.remove(place);
    let same = match (task.text(), own.node.text()) {
        (Some(task), Some(own)) => same_name(task, own),
        _ => own.node.is_null(),
    };
    if !same {
        let message = "data.init_args.task is not used here: the file's task wins, as in Anomalib";
        report.warn(own.at, message);
    }
}

fn results_dir(node: Node, ours: &mut Node, report: &mut Report<'_>) {
    if !matches!(node.value, Value::Map(_)) {
        return put(ours, "output", node.at, node, report);
    }
    for Entry { key, at, node } in into_entries(node) {
        match key.as_str() {
            _ if asks_for_nothing(&node) => {}
            "path" => put(ours, "output", at, node, report),
            "unique" => not_used(
                "results_dir.unique",
                at,
                &node,
                "each job has a folder of its own",
                report,
            ),
            _ => not_used(
                &format!("results_dir.{key}"),
                at,
                &node,
                "no such key is known",
                report,
            ),
        }
    }
}

/// A GPU that is asked for is not waited for: the results are the same without one.
fn accelerator(what: &str, at: At, node: &Node, ours: &mut Node, report: &mut Report<'_>) {
    match node.text() {
        Some("auto") => {}
        Some("cpu") => put(ours, "resources.device", at, node.clone(), report),
        Some("gpu" | "cuda") => not_used(what, at, node, NO_GPU, report),
        _ => not_used(what, at, node, WORKERS, report),
    }
}

/// Options that make Anomalib look at a part of the data only.
const PARTS: &[&str] = &[
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "overfit_batches",
    "fast_dev_run",
];

fn trainer(trainer: &Entry, ours: &mut Node, report: &mut Report<'_>) {
    let mut rest = Vec::new();
    for entry in trainer.node.entries() {
        let part = PARTS.contains(&entry.key.as_str());
        match entry.key.as_str() {
            "default_root_dir" => {
                if !entry.node.is_null() {
                    put(ours, "output", entry.at, entry.node.clone(), report);
                }
            }
            // All of it; the number 1 without a point is one batch.
            _ if part && matches!(entry.node.value, Value::Float(1.0)) => {}
            "overfit_batches" if matches!(entry.node.value, Value::Float(0.0) | Value::Int(0)) => {}
            "accelerator" => {
                accelerator("trainer.accelerator", entry.at, &entry.node, ours, report);
            }
            "devices" => match entry.node.text() {
                Some("1" | "auto") => {}
                _ => not_used("trainer.devices", entry.at, &entry.node, ONE_DEVICE, report),
            },
            _ if part => {
                let what = format!("trainer.{}", entry.key);
                not_used(&what, entry.at, &entry.node, "every image is used", report);
            }
            _ => rest.push(entry.clone()),
        }
    }
    let rest = match trainer.node.value {
        Value::Map(_) => Node::new(trainer.node.at, Value::Map(rest)),
        _ => trainer.node.clone(),
    };
    not_used("trainer", trainer.at, &rest, NOT_TRAINED, report);
}

//! `class_path` and `init_args` of Anomalib's files.

use params::{Entry as Class, same_name};

use super::{asks_for_nothing, keep_known, not_used};
use crate::{
    grid,
    names::{self, Found},
    node::{Entry, Node, Value},
    report::Report,
    run,
};

/// Names of later versions, and what they are called here.
const RENAMED: &[(&str, &str)] = &[("MVTecAD", "MVTec")];

/// Parameters of other versions under the names of 1.0: `null` is all that is accepted of them.
const TRANSFORMS: &[(&str, &str)] = &[
    ("transform_config_train", "train_transform"),
    ("transform_config_eval", "eval_transform"),
    ("transform_config_val", "eval_transform"),
];

const OWN_PREPROCESSING: &str = "every model brings its own preprocessing";

/// Parameters of other versions that are left out, and what is done instead.
const LEFT_OUT: &[(&str, &str)] = &[
    ("normalization", OWN_PREPROCESSING),
    (
        "input_size",
        "`data.init_args.image_size` says to what images are resized",
    ),
    ("test_batch_size", "engines choose their own batches"),
    (
        "create_validation_set",
        "`val_split_mode` says where validation images come from",
    ),
    ("pre_processor", OWN_PREPROCESSING),
    (
        "post_processor",
        "`normalization` and `metrics.threshold` of the job say how scores are read",
    ),
    ("evaluator", "`metrics` of the job says what is measured"),
    ("visualizer", "a job writes tables, and pictures on request"),
    ("tiling", "images are not cut into tiles"),
    (
        "early_stopping",
        "no model here is trained by gradient descent",
    ),
];

/// Makes a class of Anomalib's file one that the reader takes.
pub(super) fn translate(
    what: &str,
    registry: &'static [Class],
    node: &mut Node,
    report: &mut Report<'_>,
) {
    if let Some(options) = grid::options_mut(node) {
        return options
            .iter_mut()
            .for_each(|option| translate(what, registry, option, report));
    }
    keep_known(what, run::CLASS_KEYS, node, report);
    let Value::Map(entries) = &mut node.value else {
        return rename(node);
    };
    let mut classes = Vec::new();
    if let Some(path) = entries.iter_mut().find(|entry| entry.key == "class_path") {
        match grid::options_mut(&mut path.node) {
            Some(options) => options.iter_mut().for_each(|option| {
                rename(option);
                classes.extend(built(registry, option));
            }),
            None => {
                rename(&mut path.node);
                classes.extend(built(registry, &path.node));
            }
        }
    }
    if let Some(args) = entries.iter_mut().find(|entry| entry.key == "init_args") {
        parameters(what, &classes, &mut args.node, report);
    }
}

fn rename(path: &mut Node) {
    let Some(text) = path.text() else { return };
    let (module, name) = text.rsplit_once('.').unwrap_or(("", text));
    if let Some((_, ours)) = RENAMED.iter().find(|(theirs, _)| same_name(theirs, name)) {
        let dot = if module.is_empty() { "" } else { "." };
        *path = Node::new(path.at, Value::Text(format!("{module}{dot}{ours}")));
    }
}

fn built(registry: &'static [Class], path: &Node) -> Option<&'static Class> {
    match names::class(registry, path.text()?) {
        Found::Built(class) => Some(class),
        Found::NotBuilt(_) | Found::Unknown(_) => None,
    }
}

fn parameters(what: &str, classes: &[&'static Class], args: &mut Node, report: &mut Report<'_>) {
    if let Some(options) = grid::options_mut(args) {
        return options
            .iter_mut()
            .for_each(|option| parameters(what, classes, option, report));
    }
    let Value::Map(entries) = &mut args.value else {
        return;
    };
    // Of a class that cannot be had, the reader says so.
    if classes.is_empty() {
        return;
    }
    for entry in entries.iter_mut() {
        if let Some((_, ours)) = TRANSFORMS.iter().find(|(theirs, _)| *theirs == entry.key) {
            entry.key = (*ours).to_owned();
        }
    }
    let known: Vec<&str> = classes
        .iter()
        .flat_map(|class| class.params.unwrap_or_default())
        .map(|param| param.name)
        .collect();
    entries.retain(|entry| stays(what, classes, &known, entry, report));
}

fn stays(
    what: &str,
    classes: &[&'static Class],
    known: &[&str],
    entry: &Entry,
    report: &mut Report<'_>,
) -> bool {
    if known.contains(&entry.key.as_str()) {
        return true;
    }
    let because = match LEFT_OUT.iter().find(|(name, _)| *name == entry.key) {
        Some((_, because)) => (*because).to_owned(),
        // Probably a slip, and then what it stands for would be lost: the reader asks.
        None if names::nearest(&entry.key, known.iter().copied()).is_some() => return true,
        None => {
            let mut names: Vec<&str> = classes.iter().map(|class| class.class).collect();
            names.dedup();
            format!("{} has no such parameter", names.join(", "))
        }
    };
    // What every model does anyway.
    let done = entry.key == "normalization" && entry.node.text() == Some("imagenet");
    if !done && !asks_for_nothing(&entry.node) {
        let what = format!("{what}.init_args.{}", entry.key);
        not_used(&what, entry.at, &entry.node, &because, report);
    }
    false
}

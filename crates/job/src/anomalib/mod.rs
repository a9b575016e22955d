//! Anomalib's own files as job files: trees of its train and benchmark files become the tree of ours.
//!
//! Every value keeps its place, so that whatever the reader says of it points into the user's file. What has no meaning here is
//! warned of by name, unless it asks for nothing (`null`, `false`, an empty list).

mod class;
mod current;
mod old;
mod sweep;

use std::path::Path;

use crate::{
    grid, names,
    node::{At, Entry, Node, Value},
    read,
    report::Report,
    resolved::JobKind,
};

/// Keys that make a file one of Anomalib's; each form has one of them.
const THEIRS: &[&str] = &[BENCHMARK, GRID_SEARCH, old::DATASET, "model", "data"];
/// Of the benchmark files since 1.1.
const BENCHMARK: &str = "benchmark";
/// Of the benchmark files before 1.1.
const GRID_SEARCH: &str = "grid_search";

/// Whether a file without `kind` is Anomalib's, and not one of ours whose `kind` is missing or misspelt.
pub(crate) fn is_anomalib(root: &Node) -> bool {
    let has = |wanted: &[&str]| {
        let mut entries = root.entries().iter();
        entries.any(|entry| wanted.contains(&entry.key.as_str()))
    };
    let nearly_kind = |entry: &Entry| names::nearest(&entry.key, ["kind"]).is_some();
    // Train files of theirs have `seed_everything`.
    let our_seed = has(&["seed"]) && !has(&[BENCHMARK, GRID_SEARCH, old::DATASET]);
    let package = root
        .get("model")
        .is_some_and(|model| model.get("package").is_some());
    if sweep::is_sweep(root) {
        return true;
    }
    has(THEIRS)
        && !has(read::JOB_KEYS)
        && !root.entries().iter().any(nearly_kind)
        && !our_seed
        && !package
}

/// The job file that says the same.
pub(crate) fn translate(root: Node, file_name: &str, report: &mut Report<'_>) -> Node {
    if sweep::is_sweep(&root) {
        return sweep::translate(root, file_name, report);
    }
    let at = root.at;
    let mut kind = JobKind::Train;
    let mut is_old = false;
    let mut theirs = Vec::new();
    for entry in into_entries(root) {
        match entry.key.as_str() {
            BENCHMARK | GRID_SEARCH if !matches!(entry.node.value, Value::Map(_)) => {
                let found = entry.node.describe();
                report.error(
                    entry.node.at,
                    format!("{}: expected a map, found {found}", entry.key),
                );
            }
            BENCHMARK => {
                kind = JobKind::Benchmark;
                theirs.extend(into_entries(entry.node));
            }
            GRID_SEARCH => {
                (kind, is_old) = (JobKind::Benchmark, true);
                theirs.extend(into_entries(with_grids(entry.node)));
            }
            _ => theirs.push(entry),
        }
    }
    if is_old || old::is_old(&theirs) {
        theirs = old::renewed(theirs, at, report);
    }
    let mut ours = Node::new(at, Value::Map(Vec::new()));
    for (key, text) in [
        ("kind", kind.as_str().to_owned()),
        ("name", name(file_name)),
    ] {
        put(&mut ours, key, at, Node::new(at, Value::Text(text)), report);
    }
    current::translate(theirs, &mut ours, report);
    ours
}

/// Every list below `grid_search` is an axis.
fn with_grids(mut node: Node) -> Node {
    if grid::options_mut(&mut node).is_some() {
        return node;
    }
    let (at, raw) = (node.at, node.raw);
    let value = match node.value {
        list @ Value::List(_) => Value::Map(vec![Entry {
            key: grid::KEY.to_owned(),
            at,
            node: Node::new(at, list),
        }]),
        Value::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|entry| Entry {
                    node: with_grids(entry.node),
                    ..entry
                })
                .collect(),
        ),
        value => value,
    };
    Node { at, value, raw }
}

/// The file's name as far as a job may have it: Anomalib's files give none.
fn name(file_name: &str) -> String {
    let stem = Path::new(file_name).file_stem().unwrap_or_default();
    let name: String = stem
        .to_string_lossy()
        .chars()
        .take(128)
        .map(|c| match c {
            '-' | '_' | '.' => c,
            c if c.is_ascii_alphanumeric() => c,
            _ => '-',
        })
        .collect();
    if read::is_name(&name) {
        name
    } else {
        "anomalib".to_owned()
    }
}

/// Puts a value at a dotted path of maps. What is there already wins, and the other is named.
fn put(root: &mut Node, path: &str, at: At, value: Node, report: &mut Report<'_>) {
    let mut node = root;
    for part in path.split('.') {
        if node.is_null() {
            *node = Node::new(node.at, Value::Map(Vec::new()));
        }
        let Value::Map(entries) = &mut node.value else {
            return report.error(at, format!("{path} cannot stand below what is no map"));
        };
        let place = entries.iter().position(|entry| entry.key == part);
        let place = place.unwrap_or_else(|| {
            entries.push(Entry {
                key: part.to_owned(),
                at,
                node: Node::new(value.at, Value::Null),
            });
            entries.len() - 1
        });
        node = &mut entries[place].node;
    }
    if node.is_null() {
        *node = value;
    } else {
        let message = format!("a second {path} is not used here: there is one already");
        report.warn(at, message);
    }
}

fn into_entries(node: Node) -> Vec<Entry> {
    match node.value {
        Value::Map(entries) => entries,
        _ => Vec::new(),
    }
}

/// Nothing that must be warned of: leaving it out does what it says.
fn asks_for_nothing(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Bool(false) => true,
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.iter().all(|entry| asks_for_nothing(&entry.node)),
        _ => false,
    }
}

/// Warns of a value, or of everything in a map, by name.
fn not_used(what: &str, at: At, node: &Node, because: &str, report: &mut Report<'_>) {
    let mut names = Vec::new();
    leaves(what, node, &mut names);
    let verb = match names.len() {
        0 => return,
        1 => "is",
        _ => "are",
    };
    report.warn(
        at,
        format!("{} {verb} not used here: {because}", names.join(", ")),
    );
}

fn leaves(path: &str, node: &Node, names: &mut Vec<String>) {
    match node.entries() {
        _ if asks_for_nothing(node) => {}
        [] => names.push(path.to_owned()),
        entries => entries
            .iter()
            .for_each(|entry| leaves(&format!("{path}.{}", entry.key), &entry.node, names)),
    }
}

/// Takes what is no key of a map out of it and warns; what is nearly one stays, for the reader to ask what was meant.
fn keep_known(what: &str, known: &[&str], node: &mut Node, report: &mut Report<'_>) {
    let Value::Map(entries) = &mut node.value else {
        return;
    };
    entries.retain(|entry| {
        let keep = entry.key == grid::KEY
            || known.contains(&entry.key.as_str())
            || names::nearest(&entry.key, known.iter().copied()).is_some();
        if !keep {
            let because = format!("{what} has {}", known.join(", "));
            not_used(
                &format!("{what}.{}", entry.key),
                entry.at,
                &entry.node,
                &because,
                report,
            );
        }
        keep
    });
}

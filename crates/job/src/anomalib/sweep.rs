//! Sweep files of wandb and comet, as Anomalib's `hpo` command took them: a search of the same parameters.

use params::same_name;

use super::{current, into_entries, name, not_used, old, put};
use crate::{
    node::{At, Entry, Node, Value},
    report::Report,
    resolved::JobKind,
};

const PARAMETERS: &str = "parameters";
/// Keys of which a sweep file has at least one: of wandb, of comet.
const THEIRS: &[&str] = &[
    "method",
    "metric",
    "observation_budget",
    "algorithm",
    "spec",
];
/// What makes a map a dimension and not a part of the path.
const OF_DIMENSIONS: &[&str] = &["values", "value", "min", "max"];
const NOT_TRACKED: &str = "the search runs here, and nothing is sent to a tracker";

pub(super) fn is_sweep(root: &Node) -> bool {
    let has = |key: &str| root.get(key).is_some();
    has(PARAMETERS) && !has("kind") && !has("search") && THEIRS.iter().any(|key| has(key))
}

/// The job file that says the same.
pub(super) fn translate(root: Node, file_name: &str, report: &mut Report<'_>) -> Node {
    report.of_sweep = true;
    let at = root.at;
    let mut ours = Node::new(at, Value::Map(Vec::new()));
    let mut theirs = Vec::new();
    let mut searched = Vec::new();
    let text = |text: &str, at: At| Node::new(at, Value::Text(text.to_owned()));
    put(
        &mut ours,
        "kind",
        at,
        text(JobKind::Hpo.as_str(), at),
        report,
    );
    let own = root
        .get("name")
        .and_then(Node::text)
        .filter(|own| crate::read::is_name(own));
    let name = own.map_or_else(|| name(file_name), str::to_owned);
    put(&mut ours, "name", at, text(&name, at), report);
    for entry in into_entries(root) {
        let Entry { key, at, node } = entry;
        match key.as_str() {
            "name" => {}
            "method" | "algorithm" => put(&mut ours, "search.method", at, node, report),
            // Both of wandb.
            "observation_budget" | "run_cap" => put(&mut ours, "search.trials", at, node, report),
            "metric" => objective(node, "name", "goal", &mut ours, report),
            "spec" => {
                let most = node
                    .entries()
                    .iter()
                    .find(|entry| entry.key == "maxCombo")
                    .cloned();
                // To comet 0 is as many as there are.
                if let Some(most) = most.filter(|most| most.node.value != Value::Int(0)) {
                    put(&mut ours, "search.trials", most.at, most.node, report);
                }
                objective(node, "metric", "objective", &mut ours, report);
            }
            PARAMETERS => leaves(node, "", &mut theirs, &mut searched, report),
            _ => not_used(&key, at, &node, NOT_TRACKED, report),
        }
    }
    let is_old = old::is_old(&theirs)
        || searched
            .iter()
            .any(|(path, ..)| path.starts_with(old::DATASET));
    if is_old {
        theirs = old::renewed(theirs, at, report);
    }
    current::translate(theirs, &mut ours, report);
    for (path, at, node) in searched {
        let key = renewed(&path);
        add(&mut ours, Entry { key, at, node }, report);
    }
    if ours
        .get("search")
        .is_none_or(|search| search.get("method").is_none())
    {
        put(&mut ours, "search.method", at, text("bayes", at), report);
    }
    validation(&mut ours, at, report);
    ours
}

fn objective(node: Node, metric: &str, goal: &str, ours: &mut Node, report: &mut Report<'_>) {
    for Entry { key, at, node } in into_entries(node) {
        match key.as_str() {
            _ if key == metric => put(ours, "search.objective.metric", at, node, report),
            _ if key == goal => put(ours, "search.objective.goal", at, node, report),
            "maxCombo" => {}
            _ => not_used(&key, at, &node, NOT_TRACKED, report),
        }
    }
}

/// Everything below `parameters`: what is varied, with its dotted path, and what is fixed, as the tree that it is.
fn leaves(
    node: Node,
    path: &str,
    fixed: &mut Vec<Entry>,
    searched: &mut Vec<(String, At, Node)>,
    report: &mut Report<'_>,
) {
    let mut tree = Node::new(node.at, Value::Map(std::mem::take(fixed)));
    walk(node, path, &mut tree, searched, report);
    *fixed = into_entries(tree);
}

fn walk(
    node: Node,
    path: &str,
    fixed: &mut Node,
    searched: &mut Vec<(String, At, Node)>,
    report: &mut Report<'_>,
) {
    let is_dimension = node
        .entries()
        .iter()
        .any(|entry| OF_DIMENSIONS.contains(&entry.key.as_str()));
    match &node.value {
        Value::Map(_) if is_dimension => match dimension(node, path, report) {
            Dimension::Fixed(at, value) => put(fixed, path, at, value, report),
            Dimension::Searched(at, node) => searched.push((path.to_owned(), at, node)),
        },
        Value::Map(_) => {
            // wandb's own way to nest.
            let below = |entry: &Entry| entry.key == PARAMETERS;
            for entry in into_entries(node) {
                let path = match (path, below(&entry)) {
                    ("", _) => entry.key.clone(),
                    (path, true) => path.to_owned(),
                    (path, false) => format!("{path}.{}", entry.key),
                };
                walk(entry.node, &path, fixed, searched, report);
            }
        }
        _ => put(fixed, path, node.at, node, report),
    }
}

enum Dimension {
    Fixed(At, Node),
    Searched(At, Node),
}

/// In our words. A single value is fixed.
fn dimension(node: Node, path: &str, report: &mut Report<'_>) -> Dimension {
    let at = node.at;
    let mut ours = Vec::new();
    for Entry { key, at, node } in into_entries(node) {
        match key.as_str() {
            "value" => return Dimension::Fixed(at, node),
            "values" | "min" | "max" => ours.push(Entry { key, at, node }),
            // What a parameter is, the model says.
            "type" => {}
            "distribution" | "scalingType" => {
                let word = node.text().unwrap_or_default().to_lowercase();
                if word.contains("log") {
                    ours.push(Entry {
                        key: "scale".to_owned(),
                        at,
                        node: Node::new(node.at, Value::Text("log".to_owned())),
                    });
                } else if ![
                    "uniform",
                    "int_uniform",
                    "linear",
                    "categorical",
                    "constant",
                    "discrete",
                ]
                .iter()
                .any(|known| same_name(known, &word))
                {
                    let message = format!(
                        "{path}.{key}: {word:?} is not known here; every value is as likely as another"
                    );
                    report.warn(at, message);
                }
            }
            _ => not_used(
                &format!("{path}.{key}"),
                at,
                &node,
                "a dimension has values, or min and max",
                report,
            ),
        }
    }
    Dimension::Searched(at, Node::new(at, Value::Map(ours)))
}

/// `model.backbone` and `dataset.image_size` were the paths before 1.0.
fn renewed(path: &str) -> String {
    let (class, rest) = path.split_once('.').unwrap_or(("model", path));
    let class = if class == old::DATASET { "data" } else { class };
    let name = rest.strip_prefix("init_args.").unwrap_or(rest);
    format!("{class}.init_args.{name}")
}

/// Adds a dimension. Its path is one key, whatever dots are in it.
fn add(ours: &mut Node, dimension: Entry, report: &mut Report<'_>) {
    let at = dimension.at;
    if ours
        .get("search")
        .is_none_or(|search| search.get(PARAMETERS).is_none())
    {
        put(
            ours,
            "search.parameters",
            at,
            Node::new(at, Value::Map(Vec::new())),
            report,
        );
    }
    let below = |node: &'_ mut Node, key: &str| -> Option<usize> {
        node.entries().iter().position(|entry| entry.key == key)
    };
    let Some(search) = below(ours, "search") else {
        return;
    };
    let Value::Map(entries) = &mut ours.value else {
        return;
    };
    let search = &mut entries[search].node;
    let Some(parameters) = below(search, PARAMETERS) else {
        return;
    };
    let Value::Map(entries) = &mut search.value else {
        return;
    };
    if let Value::Map(entries) = &mut entries[parameters].node.value {
        entries.push(dimension);
    }
}

/// These files say nothing of validation images, and Anomalib would take the test images for them.
fn validation(ours: &mut Node, at: At, report: &mut Report<'_>) {
    let mode = ours
        .get("data")
        .and_then(|data| data.get("init_args")?.get("val_split_mode"));
    let is_given = mode.is_some_and(|mode| !mode.is_null());
    let has_class = ours
        .get("data")
        .is_some_and(|data| data.get("class_path").is_some());
    if is_given || !has_class {
        return;
    }
    let from_test = Node::new(at, Value::Text("from_test".to_owned()));
    put(ours, "data.init_args.val_split_mode", at, from_test, report);
    report.warn(
        at,
        "half of the test images are kept for validation (val_split_mode: from_test), since a search that is measured on test images leaves none to measure with",
    );
}

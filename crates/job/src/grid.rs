//! `{grid: [...]}` on any value: every combination is a run, the last axis fastest.

use serde_json::{Map, Value as Json};

use crate::{
    node::{At, Entry, Node, Value},
    report::Report,
};

const KEY: &str = "grid";

/// More runs than this are a slip of the keyboard.
pub(crate) const MAX_RUNS: u64 = 10_000;

/// One combination, and the value chosen on each axis by dotted path.
pub(crate) type Point = (Node, Map<String, Json>);

/// Places of all grids in the tree; reports those that are no lists or stand beside other keys.
pub(crate) fn places(node: &Node, report: &mut Report<'_>) -> Vec<At> {
    let mut found = Vec::new();
    match &node.value {
        Value::List(items) => items
            .iter()
            .for_each(|item| found.extend(places(item, report))),
        Value::Map(entries) => {
            if let Some(grid) = entries.iter().find(|entry| entry.key == KEY) {
                found.push(grid.at);
                if entries.len() > 1 {
                    report.error(
                        grid.at,
                        "a grid stands alone: `{grid: [a, b]}` in the place of one value",
                    );
                }
                if !matches!(&grid.node.value, Value::List(items) if !items.is_empty()) {
                    report.error(
                        grid.node.at,
                        format!(
                            "a grid is a list with at least one value, found {}",
                            grid.node.describe()
                        ),
                    );
                }
            }
            entries
                .iter()
                .for_each(|entry| found.extend(places(&entry.node, report)));
        }
        _ => {}
    }
    found
}

/// Number of combinations; `None` beyond counting.
pub(crate) fn count(node: &Node) -> Option<u64> {
    match (&node.value, options(node)) {
        (_, Some(options)) => options
            .iter()
            .try_fold(0u64, |sum, option| sum.checked_add(count(option)?)),
        (Value::List(items), None) => items
            .iter()
            .try_fold(1u64, |product, item| product.checked_mul(count(item)?)),
        (Value::Map(entries), None) => entries.iter().try_fold(1u64, |product, entry| {
            product.checked_mul(count(&entry.node)?)
        }),
        _ => Some(1),
    }
}

/// Every combination. The caller has bounded their [`count`].
pub(crate) fn expand(node: &Node) -> Vec<Point> {
    expand_at(node, "")
}

fn expand_at(node: &Node, path: &str) -> Vec<Point> {
    if let Some(options) = options(node) {
        // Grids inside an option are seen in the option's value, so the outermost names the axis.
        return options
            .iter()
            .flat_map(|option| expand_at(option, path))
            .map(|(option, _)| {
                let axes = Map::from_iter([(path.to_owned(), option.to_json())]);
                (option, axes)
            })
            .collect();
    }
    match &node.value {
        Value::List(items) => {
            let parts = items
                .iter()
                .enumerate()
                .map(|(index, item)| expand_at(item, &below(path, &index.to_string())));
            product(parts, |items| Node {
                value: Value::List(items),
                ..node.clone_shallow()
            })
        }
        Value::Map(entries) => {
            let parts = entries
                .iter()
                .map(|entry| expand_at(&entry.node, &below(path, &entry.key)));
            product(parts, |nodes| {
                let entries = entries.iter().zip(nodes).map(|(entry, node)| Entry {
                    key: entry.key.clone(),
                    at: entry.at,
                    node,
                });
                Node {
                    value: Value::Map(entries.collect()),
                    ..node.clone_shallow()
                }
            })
        }
        _ => vec![(node.clone(), Map::new())],
    }
}

fn product(
    parts: impl Iterator<Item = Vec<Point>>,
    build: impl Fn(Vec<Node>) -> Node,
) -> Vec<Point> {
    let mut combinations: Vec<(Vec<Node>, Map<String, Json>)> = vec![(Vec::new(), Map::new())];
    for part in parts {
        let mut longer = Vec::with_capacity(combinations.len() * part.len());
        for (nodes, axes) in &combinations {
            for (node, more) in &part {
                let mut nodes = nodes.clone();
                nodes.push(node.clone());
                let mut axes = axes.clone();
                axes.extend(more.clone());
                longer.push((nodes, axes));
            }
        }
        combinations = longer;
    }
    combinations
        .into_iter()
        .map(|(nodes, axes)| (build(nodes), axes))
        .collect()
}

fn options(node: &Node) -> Option<&[Node]> {
    match (&node.value, node.get(KEY).map(|grid| &grid.value)) {
        (Value::Map(entries), Some(Value::List(options))) if entries.len() == 1 => Some(options),
        _ => None,
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

impl Node {
    fn clone_shallow(&self) -> Self {
        Self {
            at: self.at,
            value: Value::Null,
            raw: None,
        }
    }
}

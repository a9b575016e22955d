//! `{grid: [...]}` on any value: every combination is a run, the last axis fastest.

use serde_json::{Map, Value as Json};

use crate::{
    node::{At, Entry, Node, Value},
    report::Report,
};

pub(crate) const KEY: &str = "grid";

/// More runs than this are a slip of the keyboard.
pub(crate) const MAX_RUNS: u64 = 10_000;
/// What all runs together may weigh: a large benchmark has some ten MiB.
const MAX_WEIGHT: u64 = 64 << 20;
/// Of a value beside its text: about what it takes in memory.
const VALUE_WEIGHT: u64 = 32;

/// One combination, and the value chosen on each axis by dotted path.
pub(crate) type Point = (Node, Map<String, Json>);

/// The list of values, if the node is a grid.
pub(crate) fn options_mut(node: &mut Node) -> Option<&mut Vec<Node>> {
    match &mut node.value {
        Value::Map(entries) => {
            entries
                .iter_mut()
                .find(|entry| entry.key == KEY)
                .and_then(|entry| match &mut entry.node.value {
                    Value::List(options) => Some(options),
                    _ => None,
                })
        }
        _ => None,
    }
}

/// Places of all grids in the tree. What is no grid and looks like one is reported, and leaves a value that can be read:
/// the rest of the file is checked as well.
pub(crate) fn settle(node: &mut Node, report: &mut Report<'_>) -> Vec<At> {
    let mut found = Vec::new();
    if let Value::Map(entries) = &mut node.value
        && let Some(place) = entries.iter().position(|entry| entry.key == KEY)
    {
        found.push(entries[place].at);
        if entries.len() > 1 {
            report.error(
                entries[place].at,
                "a grid stands alone: `{grid: [a, b]}` in the place of one value",
            );
        }
        let grid = entries.swap_remove(place);
        match &grid.node.value {
            Value::List(items) if !items.is_empty() => *entries = vec![grid],
            _ => {
                report.error(
                    grid.node.at,
                    format!(
                        "a grid is a list with at least one value, found {}",
                        grid.node.describe()
                    ),
                );
                report.mute(grid.node.at);
                let value = match grid.node.value {
                    Value::List(_) => Value::Null,
                    value => value,
                };
                *node = Node::new(grid.node.at, value);
            }
        }
    }
    match &mut node.value {
        Value::List(items) => items
            .iter_mut()
            .for_each(|item| found.extend(settle(item, report))),
        Value::Map(entries) => entries
            .iter_mut()
            .for_each(|entry| found.extend(settle(&mut entry.node, report))),
        _ => {}
    }
    found
}

/// A tree with its grids, of which each combination can be made when it is its turn.
pub(crate) struct Grids<'a> {
    shape: Shape<'a>,
}

/// In which combinations the grids' values are taken.
#[derive(Clone, Copy)]
enum Walk {
    /// Each with each.
    Product,
    /// Each once, the others at their first.
    Once,
}

struct Shape<'a> {
    node: &'a Node,
    is_grid: bool,
    parts: Vec<Shape<'a>>,
    /// Combinations of each walk, as far as can be counted.
    product: u64,
    once: u64,
    /// Of the heaviest combination: its values, and its axes.
    values: u64,
    axes: u64,
}

/// A step of a path.
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Grids<'a> {
    /// The tree is [`settle`]d.
    pub fn new(node: &'a Node) -> Self {
        Self {
            shape: Shape::new(node, 0),
        }
    }

    /// Every combination; `Err` says what is too much, and where.
    pub fn points(&self) -> Result<impl Iterator<Item = Point>, (At, String)> {
        let runs = self.shape.product;
        let at = || {
            self.shape
                .largest()
                .map_or(self.shape.node.at, |(_, at)| at)
        };
        if runs > MAX_RUNS {
            let message = format!("the grids have more than {MAX_RUNS} combinations");
            return Err((at(), message));
        }
        let weight = self.weight();
        if runs.saturating_mul(weight) > MAX_WEIGHT {
            let message = format!(
                "{runs} runs of up to {weight} bytes each are too much; all runs together may have {MAX_WEIGHT}"
            );
            return Err((at(), message));
        }
        Ok((0..runs).map(|index| self.point(index, Walk::Product)))
    }

    /// Every value of every grid once, as far as that can be done in a moment.
    pub fn once(&self) -> impl Iterator<Item = Point> {
        let enough = (MAX_WEIGHT / self.weight().max(1)).clamp(1, MAX_RUNS);
        (0..self.shape.once.min(enough)).map(|index| self.point(index, Walk::Once))
    }

    fn weight(&self) -> u64 {
        self.shape.values.saturating_add(self.shape.axes)
    }

    fn point(&self, index: u64, walk: Walk) -> Point {
        let mut axes = Map::new();
        let node = self
            .shape
            .point(index, walk, &mut Vec::new(), Some(&mut axes));
        (node, axes)
    }
}

impl<'a> Shape<'a> {
    /// `depth` is the length of the path to the node.
    fn new(node: &'a Node, depth: u64) -> Self {
        let length = |text: &str| text.len() as u64;
        let mut values = VALUE_WEIGHT;
        let parts: Vec<Shape<'_>> = match (options(node), &node.value) {
            (Some(options), _) => options.iter().map(|node| Self::new(node, depth)).collect(),
            (None, Value::List(items)) => {
                // More than any index is long.
                items
                    .iter()
                    .map(|node| Self::new(node, depth + 8))
                    .collect()
            }
            (None, Value::Map(entries)) => {
                values += sum(entries.iter().map(|entry| length(&entry.key)));
                entries
                    .iter()
                    .map(|entry| Self::new(&entry.node, depth + 1 + length(&entry.key)))
                    .collect()
            }
            (None, Value::Text(text)) => {
                values += length(text);
                Vec::new()
            }
            _ => {
                values += node.raw.as_deref().map_or(0, length);
                Vec::new()
            }
        };
        let of = |get: fn(&Shape<'_>) -> u64| parts.iter().map(get);
        if options(node).is_some() {
            let values = of(|part| part.values).max().unwrap_or(0);
            return Self {
                node,
                is_grid: true,
                product: sum(of(|part| part.product)),
                once: sum(of(|part| part.once)),
                values,
                axes: values.saturating_add(depth),
                parts,
            };
        }
        Self {
            node,
            is_grid: false,
            product: of(|part| part.product).fold(1, u64::saturating_mul),
            once: sum(of(|part| part.once - 1)).saturating_add(1),
            values: sum(of(|part| part.values)).saturating_add(values),
            axes: sum(of(|part| part.axes)),
            parts,
        }
    }

    fn count(&self, walk: Walk) -> u64 {
        match walk {
            Walk::Product => self.product,
            Walk::Once => self.once,
        }
    }

    /// One combination; notes its axes, if they are wanted.
    fn point(
        &self,
        mut index: u64,
        walk: Walk,
        path: &mut Vec<Step<'a>>,
        mut axes: Option<&mut Map<String, Json>>,
    ) -> Node {
        if self.is_grid {
            for part in &self.parts {
                if index >= part.count(walk) {
                    index -= part.count(walk);
                    continue;
                }
                // Grids inside an option are seen in the option's value, so the outermost names the axis.
                let node = part.point(index, walk, path, None);
                if let Some(axes) = axes {
                    axes.insert(dotted(path), node.to_json());
                }
                return node;
            }
        }
        let mut part = |place: usize, index: u64, step: Step<'a>| {
            path.push(step);
            let node = self.parts[place].point(index, walk, path, axes.as_deref_mut());
            path.pop();
            node
        };
        let chosen = self.chosen(index, walk).into_iter().enumerate();
        let value = match &self.node.value {
            Value::List(_) => Value::List(
                chosen
                    .map(|(place, index)| part(place, index, Step::Index(place)))
                    .collect(),
            ),
            Value::Map(entries) => Value::Map(
                chosen
                    .zip(entries)
                    .map(|((place, index), entry)| Entry {
                        key: entry.key.clone(),
                        at: entry.at,
                        node: part(place, index, Step::Key(&entry.key)),
                    })
                    .collect(),
            ),
            value => value.clone(),
        };
        Node {
            at: self.node.at,
            value,
            raw: self.node.raw.clone(),
        }
    }

    /// The combination of each part in this one of the whole.
    fn chosen(&self, mut index: u64, walk: Walk) -> Vec<u64> {
        let mut chosen = vec![0; self.parts.len()];
        match walk {
            Walk::Product => {
                for (chosen, part) in chosen.iter_mut().zip(&self.parts).rev() {
                    *chosen = index % part.product;
                    index /= part.product;
                }
            }
            // The first is all parts' first; then each part has its others.
            Walk::Once => {
                for (chosen, part) in chosen.iter_mut().zip(&self.parts) {
                    if index < part.once {
                        *chosen = index;
                        break;
                    }
                    index -= part.once - 1;
                }
            }
        }
        chosen
    }

    /// Number of values and place of the grid with the most.
    fn largest(&self) -> Option<(usize, At)> {
        let own = self.is_grid.then_some((self.parts.len(), self.node.at));
        let parts = self.parts.iter().filter_map(Shape::largest);
        // Of equal ones the first.
        own.into_iter().chain(parts).reduce(
            |best, other| {
                if other.0 > best.0 { other } else { best }
            },
        )
    }
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

fn options(node: &Node) -> Option<&[Node]> {
    match (&node.value, node.get(KEY).map(|grid| &grid.value)) {
        (Value::Map(entries), Some(Value::List(options))) if entries.len() == 1 => Some(options),
        _ => None,
    }
}

fn dotted(path: &[Step<'_>]) -> String {
    let steps: Vec<String> = path
        .iter()
        .map(|step| match step {
            Step::Key(key) => (*key).to_owned(),
            Step::Index(index) => index.to_string(),
        })
        .collect();
    steps.join(".")
}

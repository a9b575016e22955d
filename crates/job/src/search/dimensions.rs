//! The dimensions of a search: each is a parameter of the model or of the data, and takes what that parameter takes.

use std::path::Path;

use hpo::{Condition, Dimension, Domain, MOST_TRIALS, Scale};
use params::{Kind, Param};
use serde_json::Value as Json;

use crate::{
    check, names,
    node::{At, Node, Value},
    report::Report,
};

const DIMENSION_KEYS: &[&str] = &["values", "min", "max", "scale", "steps", "when"];
const SCALES: &[&str] = &["linear", "log"];

/// What parameters there are.
#[derive(Clone, Copy)]
pub(super) struct Parameters {
    pub model: &'static params::Entry,
    pub data: &'static params::Entry,
}

impl Parameters {
    /// The path of a name: `backbone`, `model.init_args.backbone`, `data.init_args.image_size`.
    fn find(self, name: &str, at: At, report: &mut Report<'_>) -> Option<(String, &'static Param)> {
        let (class, entry, bare) = match name.split_once(".init_args.") {
            Some(("model", bare)) => ("model", self.model, bare),
            Some(("data", bare)) => ("data", self.data, bare),
            _ => ("model", self.model, name),
        };
        let params = entry.params.unwrap_or_default();
        let found = params.iter().find(|param| param.name == bare);
        if let Some(ignored) = found.and_then(|param| param.ignored_because) {
            let message = format!("search.parameters: {bare} has no effect: {ignored}");
            report.error(at, message);
            return None;
        }
        if let Some(param) = found {
            return Some((format!("{class}.init_args.{bare}"), param));
        }
        let of_data = self.data.params.unwrap_or_default().iter();
        let of_data = of_data.map(|param| format!("data.init_args.{}", param.name));
        let mut known: Vec<String> = params.iter().map(|param| param.name.to_owned()).collect();
        if class == "model" {
            known.extend(of_data);
        }
        let suggestion = match known
            .iter()
            .find(|known| known.ends_with(&format!(".{bare}")))
        {
            Some(of_data) => Some(of_data.clone()),
            None => names::nearest(bare, known.iter().map(String::as_str)),
        };
        let message = format!(
            "search.parameters: {} has no parameter {bare:?}",
            entry.class
        );
        report.suggest(at, message, suggestion);
        None
    }
}

/// A dimension, and where each of its values stands in the file; of a range its two ends.
pub(super) struct Written {
    pub dimension: Dimension,
    pub nodes: Vec<Node>,
}

/// Every dimension of `parameters`, in order. A parameter has one, or a list of them with conditions.
pub(super) fn read(
    node: &Node,
    parameters: Parameters,
    is_grid: bool,
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Vec<Written> {
    let mut written: Vec<Written> = Vec::new();
    for entry in node.entries() {
        let Some((path, param)) = parameters.find(&entry.key, entry.at, report) else {
            continue;
        };
        let alternatives: Vec<&Node> = match &entry.node.value {
            Value::List(items)
                if items.iter().all(|item| matches!(item.value, Value::Map(_)))
                    && !items.is_empty() =>
            {
                items.iter().collect()
            }
            _ => vec![&entry.node],
        };
        for node in alternatives {
            let reader = Reader {
                name: &entry.key,
                kind: &param.kind,
                node,
                is_grid,
                current_dir,
            };
            let Some((domain, nodes)) = reader.domain(report) else {
                continue;
            };
            if chooses_images(&path) && !is_one_value(&domain) {
                let message = format!(
                    "search.parameters.{}: which images there are, and how much of them is seen, decides what is measured, so \
                     that its values cannot be compared; image_size is what a search may vary of the data",
                    entry.key
                );
                report.error(entry.at, message);
                continue;
            }
            let Some(when) = conditions(node, &written, parameters, current_dir, report) else {
                continue;
            };
            let name = path.clone();
            let mut before = written.iter().map(|written| &written.dimension);
            if before.any(|other| other.name == name && other.when.is_empty()) {
                let message = format!(
                    "search.parameters.{}: a dimension before it has no `when` and holds always, so that this one never counts",
                    entry.key
                );
                report.error(node.at, message);
                continue;
            }
            written.push(Written {
                dimension: Dimension { name, domain, when },
                nodes,
            });
        }
    }
    written
}

/// Of the data everything but how large images are seen: what a crop cuts off is not measured either.
fn chooses_images(path: &str) -> bool {
    path.starts_with("data.") && path != "data.init_args.image_size"
}

fn is_one_value(domain: &Domain) -> bool {
    matches!(domain, Domain::Values(values) if values.len() == 1)
}

struct Reader<'a> {
    name: &'a str,
    kind: &'a Kind,
    node: &'a Node,
    is_grid: bool,
    current_dir: &'a Path,
}

impl Reader<'_> {
    fn error<T>(
        &self,
        at: At,
        message: impl std::fmt::Display,
        report: &mut Report<'_>,
    ) -> Option<T> {
        report.error(at, format!("search.parameters.{}: {message}", self.name));
        None
    }

    fn domain(&self, report: &mut Report<'_>) -> Option<(Domain, Vec<Node>)> {
        if !matches!(self.node.value, Value::Map(_)) {
            let found = self.node.describe();
            let message =
                format!("expected a map with `values`, or with `min` and `max`, found {found}");
            return self.error(self.node.at, message, report);
        }
        for entry in self.node.entries() {
            if !DIMENSION_KEYS.contains(&entry.key.as_str()) {
                let known = DIMENSION_KEYS.join(", ");
                let message = format!(
                    "search.parameters.{} has no key {:?}; a dimension has {known}",
                    self.name, entry.key
                );
                let nearest = names::nearest(&entry.key, DIMENSION_KEYS.iter().copied());
                report.suggest(entry.at, message, nearest);
            }
        }
        match (self.get("values"), self.get("min"), self.get("max")) {
            (Some(values), None, None) => self.values(values, report),
            (None, Some(min), Some(max)) => self.range(min, max, report),
            (Some(values), _, _) => {
                self.error(values.at, "either `values`, or `min` and `max`", report)
            }
            _ => self.error(
                self.node.at,
                "a dimension has `values`, or `min` and `max`",
                report,
            ),
        }
    }

    fn get(&self, key: &str) -> Option<&Node> {
        self.node.get(key).filter(|node| !node.is_null())
    }

    fn values(&self, values: &Node, report: &mut Report<'_>) -> Option<(Domain, Vec<Node>)> {
        for key in ["scale", "steps"] {
            if let Some(node) = self.get(key) {
                return self.error(node.at, format!("{key} belongs to a range"), report);
            }
        }
        let Value::List(items) = &values.value else {
            let found = values.describe();
            return self.error(
                values.at,
                format!("values: expected a list, found {found}"),
                report,
            );
        };
        if items.is_empty() {
            return self.error(values.at, "there are no values to choose from", report);
        }
        let mut checked: Vec<Json> = Vec::new();
        for item in items {
            let value = check::value(self.name, self.kind, item, self.current_dir, report)?;
            if checked.contains(&value) {
                let found = item.describe();
                return self.error(item.at, format!("{found} stands there twice"), report);
            }
            checked.push(value);
        }
        Some((Domain::Values(checked), items.clone()))
    }

    fn range(
        &self,
        min: &Node,
        max: &Node,
        report: &mut Report<'_>,
    ) -> Option<(Domain, Vec<Node>)> {
        let kind = match self.kind {
            Kind::Nullable(inner) => inner,
            kind => kind,
        };
        if !matches!(kind, Kind::Int { .. } | Kind::Float { .. }) {
            let expected = kind.expected();
            let message = format!("a range is of numbers, and this is {expected}; use `values`");
            return self.error(min.at, message, report);
        }
        let low = check::value(self.name, kind, min, self.current_dir, report);
        let high = check::value(self.name, kind, max, self.current_dir, report);
        let (low, high) = (low?, high?);
        let scale = match self.get("scale") {
            None => Scale::Linear,
            Some(node) => {
                let what = format!("search.parameters.{}.scale", self.name);
                match check::value(&what, &Kind::Enum(SCALES), node, self.current_dir, report)?
                    .as_str()
                {
                    Some("log") => Scale::Log,
                    _ => Scale::Linear,
                }
            }
        };
        let domain = match (kind, low.as_i64(), high.as_i64()) {
            (Kind::Int { .. }, Some(min), Some(max)) => Domain::Integer { min, max, scale },
            _ => Domain::Float {
                min: low.as_f64()?,
                max: high.as_f64()?,
                scale,
            },
        };
        let alone = hpo::Space {
            dimensions: vec![Dimension {
                name: self.name.to_owned(),
                domain: domain.clone(),
                when: Vec::new(),
            }],
        };
        if let Err(error) = alone.check() {
            report.error(min.at, format!("search.parameters.{error}"));
            return None;
        }
        if self.is_grid {
            return self.steps(&domain, report);
        }
        if let Some(steps) = self.get("steps") {
            return self.error(steps.at, "steps belong to the method grid", report);
        }
        Some((domain, vec![min.clone(), max.clone()]))
    }

    /// Of a range what a grid takes: every integer, or so many values from end to end.
    fn steps(&self, domain: &Domain, report: &mut Report<'_>) -> Option<(Domain, Vec<Node>)> {
        let most = i128::from(MOST_TRIALS);
        let places: Vec<u32> = match (self.get("steps"), domain) {
            (Some(node), _) => match node.value {
                Value::Int(steps) if (2..=most).contains(&steps) => {
                    let last = (steps - 1) as f64;
                    (0..steps as u32)
                        .map(|step| domain.place_of_share(f64::from(step) / last))
                        .collect()
                }
                _ => {
                    let message = format!(
                        "steps: expected an integer from 2 to {most}, found {}",
                        node.describe()
                    );
                    return self.error(node.at, message, report);
                }
            },
            (None, Domain::Integer { min, max, .. }) if i128::from(max.abs_diff(*min)) < most => {
                (0..=max.abs_diff(*min) as u32).collect()
            }
            (None, Domain::Integer { .. }) => {
                let message = format!(
                    "a grid of every integer in this range has more than {most} points; give it `steps`"
                );
                return self.error(self.node.at, message, report);
            }
            (None, _) => {
                let message = "a grid needs the number of `steps` of a range, or `values`";
                return self.error(self.node.at, message, report);
            }
        };
        let mut values: Vec<Json> = places
            .into_iter()
            .map(|place| domain.value(place))
            .collect();
        values.dedup();
        let nodes = values
            .iter()
            .map(|value| Node::from_json(value, self.node.at))
            .collect();
        Some((Domain::Values(values), nodes))
    }
}

/// `when: {backbone: resnet18}`, or a list of values: all of them must hold.
fn conditions(
    node: &Node,
    before: &[Written],
    parameters: Parameters,
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Option<Vec<Condition>> {
    let Some(when) = node.get("when").filter(|node| !node.is_null()) else {
        return Some(Vec::new());
    };
    if when.entries().is_empty() {
        let found = when.describe();
        let message = format!("when: expected a map such as {{backbone: resnet18}}, found {found}");
        report.error(when.at, message);
        return None;
    }
    let mut conditions = Vec::new();
    for entry in when.entries() {
        let (path, param) = parameters.find(&entry.key, entry.at, report)?;
        let earlier = before.iter().enumerate().find_map(|(index, written)| {
            match &written.dimension.domain {
                Domain::Values(values) if written.dimension.name == path => Some((index, values)),
                _ => None,
            }
        });
        let Some((dimension, known)) = earlier else {
            let message = format!(
                "when: {} is no dimension of values that stands before this one; put it above, with `values`",
                entry.key
            );
            report.error(entry.at, message);
            return None;
        };
        let wanted: Vec<&Node> = match &entry.node.value {
            // Of a parameter that is a list itself a list of lists is meant.
            Value::List(items)
                if !matches!(param.kind, Kind::List(_) | Kind::OneOrMany(_))
                    || items
                        .iter()
                        .any(|item| matches!(item.value, Value::List(_))) =>
            {
                items.iter().collect()
            }
            _ => vec![&entry.node],
        };
        let mut values = Vec::new();
        for node in wanted {
            let value = check::value(&entry.key, &param.kind, node, current_dir, report)?;
            let Some(index) = known.iter().position(|known| *known == value) else {
                let found = node.describe();
                let message = format!("when: {found} is none of the values of {}", entry.key);
                let texts = known.iter().filter_map(Json::as_str);
                let nearest = value
                    .as_str()
                    .and_then(|value| names::nearest(value, texts));
                report.suggest(node.at, message, nearest);
                return None;
            };
            values.push(index as u32);
        }
        conditions.push(Condition { dimension, values });
    }
    Some(conditions)
}

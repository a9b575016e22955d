//! One value against what its parameter accepts.

use std::path::Path;

use params::{Default, Entry, Kind, same_name};
use serde_json::{Map, Number, Value as Json};

use crate::{
    names,
    node::{At, Node, Value},
    paths,
    report::Report,
};

/// The canonical form of the value, or `None` after saying what is wrong with it.
pub(crate) fn value(
    name: &str,
    kind: &Kind,
    node: &Node,
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Option<Json> {
    let wrong = |report: &mut Report<'_>| {
        report.error(
            node.at,
            format!(
                "{name}: expected {}, found {}",
                kind.expected(),
                node.describe()
            ),
        );
        None
    };
    match (kind, &node.value) {
        (Kind::Nullable(_), Value::Null) => Some(Json::Null),
        (Kind::Nullable(inner), _) => {
            if matches!(inner, Kind::Enum([])) {
                return wrong(report);
            }
            value(name, inner, node, current_dir, report)
        }
        (Kind::Bool, Value::Bool(value)) => Some(Json::Bool(*value)),
        (Kind::Int { min, max }, Value::Int(value)) => match i64::try_from(*value) {
            Ok(value) if (*min..=*max).contains(&value) => Some(value.into()),
            _ => wrong(report),
        },
        (Kind::Float { .. }, Value::Int(value)) => {
            float(kind, *value as f64).or_else(|| wrong(report))
        }
        (Kind::Float { .. }, Value::Float(value)) => float(kind, *value).or_else(|| wrong(report)),
        (Kind::Text, _) => match node.text() {
            Some(text) => Some(Json::String(text.to_owned())),
            None => wrong(report),
        },
        (Kind::Path, _) => match node.text().map(|text| paths::address(text, current_dir)) {
            Some(Ok(path)) => Some(Json::String(path)),
            Some(Err(reason)) => {
                report.error(node.at, format!("{name}: {reason}"));
                None
            }
            None => wrong(report),
        },
        (Kind::Enum(words), _) => word(name, words, &[], node, report),
        (Kind::Choice { built, not_built }, _) => word(name, built, not_built, node, report),
        (Kind::List(_), Value::List(items)) | (Kind::OneOrMany(_), Value::List(items))
            if items.is_empty() =>
        {
            wrong(report)
        }
        (Kind::List(item) | Kind::OneOrMany(item), Value::List(items)) => {
            let checked: Vec<Option<Json>> = items
                .iter()
                .map(|node| value(name, item, node, current_dir, report))
                .collect();
            checked
                .into_iter()
                .collect::<Option<Vec<_>>>()
                .map(Json::Array)
        }
        (Kind::OneOrMany(item), _) => {
            value(name, item, node, current_dir, report).map(|one| Json::Array(vec![one]))
        }
        (Kind::Size { min, max }, value) => {
            let side = |value: &Value| match value {
                Value::Int(side) => u32::try_from(*side)
                    .ok()
                    .filter(|side| (*min..=*max).contains(side)),
                _ => None,
            };
            let sides = match value {
                Value::List(items) => match items.as_slice() {
                    [height, width] => side(&height.value).zip(side(&width.value)),
                    _ => None,
                },
                one => side(one).map(|side| (side, side)),
            };
            match sides {
                Some((height, width)) => Some(Json::Array(vec![height.into(), width.into()])),
                None => wrong(report),
            }
        }
        _ => wrong(report),
    }
}

fn float(kind: &Kind, value: f64) -> Option<Json> {
    let Kind::Float { min, max } = kind else {
        return None;
    };
    let inside = value.is_finite() && (*min..=*max).contains(&value);
    // -0.0 and 0.0 are one value and must have one digest.
    inside
        .then(|| Number::from_f64(value + 0.0))
        .flatten()
        .map(Json::Number)
}

fn word(
    name: &str,
    built: &[&'static str],
    not_built: &[&'static str],
    node: &Node,
    report: &mut Report<'_>,
) -> Option<Json> {
    let given = node.text().or(if node.is_null() {
        node.raw.as_deref()
    } else {
        None
    });
    if let Some(word) = given.and_then(|given| built.iter().find(|word| same_name(word, given))) {
        return Some(Json::String((*word).to_owned()));
    }
    if let Some(word) = given.and_then(|given| not_built.iter().find(|word| same_name(word, given)))
    {
        report.error(
            node.at,
            format!(
                "{name}: {word} is known but not built yet; built: {}",
                built.join(", ")
            ),
        );
        return None;
    }
    let suggestion =
        given.and_then(|given| names::nearest(given, built.iter().chain(not_built).copied()));
    report.suggest(
        node.at,
        format!(
            "{name}: expected one of {}, found {}",
            built.join(", "),
            node.describe()
        ),
        suggestion,
    );
    None
}

/// The parameters of a class as far as they could be read.
pub(crate) struct Arguments {
    /// Every default written out, in the order of the registry entry.
    pub values: Map<String, Json>,
    /// Parameters of the class that are missing from `values`, because what was given for them is wrong.
    pub unreadable: Vec<&'static str>,
    /// False if there was anything to complain of.
    pub right: bool,
}

/// Reads the parameters of a class.
///
/// `implied` stands for a parameter that is not given, before its default. Ignored parameters are checked, warned about and
/// left out: they have no effect, so they must not change a digest.
pub(crate) fn arguments(
    entry: &'static Entry,
    given: Option<&Node>,
    at: At,
    implied: &[(&str, Json)],
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Arguments {
    let params = entry.params.unwrap_or_default();
    let class = entry.class;
    let mut right = true;
    if let Some(node) = given.filter(|node| !node.is_null() && !matches!(node.value, Value::Map(_)))
    {
        right = false;
        report.error(
            node.at,
            format!(
                "init_args: expected a map of parameters, found {}",
                node.describe()
            ),
        );
    }
    for entry in given.map(Node::entries).unwrap_or_default() {
        if !params.iter().any(|param| param.name == entry.key) {
            right = false;
            let suggestion = names::nearest(&entry.key, params.iter().map(|param| param.name));
            let mut message = format!("{class} has no parameter {:?}", entry.key);
            if suggestion.is_none() {
                let known: Vec<&str> = params.iter().map(|param| param.name).collect();
                message.push_str(&match known.as_slice() {
                    [] => "; it has none".to_owned(),
                    known => format!("; it has {}", known.join(", ")),
                });
            }
            report.suggest(entry.at, message, suggestion);
        }
    }
    let mut values = Map::new();
    let mut unreadable = Vec::new();
    for param in params {
        // Anomalib's files write null for a number that is not given, such as a dataset's seed.
        let left_out = |node: &Node| {
            node.is_null()
                && matches!(
                    (param.kind, param.default),
                    (Kind::Int { .. }, Default::Json(_))
                )
        };
        let written = given
            .and_then(|given| given.get(param.name))
            .filter(|node| !left_out(node));
        let standard;
        let node = match (
            written,
            implied.iter().find(|(name, _)| *name == param.name),
            param.default,
        ) {
            (Some(node), _, _) => node,
            (None, Some((_, json)), _) => {
                standard = Node::from_json(json, at);
                &standard
            }
            (None, None, Default::Json(text)) => {
                standard = Node::from_json(&serde_json::from_str(text).unwrap_or(Json::Null), at);
                &standard
            }
            (None, None, Default::Required) => {
                report.error(
                    at,
                    format!(
                        "{class} needs the parameter {:?}: {}",
                        param.name,
                        param.kind.expected()
                    ),
                );
                unreadable.push(param.name);
                continue;
            }
        };
        let checked = value(param.name, &param.kind, node, current_dir, report);
        match (param.ignored_because, checked) {
            (Some(because), checked) => {
                right &= checked.is_some();
                // What is at its default asks for nothing; the reference prints every parameter.
                let is_default = |json: &Json| match param.default {
                    Default::Json(text) => {
                        serde_json::from_str(text).is_ok_and(|text: Json| text == *json)
                    }
                    _ => false,
                };
                if written.is_some_and(|node| !node.is_null())
                    && !checked.as_ref().is_some_and(is_default)
                {
                    report.warn(
                        node.at,
                        format!("{} is accepted but has no effect: {because}", param.name),
                    );
                }
            }
            (None, Some(json)) => _ = values.insert(param.name.to_owned(), json),
            (None, None) => unreadable.push(param.name),
        }
    }
    Arguments {
        right: right && unreadable.is_empty(),
        values,
        unreadable,
    }
}

//! The JSON schema of job files, for editors; made from the same registries that the reader checks against.

use params::{Default, Entry, Kind, Param};
use serde_json::{Map, Value as Json, json};

use crate::{
    read::{ENGINES, KINDS_NOT_BUILT},
    resolved::JobKind,
};

/// Draft 7, which editors' YAML plug-ins know best.
pub fn schema() -> Json {
    let metric = defined("metric");
    let metric_definition = any(vec![names(metrics::REGISTRY), class(metrics::REGISTRY)]);
    let metrics_list = defined("metrics");
    let metrics_definition = any(vec![
        json!({"type": "null"}),
        metric.clone(),
        json!({"type": "array", "items": metric}),
        json!({"type": "object", "additionalProperties": any(vec![json!({"type": "null"}), defined("metric")])}),
    ]);
    let threshold = defined("threshold");
    let threshold_definition = any(vec![
        json!({"type": "number"}),
        names(metrics::THRESHOLDS),
        class(metrics::THRESHOLDS),
    ]);
    let package = json!({
        "type": "object",
        "required": ["package"],
        "additionalProperties": false,
        "properties": {"package": {"type": "string", "description": "NAME, NAME@VERSION, or the path of a package.json; with `kind: test`."}},
    });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Nightshift job file",
        "definitions": {
            "grid": {
                "description": "A list of values: every combination of all grids of a benchmark is a run.",
                "type": "object",
                "required": ["grid"],
                "additionalProperties": false,
                "properties": {"grid": {"type": "array", "minItems": 1}},
            },
            "metric": metric_definition,
            "metrics": metrics_definition,
            "threshold": threshold_definition,
        },
        "type": "object",
        "required": ["kind", "model", "data"],
        "additionalProperties": false,
        "properties": {
            "kind": {
                "enum": JobKind::ALL.map(JobKind::as_str),
                "description": format!("What the job does. Known but not built yet: {}.", KINDS_NOT_BUILT.join(", ")),
            },
            "name": {"type": ["string", "null"], "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$", "description": "Default: the file's name."},
            "model": grid(any(vec![names(models::REGISTRY), class(models::REGISTRY), package])),
            "data": grid(any(vec![names(data::REGISTRY), class(data::REGISTRY)])),
            "metrics": grid(json!({
                "type": ["object", "null"],
                "additionalProperties": false,
                "properties": {
                    "image": grid(metrics_list.clone()),
                    "pixel": grid(metrics_list),
                    "threshold": grid(any(vec![
                        json!({"type": "null"}),
                        threshold.clone(),
                        json!({"type": "array", "minItems": 1, "maxItems": 2, "items": threshold.clone()}),
                        json!({"type": "object", "additionalProperties": false, "properties": {"image": threshold.clone(), "pixel": threshold}}),
                    ])),
                },
            })),
            "normalization": grid(any(vec![
                json!({"enum": ["min_max", "none", null]}),
                json!({"type": "object", "additionalProperties": false, "properties": {"normalization_method": {"enum": ["min_max", "none"]}}}),
            ])),
            "task": grid(json!({"enum": ["classification", "segmentation", null], "default": "segmentation"})),
            "seed": grid(json!({"type": ["integer", "null"], "minimum": 0, "default": 0})),
            "resources": {
                "type": ["object", "null"],
                "additionalProperties": false,
                "properties": {
                    "pool": {"type": "string", "default": "cpu"},
                    "timeout": {"type": ["string", "null"], "pattern": "^([0-9]+[smhd])+$", "description": "A task's own time limit, such as 2h."},
                    "retries": {"type": "integer", "minimum": 0, "maximum": 100, "default": 2},
                    "memory": {"type": ["string", "null"], "description": "A task's memory limit, such as 8GiB."},
                    "engine": {"enum": ENGINES, "default": "auto"},
                    "labels": {
                        "type": ["object", "null"],
                        "additionalProperties": {"type": ["string", "integer", "number", "boolean"]},
                        "description": "Only workers with all these labels do the job, such as {zone: b}.",
                    },
                },
            },
            "output": {"type": ["string", "null"], "default": "./results", "description": "Folder of the results, relative to the current directory."},
            "priority": {"type": ["integer", "null"], "default": 0, "description": "Higher goes first."},
            "deadline": {"type": ["string", "null"], "pattern": "^([0-9]+[smhd])+$", "description": "The job fails if it has not ended so long after its submission, such as 8h."},
            "max_failed_tasks": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "The job fails once more tasks than this have failed; null: any number in a benchmark, none elsewhere.",
            },
        },
    })
}

fn any(options: Vec<Json>) -> Json {
    json!({"anyOf": options})
}

/// The value itself, or a grid of values.
fn grid(value: Json) -> Json {
    json!({"anyOf": [value, defined("grid")]})
}

fn defined(name: &str) -> Json {
    json!({"$ref": format!("#/definitions/{name}")})
}

fn built(registry: &'static [Entry]) -> impl Iterator<Item = (&'static Entry, &'static [Param])> {
    registry
        .iter()
        .filter_map(|entry| Some((entry, entry.params?)))
}

/// Class names: canonical ones for completion, any other spelling for the reader to judge.
fn names(registry: &'static [Entry]) -> Json {
    let names: Vec<&str> = built(registry).map(|(entry, _)| entry.class).collect();
    json!({"anyOf": [{"enum": names}, {"type": "string"}]})
}

/// `{class_path, init_args}`: the parameters of each class that is built, chosen by its name.
fn class(registry: &'static [Entry]) -> Json {
    let rules: Vec<Json> = built(registry)
        .map(|(entry, params)| {
            json!({
                "if": {"properties": {"class_path": {"enum": [entry.class, format!("{}.{}", entry.module, entry.class)]}}},
                "then": {"properties": {"init_args": init_args(params)}},
            })
        })
        .collect();
    json!({
        "type": "object",
        "required": ["class_path"],
        "additionalProperties": false,
        "properties": {"class_path": grid(names(registry)), "init_args": {}},
        "allOf": rules,
    })
}

fn init_args(params: &[Param]) -> Json {
    let properties: Map<String, Json> = params
        .iter()
        .map(|param| (param.name.to_owned(), property(param)))
        .collect();
    let required: Vec<&str> = params
        .iter()
        .filter(|param| param.default == Default::Required)
        .map(|param| param.name)
        .collect();
    grid(
        json!({"type": ["object", "null"], "additionalProperties": false, "properties": properties, "required": required}),
    )
}

fn property(param: &Param) -> Json {
    let mut value = kind(&param.kind);
    // As the reader has it: null for a number is a number that is not given.
    if let (Kind::Int { .. }, Default::Json(_), Json::Object(fields)) =
        (&param.kind, param.default, &mut value)
    {
        fields.insert("type".into(), json!(["integer", "null"]));
    }
    let mut property = grid(value);
    if let Json::Object(fields) = &mut property {
        let effect = if param.ignored_because.is_some() {
            "No effect: "
        } else {
            ""
        };
        fields.insert(
            "description".into(),
            format!("{effect}{}", param.doc).into(),
        );
        if let Default::Json(text) = param.default {
            fields.insert(
                "default".into(),
                serde_json::from_str(text).unwrap_or(Json::Null),
            );
        }
    }
    property
}

fn kind(kind: &Kind) -> Json {
    match kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Int { min, max: i64::MAX } => json!({"type": "integer", "minimum": min}),
        Kind::Int { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Float { min, max } => {
            let mut bounds = json!({"type": "number"});
            if let Json::Object(fields) = &mut bounds {
                if *min > f64::MIN {
                    fields.insert("minimum".into(), json!(min));
                }
                if *max < f64::MAX {
                    fields.insert("maximum".into(), json!(max));
                }
            }
            bounds
        }
        Kind::Text => json!({"type": ["string", "number", "boolean"]}),
        Kind::Path => json!({"type": "string"}),
        Kind::Enum(words) | Kind::Choice { built: words, .. } => json!({"enum": words}),
        Kind::List(item) => {
            json!({"type": "array", "minItems": 1, "items": grid(self::kind(item))})
        }
        Kind::OneOrMany(item) => any(vec![
            self::kind(item),
            json!({"type": "array", "minItems": 1, "items": grid(self::kind(item))}),
        ]),
        Kind::Nullable(Kind::Enum([])) => json!({"type": "null"}),
        Kind::Nullable(inner) => any(vec![json!({"type": "null"}), self::kind(inner)]),
        Kind::Size { min, max } => {
            let side = json!({"type": "integer", "minimum": min, "maximum": max});
            any(vec![
                side.clone(),
                json!({"type": "array", "minItems": 2, "maxItems": 2, "items": side}),
            ])
        }
    }
}

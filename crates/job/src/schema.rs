//! The JSON schema of job files, for editors; made from the same registries that the reader checks against.

use params::{Default, Entry, Kind, Param};
use serde_json::{Map, Value as Json, json};

use crate::{
    read::RUN_KEYS,
    resolved::{ExportEngine, JobKind, Kept, Precision},
    resources::{DEVICES, ENGINES},
    run, search,
};

/// What the reader takes for a text, since people write versions and names without quotes.
const TEXT: [&str; 3] = ["string", "number", "boolean"];
const TEXT_OR_NULL: [&str; 4] = ["string", "number", "boolean", "null"];
const NORMALIZATIONS: &[&str] = &["min_max", "cdf", "none"];
const TASKS: &[&str] = &["classification", "segmentation"];

/// Draft 7, which editors' YAML plug-ins know best.
pub fn schema() -> Json {
    let metric = defined("metric");
    let metric_definition = any(vec![names(metrics::REGISTRY), class(metrics::REGISTRY)]);
    let metrics_list = defined("metrics");
    let metrics_definition = any(vec![
        json!({"type": "null"}),
        metric.clone(),
        json!({"type": "array", "items": grid(metric.clone())}),
        json!({"type": "object", "additionalProperties": grid(any(vec![json!({"type": "null"}), metric]))}),
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
        "properties": {"package": {"type": TEXT, "description": "NAME, NAME@VERSION, or the path of a package.json; with `kind: test` and `kind: predict` also of an .onnx or .xml file."}},
    });
    let mut of_run = package.clone();
    of_run["properties"]["name"] = json!({"type": TEXT_OR_NULL, "description": "What the model is called on screens and in tables, in the place of `package`."});
    let of_runs = RUN_KEYS.iter().filter(|key| **key != "model");
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
        "required": ["kind", "model"],
        "if": {"required": ["kind"], "properties": {"kind": {"const": JobKind::Export.as_str()}}},
        "then": {
            "required": ["export"],
            "properties": {"model": package, "export": {"type": "object"}},
            "not": any(of_runs.map(|key| json!({"required": [key]})).collect()),
        },
        "else": {
            "required": ["data"],
            "properties": {"export": {"type": "null"}},
            "if": {"required": ["kind"], "properties": {"kind": {"const": JobKind::Hpo.as_str()}}},
            "then": {"required": ["search"], "properties": {"search": {"type": "object"}}},
            "else": {"properties": {"search": {"type": "null"}}},
        },
        "additionalProperties": false,
        "properties": {
            "kind": {
                "enum": JobKind::ALL.map(JobKind::as_str),
                "description": "What the job does.",
            },
            "name": {"type": TEXT_OR_NULL, "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$", "description": "Default: the file's name."},
            "model": grid(any(vec![short_names(models::REGISTRY), class(models::REGISTRY), of_run])),
            "data": grid(any(vec![
                short_names(data::REGISTRY),
                class(data::REGISTRY),
                json!({"type": "string", "pattern": "[/.]", "description": "With `kind: predict`: where the images are."}),
                json!({"type": "array", "minItems": 1, "items": {"type": "string"}, "description": "With `kind: predict`: the places where images are."}),
            ])),
            "metrics": grid(json!({
                "type": ["object", "null"],
                "additionalProperties": false,
                "properties": {
                    "image": grid(metrics_list.clone()),
                    "pixel": grid(metrics_list),
                    "threshold": grid(any(vec![
                        json!({"type": "null"}),
                        threshold.clone(),
                        json!({"type": "array", "minItems": 1, "maxItems": 2, "items": grid(threshold.clone())}),
                        json!({"type": "object", "additionalProperties": false, "properties": {"image": grid(threshold.clone()), "pixel": grid(threshold)}}),
                    ])),
                },
            })),
            "normalization": grid(any(vec![
                json!({"type": "null"}),
                words(NORMALIZATIONS),
                json!({
                    "type": "object",
                    "required": ["normalization_method"],
                    "additionalProperties": false,
                    "properties": {"normalization_method": grid(words(NORMALIZATIONS))},
                }),
            ])),
            "task": grid(any(vec![json!({"type": "null"}), words(TASKS)])),
            "seed": grid(json!({"type": ["integer", "null"], "minimum": 0, "maximum": u64::MAX, "default": 0})),
            "parity": grid(json!({
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": run::MOST_PARITY_IMAGES,
                "default": run::PARITY_IMAGES,
                "description": "Scored images on which the engines are compared for the parity certificate of a trained model; 0: none is made. With `precision` or `scaled_decoding`: on which their scores are compared with exact ones.",
            })),
            "precision": precision(),
            "scaled_decoding": scaled_decoding(),
            "incremental": {"type": ["boolean", "null"], "default": false, "description": "With `kind: predict`: images that jobs of the same data, package and engine have scored, and that have not changed since, are not scored again."},
            "skip": {"type": TEXT_OR_NULL, "description": "With `kind: predict`: the id of a job of the same store; images that it has scored by the same package and engine, and that have not changed since, are not scored again."},
            "maps": kept("With `kind: predict`: the images whose anomaly maps are kept, at the size at which the model sees."),
            "pictures": kept("With `kind: predict`: the images that are drawn, with their anomaly maps and masks."),
            "timezone": {"type": ["string", "null"], "default": "UTC", "description": "Of `{today}` and `{yesterday}` in the addresses of images with `kind: predict`, such as Europe/Berlin."},
            "max_error_rows": {
                "anyOf": [
                    {"type": "integer", "minimum": 0},
                    {"type": "string", "pattern": "^[0-9.]+ *%$"},
                    {"type": "null"},
                ],
                "default": "1%",
                "description": "With `kind: predict`: the job fails, with its results kept, if more images than this could not be scored.",
            },
            "resources": resources(),
            "output": {"type": TEXT_OR_NULL, "default": "./results", "description": "Folder of the results, relative to the current directory."},
            "export": {
                "type": ["object", "null"],
                "required": ["engine"],
                "additionalProperties": false,
                "description": "What a job of kind export writes.",
                "properties": {
                    "engine": words(&ExportEngine::ALL.map(ExportEngine::as_str)),
                    "compress_to_fp16": {"type": ["boolean", "null"], "default": false, "description": "Store the network's weights in half precision; not of torch."},
                    "anomalib": {"type": ["boolean", "null"], "default": false, "description": "Take images of any size and resize them in the file, for Anomalib's inferencers: scores are others than a job's. Not of torch."},
                },
            },
            "search": searched(),
            "priority": {"type": ["integer", "null"], "minimum": i32::MIN, "maximum": i32::MAX, "default": 0, "description": "Higher goes first."},
            "deadline": {"type": ["string", "null"], "pattern": "^([0-9]+[smhd])+$", "description": "The job fails if it has not ended so long after its submission, such as 8h."},
            "max_failed_tasks": {
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": u32::MAX,
                "description": "The job fails once more tasks than this have failed; null: any number in a benchmark or a search, none elsewhere.",
            },
        },
    })
}

/// What a job of kind hpo searches.
fn searched() -> Json {
    let dimension = json!({
        "type": "object",
        "additionalProperties": false,
        "anyOf": [{"required": ["values"]}, {"required": ["min", "max"]}],
        "properties": {
            "values": {"type": ["array", "null"], "minItems": 1, "description": "What it is chosen from, in no order."},
            "min": {"type": ["number", "null"]},
            "max": {"type": ["number", "null"]},
            "scale": any(vec![json!({"type": "null"}), words(&["linear", "log"])]),
            "steps": {"type": ["integer", "null"], "minimum": 2, "description": "With the method grid: values from end to end of a range."},
            "when": {"type": ["object", "null"], "description": "It counts where earlier parameters have these values, such as {backbone: resnet18}."},
        },
    });
    let count = |default: Json, description: &str| json!({"type": ["integer", "null"], "minimum": 1, "maximum": hpo::MOST_TRIALS, "default": default, "description": description});
    json!({
        "type": ["object", "null"],
        "required": ["method", "parameters", "objective"],
        "additionalProperties": false,
        "description": "What a job of kind hpo searches.",
        "properties": {
            "method": any(vec![words(search::METHODS), words(&["gp", "bayes", "bayesian"])]),
            "parameters": {
                "type": "object",
                "description": "By name: parameters of the model, such as n_features, or data.init_args.NAME.",
                "additionalProperties": any(vec![dimension.clone(), json!({"type": "array", "minItems": 1, "items": dimension})]),
            },
            "objective": any(vec![
                json!({"type": "string", "description": "A metric on the split validation, such as image_AUROC."}),
                json!({
                    "type": "object",
                    "required": ["metric"],
                    "additionalProperties": false,
                    "properties": {
                        "metric": {"type": "string"},
                        "goal": any(vec![json!({"type": "null"}), words(&["maximize", "minimize"])]),
                        "split": {"enum": ["validation", null]},
                    },
                }),
            ]),
            "trials": count(json!(20), "At most; a grid has all its points if it is left out."),
            "concurrency": count(json!(4), "Trials that may be under way at once: so many results a suggestion does without."),
            "budget": {
                "type": ["object", "null"],
                "additionalProperties": false,
                "description": "Of the method successive_halving: what the first trials get, and how much more the best of them.",
                "properties": {
                    "resource": words(&["images"]),
                    "min": {"type": ["number", "null"], "minimum": 0.001, "maximum": 1.0, "default": 1.0 / 9.0},
                    "factor": {"type": ["integer", "null"], "minimum": 2, "maximum": 100, "default": 3},
                },
            },
            "seed": {"type": ["integer", "null"], "minimum": 0, "maximum": u64::MAX, "default": 0},
            "refit": {"type": ["boolean", "null"], "default": false, "description": "Fit the best once more at the end, and measure it on the split test."},
        },
    })
}

fn resources() -> Json {
    json!({
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": {
            "pool": {"type": TEXT, "default": "cpu"},
            "timeout": {"type": ["string", "null"], "pattern": "^([0-9]+[smhd])+$", "description": "A task's own time limit, such as 2h."},
            "retries": {"type": "integer", "minimum": 0, "maximum": 100, "default": 2},
            "memory": {"type": ["string", "null"], "description": "A task's memory limit, such as 8GiB."},
            "engine": {"allOf": [words(ENGINES)], "description": "What computes; auto: of what a worker offers the first of libtorch on a GPU, OpenVINO, ONNX Runtime, libtorch on the processor."},
            "device": {"allOf": [words(DEVICES)], "description": "What the workers that do the job compute on; auto: whatever they have."},
            "labels": {
                "type": ["object", "null"],
                "additionalProperties": {"type": ["string", "integer", "number", "boolean"]},
                "description": "Only workers with all these labels do the job, such as {zone: b}.",
            },
        },
        // Engines that are named compute on the processor only, or on GPUs only.
        "not": {
            "type": "object",
            "required": ["engine", "device"],
            "anyOf": [
                {"properties": {"engine": {"not": words(&["auto", "torch-cuda"])}, "device": words(&["gpu"])}},
                {"properties": {"engine": words(&["torch-cuda"]), "device": words(&["cpu"])}},
            ],
        },
    })
}

fn precision() -> Json {
    let words = words(&Precision::ALL.map(Precision::as_str));
    json!({
        "anyOf": [words, {"type": "null"}],
        "default": "f32",
        "description": "With `kind: predict` and `kind: test`: of the numbers that the network, and PaDiM's distances, are computed with. bf16 needs OpenVINO and a processor with instructions for it; how far scores differ is in the results.",
    })
}

fn scaled_decoding() -> Json {
    json!({
        "type": ["boolean", "null"],
        "default": false,
        "description": "With `kind: predict` and `kind: test`: JPEG files much larger than what the model sees are decoded at a fraction of their size, which is faster and changes scores; how far is in the results.",
    })
}

/// Of which images something is kept.
fn kept(description: &str) -> Json {
    json!({
        "anyOf": [words(&Kept::ALL.map(Kept::as_str)), {"type": "null"}],
        "default": "none",
        "description": description,
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

/// Class names that can stand alone: without those whose parameters cannot be left out.
fn short_names(registry: &'static [Entry]) -> Json {
    let (long, short): (Vec<&Entry>, Vec<&Entry>) = built(registry)
        .map(|(entry, _)| entry)
        .partition(|entry| needs_parameters(entry));
    let names: Vec<&str> = short.iter().map(|entry| entry.class).collect();
    let mut other = json!({"type": "string"});
    if let (false, Json::Object(fields)) = (long.is_empty(), &mut other) {
        let patterns: Vec<Json> = long
            .iter()
            .map(|entry| json!({"pattern": class_pattern(entry)}))
            .collect();
        fields.insert("not".into(), any(patterns));
    }
    any(vec![json!({"enum": names}), other])
}

fn needs_parameters(entry: &Entry) -> bool {
    let mut params = entry.params.unwrap_or_default().iter();
    params.any(|param| param.default == Default::Required)
}

/// Every spelling of a word that the reader takes: without regard to case, `_` and `-`.
fn spelling(word: &str) -> String {
    word.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .map(|c| match (c.to_ascii_lowercase(), c.to_ascii_uppercase()) {
            (lower, upper) if lower == upper => format!("{c}[-_]*"),
            (lower, upper) => format!("[{lower}{upper}][-_]*"),
        })
        .collect()
}

/// Every spelling of a class, with and without a module.
fn class_pattern(entry: &Entry) -> String {
    let module = entry.module.replace('.', "\\.");
    format!(
        "^(anomalib\\.|{module}\\.(.*\\.)?)?[-_]*{}$",
        spelling(entry.class)
    )
}

/// Words of a closed set: the canonical ones for completion.
fn words(words: &[&str]) -> Json {
    let spellings: Vec<String> = words.iter().map(|word| spelling(word)).collect();
    let pattern = format!("^[-_]*({})$", spellings.join("|"));
    any(vec![
        json!({"enum": words}),
        json!({"type": "string", "pattern": pattern}),
    ])
}

/// `{class_path, init_args}`: the parameters of each class that is built, chosen by its name.
fn class(registry: &'static [Entry]) -> Json {
    let rules: Vec<Json> = built(registry)
        .map(|(entry, params)| {
            let mut then = json!({"properties": {"init_args": init_args(params)}});
            if let (true, Json::Object(fields)) = (needs_parameters(entry), &mut then) {
                fields.insert("required".into(), json!(["init_args"]));
            }
            json!({
                "if": {"properties": {"class_path": {"type": "string", "pattern": class_pattern(entry)}}},
                "then": then,
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
    let types = if required.is_empty() {
        json!(["object", "null"])
    } else {
        json!("object")
    };
    grid(
        json!({"type": types, "additionalProperties": false, "properties": properties, "required": required}),
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
        Kind::Text | Kind::Path => json!({"type": TEXT}),
        Kind::Enum(words) | Kind::Choice { built: words, .. } => self::words(words),
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
                json!({"type": "array", "minItems": 2, "maxItems": 2, "items": grid(side)}),
            ])
        }
    }
}

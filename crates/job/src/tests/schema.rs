//! The schema for editors and the reader judge alike.

use regex::Regex;
use serde_json::{Map, Value};

use super::*;

/// Whether a value is right by a schema of draft 7, as far as ours uses it.
fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(rules) = schema else {
        panic!("no schema: {schema}")
    };
    let all = |rule: &Value, value: &Value| is_valid(root, rule, value);
    let empty = Map::new();
    let object = value.as_object();
    let fields = object.unwrap_or(&empty);
    let known = |name: &str| rules["properties"].get(name).is_some();
    rules.iter().all(|(rule, say)| match rule.as_str() {
        "$schema" | "title" | "description" | "default" | "definitions" => true,
        "$ref" => {
            let path = say.as_str().and_then(|path| path.strip_prefix('#'));
            all(root.pointer(path.expect("a path")).expect("there"), value)
        }
        "type" => match say {
            Value::Array(types) => types.iter().any(|one| is_a(one, value)),
            one => is_a(one, value),
        },
        "enum" => say.as_array().expect("a list").contains(value),
        "anyOf" => items(say).iter().any(|one| all(one, value)),
        "allOf" => items(say).iter().all(|one| all(one, value)),
        "not" => !all(say, value),
        "if" => {
            let follows = if all(say, value) { "then" } else { "else" };
            rules.get(follows).is_none_or(|rule| all(rule, value))
        }
        "then" | "else" => true,
        "const" => say == value,
        "required" => {
            object.is_none()
                || items(say)
                    .iter()
                    .all(|name| fields.contains_key(name.as_str().expect("a name")))
        }
        "properties" => fields
            .iter()
            .all(|(name, value)| say.get(name).is_none_or(|rule| all(rule, value))),
        "additionalProperties" => fields.iter().all(|(name, value)| match say {
            Value::Bool(allowed) => *allowed || known(name),
            rule => (rules.contains_key("properties") && known(name)) || all(rule, value),
        }),
        "items" => value
            .as_array()
            .is_none_or(|items| items.iter().all(|item| all(say, item))),
        "minItems" => value
            .as_array()
            .is_none_or(|items| items.len() as u64 >= say.as_u64().expect("a number")),
        "maxItems" => value
            .as_array()
            .is_none_or(|items| items.len() as u64 <= say.as_u64().expect("a number")),
        "minimum" => value
            .as_f64()
            .is_none_or(|value| value >= say.as_f64().expect("a number")),
        "maximum" => value
            .as_f64()
            .is_none_or(|value| value <= say.as_f64().expect("a number")),
        "pattern" => value.as_str().is_none_or(|value| {
            let pattern = Regex::new(say.as_str().expect("a text")).expect("a pattern");
            pattern.is_match(value)
        }),
        other => panic!("the rule {other} is not read here"),
    })
}

fn items(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn is_a(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    }
}

/// The file as an editor has it.
fn tree(text: &str) -> Value {
    let (root, errors) =
        crate::yaml::parse(text, |line, column| crate::node::At::File { line, column });
    assert_eq!(errors, [], "{text}");
    root.expect("a tree").to_json()
}

#[track_caller]
fn both(text: &str, expected: bool) {
    let schema = schema();
    assert_eq!(
        is_valid(&schema, &schema, &tree(text)),
        expected,
        "the schema on\n{text}"
    );
    let read = read_text(text).map(|reading| reading.job.name);
    assert_eq!(read.is_ok(), expected, "{read:#?} on\n{text}");
}

#[test]
fn every_example_is_right_by_the_schema() {
    for (_, text) in examples() {
        both(&text, true);
    }
}

#[test]
fn what_the_reader_takes_the_schema_takes() {
    let benchmark = RIGHT.replace("train", "benchmark");
    for more in [
        "normalization: MIN_MAX",
        "normalization: {normalization_method: {grid: [min-max, none]}}",
        "normalization: cdf",
        "normalization: null",
        "task: CLASSIFICATION",
        "task: {grid: [Segmentation, classification]}",
        "    val_split_mode: SAME_AS_TEST",
        "    image_size: [{grid: [64, 128]}, 64]",
        "    seed: null",
        "metrics: {image: [{grid: [AUROC, F1Score]}]}",
        "metrics: {image: {AUROC: , mine: {class_path: F1Score}}}",
        "metrics: {threshold: {image: {grid: [0.5, F1AdaptiveThreshold]}}}",
        "metrics: {threshold: [{grid: [1, 2]}, 3]}",
        "max_failed_tasks: 4294967295",
        "priority: -5",
        "parity: 0",
        "parity: {grid: [0, 16, 1000]}",
        "name: 5",
        "output: 2024",
        "resources: {engine: TORCH_CPU, pool: 1, memory: 1GiB, timeout: 2h, device: CPU}",
        "resources: {engine: Auto, device: gpu}",
        "resources: null",
    ] {
        both(&format!("{benchmark}{more}\n"), true);
    }
    for class in [
        "mvtec",
        "anomalib.data.MVTec",
        "anomalib.data.image.mvtec.MVTec",
        "{grid: [MVTec, mvtec]}",
    ] {
        both(
            &benchmark.replace("class_path: MVTec", &format!("class_path: {class}")),
            true,
        );
    }
    both("kind: test\nmodel: {package: x@1}\ndata: MVTec\n", true);
    for export in [
        "engine: onnx",
        "engine: Open-VINO, compress_to_fp16: true",
        "engine: torch, anomalib: null",
    ] {
        both(
            &format!("kind: export\nmodel: {{package: x}}\nexport: {{{export}}}\n"),
            true,
        );
    }
}

#[test]
fn what_the_reader_refuses_the_schema_refuses() {
    for wrong in [
        "model: {package: x}\n",
        "model: {package: x}\nexport: {}\n",
        "model: {package: x}\nexport: {engine: keras}\n",
        "model: {package: x}\nexport: {engine: onnx}\ndata: MVTec\n",
        "model: Padim\nexport: {engine: onnx}\n",
        "export: {engine: onnx}\n",
    ] {
        both(&format!("kind: export\n{wrong}"), false);
    }
    both(&format!("{RIGHT}export: {{engine: onnx}}\n"), false);
    for more in [
        "normalization: min_mix",
        "normalization: {normalization_method: null}",
        "task: classify",
        "    val_split_mode: same",
        "    image_size: [64, 64, 64]",
        "metrics: {threshold: {Image: 1}}",
        "metrics: {threshold: [1, 2, 3]}",
        "max_failed_tasks: 5000000000",
        "priority: 3000000000",
        "seed: -1",
        "parity: -1",
        "parity: 1001",
        "resources: {engine: torch}",
        "resources: {device: cuda}",
        "resources: {device: GPU, engine: openvino}",
        "resources: {retries: 101}",
        "nmae: x",
    ] {
        both(&format!("{RIGHT}{more}\n"), false);
    }
    for class in [
        "mvtec",
        "anomalib.data.image.MVTec",
        "anomalib.data.image.mvtec.MVTec",
    ] {
        let text = RIGHT.replace("class_path: MVTec", &format!("class_path: {class}"));
        both(&text, true);
        both(&text.replace("root:", "rot:"), false);
    }
    for data in [
        "Folder",
        "folder",
        "{class_path: Folder}",
        "{class_path: Folder, init_args: null}",
        "{class_path: anomalib.data.Folder, init_args: {}}",
    ] {
        both(&format!("kind: train\nmodel: Padim\ndata: {data}\n"), false);
    }
}

//! What a run's model is called on screens and in tables: the class and whatever tells it from the others.

use std::collections::{HashMap, HashSet};

use job::resolved::{ClassSpec, ModelSource, RunSpec};
use serde_json::Value;

/// One label a run: class and backbone, and the parameters in which runs with the same class and backbone differ.
pub(crate) fn of_models(runs: &[RunSpec]) -> Vec<String> {
    let mut families: HashMap<String, Family> = HashMap::new();
    for class in runs.iter().filter_map(trained) {
        families
            .entry(base(class))
            .or_insert_with(|| Family::new(class))
            .add(class);
    }
    runs.iter()
        .map(|run| match &run.model {
            ModelSource::Package(package) => run.model_name.as_ref().unwrap_or(package).clone(),
            ModelSource::Train(class) => {
                let mut label = base(class);
                let family = families.get(&label);
                for (name, value) in &class.init_args {
                    if family.is_some_and(|family| family.varying.contains(name.as_str())) {
                        label.push_str(&format!(" {name}={}", short(value)));
                    }
                }
                label
            }
        })
        .collect()
}

/// Runs with the same class and backbone.
struct Family<'a> {
    first: &'a ClassSpec,
    varying: HashSet<&'a str>,
}

impl<'a> Family<'a> {
    fn new(first: &'a ClassSpec) -> Self {
        Self {
            first,
            varying: HashSet::new(),
        }
    }

    fn add(&mut self, class: &'a ClassSpec) {
        for (name, value) in &class.init_args {
            if self.first.init_args.get(name) != Some(value) {
                self.varying.insert(name);
            }
        }
    }
}

fn trained(run: &RunSpec) -> Option<&ClassSpec> {
    match &run.model {
        ModelSource::Train(class) => Some(class),
        ModelSource::Package(_) => None,
    }
}

fn base(class: &ClassSpec) -> String {
    match class.init_args.get("backbone").and_then(Value::as_str) {
        Some(backbone) => format!("{} {backbone}", class.class_path),
        None => class.class_path.clone(),
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(short).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

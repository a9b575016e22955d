//! All models by name, built or not.

use params::{Entry, Param};
use serde_json::{Map, Value};

use crate::{Model, ModelError, padim};

const MODULE: &str = "anomalib.models";

/// Every model of the reference, sorted by class.
pub const REGISTRY: &[Entry] = &[
    known("AiVad"),
    known("Cfa"),
    known("Cflow"),
    known("Csflow"),
    known("Dfkde"),
    known("Dfm"),
    known("Draem"),
    known("Dsr"),
    known("EfficientAd"),
    known("Fastflow"),
    known("Ganomaly"),
    built("Padim", padim::PARAMS),
    known("Patchcore"),
    known("ReverseDistillation"),
    known("Rkde"),
    known("Stfpm"),
    known("Uflow"),
    known("WinClip"),
];

const fn built(class: &'static str, params: &'static [Param]) -> Entry {
    Entry {
        class,
        module: MODULE,
        params: Some(params),
    }
}

const fn known(class: &'static str) -> Entry {
    Entry {
        class,
        module: MODULE,
        params: None,
    }
}

/// A model from its class and parameters (missing ones take their defaults).
///
/// `image_size` is height, width of the graph's input, `None` for the model's default. The seed chooses what is random
/// in the model: channels, random weights.
pub fn build(
    class: &str,
    init_args: &Map<String, Value>,
    image_size: Option<[usize; 2]>,
    seed: u64,
) -> Result<Box<dyn Model>, ModelError> {
    let entry = REGISTRY
        .iter()
        .find(|entry| entry.class == class)
        .ok_or_else(|| ModelError::UnknownModel {
            class: class.to_owned(),
            known: names(|_| true),
        })?;
    match entry.class {
        "Padim" => Ok(Box::new(padim::Padim::new(init_args, image_size, seed)?)),
        class => Err(ModelError::NotBuilt {
            class,
            built: names(|entry| entry.params.is_some()),
        }),
    }
}

/// Everything that is wrong with a model's parameters together, as far as it can be told: `unreadable` names those whose own
/// value is wrong, so that nothing is said of what depends on them.
pub fn problems(
    class: &str,
    init_args: &Map<String, Value>,
    unreadable: &[&str],
    image_size: Option<[usize; 2]>,
) -> Vec<ModelError> {
    match class {
        "Padim" => padim::Padim::problems(init_args, unreadable, image_size),
        _ => build(class, init_args, image_size, 0)
            .err()
            .into_iter()
            .collect(),
    }
}

fn names(which: impl Fn(&Entry) -> bool) -> String {
    let names: Vec<&str> = REGISTRY
        .iter()
        .filter(|entry| which(entry))
        .map(|entry| entry.class)
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sorted_and_has_every_model_of_the_reference() {
        assert!(
            REGISTRY
                .windows(2)
                .all(|pair| pair[0].class < pair[1].class)
        );
        assert_eq!(REGISTRY.len(), 18);
    }

    #[test]
    fn each_built_model_can_be_built_and_has_a_readme_and_no_other() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        for entry in REGISTRY {
            let readme = format!("{folder}/{}/README.md", entry.class.to_lowercase());
            assert_eq!(
                std::path::Path::new(&readme).is_file(),
                entry.params.is_some(),
                "{readme}"
            );
            let result = build(entry.class, &Map::new(), None, 0);
            match (entry.params, result) {
                (Some(_), Ok(model)) => assert_eq!(model.class(), entry.class),
                (None, Err(error)) => assert!(error.to_string().contains(entry.class), "{error}"),
                (_, result) => panic!("{}: {:?}", entry.class, result.err()),
            }
        }
        let error = build("Padmi", &Map::new(), None, 0)
            .err()
            .expect("unknown")
            .to_string();
        assert!(
            error.contains("Padmi") && error.contains("Padim"),
            "{error}"
        );
    }
}

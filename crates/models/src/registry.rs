//! All models by name, built or not.

use params::{Entry, Param};
use serde_json::{Map, Value};

use crate::{InputSize, Model, ModelError, dfkde, dfm, padim, patchcore};

const MODULE: &str = "anomalib.models";

/// Makes a model of its parameters, or tells everything that is wrong with them: parameters, those whose own value is
/// known to be wrong, at which size it sees images, seed.
type Read = fn(&Map<String, Value>, &[&str], InputSize, u64) -> Result<Built, Vec<ModelError>>;

type Built = Box<dyn Model>;

struct Row {
    entry: Entry,
    /// `None`: known, but not built yet.
    read: Option<Read>,
}

/// Every model of the reference, sorted by class.
const ROWS: [Row; 18] = [
    known("AiVad"),
    known("Cfa"),
    known("Cflow"),
    known("Csflow"),
    built("Dfkde", dfkde::PARAMS, |args, unreadable, input, seed| {
        Ok(Box::new(dfkde::Dfkde::read(args, unreadable, input, seed)?))
    }),
    built("Dfm", dfm::PARAMS, |args, unreadable, input, seed| {
        Ok(Box::new(dfm::Dfm::read(args, unreadable, input, seed)?))
    }),
    known("Draem"),
    known("Dsr"),
    known("EfficientAd"),
    known("Fastflow"),
    known("Ganomaly"),
    built("Padim", padim::PARAMS, |args, unreadable, input, seed| {
        Ok(Box::new(padim::Padim::read(args, unreadable, input, seed)?))
    }),
    built(
        "Patchcore",
        patchcore::PARAMS,
        |args, unreadable, input, seed| {
            Ok(Box::new(patchcore::Patchcore::read(
                args, unreadable, input, seed,
            )?))
        },
    ),
    known("ReverseDistillation"),
    known("Rkde"),
    known("Stfpm"),
    known("Uflow"),
    known("WinClip"),
];

/// The names that job files may use, sorted by class.
pub const REGISTRY: &[Entry] = &entries();

const fn entries() -> [Entry; ROWS.len()] {
    let mut entries = [ROWS[0].entry; ROWS.len()];
    let mut i = 0;
    while i < ROWS.len() {
        entries[i] = ROWS[i].entry;
        i += 1;
    }
    entries
}

const fn built(class: &'static str, params: &'static [Param], read: Read) -> Row {
    Row {
        entry: Entry {
            class,
            module: MODULE,
            params: Some(params),
        },
        read: Some(read),
    }
}

const fn known(class: &'static str) -> Row {
    Row {
        entry: Entry {
            class,
            module: MODULE,
            params: None,
        },
        read: None,
    }
}

/// A model from its class and parameters (missing ones take their defaults).
///
/// The seed chooses what is random in the model: channels, random weights.
pub fn build(
    class: &str,
    init_args: &Map<String, Value>,
    input: InputSize,
    seed: u64,
) -> Result<Box<dyn Model>, ModelError> {
    read(class, init_args, &[], input, seed).map_err(|mut problems| problems.swap_remove(0))
}

/// Everything that is wrong with a model's parameters together, as far as it can be told: `unreadable` names those whose own
/// value is wrong, so that nothing is said of what depends on them.
pub fn problems(
    class: &str,
    init_args: &Map<String, Value>,
    unreadable: &[&str],
    input: InputSize,
) -> Vec<ModelError> {
    // What is right does not depend on the seed.
    read(class, init_args, unreadable, input, 0)
        .err()
        .unwrap_or_default()
}

/// The error holds at least one problem if nothing is unreadable.
fn read(
    class: &str,
    init_args: &Map<String, Value>,
    unreadable: &[&str],
    input: InputSize,
    seed: u64,
) -> Result<Box<dyn Model>, Vec<ModelError>> {
    match ROWS.iter().find(|row| row.entry.class == class) {
        None => Err(vec![ModelError::UnknownModel {
            class: class.to_owned(),
            known: names(|_| true),
        }]),
        Some(Row { entry, read: None }) => Err(vec![ModelError::NotBuilt {
            class: entry.class,
            built: names(|entry| entry.params.is_some()),
        }]),
        Some(Row {
            read: Some(read), ..
        }) => read(init_args, unreadable, input, seed),
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
    use crate::Transform;

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
            let result = build(entry.class, &Map::new(), InputSize::default(), 0);
            match (entry.params, result) {
                (Some(_), Ok(model)) => assert_eq!(model.class(), entry.class),
                (None, Err(error)) => assert!(error.to_string().contains(entry.class), "{error}"),
                (_, result) => panic!("{}: {:?}", entry.class, result.err()),
            }
        }
        let error = build("Padmi", &Map::new(), InputSize::default(), 0)
            .err()
            .expect("unknown")
            .to_string();
        assert!(
            error.contains("Padmi") && error.contains("Padim"),
            "{error}"
        );
    }

    #[test]
    fn with_a_crop_all_models_see_the_same_and_without_one_each_has_its_habit() {
        let built = || {
            let built = REGISTRY.iter().filter(|entry| entry.params.is_some());
            built.map(|entry| entry.class)
        };
        let seen = |class: &str, resized, crop| {
            let input = InputSize { resized, crop };
            build(class, &Map::new(), input, 0).map(|model| model.preprocess())
        };
        let all = Transform {
            size: [256, 256],
            crop: None,
        };
        let middle = Transform {
            crop: Some([224, 224]),
            ..all
        };
        for class in built() {
            let own = seen(class, None, None).expect("valid");
            assert_eq!(own, if class == "Patchcore" { middle } else { all });
            for resized in [None, Some([256, 256])] {
                let asked = |crop| seen(class, resized, Some(crop)).expect("valid");
                assert_eq!((asked([224, 224]), asked([256, 256])), (middle, all));
                let error = seen(class, resized, Some([257, 64])).expect_err("too large");
                assert_eq!(
                    error.to_string(),
                    "no 257 x 64 can be cut out of images of 256 x 256; make center_crop smaller, or image_size larger"
                );
            }
        }
    }

    /// A size that is too small for a model is one of what it sees.
    #[test]
    fn a_crop_has_to_be_as_large_as_the_model_needs_it() {
        let input = InputSize {
            resized: Some([512, 512]),
            crop: Some([16, 64]),
        };
        let wrong = |class, args| {
            let problems = problems(class, &args, &[], input);
            let problems: Vec<String> = problems.iter().map(ModelError::to_string).collect();
            problems.join("\n")
        };
        for class in ["Padim", "Patchcore"] {
            let said = wrong(class, Map::new());
            assert!(said.contains("16 x 64 is too small"), "{class}: {said}");
        }
        // A sixteenth of it.
        let said = wrong("Dfm", Map::new());
        assert!(said.contains("the layer's map is 1 x 4"), "{said}");
        assert_eq!(wrong("Dfkde", Map::new()), "");
    }

    #[test]
    fn beside_a_crop_that_is_too_large_everything_else_that_is_wrong_is_told() {
        let args = serde_json::json!({"layer": "layer9", "pca_level": 0.0});
        let input = InputSize {
            resized: Some([64, 64]),
            crop: Some([65, 64]),
        };
        let args = args.as_object().expect("an object");
        let found = problems("Dfm", args, &[], input);
        assert!(
            matches!(
                found[..],
                [
                    ModelError::Crop { .. },
                    ModelError::UnknownLayer { .. },
                    ModelError::Argument { .. }
                ]
            ),
            "{found:?}"
        );
    }
}

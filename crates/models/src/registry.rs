//! All models by name, built or not.

use params::{Entry, Param};
use serde_json::{Map, Value};

use crate::{Model, ModelError, dfkde, dfm, padim, patchcore};

const MODULE: &str = "anomalib.models";

/// Makes a model of its parameters, or tells everything that is wrong with them: parameters, those whose own value is
/// known to be wrong, height and width of images, seed.
type Read =
    fn(&Map<String, Value>, &[&str], Option<[usize; 2]>, u64) -> Result<Built, Vec<ModelError>>;

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
    built("Dfkde", dfkde::PARAMS, |args, unreadable, size, seed| {
        Ok(Box::new(dfkde::Dfkde::read(args, unreadable, size, seed)?))
    }),
    built("Dfm", dfm::PARAMS, |args, unreadable, size, seed| {
        Ok(Box::new(dfm::Dfm::read(args, unreadable, size, seed)?))
    }),
    known("Draem"),
    known("Dsr"),
    known("EfficientAd"),
    known("Fastflow"),
    known("Ganomaly"),
    built("Padim", padim::PARAMS, |args, unreadable, size, seed| {
        Ok(Box::new(padim::Padim::read(args, unreadable, size, seed)?))
    }),
    built(
        "Patchcore",
        patchcore::PARAMS,
        |args, unreadable, size, seed| {
            Ok(Box::new(patchcore::Patchcore::read(
                args, unreadable, size, seed,
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
/// `image_size` is height, width to which images are resized, `None` for the model's default. The seed chooses what is
/// random in the model: channels, random weights.
pub fn build(
    class: &str,
    init_args: &Map<String, Value>,
    image_size: Option<[usize; 2]>,
    seed: u64,
) -> Result<Box<dyn Model>, ModelError> {
    read(class, init_args, &[], image_size, seed).map_err(|mut problems| problems.swap_remove(0))
}

/// Everything that is wrong with a model's parameters together, as far as it can be told: `unreadable` names those whose own
/// value is wrong, so that nothing is said of what depends on them.
pub fn problems(
    class: &str,
    init_args: &Map<String, Value>,
    unreadable: &[&str],
    image_size: Option<[usize; 2]>,
) -> Vec<ModelError> {
    // What is right does not depend on the seed.
    read(class, init_args, unreadable, image_size, 0)
        .err()
        .unwrap_or_default()
}

/// The error holds at least one problem if nothing is unreadable.
fn read(
    class: &str,
    init_args: &Map<String, Value>,
    unreadable: &[&str],
    image_size: Option<[usize; 2]>,
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
        }) => read(init_args, unreadable, image_size, seed),
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

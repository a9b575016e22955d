//! Names that job files may use: class paths, keys and words, and what was probably meant.

use params::{Entry, same_name};

/// What a class path stands for.
pub(crate) enum Found {
    Built(&'static Entry),
    NotBuilt(&'static Entry),
    /// With the nearest class that is known.
    Unknown(Option<String>),
}

/// Finds `Padim`, `padim`, `anomalib.models.Padim` or `anomalib.models.image.Padim`.
pub(crate) fn class(registry: &'static [Entry], path: &str) -> Found {
    let (module, name) = path.rsplit_once('.').unwrap_or(("", path));
    let found = registry
        .iter()
        .find(|entry| same_name(entry.class, name) && in_module(module, entry.module));
    match found {
        Some(entry) if entry.params.is_some() => Found::Built(entry),
        Some(entry) => Found::NotBuilt(entry),
        None => {
            // What runs is more likely meant than what is not built yet.
            let named = |built: bool| {
                let of_kind = registry.iter().filter(|e| e.params.is_some() == built);
                nearest(name, of_kind.map(|entry| entry.class))
            };
            Found::Unknown(named(true).or_else(|| named(false)))
        }
    }
}

fn in_module(given: &str, own: &str) -> bool {
    given.is_empty()
        || given == "anomalib"
        || given == own
        || given
            .strip_prefix(own)
            .is_some_and(|rest| rest.starts_with('.'))
}

/// The most similar name, if any is similar enough to be what was meant.
pub(crate) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let wrong = wrong.to_lowercase();
    names
        .into_iter()
        .map(|name| {
            (
                strsim::jaro_winkler(&wrong, &name.to_lowercase()),
                strsim::damerau_levenshtein(&wrong, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(likeness, edits, _)| *likeness > 0.85 || *edits <= 2 && wrong.chars().count() > 3)
        .max_by(|left, right| right.1.cmp(&left.1).then(left.0.total_cmp(&right.0)))
        .map(|(_, _, name)| name.to_owned())
}

//! A configuration file: YAML, one section a program; everything in it is checked.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::{ArgAction, Command};
use serde::{Deserialize, de::IgnoredAny};

use crate::{configurable, key};

/// Sections that a file may have. `stores` and `cache` are read by whoever opens stores.
pub const SECTIONS: [&str; 5] = ["coordinator", "worker", "ctl", "stores", "cache"];

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: not a valid configuration: {message}", path.display())]
    Syntax { path: PathBuf, message: String },
    #[error("{}: {}", path.display(), problems.join("; "))]
    Invalid {
        path: PathBuf,
        problems: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Setting {
    Flag(bool),
    Integer(i64),
    Text(String),
    List(Vec<String>),
    Null(()),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Section {
    Settings(BTreeMap<String, Setting>),
    Other(IgnoredAny),
}

/// The section's settings: ids of flags with their values as one would type them.
pub(crate) fn section(
    path: &Path,
    name: &str,
    command: &Command,
) -> Result<Vec<(String, Vec<String>)>, FileError> {
    let text = fs::read_to_string(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let sections: BTreeMap<String, Section> =
        // YAML 1.2's booleans alone: a label `y` is a text.
        serde_saphyr::from_str_with_options(&text, serde_saphyr::options! { strict_booleans: true })
            .map_err(|error| FileError::Syntax {
                path: path.to_owned(),
                message: error.to_string(),
            })?;
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for (section, content) in sections {
        if !SECTIONS.contains(&section.as_str()) {
            problems.push(unknown("section", &section, SECTIONS));
        } else if section == name {
            match content {
                Section::Settings(settings) => {
                    for (setting, value) in settings {
                        match of_flag(command, name, &setting, value) {
                            Ok(Some(one)) => found.push(one),
                            Ok(None) => {}
                            Err(problem) => problems.push(problem),
                        }
                    }
                }
                Section::Other(_) => problems.push(format!(
                    "{section}: expected settings (`key: value`), each a text, a number, true, false or a list of texts"
                )),
            }
        }
    }
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(FileError::Invalid {
            path: path.to_owned(),
            problems,
        })
    }
}

/// The flag's id and values; none for null, which leaves the default.
fn of_flag(
    command: &Command,
    section: &str,
    setting: &str,
    value: Setting,
) -> Result<Option<(String, Vec<String>)>, String> {
    let Some(arg) = configurable(command).find(|arg| key(arg) == setting) else {
        let known: Vec<String> = configurable(command).map(key).collect();
        return Err(format!(
            "{section}: {}",
            unknown("setting", setting, known.iter().map(String::as_str))
        ));
    };
    let takes_value = !matches!(arg.get_action(), ArgAction::SetTrue);
    let values = match value {
        Setting::Null(()) => return Ok(None),
        Setting::Flag(flag) => vec![flag.to_string()],
        _ if !takes_value => {
            return Err(format!("{section}.{setting}: expected true or false"));
        }
        Setting::Integer(number) => vec![number.to_string()],
        Setting::Text(text) => vec![text],
        Setting::List(list) if matches!(arg.get_action(), ArgAction::Append) => list,
        Setting::List(_) => return Err(format!("{section}.{setting}: expected one value")),
    };
    Ok(Some((arg.get_id().to_string(), values)))
}

fn unknown<'a>(what: &str, text: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let nearest = known
        .into_iter()
        .map(|one| (strsim::damerau_levenshtein(one, text), one))
        .min()
        .filter(|(distance, one)| *distance <= one.len() / 2);
    match nearest {
        Some((_, one)) => format!("unknown {what} {text:?}; did you mean {one:?}?"),
        None => {
            format!("unknown {what} {text:?}; --help lists the flags, whose names are the settings")
        }
    }
}

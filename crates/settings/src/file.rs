//! A configuration file: YAML, one section a program; everything in it is checked.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{ArgAction, Command};
use serde_json::Value;
use yaml::Document;

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
    /// One line a problem, each with file, line and column.
    #[error("{}", problems.join("\n"))]
    Invalid { problems: Vec<String> },
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
    let at = |(line, column), what: &str| format!("{}:{line}:{column}: {what}", path.display());
    let document = Document::parse(&text).map_err(|(place, why)| FileError::Invalid {
        problems: vec![at(place, &why)],
    })?;
    let mut problems = Vec::new();
    let mut found = Vec::new();
    let sections = match &document.value {
        Value::Null => return Ok(found),
        Value::Object(sections) => sections,
        _ => {
            let problem = at((1, 1), "expected sections, such as `worker: {slots: 2}`");
            return Err(FileError::Invalid {
                problems: vec![problem],
            });
        }
    };
    for (section, content) in sections {
        let place = document.place(section);
        match content {
            _ if !SECTIONS.contains(&section.as_str()) => {
                problems.push(at(place, &unknown("section", section, SECTIONS)));
            }
            _ if section != name => {}
            Value::Object(settings) => {
                for (setting, value) in settings {
                    match of_flag(command, setting, value) {
                        Ok(Some(one)) => found.push(one),
                        Ok(None) => {}
                        Err(problem) => {
                            let place = document.place(&format!("{section}.{setting}"));
                            problems.push(at(place, &format!("{section}.{setting}: {problem}")));
                        }
                    }
                }
            }
            Value::Null => {}
            _ => problems.push(at(
                place,
                &format!("{section}: expected settings, such as `key: value`"),
            )),
        }
    }
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(FileError::Invalid { problems })
    }
}

/// The flag's id and values; none for null, which leaves the default.
fn of_flag(
    command: &Command,
    setting: &str,
    value: &Value,
) -> Result<Option<(String, Vec<String>)>, String> {
    let Some(arg) = configurable(command).find(|arg| key(arg) == setting) else {
        let known: Vec<String> = configurable(command).map(key).collect();
        return Err(unknown(
            "setting",
            setting,
            known.iter().map(String::as_str),
        ));
    };
    let takes_value = !matches!(arg.get_action(), ArgAction::SetTrue);
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err("expected a text, a number, true or false".to_owned()),
    };
    let values = match value {
        Value::Null => return Ok(None),
        _ if !takes_value && !value.is_boolean() => return Err("expected true or false".to_owned()),
        Value::Array(values) if matches!(arg.get_action(), ArgAction::Append) => {
            values.iter().map(one).collect::<Result<_, _>>()?
        }
        Value::Array(_) => return Err("expected one value".to_owned()),
        value => vec![one(value)?],
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

//! A configuration file: YAML, one section a program; everything in it is checked.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgAction, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};
use serde_json::Value;
use yaml::Document;

use crate::{Others, configurable, key};

/// Sections that a file may have. `stores`, `cache` and `files` are read by whoever opens stores.
pub const SECTIONS: [&str; 6] = ["coordinator", "worker", "ctl", "stores", "cache", "files"];

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

impl FileError {
    /// As of every file that a user names, see `docs/cli.md`: 3 not found, 5 denied, 2 no configuration file.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Read { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => 3,
                io::ErrorKind::PermissionDenied => 5,
                io::ErrorKind::IsADirectory
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::InvalidData => 2,
                _ => 6,
            },
            Self::Invalid { .. } => 2,
        }
    }
}

/// The section's settings: ids of flags with their values as one would type them.
pub(crate) fn section(
    path: &Path,
    name: &str,
    others: Others,
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
        problems.extend(others(path));
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
    for value in values.iter().filter(|_| takes_value) {
        refused(command, arg, value).map_or(Ok(()), Err)?;
    }
    Ok(Some((arg.get_id().to_string(), values)))
}

/// What the flag's own parser says against the value; nothing else that may be wrong with the command line.
fn refused(command: &Command, arg: &Arg, value: &str) -> Option<String> {
    let flag = format!("--{}={value}", arg.get_long()?);
    let error = command
        .clone()
        .subcommand_required(false)
        .arg_required_else_help(false)
        .try_get_matches_from([command.get_name(), &flag])
        .err()?;
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let is_ours = matches!(
        error.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    ) && text(ContextKind::InvalidArg).is_some_and(|shown| {
        // `--slots <N>`
        shown.split(['=', ' ', '[']).next() == flag.split('=').next()
    });
    if !is_ours {
        return None;
    }
    let why = match (
        text(ContextKind::ValidValue),
        std::error::Error::source(&error),
    ) {
        (Some(known), _) if !known.is_empty() => format!("; expected one of {known}"),
        (_, Some(source)) => format!(": {source}"),
        _ => String::new(),
    };
    Some(format!("invalid value {value:?}{why}"))
}

fn unknown<'a>(what: &str, text: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(text, known, 2) {
        Some(one) => format!("unknown {what} {text:?}; did you mean {one:?}?"),
        None => {
            format!("unknown {what} {text:?}; --help lists the flags, whose names are the settings")
        }
    }
}

/// The one that takes the fewest changes, if these are at most `1 / part` of its letters.
pub(crate) fn nearest<'a>(
    text: &str,
    known: impl IntoIterator<Item = &'a str>,
    part: usize,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|one| (strsim::damerau_levenshtein(one, text), one))
        .min()
        .filter(|(distance, one)| *distance <= one.len() / part)
        .map(|(_, one)| one)
}

/// Whether a text is a value in the file, such as the name of a variable with a secret. Not in one that cannot be read,
/// which is said where it is.
pub(crate) fn mentions(path: &Path, text: &str) -> bool {
    fn holds(value: &Value, text: &str) -> bool {
        match value {
            Value::String(one) => one == text,
            Value::Array(items) => items.iter().any(|item| holds(item, text)),
            Value::Object(fields) => fields.values().any(|field| holds(field, text)),
            _ => false,
        }
    }
    fs::read_to_string(path)
        .ok()
        .and_then(|read| Document::parse(&read).ok())
        .is_some_and(|document| holds(&document.value, text))
}

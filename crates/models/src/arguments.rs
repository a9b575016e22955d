//! Reading a model's parameters: defaults from their description, and everything that is wrong told at once.

use params::{Default, Kind, Param};
use serde_json::{Map, Value};

use crate::{ModelError, Transform};

/// The parameters of one model, with what was found wrong so far.
pub(crate) struct Arguments<'a> {
    class: &'static str,
    params: &'static [Param],
    args: &'a Map<String, Value>,
    /// Parameters whose values are known to be wrong already: they give nothing, and what depends on them is not judged.
    unreadable: &'a [&'a str],
    pub problems: Vec<ModelError>,
}

impl<'a> Arguments<'a> {
    pub fn new(
        class: &'static str,
        params: &'static [Param],
        args: &'a Map<String, Value>,
        unreadable: &'a [&'a str],
    ) -> Self {
        let mut arguments = Self {
            class,
            params,
            args,
            unreadable,
            problems: Vec::new(),
        };
        if let Some(name) = args
            .keys()
            .find(|name| params.iter().all(|param| param.name != **name))
        {
            let known: Vec<&str> = params.iter().map(|param| param.name).collect();
            arguments.wrong(
                name,
                format!("unknown parameter; known: {}", known.join(", ")),
            );
        }
        arguments
    }

    /// Tells what is wrong with a parameter.
    pub fn wrong(&mut self, name: &str, problem: impl Into<String>) {
        self.problems.push(ModelError::Argument {
            class: self.class,
            name: name.to_owned(),
            problem: problem.into(),
        });
    }

    /// How images are seen; `None` after telling why they cannot be.
    pub fn transform(&mut self, transform: Result<Transform, ModelError>) -> Option<Transform> {
        transform
            .map_err(|problem| self.problems.push(problem))
            .ok()
    }

    /// What `read` makes of a parameter's value, or of its default; `None` after telling what is wrong with it.
    pub fn read<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        if self.unreadable.contains(&name) {
            return None;
        }
        let param = self.params.iter().find(|param| param.name == name)?;
        let default = || match param.default {
            Default::Json(text) => serde_json::from_str(text).unwrap_or(Value::Null),
            Default::Required => Value::Null,
        };
        let given = self.args.get(name).filter(|value| !value.is_null());
        let value = given.cloned().unwrap_or_else(default);
        let found = fits(&param.kind, &value).then(|| read(&value)).flatten();
        if found.is_none() {
            self.wrong(name, format!("expected {}", param.kind.expected()));
        }
        found
    }

    pub fn text(&mut self, name: &str) -> Option<String> {
        self.read(name, |value| value.as_str().map(str::to_owned))
    }

    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.read(name, Value::as_bool)
    }

    pub fn whole(&mut self, name: &str) -> Option<usize> {
        self.read(name, index)
    }

    /// At least one name.
    pub fn names(&mut self, name: &str) -> Option<Vec<String>> {
        self.read(name, |value| {
            list(value, |item| item.as_str().map(str::to_owned))
        })
    }

    /// One of `words`, by the rule of job files for equal names.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        self.read(name, |value| {
            let given = value.as_str()?;
            let same = |(word, _): &&(&str, T)| params::same_name(word, given);
            words.iter().find(same).map(|(_, meaning)| *meaning)
        })
    }

    /// `made`, if nothing is wrong; else everything that is: at least one thing, unless all is said of it already.
    pub fn finish<T>(mut self, made: Option<T>) -> Result<T, Vec<ModelError>> {
        match made {
            Some(made) if self.problems.is_empty() => Ok(made),
            _ => {
                if self.problems.is_empty() && self.unreadable.is_empty() {
                    self.wrong("init_args", "they cannot be used");
                }
                Err(self.problems)
            }
        }
    }
}

/// At least one item, all of them right.
pub(crate) fn list<T>(value: &Value, item: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    let items: Vec<T> = value.as_array()?.iter().map(item).collect::<Option<_>>()?;
    (!items.is_empty()).then_some(items)
}

pub(crate) fn index(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|n| usize::try_from(n).ok())
}

/// Whether a number is in its parameter's range; other kinds are left to whoever reads them.
fn fits(kind: &Kind, value: &Value) -> bool {
    match kind {
        Kind::Int { min, max } => value.as_i64().is_none_or(|n| (*min..=*max).contains(&n)),
        Kind::Float { min, max } => value.as_f64().is_none_or(|n| (*min..=*max).contains(&n)),
        Kind::Nullable(inner) => value.is_null() || fits(inner, value),
        Kind::List(item) => value
            .as_array()
            .is_none_or(|items| items.iter().all(|value| fits(item, value))),
        _ => true,
    }
}

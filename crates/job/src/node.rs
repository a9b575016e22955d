//! A job file as a tree in which every key and value knows where it was written.

use serde_json::{Map, Number, Value as Json};

/// Where something was written; [`Place`](crate::Place) is its form for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum At {
    /// Both from 1.
    File { line: usize, column: usize },
    /// In the override with this index.
    Set(usize),
}

impl At {
    pub const START: Self = Self::File { line: 1, column: 1 };
}

/// Bytes of text that count as one more value.
const LONG: usize = 256;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub at: At,
    pub value: Value,
    /// A scalar as written, where it was written without quotes: `01` is a number that may be meant as a text.
    pub raw: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub key: String,
    pub at: At,
    pub node: Node,
}

impl Node {
    pub fn new(at: At, value: Value) -> Self {
        Self {
            at,
            value,
            raw: None,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
    }

    /// Empty if it is not a map.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The scalar as a text, whatever type it looks like.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => self.raw.as_deref(),
            _ => None,
        }
    }

    /// What was found, for messages.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "null".into(),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            // As a float: 256.0 is no integer, and 1e300 has no 301 digits.
            Value::Float(value) => format!("{value:?}"),
            Value::Text(text) if text.chars().count() > 60 => {
                format!("{:?}", text.chars().take(60).collect::<String>() + "…")
            }
            Value::Text(text) => format!("{text:?}"),
            Value::List(items) if items.is_empty() => "an empty list".into(),
            // Short lists of numbers, such as a size, as they are.
            Value::List(items)
                if items.len() <= 4
                    && items
                        .iter()
                        .all(|item| matches!(item.value, Value::Int(_) | Value::Float(_))) =>
            {
                let items: Vec<String> = items.iter().map(Node::describe).collect();
                format!("[{}]", items.join(", "))
            }
            Value::List(_) => "a list".into(),
            Value::Map(entries) => match entries.as_slice() {
                [only] => format!("a map with the key {:?}", only.key),
                _ => "a map".into(),
            },
        }
    }

    /// Values in the tree; a long text or key counts as several, since it takes as much.
    pub fn size(&self) -> usize {
        1 + match &self.value {
            Value::Text(text) => text.len() / LONG,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| entry.key.len() / LONG + entry.node.size())
                .sum(),
            _ => 0,
        }
    }

    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => i64::try_from(*value)
                .map(Number::from)
                .or_else(|_| u64::try_from(*value).map(Number::from))
                .map_or_else(|_| Json::String(value.to_string()), Json::Number),
            Value::Float(value) => Number::from_f64(*value)
                .map_or_else(|| Json::String(value.to_string()), Json::Number),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.node.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// A tree that stands at one place as a whole.
    pub fn from_json(json: &Json, at: At) -> Self {
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Value::Int(value.into()),
                (None, Some(value)) => Value::Int(value.into()),
                (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => {
                Value::List(items.iter().map(|item| Self::from_json(item, at)).collect())
            }
            Json::Object(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        at,
                        node: Self::from_json(value, at),
                    })
                    .collect(),
            ),
        };
        Self::new(at, value)
    }
}

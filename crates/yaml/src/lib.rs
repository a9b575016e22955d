//! YAML text of a configuration file as JSON values, with the place of each key. No anchors, no tags: nobody needs them here.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

const MAX_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 16;

/// Line and column, from 1.
pub type Place = (usize, usize);

/// One document; keys of `places` are paths such as `stores.lab.url`.
#[derive(Debug)]
pub struct Document {
    pub value: Value,
    places: BTreeMap<String, Place>,
}

impl Document {
    /// `Err`: the first place where the text cannot be read, and why.
    pub fn parse(text: &str) -> Result<Self, (Place, String)> {
        if text.len() > MAX_BYTES {
            let reason = format!("{} bytes; at most {MAX_BYTES} are read", text.len());
            return Err(((1, 1), reason));
        }
        let mut reader = Reader::default();
        for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
            let (event, span) = event.map_err(|error| {
                let place = (error.marker().line(), error.marker().col() + 1);
                (place, format!("not valid YAML: {}", error.info()))
            })?;
            let place = (span.start.line(), span.start.col() + 1);
            reader.apply(event, place).map_err(|why| (place, why))?;
        }
        Ok(Self {
            value: reader.root.unwrap_or(Value::Null),
            places: reader.places,
        })
    }

    /// Where a key stands, or the nearest key around it.
    pub fn place(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return *place;
            }
            match path.rsplit_once('.') {
                Some((outer, _)) => path = outer,
                None => return (1, 1),
            }
        }
    }
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    root: Option<Value>,
    places: BTreeMap<String, Place>,
}

enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

impl Reader {
    fn apply(&mut self, event: Event<'_>, place: Place) -> Result<(), String> {
        match event {
            Event::Alias(_) => Err("aliases are not read here".to_owned()),
            Event::DocumentStart(_) if self.root.is_some() => {
                Err("a second document begins; one is read".to_owned())
            }
            Event::Scalar(text, style, 0, None) => self.scalar(&text, style, place),
            Event::SequenceStart(0, None) => self.begin(Open::List(Vec::new())),
            Event::MappingStart(0, None) => self.begin(Open::Map(Map::new(), None)),
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                Err("anchors and tags are not read here".to_owned())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(items)) => self.put(Value::Array(items)),
                Some(Open::Map(map, _)) => self.put(Value::Object(map)),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        if let Some(Open::Map(_, None)) = self.open.last() {
            return Err("a key must be a text".to_owned());
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, place: Place) -> Result<(), String> {
        let Some(Open::Map(map, pending @ None)) = self.open.last_mut() else {
            let plain = style == ScalarStyle::Plain;
            return self.put(if plain {
                plain_value(text)
            } else {
                Value::from(text)
            });
        };
        if map.contains_key(text) {
            return Err(format!("the key {text:?} is given twice"));
        }
        *pending = Some(text.to_owned());
        let path: Vec<&str> = self.open.iter().filter_map(Open::key).collect();
        self.places.insert(path.join("."), place);
        Ok(())
    }

    fn put(&mut self, value: Value) -> Result<(), String> {
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(map, pending)) => match pending.take() {
                Some(key) => _ = map.insert(key, value),
                None => return Err("a key must be a text".to_owned()),
            },
        }
        Ok(())
    }
}

impl Open {
    fn key(&self) -> Option<&str> {
        match self {
            Self::Map(_, Some(key)) => Some(key),
            _ => None,
        }
    }
}

fn plain_value(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        // A key such as 0123 is a text.
        _ if text.starts_with('0') && text != "0" => Value::from(text),
        _ => text
            .parse::<u64>()
            .map_or_else(|_| Value::from(text), Value::from),
    }
}

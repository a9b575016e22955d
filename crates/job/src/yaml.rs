//! YAML text to a tree of nodes, within limits: size, depth, and what aliases may grow to.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use crate::node::{At, Entry, Node, Value};

const MAX_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 64;
/// Nodes with every alias written out. A large benchmark has some thousands.
const MAX_NODES: usize = 100_000;

/// Errors with their places: duplicate keys, and the one that ended the reading.
type Errors = Vec<(At, String)>;

/// Reads one document; `at` turns line and column (from 1) into a place. Duplicate keys are errors that leave a tree.
pub(crate) fn parse(text: &str, at: impl Fn(usize, usize) -> At) -> (Option<Node>, Errors) {
    let start = at(1, 1);
    if text.len() > MAX_BYTES {
        return (
            None,
            vec![(
                start,
                format!(
                    "the file has {} bytes; at most {MAX_BYTES} are read",
                    text.len()
                ),
            )],
        );
    }
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                tree.errors.push((
                    at(error.marker().line(), error.marker().col() + 1),
                    format!("not valid YAML: {}", error.info()),
                ));
                return (None, tree.errors);
            }
        };
        let place = at(span.start.line(), span.start.col() + 1);
        if let Err(message) = tree.apply(event, place) {
            tree.errors.push((place, message));
            return (None, tree.errors);
        }
    }
    if tree.root.is_none() {
        tree.errors.push((start, "the file is empty".into()));
    }
    (tree.root, tree.errors)
}

#[derive(Default)]
struct Tree {
    open: Vec<Frame>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    errors: Errors,
}

/// A list or map whose end has not come yet.
struct Frame {
    at: At,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        keys: HashSet<String>,
        pending: Option<(String, At)>,
    },
}

impl Tree {
    fn apply(&mut self, event: Event<'_>, at: At) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_key = self.takes_key(&text, style, at)?;
                let node = scalar(&text, style, tag.as_deref(), at)?;
                if is_key {
                    if anchor > 0 {
                        self.anchors.insert(anchor, node);
                    }
                    return Ok(());
                }
                self.finish(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                known_tag(tag.as_deref())?;
                self.open(Frame {
                    at,
                    anchor,
                    content: Content::List(Vec::new()),
                })
            }
            Event::MappingStart(anchor, tag) => {
                known_tag(tag.as_deref())?;
                let content = Content::Map {
                    entries: Vec::new(),
                    keys: HashSet::new(),
                    pending: None,
                };
                self.open(Frame {
                    at,
                    anchor,
                    content,
                })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = self.open.pop() else {
                    return Ok(());
                };
                let value = match frame.content {
                    Content::List(items) => Value::List(items),
                    Content::Map { entries, .. } => Value::Map(entries),
                };
                self.finish(Node::new(frame.at, value), frame.anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let node = node.clone();
                    self.count_copy(&node)?;
                    self.put(node)
                }
                None => Err("the alias stands inside the value that it names".into()),
            },
            Event::DocumentStart(_) if self.root.is_some() => {
                Err("a job file is one YAML document; here a second one begins".into())
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, frame: Frame) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        if let Some(Frame {
            content: Content::Map { pending: None, .. },
            ..
        }) = self.open.last()
        {
            return Err("a key must be a text".into());
        }
        self.open.push(frame);
        Ok(())
    }

    /// Whether the scalar is a key of the open map.
    fn takes_key(&mut self, text: &str, style: ScalarStyle, at: At) -> Result<bool, String> {
        let Some(Frame {
            content:
                Content::Map {
                    keys,
                    pending: pending @ None,
                    ..
                },
            ..
        }) = self.open.last_mut()
        else {
            return Ok(false);
        };
        if text == "<<" && style == ScalarStyle::Plain {
            return Err("merge keys (<<) are not read; write the keys out".into());
        }
        if !keys.insert(text.to_owned()) {
            self.errors
                .push((at, format!("the key {text:?} is given twice")));
        }
        *pending = Some((text.to_owned(), at));
        Ok(true)
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("the file has more than {MAX_NODES} values"));
        }
        if anchor > 0 {
            self.count_copy(&node)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.put(node)
    }

    /// What is kept for aliases is a copy, as what stands for them.
    fn count_copy(&mut self, node: &Node) -> Result<(), String> {
        self.nodes += node.size();
        if self.nodes > MAX_NODES {
            return Err(format!(
                "with its aliases written out the file has more than {MAX_NODES} values"
            ));
        }
        Ok(())
    }

    fn put(&mut self, node: Node) -> Result<(), String> {
        match self.open.last_mut().map(|frame| &mut frame.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map {
                entries, pending, ..
            }) => match pending.take() {
                Some((key, at)) => entries.push(Entry { key, at, node }),
                None => return Err("a key must be a text".into()),
            },
        }
        Ok(())
    }
}

/// The tags of YAML's core schema.
const CORE: [&str; 7] = ["null", "bool", "int", "float", "str", "seq", "map"];

fn known_tag(tag: Option<&Tag>) -> Result<(), String> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() || !CORE.contains(&tag.suffix.as_str()) => {
            Err(format!("the tag {tag} has no meaning in a job file"))
        }
        _ => Ok(()),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: At) -> Result<Node, String> {
    known_tag(tag)?;
    let is_text = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str");
    if is_text {
        return Ok(Node::new(at, Value::Text(text.to_owned())));
    }
    Ok(Node {
        at,
        value: plain(text),
        raw: Some(text.to_owned()),
    })
}

/// The core schema of YAML 1.2: `yes` and `on` are texts.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let radix = |prefix: &str, radix| {
        text.strip_prefix(prefix)
            .and_then(|digits| i128::from_str_radix(digits, radix).ok())
    };
    if let Some(value) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Value::Int(value);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && let Ok(value) = text.parse()
    {
        return Value::Int(value);
    }
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    match text.parse::<f64>() {
        Ok(value) if numeric => Value::Float(value),
        _ => Value::Text(text.to_owned()),
    }
}

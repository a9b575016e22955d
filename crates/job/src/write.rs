//! Trees and JSON values as YAML: block style, strings quoted where a reader could take them for something else.

use serde_json::{Number, Value as Json};

use crate::node::{At, Node, Value};

/// A JSON value as a YAML document.
pub fn yaml(value: &Json) -> String {
    node(&Node::from_json(value, At::START))
}

/// A tree as a YAML document that reads back to the same tree.
pub(crate) fn node(root: &Node) -> String {
    let mut out = String::new();
    if is_block(root) {
        block(root, 0, &mut out);
    } else {
        out.push_str(&scalar(root));
        out.push('\n');
    }
    out
}

fn block(node: &Node, indent: usize, out: &mut String) {
    let begin = |first: bool, out: &mut String| {
        // The first line of a list's item stands behind its dash.
        if !first || !out.ends_with("- ") {
            out.push_str(&" ".repeat(indent));
        }
    };
    match &node.value {
        Value::Map(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                begin(index == 0, out);
                out.push_str(&text(&entry.key));
                out.push(':');
                if is_block(&entry.node) {
                    out.push('\n');
                    block(&entry.node, indent + 2, out);
                } else {
                    out.push_str(&format!(" {}\n", scalar(&entry.node)));
                }
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                begin(index == 0, out);
                out.push_str("- ");
                if is_block(item) {
                    block(item, indent + 2, out);
                } else {
                    out.push_str(&format!("{}\n", scalar(item)));
                }
            }
        }
        _ => out.push_str(&scalar(node)),
    }
}

fn is_block(node: &Node) -> bool {
    match &node.value {
        Value::Map(entries) => !entries.is_empty(),
        Value::List(items) => !items.is_empty(),
        _ => false,
    }
}

fn scalar(node: &Node) -> String {
    let raw = node.raw.as_deref().filter(|raw| !raw.is_empty());
    match (&node.value, raw) {
        (Value::Text(string), _) => text(string),
        // As written: 01 may be meant as a text.
        (Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_), Some(raw)) => {
            raw.to_owned()
        }
        (Value::Null, None) => "null".to_owned(),
        (Value::Bool(value), None) => value.to_string(),
        (Value::Int(value), None) => value.to_string(),
        (Value::Float(value), None) => match Number::from_f64(*value) {
            Some(number) => number.to_string(),
            None if value.is_nan() => ".nan".to_owned(),
            None if *value > 0.0 => ".inf".to_owned(),
            None => "-.inf".to_owned(),
        },
        (Value::Map(_), _) => "{}".to_owned(),
        (Value::List(_), _) => "[]".to_owned(),
    }
}

/// Plain where that is safe for readers of YAML 1.1 and 1.2; else a JSON string, which is YAML, too.
fn text(string: &str) -> String {
    let plain = string
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b'@' | b' '))
        && string
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'/'))
        && !string.ends_with(' ')
        && !matches!(
            string.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
        );
    if plain {
        return string.to_owned();
    }
    let mut quoted = String::new();
    for c in Json::from(string).to_string().chars() {
        match c {
            // Lines end there for a reader of YAML 1.1, or it does not take them at all.
            c if c.is_control()
                || matches!(
                    c,
                    '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
                ) =>
            {
                quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::yaml as reader;

    #[test]
    fn nested_values_are_written_in_block_style() {
        let value =
            json!({"a": 1, "b": [{"c": "x", "d": null}, [1, 2], []], "e": {}, "f": {"g": true}});
        assert_eq!(
            yaml(&value),
            "a: 1\nb:\n  - c: x\n    d: null\n  - - 1\n    - 2\n  - []\ne: {}\nf:\n  g: true\n"
        );
    }

    #[test]
    fn what_looks_like_something_else_is_quoted() {
        for (string, expected) in [
            ("no", "\"no\""),
            ("1e5", "\"1e5\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
            ("é", "\"é\""),
            ("\u{85}", "\"\\u0085\""),
            ("file name", "file name"),
            ("-x", "\"-x\""),
        ] {
            assert_eq!(yaml(&json!(string)).trim_end(), expected);
        }
    }

    #[test]
    fn numbers_stay_as_they_were_written() {
        let text = "a: 01\nb: 0x10\nc: 1e-3\nd: +5\ne: .inf\nf: ~\n";
        let (node, errors) = reader::parse(text, |_, _| At::START);
        assert_eq!(errors, []);
        assert_eq!(super::node(&node.expect("a tree")), text);
    }

    fn values() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>()
                .prop_filter("finite", |value| value.is_finite())
                .prop_map(Json::from),
            any::<String>().prop_map(Json::from),
            "[-a-z0-9~#:,{}\\[\\] ]{0,6}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map("[-a-z0-9~#: ]{0,4}", inner, 0..4)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in values()) {
            let text = yaml(&value);
            let (node, errors) = reader::parse(&text, |_, _| At::START);
            prop_assert_eq!(errors, vec![], "{}", text);
            prop_assert_eq!(node.map(|node| node.to_json()), Some(value), "{}", text);
        }
    }
}

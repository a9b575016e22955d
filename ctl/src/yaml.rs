//! Writes JSON values as YAML: block style, strings quoted where a reader could take them for something else.

use serde_json::Value;

pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut out),
        Value::Array(items) if !items.is_empty() => block(value, 0, &mut out),
        _ => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) => {
            for (index, (key, value)) in map.iter().enumerate() {
                // The first key of a list's item stands behind its dash.
                if index > 0 || !out.ends_with("- ") {
                    out.push_str(&" ".repeat(indent));
                }
                out.push_str(&text(key));
                out.push(':');
                below(value, indent + 2, out);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                if index > 0 || !out.ends_with("- ") {
                    out.push_str(&" ".repeat(indent));
                }
                out.push_str("- ");
                if is_block(value) {
                    block(value, indent + 2, out);
                } else {
                    out.push_str(&scalar(value));
                    out.push('\n');
                }
            }
        }
        _ => out.push_str(&scalar(value)),
    }
}

fn below(value: &Value, indent: usize, out: &mut String) {
    if is_block(value) {
        out.push('\n');
        block(value, indent, out);
    } else {
        out.push(' ');
        out.push_str(&scalar(value));
        out.push('\n');
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
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
        string.to_owned()
    } else {
        Value::from(string).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_values_are_written_in_block_style() {
        let value =
            json!({"a": 1, "b": [{"c": "x", "d": null}, [1, 2], []], "e": {}, "f": {"g": true}});
        assert_eq!(
            write(&value),
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
            ("file name", "file name"),
            ("-x", "\"-x\""),
        ] {
            assert_eq!(write(&json!(string)).trim_end(), expected);
        }
    }
}

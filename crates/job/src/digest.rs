//! The digest of a resolved job: the same for the same job, whatever the order of keys.

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::ResolvedJob;

/// SHA-256, in lower-case hexadecimal, of the job's canonical JSON.
pub fn digest(job: &ResolvedJob) -> String {
    // Every key is a text and every number finite, so there is nothing that JSON cannot say.
    let json = serde_json::to_value(job).unwrap_or(Json::Null);
    Sha256::digest(canonical(&json))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// No spaces, keys sorted by their bytes.
pub(crate) fn canonical(json: &Json) -> String {
    let mut text = String::new();
    write(json, &mut text);
    text
}

fn write(json: &Json, text: &mut String) {
    match json {
        Json::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Json::Object(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Json::String(key.clone()).to_string());
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}

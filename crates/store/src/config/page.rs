//! The page that documents the sections of stores, made from the comments at their keys.

use serde_json::Value;

/// Declares a section with what its page and its reader need to know: the keys, in order, with what their comments say.
macro_rules! section {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[doc = $doc:literal])* $(#[serde $serde:tt])? pub $key:ident: $type:ty,)+
        }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[doc = $doc])* $(#[serde $serde])? pub $key: $type,)+
        }

        impl $name {
            pub(super) const KEYS: &[&str] = &[$(stringify!($key)),+];
            pub(super) const MEANINGS: &[&str] = &[$(concat!($($doc),*)),+];
        }
    };
}
pub(super) use section;

/// A table of a section in Markdown; `defaults` has the values of what a file leaves out.
pub(super) fn table(heading: &str, keys: &[&str], meanings: &[&str], defaults: &Value) -> String {
    let mut text =
        format!("## `{heading}`\n\n| key in the file | default | meaning |\n| --- | --- | --- |\n");
    for (key, meaning) in keys.iter().zip(meanings) {
        let default = match &defaults[*key] {
            Value::Null => String::new(),
            Value::String(text) if text.is_empty() => "required".to_owned(),
            Value::String(text) => format!("`{text}`"),
            value => format!("`{value}`"),
        };
        let meaning = meaning.trim().replace('|', "\\|");
        text += &format!("| `{key}` | {default} | {meaning} |\n");
    }
    text
}

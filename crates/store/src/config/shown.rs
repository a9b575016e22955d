//! The configuration of stores as `--print-config` shows it: sections of the file that it could come from. Of secrets it
//! says where they are, which is all that a configuration knows.

use serde::Serialize;
use serde_json::Value;

use super::{CacheConfig, FilesConfig, StoreConfig, StoresConfig};

impl StoresConfig {
    /// Remembers which keys of a section stand in the file.
    pub(super) fn note_given(&mut self, section: &str, value: &Value) {
        let keys = value.as_object().into_iter().flat_map(|map| map.keys());
        let given = keys.map(|key| format!("{section}.{key}"));
        self.given.extend(given);
    }

    /// Every setting with where it comes from.
    pub fn shown(&self) -> String {
        let mut text = match self.stores.is_empty() {
            true => "stores: {}  # default\n".to_owned(),
            false => "stores:\n".to_owned(),
        };
        for (name, store) in &self.stores {
            let section = format!("stores.{name}");
            text += &format!("  {}:\n", Value::from(name.as_str()));
            text += &self.settings("    ", &section, StoreConfig::KEYS, store);
        }
        text += "cache:\n";
        text += &self.settings("  ", "cache", CacheConfig::KEYS, &self.cache);
        text += "files:\n";
        text += &self.settings("  ", "files", FilesConfig::KEYS, &self.files);
        text
    }

    /// JSON's values are YAML's, too.
    fn settings(
        &self,
        indent: &str,
        section: &str,
        keys: &[&str],
        values: &impl Serialize,
    ) -> String {
        let values = serde_json::to_value(values).unwrap_or_default();
        let line = |key: &&str| {
            let origin = match self.given.contains(&format!("{section}.{key}")) {
                true => "file",
                false => "default",
            };
            format!("{indent}{key}: {}  # {origin}\n", values[*key])
        };
        keys.iter().map(line).collect()
    }
}

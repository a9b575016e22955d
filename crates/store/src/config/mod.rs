//! The configuration of stores: which there are, where they are reached, with whose rights.
//!
//! ```yaml
//! stores:
//!   lab:
//!     url: s3://lab/nightshift
//!     endpoint: https://s3.example.org:9000
//!     region: us-east-1
//!     access_key: {env: LAB_ACCESS_KEY}
//!     secret_key: {file: /run/secrets/lab}
//! ```

mod page;
mod secret;
mod shown;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use secret::{Secret, SecretSource};

use page::section;

use crate::uri::Scheme;
use yaml::Document;

/// Sections of the file that this crate reads.
const SECTIONS: &[&str] = &["stores", "cache", "files", "coordinator", "worker", "ctl"];

/// What the configuration file says of storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoresConfig {
    /// By name, which only messages show.
    pub stores: BTreeMap<String, StoreConfig>,
    pub cache: CacheConfig,
    pub files: FilesConfig,
    /// What the file says itself, such as `stores.lab.region`; the rest are defaults.
    given: BTreeSet<String>,
}

section! {
    /// One store that URIs can name.
    #[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    pub struct StoreConfig {
        /// `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`: every URI that begins so belongs to this store.
        pub url: String,
        /// Where the server is, without the bucket; null: the cloud's own.
        pub endpoint: Option<String>,
        /// `s3` only; many servers take any.
        #[serde(default = "default_region")]
        pub region: String,
        /// `az` only: the storage account.
        pub account: Option<String>,
        /// Whose rights: `keys`, those that this section names; `ambient`, those that the cloud gives to the machine or pod;
        /// `anonymous`, none.
        #[serde(default)]
        pub credentials: Credentials,
        /// `s3`: the key's id; `az`: the account's key.
        pub access_key: Option<SecretSource>,
        /// `s3` only: the key's secret.
        pub secret_key: Option<SecretSource>,
        /// `s3` only, of temporary credentials.
        pub session_token: Option<SecretSource>,
        /// `gs` only: the JSON text of a service account's key.
        pub service_account: Option<SecretSource>,
        /// Whether `endpoint` may be http://, which anybody on the way can read and change.
        #[serde(default)]
        pub allow_http: bool,
        /// PEM file with the authorities to trust beside the system's.
        pub ca_certificate: Option<PathBuf>,
        /// `s3` only: the bucket in the host's name instead of the path.
        #[serde(default)]
        pub virtual_hosted: bool,
        /// Further tries of a request that failed for a reason that may pass.
        #[serde(default = "default_retries")]
        pub retries: usize,
        /// Seconds without a byte after which a request is given up.
        #[serde(default = "default_timeout_s")]
        pub timeout_s: u64,
    }
}

/// Whose rights a store is used with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Credentials {
    /// Those that the configuration names.
    #[default]
    Keys,
    /// Those that the cloud gives to the machine or pod: instance roles, workload identity.
    Ambient,
    /// None: requests are not signed.
    Anonymous,
}

section! {
    /// Local copies of images that were read from remote stores, and features that several runs of a job use.
    #[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    pub struct CacheConfig {
        /// Null: `$XDG_CACHE_HOME/nightshift/objects`, else `~/.cache/nightshift/objects`.
        pub folder: Option<PathBuf>,
        /// Shared by all executors of the machine; 0: no cache.
        #[serde(default = "default_limit_mib")]
        pub limit_mib: u64,
    }
}

section! {
    /// Local files of jobs. What users read and write themselves with `ctl` is theirs to say.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    pub struct FilesConfig {
        /// Absolute folders: of local files, jobs read and write only what lies below one of them, wherever links lead. `[/]`: all.
        /// Null: all, but none for jobs of a coordinator that listens beyond its machine.
        pub roots: Option<Vec<PathBuf>>,
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            folder: None,
            limit_mib: default_limit_mib(),
        }
    }
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

/// With pauses that double to 5 s: about half a minute.
fn default_retries() -> usize {
    8
}

fn default_timeout_s() -> u64 {
    30
}

fn default_limit_mib() -> u64 {
    2048
}

/// Everything that is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid { problems: Vec<Problem> },
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub file: String,
    pub line: usize,
    pub column: usize,
    /// Such as `stores.lab.url`; empty: the file as a whole.
    pub key: String,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}

/// The sections that this crate reads, as tables in Markdown.
pub fn page() -> String {
    let store: Option<StoreConfig> = serde_json::from_value(serde_json::json!({"url": ""})).ok();
    let defaults = |section: serde_json::Result<Value>| section.unwrap_or_default();
    [
        page::table(
            "stores.NAME",
            StoreConfig::KEYS,
            StoreConfig::MEANINGS,
            &defaults(serde_json::to_value(store)),
        ),
        page::table(
            "cache",
            CacheConfig::KEYS,
            CacheConfig::MEANINGS,
            &defaults(serde_json::to_value(CacheConfig::default())),
        ),
        page::table(
            "files",
            FilesConfig::KEYS,
            FilesConfig::MEANINGS,
            &defaults(serde_json::to_value(FilesConfig::default())),
        ),
    ]
    .join("\n")
}

/// What is wrong with the sections that this crate reads, one line a problem; nothing if the file cannot be read at all.
pub fn mistakes(file: &Path) -> Vec<String> {
    let Err(ConfigError::Invalid { problems }) = StoresConfig::read(file) else {
        return Vec::new();
    };
    let ours = |problem: &&Problem| {
        let section = problem.key.split('.').next().unwrap_or_default();
        ["stores", "cache", "files"].contains(&section)
    };
    problems
        .iter()
        .filter(ours)
        .map(ToString::to_string)
        .collect()
}

impl StoresConfig {
    /// Reads a file; no secret is read yet.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// `file` names the text in messages.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(((line, column), what)) => {
                let problem = Problem {
                    file: file.to_owned(),
                    line,
                    column,
                    key: String::new(),
                    what,
                };
                return Err(ConfigError::Invalid {
                    problems: vec![problem],
                });
            }
        };
        let mut report = |key: &str, what: String| {
            let (line, column) = document.place(key);
            problems.push(Problem {
                file: file.to_owned(),
                line,
                column,
                key: key.to_owned(),
                what,
            });
        };
        let config = Self::of(&document.value, &mut report);
        if problems.is_empty() {
            Ok(config)
        } else {
            problems.sort_by_key(|problem| (problem.line, problem.column));
            Err(ConfigError::Invalid { problems })
        }
    }

    fn of(value: &Value, report: &mut impl FnMut(&str, String)) -> Self {
        let mut config = Self::default();
        let Some(sections) = map(value, "", report) else {
            return config;
        };
        known("", sections, SECTIONS, report);
        if let Some(cache) = sections.get("cache") {
            config.cache = typed("cache", cache, CacheConfig::KEYS, report).unwrap_or_default();
            config.note_given("cache", cache);
        }
        if let Some(folder) = &config.cache.folder
            && !folder.is_absolute()
        {
            let what = format!("{} is not an absolute path", folder.display());
            report("cache.folder", what);
        }
        if let Some(files) = sections.get("files") {
            config.files = typed("files", files, FilesConfig::KEYS, report).unwrap_or_default();
            config.note_given("files", files);
        }
        for root in config.files.roots.iter().flatten() {
            if !root.is_absolute() {
                let what = format!("{} is not an absolute path", root.display());
                report("files.roots", what);
            }
        }
        let stores = sections
            .get("stores")
            .and_then(|stores| map(stores, "stores", report));
        for (name, value) in stores.into_iter().flatten() {
            let key = format!("stores.{name}");
            if let Some(store) = typed::<StoreConfig>(&key, value, StoreConfig::KEYS, report) {
                for (field, what) in store.problems() {
                    report(&format!("{key}.{field}"), what);
                }
                if let Some((other, _)) = config
                    .stores
                    .iter()
                    .find(|(_, other)| other.root() == store.root())
                {
                    let what = format!("{} is the store {other}'s, too", store.root());
                    report(&format!("{key}.url"), what);
                }
                config.stores.insert(name.clone(), store);
                config.note_given(&key, value);
            }
        }
        config
    }
}

impl StoreConfig {
    /// The URL without a slash at its end.
    pub fn root(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    /// Everything that is wrong with the values: key and what.
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut report = |key, what: &str| found.push((key, what.to_owned()));
        let scheme = self.url.split_once("://").map_or("", |(scheme, _)| scheme);
        let Some(scheme) = Scheme::remote(scheme) else {
            let what = format!(
                "{:?} is no store's address; expected s3://bucket/prefix, az://container/prefix or gs://bucket/prefix",
                self.url
            );
            report("url", &what);
            return found;
        };
        if let Err(reason) = crate::uri::split_remote(&self.url) {
            report("url", &reason);
        }
        self.endpoint_problems(&mut report);
        let mut only = |key, given: bool, of: &[Scheme]| {
            if given && !of.contains(&scheme) {
                let what = format!("a store of {scheme}:// has no such key");
                report(key, &what);
            }
        };
        only("account", self.account.is_some(), &[Scheme::Az]);
        only(
            "access_key",
            self.access_key.is_some(),
            &[Scheme::S3, Scheme::Az],
        );
        only("secret_key", self.secret_key.is_some(), &[Scheme::S3]);
        only("session_token", self.session_token.is_some(), &[Scheme::S3]);
        only(
            "service_account",
            self.service_account.is_some(),
            &[Scheme::Gs],
        );
        only("virtual_hosted", self.virtual_hosted, &[Scheme::S3]);
        if scheme == Scheme::Az && self.account.is_none() {
            report("account", "missing: the storage account's name");
        }
        let named = [
            ("access_key", &self.access_key),
            ("secret_key", &self.secret_key),
            ("session_token", &self.session_token),
            ("service_account", &self.service_account),
        ];
        let wanted: &[&str] = match (self.credentials, scheme) {
            (Credentials::Keys, Scheme::S3) => &["access_key", "secret_key"],
            (Credentials::Keys, Scheme::Az) => &["access_key"],
            (Credentials::Keys, _) => &["service_account"],
            _ => &[],
        };
        for (key, source) in named {
            match source {
                Some(source) => {
                    if self.credentials != Credentials::Keys {
                        report(key, "only credentials: keys has such a key");
                    }
                    if let Some(what) = source.problem() {
                        report(key, &what);
                    }
                }
                None if wanted.contains(&key) => report(
                    key,
                    "missing: {env: NAME} or {file: /path}; or say credentials: ambient or anonymous",
                ),
                None => {}
            }
        }
        if let Some(path) = &self.ca_certificate
            && !path.is_absolute()
        {
            report("ca_certificate", "expected an absolute path");
        }
        if self.timeout_s == 0 || self.timeout_s > 3600 {
            report("timeout_s", "expected 1 to 3600");
        }
        if self.retries > 100 {
            report("retries", "expected 0 to 100");
        }
        found
    }

    fn endpoint_problems(&self, report: &mut impl FnMut(&'static str, &str)) {
        let Some(endpoint) = &self.endpoint else {
            return;
        };
        let host = match endpoint.split_once("://") {
            Some(("https", host)) => host,
            Some(("http", host)) => {
                if !self.allow_http {
                    report(
                        "endpoint",
                        "http:// is not encrypted; say allow_http: true if that is meant",
                    );
                }
                host
            }
            _ => {
                report("endpoint", "expected https://host:port");
                return;
            }
        };
        if host.is_empty() || host.contains(['@', '?', '#', ' ']) {
            report(
                "endpoint",
                "expected https://host:port, without user, password or query",
            );
        }
    }
}

fn map<'a>(
    value: &'a Value,
    key: &str,
    report: &mut impl FnMut(&str, String),
) -> Option<&'a Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        Value::Null => None,
        _ => {
            report(key, "expected keys with values".to_owned());
            None
        }
    }
}

/// Reports every key that nobody reads, with the nearest that somebody does.
fn known(
    key: &str,
    map: &Map<String, Value>,
    known: &[&str],
    report: &mut impl FnMut(&str, String),
) {
    for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
        let path = if key.is_empty() {
            name.clone()
        } else {
            format!("{key}.{name}")
        };
        let near = known
            .iter()
            .map(|known| (strsim::jaro_winkler(name, known), known))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(likeness, _)| *likeness > 0.8);
        report(
            &path,
            match near {
                Some((_, near)) => format!("unknown key {name:?}; did you mean {near:?}?"),
                None => format!("unknown key {name:?}; expected one of {}", known.join(", ")),
            },
        );
    }
}

/// A section whose unknown keys are reported one by one and then left out, so that the rest is checked as well.
fn typed<T: serde::de::DeserializeOwned>(
    key: &str,
    value: &Value,
    keys: &[&str],
    report: &mut impl FnMut(&str, String),
) -> Option<T> {
    let Some(map) = map(value, key, report) else {
        report(key, format!("expected some of {}", keys.join(", ")));
        return None;
    };
    known(key, map, keys, report);
    let mut rest = map.clone();
    rest.retain(|name, _| keys.contains(&name.as_str()));
    // A literal secret is an easy mistake; serde would quote it.
    for name in [
        "access_key",
        "secret_key",
        "session_token",
        "service_account",
    ] {
        let value = rest.get(name).unwrap_or(&Value::Null);
        if !(value.is_object() || value.is_null()) {
            report(
                &format!("{key}.{name}"),
                "expected {env: NAME} or {file: /path}: secrets do not stand in this file"
                    .to_owned(),
            );
            return None;
        }
    }
    match serde_json::from_value(Value::Object(rest)) {
        Ok(typed) => Some(typed),
        Err(error) => {
            report(key, error.to_string());
            None
        }
    }
}

//! Addresses of objects: splitting a URI into its store and the path within.

use std::path::{Path, PathBuf};

use crate::StoreError;

/// An address, split where its store begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The widest store that holds it: `file:///`, `s3://bucket`.
    pub root: String,
    /// Relative to the root, decoded, without slashes at its ends.
    pub path: String,
}

impl Location {
    /// Reads `scheme://...` or an absolute local path.
    pub fn parse(uri: &str) -> Result<Self, StoreError> {
        let invalid = |reason: &str| StoreError::InvalidUri {
            uri: uri.to_owned(),
            reason: reason.to_owned(),
        };
        if uri.starts_with('/') {
            return Ok(Self {
                root: "file:///".to_owned(),
                path: trim(uri),
            });
        }
        let (scheme, rest) = uri
            .split_once("://")
            .ok_or_else(|| invalid("expected file:///absolute/path or an absolute path"))?;
        if scheme != "file" {
            return Err(StoreError::NotBuilt {
                uri: uri.to_owned(),
                scheme: scheme.to_owned(),
            });
        }
        let path = rest.strip_prefix("localhost").unwrap_or(rest);
        if !path.starts_with('/') {
            return Err(invalid(
                "a file URI needs three slashes: file:///absolute/path",
            ));
        }
        let decoded = decode(path).ok_or_else(|| invalid("its percent-encoding is not UTF-8"))?;
        Ok(Self {
            root: "file:///".to_owned(),
            path: trim(&decoded),
        })
    }

    /// The local folder or file that a `file://` address names.
    pub fn local(&self) -> PathBuf {
        Path::new("/").join(&self.path)
    }
}

/// The URI of a local path, which must be absolute.
pub fn file_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    encode(&path.to_string_lossy(), &mut uri);
    uri
}

/// Encodes what a URI gives a meaning to; everything else, non-ASCII letters too, stays readable.
pub(crate) fn encode(path: &str, out: &mut String) {
    for c in path.chars() {
        match c {
            '%' | '#' | '?' | ' ' => out.push_str(&format!("%{:02X}", c as u32)),
            c if c.is_ascii_control() => out.push_str(&format!("%{:02X}", c as u32)),
            c => out.push(c),
        }
    }
}

/// Decodes `%XX`; a percent sign that no two hexadecimal digits follow stands for itself.
fn decode(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| path.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).ok()
}

fn trim(path: &str) -> String {
    path.split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect::<Vec<_>>()
        .join("/")
}

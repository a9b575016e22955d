//! Addresses of objects: splitting a URI into its store and the path within.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::StoreError;

/// Kinds of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    File,
    S3,
    Az,
    Gs,
}

impl Scheme {
    /// Of stores that the configuration names.
    pub(crate) fn remote(scheme: &str) -> Option<Self> {
        match scheme {
            "s3" => Some(Self::S3),
            "az" => Some(Self::Az),
            "gs" => Some(Self::Gs),
            _ => None,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::S3 => "s3",
            Self::Az => "az",
            Self::Gs => "gs",
        })
    }
}

/// An address, split where its store begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub scheme: Scheme,
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
            return Ok(Self::file(uri));
        }
        let (scheme, rest) = uri.split_once("://").ok_or_else(|| {
            invalid("expected file:///absolute/path, an absolute path, or s3://bucket/path")
        })?;
        if Scheme::remote(scheme).is_some() {
            let (scheme, bucket, path) = split_remote(uri).map_err(|reason| invalid(&reason))?;
            return Ok(Self {
                scheme,
                root: format!("{scheme}://{bucket}"),
                path,
            });
        }
        if scheme != "file" {
            return Err(StoreError::UnknownScheme {
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
        Ok(Self::file(&decoded))
    }

    fn file(path: &str) -> Self {
        Self {
            scheme: Scheme::File,
            root: "file:///".to_owned(),
            path: trim(path),
        }
    }

    /// The local folder or file that a `file://` address names.
    pub fn local(&self) -> PathBuf {
        Path::new("/").join(&self.path)
    }
}

/// Scheme, bucket (or container) and decoded path of a remote address; `Err` says what is wrong with it.
pub(crate) fn split_remote(uri: &str) -> Result<(Scheme, String, String), String> {
    let (scheme, rest) = uri
        .split_once("://")
        .and_then(|(scheme, rest)| Some((Scheme::remote(scheme)?, rest)))
        .ok_or("expected s3://, az:// or gs://")?;
    let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains(['@', ':', '?', '#', '%', ' ']) {
        // What stands before it may be keys.
        let bucket = bucket.rsplit('@').next().unwrap_or_default();
        return Err(format!(
            "{bucket:?} is not a bucket's name; endpoint and keys stand in the configuration of its store"
        ));
    }
    if bucket.len() < 3 {
        return Err(format!(
            "the bucket's name {bucket:?} is too short: {scheme}://BUCKET/PATH"
        ));
    }
    let path = decode(path).ok_or("its percent-encoding is not UTF-8")?;
    let path = trim(&path);
    if path.split('/').any(|part| part == "..") {
        return Err("a path in a store cannot hold `..`".to_owned());
    }
    Ok((scheme, bucket.to_owned(), path))
}

/// The URI of a local path, which must be absolute.
pub fn file_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    encode(&path.to_string_lossy(), &mut uri);
    uri
}

/// Encodes what a URI gives a meaning to; everything else, non-ASCII letters too, stays readable. `!/` stands between an
/// archive and what is in it, so the `!` that a name ends with is none.
pub(crate) fn encode(path: &str, out: &mut String) {
    let mut chars = path.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '!' if matches!(chars.peek(), None | Some('/')) => out.push_str("%21"),
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

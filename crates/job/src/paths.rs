//! Paths and URIs of job files, made absolute.

use std::path::Path;

use data::ListedAddress;

const FILE: &str = "file://";

/// Remote storage; which of it can be reached is the configuration's matter.
const REMOTE: &[&str] = &["s3", "gs", "az"];

/// Storage that the design knows; the reader refuses it by name until it is built.
const NOT_BUILT: &[&str] = &["abfs", "http", "https"];

/// An absolute path, without `.` and `..`, or the URI of remote storage; `Err` says why there is none.
pub(crate) fn absolute(text: &str, current_dir: &Path) -> Result<String, String> {
    if text.is_empty() {
        return Err("the path is empty".into());
    }
    if text.contains('\0') {
        return Err("a path cannot hold a zero byte".into());
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return match scheme {
            "file" if rest.starts_with('/') => decode(rest).map(|path| normal(&path)),
            "file" => Err(format!(
                "{text:?} names a host; a file URI begins with file:///"
            )),
            remote if REMOTE.contains(&remote) => bucket(remote, rest),
            known if NOT_BUILT.contains(&known) => Err(format!(
                "storage {known}:// is known but not built yet; use a path, file:///…, s3://, az:// or gs://"
            )),
            other => Err(format!(
                "unknown storage {other}://; use a path, file:///…, s3://, az:// or gs://"
            )),
        };
    }
    if text == "~" || text.starts_with("~/") {
        return Err(format!(
            "{text:?}: write the home folder out, ~ is not expanded"
        ));
    }
    if text.starts_with('/') {
        return Ok(normal(text));
    }
    Ok(normal(&format!("{}/{text}", current_dir.to_string_lossy())))
}

/// The same of what may be an image in an archive: what is in it is named as it is, and stays so. A `file://` URI stays one
/// where its path would mean something in an archive and it does not: a folder's name may end in `.tar!`.
pub(crate) fn address(text: &str, current_dir: &Path) -> Result<String, String> {
    let Some(rest) = text.strip_prefix(FILE).filter(|rest| rest.starts_with('/')) else {
        return absolute(text, current_dir);
    };
    let (encoded, entry) = match data::listed_address(rest) {
        ListedAddress::Object(path) => (path, None),
        ListedAddress::Archived { archive, entry } => (archive, Some(entry)),
    };
    let inside = entry.as_ref().map(|entry| format!("!/{entry}"));
    let inside = inside.unwrap_or_default();
    let path = format!("{}{inside}", normal(&decode(&encoded)?));
    let means = match data::listed_address(&path) {
        ListedAddress::Object(_) => None,
        ListedAddress::Archived { entry, .. } => Some(entry),
    };
    Ok(match means == entry {
        true => path,
        false => format!("{FILE}{}{inside}", normal(&encoded)),
    })
}

/// The URI of what [`absolute`] gave.
pub fn uri(absolute: &str) -> String {
    if is_remote(absolute) {
        absolute.to_owned()
    } else {
        file_uri(absolute)
    }
}

/// Whether a text is the URI of remote storage.
pub fn is_remote(text: &str) -> bool {
    text.split_once("://")
        .is_some_and(|(scheme, _)| REMOTE.contains(&scheme))
}

fn bucket(scheme: &str, rest: &str) -> Result<String, String> {
    let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.len() < 3 || bucket.contains(['@', ':', '?', '#', '%', ' ']) {
        // What stands before it may be keys.
        let bucket = bucket.rsplit('@').next().unwrap_or_default();
        return Err(format!(
            "{bucket:?} is not a bucket's name: {scheme}://BUCKET/PATH; its endpoint and keys stand in the configuration"
        ));
    }
    Ok(format!("{scheme}://{bucket}{}", normal(path))
        .trim_end_matches('/')
        .to_owned())
}

/// The `file://` URI of an absolute path.
pub fn file_uri(path: &str) -> String {
    let mut uri = String::from("file://");
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' | b'+' | b'=' | b'@' | b',' => uri.push(byte as char),
            byte if byte.is_ascii_alphanumeric() => uri.push(byte as char),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

/// The absolute path of a `file://` URI.
pub fn file_path(uri: &str) -> Option<String> {
    let path = uri
        .strip_prefix("file://")
        .filter(|path| path.starts_with('/'))?;
    decode(path).ok()
}

fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let code = tail
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) if byte != 0 => bytes.push(byte),
            _ => {
                return Err(format!(
                    "{text:?} has a % that no two hexadecimal digits follow"
                ));
            }
        }
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is not UTF-8"))
}

fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute() {
        let cases = [
            ("results", "/home/me/results"),
            ("./a/../b", "/home/me/b"),
            ("../../../../x", "/x"),
            ("/data//set/", "/data/set"),
            ("file:///a%20b/c", "/a b/c"),
            ("s3://bucket/a//b/../c/", "s3://bucket/a/c"),
            ("az://container", "az://container"),
        ];
        for (text, expected) in cases {
            assert_eq!(
                absolute(text, Path::new("/home/me")).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
        for bad in [
            "",
            "s3://b/x",
            "s3://key:secret@bucket/x",
            "https://bucket/x",
            "ftp://x",
            "file://host/x",
            "file:///a%2",
            "file:///a%zz",
            "~/x",
        ] {
            assert!(absolute(bad, Path::new("/home/me")).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_in_an_archive_keeps_its_name_and_no_folder_is_taken_for_one() {
        for (text, expected) in [
            ("file:///a%20b/./c.png", "/a b/c.png"),
            ("file:///a%20b/x.tar", "/a b/x.tar"),
            ("x.tar!/100%.png", "/home/me/x.tar!/100%.png"),
            ("file:///a%20b.zip!/100%.png", "/a b.zip!/100%.png"),
            ("file:///a.zip!/b%20c!/d.png", "/a.zip!/b%20c!/d.png"),
            ("file:///a/../x.tar%21/b.png", "file:///x.tar%21/b.png"),
            ("file:///x.tar%21/*.png", "file:///x.tar%21/*.png"),
            (
                "file:///x.tar%21/a%20b.zip!/c%.png",
                "file:///x.tar%21/a%20b.zip!/c%.png",
            ),
            ("file:///x.tar%21", "/x.tar!"),
            ("file:///x%21/b.png", "/x!/b.png"),
            ("s3://bucket/x.tar%21/b.png", "s3://bucket/x.tar%21/b.png"),
        ] {
            let found = address(text, Path::new("/home/me")).expect(text);
            assert_eq!(found, expected);
            // Resolved jobs are read with what was made of their files.
            assert_eq!(address(&found, Path::new("/")).as_deref(), Ok(expected));
        }
        assert!(address("file:///a%.png", Path::new("/")).is_err());
        assert!(address("file://host/a", Path::new("/")).is_err());
    }

    #[test]
    fn file_uris_read_back() {
        for path in ["/a", "/with space/ü%/#?", "/"] {
            assert_eq!(file_path(&file_uri(path)).as_deref(), Some(path));
        }
    }
}

//! What lies in a local folder.
//!
//! The client's own listing leaves out files that may not be looked at and links that lead nowhere, so that a training
//! set would change without a word; here whatever cannot be listed is given with its place and why.

use std::{
    ffi::OsStr,
    fs::{self, Metadata},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use object_store::path::Path as Key;

use crate::{Found, NoFile, ObjectInfo, StoreError, Unusable, roots::Roots, uri::file_uri};

/// A folder whose entries are still to be read.
struct Folder {
    path: PathBuf,
    /// Relative to the store's root.
    key: String,
    /// Device and inode.
    identity: (u64, u64),
    /// How many folders it lies in, from the listed one on.
    depth: usize,
}

/// Entries, at most, that are looked at before what was found of them is told.
const BATCH: usize = 1000;

/// Every file below a folder at any depth, links followed, in no order; none if the folder does not exist. `key` is the
/// folder's path in its store; `enters` is asked of the path from the folder on before a folder in it is. `each` is told of
/// nothing, too, where there is nothing but folders for long: so it is known that the listing goes on. Ends early when it returns false.
pub(crate) fn files(
    folder: PathBuf,
    key: &str,
    roots: &Roots,
    enters: impl Fn(&str) -> bool,
    mut each: impl FnMut(Vec<Found>) -> bool,
) -> Result<(), StoreError> {
    let (mut found, mut looked_at) = (Vec::new(), 0);
    let below = |path: &str| match key {
        "" => path.to_owned(),
        key => path[key.len() + 1..].to_owned(),
    };
    // The folder being read, and those that it lies in.
    let mut way: Vec<(u64, u64)> = Vec::new();
    let mut folders = Vec::new();
    match look_at(&folder)? {
        Some(metadata) if metadata.is_dir() => {
            folders.push(Folder {
                path: folder,
                key: key.to_owned(),
                identity: identity(&metadata),
                depth: 0,
            });
        }
        _ => {}
    }
    while let Some(folder) = folders.pop() {
        // What was pushed last is taken first, so what is left are the folders on the way to this one.
        way.truncate(folder.depth);
        way.push(folder.identity);
        let failed = |error| StoreError::from_io("list", file_uri(&folder.path), error);
        let entries = match fs::read_dir(&folder.path) {
            // Taken away meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(failed)?,
        };
        for entry in entries {
            if looked_at >= BATCH {
                looked_at = 0;
                if !each(std::mem::take(&mut found)) {
                    return Ok(());
                }
            }
            looked_at += 1;
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let path = entry.path();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            // Before anything is said of where it leads.
            let may_be_reached = if is_link { roots.check(&path) } else { Ok(()) };
            let key = || usable(&folder.path, &name).map(|name| join(&folder.key, name));
            let metadata = match may_be_reached.and_then(|()| look_at(&path)) {
                Ok(Some(metadata)) => metadata,
                Ok(None) => continue,
                Err(error) => {
                    let is_nothing = matches!(
                        error,
                        StoreError::DanglingLink { .. } | StoreError::LinkLoop { .. }
                    );
                    let path = key().ok();
                    let unusable = Unusable { path, error };
                    found.push(match is_nothing {
                        true => Found::Unusable(unusable),
                        false => Found::Unreached(unusable),
                    });
                    continue;
                }
            };
            let is_object = metadata.is_file() && !is_unfinished_upload(&name);
            if !(metadata.is_dir() || is_object) {
                continue;
            }
            let key = match key() {
                Ok(key) => key,
                Err(error) => {
                    found.push(Found::Unusable(Unusable { path: None, error }));
                    continue;
                }
            };
            if is_object {
                found.push(Found::Object(info(key, &metadata)));
                continue;
            }
            if !enters(&below(&key)) {
                continue;
            }
            let identity = identity(&metadata);
            if way.contains(&identity) {
                let error = StoreError::LinkLoop {
                    uri: file_uri(&path),
                    target: target(&path),
                };
                let path = Some(key);
                found.push(Found::Unusable(Unusable { path, error }));
                continue;
            }
            folders.push(Folder {
                path,
                key,
                identity,
                depth: folder.depth + 1,
            });
        }
    }
    each(found);
    Ok(())
}

/// Names of the folders directly in a folder; none if it does not exist. What cannot be told to be a folder, or has no
/// address, is not named: nobody could use the name.
pub(crate) fn folders(folder: &Path) -> Result<Vec<String>, StoreError> {
    let failed = |error| StoreError::from_io("list", file_uri(folder), error);
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        other => other.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let is_folder = entry.file_type().is_ok_and(|kind| {
            kind.is_dir()
                || kind.is_symlink() && fs::metadata(entry.path()).is_ok_and(|to| to.is_dir())
        });
        let name = entry.file_name();
        if is_folder && let Ok(name) = usable(folder, &name) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What a path leads to, if that is there and no file. Nothing is opened.
pub fn no_file(path: &Path) -> Option<NoFile> {
    NoFile::of(fs::metadata(path).ok()?.file_type())
}

/// What a path leads to; `None` if it is gone.
fn look_at(path: &Path) -> Result<Option<Metadata>, StoreError> {
    let error = match fs::metadata(path) {
        Ok(metadata) => return Ok(Some(metadata)),
        Err(error) => error,
    };
    let is_link = fs::symlink_metadata(path).is_ok_and(|link| link.is_symlink());
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory if is_link => {
            Err(StoreError::DanglingLink {
                uri: file_uri(path),
                target: target(path),
            })
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
        _ if error.raw_os_error() == Some(libc::ELOOP) => Err(StoreError::LinkLoop {
            uri: file_uri(path),
            target: target(path),
        }),
        _ => Err(StoreError::from_io("look at", file_uri(path), error)),
    }
}

/// A name that can be part of an address.
fn usable<'a>(folder: &Path, name: &'a OsStr) -> Result<&'a str, StoreError> {
    let unusable = |reason| StoreError::UnusableName {
        folder: file_uri(folder),
        name: format!("{name:?}"),
        reason,
    };
    let text = name.to_str().ok_or_else(|| unusable("it is not UTF-8"))?;
    if Key::parse(text).is_err() {
        return Err(unusable("it holds a control character"));
    }
    Ok(text)
}

/// Whether the client hides a file of this name: it writes an object to `NAME#NUMBER` until it is whole.
fn is_unfinished_upload(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let Some(mark) = name.iter().position(|&byte| byte == b'#') else {
        return false;
    };
    let number = &name[mark + 1..];
    !number.is_empty() && number.iter().all(u8::is_ascii_digit)
}

fn join(key: &str, name: &str) -> String {
    if key.is_empty() {
        name.to_owned()
    } else {
        format!("{key}/{name}")
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn target(link: &Path) -> String {
    fs::read_link(link).map_or_else(|_| "itself".to_owned(), |to| format!("{to:?}"))
}

/// With the etag that the client gives the same file when it is read; the contract's suite compares them.
fn info(path: String, metadata: &Metadata) -> ObjectInfo {
    let since = metadata
        .modified()
        .ok()
        .and_then(|modified| modified.duration_since(SystemTime::UNIX_EPOCH).ok())
        .unwrap_or_default();
    let micros = since.as_micros();
    ObjectInfo {
        path,
        etag: format!("\"{:x}-{micros:x}-{:x}\"", metadata.ino(), metadata.len()),
        size: metadata.len(),
        modified: SystemTime::UNIX_EPOCH
            + Duration::from_micros(u64::try_from(micros).unwrap_or(0)),
    }
}

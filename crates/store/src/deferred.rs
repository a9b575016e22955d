//! Files of a local folder that are written one after the other and brought to the disk together: it commits once, not once
//! a file and folder.
//!
//! The calling thread does it all: handing a small file to another thread costs more than writing it.

use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;

use crate::{StoreError, uri::file_uri};

/// Beyond this they are found out anew.
const KNOWN_ENTRIES: usize = 4096;

/// The folder of a `file://` store.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// Folders below it whose own entries are known to be on disk.
    on_disk: Mutex<HashSet<PathBuf>>,
}

impl Folder {
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            on_disk: Mutex::default(),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file, whole or not at all; on disk after [`Folder::sync`]. Nobody else may write the same one meanwhile.
    pub fn put(&self, path: &str, parts: &[Bytes]) -> Result<(), StoreError> {
        self.write(path, |file| {
            parts.iter().try_for_each(|part| file.write_all(part))
        })
    }

    /// The same with the content of another file.
    pub fn put_file(&self, path: &str, mut from: &File) -> Result<(), StoreError> {
        self.write(path, |file| io::copy(&mut from, file).map(drop))
    }

    fn write(
        &self,
        path: &str,
        content: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let target = self.root.join(path);
        // A name that listings leave out.
        let mut unfinished = target.clone().into_os_string();
        unfinished.push("#1");
        let unfinished = PathBuf::from(unfinished);
        let write = || {
            let mut file = create(&unfinished)?;
            content(&mut file)?;
            fs::rename(&unfinished, &target)
        };
        write().map_err(|error| {
            // What is left of it says nothing; the error does.
            let _ = fs::remove_file(&unfinished);
            StoreError::from_io("write", file_uri(&target), error)
        })
    }

    /// Returns when these files are on disk, and reachable there.
    pub fn sync(&self, paths: &[String]) -> Result<(), StoreError> {
        let sync = |path: &Path| {
            File::open(path)
                .and_then(|file| file.sync_all())
                .map_err(|error| StoreError::from_io("write", file_uri(path), error))
        };
        let mut changed = BTreeSet::new();
        let mut new = Vec::new();
        for path in paths {
            let file = self.root.join(path);
            sync(&file)?;
            let mut entry = file.as_path();
            while let Some(folder) = entry.parent() {
                changed.insert(folder.to_owned());
                if folder == self.root || self.is_on_disk(folder) {
                    break;
                }
                new.push(folder.to_owned());
                entry = folder;
            }
        }
        // A folder's own entry is worth something only when what it holds is safe.
        changed.iter().rev().try_for_each(|folder| sync(folder))?;
        let mut on_disk = self.on_disk.lock().unwrap_or_else(PoisonError::into_inner);
        remember(&mut on_disk, new);
        Ok(())
    }

    fn is_on_disk(&self, folder: &Path) -> bool {
        let on_disk = self.on_disk.lock().unwrap_or_else(PoisonError::into_inner);
        on_disk.contains(folder)
    }
}

fn remember(known: &mut HashSet<PathBuf>, new: Vec<PathBuf>) {
    if known.len() + new.len() > KNOWN_ENTRIES {
        known.clear();
    }
    known.extend(new);
}

/// Creates a file, and the folders that it lies in.
fn create(path: &Path) -> io::Result<File> {
    match (File::create(path), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            File::create(path)
        }
        (created, _) => created,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_file_appears_whole_and_what_fails_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path().to_owned());
        let parts = [Bytes::from("who"), Bytes::from("le")];
        folder.put("a/b/one", &parts).unwrap();
        assert_eq!(
            fs::read_to_string(root.path().join("a/b/one")).unwrap(),
            "whole"
        );
        let source = File::open(root.path().join("a/b/one")).unwrap();
        folder.put_file("a/b/two", &source).unwrap();
        assert_eq!(
            fs::read_to_string(root.path().join("a/b/two")).unwrap(),
            "whole"
        );
        let full = folder.write("a/b/three", |file| {
            file.write_all(b"half")?;
            Err(io::Error::from(ErrorKind::StorageFull))
        });
        assert!(matches!(full, Err(StoreError::DiskFull { .. })), "{full:?}");
        let mut left = names(&root.path().join("a/b"));
        left.sort();
        assert_eq!(left, ["one", "two"]);
    }

    #[test]
    fn folders_are_synced_once_and_anew_when_too_many_are_known() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path().to_owned());
        let known = || folder.on_disk.lock().unwrap().len();
        folder.put("jobs/a/1/x", &[]).unwrap();
        folder.sync(&["jobs/a/1/x".to_owned()]).unwrap();
        assert_eq!(known(), 3);
        folder.put("jobs/a/2/x", &[]).unwrap();
        folder.sync(&["jobs/a/2/x".to_owned()]).unwrap();
        assert_eq!(known(), 4);
        let mut many = HashSet::new();
        for number in 0..=KNOWN_ENTRIES {
            remember(&mut many, vec![PathBuf::from(number.to_string())]);
        }
        assert_eq!(many.len(), 1);
        assert!(folder.sync(&["not/there".to_owned()]).is_err());
    }
}

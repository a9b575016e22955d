//! Images in archives: where one lies, and its bytes.

use std::io;

use archive::{ArchiveError, Entry, Limits, Place};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::StoreError;
use tables::{Ranges, SampleRow};
use types::FailureClass;

use crate::{attempt::Attempt, error::TaskError, object_file::ObjectFile};

/// What stands between the address of an archive and the place of an image in it.
pub const INSIDE: &str = "!/";

/// Where an image lies; the column `entry` of `samples`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    pub entry: Entry,
    /// Of the object that it is read from.
    object_bytes: u64,
    /// The object of the job's store to which the archive was unpacked; `None`: the archive itself.
    unpacked: Option<String>,
}

impl Archived {
    pub fn in_place(entry: &Entry, archive_bytes: u64) -> Self {
        Self {
            entry: entry.clone(),
            object_bytes: archive_bytes,
            unpacked: None,
        }
    }

    /// `path`: of the object in the job's store, where the contents are as they are.
    pub fn unpacked(name: String, path: String, offset: u64, size: u64) -> Self {
        let entry = Entry {
            name,
            place: Place::Tar { offset },
            stored: size,
            size,
            modified: None,
        };
        Self {
            entry,
            object_bytes: offset + size,
            unpacked: Some(path),
        }
    }

    fn object(&self, attempt: &Attempt, uri: &str, etag: &str) -> Result<ObjectFile, TaskError> {
        let bytes = self.object_bytes;
        if let Some(path) = &self.unpacked {
            let store = attempt.store.clone();
            return Ok(ObjectFile::known(attempt, store, path.clone(), "", bytes));
        }
        let name = &self.entry.name;
        let archive = uri
            .strip_suffix(name)
            .and_then(|uri| uri.strip_suffix(INSIDE))
            .ok_or_else(|| TaskError::Assignment(format!("{uri} is not {name:?}")))?;
        let (store, path) = attempt.stores.locate(archive)?;
        Ok(ObjectFile::known(attempt, store, path, etag, bytes))
    }
}

/// An image that cannot be had of its archive: the word for the column `error_class`, and why.
pub type Unreadable = (&'static str, String);

/// The bytes of an image, by one request. `Err(_)`: the attempt cannot go on.
pub fn read(
    attempt: &Attempt,
    uri: &str,
    etag: &str,
    entry: &str,
) -> Result<Result<Bytes, Unreadable>, TaskError> {
    let archived: Archived = serde_json::from_str(entry)
        .map_err(|error| TaskError::Assignment(format!("the entry of {uri}: {error}")))?;
    let object = archived.object(attempt, uri, etag)?;
    match archive::read(uri, &object, &archived.entry, &Limits::default()) {
        Ok(bytes) => Ok(Ok(bytes)),
        // The row has the address.
        Err(ArchiveError::Entry { refusal, .. }) => Ok(Err((refusal.word(), refusal.to_string()))),
        Err(error) => match store_error(&error) {
            Some(store) if store.class() != FailureClass::InvalidInput => {
                Err(TaskError::Archive(error))
            }
            Some(store) => Ok(Err((store.word(), types::chain(store)))),
            None => Ok(Err((error.word(), types::chain(&error)))),
        },
    }
}

/// What the store said, if it was the store.
pub fn store_error(error: &ArchiveError) -> Option<&StoreError> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(store) = error.downcast_ref::<StoreError>() {
            return Some(store);
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// A sample of an archive, as far as it is the same for all of them.
pub fn sample(uri: &str, archived: &Archived) -> SampleRow {
    SampleRow {
        uri: format!("{uri}{INSIDE}{}", archived.entry.name),
        size: archived.entry.size,
        entry: Some(serde_json::json!(archived).to_string()),
        ..SampleRow::default()
    }
}

impl archive::Object for ObjectFile {
    type Error = io::Error;

    fn size(&self) -> u64 {
        Ranges::size(self)
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, io::Error> {
        Ranges::read_at(self, offset, length as u64)
    }
}

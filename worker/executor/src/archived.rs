//! Images in archives: where one lies, and its bytes.

use std::io;

use archive::{ArchiveError, Entry, Limits, Method, Place};
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
    pub name: String,
    /// Bytes of the object that it is read from.
    object_bytes: u64,
    place: Placed,
    stored: u64,
    size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Placed {
    Tar {
        offset: u64,
    },
    Zip {
        header: u64,
        deflated: bool,
        crc: u32,
    },
    /// In an object of the job's store, to which its archive was unpacked.
    Unpacked {
        path: String,
        offset: u64,
    },
}

impl Archived {
    pub fn in_place(entry: &Entry, archive_bytes: u64) -> Self {
        let place = match entry.place {
            Place::Tar { offset } => Placed::Tar { offset },
            Place::Zip {
                header,
                method,
                crc,
            } => Placed::Zip {
                header,
                deflated: method == Method::Deflate,
                crc,
            },
        };
        Self {
            name: entry.name.clone(),
            object_bytes: archive_bytes,
            place,
            stored: entry.stored,
            size: entry.size,
        }
    }

    /// `path`: of the object in the job's store.
    pub fn unpacked(name: String, path: String, offset: u64, size: u64) -> Self {
        Self {
            name,
            object_bytes: offset + size,
            place: Placed::Unpacked { path, offset },
            stored: size,
            size,
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    fn entry(&self) -> Entry {
        let place = match self.place {
            Placed::Tar { offset } | Placed::Unpacked { offset, .. } => Place::Tar { offset },
            Placed::Zip {
                header,
                deflated,
                crc,
            } => Place::Zip {
                header,
                method: if deflated {
                    Method::Deflate
                } else {
                    Method::Stored
                },
                crc,
            },
        };
        Entry {
            name: self.name.clone(),
            place,
            stored: self.stored,
            size: self.size,
            modified: None,
        }
    }

    fn object(&self, attempt: &Attempt, uri: &str, etag: &str) -> Result<ObjectFile, TaskError> {
        if let Placed::Unpacked { path, .. } = &self.place {
            let store = attempt.store.clone();
            let file = ObjectFile::known(attempt, store, path.clone(), "", self.object_bytes);
            return Ok(file);
        }
        let archive = uri
            .strip_suffix(&self.name)
            .and_then(|uri| uri.strip_suffix(INSIDE))
            .ok_or_else(|| TaskError::Assignment(format!("{uri} is not {:?}", self.name)))?;
        let (store, path) = attempt.stores.locate(archive)?;
        Ok(ObjectFile::known(
            attempt,
            store,
            path,
            etag,
            self.object_bytes,
        ))
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
    match archive::read(uri, &object, &archived.entry(), &Limits::default()) {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(error) => match store_error(&error) {
            Some(store) if store.class() != FailureClass::InvalidInput => {
                Err(TaskError::Archive(error))
            }
            Some(store) => Ok(Err((store.word(), types::chain(&error)))),
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
        uri: format!("{uri}{INSIDE}{}", archived.name),
        size: archived.size,
        entry: Some(archived.to_json()),
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

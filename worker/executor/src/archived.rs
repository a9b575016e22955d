//! Images in archives: where one lies, and its bytes.

use std::{borrow::Cow, io};

use archive::{ArchiveError, Entry, Limits, Refusal};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::StoreError;
use tables::{Ranges, SampleRow};
use types::FailureClass;

use crate::{attempt::Attempt, error::TaskError, object_file::ObjectFile};

/// What stands between the address of an archive and the place of an image in it.
pub const INSIDE: &str = "!/";

/// The column `entry` of `samples`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Column {
    /// Found out by the listing, of an image that was named.
    Refused {
        refused: Unreadable,
    },
    Lies(Archived),
}

/// Where an image lies.
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

    /// `path`: of the object of so many bytes in the job's store, where the entry lies as it says.
    pub fn unpacked(entry: &Entry, path: String, object_bytes: u64) -> Self {
        Self {
            entry: entry.clone(),
            object_bytes,
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

/// An image that cannot be had of its archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// For the column `error_class`.
    pub word: Cow<'static, str>,
    pub why: String,
}

impl Unreadable {
    pub fn new(word: &'static str, why: impl ToString) -> Self {
        Self {
            word: word.into(),
            why: why.to_string(),
        }
    }
}

impl From<&Refusal> for Unreadable {
    fn from(refusal: &Refusal) -> Self {
        Self::new(refusal.word(), refusal)
    }
}

/// The bytes of an image, by one request. `Err(_)`: the attempt cannot go on.
pub fn read(
    attempt: &Attempt,
    uri: &str,
    etag: &str,
    entry: &str,
) -> Result<Result<Bytes, Unreadable>, TaskError> {
    let column: Column = serde_json::from_str(entry)
        .map_err(|error| TaskError::Assignment(format!("the entry of {uri}: {error}")))?;
    let archived = match column {
        Column::Refused { refused } => return Ok(Err(refused)),
        Column::Lies(archived) => archived,
    };
    let object = archived.object(attempt, uri, etag)?;
    match archive::read(uri, &object, &archived.entry, &Limits::default()) {
        Ok(bytes) => Ok(Ok(bytes)),
        // The row has the address.
        Err(ArchiveError::Entry { refusal, .. }) => Ok(Err((&refusal).into())),
        Err(error) => unreadable(TaskError::Archive(error)).map(Err),
    }
}

/// What rows say of an archive that cannot be used. `Err(_)`: another try may find it well.
pub fn unreadable(error: TaskError) -> Result<Unreadable, TaskError> {
    if error.class() != FailureClass::InvalidInput {
        return Err(error);
    }
    let of_store = |error: &StoreError| Unreadable::new(error.word(), types::chain(error));
    let said = match &error {
        TaskError::Store(error) => Some(of_store(error)),
        TaskError::Archive(error) => Some(match store_error(error) {
            Some(error) => of_store(error),
            None => Unreadable::new(error.word(), types::chain(error)),
        }),
        _ => None,
    };
    said.ok_or(error)
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

/// One that was named and cannot be had; its row will say so.
pub fn refused(uri: &str, name: &str, refused: Unreadable) -> SampleRow {
    let column = Column::Refused { refused };
    SampleRow {
        uri: format!("{uri}{INSIDE}{name}"),
        entry: Some(serde_json::json!(column).to_string()),
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

#[cfg(test)]
mod tests {
    use archive::{Entry, Place, Refusal};

    use super::{Archived, Column, refused, sample};

    #[test]
    fn the_column_says_where_an_image_lies_or_why_it_is_not_to_be_had() {
        let entry = Entry {
            name: "b.png".to_owned(),
            place: Place::Tar { offset: 512 },
            stored: 7,
            size: 7,
            modified: None,
        };
        let archived = Archived::in_place(&entry, 1024);
        let column = |entry: Option<String>| {
            serde_json::from_str::<Column>(&entry.expect("a column")).expect("is read")
        };
        let row = sample("file:///a.tar", &archived);
        assert_eq!(row.uri, "file:///a.tar!/b.png");
        assert_eq!(column(row.entry), Column::Lies(archived));
        let why = &Refusal::Method(12);
        let row = refused("file:///a.tar", "b.png", why.into());
        assert_eq!(row.uri, "file:///a.tar!/b.png");
        assert_eq!(
            column(row.entry),
            Column::Refused {
                refused: why.into()
            }
        );
    }
}

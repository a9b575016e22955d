//! Deleting what an attempt left: everything below its prefix, and nothing else.

use std::{fs, io, path::Path};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error, path::Path as Key};

use crate::{Store, StoreError};

impl Store {
    /// Deletes every object below a prefix; how many there were. Doing it twice does no harm, nor does somebody who writes or
    /// deletes there meanwhile. For the coordinator's sweeper: nobody else deletes what an attempt wrote.
    pub async fn delete_below(&self, prefix: &str) -> Result<u64, StoreError> {
        let key = self.key(prefix)?;
        if key.as_ref().is_empty() {
            return Err(StoreError::InvalidUri {
                uri: self.uri(prefix),
                reason: "the whole store is never deleted".to_owned(),
            });
        }
        let failed = |error| self.error("delete", prefix, None, error);
        if let Some(folder) = self.path_of(key.as_ref()) {
            // Not by the client: it lists through links, and does not see what broken-off uploads left.
            return tokio::task::spawn_blocking(move || remove(&folder))
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)))
                .map_err(|error| StoreError::from_io("delete", self.uri(prefix), error));
        }
        let keys: Vec<Key> = self
            .inner
            .list(Some(&key))
            .map_ok(|meta| meta.location)
            .try_collect()
            .await
            .map_err(failed)?;
        let mut deleted = 0;
        let mut outcomes = self
            .inner
            .delete_stream(stream::iter(keys.into_iter().map(Ok)).boxed());
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(_) => deleted += 1,
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(deleted)
    }
}

/// Removes a folder with what is in it, never what a link in it points to; how many files there were.
fn remove(folder: &Path) -> io::Result<u64> {
    let found = match fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_dir() => count(folder)?,
        Ok(_) => return fs::remove_file(folder).map(|()| 1),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(found),
        Err(error) => Err(error),
    }
}

fn count(folder: &Path) -> io::Result<u64> {
    let mut files = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() {
            count(&entry.path())?
        } else {
            1
        };
    }
    Ok(files)
}

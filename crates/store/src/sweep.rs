//! Deleting what an attempt or a job left: everything below its prefix but what is to stay, and nothing else.

use std::{
    fs,
    future::ready,
    io,
    path::{Path, PathBuf},
};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error, path::Path as Key};

use crate::{Store, StoreError};

impl Store {
    /// Deletes every object below a prefix but those below one of `keep` (prefixes, too, relative to the store's root); how many
    /// there were. Doing it twice does no harm, nor does somebody who writes or deletes there meanwhile. For the
    /// coordinator's sweeper: nobody else deletes.
    pub async fn delete_below(&self, prefix: &str, keep: &[String]) -> Result<u64, StoreError> {
        let key = self.key(prefix)?;
        if key.as_ref().is_empty() {
            return Err(StoreError::InvalidUri {
                uri: self.uri(prefix),
                reason: "the whole store is never deleted".to_owned(),
            });
        }
        let keep = keep.iter().map(|path| self.key(path));
        let keep = keep.collect::<Result<Vec<Key>, _>>()?;
        let failed = |error| self.error("delete", prefix, None, error);
        if let Some(folder) = self.path_of(key.as_ref()) {
            let keep: Vec<PathBuf> = keep
                .iter()
                .filter_map(|key| self.path_of(key.as_ref()))
                .collect();
            // Not by the client: it lists through links, and does not see what broken-off uploads left.
            return tokio::task::spawn_blocking(move || remove(&folder, &keep))
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)))
                .map_err(|error| StoreError::from_io("delete", self.uri(prefix), error));
        }
        let keys: Vec<Key> = self
            .inner
            .list(Some(&key))
            .map_ok(|meta| meta.location)
            .try_filter(|key| ready(!keep.iter().any(|kept| key.prefix_matches(kept))))
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

/// Removes a folder with what is in it, never what a link in it points to, but what is to stay; how many files there were.
fn remove(folder: &Path, keep: &[PathBuf]) -> io::Result<u64> {
    match fs::symlink_metadata(folder) {
        Ok(_) if keep.iter().any(|kept| kept == folder) => Ok(0),
        Ok(metadata) if metadata.is_dir() => remove_entries(folder, keep),
        Ok(_) => fs::remove_file(folder).map(|()| 1),
        Err(error) => Err(error),
    }
    .or_else(unless_gone)
}

fn remove_entries(folder: &Path, keep: &[PathBuf]) -> io::Result<u64> {
    let mut files = 0;
    for entry in fs::read_dir(folder)? {
        files += remove(&entry?.path(), keep)?;
    }
    if !keep.iter().any(|kept| kept.starts_with(folder)) {
        match fs::remove_dir(folder) {
            // Somebody has written there meanwhile.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            removed => removed?,
        }
    }
    Ok(files)
}

/// What somebody else removed meanwhile is gone, as it should be.
fn unless_gone(error: io::Error) -> io::Result<u64> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(0),
        _ => Err(error),
    }
}

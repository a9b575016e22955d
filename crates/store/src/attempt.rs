//! What one attempt writes: objects under its own prefix, and the list of them as the last.

use std::{io, path::Path};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::{io::AsyncReadExt, sync::Mutex};
use types::OutputObject;

use crate::{Store, StoreError, layout};

/// From here on it pays to ask another thread for the digest.
const PARALLEL_BYTES: u64 = 1 << 20;

/// Writes the objects of one attempt. After [`AttemptWriter::finish`] nothing can be written any more, and everything is
/// durable: nobody reads an attempt's objects before, so they are synced then, together. Local files are written by the calling
/// thread.
pub struct AttemptWriter {
    store: Store,
    prefix: String,
    /// `None`: sealed. Held over each write, so that none can be under way when the attempt is sealed.
    written: Mutex<Option<Vec<OutputObject>>>,
}

impl AttemptWriter {
    /// `prefix` as in [`types::AttemptPrefix::path`]: no other attempt has it.
    pub fn new(store: Store, prefix: impl Into<String>) -> Self {
        Self {
            store,
            prefix: prefix.into(),
            written: Mutex::new(Some(Vec::new())),
        }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Path of one of the attempt's objects, relative to the store's root.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    /// Full address of one of the attempt's objects.
    pub fn uri(&self, name: &str) -> String {
        self.store.uri(&self.path(name))
    }

    /// Writes one object; `name` is relative to the prefix, `rows` for Parquet parts.
    pub async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        rows: Option<u64>,
    ) -> Result<OutputObject, StoreError> {
        self.put_parts(name, vec![bytes], rows).await
    }

    /// [`AttemptWriter::put`] of an object whose content lies in several places.
    pub async fn put_parts(
        &self,
        name: &str,
        parts: Vec<Bytes>,
        rows: Option<u64>,
    ) -> Result<OutputObject, StoreError> {
        let mut written = self.written.lock().await;
        let list = written.as_mut().ok_or_else(|| StoreError::Sealed {
            uri: self.uri(name),
        })?;
        let size = parts.iter().map(|part| part.len() as u64).sum();
        let path = self.path(name);
        // Large objects are hashed while they are written.
        let (sha256, put) = if size < PARALLEL_BYTES {
            (
                Ok(digest_parts(&parts)),
                self.store.put_deferred(&path, parts).await,
            )
        } else {
            let hashed = parts.clone();
            tokio::join!(
                tokio::task::spawn_blocking(move || digest_parts(&hashed)),
                self.store.put_deferred(&path, parts)
            )
        };
        put?;
        let sha256 = sha256.map_err(|error| StoreError::LocalFile {
            path: name.to_owned(),
            source: io::Error::other(error),
        })?;
        let object = OutputObject {
            path: name.to_owned(),
            size,
            sha256,
            rows,
        };
        list.push(object.clone());
        Ok(object)
    }

    /// Writes one object from a local file, which may be larger than memory.
    pub async fn put_file(
        &self,
        name: &str,
        file: &Path,
        rows: Option<u64>,
    ) -> Result<OutputObject, StoreError> {
        let mut written = self.written.lock().await;
        let list = written.as_mut().ok_or_else(|| StoreError::Sealed {
            uri: self.uri(name),
        })?;
        let (size, sha256) = digest(file).await.map_err(|source| StoreError::LocalFile {
            path: file.display().to_string(),
            source,
        })?;
        self.store.put_file_deferred(&self.path(name), file).await?;
        let object = OutputObject {
            path: name.to_owned(),
            size,
            sha256,
            rows,
        };
        list.push(object.clone());
        Ok(object)
    }

    /// Seals the attempt: writes `_outputs.json` and returns its content, sorted by path.
    pub async fn finish(&self) -> Result<Vec<OutputObject>, StoreError> {
        let uri = || self.uri(layout::OUTPUTS);
        let mut written = self.written.lock().await;
        let mut objects = written
            .take()
            .ok_or_else(|| StoreError::Sealed { uri: uri() })?;
        objects.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let json = serde_json::to_vec(&objects).map_err(|error| StoreError::LocalFile {
            path: layout::OUTPUTS.to_owned(),
            source: io::Error::other(error),
        })?;
        if json.len() as u64 > layout::MAX_OUTPUTS_BYTES {
            return Err(StoreError::TooLarge {
                uri: uri(),
                size: json.len() as u64,
                limit: layout::MAX_OUTPUTS_BYTES,
            });
        }
        self.store
            .put_deferred(&self.path(layout::OUTPUTS), vec![json.into()])
            .await?;
        let names = objects.iter().map(|object| object.path.as_str());
        let names = names.chain([layout::OUTPUTS]);
        let paths: Vec<String> = names.map(|name| self.path(name)).collect();
        self.store.sync(&paths)?;
        Ok(objects)
    }
}

fn digest_parts(parts: &[Bytes]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hex(&hash.finalize())
}

async fn digest(file: &Path) -> io::Result<(u64, String)> {
    let mut file = tokio::fs::File::open(file).await?;
    let (mut hash, mut size, mut piece) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return Ok((size, hex(&hash.finalize())));
        }
        hash.update(&piece[..read]);
        size += read as u64;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

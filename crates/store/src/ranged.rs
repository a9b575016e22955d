//! An object that is read by the range from threads that may wait, as it was when it was opened.

use std::io;

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::{Store, StoreError};

pub struct RangedObject {
    store: Store,
    path: String,
    etag: String,
    size: u64,
    runtime: Handle,
}

impl RangedObject {
    /// Looks at the object first. Not to be called where futures run: it waits.
    pub fn open(store: Store, path: String, runtime: Handle) -> Result<Self, StoreError> {
        let info = runtime.block_on(store.head(&path))?;
        Ok(Self::known(store, path, info.etag, info.size, runtime))
    }

    /// One of which a listing has said this already; without an etag it cannot change.
    pub fn known(store: Store, path: String, etag: String, size: u64, runtime: Handle) -> Self {
        Self {
            store,
            path,
            etag,
            size,
            runtime,
        }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Exactly so many bytes from there on. What the store says is inside the error, as a [`StoreError`]; there is none where
    /// the object has no such bytes.
    pub fn read_at(&self, offset: u64, len: u64) -> io::Result<Bytes> {
        let end = offset.checked_add(len).filter(|end| *end <= self.size);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if len == 0 {
            return Ok(Bytes::new());
        }
        let etag = (!self.etag.is_empty()).then_some(self.etag.as_str());
        let reading = self.store.get_range(&self.path, offset..end, etag);
        let bytes = self.runtime.block_on(reading).map_err(|error| {
            let kind = match &error {
                StoreError::Unavailable { .. } => io::ErrorKind::TimedOut,
                _ => io::ErrorKind::Other,
            };
            io::Error::new(kind, error)
        })?;
        if bytes.len() as u64 == len {
            Ok(bytes)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

//! An object of a store as a file that is read by the range, as it was when it was opened.

use std::io;

use bytes::Bytes;
use store::{Store, StoreError};
use tables::Ranges;
use tokio::runtime::Handle;

use crate::{attempt::Attempt, error::TaskError};

pub struct ObjectFile {
    store: Store,
    path: String,
    etag: String,
    size: u64,
    runtime: Handle,
}

impl ObjectFile {
    pub fn open(attempt: &Attempt, address: &str) -> Result<Self, TaskError> {
        let (store, path) = attempt.stores.locate(address)?;
        Self::of(attempt, store, path)
    }

    /// One of which a listing has said this already; without an etag it cannot change.
    pub fn known(attempt: &Attempt, store: Store, path: String, etag: &str, size: u64) -> Self {
        Self {
            store,
            path,
            etag: etag.to_owned(),
            size,
            runtime: attempt.runtime.clone(),
        }
    }

    /// One that the job has written.
    pub fn of(attempt: &Attempt, store: Store, path: String) -> Result<Self, TaskError> {
        let info = attempt.runtime.block_on(store.head(&path))?;
        Ok(Self {
            store,
            path,
            etag: info.etag,
            size: info.size,
            runtime: attempt.runtime.clone(),
        })
    }
}

impl Ranges for ObjectFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, len: u64) -> io::Result<Bytes> {
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

//! An object of a store as a file that is read by the range, as it was when it was opened.

use std::io;

use bytes::Bytes;
use store::{RangedObject, Store};
use tables::Ranges;

use crate::{attempt::Attempt, error::TaskError};

pub struct ObjectFile(RangedObject);

impl ObjectFile {
    pub fn open(attempt: &Attempt, address: &str) -> Result<Self, TaskError> {
        let (store, path) = attempt.stores.locate(address)?;
        Self::of(attempt, store, path)
    }

    /// One of which a listing has said this already; without an etag it cannot change.
    pub fn known(attempt: &Attempt, store: Store, path: String, etag: &str, size: u64) -> Self {
        let runtime = attempt.runtime.clone();
        Self(RangedObject::known(
            store,
            path,
            etag.to_owned(),
            size,
            runtime,
        ))
    }

    /// One that the job has written.
    pub fn of(attempt: &Attempt, store: Store, path: String) -> Result<Self, TaskError> {
        let runtime = attempt.runtime.clone();
        Ok(Self(RangedObject::open(store, path, runtime)?))
    }
}

impl Ranges for ObjectFile {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, len: u64) -> io::Result<Bytes> {
        self.0.read_at(offset, len)
    }
}

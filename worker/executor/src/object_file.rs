//! An object of a store as a file that is read by the range, as it was when it was opened.

use std::io;

use bytes::Bytes;
use store::{RangedObject, Store};
use tables::Ranges;

use crate::{attempt::Attempt, error::TaskError, stages::Pulse};

pub struct ObjectFile {
    object: RangedObject,
    /// Of the attempt: whatever comes of a range that is read, it goes on.
    pulse: Pulse,
}

impl ObjectFile {
    pub fn open(attempt: &Attempt, address: &str) -> Result<Self, TaskError> {
        let (store, path) = attempt.stores.locate(address)?;
        Self::of(attempt, store, path)
    }

    /// One of which a listing has said this already; without an etag it cannot change.
    pub fn known(attempt: &Attempt, store: Store, path: String, etag: &str, size: u64) -> Self {
        let runtime = attempt.runtime.clone();
        let object = RangedObject::known(store, path, etag.to_owned(), size, runtime);
        let pulse = attempt.stages.pulse.clone();
        Self { object, pulse }
    }

    /// One that the job has written.
    pub fn of(attempt: &Attempt, store: Store, path: String) -> Result<Self, TaskError> {
        let object = RangedObject::open(store, path, attempt.runtime.clone())?;
        let pulse = attempt.stages.pulse.clone();
        Ok(Self { object, pulse })
    }
}

impl Ranges for ObjectFile {
    fn size(&self) -> u64 {
        self.object.size()
    }

    fn read_at(&self, offset: u64, len: u64) -> io::Result<Bytes> {
        let bytes = self.object.read_at(offset, len)?;
        self.pulse.beat();
        Ok(bytes)
    }
}

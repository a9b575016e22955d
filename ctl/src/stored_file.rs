//! An object of a store as a file that Parquet's readers read piece by piece: of a large table a few megabytes are held.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use store::{RangedObject, StoreError};
use tables::Ranges;

/// Readers ask for pages of many columns in turn, and for the head of each page before the page.
const BLOCK: u64 = 512 << 10;

/// As many as the widest table that is read so has columns, and some: each block is fetched once then. They are 16 MiB.
const BLOCKS: usize = 32;

pub struct StoredFile {
    object: RangedObject,
    /// With their numbers; what was asked for last is at the end.
    blocks: Mutex<VecDeque<(u64, Bytes)>>,
    /// Readers make a text of an error, and that the store cannot be read says nothing of the file.
    failure: Mutex<Option<StoreError>>,
}

impl StoredFile {
    pub fn new(object: RangedObject) -> Self {
        Self {
            object,
            blocks: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    /// What the store said, if it was the store that failed.
    pub fn take_failure(&self) -> Option<StoreError> {
        lock(&self.failure).take()
    }

    fn block(&self, number: u64) -> io::Result<Bytes> {
        let mut blocks = lock(&self.blocks);
        let known = blocks.iter().position(|(known, _)| *known == number);
        if let Some(found) = known.and_then(|at| blocks.remove(at)) {
            blocks.push_back(found.clone());
            return Ok(found.1);
        }
        let start = number * BLOCK;
        let len = BLOCK.min(self.object.size().saturating_sub(start));
        let bytes = self.object.read_at(start, len);
        let bytes = bytes.map_err(|error| self.note(error))?;
        if blocks.len() == BLOCKS {
            blocks.pop_front();
        }
        blocks.push_back((number, bytes.clone()));
        Ok(bytes)
    }

    fn note(&self, error: io::Error) -> io::Error {
        let kind = error.kind();
        if let Ok(said) = error.downcast::<StoreError>() {
            // The first is the cause of those that follow.
            lock(&self.failure).get_or_insert(said);
        }
        kind.into()
    }
}

impl Ranges for StoredFile {
    fn size(&self) -> u64 {
        self.object.size()
    }

    fn read_at(&self, offset: u64, len: u64) -> io::Result<Bytes> {
        let end = offset.checked_add(len).filter(|end| *end <= self.size());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut read = BytesMut::new();
        let mut at = offset;
        while at < end {
            let number = at / BLOCK;
            let block_end = end.min((number + 1) * BLOCK);
            let within = (at - number * BLOCK) as usize..(block_end - number * BLOCK) as usize;
            let piece = self.block(number)?.slice(within);
            if at == offset && block_end == end {
                return Ok(piece);
            }
            read.extend_from_slice(&piece);
            at = block_end;
        }
        Ok(read.freeze())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use store::Store;
    use tokio::runtime::Runtime;

    use super::*;

    fn file(store: &Store, runtime: &Runtime) -> StoredFile {
        let handle = runtime.handle().clone();
        let object = RangedObject::open(store.clone(), "tables/one".to_owned(), handle);
        StoredFile::new(object.expect("it is there"))
    }

    #[test]
    fn any_range_is_read_and_few_blocks_are_held() {
        let (store, runtime) = (Store::in_memory(), Runtime::new().unwrap());
        let bytes: Bytes = (0..40 * BLOCK + 7).map(|at| (at % 251) as u8).collect();
        let put = store.put("tables/one", bytes.clone());
        runtime.block_on(put).unwrap();
        let file = file(&store, &runtime);
        let size = bytes.len() as u64;
        for (offset, len) in [
            (0, 0),
            (0, 1),
            (5, BLOCK - 5),
            (BLOCK - 1, 2),
            (3, 3 * BLOCK),
            (size - 1, 1),
            (0, size),
            (BLOCK, BLOCK),
        ] {
            let expected = bytes.slice(offset as usize..(offset + len) as usize);
            assert_eq!(file.read_at(offset, len).unwrap(), expected);
            assert!(lock(&file.blocks).len() <= BLOCKS);
        }
        for (offset, len) in [(0, size + 1), (size, 1), (u64::MAX, 2)] {
            let error = file.read_at(offset, len).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        assert!(file.take_failure().is_none());
    }

    #[test]
    fn what_the_store_said_is_known_and_what_was_read_is_not_fetched_again() {
        let (store, runtime) = (Store::in_memory(), Runtime::new().unwrap());
        let bytes = Bytes::from(vec![7; 2 * BLOCK as usize]);
        runtime.block_on(store.put("tables/one", bytes)).unwrap();
        let file = file(&store, &runtime);
        file.read_at(0, 1).unwrap();
        runtime.block_on(store.delete_below("tables", &[])).unwrap();
        file.read_at(1, 1).unwrap();
        file.read_at(BLOCK, 1).unwrap_err();
        let failure = file.take_failure();
        assert!(
            matches!(failure, Some(StoreError::NotFound { .. })),
            "{failure:?}"
        );
    }
}

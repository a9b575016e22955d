//! Bounded local copies of remote objects. Stores of the scheme `file://` are read in place and never pass through here.

use std::{collections::BTreeMap, sync::Mutex};

use bytes::Bytes;

use crate::{Store, StoreError};

/// Keeps the objects that were read last, up to a number of bytes; an entry is good for one address and etag only.
pub struct LocalCache {
    limit: u64,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    bytes: u64,
    /// Counts uses: the entry with the lowest number was used longest ago.
    clock: u64,
    by_key: BTreeMap<(String, String), (u64, Bytes)>,
    by_use: BTreeMap<u64, (String, String)>,
}

impl LocalCache {
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            limit: limit_bytes,
            entries: Mutex::default(),
        }
    }

    /// Reads an object of the given etag from here, else from the store.
    pub async fn get(&self, store: &Store, path: &str, etag: &str) -> Result<Bytes, StoreError> {
        if store.local_path(path).is_some() {
            return store.get(path, Some(etag)).await;
        }
        let key = (store.uri(path), etag.to_owned());
        if let Some(bytes) = self.lock().touch(&key) {
            return Ok(bytes);
        }
        let bytes = store.get(path, Some(etag)).await?;
        self.lock().insert(key, bytes.clone(), self.limit);
        Ok(bytes)
    }

    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        // Entries are whole after every call, whatever panicked elsewhere.
        self.entries
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Entries {
    fn touch(&mut self, key: &(String, String)) -> Option<Bytes> {
        let (used, bytes) = self.by_key.get_mut(key)?;
        self.by_use.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.by_use.insert(self.clock, key.clone());
        Some(bytes.clone())
    }

    fn insert(&mut self, key: (String, String), bytes: Bytes, limit: u64) {
        let size = bytes.len() as u64;
        if size > limit || self.by_key.contains_key(&key) {
            return;
        }
        while self.bytes + size > limit {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            if let Some((_, dropped)) = self.by_key.remove(&oldest) {
                self.bytes -= dropped.len() as u64;
            }
        }
        self.clock += 1;
        self.bytes += size;
        self.by_use.insert(self.clock, key.clone());
        self.by_key.insert(key, (self.clock, bytes));
    }
}

//! Bounded local copies of remote objects and of what was computed, in a folder that all executors of a machine share.
//!
//! A copy is good for one key only (of an object: its address and etag), so it is never stale. Each is a file that appears whole (written beside,
//! then renamed) and ends with the checksum of its content: what a crash or a disk left damaged is a miss. No locks: two who
//! miss the same object both fetch it; who removes a file that another reads takes nothing from the reader.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{Store, StoreError};

/// Of a CRC-32: it finds damage; whoever may write there needs no damage.
const CHECKSUM_BYTES: usize = 4;

/// What is left after copies had to go, of the limit: so that not every insertion has to look for the oldest.
const KEPT_PERCENT: u64 = 90;

/// After so much was written by this process it looks at the folder again, where others write, too.
const LOOK_AFTER_PERCENT: u64 = 5;

/// A file that is being written is not older than this; what is older was left behind by a crash.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

static NEXT_TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// Keeps the objects that were read last, up to a number of bytes.
#[derive(Debug, Clone)]
pub struct LocalCache {
    folder: PathBuf,
    limit: u64,
    /// Written since the folder was looked at; starts high, so that the first insertion looks.
    since_look: Arc<AtomicU64>,
}

impl LocalCache {
    pub fn new(folder: PathBuf, limit_bytes: u64) -> Self {
        Self {
            folder,
            limit: limit_bytes,
            since_look: Arc::new(AtomicU64::new(u64::MAX / 2)),
        }
    }

    /// Reads an object of the given etag from here, else from the store. Stores of files are read in place.
    pub async fn get(&self, store: &Store, path: &str, etag: &str) -> Result<Bytes, StoreError> {
        if !store.is_remote() || etag.is_empty() {
            return store.get(path, (!etag.is_empty()).then_some(etag)).await;
        }
        let file = self.file(&[store.uri(path).as_str(), etag]);
        let reading = file.clone();
        // A task that panicked or a runtime that ends is a miss like any other.
        if let Ok(Some(bytes)) = tokio::task::spawn_blocking(move || read(&reading)).await {
            return Ok(bytes);
        }
        let bytes = store.get(path, Some(etag)).await?;
        let (cache, kept) = (self.clone(), bytes.clone());
        let inserting = tokio::task::spawn_blocking(move || cache.insert(&file, &kept));
        // As above: the reader has what it wants.
        let _ = inserting.await;
        Ok(bytes)
    }

    /// What was kept under a key that says everything of what it was made of. Reads a file: not for async code.
    pub fn find(&self, key: &[impl AsRef<str>]) -> Option<Bytes> {
        read(&self.file(key))
    }

    /// Keeps it, if there is room. Writes a file: not for async code.
    pub fn keep(&self, key: &[impl AsRef<str>], bytes: &[u8]) {
        self.insert(&self.file(key), bytes);
    }

    /// Whether so many bytes can be kept all at once, with as much again for others.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        bytes <= self.limit / 2
    }

    fn file(&self, key: &[impl AsRef<str>]) -> PathBuf {
        let mut hash = Sha256::new();
        for (i, part) in key.iter().enumerate() {
            if i > 0 {
                hash.update([0]);
            }
            hash.update(part.as_ref());
        }
        let name: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        self.folder.join(&name[..2]).join(&name[2..])
    }

    /// A copy that cannot be kept is not missed: the next reader gets it anew.
    fn insert(&self, file: &Path, bytes: &[u8]) {
        let size = bytes.len() as u64 + CHECKSUM_BYTES as u64;
        if !self.has_room_for(size) {
            return;
        }
        let written = self.since_look.fetch_add(size, Ordering::Relaxed) + size;
        if written >= self.limit / 100 * LOOK_AFTER_PERCENT {
            self.since_look.store(0, Ordering::Relaxed);
            // Room for what may come before the next look.
            let room = self.limit / 100 * LOOK_AFTER_PERCENT + size;
            make_room(&self.folder, self.limit.saturating_sub(room));
        }
        if let Err(error) = write(file, bytes) {
            tracing::debug!(folder = %self.folder.display(), %error, "could not keep a copy");
        }
    }
}

/// `None`: not there, or not whole.
fn read(path: &Path) -> Option<Bytes> {
    let mut file = File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let content = bytes.len().checked_sub(CHECKSUM_BYTES)?;
    if crc32fast::hash(&bytes[..content]).to_le_bytes() != bytes[content..] {
        // Somebody may have replaced it by a whole one meanwhile: that one is fetched again, no more.
        let _ = fs::remove_file(path);
        return None;
    }
    bytes.truncate(content);
    // The age of a copy is the time of its last use.
    let _ = file.set_modified(SystemTime::now());
    Some(bytes.into())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let number = NEXT_TEMPORARY.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.write_all(&crc32fast::hash(bytes).to_le_bytes())
    });
    let done = written.and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}

/// Removes what was used longest ago until at most `limit` bytes are left, with some room.
fn make_room(folder: &Path, limit: u64) {
    let (mut files, mut total) = (Vec::new(), 0);
    let folders = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in
        folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten())
    {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            if used.elapsed().is_ok_and(|age| age > ABANDONED_AFTER) {
                let _ = fs::remove_file(path);
            }
            continue;
        }
        total += metadata.len();
        files.push((used, metadata.len(), path));
    }
    if total <= limit {
        return;
    }
    files.sort_unstable();
    for (_, size, path) in files {
        if total <= limit / 100 * KEPT_PERCENT {
            break;
        }
        let _ = fs::remove_file(path);
        total -= size;
    }
}

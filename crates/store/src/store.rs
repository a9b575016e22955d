//! A store: one root URI and what may be done below it.

use std::{
    fmt, fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    CopyOptions, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, WriteMultipart, local::LocalFileSystem, memory::InMemory, path::Path as Key,
};
use tokio::io::AsyncReadExt;

use crate::{
    StoreError,
    uri::{self, Location},
};

/// Pieces in which a local file goes up; the smallest that every cloud accepts but for the last is 5 MiB.
const PIECE_BYTES: usize = 8 << 20;

/// A handle on a store; clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    /// Without a slash at its end, but for `file:///` itself.
    root: String,
    /// Folder of a `file://` store.
    local: Option<PathBuf>,
}

/// What a listing says about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Relative to the store's root.
    pub path: String,
    pub etag: String,
    pub size: u64,
    pub modified: SystemTime,
}

/// What became of [`Store::put_if_absent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Created,
    /// It was there already, byte for byte: an earlier try of the same writer, or a twin.
    SameContent,
}

impl Store {
    /// Opens an existing store; nothing is written.
    pub fn open(uri: &str) -> Result<Self, StoreError> {
        let location = Location::parse(uri)?;
        let folder = location.local();
        let root = uri::file_uri(&folder);
        let metadata = fs::metadata(&folder)
            .map_err(|error| StoreError::from_io("open", root.clone(), error))?;
        if !metadata.is_dir() {
            return Err(StoreError::InvalidUri {
                uri: root,
                reason: "it is a file, not a folder".to_owned(),
            });
        }
        let inner = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| StoreError::from_object_store("open", root.clone(), None, error))?
            .with_fsync(true);
        Ok(Self {
            inner: Arc::new(inner),
            root,
            local: Some(folder),
        })
    }

    /// Opens a store, making its folder first where there is none.
    pub fn create(uri: &str) -> Result<Self, StoreError> {
        let folder = Location::parse(uri)?.local();
        fs::create_dir_all(&folder)
            .map_err(|error| StoreError::from_io("create", uri::file_uri(&folder), error))?;
        Self::open(uri)
    }

    /// A store that lives as long as its handles, for tests.
    pub fn in_memory() -> Self {
        Self {
            inner: Arc::new(InMemory::new()),
            root: "memory://".to_owned(),
            local: None,
        }
    }

    pub fn root(&self) -> &str {
        &self.root
    }

    /// The full address of an object, as messages and tables show it.
    pub fn uri(&self, path: &str) -> String {
        let mut uri = self.root.clone();
        if !path.is_empty() {
            if !uri.ends_with('/') {
                uri.push('/');
            }
            uri::encode(path, &mut uri);
        }
        uri
    }

    /// The file behind an object of a `file://` store. Its objects never change, so it may be read in place.
    pub fn local_path(&self, path: &str) -> Option<PathBuf> {
        self.local.as_ref().map(|folder| folder.join(path))
    }

    pub async fn head(&self, path: &str) -> Result<ObjectInfo, StoreError> {
        let meta = self
            .inner
            .head(&self.key(path)?)
            .await
            .map_err(|error| self.error("look at", path, None, error))?;
        Ok(info(meta))
    }

    /// The whole object; with `etag`, only if it is still the one that was listed.
    pub async fn get(&self, path: &str, etag: Option<&str>) -> Result<Bytes, StoreError> {
        self.read(path, etag, None).await
    }

    /// Part of an object.
    pub async fn get_range(
        &self,
        path: &str,
        range: Range<u64>,
        etag: Option<&str>,
    ) -> Result<Bytes, StoreError> {
        self.read(path, etag, Some(range)).await
    }

    async fn read(
        &self,
        path: &str,
        etag: Option<&str>,
        range: Option<Range<u64>>,
    ) -> Result<Bytes, StoreError> {
        let options = GetOptions {
            if_match: etag.map(str::to_owned),
            range: range.map(Into::into),
            ..GetOptions::default()
        };
        let failed = |error| self.error("read", path, etag, error);
        let answer = self
            .inner
            .get_opts(&self.key(path)?, options)
            .await
            .map_err(failed)?;
        answer.bytes().await.map_err(failed)
    }

    /// Every object below a prefix (all of them for `""`), sorted by path.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let key = self.key(prefix)?;
        let metas: Vec<ObjectMeta> = self
            .inner
            .list(Some(&key))
            .try_collect()
            .await
            .map_err(|error| self.error("list", prefix, None, error))?;
        let mut infos: Vec<_> = metas.into_iter().map(info).collect();
        infos.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(infos)
    }

    /// Names of the folders directly below a prefix, sorted.
    pub async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let listed = self
            .inner
            .list_with_delimiter(Some(&self.key(prefix)?))
            .await;
        let listed = listed.map_err(|error| self.error("list", prefix, None, error))?;
        Ok(listed
            .common_prefixes
            .iter()
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect())
    }

    /// Writes an object, replacing one of that name: only for paths that are unique by construction, or projections
    /// of the database that every writer would write alike.
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.put_parts(path, vec![bytes]).await
    }

    /// [`Store::put`] of an object whose content lies in several places.
    pub async fn put_parts(&self, path: &str, parts: Vec<Bytes>) -> Result<(), StoreError> {
        self.inner
            .put(&self.key(path)?, parts.into_iter().collect::<PutPayload>())
            .await
            .map_err(|error| self.error("write", path, None, error))?;
        Ok(())
    }

    /// Writes an object from a local file without holding it in memory.
    pub async fn put_file(&self, path: &str, file: &Path) -> Result<(), StoreError> {
        let local = |source| StoreError::LocalFile {
            path: file.display().to_string(),
            source,
        };
        let failed = |error| self.error("write", path, None, error);
        let mut source = tokio::fs::File::open(file).await.map_err(local)?;
        let upload = self
            .inner
            .put_multipart(&self.key(path)?)
            .await
            .map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE_BYTES);
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            if (&mut source)
                .take(PIECE_BYTES as u64)
                .read_to_end(&mut piece)
                .await
                .map_err(local)?
                == 0
            {
                break;
            }
            // One piece in flight while the next is read.
            upload.wait_for_capacity(1).await.map_err(failed)?;
            upload.put(piece.into());
        }
        upload.finish().await.map_err(failed)?;
        Ok(())
    }

    /// Writes a small object unless there is one: of many writers exactly one creates it. A writer that finds its own
    /// content there (a reply was lost, a twin was faster) has succeeded; other content is [`StoreError::Conflict`].
    pub async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<Put, StoreError> {
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        match self
            .inner
            .put_opts(&self.key(path)?, PutPayload::from(bytes.clone()), options)
            .await
        {
            Ok(_) => Ok(Put::Created),
            Err(object_store::Error::AlreadyExists { .. }) => self.same_content(path, &bytes).await,
            Err(error) => match self.get(path, None).await {
                Ok(found) if found == bytes => Ok(Put::SameContent),
                _ => Err(self.error("write", path, None, error)),
            },
        }
    }

    async fn same_content(&self, path: &str, bytes: &Bytes) -> Result<Put, StoreError> {
        if self.get(path, None).await? == *bytes {
            Ok(Put::SameContent)
        } else {
            Err(StoreError::Conflict {
                uri: self.uri(path),
            })
        }
    }

    /// Copies within the store, on the store's side (`file://`: a hard link, since objects never change).
    pub async fn copy(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let (source, target) = (self.key(from)?, self.key(to)?);
        self.inner
            .copy_opts(&source, &target, CopyOptions::default())
            .await
            .map_err(|error| self.error("copy", from, None, error))
    }

    fn key(&self, path: &str) -> Result<Key, StoreError> {
        Key::parse(path).map_err(|error| StoreError::InvalidUri {
            uri: self.uri(path),
            reason: error.to_string(),
        })
    }

    fn error(
        &self,
        action: &'static str,
        path: &str,
        etag: Option<&str>,
        error: object_store::Error,
    ) -> StoreError {
        StoreError::from_object_store(action, self.uri(path), etag, error)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.root).finish()
    }
}

fn info(meta: ObjectMeta) -> ObjectInfo {
    let micros = u64::try_from(meta.last_modified.timestamp_micros()).unwrap_or(0);
    ObjectInfo {
        path: meta.location.to_string(),
        etag: meta.e_tag.unwrap_or_default(),
        size: meta.size,
        modified: SystemTime::UNIX_EPOCH + Duration::from_micros(micros),
    }
}

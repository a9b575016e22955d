//! A store: one root URI and what may be done below it.

use std::{
    fmt, fs,
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    CopyOptions, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart,
    list::PaginatedListStore, local::LocalFileSystem, memory::InMemory, path::Path as Key,
    prefix::PrefixStore,
};
use tokio::{io::AsyncReadExt, runtime::Handle, sync::mpsc};

use crate::{
    NoFile, StoreError, answer,
    deferred::Folder,
    keys::{Keys, Listed},
    local, pointer,
    remote::{Opened, Remote},
    roots::Roots,
    uri::{self, Location, Scheme},
};

/// Pieces in which a local file goes up; the smallest that every cloud accepts but for the last is 5 MiB.
pub(crate) const PIECE_BYTES: usize = 8 << 20;

/// From here on an object goes up to a remote store in pieces: what fails is sent again by the piece.
const LARGE_BYTES: u64 = 16 << 20;

/// Pieces of one object under way to a remote store, which bounds memory.
const PIECES_IN_FLIGHT: usize = 4;

/// Times that a whole upload is begun, besides what each of its requests is tried.
const UPLOAD_TRIES: u32 = 3;

/// A handle on a store; clones share it.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<dyn ObjectStore>,
    /// Without a slash at its end, but for `file:///` itself.
    root: String,
    /// Of a `file://` store.
    local: Option<Arc<Folder>>,
    /// What of it may be reached, if it is local.
    roots: Arc<Roots>,
    remote: Option<Arc<Remote>>,
    /// Of its whole bucket, if it is remote.
    pages: Option<Arc<dyn PaginatedListStore>>,
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

/// What [`Store::walk`] comes upon.
#[derive(Debug)]
pub enum Found {
    Object(ObjectInfo),
    /// A link that leads nowhere or round, or a name that no address can hold.
    Unusable(Unusable),
    /// What may not be reached or looked at: nobody knows whether it is an object or a folder. In local folders only.
    Unreached(Unusable),
}

/// What of a listing is no object, and why.
#[derive(Debug)]
pub struct Unusable {
    /// `None`: there is no such path.
    pub path: Option<String>,
    pub error: StoreError,
}

/// What became of [`Store::put_if_absent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Created,
    /// It was there already, byte for byte: an earlier try of the same writer, or a twin.
    SameContent,
}

impl Store {
    /// Opens an existing folder; nothing is written. Remote stores are opened by [`Stores`](crate::Stores).
    pub fn open(uri: &str) -> Result<Self, StoreError> {
        let location = Location::parse(uri)?;
        if location.scheme != Scheme::File {
            return Err(StoreError::Unconfigured {
                uri: uri.to_owned(),
                known: "none is configured".to_owned(),
            });
        }
        let folder = location.local();
        let root = uri::file_uri(&folder);
        let metadata = fs::metadata(&folder)
            .map_err(|error| StoreError::from_io("open", root.clone(), error))?;
        if !metadata.is_dir() {
            let what = NoFile::of(metadata.file_type());
            let what = what.map_or("a file".to_owned(), |what| what.to_string());
            return Err(StoreError::InvalidUri {
                uri: root,
                reason: format!("it is {what}, not a folder"),
            });
        }
        let files = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| StoreError::from_object_store("open", root.clone(), None, error))?;
        Ok(Self {
            inner: Arc::new(files.with_fsync(true)),
            root,
            local: Some(Arc::new(Folder::new(folder))),
            roots: Arc::default(),
            remote: None,
            pages: None,
        })
    }

    /// Opens a folder, making it first where there is none.
    pub fn create(uri: &str) -> Result<Self, StoreError> {
        let location = Location::parse(uri)?;
        if location.scheme == Scheme::File {
            let folder = location.local();
            fs::create_dir_all(&folder)
                .map_err(|error| StoreError::from_io("create", uri::file_uri(&folder), error))?;
        }
        Self::open(uri)
    }

    pub(crate) fn remote(opened: Opened) -> Result<Self, StoreError> {
        let bucket = Self {
            inner: opened.client.objects,
            root: opened.remote.bucket.clone(),
            local: None,
            roots: Arc::default(),
            remote: Some(Arc::new(opened.remote)),
            pages: Some(opened.client.pages),
        };
        bucket.below(&opened.prefix)
    }

    /// The same store, seen from one of its prefixes.
    pub(crate) fn below(&self, prefix: &str) -> Result<Self, StoreError> {
        if prefix.is_empty() {
            return Ok(self.clone());
        }
        let key = self.key(prefix)?;
        Ok(Self {
            inner: Arc::new(PrefixStore::new(self.inner.clone(), key)),
            root: self.uri(prefix),
            local: self.path_of(prefix).map(Folder::new).map(Arc::new),
            roots: self.roots.clone(),
            remote: self.remote.clone(),
            pages: self.pages.clone(),
        })
    }

    /// The same store, of which only what these roots allow is reached.
    pub(crate) fn within(mut self, roots: &Arc<Roots>) -> Self {
        self.roots = Arc::clone(roots);
        self
    }

    /// A store that lives as long as its handles, for tests.
    pub fn in_memory() -> Self {
        Self {
            inner: Arc::new(InMemory::new()),
            root: "memory://".to_owned(),
            local: None,
            roots: Arc::default(),
            remote: None,
            pages: None,
        }
    }

    /// Whether objects come over the network.
    pub fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// [`Store::put_parts`] for one of several objects: durable after [`Store::sync`]. Nobody else may write it meanwhile.
    /// Local files are written by the calling thread.
    pub(crate) async fn put_deferred(
        &self,
        path: &str,
        parts: Vec<Bytes>,
    ) -> Result<(), StoreError> {
        match &self.local {
            Some(folder) => folder.put(self.key(path)?.as_ref(), &parts),
            None => self.put_parts(path, parts).await,
        }
    }

    /// The same with the content of a local file.
    pub(crate) async fn put_file_deferred(
        &self,
        path: &str,
        file: &Path,
    ) -> Result<(), StoreError> {
        match &self.local {
            Some(folder) => {
                let opened = fs::File::open(file).map_err(|source| StoreError::LocalFile {
                    path: file.display().to_string(),
                    source,
                })?;
                folder.put_file(self.key(path)?.as_ref(), &opened)
            }
            None => self.put_file(path, file).await,
        }
    }

    /// Returns when these objects are on disk, and reachable there; the calling thread waits for it. Remote stores
    /// acknowledge nothing before.
    pub(crate) fn sync(&self, paths: &[String]) -> Result<(), StoreError> {
        match &self.local {
            Some(folder) => folder.sync(paths),
            None => Ok(()),
        }
    }

    /// Whether of many who put a pointer exactly one creates it by the store's own doing. Found out once, by trying.
    pub async fn conditional(&self) -> Result<bool, StoreError> {
        match &self.remote {
            Some(remote) => remote
                .conditional
                .get_or_try_init(|| pointer::probe(self))
                .await
                .copied(),
            None => Ok(true),
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

    /// The file behind an object of a `file://` store, if it may be reached. Its objects never change, so it may be read in
    /// place.
    pub fn local_path(&self, path: &str) -> Option<PathBuf> {
        self.path_of(path).filter(|path| self.roots.allows(path))
    }

    /// The same without asking whether it may be reached.
    pub(crate) fn path_of(&self, path: &str) -> Option<PathBuf> {
        self.local.as_ref().map(|folder| folder.root().join(path))
    }

    pub async fn head(&self, path: &str) -> Result<ObjectInfo, StoreError> {
        let key = self.key(path)?;
        self.check_file(&key).await?;
        let meta = self
            .inner
            .head(&key)
            .await
            .map_err(|error| self.error("look at", path, None, error))?;
        Ok(self.info(meta))
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
        let key = self.key(path)?;
        self.check_file(&key).await?;
        let answer = self.inner.get_opts(&key, options).await.map_err(failed)?;
        answer.bytes().await.map_err(failed)
    }

    /// Every object below a prefix (all of them for `""`), sorted by path.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let mut infos = Vec::new();
        let all = |batch| {
            infos.extend(batch);
            ControlFlow::Continue(())
        };
        self.list_each(prefix, all).await?;
        infos.sort_unstable_by(|a: &ObjectInfo, b| a.path.cmp(&b.path));
        Ok(infos)
    }

    /// Every object below a prefix in batches, in whatever order the store has them, until there are no more or `each` has
    /// enough: for more objects than memory should hold. What is not usable is an error.
    pub async fn list_each(
        &self,
        prefix: &str,
        mut each: impl FnMut(Vec<ObjectInfo>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut failed = None;
        let objects = |batch: Vec<Found>| {
            let mut objects = Vec::with_capacity(batch.len());
            for found in batch {
                match found {
                    Found::Object(info) => objects.push(info),
                    Found::Unusable(unusable) | Found::Unreached(unusable) => {
                        failed = Some(unusable.error);
                        return ControlFlow::Break(());
                    }
                }
            }
            each(objects)
        };
        self.walk(prefix, |_| true, objects).await?;
        failed.map_or(Ok(()), Err)
    }

    /// The same, but for what is not usable or not reached, which is given like objects are. A local folder is passed over if `enters` says
    /// so of its path from the prefix on.
    pub async fn walk(
        &self,
        prefix: &str,
        enters: impl Fn(&str) -> bool + Send + 'static,
        mut each: impl FnMut(Vec<Found>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let key = self.key(prefix)?;
        if let Some(folder) = self.path_of(key.as_ref()) {
            let (sender, mut batches) = mpsc::channel(2);
            let roots = self.roots.clone();
            let walking = self.blocking("list", prefix, move || {
                local::files(folder, key.as_ref(), &roots, enters, |batch| {
                    sender.blocking_send(batch).is_ok()
                })
            });
            let receiving = async {
                while let Some(batch) = batches.recv().await {
                    if each(batch).is_break() {
                        return batches.close();
                    }
                }
            };
            return tokio::join!(walking, receiving).0;
        }
        let failed = |error| self.error("list", prefix, None, error);
        let Some(pages) = &self.pages else {
            let all: Vec<ObjectMeta> = self
                .inner
                .list(Some(&key))
                .try_collect()
                .await
                .map_err(failed)?;
            let found = all.into_iter().map(|meta| Found::Object(self.info(meta)));
            let _ = each(found.collect());
            return Ok(());
        };
        let own = Location::parse(&self.root)?.path;
        let below = Location::parse(&self.uri(key.as_ref()))?.path;
        let mut keys = Keys::new(pages.clone(), &below);
        while let Some(page) = keys.next().await.map_err(failed)? {
            let found = page.into_iter().map(|listed| self.found(&own, listed));
            if each(found.collect()).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// `own`: where the store begins in its bucket.
    fn found(&self, own: &str, listed: Listed) -> Found {
        match listed {
            Listed::Object(mut meta) => {
                let below = meta.location.as_ref().strip_prefix(own);
                if let Some(below) = below.and_then(|path| Key::parse(path).ok()) {
                    meta.location = below;
                }
                Found::Object(self.info(meta))
            }
            Listed::Unusable(key) => Found::Unusable(Unusable {
                path: None,
                error: StoreError::UnusableName {
                    folder: self.bucket(),
                    name: format!("{key:?}"),
                    reason: "a control character, `.`, `..`, or nothing between two slashes",
                },
            }),
        }
    }

    /// Where keys begin.
    fn bucket(&self) -> String {
        let remote = self.remote.as_ref();
        remote.map_or_else(|| self.root.clone(), |remote| remote.bucket.clone())
    }

    /// Names of the folders directly below a prefix, sorted.
    pub async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let key = self.key(prefix)?;
        if let Some(folder) = self.path_of(key.as_ref()) {
            let listing = move || local::folders(&folder);
            return self.blocking("list", prefix, listing).await;
        }
        let listed = self.inner.list_with_delimiter(Some(&key)).await;
        let listed = listed.map_err(|error| self.error("list", prefix, None, error))?;
        Ok(listed
            .common_prefixes
            .iter()
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect())
    }

    /// Refuses what is no file before anything opens it: opening a named pipe waits until somebody writes into it.
    async fn check_file(&self, key: &Key) -> Result<(), StoreError> {
        let Some(path) = self.path_of(key.as_ref()) else {
            return Ok(());
        };
        let looking = move || Ok(local::no_file(&path));
        match self.blocking("look at", key.as_ref(), looking).await? {
            None => Ok(()),
            Some(what) => Err(StoreError::NotAFile {
                uri: self.uri(key.as_ref()),
                what,
            }),
        }
    }

    /// Work on a local folder, on a thread that may wait for the disk: outside of a runtime the calling one, as the client's own
    /// calls do it.
    async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        path: &str,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Ok(runtime) = Handle::try_current() else {
            return work();
        };
        runtime.spawn_blocking(work).await.unwrap_or_else(|ended| {
            if ended.is_panic() {
                std::panic::resume_unwind(ended.into_panic());
            }
            Err(StoreError::Unavailable {
                action,
                uri: self.uri(path),
                source: ended.into(),
            })
        })
    }

    /// Writes an object, replacing one of that name: only for paths that are unique by construction, or projections
    /// of the database that every writer would write alike.
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.put_parts(path, vec![bytes]).await
    }

    /// [`Store::put`] of an object whose content lies in several places.
    pub async fn put_parts(&self, path: &str, parts: Vec<Bytes>) -> Result<(), StoreError> {
        let size: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if self.is_remote() && size > LARGE_BYTES {
            return self.upload(path, Source::Memory(&parts)).await;
        }
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
        let size = tokio::fs::metadata(file).await.map_err(local)?.len();
        if self.is_remote() && size <= PIECE_BYTES as u64 {
            let bytes = tokio::fs::read(file).await.map_err(local)?;
            return self.put(path, bytes.into()).await;
        }
        self.upload(path, Source::File(file)).await
    }

    /// Writes a large object in pieces. It appears as a whole when the last is there, so that it can be begun again.
    async fn upload(&self, path: &str, source: Source<'_>) -> Result<(), StoreError> {
        let mut tries = 1;
        loop {
            match self.try_upload(path, &source).await {
                Err(UploadError::Store(error))
                    if tries < UPLOAD_TRIES && self.may_pass(path, &error) =>
                {
                    tries += 1;
                }
                Err(UploadError::Store(error)) => {
                    return Err(self.error("write", path, None, error));
                }
                Err(UploadError::Typed(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn try_upload(&self, path: &str, source: &Source<'_>) -> Result<(), UploadError> {
        let key = self.key(path)?;
        let in_flight = if self.is_remote() {
            PIECES_IN_FLIGHT - 1
        } else {
            1
        };
        let upload = self.inner.put_multipart(&key).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE_BYTES);
        let sent = match source {
            Source::Memory(parts) => send_parts(&mut upload, parts, in_flight).await,
            Source::File(file) => send_file(&mut upload, file, in_flight).await,
        };
        match sent {
            // Aborts by itself if it fails.
            Ok(()) => Ok(upload.finish().await.map(drop)?),
            Err(error) => {
                // The first error says what is wrong; a server keeps the pieces until its own housekeeping.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    /// Whether a failed upload is worth beginning again. One that is gone may have been completed by a request whose
    /// answer was lost; writing the same object once more does no harm.
    fn may_pass(&self, path: &str, error: &object_store::Error) -> bool {
        let Some(remote) = &self.remote else {
            return false;
        };
        answer::upload_is_gone(error)
            || answer::explain(remote, "write", self.uri(path), None, error).is_transient()
    }

    /// Writes a small object unless there is one: of many writers exactly one creates it. A writer that finds its own
    /// content there (a reply was lost, a twin was faster) has succeeded; other content is [`StoreError::Conflict`].
    ///
    /// Where the store's conditional writes cannot be trusted ([`Store::conditional`]), two who write at the same moment may
    /// both be told that they created it; the later content stays.
    pub async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<Put, StoreError> {
        if self.conditional().await? {
            pointer::put_conditionally(self, path, bytes).await
        } else {
            pointer::put_and_compare(self, path, bytes).await
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

    fn info(&self, meta: ObjectMeta) -> ObjectInfo {
        let micros = u64::try_from(meta.last_modified.timestamp_micros()).unwrap_or(0);
        let mut etag = meta.e_tag.unwrap_or_default();
        // Azure's listings leave out the quotes that its objects' own answers have, and that a condition must have.
        if self.is_remote() && !etag.is_empty() && !etag.ends_with('"') {
            etag = format!("\"{etag}\"");
        }
        ObjectInfo {
            path: meta.location.to_string(),
            etag,
            size: meta.size,
            modified: SystemTime::UNIX_EPOCH + Duration::from_micros(micros),
        }
    }

    /// Every use of an object begins here, so what may not be reached ends here.
    pub(crate) fn key(&self, path: &str) -> Result<Key, StoreError> {
        let key = Key::parse(path).map_err(|error| StoreError::InvalidUri {
            uri: self.uri(path),
            reason: error.to_string(),
        })?;
        if let Some(path) = self.path_of(key.as_ref()) {
            self.roots.check(&path)?;
        }
        Ok(key)
    }

    pub(crate) fn error(
        &self,
        action: &'static str,
        path: &str,
        etag: Option<&str>,
        error: object_store::Error,
    ) -> StoreError {
        match &self.remote {
            Some(remote) => answer::explain(remote, action, self.uri(path), etag, &error),
            None => StoreError::from_object_store(action, self.uri(path), etag, error),
        }
    }
}

/// Where the content of an upload is.
enum Source<'a> {
    Memory(&'a [Bytes]),
    File(&'a Path),
}

enum UploadError {
    Store(object_store::Error),
    Typed(StoreError),
}

impl From<object_store::Error> for UploadError {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<StoreError> for UploadError {
    fn from(error: StoreError) -> Self {
        Self::Typed(error)
    }
}

async fn send_parts(
    upload: &mut WriteMultipart,
    parts: &[Bytes],
    in_flight: usize,
) -> Result<(), UploadError> {
    for part in parts {
        for start in (0..part.len()).step_by(PIECE_BYTES) {
            upload.wait_for_capacity(in_flight).await?;
            upload.put(part.slice(start..part.len().min(start + PIECE_BYTES)));
        }
    }
    Ok(())
}

async fn send_file(
    upload: &mut WriteMultipart,
    file: &Path,
    in_flight: usize,
) -> Result<(), UploadError> {
    let local = |source| {
        UploadError::Typed(StoreError::LocalFile {
            path: file.display().to_string(),
            source,
        })
    };
    let mut source = tokio::fs::File::open(file).await.map_err(local)?;
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        if (&mut source)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut piece)
            .await
            .map_err(local)?
            == 0
        {
            return Ok(());
        }
        // Some pieces are in flight while the next is read.
        upload.wait_for_capacity(in_flight).await?;
        upload.put(piece.into());
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.root).finish()
    }
}

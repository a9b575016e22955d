//! All stores that a program can reach: local files, and those that its configuration names.

use std::{
    collections::BTreeMap,
    fmt,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use crate::{
    CacheConfig, ConfigError, LocalCache, Location, Store, StoreError, StoresConfig, remote,
    roots::Roots, uri::Scheme,
};

/// The stores of a program; clones share connections. The default knows local files only.
#[derive(Clone, Default)]
pub struct Stores(Arc<Inner>);

#[derive(Default)]
struct Inner {
    config: StoresConfig,
    /// Shared with the stores of files that were opened here.
    roots: Arc<Roots>,
    files: OnceLock<Store>,
    /// Local folders that were made or found here, by address.
    created: Mutex<BTreeMap<String, (Identity, Store)>>,
    /// Remote stores that were opened, by name.
    opened: Mutex<BTreeMap<String, Store>>,
}

/// Device and inode of a folder.
type Identity = (u64, u64);

/// Beyond this they are opened anew.
const KNOWN_FOLDERS: usize = 256;

/// What [`Stores::probe`] found out about one store.
#[derive(Debug)]
pub struct Probe {
    pub name: String,
    pub url: String,
    /// `Ok(true)`: pointers are put by put-if-absent; `Ok(false)`: by reading back.
    pub conditional: Result<bool, StoreError>,
}

impl Stores {
    pub fn new(config: StoresConfig) -> Self {
        let roots = Roots::new(config.files.roots.clone());
        Self::with_roots(config, roots)
    }

    fn with_roots(config: StoresConfig, roots: Roots) -> Self {
        Self(Arc::new(Inner {
            config,
            roots: Arc::new(roots),
            ..Inner::default()
        }))
    }

    /// From the configuration file that a program was given, if it was given one.
    pub fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        match file {
            Some(file) => StoresConfig::read(file).map(Self::new),
            None => Ok(Self::default()),
        }
    }

    /// The same for a program that acts for the user who calls it: roots bind jobs, and nobody at his own machine.
    pub fn read_for_user(file: Option<&Path>) -> Result<Self, ConfigError> {
        let config = file.map(StoresConfig::read).transpose()?;
        Ok(Self::with_roots(
            config.unwrap_or_default(),
            Roots::default(),
        ))
    }

    /// From now on only declared local files are reached, and none where none are declared. Holds for all clones and for stores
    /// that are open already.
    pub fn confine(&self) {
        self.0.roots.confine();
    }

    /// What is configured, as sections of a configuration file, without secrets.
    pub fn shown(&self) -> String {
        self.0.config.shown()
    }

    /// Opens a store whose root is `uri`; nothing is written. A folder must exist; a remote store is not asked yet.
    pub fn open(&self, uri: &str) -> Result<Store, StoreError> {
        let location = Location::parse(uri)?;
        if location.scheme == Scheme::File {
            self.0.roots.check(&location.local())?;
            return Ok(Store::open(uri)?.within(&self.0.roots));
        }
        let (store, path) = self.remote(uri, &location)?;
        store.below(&path)
    }

    /// Opens a store, making its folder first where there is none. Buckets are not made.
    pub fn create(&self, uri: &str) -> Result<Store, StoreError> {
        let known = self.created().get(uri).cloned();
        if let Some((identity, store)) = known
            && identity_of(&store) == Some(identity)
        {
            return Ok(store);
        }
        let location = Location::parse(uri)?;
        if location.scheme != Scheme::File {
            return self.open(uri);
        }
        self.0.roots.check(&location.local())?;
        let store = Store::create(uri)?.within(&self.0.roots);
        if let Some(identity) = identity_of(&store) {
            let mut created = self.created();
            if created.len() >= KNOWN_FOLDERS {
                created.clear();
            }
            created.insert(uri.to_owned(), (identity, store.clone()));
        }
        Ok(store)
    }

    fn created(&self) -> MutexGuard<'_, BTreeMap<String, (Identity, Store)>> {
        let created = self.0.created.lock();
        created.unwrap_or_else(PoisonError::into_inner)
    }

    /// The widest store that holds an object, and the object's path in it.
    pub fn locate(&self, uri: &str) -> Result<(Store, String), StoreError> {
        let location = Location::parse(uri)?;
        match location.scheme {
            Scheme::File => Ok((self.files()?, location.path)),
            _ => self.remote(uri, &location),
        }
    }

    /// Whether an address is one that this program could open, without opening it.
    pub fn check(&self, uri: &str) -> Result<(), StoreError> {
        let location = Location::parse(uri)?;
        match location.scheme {
            Scheme::File => self.0.roots.check(&location.local()),
            _ => self.owner(uri, &location).map(drop),
        }
    }

    /// Asks every configured store whether its conditional writes can be trusted, and says so in the log.
    pub async fn probe(&self) -> Vec<Probe> {
        let mut probes = Vec::new();
        for (name, config) in &self.0.config.stores {
            let conditional = match self.open(config.root()) {
                Ok(store) => store.conditional().await,
                Err(error) => Err(error),
            };
            let url = config.root().to_owned();
            match &conditional {
                Ok(true) => tracing::info!(
                    store = name,
                    url,
                    "store reached; of many conditional writers exactly one wins"
                ),
                // Said where it is found out.
                Ok(false) => {}
                Err(error) => tracing::error!(
                    store = name,
                    url,
                    error = types::chain(error),
                    "the store cannot be used now"
                ),
            }
            probes.push(Probe {
                name: name.clone(),
                url,
                conditional,
            });
        }
        probes
    }

    /// The machine's cache; `None` if there is no place for it, or it is switched off.
    pub fn cache(&self) -> Option<LocalCache> {
        let CacheConfig { folder, limit_mib } = &self.0.config.cache;
        if *limit_mib == 0 {
            return None;
        }
        let folder = folder.clone().or_else(default_cache_folder)?;
        Some(LocalCache::new(folder, limit_mib << 20))
    }

    /// Every local file, opened once: an image is located each time it is read.
    fn files(&self) -> Result<Store, StoreError> {
        if let Some(store) = self.0.files.get() {
            return Ok(store.clone());
        }
        let store = Store::open("file:///")?.within(&self.0.roots);
        Ok(self.0.files.get_or_init(|| store).clone())
    }

    fn remote(&self, uri: &str, location: &Location) -> Result<(Store, String), StoreError> {
        let (name, rest) = self.owner(uri, location)?;
        let mut opened = self.0.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = opened.get(name) {
            return Ok((store.clone(), rest));
        }
        let store = Store::remote(remote::open(name, &self.0.config.stores[name])?)?;
        opened.insert(name.to_owned(), store.clone());
        Ok((store, rest))
    }

    /// Name of the store with the longest matching prefix, and the path below that prefix.
    fn owner(&self, uri: &str, location: &Location) -> Result<(&str, String), StoreError> {
        let mut best: Option<(&str, usize, String)> = None;
        for (name, config) in &self.0.config.stores {
            let Ok(store) = Location::parse(config.root()) else {
                continue;
            };
            let below = match location.path.strip_prefix(&store.path) {
                Some(rest) if store.root == location.root => rest,
                _ => continue,
            };
            let whole_parts = store.path.is_empty() || below.is_empty() || below.starts_with('/');
            if whole_parts
                && best
                    .as_ref()
                    .is_none_or(|(_, length, _)| *length < store.path.len() + 1)
            {
                let rest = below.trim_start_matches('/').to_owned();
                best = Some((name, store.path.len() + 1, rest));
            }
        }
        match best {
            Some((name, _, rest)) => Ok((name, rest)),
            None => Err(StoreError::Unconfigured {
                uri: uri.to_owned(),
                known: self.known(),
            }),
        }
    }

    fn known(&self) -> String {
        let named: Vec<String> = self
            .0
            .config
            .stores
            .iter()
            .map(|(name, config)| format!("{name} = {}", config.root()))
            .collect();
        if named.is_empty() {
            "none is configured".to_owned()
        } else {
            format!("there are {}", named.join(", "))
        }
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stores").field(&self.known()).finish()
    }
}

/// `None` if the folder is gone.
fn identity_of(store: &Store) -> Option<Identity> {
    let metadata = std::fs::metadata(store.path_of("")?).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn default_cache_folder() -> Option<PathBuf> {
    let absolute = |variable| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("nightshift/objects"))
}

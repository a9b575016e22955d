//! Object storage as the system uses it: one place for paths, typed errors, immutable objects, the commit of an attempt.
//!
//! It is not a file system: objects appear whole or not at all, folders do not exist, nothing is renamed or changed
//! in place, and deleted only by the coordinator's sweeper, one attempt's prefix at a time. `file://` stores write through fsync,
//! so what a call returned is on disk; an attempt's objects are when it is finished.

mod answer;
mod attempt;
mod cache;
mod config;
pub mod contract;
mod deferred;
mod error;
mod keys;
pub mod layout;
mod local;
mod pointer;
mod ranged;
mod remote;
mod roots;
mod store;
mod stores;
mod sweep;
mod unsigned;
mod uri;

pub use attempt::AttemptWriter;
pub use cache::LocalCache;
pub use config::{
    CacheConfig, ConfigError, Credentials, FilesConfig, Problem, SecretSource, StoreConfig,
    StoresConfig, mistakes, page,
};
pub use error::{NoFile, StoreError};
pub use local::no_file;
pub use ranged::RangedObject;
pub use store::{Found, ObjectInfo, Put, Store, Unusable};
pub use stores::{Probe, Stores};
pub use uri::{Location, Scheme, file_uri};

#[cfg(test)]
mod tests;

//! Small objects that exactly one of many writers creates: by put-if-absent where the store proves that it can.

use std::hash::{BuildHasher, Hasher, RandomState};

use bytes::Bytes;
use futures::future::join_all;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::{Put, Store, StoreError};

/// Writers that try at the same moment, and how often. A server that checks first and writes then lets several of 16
/// win at nearly every round.
const WRITERS: u64 = 16;
const ROUNDS: u32 = 2;

/// Tries whether of many conditional writers exactly one wins, on objects of its own, which it removes.
pub(crate) async fn probe(store: &Store) -> Result<bool, StoreError> {
    for _ in 0..ROUNDS {
        let path = format!(".nightshift-probe-{:016x}", random());
        let trusted = round(store, &path).await;
        // Without the right to delete it stays; nobody reads it.
        let _ = store.inner.delete(&store.key(&path)?).await;
        if let Some(why) = trusted? {
            tracing::warn!(
                store = store.root(),
                why,
                "the store does not keep put-if-absent: pointers are written by reading back and comparing, which is safe for one coordinator at a time only"
            );
            return Ok(false);
        }
    }
    Ok(true)
}

/// `None`: as it should be; else what happened.
async fn round(store: &Store, path: &str) -> Result<Option<String>, StoreError> {
    let tries = (0..WRITERS).map(|writer| create(store, path, content(writer)));
    let mut winners = Vec::new();
    for (writer, outcome) in (0..).zip(join_all(tries).await) {
        match outcome {
            Ok(()) => winners.push(writer),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                return Ok(Some("it refuses conditional writes".to_owned()));
            }
            Err(error) => return Err(store.error("write", path, None, error)),
        }
    }
    let found = store.get(path, None).await?;
    Ok(match winners.as_slice() {
        [winner] if found == content(*winner) => None,
        // The winner's answer was lost, and its next try found its own object.
        [] if (0..WRITERS).any(|writer| found == content(writer)) => None,
        winners => Some(format!(
            "of {WRITERS} concurrent writers {} were told that they had created the object",
            winners.len()
        )),
    })
}

fn content(writer: u64) -> Bytes {
    Bytes::from(format!("writer {writer}"))
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

async fn create(store: &Store, path: &str, bytes: Bytes) -> Result<(), Error> {
    let options = PutOptions {
        mode: PutMode::Create,
        ..PutOptions::default()
    };
    let key = store.key(path).map_err(|error| Error::Generic {
        store: "nightshift",
        source: error.into(),
    })?;
    store
        .inner
        .put_opts(&key, PutPayload::from(bytes), options)
        .await
        .map(drop)
}

pub(crate) async fn put_conditionally(
    store: &Store,
    path: &str,
    bytes: Bytes,
) -> Result<Put, StoreError> {
    match create(store, path, bytes.clone()).await {
        Ok(()) => Ok(Put::Created),
        Err(Error::AlreadyExists { .. }) => compare(store, path, &bytes).await,
        // The answer may have been lost after the object was written.
        Err(error) => match store.get(path, None).await {
            Ok(found) if found == bytes => Ok(Put::SameContent),
            _ => Err(store.error("write", path, None, error)),
        },
    }
}

/// For stores without put-if-absent: looks first, and looks again at what became of the write.
pub(crate) async fn put_and_compare(
    store: &Store,
    path: &str,
    bytes: Bytes,
) -> Result<Put, StoreError> {
    match compare(store, path, &bytes).await {
        Err(StoreError::NotFound { .. }) => {}
        settled => return settled,
    }
    store.put(path, bytes.clone()).await?;
    compare(store, path, &bytes).await.map(|_| Put::Created)
}

async fn compare(store: &Store, path: &str, bytes: &Bytes) -> Result<Put, StoreError> {
    if store.get(path, None).await? == *bytes {
        Ok(Put::SameContent)
    } else {
        Err(StoreError::Conflict {
            uri: store.uri(path),
        })
    }
}

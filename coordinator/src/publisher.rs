//! Brings to the store what the database says is true, and tells others of it: the outbox, one job's entries in order.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    time::Duration,
};

use bytes::Bytes;
use coordinator_core::{Event, OutboxId, OutboxItem, OutboxRow};
use plan::PublishedTable;
use serde::{Deserialize, Serialize};
use spans::Beginning;
use store::{Store, StoreError, layout};
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinSet};
use types::{JobId, chain};

use crate::{
    handle::{Ended, Handle},
    traces,
    webhook::Untold,
};

#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("job {0} is not in the database any more")]
    NoJob(JobId),
    #[error(transparent)]
    Ended(#[from] Ended),
    #[error(transparent)]
    Untold(#[from] Untold),
    #[error("no webhook is set any more: nobody is told that the job has ended")]
    NoWebhook,
    #[error("cannot write down the pointer")]
    Pointer { source: serde_json::Error },
}

/// What `models/{name}/{version}.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPointer {
    pub format: u32,
    pub name: String,
    pub version: u32,
    pub job: JobId,
    pub run: u32,
    /// URI of `package.json`.
    pub package: String,
    /// Of `package.json`, lower-case hexadecimal.
    pub sha256: String,
}

const POINTER_FORMAT: u32 = 1;

/// The table of which the index has copies.
const SCORES: &str = "scores.parquet";

/// A job waits for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE_OF_NOTICE: Duration = Duration::from_secs(600);

/// What goes one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Lane {
    /// What a job has for its store.
    Job(JobId),
    /// Nothing waits for whom it is told.
    Notice(OutboxId),
}

impl Lane {
    fn of(row: &OutboxRow) -> Self {
        match row.item {
            OutboxItem::Notice(_) => Self::Notice(row.id),
            _ => Self::Job(row.job.clone()),
        }
    }
}

/// Takes outbox rows until the loop that sends them ends. A lane's rows go one after the other; lanes do not wait for each
/// other.
pub async fn publish(mut rows: UnboundedReceiver<OutboxRow>, handle: Handle) {
    // Of each lane with a row under way, the rows behind it.
    let mut behind: HashMap<Lane, VecDeque<OutboxRow>> = HashMap::new();
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            row = rows.recv() => match row {
                Some(row) => match behind.entry(Lane::of(&row)) {
                    Entry::Occupied(queue) => queue.into_mut().push_back(row),
                    Entry::Vacant(queue) => {
                        queue.insert(VecDeque::new());
                        under_way.spawn(publish_row(row, handle.clone()));
                    }
                },
                None => return,
            },
            Some(done) = under_way.join_next() => {
                let Ok(Some(lane)) = done else {
                    continue;
                };
                match behind.get_mut(&lane).and_then(VecDeque::pop_front) {
                    Some(next) => _ = under_way.spawn(publish_row(next, handle.clone())),
                    None => _ = behind.remove(&lane),
                }
            }
        }
    }
}

/// Tries until it is delivered, or in vain; the row's lane then, or nothing if the loop has ended.
async fn publish_row(row: OutboxRow, handle: Handle) -> Option<Lane> {
    let beginning = Beginning::now();
    let (id, lane, item) = (row.id, Lane::of(&row), row.item.word());
    let longest = match lane {
        Lane::Job(_) => LONGEST_PAUSE,
        Lane::Notice(_) => LONGEST_PAUSE_OF_NOTICE,
    };
    let mut failures = 0;
    let version = loop {
        let (why, to_nobody) = match deliver(&row, &handle).await {
            Ok(version) => break version,
            Err(PublishError::Ended(_)) => return None,
            Err(error) => (chain(&error), matches!(error, PublishError::NoWebhook)),
        };
        if to_nobody || is_vain(&row, &handle).await.ok()? {
            handle.tell(Event::DeliveryGivenUp { id }).ok()?;
            tracing::error!(job = %row.job, outbox = id.0, item, error = why, "could not publish; given up");
            return Some(lane);
        }
        tracing::warn!(job = %row.job, outbox = id.0, item, error = why, "could not publish; trying again");
        handle.tell(Event::DeliveryFailed { id, why }).ok()?;
        tokio::time::sleep(pause(failures, longest)).await;
        failures += 1;
    };
    tracing::info!(job = %row.job, outbox = id.0, item, "published");
    if handle.spans().is_on() {
        let job = row.job.clone();
        let job = handle.query(move |core, _| core.trace(&job).cloned()).await;
        let job = job.ok().flatten();
        traces::record_publishing(&row, job.as_ref(), failures + 1, beginning, handle.spans());
    }
    handle.tell(Event::OutboxDelivered { id, version }).ok()?;
    Some(lane)
}

/// Whether another try would be of no use: of what a job waits for it never is.
async fn is_vain(row: &OutboxRow, handle: &Handle) -> Result<bool, Ended> {
    let OutboxItem::Notice(notice) = &row.item else {
        return Ok(false);
    };
    let now_ms = handle.query(|_, now| now.wall_ms).await?;
    Ok(notice.is_stale(now_ms))
}

/// One second, doubling.
pub fn pause(failures: u32, longest: Duration) -> Duration {
    Duration::from_secs(1 << failures.min(32)).min(longest)
}

/// Does one row. Doing it twice leaves the same objects, and tells the same under the same id.
async fn deliver(row: &OutboxRow, handle: &Handle) -> Result<Option<u32>, PublishError> {
    match &row.item {
        OutboxItem::Spec => put_spec(row, handle).await.map(|()| None),
        OutboxItem::Results {
            generation,
            prefix,
            tables,
            manifest,
            index,
            merged,
        } => {
            let store = handle.stores().open(&row.store)?;
            for table in tables {
                store
                    .copy(
                        &format!("{prefix}/{}", table.path),
                        &layout::result(&row.job, *generation, &table.name),
                    )
                    .await?;
            }
            let scores = |table: &&PublishedTable| table.name == SCORES;
            if let (Some(index), Some(table)) = (index, tables.iter().find(scores)) {
                let segment = layout::index_segment(index, &row.job);
                let table = format!("{prefix}/{}", table.path);
                store.copy(&table, &segment).await?;
                for (number, part) in merged.iter().enumerate() {
                    let table = layout::index_merged(index, &row.job, number);
                    store.copy(part, &table).await?;
                }
            }
            // Last: who finds a manifest finds the tables of its generation.
            store
                .copy(
                    &format!("{prefix}/{manifest}"),
                    &layout::manifest(&row.job, *generation),
                )
                .await?;
            Ok(None)
        }
        OutboxItem::Model {
            name,
            run,
            package,
            sha256,
        } => {
            let store = handle.stores().open(&row.store)?;
            let pointer = ModelPointer {
                format: POINTER_FORMAT,
                name: name.clone(),
                version: 0,
                job: row.job.clone(),
                run: *run,
                package: store.uri(package),
                sha256: sha256.clone(),
            };
            put_pointer(&store, pointer).await.map(Some)
        }
        OutboxItem::Notice(notice) => {
            let webhook = handle.webhook().ok_or(PublishError::NoWebhook)?;
            let _turn = webhook.turn().await;
            let now_ms = handle.query(|_, now| now.wall_ms).await?;
            webhook.tell(row, notice, now_ms).await?;
            Ok(None)
        }
    }
}

async fn put_spec(row: &OutboxRow, handle: &Handle) -> Result<(), PublishError> {
    let job = row.job.clone();
    let texts = handle
        .query(move |core, _| {
            core.job_view(&job)
                .map(|view| (view.source_yaml.to_owned(), view.plan_json.to_owned()))
        })
        .await?;
    let (spec, plan) = texts.ok_or_else(|| PublishError::NoJob(row.job.clone()))?;
    let store = handle.stores().create(&row.store)?;
    store.put(&layout::spec(&row.job), spec.into()).await?;
    store.put(&layout::plan(&row.job), plan.into()).await?;
    Ok(())
}

/// Puts the pointer under the first version that is free; one that says the same already is an earlier try's.
async fn put_pointer(store: &Store, mut pointer: ModelPointer) -> Result<u32, PublishError> {
    loop {
        let mut last = 0;
        for object in store.list(&layout::models(&pointer.name)).await? {
            // What has no version's name is somebody else's.
            let Some(version) = layout::version(&object.path) else {
                continue;
            };
            last = last.max(version);
            let bytes = store.get(&object.path, None).await?;
            match serde_json::from_slice::<ModelPointer>(&bytes) {
                Ok(found)
                    if (&found.package, &found.sha256) == (&pointer.package, &pointer.sha256) =>
                {
                    return Ok(version);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(uri = store.uri(&object.path), %error, "no model's pointer: its version is left alone");
                }
            }
        }
        pointer.version = last + 1;
        let bytes = serde_json::to_vec_pretty(&pointer)
            .map_err(|source| PublishError::Pointer { source })?;
        match store
            .put_if_absent(
                &layout::model(&pointer.name, pointer.version),
                Bytes::from(bytes),
            )
            .await
        {
            Ok(_) => return Ok(pointer.version),
            // Somebody else took the version: look again.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(run: u32) -> ModelPointer {
        ModelPointer {
            format: POINTER_FORMAT,
            name: "brick".to_owned(),
            version: 0,
            job: "abcd1234".parse().unwrap(),
            run,
            package: format!("file:///data/{run}/package.json"),
            sha256: "00".to_owned(),
        }
    }

    #[tokio::test]
    async fn each_package_gets_one_version_however_often_it_is_put() {
        let store = Store::in_memory();
        assert_eq!(put_pointer(&store, pointer(0)).await.unwrap(), 1);
        assert_eq!(put_pointer(&store, pointer(1)).await.unwrap(), 2);
        assert_eq!(put_pointer(&store, pointer(0)).await.unwrap(), 1);
        assert_eq!(store.list("models/brick").await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn two_who_want_the_same_version_get_different_ones() {
        let store = Store::in_memory();
        let (a, b) = tokio::join!(
            put_pointer(&store, pointer(0)),
            put_pointer(&store, pointer(1))
        );
        let mut versions = [a.unwrap(), b.unwrap()];
        versions.sort_unstable();
        assert_eq!(versions, [1, 2]);
    }

    #[tokio::test]
    async fn foreign_objects_among_the_pointers_are_left_alone() {
        let store = Store::in_memory();
        for foreign in ["000001.json", "latest.json", "notes.txt"] {
            let path = format!("models/brick/{foreign}");
            store.put(&path, Bytes::from_static(b"{}")).await.unwrap();
        }
        assert_eq!(put_pointer(&store, pointer(0)).await.unwrap(), 2);
        assert_eq!(put_pointer(&store, pointer(0)).await.unwrap(), 2);
        assert_eq!(
            store.get("models/brick/000001.json", None).await.unwrap(),
            "{}"
        );
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        assert_eq!(pause(0, LONGEST_PAUSE), Duration::from_secs(1));
        assert_eq!(pause(3, LONGEST_PAUSE), Duration::from_secs(8));
        assert_eq!(pause(u32::MAX, LONGEST_PAUSE), LONGEST_PAUSE);
    }
}

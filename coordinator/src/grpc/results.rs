//! What jobs have published, for whoever cannot read the store: tables of results and packages of models.

use coordinator_core::{Core, Now};
use proto::v1;
use store::{ObjectInfo, Store, Stores, layout};
use tokio::sync::mpsc::channel;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use types::JobId;

use super::{read, status::RequestError, view};
use crate::handle::Handle;

/// Far below the largest message, and few requests to the store all the same.
const PIECE: u64 = 1 << 20;

/// Of a `package.json`, which has some kilobytes; a message may have 4 MiB.
const MAX_PACKAGE_BYTES: u64 = 3 << 20;

/// Where the newest results are, and which tables stand there.
pub async fn results(handle: &Handle, job: String) -> Result<v1::ResultsReply, RequestError> {
    let look = move |core: &Core, _: Now| view::results(core, &read::job(core, &job)?);
    let mut reply = handle.query(look).await??;
    let objects = handle
        .stores()
        .open(&reply.store)?
        .list(&reply.path)
        .await?;
    let names = objects
        .iter()
        .filter_map(|object| object.path.strip_prefix(&reply.path)?.strip_prefix('/'));
    reply.tables = names.map(str::to_owned).collect();
    Ok(reply)
}

/// One table, whole or not at all: a piece that cannot be read is the stream's error.
pub async fn table(
    handle: &Handle,
    request: v1::ReadTableRequest,
) -> Result<ReceiverStream<Result<v1::TableChunk, Status>>, RequestError> {
    let wanted = request.clone();
    let look = move |core: &Core, _: Now| published(core, &wanted);
    let (uri, path) = handle.query(look).await??;
    let (store, object) = find(handle.stores(), &uri, &path).await?;
    let (sender, receiver) = channel(2);
    tokio::spawn(async move {
        let mut at = 0;
        while at < object.size {
            let range = at..object.size.min(at + PIECE);
            at = range.end;
            let piece = store
                .get_range(&object.path, range, Some(&object.etag))
                .await;
            let piece = piece
                .map(|data| v1::TableChunk { data: data.into() })
                .map_err(|error| RequestError::from(error).into());
            let failed = piece.is_err();
            if sender.send(piece).await.is_err() || failed {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(receiver))
}

/// A `package.json` that a published model has; nothing else in the stores is read.
pub async fn package(handle: &Handle, package: String) -> Result<Vec<u8>, RequestError> {
    let wanted = package.clone();
    let is_published = move |core: &Core, _: Now| core.models().any(|row| row.package == wanted);
    if !handle.query(is_published).await? {
        return Err(RequestError::NoPackage(package));
    }
    let (store, path) = handle.stores().locate(&package)?;
    let size = store.head(&path).await?.size;
    if size > MAX_PACKAGE_BYTES {
        return Err(RequestError::BadField {
            field: "package",
            what: format!("{package} has {size} bytes; at most {MAX_PACKAGE_BYTES} are read"),
        });
    }
    Ok(store.get(&path, None).await?.into())
}

async fn find(stores: &Stores, uri: &str, path: &str) -> Result<(Store, ObjectInfo), RequestError> {
    let store = stores.open(uri)?;
    let object = store.head(path).await?;
    Ok((store, object))
}

/// The store of a table of published results, and its path there.
fn published(
    core: &Core,
    request: &v1::ReadTableRequest,
) -> Result<(String, String), RequestError> {
    let job: JobId = read::job(core, &request.job)?;
    let newest = view::results(core, &job)?;
    if request.generation == 0 || request.generation > newest.generation {
        return Err(RequestError::BadField {
            field: "generation",
            what: format!(
                "{}; the newest of job {job} is {}",
                request.generation, newest.generation
            ),
        });
    }
    // Nothing but the name of a table or file: the path must not leave the results.
    let name = &request.table;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(RequestError::BadField {
            field: "table",
            what: format!("{name:?} is not a table's name"),
        });
    }
    let file = match name.contains('.') {
        true => name.clone(),
        false => format!("{name}.parquet"),
    };
    let path = layout::result(&job, request.generation, &file);
    Ok((newest.store, path))
}

//! Lists of addresses, and what the stores say of each: many are asked at a time.

use data::{Format, ListedAddress};
use futures::{StreamExt, stream};
use store::{ObjectInfo, Store, StoreError};
use tables::{RangesReader, Text, TextPlace, TextsError};
use types::FailureClass;

use crate::{attempt::Attempt, error::TaskError, object_file::ObjectFile};

/// What one address of a list names.
pub enum Named {
    Object {
        store: Store,
        path: String,
        /// `None`: it cannot be had; reading it says why.
        info: Option<ObjectInfo>,
    },
    /// An image in an archive, which is opened once for all that are named of it.
    Archived { archive: String, entry: String },
}

/// Requests under way.
const AT_ONCE: usize = 32;
/// Addresses that are asked for together.
const BATCH: usize = 1024;

/// Where one of them is, before its store is asked.
enum Located {
    Object(Store, String),
    Archived { archive: String, entry: String },
}

fn locate(attempt: &Attempt, address: &ListedAddress) -> Result<Located, StoreError> {
    match address {
        ListedAddress::Object(address) => {
            let (store, path) = attempt.stores.locate(address)?;
            Ok(Located::Object(store, path))
        }
        ListedAddress::Archived { archive, entry } => {
            let (store, path) = attempt.stores.locate(archive)?;
            Ok(Located::Archived {
                archive: store.uri(&path),
                entry: entry.clone(),
            })
        }
    }
}

fn ask(attempt: &Attempt, batch: Vec<Located>) -> Result<Vec<Named>, TaskError> {
    let heads = stream::iter(batch).map(|located| async move {
        let (store, path) = match located {
            Located::Object(store, path) => (store, path),
            Located::Archived { archive, entry } => {
                return Ok(Named::Archived { archive, entry });
            }
        };
        let info = match store.head(&path).await {
            Ok(info) => Some(info),
            Err(error) if error.class() == FailureClass::InvalidInput => None,
            Err(error) => return Err(error),
        };
        Ok(Named::Object { store, path, info })
    });
    let asking = heads
        .buffered(AT_ONCE)
        .collect::<Vec<Result<_, StoreError>>>();
    let asked = attempt
        .stages
        .time("list", 0, || attempt.runtime.block_on(asking));
    Ok(asked.into_iter().collect::<Result<_, _>>()?)
}

/// Of addresses that stand in the job itself, as many as are asked for together; they are no more than a file of the job's holds.
pub fn of_job<'a>(
    attempt: &'a Attempt,
    addresses: &'a [ListedAddress],
) -> impl Iterator<Item = Result<Vec<Named>, TaskError>> + 'a {
    addresses.chunks(BATCH).map(|batch| {
        let located = batch.iter().map(|address| locate(attempt, address));
        ask(attempt, located.collect::<Result<_, _>>()?)
    })
}

type Texts<'a> = Box<dyn Iterator<Item = Result<Text, TextsError>> + 'a>;

/// The addresses of one list, in its order.
pub struct Addresses<'a> {
    attempt: &'a Attempt,
    /// Of the list itself, for messages.
    address: &'a str,
    /// What relative addresses begin with.
    folder: &'a str,
    texts: Texts<'a>,
    /// Cells without an address so far, and where the first is.
    empty: Option<(u64, TextPlace)>,
}

impl<'a> Addresses<'a> {
    pub fn open(
        attempt: &'a Attempt,
        address: &'a str,
        format: Format,
        column: &str,
    ) -> Result<Self, TaskError> {
        let source = RangesReader(ObjectFile::open(attempt, address)?.into());
        let texts: Result<Texts<'_>, TextsError> = match format {
            Format::Lines => Ok(Box::new(tables::lines(source.stream(0)))),
            Format::Csv => tables::csv_column(source.stream(0), column)
                .map(|texts| Box::new(texts) as Texts<'_>),
            Format::Parquet => {
                tables::parquet_column(source, column).map(|texts| Box::new(texts) as Texts<'_>)
            }
        };
        Ok(Self {
            attempt,
            address,
            folder: address.rsplit_once('/').map_or("", |(folder, _)| folder),
            texts: texts.map_err(|error| wrong(address, error))?,
            empty: None,
        })
    }

    /// The next of them; `None` after the last.
    pub fn next_batch(&mut self) -> Result<Option<Vec<Named>>, TaskError> {
        let mut batch = Vec::new();
        // Cells without an address are none of the batch: it is empty at the end alone.
        while batch.len() < BATCH
            && let Some(text) = self.texts.next()
        {
            let Text { text, place } = text.map_err(|error| wrong(self.address, error))?;
            if text.is_empty() {
                self.empty.get_or_insert((0, place)).0 += 1;
                continue;
            }
            let address = data::listed_address(&data::join(self.folder, &text));
            let located = locate(self.attempt, &address);
            batch.push(located.map_err(|source| TaskError::ListedAddress {
                uri: self.address.to_owned(),
                place,
                source: Box::new(source),
            })?);
        }
        if batch.is_empty() {
            return Ok(None);
        }
        ask(self.attempt, batch).map(Some)
    }

    /// What was left out of it, after all of it was read.
    pub fn warning(&self) -> Option<String> {
        let (count, first) = self.empty?;
        let address = self.address;
        Some(format!(
            "the list {address} has no address in {count} of its rows, the first of them {first}"
        ))
    }
}

fn wrong(address: &str, source: TextsError) -> TaskError {
    TaskError::List {
        uri: address.to_owned(),
        source,
    }
}

//! A list of addresses, and what the stores say of each: many are asked at a time.

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
            let named = match data::listed_address(&data::join(self.folder, &text)) {
                ListedAddress::Object(address) => self.attempt.stores.locate(&address).map(Ok),
                ListedAddress::Archived { archive, entry } => {
                    let located = self.attempt.stores.locate(&archive);
                    located.map(|(store, path)| Err((store.uri(&path), entry)))
                }
            };
            batch.push(named.map_err(|source| TaskError::ListedAddress {
                uri: self.address.to_owned(),
                place,
                source: Box::new(source),
            })?);
        }
        if batch.is_empty() {
            return Ok(None);
        }
        let heads = stream::iter(batch).map(|named| async move {
            let (store, path) = match named {
                Ok(object) => object,
                Err((archive, entry)) => return Ok(Named::Archived { archive, entry }),
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
        let asked = self
            .attempt
            .stages
            .time("list", 0, || self.attempt.runtime.block_on(asking));
        Ok(Some(asked.into_iter().collect::<Result<_, _>>()?))
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

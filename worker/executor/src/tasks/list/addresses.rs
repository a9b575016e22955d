//! A list of addresses, and what the stores say of each: many are asked at a time.

use std::io::{BufRead, BufReader, Read};

use data::Format;
use futures::{StreamExt, stream};
use store::{ObjectInfo, Store, StoreError};
use tables::{RangesReader, TextColumn};
use types::FailureClass;

use crate::{attempt::Attempt, error::TaskError, object_file::ObjectFile};

/// An address with what is there.
pub struct Listed {
    pub store: Store,
    pub path: String,
    /// `None`: it cannot be had; reading it says why.
    pub info: Option<ObjectInfo>,
}

/// Requests under way.
const AT_ONCE: usize = 32;
/// Addresses that are asked for together.
const BATCH: usize = 1024;

/// The addresses of one list, in its order.
pub struct Addresses<'a> {
    attempt: &'a Attempt,
    /// Of the list itself, for messages.
    address: &'a str,
    /// What relative addresses begin with.
    folder: &'a str,
    lines: Box<dyn Iterator<Item = Result<String, TaskError>> + 'a>,
    /// Lines or rows so far.
    read: u64,
}

impl<'a> Addresses<'a> {
    pub fn open(
        attempt: &'a Attempt,
        address: &'a str,
        format: Format,
        column: &str,
    ) -> Result<Self, TaskError> {
        let source = RangesReader(ObjectFile::open(attempt, address)?.into());
        let lines: Box<dyn Iterator<Item = _>> = match format {
            Format::Lines => Box::new(lines(address, source.stream(0))),
            Format::Csv => Box::new(csv_column(address, source.stream(0), column)?),
            Format::Parquet => Box::new(parquet_column(address, source, column)?),
        };
        Ok(Self {
            attempt,
            address,
            folder: address.rsplit_once('/').map_or("", |(folder, _)| folder),
            lines,
            read: 0,
        })
    }

    /// The next of them; `None` after the last.
    pub fn next_batch(&mut self) -> Result<Option<Vec<Listed>>, TaskError> {
        let mut batch = Vec::new();
        for line in self.lines.by_ref().take(BATCH) {
            let line = line?;
            self.read += 1;
            let text = line.trim();
            if text.is_empty() {
                continue;
            }
            let located = self.attempt.stores.locate(&data::join(self.folder, text));
            batch.push(located.map_err(|error| wrong(self.address, self.read, error))?);
            if batch.len() == BATCH {
                break;
            }
        }
        if batch.is_empty() {
            return Ok(None);
        }
        let heads = stream::iter(batch).map(|(store, path)| async move {
            let info = match store.head(&path).await {
                Ok(info) => Some(info),
                Err(error) if error.class() == FailureClass::InvalidInput => None,
                Err(error) => return Err(error),
            };
            Ok(Listed { store, path, info })
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
}

fn wrong(
    address: &str,
    place: u64,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> TaskError {
    TaskError::List {
        uri: address.to_owned(),
        place,
        source: source.into(),
    }
}

/// Longer than any address; a file with such a line is no list.
const LINE_BYTES: u64 = 64 * 1024;

fn lines<'a>(
    address: &'a str,
    mut source: impl BufRead + 'a,
) -> impl Iterator<Item = Result<String, TaskError>> + 'a {
    let mut number = 0;
    std::iter::from_fn(move || {
        number += 1;
        let mut line = Vec::new();
        match source
            .by_ref()
            .take(LINE_BYTES)
            .read_until(b'\n', &mut line)
        {
            Ok(0) => None,
            Ok(_) if line.len() as u64 == LINE_BYTES => {
                Some(Err(wrong(address, number, "no address is so long")))
            }
            Ok(_) => Some(match String::from_utf8(line) {
                Ok(text) if text.starts_with('#') => Ok(String::new()),
                Ok(text) => Ok(text.trim_start_matches('\u{feff}').to_owned()),
                Err(_) => Err(wrong(address, number, "it is not UTF-8 text")),
            }),
            Err(error) => Some(Err(wrong(address, number, error))),
        }
    })
}

fn csv_column<'a>(
    address: &'a str,
    source: impl Read + 'a,
    column: &str,
) -> Result<impl Iterator<Item = Result<String, TaskError>> + 'a, TaskError> {
    let mut reader = csv::Reader::from_reader(BufReader::new(source));
    let headers = reader.headers().map_err(|error| wrong(address, 1, error))?;
    let named = |header: &str| header.trim_start_matches('\u{feff}').trim() == column;
    let Some(place) = headers.iter().position(named) else {
        let known: Vec<&str> = headers.iter().collect();
        let reason = format!(
            "there is no column {column:?}; the file has {}",
            known.join(", ")
        );
        return Err(wrong(address, 1, reason));
    };
    let mut number = 1;
    Ok(reader.into_records().map(move |record| {
        number += 1;
        let record = record.map_err(|error| wrong(address, number, error))?;
        Ok(record.get(place).unwrap_or_default().to_owned())
    }))
}

fn parquet_column<'a>(
    address: &'a str,
    source: RangesReader<ObjectFile>,
    column: &str,
) -> Result<impl Iterator<Item = Result<String, TaskError>> + 'a, TaskError> {
    let texts = TextColumn::open(source, column).map_err(|error| wrong(address, 0, error))?;
    let mut read = 0;
    Ok(texts.flat_map(move |batch| {
        let texts: Vec<Result<String, TaskError>> = match batch {
            Ok(texts) => {
                read += texts.len() as u64;
                let texts = texts.into_iter();
                texts.map(|text| Ok(text.unwrap_or_default())).collect()
            }
            Err(error) => vec![Err(wrong(address, read, error))],
        };
        texts
    }))
}

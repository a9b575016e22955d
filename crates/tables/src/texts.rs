//! Texts of anybody's list, one after the other: the lines of a text, or one column of a CSV or Parquet file.

use std::{
    fmt,
    io::{self, BufRead, Read},
};

use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader},
    },
    basic::Compression,
    errors::ParquetError,
    file::{metadata::ParquetMetaData, reader::ChunkReader},
};

use crate::{
    quotes::Quotes,
    whole::{self, contained},
};

/// Longer than any address; a file with such a line or record is no list.
const LINE_BYTES: u64 = 64 * 1024;

/// A text, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Without the white space around it. Never empty in lists of lines; in tables it may be.
    pub text: String,
    pub place: TextPlace,
}

/// From 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextPlace {
    Line(u64),
    /// Of a table without lines.
    Row(u64),
}

impl fmt::Display for TextPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// What is wrong with a list.
#[derive(Debug, thiserror::Error)]
pub enum TextsError {
    #[error("{place}: it has more than {LINE_BYTES} bytes, as no address has")]
    TooLong { place: TextPlace },
    #[error("{place}: it is not UTF-8 text")]
    NotUtf8 { place: TextPlace },
    #[error("{place}: it has {found} fields, and the first line {expected}")]
    Fields {
        place: TextPlace,
        found: u64,
        expected: u64,
    },
    #[error(
        "line {opened}: a quote opens a field here and is not closed, at least not within 1 MiB"
    )]
    OpenQuote { opened: u64 },
    #[error(
        "line {opened}: a quote opens a field here that is not closed before line {closed}, where text follows the closing quote"
    )]
    StrayQuote { opened: u64, closed: u64 },
    #[error("there is no column {column:?}; {}", columns(known))]
    NoColumn { column: String, known: Vec<String> },
    #[error("it has {count} columns {column:?}; only one can be meant")]
    SeveralColumns { column: String, count: usize },
    #[error("its column {column:?} is of the type {found}, not of texts")]
    OtherType { column: String, found: String },
    #[error(
        "its column {column:?} is compressed by {codec}, which is not read here: write the file with snappy, zstd, gzip or none"
    )]
    Codec { column: String, codec: &'static str },
    #[error("it is not a whole Parquet file")]
    NotParquet(#[source] ParquetError),
    #[error("it cannot be read")]
    Read(#[source] io::Error),
}

fn columns(known: &[String]) -> String {
    match known {
        [] => "the file is empty".to_owned(),
        known => format!(
            "the file has {}: `uri_column` says which is meant",
            known.join(", ")
        ),
    }
}

type Item = Result<Text, TextsError>;

/// One a line; empty lines and those that begin with `#` say nothing.
pub fn lines(mut source: impl BufRead) -> impl Iterator<Item = Item> {
    let mut number = 0;
    std::iter::from_fn(move || {
        loop {
            number += 1;
            let place = TextPlace::Line(number);
            let mut line = Vec::new();
            let read = source
                .by_ref()
                .take(LINE_BYTES)
                .read_until(b'\n', &mut line);
            let text = match read {
                Ok(0) => return None,
                Ok(_) if line.len() as u64 == LINE_BYTES => {
                    return Some(Err(TextsError::TooLong { place }));
                }
                Ok(_) => match str::from_utf8(&line) {
                    Ok(text) => trimmed(text),
                    Err(_) => return Some(Err(TextsError::NotUtf8 { place })),
                },
                Err(error) => return Some(Err(TextsError::Read(error))),
            };
            if !text.is_empty() && !text.starts_with('#') {
                let text = text.to_owned();
                return Some(Ok(Text { text, place }));
            }
        }
    })
}

/// Those of one column, of the name that the first line gives it; empty where a record has none. A field in quotes may have
/// several lines.
pub fn csv_column<R: Read>(
    source: R,
    column: &str,
) -> Result<impl Iterator<Item = Item> + use<R>, TextsError> {
    let mut reader = csv::Reader::from_reader(Quotes::new(source));
    reader.headers().map_err(of_csv)?;
    check_quotes(reader.get_ref())?;
    let headers = reader.headers().map_err(of_csv)?;
    let mut places = (headers.iter().enumerate())
        .filter(|(_, header)| trimmed(header) == column)
        .map(|(place, _)| place);
    let Some(place) = places.next() else {
        return Err(TextsError::NoColumn {
            column: column.to_owned(),
            known: headers
                .iter()
                .map(|name| trimmed(name).to_owned())
                .collect(),
        });
    };
    let others = places.count();
    if others > 0 {
        return Err(TextsError::SeveralColumns {
            column: column.to_owned(),
            count: 1 + others,
        });
    }
    let mut records = reader.into_records();
    Ok(std::iter::from_fn(move || {
        let record = records.next()?;
        // First of all: a field that has swallowed others is no record of too few.
        let quotes = check_quotes(records.reader().get_ref());
        // The reader ends a line with the first of two characters, and counts it with the second.
        let counted = u64::from(records.reader().get_ref().has_returns());
        Some(quotes.and_then(|()| {
            let record = record.map_err(|error| of_record(error, counted))?;
            Ok(Text {
                text: trimmed(record.get(place).unwrap_or_default()).to_owned(),
                place: line(record.position(), counted),
            })
        }))
    }))
}

fn check_quotes<R>(quotes: &Quotes<R>) -> Result<(), TextsError> {
    let Some(stray) = quotes.stray() else {
        return Ok(());
    };
    let opened = stray.opened;
    Err(match stray.closed {
        None => TextsError::OpenQuote { opened },
        Some(closed) => TextsError::StrayQuote { opened, closed },
    })
}

/// Those of one column; empty where it is null.
pub fn parquet_column<R: ChunkReader + 'static>(
    source: R,
    column: &str,
) -> Result<impl Iterator<Item = Item> + use<R>, TextsError> {
    // Whatever the writer had in memory (dictionaries, views), texts come as texts.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = whole::open(source, options).map_err(TextsError::NotParquet)?;
    let fields = builder.schema().fields();
    let count = (fields.iter().filter(|field| field.name() == column)).count();
    if count > 1 {
        return Err(TextsError::SeveralColumns {
            column: column.to_owned(),
            count,
        });
    }
    let Some((place, field)) = fields.find(column) else {
        return Err(TextsError::NoColumn {
            column: column.to_owned(),
            known: fields.iter().map(|field| field.name().clone()).collect(),
        });
    };
    if *field.data_type() != DataType::Utf8 {
        return Err(TextsError::OtherType {
            column: column.to_owned(),
            found: field.data_type().to_string(),
        });
    }
    if let Some(codec) = unread_codec(builder.metadata(), place) {
        return Err(TextsError::Codec {
            column: column.to_owned(),
            codec,
        });
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), [place]);
    let batches = contained(|| builder.with_projection(mask).build());
    let mut batches = Batches {
        batches: Some(batches.map_err(TextsError::NotParquet)?),
        batch: Vec::new().into_iter(),
    };
    let mut row = 0;
    Ok(std::iter::from_fn(move || {
        let text = match batches.next()? {
            Ok(text) => trimmed(&text.unwrap_or_default()).to_owned(),
            Err(error) => return Some(Err(error)),
        };
        row += 1;
        let place = TextPlace::Row(row);
        Some(Ok(Text { text, place }))
    }))
}

/// By what a column is compressed that was not built in here; other columns are not read.
fn unread_codec(metadata: &ParquetMetaData, place: usize) -> Option<&'static str> {
    let schema = metadata.file_metadata().schema_descr();
    let columns = metadata.row_groups().iter().flat_map(|group| {
        let columns = group.columns().iter().enumerate();
        columns.filter(|(leaf, _)| schema.get_column_root_idx(*leaf) == place)
    });
    let mut codecs = columns.map(|(_, column)| column.compression());
    codecs.find_map(|codec| match codec {
        Compression::UNCOMPRESSED
        | Compression::SNAPPY
        | Compression::ZSTD(_)
        | Compression::GZIP(_) => None,
        Compression::BROTLI(_) => Some("brotli"),
        Compression::LZ4 | Compression::LZ4_RAW => Some("lz4"),
        Compression::LZO => Some("lzo"),
    })
}

/// Reads a column batch by batch, and nothing else of the file.
struct Batches {
    /// `None` after an error: what it would read then means nothing.
    batches: Option<ParquetRecordBatchReader>,
    batch: std::vec::IntoIter<Option<String>>,
}

impl Iterator for Batches {
    type Item = Result<Option<String>, TextsError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(text) = self.batch.next() {
                return Some(Ok(text));
            }
            let batches = self.batches.as_mut()?;
            match contained(|| batches.next().transpose().map_err(ParquetError::from)) {
                Ok(Some(batch)) => {
                    let texts = batch.column(0).as_string::<i32>();
                    let texts: Vec<_> = texts.iter().map(|text| text.map(str::to_owned)).collect();
                    self.batch = texts.into_iter();
                }
                Ok(None) => return None,
                Err(error) => {
                    self.batches = None;
                    return Some(Err(TextsError::NotParquet(error)));
                }
            }
        }
    }
}

/// Some programs begin a text with a mark of its encoding.
fn trimmed(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim()
}

fn line(position: Option<&csv::Position>, counted: u64) -> TextPlace {
    TextPlace::Line(position.map_or(1, |position| position.line() + counted))
}

fn of_csv(error: csv::Error) -> TextsError {
    of_record(error, 0)
}

fn of_record(error: csv::Error, counted: u64) -> TextsError {
    let place = line(error.position(), counted);
    match error.into_kind() {
        csv::ErrorKind::Io(error) => TextsError::Read(error),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => TextsError::Fields {
            place,
            found: len,
            expected: expected_len,
        },
        // Only writers have other errors.
        _ => TextsError::NotUtf8 { place },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use bytes::Bytes;
    use parquet::{
        arrow::ArrowWriter,
        basic::{BrotliLevel, GzipLevel, ZstdLevel},
        file::properties::WriterProperties,
    };

    use super::*;

    fn all(items: impl Iterator<Item = Item>) -> Vec<(String, String)> {
        items
            .map(|item| {
                let text = item.expect("a text");
                (text.text, text.place.to_string())
            })
            .collect()
    }

    fn of_csv(text: &str, column: &str) -> Result<Vec<Item>, TextsError> {
        csv_column(text.as_bytes(), column).map(Iterator::collect)
    }

    fn parquet(columns: Vec<(&str, ArrayRef)>) -> Bytes {
        compressed(columns, Compression::UNCOMPRESSED)
    }

    fn compressed(columns: Vec<(&str, ArrayRef)>, codec: Compression) -> Bytes {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        );
        let batch = batch.expect("a batch");
        let properties = WriterProperties::builder().set_compression(codec).build();
        let mut writer =
            ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("a writer");
        writer.write(&batch).expect("written");
        writer.into_inner().expect("written").into()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let pair = |(text, place): &(&str, &str)| ((*text).to_owned(), (*place).to_owned());
        expected.iter().map(pair).collect()
    }

    #[test]
    fn comments_and_empty_lines_say_nothing_however_many_they_are() {
        let text = format!(
            "\u{feff}a.png\r\n{}{}  b.png \n#c\nd e.png",
            "# x\n".repeat(5000),
            "\n".repeat(5000)
        );
        let expected = [
            ("a.png", "line 1"),
            ("b.png", "line 10002"),
            ("d e.png", "line 10004"),
        ];
        assert_eq!(all(lines(text.as_bytes())), pairs(&expected));
    }

    #[test]
    fn cells_of_a_column_come_with_their_places() {
        let text = "\u{feff}n, uri\n1,a.png\n2,\n3,\"b\nc.png\"\n4,d.png\n";
        let found = csv_column(text.as_bytes(), "uri").expect("a column");
        let expected = [
            ("a.png", "line 2"),
            ("", "line 3"),
            ("b\nc.png", "line 4"),
            ("d.png", "line 6"),
        ];
        assert_eq!(all(found), pairs(&expected));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a.png"), None, Some(" ")]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let file = parquet(vec![("n", numbers), ("uri", texts)]);
        let found = parquet_column(file.clone(), "uri").expect("a column");
        let expected = [("a.png", "row 1"), ("", "row 2"), ("", "row 3")];
        assert_eq!(all(found), pairs(&expected));
        let said = |column| parquet_column(file.clone(), column).err().expect("wrong");
        assert_eq!(
            said("n").to_string(),
            "its column \"n\" is of the type Int64, not of texts"
        );
        assert_eq!(
            said("x").to_string(),
            "there is no column \"x\"; the file has n, uri: `uri_column` says which is meant"
        );
    }

    #[test]
    fn what_common_writers_compress_with_is_read_and_the_rest_is_named() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a.png"; 99]));
        let file = |codec| compressed(vec![("uri", Arc::clone(&texts))], codec);
        for codec in [
            Compression::SNAPPY,
            Compression::ZSTD(ZstdLevel::default()),
            Compression::GZIP(GzipLevel::default()),
        ] {
            let found = parquet_column(file(codec), "uri").expect("a column");
            assert_eq!(all(found).len(), 99, "{codec}");
        }
        let plain = whole::open(file(Compression::UNCOMPRESSED), ArrowReaderOptions::new());
        let plain = plain.expect("a file").metadata().as_ref().clone();
        assert_eq!(unread_codec(&plain, 0), None);
        for (codec, name) in [
            (Compression::BROTLI(BrotliLevel::default()), "brotli"),
            (Compression::LZ4, "lz4"),
            (Compression::LZ4_RAW, "lz4"),
            (Compression::LZO, "lzo"),
        ] {
            let group = plain.row_group(0).clone();
            let column = group.column(0).clone().into_builder();
            let column = column.set_compression(codec).build().expect("a column");
            let group = group.into_builder().set_column_metadata(vec![column]);
            let group = group.build().expect("a row group");
            let other = plain.clone().into_builder().set_row_groups(vec![group]);
            assert_eq!(unread_codec(&other.build(), 0), Some(name));
        }
    }

    #[test]
    fn what_is_no_list_is_said_with_its_place() {
        let long = "x".repeat(LINE_BYTES as usize);
        for (bytes, said) in [
            (b"a\n\xff\n".to_vec(), "line 2: it is not UTF-8 text"),
            (format!("a\n\n{long}").into_bytes(), "line 3: it has more"),
        ] {
            let last = lines(&bytes[..]).last().expect("an item");
            let error = last.expect_err("wrong").to_string();
            assert!(error.starts_with(said), "{error}");
        }
        for (text, said) in [
            ("", "there is no column \"uri\"; the file is empty"),
            (
                "n,path\n",
                "there is no column \"uri\"; the file has n, path: `uri_column` says which is meant",
            ),
            (
                "uri,n, uri\na,1,b\n",
                "it has 2 columns \"uri\"; only one can be meant",
            ),
        ] {
            assert_eq!(of_csv(text, "uri").expect_err("wrong").to_string(), said);
        }
        let items = of_csv("n,uri\n1,a\n2,b,c\n", "uri").expect("a column");
        let error = items[1].as_ref().expect_err("wrong").to_string();
        assert_eq!(error, "line 3: it has 3 fields, and the first line 2");
        let items = of_csv("uri,b\r\nA,1\r\nB,1\r\nC,1,2\r\n", "uri").expect("a column");
        let error = items[2].as_ref().expect_err("wrong").to_string();
        assert_eq!(error, "line 4: it has 3 fields, and the first line 2");
        let place = |item: &Item| item.as_ref().expect("a text").place.to_string();
        assert_eq!(
            (place(&items[0]), place(&items[1])),
            ("line 2".to_owned(), "line 3".to_owned())
        );
        for (text, said) in [
            (
                "uri,note\na,b\nc,\"d\ne,f\n",
                "line 3: a quote opens a field here and is not closed, at least not within 1 MiB",
            ),
            (
                "uri,\"note\na,b\n",
                "line 1: a quote opens a field here and is not closed, at least not within 1 MiB",
            ),
            (
                "uri,note\na,\"b\nc,d\ne,\"f\ng,h\n",
                "line 2: a quote opens a field here that is not closed before line 4, where text follows the closing quote",
            ),
        ] {
            let items = of_csv(text, "uri").and_then(|items| items.into_iter().collect());
            let said_of: Result<Vec<Text>, TextsError> = items;
            assert_eq!(said_of.expect_err("wrong").to_string(), said);
        }
        assert!(matches!(
            parquet_column(Bytes::from_static(b"none"), "uri").err(),
            Some(TextsError::NotParquet(_))
        ));
    }
}

//! Parquet files of typed rows: a writer that streams, a reader that streams.

use std::{io::Write, marker::PhantomData};

use bytes::Bytes;
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
        reader::ChunkReader,
    },
};

use crate::{
    Row, SCHEMA_KEY, TableError,
    table::{check_tag, schema_tag},
};

/// Rows held before they become a batch.
const BATCH_ROWS: usize = 8192;
/// Parquet's usual row group: readers skip by its statistics and by those of its pages.
const GROUP_ROWS: usize = 1 << 20;

/// Writes rows in the order given, which must be the table's.
pub struct TableWriter<R: Row, W: Write + Send> {
    inner: ArrowWriter<W>,
    pending: Vec<R>,
    /// Before the first pending one.
    last: Option<R>,
    rows: u64,
}

impl<R: Row, W: Write + Send> TableWriter<R, W> {
    pub fn new(sink: W) -> Result<Self, TableError> {
        let inner = ArrowWriter::try_new(sink, R::schema(), Some(properties::<R>()))
            .map_err(write_error::<R>)?;
        Ok(Self {
            inner,
            pending: Vec::with_capacity(BATCH_ROWS),
            last: None,
            rows: 0,
        })
    }

    pub fn push(&mut self, row: R) -> Result<(), TableError> {
        // The file says that its rows are sorted, and readers that believe it would miss some.
        let before = self.pending.last().or(self.last.as_ref());
        if before.is_some_and(|before| before.order(&row).is_gt()) {
            return Err(TableError::Order {
                table: R::TABLE,
                row: self.rows,
                columns: R::SORTED_BY.join(", "),
            });
        }
        self.pending.push(row);
        self.rows += 1;
        if self.pending.len() == BATCH_ROWS {
            self.flush()
        } else {
            Ok(())
        }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes the footer; returns what was written to, and the number of rows.
    pub fn finish(mut self) -> Result<(W, u64), TableError> {
        self.flush()?;
        let rows = self.rows;
        Ok((self.inner.into_inner().map_err(write_error::<R>)?, rows))
    }

    fn flush(&mut self) -> Result<(), TableError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let batch = R::to_batch(&self.pending).map_err(|error| write_error::<R>(error.into()))?;
        self.last = self.pending.pop();
        self.pending.clear();
        self.inner.write(&batch).map_err(write_error::<R>)
    }
}

/// Reads rows batch by batch.
pub struct TableReader<R: Row> {
    inner: ParquetRecordBatchReader,
    rows: u64,
    row: PhantomData<R>,
}

impl<R: Row> TableReader<R> {
    /// Opens a file (`std::fs::File`) or bytes; checks table and version before a row is read.
    pub fn open(source: impl ChunkReader + 'static) -> Result<Self, TableError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(source).map_err(read_error::<R>)?;
        let file = builder.metadata().file_metadata();
        let tag = file
            .key_value_metadata()
            .into_iter()
            .flatten()
            .find(|pair| pair.key == SCHEMA_KEY);
        check_tag::<R>(tag.and_then(|pair| pair.value.as_deref()))?;
        let rows = u64::try_from(file.num_rows()).unwrap_or(0);
        let inner = builder
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(read_error::<R>)?;
        Ok(Self {
            inner,
            rows,
            row: PhantomData,
        })
    }

    /// Rows of the whole file.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl<R: Row> Iterator for TableReader<R> {
    type Item = Result<Vec<R>, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.inner.next()?;
        Some(
            batch
                .map_err(|error| read_error::<R>(error.into()))
                .and_then(|batch| R::from_batch(&batch)),
        )
    }
}

/// A whole small table as bytes.
pub fn write_bytes<R: Row>(rows: impl IntoIterator<Item = R>) -> Result<(Bytes, u64), TableError> {
    let mut writer = TableWriter::<R, Vec<u8>>::new(Vec::new())?;
    for row in rows {
        writer.push(row)?;
    }
    let (bytes, rows) = writer.finish()?;
    Ok((bytes.into(), rows))
}

/// All rows of a small table.
pub fn read_bytes<R: Row>(bytes: Bytes) -> Result<Vec<R>, TableError> {
    let mut rows = Vec::new();
    for batch in TableReader::<R>::open(bytes)? {
        rows.extend(batch?);
    }
    Ok(rows)
}

fn properties<R: Row>() -> WriterProperties {
    let schema = R::schema();
    let sorting = R::SORTED_BY.iter().filter_map(|name| {
        let column_idx = i32::try_from(schema.index_of(name).ok()?).ok()?;
        Some(SortingColumn {
            column_idx,
            descending: false,
            nulls_first: false,
        })
    });
    WriterProperties::builder()
        .set_created_by(concat!("nightshift ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new(
            SCHEMA_KEY.to_owned(),
            schema_tag::<R>(),
        )]))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_sorting_columns(Some(sorting.collect()))
        .build()
}

fn write_error<R: Row>(source: ParquetError) -> TableError {
    TableError::Write {
        table: R::TABLE,
        source,
    }
}

fn read_error<R: Row>(source: ParquetError) -> TableError {
    TableError::Read {
        table: R::TABLE,
        source,
    }
}

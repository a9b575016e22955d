//! Parquet files of typed rows: a writer that streams, a reader that streams.

use std::{
    io::{self, Write},
    marker::PhantomData,
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader},
    },
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::{KeyValue, RowGroupMetaData, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
        reader::ChunkReader,
    },
};

use crate::{
    Row, SCHEMA_KEY, TableError,
    table::{check_tag, schema_tag},
    whole::{self, contained},
};

/// Writes rows in the order given, which must be the table's.
pub struct TableWriter<R: Row, W: Write + Send> {
    inner: ArrowWriter<Watched<W>>,
    failed: Arc<OnceLock<io::ErrorKind>>,
    pending: Vec<R>,
    /// Before the first pending one.
    last: Option<R>,
    rows: u64,
}

impl<R: Row, W: Write + Send> TableWriter<R, W> {
    pub fn new(sink: W) -> Result<Self, TableError> {
        let failed = Arc::default();
        let sink = Watched {
            sink,
            failed: Arc::clone(&failed),
        };
        let inner = ArrowWriter::try_new(sink, R::schema(), Some(properties::<R>()))
            .map_err(|source| write_error::<R>(&failed, source))?;
        Ok(Self {
            inner,
            failed,
            pending: Vec::with_capacity(R::BATCH),
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
        if self.pending.len() == R::BATCH {
            self.flush()
        } else {
            Ok(())
        }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Says something of the file besides its rows, in its metadata.
    pub fn note(&mut self, key: &'static str, value: String) {
        self.inner
            .append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }

    /// Writes the footer; returns what was written to, and the number of rows.
    pub fn finish(mut self) -> Result<(W, u64), TableError> {
        self.flush()?;
        let rows = self.rows;
        let written = self.inner.into_inner();
        let written = written.map_err(|source| write_error::<R>(&self.failed, source))?;
        Ok((written.sink, rows))
    }

    fn flush(&mut self) -> Result<(), TableError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let failed = |source| write_error::<R>(&self.failed, source);
        let batch = R::to_batch(&self.pending).map_err(|error| failed(error.into()))?;
        self.last = self.pending.pop();
        self.pending.clear();
        self.inner.write(&batch).map_err(failed)
    }
}

/// Reads rows batch by batch.
pub struct TableReader<R: Row> {
    /// `None` after an error: what it would read then means nothing.
    inner: Option<ParquetRecordBatchReader>,
    rows: u64,
    notes: Vec<KeyValue>,
    row: PhantomData<R>,
}

impl<R: Row> TableReader<R> {
    /// Opens a file (`std::fs::File`), bytes or [`Ranges`](crate::Ranges); checks table and version before a row is read.
    pub fn open(source: impl ChunkReader + 'static) -> Result<Self, TableError> {
        Self::open_rows(source, 0..u64::MAX)
    }

    /// The same of some rows, by their place in the file, as far as there are such: the other row groups are not read.
    pub fn open_rows(
        source: impl ChunkReader + 'static,
        wanted: Range<u64>,
    ) -> Result<Self, TableError> {
        Self::open_some(source, |groups| {
            let (mut chosen, mut first, mut end) = (Vec::new(), None, 0);
            for (index, group) in groups.iter().enumerate() {
                let begin = end;
                end = begin + u64::try_from(group.num_rows()).unwrap_or(0);
                if begin < wanted.end && wanted.start < end {
                    chosen.push(index);
                    first.get_or_insert(begin);
                }
            }
            let skipped = wanted.start.saturating_sub(first.unwrap_or(0));
            (
                chosen,
                skipped..skipped.saturating_add(wanted.end.saturating_sub(wanted.start)),
            )
        })
    }

    /// The same of the row groups whose texts in a column may be wanted, by the least and the greatest of them: those that the file
    /// says no such thing of are read, too.
    pub fn open_groups(
        source: impl ChunkReader + 'static,
        column: &str,
        wanted: impl Fn(&[u8], &[u8]) -> bool,
    ) -> Result<Self, TableError> {
        let is_wanted = |group: &RowGroupMetaData| {
            let mut columns = group.columns().iter();
            let found = columns.find(|one| one.column_path().string() == column);
            let texts = found.and_then(|column| column.statistics());
            let ends = texts.and_then(|texts| texts.min_bytes_opt().zip(texts.max_bytes_opt()));
            ends.is_none_or(|(least, greatest)| wanted(least, greatest))
        };
        Self::open_some(source, |groups| {
            let chosen = (0..groups.len()).filter(|index| is_wanted(&groups[*index]));
            (chosen.collect(), 0..u64::MAX)
        })
    }

    /// `choose`: row groups, and which of their rows.
    fn open_some(
        source: impl ChunkReader + 'static,
        choose: impl FnOnce(&[RowGroupMetaData]) -> (Vec<usize>, Range<u64>),
    ) -> Result<Self, TableError> {
        let builder =
            whole::open(source, ArrowReaderOptions::default()).map_err(read_error::<R>)?;
        let file = builder.metadata().file_metadata();
        let tag = file
            .key_value_metadata()
            .into_iter()
            .flatten()
            .find(|pair| pair.key == SCHEMA_KEY);
        check_tag::<R>(tag.and_then(|pair| pair.value.as_deref()))?;
        let rows = u64::try_from(file.num_rows()).unwrap_or(0);
        let notes = file.key_value_metadata().cloned().unwrap_or_default();
        let (groups, wanted) = choose(builder.metadata().row_groups());
        let number = |rows| usize::try_from(rows).unwrap_or(usize::MAX);
        let builder = builder
            .with_row_groups(groups)
            .with_offset(number(wanted.start))
            .with_limit(number(wanted.end - wanted.start))
            .with_batch_size(R::BATCH);
        let inner = contained(|| builder.build()).map_err(read_error::<R>)?;
        Ok(Self {
            inner: Some(inner),
            rows,
            notes,
            row: PhantomData,
        })
    }

    /// Rows of the whole file.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What the file says of itself under the key.
    pub fn note(&self, key: &str) -> Option<&str> {
        let note = self.notes.iter().find(|note| note.key == key)?;
        note.value.as_deref()
    }
}

impl<R: Row> Iterator for TableReader<R> {
    type Item = Result<Vec<R>, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let inner = self.inner.as_mut()?;
        match contained(|| inner.next().transpose().map_err(ParquetError::from)) {
            Ok(batch) => Some(R::from_batch(&batch?)),
            Err(error) => {
                self.inner = None;
                Some(Err(read_error::<R>(error)))
            }
        }
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
        // Addresses have long beginnings in common; see `open_groups`.
        .set_statistics_truncate_length(None)
        .set_max_row_group_row_count(Some(R::BATCH * R::GROUP_BATCHES))
        .set_sorting_columns(Some(sorting.collect()))
        .build()
}

/// A sink that remembers why it failed: the Parquet writer makes a text of it, and a full disk is told by its kind.
struct Watched<W> {
    sink: W,
    failed: Arc<OnceLock<io::ErrorKind>>,
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write(bytes).inspect_err(|error| self.note(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush().inspect_err(|error| self.note(error))
    }
}

impl<W> Watched<W> {
    fn note(&self, error: &io::Error) {
        if error.kind() != io::ErrorKind::Interrupted {
            // The first is the cause of those that follow.
            let _ = self.failed.set(error.kind());
        }
    }
}

fn write_error<R: Row>(failed: &OnceLock<io::ErrorKind>, source: ParquetError) -> TableError {
    match failed.get() {
        Some(kind) => TableError::Sink {
            table: R::TABLE,
            source: (*kind).into(),
        },
        None => TableError::Write {
            table: R::TABLE,
            source,
        },
    }
}

pub(crate) fn read_error<R: Row>(source: ParquetError) -> TableError {
    TableError::Read {
        table: R::TABLE,
        source,
    }
}

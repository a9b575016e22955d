//! What is wrong with a table file.

use parquet::errors::ParquetError;

#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("cannot write the table {table}")]
    Write {
        table: &'static str,
        #[source]
        source: ParquetError,
    },
    /// What it is written to does not take it.
    #[error("cannot write the table {table}")]
    Sink {
        table: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot read the table {table}: not a whole Parquet file")]
    Read {
        table: &'static str,
        #[source]
        source: ParquetError,
    },
    #[error(
        "row {row} of the table {table} comes after a higher one: its rows are sorted by {columns}"
    )]
    Order {
        table: &'static str,
        row: u64,
        columns: String,
    },
    #[error("expected the table {table}, but the file says {found:?}")]
    OtherTable { table: &'static str, found: String },
    #[error(
        "the table {table} has schema version {found}, newer than {newest}, the newest that this program reads"
    )]
    Newer {
        table: &'static str,
        found: u32,
        newest: u32,
    },
    #[error("the table {table} lacks the column {column}, or it is not of type {expected}")]
    Column {
        table: &'static str,
        column: &'static str,
        expected: String,
    },
}

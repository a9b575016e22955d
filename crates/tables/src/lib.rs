//! The tables that people read: rows as types, their Parquet form, a writer and a reader.
//!
//! Each file names its table and schema version in its metadata (`nightshift.schema`, such as `scores/1`). A column
//! keeps its name, type and meaning for as long as the version stays; readers accept the versions that they know.

mod cell;
mod error;
mod file;
mod quotes;
mod ranges;
mod rows;
mod table;
mod texts;
mod whole;

pub use cell::{AnomalyBox, Micros};
pub use error::TableError;
pub use file::{TableReader, TableWriter, read_bytes, write_bytes};
pub use ranges::{Ranges, RangesReader};
pub use rows::{
    ANOMALOUS_RATE, AupimoRow, CurveRow, DefectRow, ExtremeRow, ManifestRow, MapRow, MetricRow,
    PictureRow, RenderRow, SampleRow, ScoreRow, TimingRow,
};
pub use table::{MADE_OF_KEY, Row, SCHEMA_KEY};
pub use texts::{Text, TextPlace, TextsError, csv_column, lines, parquet_column};

#[cfg(test)]
mod tests;

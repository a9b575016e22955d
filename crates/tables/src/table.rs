//! A table: a row type, its columns in order, its version.

use std::{cmp::Ordering, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};

use crate::TableError;

/// Key of the file metadata that names table and version.
pub const SCHEMA_KEY: &str = "nightshift.schema";

/// Key of the file metadata that names the tables whose rows a file has.
pub const MADE_OF_KEY: &str = "nightshift.made_of";

/// A row that can be written to and read from a table.
pub trait Row: Sized {
    const TABLE: &'static str;
    const VERSION: u32;
    /// Columns that the rows of a file are sorted by.
    const SORTED_BY: &'static [&'static str];
    /// Rows that writers and readers hold at once.
    const BATCH: usize = 8192;
    /// Batches of a row group. Of small rows that is Parquet's usual million: readers skip by its statistics and by those of
    /// its pages.
    const GROUP_BATCHES: usize = 128;

    /// By the columns of [`Self::SORTED_BY`].
    fn order(&self, other: &Self) -> Ordering;
    fn schema() -> SchemaRef;
    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError>;
    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, TableError>;
}

/// Value of [`SCHEMA_KEY`] in files of this program.
pub fn schema_tag<R: Row>() -> String {
    format!("{}/{}", R::TABLE, R::VERSION)
}

/// Accepts what this program can read: the same table, in this version or an older one.
pub fn check_tag<R: Row>(tag: Option<&str>) -> Result<(), TableError> {
    let other = || TableError::OtherTable {
        table: R::TABLE,
        found: tag.unwrap_or("nothing").to_owned(),
    };
    let (table, version) = tag.and_then(|tag| tag.split_once('/')).ok_or_else(other)?;
    let version: u32 = version.parse().map_err(|_| other())?;
    if table != R::TABLE {
        return Err(other());
    }
    if version > R::VERSION {
        return Err(TableError::Newer {
            table: R::TABLE,
            found: version,
            newest: R::VERSION,
        });
    }
    Ok(())
}

pub(crate) type Shared<T> = Arc<T>;

/// Declares a row type together with its table: one line a column.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $name:ident = $table:literal version $version:literal sorted by [$($sort:ident),*] $(in batches of $batch:literal)? $(in groups of $group:literal batches)? {
            $($(#[$field_doc:meta])* $field:ident: $kind:ty),+ $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind),+ }

        impl $crate::table::Row for $name {
            const TABLE: &'static str = $table;
            const VERSION: u32 = $version;
            const SORTED_BY: &'static [&'static str] = &[$(stringify!($sort)),*];
            $(const BATCH: usize = $batch;)?
            $(const GROUP_BATCHES: usize = $group;)?

            fn order(&self, other: &Self) -> std::cmp::Ordering {
                std::cmp::Ordering::Equal$(.then_with(|| self.$sort.cmp(&other.$sort)))*
            }

            fn schema() -> arrow_schema::SchemaRef {
                $crate::table::Shared::new(arrow_schema::Schema::new(vec![$(
                    arrow_schema::Field::new(
                        stringify!($field),
                        <$kind as $crate::cell::Cell>::data_type(),
                        <$kind as $crate::cell::Cell>::NULLABLE,
                    )
                ),+]))
            }

            fn to_batch(rows: &[Self]) -> Result<arrow_array::RecordBatch, arrow_schema::ArrowError> {
                arrow_array::RecordBatch::try_new(
                    Self::schema(),
                    vec![$(<$kind as $crate::cell::Cell>::array(rows.iter().map(|row| &row.$field))),+],
                )
            }

            fn from_batch(batch: &arrow_array::RecordBatch) -> Result<Vec<Self>, $crate::TableError> {
                $(let mut $field = match batch.column_by_name(stringify!($field)) {
                        Some(column) => <$kind as $crate::cell::Cell>::column(column),
                        None => <$kind as $crate::cell::Cell>::missing(batch.num_rows()),
                    }
                    .ok_or_else(|| $crate::TableError::Column {
                        table: $table,
                        column: stringify!($field),
                        expected: <$kind as $crate::cell::Cell>::data_type().to_string(),
                    })?
                    .into_iter();)+
                let mut rows = Vec::with_capacity(batch.num_rows());
                while let ($(Some($field)),+,) = ($($field.next()),+,) {
                    rows.push(Self { $($field),+ });
                }
                Ok(rows)
            }
        }
    };
}
pub(crate) use table;

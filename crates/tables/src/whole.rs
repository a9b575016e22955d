//! Files that say they are Parquet, of anybody: what their reader panics at is an error like any other damage.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::{
    arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
    file::{metadata::ColumnChunkMetaData, reader::ChunkReader},
};

/// Opens a file, and looks at what the reader would take for granted.
pub(crate) fn open<R: ChunkReader + 'static>(
    source: R,
    options: ArrowReaderOptions,
) -> Result<ParquetRecordBatchReaderBuilder<R>, ParquetError> {
    let builder =
        contained(|| ParquetRecordBatchReaderBuilder::try_new_with_options(source, options))?;
    let mut columns = builder
        .metadata()
        .row_groups()
        .iter()
        .flat_map(|group| group.columns());
    match columns.any(has_no_place) {
        true => Err(ParquetError::General(
            "a column has a negative place or size".to_owned(),
        )),
        false => Ok(builder),
    }
}

fn has_no_place(column: &ColumnChunkMetaData) -> bool {
    let start = column
        .dictionary_page_offset()
        .unwrap_or_else(|| column.data_page_offset());
    start < 0 || column.compressed_size() < 0
}

/// Does a step of reading, after which the reader is not used again if it has failed. The reader checks much of a file, and
/// takes other things for granted: damage there is no fault of this program.
pub(crate) fn contained<T>(
    step: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| {
        let what = "its parts contradict each other".to_owned();
        Err(ParquetError::General(what))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_negative_place_is_told_before_anything_is_read() {
        let bytes = include_bytes!("../../../fuzz/corpus/lists/negative-offset.parquet");
        let opened = open(Bytes::from_static(bytes), ArrowReaderOptions::default());
        let error = opened.err().map(|error| error.to_string());
        let error = error.expect("it is damaged");
        assert!(error.contains("negative place or size"), "{error}");
    }

    #[test]
    fn what_the_reader_panics_at_is_an_error() {
        let step = || -> Result<(), ParquetError> { panic!("a page that ends before it begins") };
        let error = contained(step).expect_err("it panics").to_string();
        assert!(error.contains("contradict each other"), "{error}");
    }
}

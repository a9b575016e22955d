//! One column of texts of anybody's Parquet file.

use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
        },
    },
    file::reader::ChunkReader,
};

use crate::TableError;

/// Reads it batch by batch, and nothing else of the file.
pub struct TextColumn(ParquetRecordBatchReader);

impl TextColumn {
    pub fn open(source: impl ChunkReader + 'static, column: &str) -> Result<Self, TableError> {
        // Whatever the writer had in memory (dictionaries, views), texts come as texts.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(source, options)
            .map_err(TableError::NotParquet)?;
        let fields = builder.schema().fields();
        let place = fields
            .iter()
            .position(|field| field.name() == column && *field.data_type() == DataType::Utf8);
        let Some(place) = place else {
            return Err(TableError::NoTexts {
                column: column.to_owned(),
                known: fields.iter().map(|field| field.name().clone()).collect(),
            });
        };
        let mask = ProjectionMask::roots(builder.parquet_schema(), [place]);
        let reader = builder.with_projection(mask).build();
        reader.map(Self).map_err(TableError::NotParquet)
    }
}

impl Iterator for TextColumn {
    /// `None`: null.
    type Item = Result<Vec<Option<String>>, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.0.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(TableError::NotParquet(error.into()))),
        };
        let texts = batch.column(0).as_string::<i32>();
        let texts = texts.iter().map(|text| text.map(str::to_owned));
        Some(Ok(texts.collect()))
    }
}

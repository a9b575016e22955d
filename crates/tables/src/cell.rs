//! Rust values as Arrow columns: which type stands for which, and whether it may be null.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, StringArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, TimeUnit};

/// Microseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub i64);

/// A value that can stand in a column.
pub trait Cell: Sized {
    const NULLABLE: bool;
    fn data_type() -> DataType;
    fn array<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;
    /// `None` if the column is of another type or holds a null that has no place here.
    fn column(array: &ArrayRef) -> Option<Vec<Self>>;
    /// What stands for a column that an older version did not have: nulls, where they may be.
    fn missing(rows: usize) -> Option<Vec<Self>>;
}

macro_rules! cell {
    ($rust:ty, $array:ty, $data_type:expr, |$to:ident| $borrow:expr, |$from:ident| $own:expr, $finish:expr) => {
        impl Cell for $rust {
            const NULLABLE: bool = false;

            fn data_type() -> DataType {
                $data_type
            }

            fn array<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
                let finish: fn($array) -> $array = $finish;
                Arc::new(finish(cells.map(|$to| Some($borrow)).collect::<$array>()))
            }

            fn column(array: &ArrayRef) -> Option<Vec<Self>> {
                array
                    .as_any()
                    .downcast_ref::<$array>()?
                    .iter()
                    .map(|cell| cell.map(|$from| $own))
                    .collect()
            }

            fn missing(_: usize) -> Option<Vec<Self>> {
                None
            }
        }

        impl Cell for Option<$rust> {
            const NULLABLE: bool = true;

            fn data_type() -> DataType {
                $data_type
            }

            fn array<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
                let finish: fn($array) -> $array = $finish;
                Arc::new(finish(
                    cells
                        .map(|cell| cell.as_ref().map(|$to| $borrow))
                        .collect::<$array>(),
                ))
            }

            fn column(array: &ArrayRef) -> Option<Vec<Self>> {
                Some(
                    array
                        .as_any()
                        .downcast_ref::<$array>()?
                        .iter()
                        .map(|cell| cell.map(|$from| $own))
                        .collect(),
                )
            }

            fn missing(rows: usize) -> Option<Vec<Self>> {
                Some(vec![None; rows])
            }
        }
    };
}

cell!(
    bool,
    BooleanArray,
    DataType::Boolean,
    |to| *to,
    |from| from,
    |array| array
);
cell!(
    u32,
    UInt32Array,
    DataType::UInt32,
    |to| *to,
    |from| from,
    |array| array
);
cell!(
    u64,
    UInt64Array,
    DataType::UInt64,
    |to| *to,
    |from| from,
    |array| array
);
cell!(
    f32,
    Float32Array,
    DataType::Float32,
    |to| *to,
    |from| from,
    |array| array
);
cell!(
    f64,
    Float64Array,
    DataType::Float64,
    |to| *to,
    |from| from,
    |array| array
);
cell!(
    String,
    StringArray,
    DataType::Utf8,
    |to| to.as_str(),
    |from| from.to_owned(),
    |array| array
);
cell!(
    Vec<u8>,
    BinaryArray,
    DataType::Binary,
    |to| to.as_slice(),
    |from| from.to_vec(),
    |array| array
);
cell!(
    Micros,
    TimestampMicrosecondArray,
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    |to| to.0,
    |from| Micros(from),
    |array| array.with_timezone("UTC")
);

//! Rust values as Arrow columns: which type stands for which, and whether it may be null.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, ListArray, StringArray,
    StructArray, TimestampMicrosecondArray, UInt32Array, UInt64Array, cast::AsArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, TimeUnit};

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

/// A rectangle of an image around a region that its anomaly map shows, in pixels of the image as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AnomalyBox {
    /// Of the left upper corner.
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
    /// The map's highest value in the region.
    pub score: f32,
}

impl AnomalyBox {
    fn fields() -> Fields {
        let side = |name| Field::new(name, DataType::UInt32, false);
        let score = Field::new("score", DataType::Float32, false);
        Fields::from(vec![
            side("x"),
            side("y"),
            side("width"),
            side("height"),
            score,
        ])
    }

    fn item() -> Arc<Field> {
        Arc::new(Field::new("item", DataType::Struct(Self::fields()), false))
    }
}

impl Cell for Option<Vec<AnomalyBox>> {
    const NULLABLE: bool = true;

    fn data_type() -> DataType {
        DataType::List(AnomalyBox::item())
    }

    fn array<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        let (mut boxes, mut lengths, mut there) = (Vec::new(), Vec::new(), Vec::new());
        for cell in cells {
            let list = cell.as_deref().unwrap_or_default();
            boxes.extend_from_slice(list);
            lengths.push(list.len());
            there.push(cell.is_some());
        }
        let side = |of: fn(&AnomalyBox) -> u32| -> ArrayRef {
            Arc::new(UInt32Array::from_iter_values(boxes.iter().map(of)))
        };
        let scores = boxes.iter().map(|one| one.score);
        let columns = vec![
            side(|one| one.x),
            side(|one| one.y),
            side(|one| one.width),
            side(|one| one.height),
            Arc::new(Float32Array::from_iter_values(scores)),
        ];
        let items = StructArray::new(AnomalyBox::fields(), columns, None);
        Arc::new(ListArray::new(
            AnomalyBox::item(),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(items),
            Some(NullBuffer::from(there)),
        ))
    }

    fn column(array: &ArrayRef) -> Option<Vec<Self>> {
        let lists = array.as_list_opt::<i32>()?;
        let items = lists.values().as_struct_opt()?;
        let side = |name| <u32 as Cell>::column(items.column_by_name(name)?);
        let (x, y, width, height) = (side("x")?, side("y")?, side("width")?, side("height")?);
        let score = <f32 as Cell>::column(items.column_by_name("score")?)?;
        let one = |at: usize| AnomalyBox {
            x: x[at],
            y: y[at],
            width: width[at],
            height: height[at],
            score: score[at],
        };
        let offsets = lists.value_offsets();
        let list = |row: usize| {
            let ends = [offsets[row], offsets[row + 1]].map(|end| end as usize);
            lists
                .is_valid(row)
                .then(|| (ends[0]..ends[1]).map(one).collect())
        };
        Some((0..lists.len()).map(list).collect())
    }

    fn missing(rows: usize) -> Option<Vec<Self>> {
        Some(vec![None; rows])
    }
}

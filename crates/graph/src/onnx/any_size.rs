//! Images of any size at the input, resized in the file: for programs that do no preprocessing of their own.
//!
//! Opset 17 resizes without antialiasing, so that such a file's scores are others than those of the graph alone.

use bytes::Bytes;

use super::names::Names;
use super::nodes::{int, node, string};
use super::proto::{DimensionProto, INT64, NodeProto, TensorProto, ValueInfoProto};
use crate::graph::Port;

/// What is done to an image [N, C, any, any] before the graph sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FromAnySize {
    /// Channels.
    pub channels: usize,
    /// Height, width to which it is resized, bilinear.
    pub size: [usize; 2],
    /// First row and column, height and width of what is cut out of that.
    pub crop: Option<([usize; 2], [usize; 2])>,
}

impl FromAnySize {
    pub(super) fn write(
        &self,
        input: &Port,
        names: &mut Names,
        initializers: &mut Vec<TensorProto>,
        nodes: &mut Vec<NodeProto>,
    ) {
        let image = input.name.clone();
        let result = names.of(input.value).to_owned();
        let mut integers = |names: &mut Names, what: &str, values: &[usize]| {
            let name = names.free(what);
            let values = values.iter().map(|v| *v as i64);
            initializers.push(TensorProto {
                dims: vec![values.len() as i64],
                data_type: INT64,
                name: name.clone(),
                raw_data: Bytes::from_iter(values.flat_map(i64::to_le_bytes)),
                ..TensorProto::default()
            });
            name
        };
        let [height, width] = self.size;
        let shape = names.free("image: shape");
        let batch = names.free("image: batch");
        let sizes = names.free("image: resized shape");
        let first = integers(names, "image: first axis", &[0]);
        let rest = integers(
            names,
            "image: channels, height, width",
            &[self.channels, height, width],
        );
        let resized = match self.crop {
            Some(_) => names.free("image: resized"),
            None => result.clone(),
        };
        nodes.extend([
            node("Shape", vec![image.clone()], &shape, vec![]),
            node("Gather", vec![shape, first], &batch, vec![int("axis", 0)]),
            node("Concat", vec![batch, rest], &sizes, vec![int("axis", 0)]),
            node(
                "Resize",
                vec![image, String::new(), String::new(), sizes],
                &resized,
                vec![
                    string("mode", "linear"),
                    string("coordinate_transformation_mode", "half_pixel"),
                ],
            ),
        ]);
        if let Some(([top, left], [height, width])) = self.crop {
            let operands = vec![
                resized,
                integers(names, "image: crop from", &[top, left]),
                integers(names, "image: crop to", &[top + height, left + width]),
                integers(names, "image: crop axes", &[2, 3]),
            ];
            nodes.push(node("Slice", operands, &result, vec![]));
        }
    }
}

/// Height and width become symbols.
pub(super) fn open(input: &mut ValueInfoProto) {
    let tensor = input.r#type.as_mut().and_then(|t| t.tensor_type.as_mut());
    let Some(shape) = tensor.and_then(|tensor| tensor.shape.as_mut()) else {
        return;
    };
    for (dim, name) in shape.dim.iter_mut().skip(2).zip(["height", "width"]) {
        *dim = DimensionProto {
            dim_value: None,
            dim_param: Some(name.to_owned()),
        };
    }
}

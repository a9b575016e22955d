//! Constants as initializers: in the file or in one beside it, in 32 or 16 bits.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use half::f16;

use super::names::Names;
use super::nodes::cast;
use super::proto::{EXTERNAL, FLOAT, FLOAT16, NodeProto, StringPair, TensorProto};
use crate::tensor::Tensor;

/// What is smaller stays in the file.
const LEAST_BESIDE: usize = 1024;
/// Where tensors begin in the file beside: at multiples of a cache line.
const ALIGNMENT: usize = 64;

/// Lends a tensor's elements to the message, so that large statistics are not copied before they are encoded.
struct Elements(Arc<[f32]>);

impl AsRef<[u8]> for Elements {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

const _: () = assert!(
    cfg!(target_endian = "little"),
    "raw ONNX data is little-endian"
);

pub(super) struct Constants<'a> {
    half: Option<&'a HashSet<String>>,
    /// Name of the file beside.
    beside: Option<&'a str>,
    pieces: Vec<Bytes>,
    length: usize,
}

impl<'a> Constants<'a> {
    pub(super) fn new(half: Option<&'a HashSet<String>>, beside: Option<&'a str>) -> Self {
        Constants {
            half,
            beside,
            pieces: Vec::new(),
            length: 0,
        }
    }

    pub(super) fn beside(self) -> Vec<Bytes> {
        self.pieces
    }

    /// The constant `name`, which the file calls `of_file`; with the node that makes 32-bit floats of it, if it needs one.
    pub(super) fn write(
        &mut self,
        name: &str,
        of_file: String,
        tensor: &Tensor,
        names: &mut Names,
    ) -> (TensorProto, Option<NodeProto>) {
        let wanted = self.half.is_some_and(|half| half.contains(name));
        match wanted.then(|| halves(tensor)).flatten() {
            Some(data) => {
                let stored = names.free(&format!("{of_file} in half precision"));
                let node = cast(stored.clone(), of_file, FLOAT);
                (self.tensor(tensor, stored, FLOAT16, data), Some(node))
            }
            None => {
                let data = Bytes::from_owner(Elements(Arc::clone(&tensor.data)));
                (self.tensor(tensor, of_file, FLOAT, data), None)
            }
        }
    }

    fn tensor(&mut self, tensor: &Tensor, name: String, kind: i32, data: Bytes) -> TensorProto {
        let proto = TensorProto {
            dims: tensor.shape.iter().map(|d| *d as i64).collect(),
            data_type: kind,
            name,
            ..TensorProto::default()
        };
        let Some(file) = self.beside.filter(|_| data.len() >= LEAST_BESIDE) else {
            return TensorProto {
                raw_data: data,
                ..proto
            };
        };
        let gap = self.length.next_multiple_of(ALIGNMENT) - self.length;
        if gap > 0 {
            self.pieces.push(Bytes::from(vec![0; gap]));
        }
        let (offset, length) = (self.length + gap, data.len());
        self.length = offset + length;
        self.pieces.push(data);
        let pair = |key: &str, value: String| StringPair {
            key: key.to_owned(),
            value,
        };
        TensorProto {
            external_data: vec![
                pair("location", file.to_owned()),
                pair("offset", offset.to_string()),
                pair("length", length.to_string()),
            ],
            data_location: EXTERNAL,
            ..proto
        }
    }
}

/// The nearest numbers of half precision; `None` if one of them is not finite.
fn halves(tensor: &Tensor) -> Option<Bytes> {
    let mut bytes = Vec::with_capacity(tensor.len() * 2);
    for value in tensor.data() {
        let half = f16::from_f32(*value);
        if !half.is_finite() {
            return None;
        }
        bytes.extend(half.to_le_bytes());
    }
    Some(Bytes::from(bytes))
}

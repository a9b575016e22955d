//! The safetensors format, both directions.

use std::io::{self, Write};
use std::sync::Arc;

use ::safetensors::SafeTensors;
use ::safetensors::tensor::Dtype;
use bytes::Bytes;
use graph::Tensor;

use crate::element::Element;
use crate::{StateDict, WeightsError};

const FORMAT: &str = "safetensors";

/// Header limit: a network of a hundred thousand tensors stays well below.
const MAX_HEADER: u64 = 16 << 20;

/// All tensors of a file, converted to f32.
///
/// `num_batches_tracked` counters, which inference has no use for, are left out.
pub fn read_safetensors(bytes: &[u8]) -> Result<StateDict, WeightsError> {
    let file = parse(bytes)?;
    let mut state = StateDict::new();
    for (name, view) in file.iter() {
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        let fail = |problem: String| WeightsError::Tensor {
            tensor: name.to_owned(),
            problem,
        };
        let element = element(view.dtype())
            .ok_or_else(|| fail(format!("{:?} elements are not supported", view.dtype())))?;
        let data = element.to_f32(view.data()).map_err(fail)?;
        let tensor = Tensor::new(view.shape(), data).map_err(|e| fail(e.to_string()))?;
        state.insert(name.to_owned(), tensor);
    }
    Ok(state)
}

/// Writes tensors as f32, sorted by name: equal content gives equal bytes.
pub fn write_safetensors(state: &StateDict, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&header(state)?)?;
    let mut buffer = Vec::with_capacity(64 << 10);
    for tensor in state.values() {
        for block in tensor.data().chunks(16 << 10) {
            buffer.clear();
            buffer.extend(block.iter().flat_map(|v| v.to_le_bytes()));
            out.write_all(&buffer)?;
        }
    }
    Ok(())
}

/// What [`write_safetensors`] writes, as pieces that share the tensors' memory.
pub fn safetensors_parts(state: &StateDict) -> io::Result<Vec<Bytes>> {
    let header = Bytes::from(header(state)?);
    let tensors = state.values().map(|tensor| little_endian(&tensor.data));
    Ok(std::iter::once(header).chain(tensors).collect())
}

#[cfg(target_endian = "little")]
fn little_endian(data: &Arc<[f32]>) -> Bytes {
    struct Shared(Arc<[f32]>);
    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            // SAFETY: every f32 is four bytes without padding, and u8 has no alignment.
            unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), size_of_val(&*self.0)) }
        }
    }
    Bytes::from_owner(Shared(Arc::clone(data)))
}

#[cfg(not(target_endian = "little"))]
fn little_endian(data: &Arc<[f32]>) -> Bytes {
    data.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Everything before the tensors' bytes.
fn header(state: &StateDict) -> io::Result<Vec<u8>> {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, tensor) in state {
        let start = end;
        end += tensor.len() * 4;
        header.insert(name.clone(), serde_json::json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end]}));
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), header.as_slice()].concat())
}

fn parse(bytes: &[u8]) -> Result<SafeTensors<'_>, WeightsError> {
    check_header(bytes)?;
    SafeTensors::deserialize(bytes).map_err(|e| WeightsError::format(FORMAT, 0, e.to_string()))
}

fn check_header(bytes: &[u8]) -> Result<(), WeightsError> {
    let Some(length) = bytes
        .first_chunk::<8>()
        .map(|word| u64::from_le_bytes(*word))
    else {
        return Err(WeightsError::format(
            FORMAT,
            0,
            "the file is shorter than a header",
        ));
    };
    if length > MAX_HEADER || length > bytes.len() as u64 - 8 {
        let problem = format!(
            "this is no safetensors file, or its header of {length} bytes is truncated or above the limit of {MAX_HEADER}"
        );
        return Err(WeightsError::format(FORMAT, 0, problem));
    }
    Ok(())
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::I64 => Element::I64,
        Dtype::I32 => Element::I32,
        Dtype::I16 => Element::I16,
        Dtype::I8 => Element::I8,
        Dtype::U8 => Element::U8,
        Dtype::BOOL => Element::Bool,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [
            &(header.len() as u64).to_le_bytes(),
            header.as_bytes(),
            data,
        ]
        .concat()
    }

    #[test]
    fn what_is_written_is_read_back_and_written_the_same() {
        let mut state = StateDict::new();
        state.insert(
            "b.weight".to_owned(),
            Tensor::new([2, 3], vec![1.0, -2.5, 3e-9, 4e30, -0.0, 6.0]).expect("shape"),
        );
        state.insert("a".to_owned(), Tensor::scalar(7.0));
        let mut bytes = Vec::new();
        write_safetensors(&state, &mut bytes).expect("writes to memory");
        let back = read_safetensors(&bytes).expect("reads");
        assert_eq!(back, state);
        let mut again = Vec::new();
        write_safetensors(&back, &mut again).expect("writes to memory");
        assert_eq!(bytes, again);
        assert_eq!(safetensors_parts(&state).expect("fits").concat(), bytes);
    }

    #[test]
    fn other_element_types_are_converted_and_counters_dropped() {
        let header = r#"{"h":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[2,4]},"d":{"dtype":"F64","shape":[],"data_offsets":[4,12]},"bn.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[12,20]}}"#;
        let mut data = vec![0x00, 0x3c, 0xc0, 0x3f];
        data.extend(0.1f64.to_le_bytes());
        data.extend(i64::MAX.to_le_bytes());
        let state = read_safetensors(&file(header, &data)).expect("reads");
        let values: Vec<_> = state
            .iter()
            .map(|(name, t)| (name.as_str(), t.data()[0]))
            .collect();
        assert_eq!(values, [("b", 1.5), ("d", 0.1), ("h", 1.0)]);
    }

    #[test]
    fn hostile_files_are_errors() {
        let cases: &[(&str, Vec<u8>)] = &[
            ("empty", vec![]),
            ("short", vec![1, 2, 3]),
            ("huge header", u64::MAX.to_le_bytes().to_vec()),
            ("header past the end", file("{}", b"")[..9].to_vec()),
            ("no json", file("{]", b"")),
            (
                "offsets past the end",
                file(
                    r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
                    &[0; 4],
                ),
            ),
            (
                "size and offsets disagree",
                file(
                    r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
                    &[0; 8],
                ),
            ),
            (
                "overflowing shape",
                file(
                    r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,8]}}"#,
                    &[0; 8],
                ),
            ),
            (
                "bytes that nobody owns",
                file(
                    r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
                    &[0; 8],
                ),
            ),
            (
                "complex numbers",
                file(
                    r#"{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}"#,
                    &[0; 8],
                ),
            ),
        ];
        for (what, bytes) in cases {
            assert!(read_safetensors(bytes).is_err(), "{what}");
        }
    }
}

//! Torch's `.pth` files, zip and legacy: the pickle says which tensors there are, their elements lie beside it.

use std::collections::HashMap;

use graph::Tensor;

use crate::pickle::{Node, Pickle, Ref, Storage, TensorNode, interpret};
use crate::zip::Archive;
use crate::{StateDict, WeightsError};

const FORMAT: &str = "torch file";

/// A legacy file begins with a pickle of the number 0x1950a86a20f9469cfc6c.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Dictionaries in which training scripts wrap the state.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];
const WRAPPER_WORDS: &str = "`state_dict`, `model_state_dict`, `model`, `net`";

/// Whether the file begins as torch's do.
pub(crate) fn looks_like_pth(bytes: &[u8]) -> bool {
    // As the length of a safetensors header, either would be far above the limit.
    bytes.starts_with(LEGACY) || bytes.starts_with(b"PK\x03\x04")
}

/// The tensors of a `.pth` file as f32, under the names of the file; a dictionary nested under `state_dict`,
/// `model_state_dict`, `model` or `net` is found. Counters (`num_batches_tracked`) are left out.
pub fn read_pth(bytes: &[u8]) -> Result<StateDict, WeightsError> {
    if bytes.starts_with(LEGACY) {
        return read_legacy(bytes);
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return read_zip(bytes);
    }
    Err(WeightsError::format(
        FORMAT,
        0,
        "neither a zip archive nor a legacy torch file",
    ))
}

fn read_zip(bytes: &[u8]) -> Result<StateDict, WeightsError> {
    let archive = Archive::open(bytes)?;
    let pickle_name = archive
        .names()
        .find(|name| name.rsplit('/').next() == Some("data.pkl"));
    let pickle_name = pickle_name
        .ok_or_else(|| WeightsError::format(FORMAT, 0, "the archive holds no data.pkl"))?;
    let folder = &pickle_name[..pickle_name.len() - "data.pkl".len()];
    if archive
        .get(&format!("{folder}byteorder"))
        .is_some_and(|order| order != b"little")
    {
        return Err(WeightsError::format(
            FORMAT,
            0,
            "the file was written on a big-endian machine",
        ));
    }
    let pickle = interpret(archive.get(pickle_name).unwrap_or_default())?;
    let storage = |storage: &Storage| archive.get(&format!("{folder}data/{}", storage.key));
    collect(&pickle, bytes.len(), &storage)
}

/// Pickles of magic number, protocol version, machine and contents; then the storages' keys; then their elements.
fn read_legacy(bytes: &[u8]) -> Result<StateDict, WeightsError> {
    let mut at = LEGACY.len();
    let mut next = || {
        let pickle = interpret(&bytes[at..])?;
        at += pickle.length;
        Ok::<_, WeightsError>(pickle)
    };
    let (version, machine, contents, keys) = (next()?, next()?, next()?, next()?);
    if *version.node(version.root) != Node::Int(1001) {
        return Err(WeightsError::format(
            FORMAT,
            LEGACY.len(),
            "unknown version of the legacy format",
        ));
    }
    if item(&machine, machine.root, "little_endian")
        .is_some_and(|v| *machine.node(v) == Node::Bool(false))
    {
        return Err(WeightsError::format(
            FORMAT,
            0,
            "the file was written on a big-endian machine",
        ));
    }
    let Node::List(keys_list) = keys.node(keys.root) else {
        return Err(WeightsError::format(
            FORMAT,
            at,
            "the list of storages is missing",
        ));
    };
    // Element sizes are known from the contents only.
    let sizes: HashMap<&str, usize> = storages(&contents)
        .map(|s| (s.key.as_str(), s.element.size()))
        .collect();
    let mut elements = HashMap::new();
    for &key in keys_list {
        let fail = |problem: &str| WeightsError::format(FORMAT, at, problem);
        let Node::Text(key) = keys.node(key) else {
            return Err(fail("a storage's key is no string"));
        };
        let size = *sizes
            .get(key.as_str())
            .ok_or_else(|| fail("a storage that no tensor uses"))?;
        let count = bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk::<8>())
            .ok_or_else(|| fail("the file is truncated"))?;
        let length = usize::try_from(u64::from_le_bytes(*count))
            .ok()
            .and_then(|count| count.checked_mul(size));
        let end = length.and_then(|length| (at + 8).checked_add(length));
        let data = end
            .and_then(|end| bytes.get(at + 8..end))
            .ok_or_else(|| fail("the file is truncated within a storage"))?;
        elements.insert(key.as_str(), data);
        at += 8 + data.len();
    }
    collect(&contents, bytes.len(), &|storage: &Storage| {
        elements.get(storage.key.as_str()).copied()
    })
}

fn storages(pickle: &Pickle) -> impl Iterator<Item = &Storage> {
    pickle.nodes().filter_map(|node| match node {
        Node::Storage(storage) => Some(storage),
        _ => None,
    })
}

fn collect<'a>(
    pickle: &Pickle,
    file_length: usize,
    data: &impl Fn(&Storage) -> Option<&'a [u8]>,
) -> Result<StateDict, WeightsError> {
    // Tensors may share a storage (tied weights), so that elements may outgrow the file, but not without bound.
    let mut budget = file_length.saturating_mul(4);
    let mut state = StateDict::new();
    for &(key, value) in state_dict(pickle)? {
        let (Node::Text(name), Node::Tensor(tensor)) = (pickle.node(key), pickle.node(value))
        else {
            continue;
        };
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        let fail = |problem: String| WeightsError::Tensor {
            tensor: name.clone(),
            problem,
        };
        let data = data(&tensor.storage)
            .ok_or_else(|| fail("its elements are missing in the file".to_owned()))?;
        let elements = elements(tensor, data, &mut budget).map_err(fail)?;
        state.insert(
            name.clone(),
            Tensor::new(tensor.shape.clone(), elements).map_err(|e| fail(e.to_string()))?,
        );
    }
    Ok(state)
}

/// The dictionary that holds tensors: the top level, or what is wrapped in it.
fn state_dict(pickle: &Pickle) -> Result<&[(Ref, Ref)], WeightsError> {
    let mut at = pickle.root;
    // Wrappers within wrappers are rare; more than a few are an attack.
    for _ in 0..3 {
        let Node::Dict(items) = pickle.node(at) else {
            break;
        };
        if items
            .iter()
            .any(|&(_, value)| matches!(pickle.node(value), Node::Tensor(_)))
        {
            return Ok(items);
        }
        match WRAPPERS.iter().find_map(|name| item(pickle, at, name)) {
            Some(inner) => at = inner,
            None => break,
        }
    }
    Err(WeightsError::NoStateDict {
        found: pickle.describe(at),
        looked: WRAPPER_WORDS,
    })
}

fn item(pickle: &Pickle, dict: Ref, name: &str) -> Option<Ref> {
    match pickle.node(dict) {
        Node::Dict(items) => items
            .iter()
            .find(|(key, _)| matches!(pickle.node(*key), Node::Text(key) if key == name))
            .map(|&(_, value)| value),
        _ => None,
    }
}

/// The tensor's elements in row-major order.
fn elements(tensor: &TensorNode, data: &[u8], budget: &mut usize) -> Result<Vec<f32>, String> {
    let size = tensor.storage.element.size();
    let available = (data.len() / size).min(tensor.storage.elements);
    let count = tensor
        .shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d));
    // A stride of 0 would let a few bytes become any number of elements.
    let count = count
        .filter(|&count| count <= available)
        .ok_or("its shape has more elements than its storage")?;
    *budget = budget
        .checked_sub(count)
        .ok_or("the file's tensors are views of each other and together too large")?;
    if count == 0 {
        return Ok(Vec::new());
    }
    let last =
        tensor
            .shape
            .iter()
            .zip(&tensor.strides)
            .try_fold(tensor.offset, |at, (&d, &stride)| {
                (d - 1)
                    .checked_mul(stride)
                    .and_then(|step| at.checked_add(step))
            });
    let last = last
        .filter(|&last| last < available)
        .ok_or("it reaches beyond its storage")?;
    let values = tensor
        .storage
        .element
        .to_f32(&data[tensor.offset * size..(last + 1) * size])?;
    if last - tensor.offset + 1 == count && contiguous(tensor) {
        return Ok(values);
    }
    let mut out = Vec::with_capacity(count);
    let mut index = vec![0; tensor.shape.len()];
    for _ in 0..count {
        out.push(
            values[index
                .iter()
                .zip(&tensor.strides)
                .map(|(i, stride)| i * stride)
                .sum::<usize>()],
        );
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            if index[axis] < tensor.shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Ok(out)
}

fn contiguous(tensor: &TensorNode) -> bool {
    let mut expected = 1;
    tensor
        .shape
        .iter()
        .zip(&tensor.strides)
        .rev()
        .all(|(&extent, &stride)| {
            let fits = extent == 1 || stride == expected;
            expected *= extent;
            fits
        })
}

#[cfg(test)]
mod tests;

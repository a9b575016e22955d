//! Stored (uncompressed) entries of a zip archive, as torch writes them.
//!
//! Only what `.pth` files use: no compression, no encryption, no archive above 4 GiB. Entries are read from the
//! central directory; a local header only says where its data begins.

use std::collections::HashMap;

use crate::WeightsError;

const FORMAT: &str = "zip";
const END: &[u8; 4] = b"PK\x05\x06";
const CENTRAL: &[u8; 4] = b"PK\x01\x02";
const LOCAL: &[u8; 4] = b"PK\x03\x04";
const END_SIZE: usize = 22;

/// Entries by name.
pub(crate) struct Archive<'a> {
    entries: HashMap<&'a str, &'a [u8]>,
}

impl<'a> Archive<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, WeightsError> {
        // The end record is followed by a comment of at most 65,535 bytes.
        let first = bytes.len().saturating_sub(END_SIZE + 0xffff);
        let end = (first..=bytes.len().saturating_sub(END_SIZE))
            .rev()
            .find(|&at| bytes[at..].starts_with(END));
        let end = end.ok_or_else(|| {
            fail(
                bytes.len(),
                "the end record is missing: is the file truncated?",
            )
        })?;
        let count = u16_at(bytes, end + 10)?;
        let mut at = u32_at(bytes, end + 16)? as usize;
        let mut entries = HashMap::with_capacity(count.into());
        for _ in 0..count {
            let (name, data, next) = entry(bytes, at)?;
            if entries.insert(name, data).is_some() {
                return Err(fail(at, format!("`{name}` is there twice")));
            }
            at = next;
        }
        Ok(Self { entries })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.entries.get(name).copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries.keys().copied()
    }
}

/// Name and data of the entry whose central record is at `at`, and where the next record is.
fn entry(bytes: &[u8], at: usize) -> Result<(&str, &[u8], usize), WeightsError> {
    if slice(bytes, at, 4)? != CENTRAL {
        return Err(fail(at, "a record of the central directory is damaged"));
    }
    let name_length = usize::from(u16_at(bytes, at + 28)?);
    let rest = usize::from(u16_at(bytes, at + 30)?) + usize::from(u16_at(bytes, at + 32)?);
    let name = std::str::from_utf8(slice(bytes, at + 46, name_length)?)
        .map_err(|_| fail(at, "an entry's name is not UTF-8"))?;
    if u16_at(bytes, at + 8)? & 1 != 0 {
        return Err(fail(at, format!("`{name}` is encrypted")));
    }
    if u16_at(bytes, at + 10)? != 0 {
        return Err(fail(
            at,
            format!("`{name}` is compressed; torch stores its files without compression"),
        ));
    }
    let (size, local) = (u32_at(bytes, at + 24)?, u32_at(bytes, at + 42)?);
    if size == u32::MAX || local == u32::MAX {
        return Err(fail(at, format!("`{name}` lies beyond 4 GiB")));
    }
    let local = local as usize;
    if slice(bytes, local, 4)? != LOCAL {
        return Err(fail(local, format!("the header of `{name}` is damaged")));
    }
    let skip =
        30 + usize::from(u16_at(bytes, local + 26)?) + usize::from(u16_at(bytes, local + 28)?);
    let data = slice(bytes, local + skip, size as usize)?;
    Ok((name, data, at + 46 + name_length + rest))
}

fn slice(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], WeightsError> {
    at.checked_add(length)
        .and_then(|end| bytes.get(at..end))
        .ok_or_else(|| fail(at, "an offset points outside of the file"))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, WeightsError> {
    let word = slice(bytes, at, 2)?;
    Ok(u16::from_le_bytes([word[0], word[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, WeightsError> {
    let word = slice(bytes, at, 4)?;
    Ok(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
}

fn fail(position: usize, problem: impl Into<String>) -> WeightsError {
    WeightsError::format(FORMAT, position, problem)
}

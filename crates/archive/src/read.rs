//! One file of an archive, whole.

use std::io::Read;

use bytes::Bytes;
use flate2::bufread::DeflateDecoder;

use crate::{
    Entry, Limits, Method, Place,
    error::{ArchiveError, Refusal},
    name,
    object::{Object, Source},
    zip::{FILE, LOCAL, u16_at},
};

/// What a file's own header may hold besides its name, so that one request is enough for nearly all.
const BESIDES: usize = 128;

/// Reads an entry of a listing, by one request. Its checksum is checked, where it has one.
///
/// `archive` is the archive's name, for messages.
pub fn read(
    archive: &str,
    object: &impl Object,
    entry: &Entry,
    limits: &Limits,
) -> Result<Bytes, ArchiveError> {
    let refused = |refusal| ArchiveError::Entry {
        archive: archive.to_owned(),
        entry: entry.name.clone(),
        refusal,
    };
    limits.check(entry.stored, entry.size).map_err(refused)?;
    let mut source = Source::new(archive, object, 0);
    let whole = || format!("the file {}", entry.name);
    // Within a limit that fits into memory.
    let stored = usize::try_from(entry.stored).unwrap_or(usize::MAX);
    match entry.place {
        Place::Tar { offset } => source.get(offset, stored, whole),
        Place::Zip {
            header,
            method,
            crc,
        } => {
            let likely = ((LOCAL + entry.name.len() + BESIDES) as u64).saturating_add(entry.stored);
            let left = source.size().saturating_sub(header);
            let first = likely.min(left).max(LOCAL as u64) as usize;
            let mut bytes = source.get(header, first, whole)?;
            if !bytes.starts_with(FILE) {
                let reason = "its header is not where the directory says";
                return Err(refused(Refusal::Damaged(reason.to_owned())));
            }
            let before = LOCAL + usize::from(u16_at(&bytes, 26)) + usize::from(u16_at(&bytes, 28));
            if before + stored > bytes.len() {
                // A long name, or much besides.
                bytes = source.get(header, before + stored, whole)?;
            }
            agrees(&bytes, entry, method).map_err(refused)?;
            let packed = bytes.slice(before..before + stored);
            let unpacked = match method {
                Method::Stored => packed,
                Method::Deflate => inflated(&packed, entry.size).map_err(refused)?,
            };
            if crc32fast::hash(&unpacked) != crc {
                let reason = "its contents do not agree with their checksum";
                return Err(refused(Refusal::Damaged(reason.to_owned())));
            }
            Ok(unpacked)
        }
    }
}

/// Whether a file's own header says what the directory does.
fn agrees(bytes: &[u8], entry: &Entry, method: Method) -> Result<(), Refusal> {
    let damaged = |reason: &str| Err(Refusal::Damaged(reason.to_owned()));
    let raw = &bytes[LOCAL..LOCAL + usize::from(u16_at(bytes, 26))];
    if name::checked(raw).as_ref() != Ok(&entry.name) {
        let other = name::shown(raw);
        return damaged(&format!("its own header names it {other:?}"));
    }
    let told = match method {
        Method::Stored => 0,
        Method::Deflate => 8,
    };
    if u16_at(bytes, 8) != told {
        return damaged("its own header says another compression");
    }
    Ok(())
}

/// Exactly `size` bytes, or an error: never more memory than that, whatever comes.
fn inflated(packed: &[u8], size: u64) -> Result<Bytes, Refusal> {
    let mut rest = packed;
    let mut out = Vec::new();
    let more = size.saturating_add(1);
    let read = DeflateDecoder::new(&mut rest)
        .take(more)
        .read_to_end(&mut out);
    read.map_err(|error| Refusal::Damaged(format!("its contents cannot be unpacked: {error}")))?;
    if out.len() as u64 != size || !rest.is_empty() {
        let reason = format!("its contents are not the {size} bytes that the directory says");
        return Err(Refusal::Damaged(reason));
    }
    Ok(out.into())
}

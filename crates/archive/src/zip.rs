//! Zip: the directory at the end is what an archive holds; the header before each file must agree with it.
//!
//! ```text
//! front    of no archive, such as the program that unpacks it
//! files    each with its header; places of files are counted from the first of them, or from where the front begins
//! directory
//! end      its size and its place; large archives have one more before it
//! back     a comment, which the end counts, and what somebody has put behind it, such as zeros or a signature
//! ```

use bytes::Bytes;

use crate::{
    Entry, Limits, Listing, Method, Place,
    error::{ArchiveError, Problem, Refusal},
    name,
    object::{Object, Source},
};

/// Sizes without what varies.
const END: u64 = 22;
const END_64: usize = 56;
const LOCATOR_64: u64 = 20;
const CENTRAL: usize = 46;
pub(crate) const LOCAL: usize = 30;
/// What each file begins with.
pub(crate) const FILE: &[u8] = b"PK\x03\x04";
/// A comment may follow the end. No reader looks for the end before where the longest one would begin.
const COMMENT: u64 = 65_535;

/// A number of a header, whose length was checked.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

struct Directory {
    offset: u64,
    size: u64,
    entries: u64,
    /// Where what is counted from the archive's own beginning begins.
    front: u64,
}

/// What an archive says of its directory.
struct Told {
    offset: u64,
    size: u64,
    entries: u64,
}

pub(crate) fn list<O: Object>(
    archive: &str,
    object: &O,
    limits: &Limits,
) -> Result<Listing, ArchiveError> {
    let mut source = Source::new(archive, object, limits.block);
    let directory = directory(&mut source)?;
    if directory.entries > limits.entries {
        return Err(ArchiveError::TooManyEntries {
            archive: archive.to_owned(),
            limit: limits.entries,
        });
    }
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let mut first = None;
    let mut offset = directory.offset;
    let end = directory.offset + directory.size;
    for index in 0..directory.entries {
        let what = || format!("entry {index} of its directory");
        let beyond = |needed: u64| ArchiveError::Truncated {
            archive: archive.to_owned(),
            what: what(),
            needed,
            size: end,
        };
        let room = usize::try_from(end - offset).unwrap_or(usize::MAX);
        if room < CENTRAL {
            return Err(beyond(offset + CENTRAL as u64));
        }
        let fixed = source.get(offset, CENTRAL, what)?;
        if !fixed.starts_with(b"PK\x01\x02") {
            return Err(source.damaged(offset, format!("{} is not there", what())));
        }
        let lengths = [28, 30, 32].map(|at| usize::from(u16_at(&fixed, at)));
        let length = CENTRAL + lengths.iter().sum::<usize>();
        if room < length {
            return Err(beyond(offset + length as u64));
        }
        let whole = source.get(offset, length, what)?;
        offset += length as u64;
        // In a large archive it may stand elsewhere.
        let header = Some(u64::from(u32_at(&whole, 42))).filter(|at| *at < u32::MAX.into());
        first = first.into_iter().chain(header).min();
        match central(&whole, lengths, limits, directory.front) {
            Ok(Some(entry)) => found.push(entry),
            Ok(None) => {}
            Err(refusal) => problems.push(Problem {
                entry: name::shown(&whole[CENTRAL..CENTRAL + lengths[0]]),
                refusal,
            }),
        }
    }
    if offset != end {
        let reason = "its directory holds more than it counts";
        return Err(source.damaged(offset, reason));
    }
    let first = first.map(|first| directory.front.saturating_add(first));
    check_before(&mut source, first, &directory)?;
    let entries = apart(found, directory.offset, &mut problems);
    Ok(Listing { entries, problems })
}

/// What is before the first file is no archive: its files would be left out in silence.
fn check_before<O: Object>(
    source: &mut Source<'_, O>,
    first: Option<u64>,
    directory: &Directory,
) -> Result<(), ArchiveError> {
    let begin = match first {
        Some(first) if first < directory.offset => first,
        None if directory.entries == 0 => directory.offset,
        // Not known, or to be refused by itself.
        _ => return Ok(()),
    };
    let length = (END + COMMENT).min(begin);
    let before = source.get(begin - length, length as usize, String::new)?;
    let mut places = 0..before.len().saturating_sub(END as usize - 1);
    let mut another = places.any(|at| is_last(&before, at));
    if directory.front > 0 && !another {
        let mut is_file = |at| Ok(source.get(at, 4, String::new)?.starts_with(FILE));
        // Counted from a front that there is not, no file is where it should be.
        if first.is_some() && !is_file(begin)? {
            let reason = "its first file is not where its directory says";
            return Err(source.damaged(begin, reason));
        }
        // One that was cut off, perhaps within this very archive.
        another = is_file(0)?;
    }
    match another {
        true => Err(source.unsupported(format!(
            "an archive (from byte {begin} on) with another one before it"
        ))),
        false => Ok(()),
    }
}

fn is_end(tail: &[u8], at: usize) -> bool {
    tail[at..].starts_with(b"PK\x05\x06")
}

/// Whether an archive's end is there, and with its comment reaches to the end of these bytes.
fn is_last(tail: &[u8], at: usize) -> bool {
    let rest = tail.len() - at;
    is_end(tail, at) && rest == END as usize + usize::from(u16_at(tail, at + 20))
}

/// Finds the directory from the end of the archive.
fn directory<O: Object>(source: &mut Source<'_, O>) -> Result<Directory, ArchiveError> {
    let size = source.size();
    let not_one = |reason: &str| ArchiveError::NotAnArchive {
        archive: source.archive.to_owned(),
        expected: "zip",
        reason: reason.to_owned(),
    };
    if size < END {
        return Err(not_one("it is too short"));
    }
    // Nearly no archive has a comment.
    let mut tail = Bytes::new();
    let mut end = None;
    for length in [END, (END + COMMENT).min(size)] {
        tail = source.get(size - length, length as usize, String::new)?;
        let mut places = (0..=tail.len() - END as usize).rev();
        end = places.find(|at| is_last(&tail, *at));
        if end.is_some() {
            break;
        }
    }
    // Something is behind it, or a part of its comment is missing: other readers take the last one that there is.
    let mut places = (0..=tail.len() - END as usize).rev();
    let Some(end) = end.or_else(|| places.find(|at| is_end(&tail, *at))) else {
        let begins = source.get(0, 4, String::new)?;
        return Err(if begins.starts_with(FILE) {
            let reason = format!(
                "its directory's end is not in its last {} bytes: it is cut, or more than that is behind it",
                END + COMMENT
            );
            source.damaged(size, reason)
        } else {
            not_one("it has no directory")
        });
    };
    let at = size - (tail.len() - end) as u64;
    let tail = tail.slice(end..);
    let back = END as usize + usize::from(u16_at(&tail, 20));
    let behind = tail.get(back..).unwrap_or_default();
    if [FILE, b"PK\x01\x02", b"PK\x07\x08"]
        .iter()
        .any(|sign| behind.starts_with(sign))
    {
        let byte = at + back as u64;
        return Err(source.unsupported(format!(
            "an archive with another one behind it (from byte {byte} on)"
        )));
    }
    let parts = [4, 6].map(|at| u16_at(&tail, at));
    let counts = [8, 10].map(|at| u64::from(u16_at(&tail, at)));
    let plain = Told {
        entries: counts[1],
        size: u32_at(&tail, 12).into(),
        offset: u32_at(&tail, 16).into(),
    };
    let is_64 = plain.entries == u16::MAX.into()
        || plain.size == u32::MAX.into()
        || plain.offset == u32::MAX.into();
    let large = if is_64 && at >= LOCATOR_64 {
        zip64(source, at - LOCATOR_64)?
    } else {
        None
    };
    // Without one, these are numbers like others.
    let (told, at) = match large {
        Some((told, at)) => (told, at),
        None if parts != [0, 0] || counts[0] != counts[1] => {
            return Err(source.unsupported("an archive of several parts"));
        }
        None => (plain, at),
    };
    let front = front(source, &told, at)?;
    let Told { size, entries, .. } = told;
    if entries > size / CENTRAL as u64 {
        let reason = format!("{entries} entries do not fit into a directory of {size} bytes");
        return Err(source.damaged(at, reason));
    }
    Ok(Directory {
        offset: front + told.offset,
        size,
        entries,
        front,
    })
}

/// What places in the archive are counted from, if what describes its directory begins at `at`: they are right as they stand, or
/// a program was put before it and nobody changed them.
fn front<O: Object>(source: &mut Source<'_, O>, told: &Told, at: u64) -> Result<u64, ArchiveError> {
    let reached = told.offset.saturating_add(told.size);
    let Some(front) = at.checked_sub(reached) else {
        let reason = format!(
            "its directory reaches {} bytes beyond its place: its beginning is missing, or its numbers are wrong",
            reached - at
        );
        return Err(source.damaged(at, reason));
    };
    if front == 0 {
        return Ok(0);
    }
    let directory = |source: &mut Source<'_, O>| {
        let four = source.get(front + told.offset, 4, String::new)?;
        Ok::<_, ArchiveError>(four.starts_with(b"PK\x01\x02"))
    };
    if told.size >= 4 && !directory(source)? {
        // Something stands between the directory and what describes it, such as a signature of it.
        return Ok(0);
    }
    Ok(front)
}

/// What a large archive says of its directory, and where that begins.
fn zip64<O: Object>(
    source: &mut Source<'_, O>,
    locator: u64,
) -> Result<Option<(Told, u64)>, ArchiveError> {
    let found = source.get(locator, LOCATOR_64 as usize, String::new)?;
    if !found.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    if u32_at(&found, 4) != 0 || u32_at(&found, 16) > 1 {
        return Err(source.unsupported("an archive of several parts"));
    }
    // Right before this, wherever the archive begins, unless it holds more than anybody writes.
    let told = u64_at(&found, 8);
    let places = [locator.checked_sub(END_64 as u64), Some(told)];
    for at in places.into_iter().flatten() {
        if at.saturating_add(END_64 as u64) > locator {
            continue;
        }
        let end = source.get(at, END_64, String::new)?;
        if end.starts_with(b"PK\x06\x06") {
            let told = Told {
                entries: u64_at(&end, 32),
                size: u64_at(&end, 40),
                offset: u64_at(&end, 48),
            };
            return Ok(Some((told, at)));
        }
    }
    Err(source.damaged(told, "the end of its directory is not there"))
}

/// `None`: a folder.
fn central(
    whole: &[u8],
    [name_length, extra_length, _]: [usize; 3],
    limits: &Limits,
    front: u64,
) -> Result<Option<Entry>, Refusal> {
    const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
    const UNIX: u8 = 3;
    let raw = &whole[CENTRAL..CENTRAL + name_length];
    if raw.ends_with(b"/") && u32_at(whole, 24) == 0 {
        return Ok(None);
    }
    if raw.ends_with(b"/") {
        let reason = "it is named like a folder, but has contents";
        return Err(Refusal::Damaged(reason.to_owned()));
    }
    let name = name::checked(raw)?;
    if whole[5] == UNIX && u32_at(whole, 38) >> 28 == 0o12 {
        return Err(Refusal::Link);
    }
    if u16_at(whole, 8) & ENCRYPTED != 0 {
        return Err(Refusal::Encrypted);
    }
    let method = match u16_at(whole, 10) {
        0 => Method::Stored,
        8 => Method::Deflate,
        other => return Err(Refusal::Method(other)),
    };
    let extra = Extra::parse(
        &whole[CENTRAL + name_length..CENTRAL + name_length + extra_length],
        [24, 20, 42].map(|at| u32_at(whole, at)),
    )?;
    let [size, stored, header] = extra.numbers;
    if method == Method::Stored && size != stored {
        let reason = format!("{stored} bytes are stored as they are, but shall be {size}");
        return Err(Refusal::Damaged(reason));
    }
    limits.check(stored, size)?;
    Ok(Some(Entry {
        name,
        place: Place::Zip {
            // What lies beyond the directory is refused later.
            header: front.saturating_add(header),
            method,
            crc: u32_at(whole, 16),
        },
        stored,
        size,
        modified: extra
            .modified
            .or_else(|| dos_time(u16_at(whole, 14), u16_at(whole, 12))),
    }))
}

struct Extra {
    /// Size, stored size, place of the file's own header.
    numbers: [u64; 3],
    modified: Option<i64>,
}

impl Extra {
    /// `numbers` as the fixed part has them: those of all ones are found here.
    fn parse(mut rest: &[u8], numbers: [u32; 3]) -> Result<Self, Refusal> {
        let mut wide: &[u8] = &[];
        let mut modified = None;
        // Some tools fill this part up with less than a field.
        while rest.len() >= 4 {
            let (kind, length) = (u16_at(rest, 0), usize::from(u16_at(rest, 2)));
            let Some(field) = rest.get(4..4 + length) else {
                break;
            };
            rest = &rest[4 + length..];
            match kind {
                1 => wide = field,
                // Its first bit: the time of the last change is there.
                0x5455 if length >= 5 && field[0] & 1 != 0 => {
                    modified = Some(u32_at(field, 1).cast_signed().into());
                }
                _ => {}
            }
        }
        let mut whole = [0; 3];
        for (whole, number) in whole.iter_mut().zip(numbers) {
            *whole = if number == u32::MAX {
                let Some((eight, more)) = wide.split_first_chunk() else {
                    let reason = "its size or place is missing";
                    return Err(Refusal::Damaged(reason.to_owned()));
                };
                wide = more;
                u64::from_le_bytes(*eight)
            } else {
                number.into()
            };
        }
        Ok(Self {
            numbers: whole,
            modified,
        })
    }
}

/// Files that share bytes are how a small archive unpacks to more than there is room for.
fn apart(mut found: Vec<Entry>, directory: u64, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let begin = |entry: &Entry| match entry.place {
        Place::Zip { header, .. } => header,
        Place::Tar { offset } => offset,
    };
    found.sort_by_key(begin);
    // At least: its name may be longer than as it is told here, and more may stand after it.
    let end = |entry: &Entry| {
        let header = (LOCAL + entry.name.len()) as u64;
        begin(entry)
            .saturating_add(header)
            .saturating_add(entry.stored)
    };
    let mut overlaps = vec![false; found.len()];
    // The entry that reaches furthest so far.
    let mut furthest: Option<usize> = None;
    for at in 0..found.len() {
        if end(&found[at]) > directory {
            overlaps[at] = true;
            continue;
        }
        match furthest {
            Some(before) if end(&found[before]) > begin(&found[at]) => {
                overlaps[before] = true;
                overlaps[at] = true;
                if end(&found[at]) > end(&found[before]) {
                    furthest = Some(at);
                }
            }
            _ => furthest = Some(at),
        }
    }
    let mut kept = Vec::with_capacity(found.len());
    for (entry, overlaps) in found.into_iter().zip(overlaps) {
        if overlaps {
            problems.push(Problem {
                entry: entry.name,
                refusal: Refusal::Overlaps,
            });
        } else {
            kept.push(entry);
        }
    }
    kept
}

/// Seconds since 1970 of a date and time of DOS.
fn dos_time(date: u16, time: u16) -> Option<i64> {
    let [date, time] = [date, time].map(i64::from);
    let (year, month, day) = (1980 + (date >> 9), date >> 5 & 15, date & 31);
    let (hour, minute, second) = (time >> 11, time >> 5 & 63, (time & 31) * 2);
    if !(1..=12).contains(&month) || day == 0 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since the first of March of the year 0: then a leap day is a year's last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    const TO_1970: i64 = 719_468;
    Some((days - TO_1970) * 86_400 + hour * 3_600 + minute * 60 + second)
}

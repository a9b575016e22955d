//! What libjpeg warns about although the image is whole.
//!
//! Of a file's warnings it tells the first one alone: a harmless one may hide another. So a copy is made without what the first one
//! is about, and decoded again, until nothing is said, or of damage.

use super::segments;

/// What some cameras fill up with behind the last block.
const MOST_FILLING: usize = 64;

/// The file without what libjpeg's `words` are about, with the pixels that libjpeg gives it in spite of them; `None`: it is damage.
pub(super) fn without(bytes: &[u8], words: &str) -> Option<Vec<u8>> {
    match words.trim_end_matches(|last: char| last.is_ascii_digit() || last == '.') {
        // It goes on as with the version that it knows.
        "Warning: unknown JFIF revision number " => Some(changed(bytes, 0xe0, b"JFIF\0", 5, 1)),
        // It goes on with luma and colour differences; of four channels, the last is black.
        "Unknown Adobe color transform code " => {
            let transform = if segments::has_four_channels(bytes) {
                2
            } else {
                1
            };
            Some(changed(bytes, 0xee, b"Adobe", 11, transform))
        }
        // Nobody here reads the profile. By another name it is none.
        "Corrupt JPEG data: bad ICC marker" => {
            Some(changed(bytes, 0xe2, b"ICC_PROFILE\0", 0, b'i'))
        }
        // Such a frame has no progression that they could be about.
        "Invalid SOS parameters for sequential JPEG" => {
            let mut copy = bytes.to_vec();
            for scan in segments::scans(bytes) {
                if let Some(range) = copy[scan].last_chunk_mut() {
                    *range = [0, 63, 0];
                }
            }
            Some(copy)
        }
        _ => {
            let (count, marker) = words
                .strip_prefix("Corrupt JPEG data: ")?
                .split_once(" extraneous bytes before marker ")?;
            match marker {
                "0xd9" => without_filling(bytes, count.parse().ok()?),
                _ => without_gaps(bytes),
            }
        }
    }
}

/// Zeros between the segments before the first scan are none of the image's; other bytes are the rest of a segment with a wrong
/// length, and behind Adobe's marker zeros may be, too: they say what the channels are.
fn without_gaps(bytes: &[u8]) -> Option<Vec<u8>> {
    const ADOBE: u8 = 0xee;
    let scan = segments::first_scan(bytes)?.at;
    let (mut copy, mut end, mut before) = (Vec::with_capacity(bytes.len()), 0, None);
    for segment in segments::segments(bytes).take_while(|segment| segment.at <= scan) {
        let gap = &bytes[end..segment.at];
        // A marker may begin with several such bytes.
        let mut others = gap.iter().filter(|byte| **byte != 0xff);
        let is_filling = match before {
            Some(ADOBE) => others.next().is_none(),
            _ => others.all(|byte| *byte == 0),
        };
        if !is_filling {
            return None;
        }
        copy.extend_from_slice(&bytes[segment.at..segment.content.end]);
        (end, before) = (segment.content.end, Some(segment.marker));
    }
    copy.extend_from_slice(&bytes[end..]);
    (copy.len() < bytes.len()).then_some(copy)
}

/// With another byte at a place of all segments of a kind.
fn changed(bytes: &[u8], marker: u8, begin: &[u8], place: usize, value: u8) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    for segment in segments::segments(bytes).filter(|segment| segment.marker == marker) {
        let content = &mut copy[segment.content];
        if content.starts_with(begin)
            && let Some(byte) = content.get_mut(place)
        {
            *byte = value;
        }
    }
    copy
}

/// Filling is of zeros. Codes that are left over are not: where one before them is wrong, blocks get lost.
fn without_filling(bytes: &[u8], count: usize) -> Option<Vec<u8>> {
    let end = segments::end(bytes)?;
    // More of the marker's first bytes may stand before it, and are not counted.
    let before = &bytes[..end];
    let last = before.iter().rposition(|byte| *byte != 0xff)?;
    let (kept, filling) = before[..=last].split_at_checked((last + 1).checked_sub(count)?)?;
    let is_filling = count <= MOST_FILLING && filling.iter().all(|byte| *byte == 0);
    is_filling.then(|| [kept, &bytes[end..]].concat())
}

//! What a JPEG file says before anything of it is decoded. Its segments are found as decoders find them: what lies between is
//! passed over.

use std::ops::Range;

use crate::{
    error::VisionError,
    header::{Format, Header},
};

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;

pub(super) struct Segment {
    pub(super) marker: u8,
    /// Of the marker's two bytes, the place of the first.
    pub(super) at: usize,
    /// Behind the length; empty where there is none.
    pub(super) content: Range<usize>,
}

/// All from the start of `bytes` on. Codes of a scan are passed over, too: they hold no marker but those of restarts.
pub(super) fn segments(bytes: &[u8]) -> impl Iterator<Item = Segment> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(from..)?;
        let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff);
        let at = from + rest.windows(2).position(is_marker)?;
        let (marker, behind) = (bytes[at + 1], at + 2);
        let content = match marker {
            START | END | 0xd0..=0xd7 | 0x01 => behind..behind,
            _ => {
                let length = bytes[behind..].first_chunk().copied();
                let length = length.map_or(2, u16::from_be_bytes).max(2);
                let end = bytes.len().min(behind + usize::from(length));
                end.min(behind + 2)..end
            }
        };
        from = content.end;
        Some(Segment {
            marker,
            at,
            content,
        })
    })
}

/// A thumbnail in the metadata before has a scan, too: it is none of this image's.
pub(super) fn first_scan(bytes: &[u8]) -> Option<Segment> {
    segments(bytes)
        .take_while(|segment| segment.marker != END)
        .find(|segment| segment.marker == SCAN)
}

/// Where the last image data ends: at the first end marker behind the first scan.
pub(super) fn end(bytes: &[u8]) -> Option<usize> {
    let mut segments = segments(bytes).skip_while(|segment| segment.marker != SCAN);
    let end = segments.find(|segment| segment.marker == END)?;
    Some(end.at)
}

/// Whether an end marker comes after the first scan began.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    first_scan(bytes).is_some_and(|scan| {
        let mut pairs = bytes[scan.content.start..].windows(2).rev();
        pairs.any(|pair| pair == [0xff, END])
    })
}

pub(super) fn scans(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    segments(bytes)
        .filter(|segment| segment.marker == SCAN)
        .map(|segment| segment.content)
}

/// What names the size and the channels, or what stands in its place: a scan, or the end.
fn frame(bytes: &[u8]) -> Option<Segment> {
    segments(bytes).find(|segment| match segment.marker {
        // Codes, a reserved one, and arithmetic coding's conditions.
        0xc4 | 0xc8 | 0xcc => false,
        marker => matches!(marker, 0xc0..=0xcf | 0xf7 | SCAN | END),
    })
}

pub(super) fn has_four_channels(bytes: &[u8]) -> bool {
    frame(bytes).and_then(|frame| bytes[frame.content].get(5)) == Some(&4)
}

/// Size and kind, from the frame's header; kinds that are not read are refused by their names.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, VisionError> {
    const PROGRESSIVE: u8 = 0xc2;
    let damaged = |reason: &str| VisionError::damaged(Format::Jpeg, reason);
    let frame = frame(bytes).ok_or_else(|| VisionError::truncated(Format::Jpeg, bytes))?;
    match frame.marker {
        SCAN | END => return Err(damaged("nothing before its pixels says what they are")),
        // Where its codes are missing, such a file says zeros without an end: nobody could tell that it is cut.
        0xc9..=0xcb => {
            return Err(VisionError::unsupported(
                "JPEG images with arithmetic coding",
            ));
        }
        0xc5..=0xc7 | 0xcd..=0xcf => {
            return Err(VisionError::unsupported("hierarchical JPEG images"));
        }
        0xf7 => return Err(VisionError::unsupported("JPEG-LS images")),
        _ => {}
    }
    let [precision, high, low, left, right, components, ..] = bytes[frame.content] else {
        return Err(VisionError::truncated(Format::Jpeg, bytes));
    };
    match precision {
        8 => {}
        2..=16 => {
            let what = format!("JPEG images of {precision} bits a channel");
            return Err(VisionError::unsupported(what));
        }
        _ => return Err(damaged("it names no depth")),
    }
    let [height, width] = [[high, low], [left, right]].map(u16::from_be_bytes);
    if width == 0 || height == 0 {
        return Err(damaged("it names no size"));
    }
    match components {
        1 | 3 | 4 => {}
        0 => return Err(damaged("it has no channels")),
        _ => {
            let what = format!("JPEG images of {components} channels");
            return Err(VisionError::unsupported(what));
        }
    }
    // Where a scan does not say all, coefficients, of two bytes each, are held until the last one.
    let of_first_scan = first_scan(bytes).and_then(|scan| bytes[scan.content].first().copied());
    let is_whole = frame.marker != PROGRESSIVE && of_first_scan == Some(components);
    Ok(Header {
        format: Format::Jpeg,
        width: width.into(),
        height: height.into(),
        pixel_bytes: u32::from(components) * if is_whole { 1 } else { 3 },
    })
}

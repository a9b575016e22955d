//! The orientation tag of cameras, and turning an image by it (EXIF 2.3, tag 0x0112).

use crate::image::Image;

/// The tag's value, 1 to 8; 1 (as stored) if it is missing or makes no sense.
pub(crate) fn orientation(exif: &[u8]) -> u16 {
    find(exif)
        .filter(|value| (1..=8).contains(value))
        .unwrap_or(1)
}

fn find(exif: &[u8]) -> Option<u16> {
    const ORIENTATION: u16 = 0x0112;
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let little = match tiff.get(..4)? {
        [b'I', b'I', 42, 0] => true,
        [b'M', b'M', 0, 42] => false,
        _ => return None,
    };
    let short = |at: usize| {
        let pair: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little {
            u16::from_le_bytes(pair)
        } else {
            u16::from_be_bytes(pair)
        })
    };
    let long = |at: usize| {
        let four: [u8; 4] = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little {
            u32::from_le_bytes(four)
        } else {
            u32::from_be_bytes(four)
        })
    };
    let directory = long(4)? as usize;
    let entries = short(directory)? as usize;
    (0..entries).find_map(|entry| {
        let at = directory + 2 + 12 * entry;
        (short(at)? == ORIENTATION).then(|| short(at + 8)).flatten()
    })
}

/// The image as the camera saw it.
pub(crate) fn apply(image: Image, orientation: u16) -> Image {
    let (width, height, count) = (
        image.width as usize,
        image.height as usize,
        image.channels.count(),
    );
    // Where the target's row y, column x is found in the source.
    let source: fn(usize, usize, usize, usize) -> (usize, usize) = match orientation {
        2 => |y, x, w, _| (y, w - 1 - x),
        3 => |y, x, w, h| (h - 1 - y, w - 1 - x),
        4 => |y, x, _, h| (h - 1 - y, x),
        5 => |y, x, _, _| (x, y),
        6 => |y, x, _, h| (h - 1 - x, y),
        7 => |y, x, w, h| (h - 1 - x, w - 1 - y),
        8 => |y, x, w, _| (x, w - 1 - y),
        _ => return image,
    };
    let turned = orientation >= 5;
    let (new_width, new_height) = if turned {
        (height, width)
    } else {
        (width, height)
    };
    let mut data = Vec::with_capacity(image.data.len());
    for y in 0..new_height {
        for x in 0..new_width {
            let (from_y, from_x) = source(y, x, width, height);
            let at = (from_y * width + from_x) * count;
            data.extend_from_slice(&image.data[at..at + count]);
        }
    }
    let (width, height) = if turned {
        (image.height, image.width)
    } else {
        (image.width, image.height)
    };
    Image {
        width,
        height,
        data,
        ..image
    }
}

//! WebP files of one image, lossy or lossless.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use crate::{
    decode::keep_first,
    error::VisionError,
    header::{Format, Header},
    image::{Channels, Image},
};

/// Reads the chunks' headers only.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, VisionError> {
    let truncated = || VisionError::truncated(Format::WebP, bytes);
    let number = |at: usize| {
        let four = bytes.get(at..).and_then(|rest| rest.first_chunk());
        four.map(|four| u32::from_le_bytes(*four))
            .ok_or_else(truncated)
    };
    // The decoder fills what is missing of a lossy image; one that ends early is not that image.
    let end = 8 + u64::from(number(4)?);
    if (bytes.len() as u64) < end {
        return Err(truncated());
    }
    let mut canvas = None;
    let mut has_alpha = false;
    let mut at = 12;
    loop {
        let name = bytes.get(at..at + 4).ok_or_else(truncated)?;
        let length = number(at + 4)? as usize;
        let start = at + 8;
        match name {
            b"VP8X" => {
                const ANIMATED: u32 = 2;
                if number(start)? & ANIMATED != 0 {
                    return Err(VisionError::unsupported("animated WebP images"));
                }
                let side = |at: usize| Ok((number(at)? >> 8) + 1);
                canvas = Some((side(start + 3)?, side(start + 6)?));
            }
            b"ANIM" | b"ANMF" => return Err(VisionError::unsupported("animated WebP images")),
            b"ALPH" => has_alpha = true,
            b"VP8 " | b"VP8L" => {
                let lossless = name == b"VP8L";
                let (width, height) = if lossless {
                    let sides = number(start + 1)?;
                    ((sides & 0x3fff) + 1, (sides >> 14 & 0x3fff) + 1)
                } else {
                    let sides = number(start + 6)?;
                    (sides & 0x3fff, sides >> 16 & 0x3fff)
                };
                // Else the decoder would take memory for the larger one.
                if width == 0 || height == 0 || canvas.is_some_and(|size| size != (width, height)) {
                    return Err(VisionError::damaged(
                        Format::WebP,
                        format!("its image is {width}x{height}, which its header does not say"),
                    ));
                }
                // What the decoder holds at its peak: brightness and two quarters of colour, the result, and alpha with
                // its own decoding; of lossless ones four values a pixel and the result.
                let pixel_bytes = match (lossless, has_alpha) {
                    (true, _) => 7,
                    (false, true) => 11,
                    (false, false) => 5,
                };
                return Ok(Header {
                    format: Format::WebP,
                    width,
                    height,
                    pixel_bytes,
                });
            }
            _ => {}
        }
        // Chunks begin at even places.
        at = start.saturating_add(length).saturating_add(length % 2);
    }
}

pub(crate) fn decode(bytes: &[u8], header: Header) -> Result<Image, VisionError> {
    let failed = |error| match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            VisionError::truncated(Format::WebP, bytes)
        }
        error => VisionError::damaged(Format::WebP, error),
    };
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(failed)?;
    if decoder.is_animated() {
        return Err(VisionError::unsupported("animated WebP images"));
    }
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let size = header.width as usize * header.height as usize * channels;
    let mut data = vec![0; size];
    decoder.read_image(&mut data).map_err(failed)?;
    if channels == 4 {
        keep_first::<3>(&mut data, 4);
    }
    Ok(Image {
        width: header.width,
        height: header.height,
        channels: Channels::Rgb,
        data,
    })
}

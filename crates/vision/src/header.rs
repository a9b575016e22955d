//! What a file is and how large its image, from its headers: before anything is allocated for it.

use std::fmt;

use crate::{bmp, decode::guarded, error::VisionError, jpeg_read, pnm, tiff, webp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Png,
    Jpeg,
    Bmp,
    Tiff,
    WebP,
    /// PGM and PPM.
    Pnm,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::WebP => "WebP",
            Self::Pnm => "PGM or PPM",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub format: Format,
    pub width: u32,
    pub height: u32,
    /// Bytes that decoding holds for each pixel.
    pub pixel_bytes: u32,
}

/// Reads format and size. The name of the file does not matter.
pub fn header(bytes: &[u8]) -> Result<Header, VisionError> {
    let format = format(bytes)?;
    guarded(format, || {
        let (width, height, pixel_bytes) = match format {
            Format::Png => png_size(bytes)?,
            Format::Jpeg => return jpeg_read::header(bytes),
            Format::Bmp => return bmp::header(bytes),
            Format::Tiff => return tiff::header(bytes),
            Format::WebP => return webp::header(bytes),
            Format::Pnm => return pnm::header(bytes),
        };
        Ok(Header {
            format,
            width,
            height,
            pixel_bytes,
        })
    })
}

fn format(bytes: &[u8]) -> Result<Format, VisionError> {
    match bytes {
        [] => Err(VisionError::Empty),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Format::Png),
        [0xff, 0xd8, 0xff, ..] => Ok(Format::Jpeg),
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Ok(Format::Bmp),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Format::Tiff),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Ok(Format::WebP),
        [b'P', b'5' | b'6', b' ' | b'\t' | b'\n' | b'\r' | b'#', ..] => Ok(Format::Pnm),
        [0x89, b'P', b'N', b'G', ..] => Err(VisionError::truncated(Format::Png, bytes)),
        _ => match known(bytes) {
            Some(what) => Err(VisionError::unsupported(what)),
            None => Err(VisionError::NotAnImage {
                found: begin(bytes),
            }),
        },
    }
}

/// Formats that are not read: whoever has one is told so, and not that it is no image.
fn known(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [b'G', b'I', b'F', b'8', ..] => "GIF images",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "HEIF and AVIF images, and films,",
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => {
            "JPEG 2000 images"
        }
        [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] | [0xff, 0x0a, ..] => "JPEG XL images",
        [b'8', b'B', b'P', b'S', ..] => "Photoshop files",
        [b'%', b'P', b'D', b'F', ..] => "PDF files",
        [
            b'P',
            b'1'..=b'4' | b'7',
            b' ' | b'\t' | b'\n' | b'\r' | b'#',
            ..,
        ] => "PNM files of text, of bits or with alpha",
        _ => return None,
    })
}

/// The first bytes as a person would recognise them.
fn begin(bytes: &[u8]) -> String {
    const SHOWN: usize = 16;
    let head = &bytes[..bytes.len().min(SHOWN)];
    if head
        .iter()
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
    {
        format!("the text {:?}", String::from_utf8_lossy(head))
    } else {
        let hex: Vec<String> = head
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("the bytes {}", hex.join(" "))
    }
}

/// The IHDR chunk stands first: length, type, width, height, bit depth, colour type.
fn png_size(bytes: &[u8]) -> Result<(u32, u32, u32), VisionError> {
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    match (bytes.get(12..16), number(16), number(20)) {
        (Some(b"IHDR"), Some(width), Some(height)) if width > 0 && height > 0 => {
            // Less than 8 bits become 8, and a palette RGB, with its alpha if it has one.
            let channels = match bytes.get(25) {
                Some(0) => 1,
                Some(2) => 3,
                Some(4) => 2,
                _ => 4,
            };
            let depth = if bytes.get(24) == Some(&16) { 2 } else { 1 };
            Ok((width, height, channels * depth))
        }
        (Some(_), Some(_), Some(_)) => Err(VisionError::damaged(
            Format::Png,
            "its first chunk is not a valid IHDR",
        )),
        _ => Err(VisionError::truncated(Format::Png, bytes)),
    }
}

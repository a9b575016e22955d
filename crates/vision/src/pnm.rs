//! PGM and PPM files of bytes: a line of text, then the values.

use crate::{
    error::VisionError,
    header::{Format, Header},
    image::{Channels, Image},
};

struct Pnm {
    width: u32,
    height: u32,
    channels: Channels,
    /// The value of white, up to 65,535; above 255, values are of two bytes, the high one first.
    white: u32,
    /// Where the values begin.
    offset: usize,
}

pub(crate) fn header(bytes: &[u8]) -> Result<Header, VisionError> {
    let pnm = Pnm::parse(bytes)?;
    Ok(Header {
        format: Format::Pnm,
        width: pnm.width,
        height: pnm.height,
        pixel_bytes: pnm.channels.count() as u32,
    })
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Image, VisionError> {
    let pnm = Pnm::parse(bytes)?;
    let values = pnm.width as usize * pnm.height as usize * pnm.channels.count();
    let size = if pnm.white > 255 { 2 } else { 1 };
    let values = bytes
        .get(pnm.offset..)
        .and_then(|rest| rest.get(..values * size))
        .ok_or_else(|| VisionError::truncated(Format::Pnm, bytes))?;
    let data = if pnm.white == 255 {
        values.to_vec()
    } else {
        let number = |sum, byte: &u8| sum << 8 | u32::from(*byte);
        let values = values.chunks_exact(size);
        // White stays white: for 16 bits, `v / 257` as in the other formats.
        values
            .map(|value| value.iter().fold(0, number))
            .map(|value| (value * 255 + pnm.white / 2) / pnm.white)
            .map(|value| u8::try_from(value).unwrap_or(u8::MAX))
            .collect()
    };
    Ok(Image {
        width: pnm.width,
        height: pnm.height,
        channels: pnm.channels,
        data,
    })
}

impl Pnm {
    fn parse(bytes: &[u8]) -> Result<Self, VisionError> {
        let channels = match bytes.get(1) {
            Some(b'5') => Channels::Grey,
            _ => Channels::Rgb,
        };
        let mut offset = 2;
        let mut number = || number(bytes, &mut offset);
        let (width, height, white) = (number()?, number()?, number()?);
        // One blank ends the text: what follows may look like one.
        offset += 1;
        if width == 0 || height == 0 || !(1..=65_535).contains(&white) {
            return Err(VisionError::damaged(
                Format::Pnm,
                format!("{width}x{height} with white of {white} is no image"),
            ));
        }
        Ok(Self {
            width,
            height,
            channels,
            white,
            offset,
        })
    }
}

/// The next number of the text; blanks before it, and comments from `#` to the end of a line, are passed over.
fn number(bytes: &[u8], offset: &mut usize) -> Result<u32, VisionError> {
    let mut comment = false;
    let mut digits: Option<u32> = None;
    while let Some(byte) = bytes.get(*offset) {
        match (byte, digits) {
            (b'\n' | b'\r', _) if comment => comment = false,
            _ if comment => {}
            (b'0'..=b'9', before) => {
                let digit = u32::from(byte - b'0');
                let longer = before.unwrap_or(0).checked_mul(10);
                let Some(longer) = longer.and_then(|sum| sum.checked_add(digit)) else {
                    return Err(VisionError::damaged(Format::Pnm, "a number is too large"));
                };
                digits = Some(longer);
            }
            (b' ' | b'\t' | b'\n' | b'\r', Some(number)) => return Ok(number),
            (b' ' | b'\t' | b'\n' | b'\r', None) => {}
            (b'#', None) => comment = true,
            _ => return Err(VisionError::damaged(Format::Pnm, "a number is missing")),
        }
        *offset += 1;
    }
    Err(VisionError::truncated(Format::Pnm, bytes))
}

//! BMP files: a header, a palette perhaps, and rows as they are. What is coded otherwise is refused by name.

use crate::{
    error::VisionError,
    header::{Format, Header},
    image::{Channels, Image},
};

/// Of the file's own header, which all others follow.
const FILE_HEADER: usize = 14;

/// What a file says about itself; its rows are only known to be there by [`Bmp::rows`].
struct Bmp {
    width: u32,
    height: u32,
    bottom_up: bool,
    pixel: Pixel,
    /// Bits of a pixel.
    bits: u32,
    /// Where the rows begin.
    offset: usize,
}

enum Pixel {
    /// Places in a list of colours, red first; the highest bits of a byte are the leftmost pixel.
    Palette(Vec<[u8; 3]>),
    /// Blue, green, red, each a byte, in so many bytes.
    Bytes(usize),
    /// Bits of a little-endian number of so many bytes: those of red, green and blue.
    Masks([u32; 3], usize),
}

impl Pixel {
    fn channels(&self) -> Channels {
        match self {
            Self::Palette(colours) if colours.iter().all(|[r, g, b]| r == g && g == b) => {
                Channels::Grey
            }
            _ => Channels::Rgb,
        }
    }
}

pub(crate) fn header(bytes: &[u8]) -> Result<Header, VisionError> {
    let bmp = Bmp::parse(bytes)?;
    Ok(Header {
        format: Format::Bmp,
        width: bmp.width,
        height: bmp.height,
        pixel_bytes: bmp.pixel.channels().count() as u32,
    })
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Image, VisionError> {
    let bmp = Bmp::parse(bytes)?;
    let channels = bmp.pixel.channels();
    let width = bmp.width as usize;
    let values = width * bmp.height as usize * channels.count();
    let mut data = Vec::with_capacity(values);
    for row in bmp.rows(bytes)? {
        match &bmp.pixel {
            Pixel::Palette(colours) => {
                let of_byte = 8 / bmp.bits as usize;
                for x in 0..width {
                    let shift = 8 - bmp.bits as usize * (x % of_byte + 1);
                    let index = row[x / of_byte] >> shift & (0xff >> (8 - bmp.bits));
                    let Some(colour) = colours.get(usize::from(index)) else {
                        let count = colours.len();
                        return Err(damaged(format!(
                            "a pixel has colour {index}, but there are {count}"
                        )));
                    };
                    data.extend_from_slice(&colour[..channels.count()]);
                }
            }
            Pixel::Bytes(size) => {
                let pixels = row.chunks_exact(*size).take(width);
                data.extend(pixels.flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
            }
            Pixel::Masks(masks, size) => {
                for pixel in row.chunks_exact(*size).take(width) {
                    let number = |sum, byte: &u8| sum << 8 | u32::from(*byte);
                    let value = pixel.iter().rev().fold(0_u32, number);
                    data.extend(masks.map(|mask| {
                        let low = mask.trailing_zeros();
                        let (part, most) = ((value & mask) >> low, mask >> low);
                        u8::try_from(u64::from(part) * 255 / u64::from(most)).unwrap_or(u8::MAX)
                    }));
                }
            }
        }
    }
    Ok(Image {
        width: bmp.width,
        height: bmp.height,
        channels,
        data,
    })
}

impl Bmp {
    fn parse(bytes: &[u8]) -> Result<Self, VisionError> {
        let at = |at: usize, length: usize| {
            let part = bytes.get(at..at + length);
            let sum = |sum: u32, byte: &u8| sum << 8 | u32::from(*byte);
            part.map(|part| part.iter().rev().fold(0, sum))
                .ok_or_else(|| VisionError::truncated(Format::Bmp, bytes))
        };
        let (offset, size) = (at(10, 4)?, at(FILE_HEADER, 4)?);
        let field = |from: usize, length: usize| at(FILE_HEADER + from, length);
        // The first kind has 16-bit sides, palettes of three bytes a colour, and nothing else.
        let old = size == 12;
        if !old && size < 40 {
            return Err(damaged(format!("its header of {size} bytes is unknown")));
        }
        let (width, height, bits, coding, used) = if old {
            (field(4, 2)?, field(6, 2)?, field(10, 2)?, 0, 0)
        } else {
            let coding = field(16, 4)?;
            (
                field(4, 4)?,
                field(8, 4)?,
                field(14, 2)?,
                coding,
                field(32, 4)?,
            )
        };
        let bottom_up = old || height.cast_signed() >= 0;
        let height = if bottom_up {
            height
        } else {
            height.wrapping_neg()
        };
        if width == 0 || height == 0 || width > i32::MAX.cast_unsigned() {
            return Err(damaged(format!("its size of {width}x{height} is none")));
        }
        let after = FILE_HEADER + size as usize;
        let pixel = match (coding, bits) {
            (0, 1 | 4 | 8) => {
                let most = 1 << bits;
                let count = if used == 0 { most } else { used.min(most) };
                let colour = if old { 3 } else { 4 };
                let palette = bytes
                    .get(after..after + count as usize * colour)
                    .ok_or_else(|| VisionError::truncated(Format::Bmp, bytes))?;
                let colours = palette.chunks_exact(colour);
                Pixel::Palette(colours.map(|bgr| [bgr[2], bgr[1], bgr[0]]).collect())
            }
            (0, 16) => Pixel::Masks([0x7c00, 0x03e0, 0x001f], 2),
            (0, 24) => Pixel::Bytes(3),
            (0, 32) => Pixel::Bytes(4),
            (3 | 6, 16 | 32) => {
                let masks = [field(40, 4)?, field(44, 4)?, field(48, 4)?];
                if masks.contains(&0) {
                    return Err(damaged("a colour has no bits".to_owned()));
                }
                Pixel::Masks(masks, bits as usize / 8)
            }
            (1 | 2, _) => return Err(VisionError::unsupported("run-length coded BMP images")),
            (4 | 5, _) => return Err(VisionError::unsupported("BMP files around JPEG or PNG")),
            (coding, bits) => {
                return Err(VisionError::unsupported(format!(
                    "BMP images of {bits} bits a pixel, coding {coding},"
                )));
            }
        };
        if (offset as usize) < after {
            return Err(damaged("its pixels begin in its header".to_owned()));
        }
        Ok(Self {
            width,
            height,
            bottom_up,
            pixel,
            bits,
            offset: offset as usize,
        })
    }

    /// The rows from the top, each a multiple of four bytes: only the last one's filling may be missing.
    fn rows<'a>(&self, bytes: &'a [u8]) -> Result<impl Iterator<Item = &'a [u8]>, VisionError> {
        let bits = u64::from(self.width) * u64::from(self.bits);
        let (used, step) = (bits.div_ceil(8) as usize, bits.div_ceil(32) as usize * 4);
        let height = self.height as usize;
        let data = bytes.get(self.offset..).unwrap_or_default();
        if (data.len() as u64) < step as u64 * (height as u64 - 1) + used as u64 {
            return Err(VisionError::truncated(Format::Bmp, bytes));
        }
        let bottom_up = self.bottom_up;
        Ok((0..height).map(move |row| {
            let row = if bottom_up { height - 1 - row } else { row };
            &data[row * step..row * step + used]
        }))
    }
}

fn damaged(reason: String) -> VisionError {
    VisionError::damaged(Format::Bmp, reason)
}

//! TIFF files of one image: grey, RGB or CMYK of 8 or 16 bits, grey of fewer bits or of floats, with or without alpha.

use std::io::Cursor;

use ::tiff::{
    ColorType, TiffError, TiffUnsupportedError,
    decoder::{Decoder, DecodingResult, Limits},
    tags::Tag,
};

use crate::{
    decode::{inks_to_rgb, keep_first},
    error::VisionError,
    header::{Format, Header},
    image::{Channels, Image},
};

/// Pages that are looked at for a second image. Files have one, and perhaps smaller copies of it.
const PAGES: usize = 64;
/// The tiles of a small image may be larger than it; a row of one is held while it is decoded.
const TILE_WIDTH: u32 = 1 << 16;

type Reader<'a> = Decoder<Cursor<&'a [u8]>>;

/// How the values of a pixel become grey or RGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// Of one value.
    bits: u8,
    /// Values of a pixel in the file.
    samples: usize,
    colour: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Grey,
    Rgb,
    Cmyk,
}

impl Layout {
    fn of(colour: ColorType) -> Result<Self, VisionError> {
        let (colour, bits, samples) = match colour {
            ColorType::Gray(bits @ (1 | 2 | 4 | 8 | 16 | 32 | 64)) => (Colour::Grey, bits, 1),
            ColorType::GrayA(bits @ (8 | 16))
            | ColorType::Multiband {
                bit_depth: bits @ (8 | 16),
                num_samples: 2,
            } => (Colour::Grey, bits, 2),
            ColorType::RGB(bits @ (8 | 16)) => (Colour::Rgb, bits, 3),
            ColorType::RGBA(bits @ (8 | 16)) => (Colour::Rgb, bits, 4),
            ColorType::CMYK(bits @ (8 | 16)) => (Colour::Cmyk, bits, 4),
            ColorType::CMYKA(bits @ (8 | 16)) => (Colour::Cmyk, bits, 5),
            other => {
                return Err(VisionError::unsupported(format!(
                    "TIFF images of the kind {other:?}"
                )));
            }
        };
        Ok(Self {
            bits,
            samples,
            colour,
        })
    }

    fn channels(self) -> Channels {
        match self.colour {
            Colour::Grey => Channels::Grey,
            Colour::Rgb | Colour::Cmyk => Channels::Rgb,
        }
    }

    /// The values as read, and as 8 bits besides if they were of more.
    fn pixel_bytes(self) -> usize {
        let read = self.samples * usize::from(self.bits.div_ceil(8));
        read + if self.bits == 8 { 0 } else { self.samples }
    }
}

pub(crate) fn header(bytes: &[u8]) -> Result<Header, VisionError> {
    let (mut reader, layout) = open(bytes)?;
    let (width, height) = reader.dimensions().map_err(|error| failed(error, bytes))?;
    Ok(Header {
        format: Format::Tiff,
        width,
        height,
        pixel_bytes: layout.pixel_bytes() as u32,
    })
}

pub(crate) fn decode(bytes: &[u8], header: Header) -> Result<Image, VisionError> {
    let pixels = header.width as usize * header.height as usize;
    let (reader, layout) = open(bytes)?;
    // Its memory is already within what the caller allows; compressed bytes are read as a stream.
    let mut limits = Limits::unlimited();
    limits.decoding_buffer_size = pixels * header.pixel_bytes as usize;
    let mut reader = reader.with_limits(limits);
    let values = reader.read_image().map_err(|error| failed(error, bytes))?;
    let mut data = match values {
        DecodingResult::U8(values) if layout.bits == 8 => values,
        DecodingResult::U8(values) => unpacked(&values, header.width as usize, layout.bits),
        // White stays white: Pillow cuts 16 bits at 255, where nearly all is white.
        DecodingResult::U16(values) => eight_bits(values, |value| (u32::from(value) + 128) / 257),
        // As Pillow does: values of 0 to 255, fractions cut off, what lies beyond at the ends.
        DecodingResult::F32(values) => eight_bits(values, |value| value as u32),
        DecodingResult::F64(values) => eight_bits(values, |value| value as u32),
        _ => {
            return Err(VisionError::unsupported(
                "TIFF images of signed or very large integers",
            ));
        }
    };
    match layout.colour {
        Colour::Grey if layout.samples > 1 => keep_first::<1>(&mut data, layout.samples),
        Colour::Rgb if layout.samples > 3 => keep_first::<3>(&mut data, layout.samples),
        Colour::Cmyk => inks_to_rgb(&mut data, layout.samples),
        Colour::Grey | Colour::Rgb => {}
    }
    let expected = pixels * layout.channels().count();
    if data.len() != expected {
        let reason = format!("it decodes to {} values instead of {expected}", data.len());
        return Err(VisionError::damaged(Format::Tiff, reason));
    }
    Ok(Image {
        width: header.width,
        height: header.height,
        channels: layout.channels(),
        data,
    })
}

/// A file whose one image is of a kind that is read here.
fn open(bytes: &[u8]) -> Result<(Reader<'_>, Layout), VisionError> {
    let failed = |error| failed(error, bytes);
    let mut reader = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
    one_image(&mut reader, bytes)?;
    let tag = |reader: &mut Reader<'_>, tag| reader.find_tag_unsigned::<u16>(tag).map_err(failed);
    const PALETTE: u16 = 3;
    if tag(&mut reader, Tag::PhotometricInterpretation)? == Some(PALETTE) {
        return Err(VisionError::unsupported("TIFF images with a palette"));
    }
    let layout = Layout::of(reader.colortype().map_err(failed)?)?;
    const PLANES: u16 = 2;
    if layout.samples > 1 && tag(&mut reader, Tag::PlanarConfiguration)? == Some(PLANES) {
        return Err(VisionError::unsupported("TIFF images in separate planes"));
    }
    let (width, _) = reader.dimensions().map_err(failed)?;
    let (across, _) = reader.chunk_dimensions();
    if across > width.max(TILE_WIDTH) {
        return Err(VisionError::damaged(
            Format::Tiff,
            format!("its tiles are {across} wide, and its image {width}"),
        ));
    }
    Ok((reader, layout))
}

/// Smaller copies and masks may follow the image; another image may not: which one would be meant?
fn one_image(reader: &mut Reader<'_>, bytes: &[u8]) -> Result<(), VisionError> {
    let failed = |error| failed(error, bytes);
    // A smaller copy of another page, or a mask.
    const NOT_AN_IMAGE: u32 = 1 | 4;
    let kind = reader.find_tag_unsigned::<u32>(Tag::NewSubfileType);
    if kind.map_err(failed)?.unwrap_or(0) & NOT_AN_IMAGE != 0 {
        return Err(VisionError::unsupported(
            "TIFF files that begin with a thumbnail",
        ));
    }
    let mut next = reader.image_ifd().directory().next();
    let mut seen = 1;
    while let Some(place) = next {
        let page = reader.read_directory(place).map_err(failed)?;
        let mut tags = reader.read_directory_tags(&page);
        let kind = tags.find_tag_unsigned::<u32>(Tag::NewSubfileType);
        seen += 1;
        if kind.map_err(failed)?.unwrap_or(0) & NOT_AN_IMAGE == 0 || seen > PAGES {
            return Err(VisionError::unsupported("TIFF files of several pages"));
        }
        next = page.next();
    }
    Ok(())
}

fn failed(error: TiffError, bytes: &[u8]) -> VisionError {
    match error {
        TiffError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            VisionError::truncated(Format::Tiff, bytes)
        }
        TiffError::UnsupportedError(TiffUnsupportedError::UnsupportedCompressionMethod(method)) => {
            VisionError::unsupported(format!("TIFF images compressed by {method:?}"))
        }
        TiffError::UnsupportedError(kind) => {
            VisionError::unsupported(format!("TIFF images of this kind ({kind})"))
        }
        error => VisionError::damaged(Format::Tiff, error),
    }
}

fn eight_bits<T: Copy>(values: Vec<T>, convert: impl Fn(T) -> u32) -> Vec<u8> {
    let values = values.into_iter();
    values
        .map(|value| u8::try_from(convert(value)).unwrap_or(u8::MAX))
        .collect()
}

/// Values of 1, 2 or 4 bits, whose rows begin with a byte, as 0 to 255.
fn unpacked(values: &[u8], width: usize, bits: u8) -> Vec<u8> {
    let of_byte = usize::from(8 / bits);
    let most = 0xff >> (8 - bits);
    let row = |row: &[u8]| -> Vec<u8> {
        let value = |x: usize| {
            let shift = 8 - usize::from(bits) * (x % of_byte + 1);
            (row[x / of_byte] >> shift & most) * (255 / most)
        };
        (0..width).map(value).collect()
    };
    values
        .chunks_exact(width.div_ceil(of_byte))
        .flat_map(row)
        .collect()
}

//! Files to 8-bit pixels. PNG and JPEG here; the other formats have modules of their own.

use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
};

use jpeg_decoder::PixelFormat;
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace};
use zune_jpeg::JpegDecoder;

use crate::{
    bmp,
    error::VisionError,
    header::{Format, Header, header, unlimited},
    image::{Channels, Image, Mask},
    pnm, tiff, webp,
};

/// What a file may cost, checked from its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub pixels: u64,
    /// Of the file.
    pub bytes: u64,
    /// That decoding holds: channels and depth count, and what a progressive file needs besides.
    pub decoded_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pixels: 100_000_000,
            bytes: 1 << 30,
            // The largest image of 8 bits, with alpha or a palette, and room for deeper ones of half its pixels.
            decoded_bytes: 512 << 20,
        }
    }
}

impl Limits {
    /// Can be asked before the file is read.
    pub fn check_bytes(&self, bytes: u64) -> Result<(), VisionError> {
        if bytes > self.bytes {
            return Err(VisionError::TooManyBytes {
                bytes,
                limit: self.bytes,
            });
        }
        Ok(())
    }
}

/// Decodes a file. Alpha is dropped without blending; palettes and CMYK become RGB; a camera's orientation tag (EXIF) is
/// ignored, as by Anomalib: masks would not follow.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Image, VisionError> {
    let header = allowed(bytes, limits)?;
    guarded(header.format, || match header.format {
        Format::Png => png(bytes, header),
        Format::Jpeg => jpeg(bytes, header),
        Format::Bmp => bmp::decode(bytes),
        Format::Tiff => tiff::decode(bytes, header),
        Format::WebP => webp::decode(bytes, header),
        Format::Pnm => pnm::decode(bytes),
    })
}

/// An image that may have been decoded at a fraction of its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scaled {
    pub image: Image,
    /// Of the file's image.
    pub width: u32,
    pub height: u32,
}

impl From<Image> for Scaled {
    fn from(image: Image) -> Self {
        Self {
            width: image.width,
            height: image.height,
            image,
        }
    }
}

/// Decodes a file that is to be resized to `size` (height, width): a JPEG at the smallest eighth, quarter or half of its size
/// that is not smaller, from so much of its frequencies; every other file in full.
///
/// A mean over blocks takes the place of a part of the antialiasing, so that values differ from those of [`decode`].
pub fn decode_scaled(
    bytes: &[u8],
    limits: &Limits,
    size: [usize; 2],
) -> Result<Scaled, VisionError> {
    let header = allowed(bytes, limits)?;
    if let (Format::Jpeg, Some(fraction)) = (header.format, fraction(header, size))
        && let Some(image) = guarded(Format::Jpeg, || scaled_jpeg(bytes, header, fraction))?
    {
        return Ok(Scaled {
            image,
            width: header.width,
            height: header.height,
        });
    }
    decode(bytes, limits).map(Scaled::from)
}

/// Height, width at the smallest fraction that is not smaller than `size`; `None`: none but all of it.
fn fraction(header: Header, [height, width]: [usize; 2]) -> Option<[u16; 2]> {
    [8, 4, 2].into_iter().find_map(|by| {
        let sides = [header.height.div_ceil(by), header.width.div_ceil(by)];
        let is_enough = sides[0] as usize >= height && sides[1] as usize >= width;
        // A JPEG's sides are of 16 bits.
        let sides = [u16::try_from(sides[0]).ok()?, u16::try_from(sides[1]).ok()?];
        is_enough.then_some(sides)
    })
}

/// Reads a mask: a pixel above 127 is defective (the mean of its channels, if it has several).
///
/// Anomalib's data sets count the value 255 alone, so that a resaved mask loses its border.
pub fn read_mask(bytes: &[u8], limits: &Limits) -> Result<Mask, VisionError> {
    let image = decode(bytes, limits)?;
    let data = match image.channels {
        Channels::Grey => image
            .data
            .iter()
            .map(|value| u8::from(*value > 127))
            .collect(),
        Channels::Rgb => {
            let above = |pixel: &[u8]| {
                u8::from(pixel.iter().map(|value| u32::from(*value)).sum::<u32>() > 3 * 127)
            };
            image.data.chunks_exact(3).map(above).collect()
        }
    };
    Ok(Mask {
        width: image.width,
        height: image.height,
        data,
    })
}

fn allowed(bytes: &[u8], limits: &Limits) -> Result<Header, VisionError> {
    limits.check_bytes(bytes.len() as u64)?;
    let header = header(bytes)?;
    let (width, height) = (u64::from(header.width), u64::from(header.height));
    let pixels = width.saturating_mul(height);
    if pixels > limits.pixels {
        return Err(VisionError::TooManyPixels {
            width,
            height,
            pixels,
            limit: limits.pixels,
        });
    }
    let decoded = pixels.saturating_mul(header.pixel_bytes.into());
    if decoded > limits.decoded_bytes {
        return Err(VisionError::TooManyDecodedBytes {
            width,
            height,
            pixel_bytes: header.pixel_bytes,
            bytes: decoded,
            limit: limits.decoded_bytes,
        });
    }
    Ok(header)
}

fn png(bytes: &[u8], header: Header) -> Result<Image, VisionError> {
    let failed = |error: png::DecodingError| match error {
        png::DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            VisionError::truncated(Format::Png, bytes)
        }
        error => VisionError::damaged(Format::Png, error),
    };
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(failed)?;
    if reader.info().animation_control.is_some() {
        return Err(VisionError::unsupported("animated PNG images"));
    }
    let size = reader
        .output_buffer_size()
        .ok_or_else(|| VisionError::damaged(Format::Png, "its size cannot be computed"))?;
    let mut data = vec![0; size];
    let frame = reader.next_frame(&mut data).map_err(failed)?;
    data.truncate(frame.buffer_size());
    // In place: a second buffer would double what the limit allows.
    if frame.bit_depth == png::BitDepth::Sixteen {
        to_8_bits(&mut data);
    }
    let channels = match frame.color_type {
        png::ColorType::Grayscale => Channels::Grey,
        png::ColorType::Rgb => Channels::Rgb,
        png::ColorType::GrayscaleAlpha => {
            keep_first::<1>(&mut data, 2);
            Channels::Grey
        }
        png::ColorType::Rgba => {
            keep_first::<3>(&mut data, 4);
            Channels::Rgb
        }
        png::ColorType::Indexed => {
            return Err(VisionError::damaged(Format::Png, "its palette is missing"));
        }
    };
    Ok(Image {
        width: header.width,
        height: header.height,
        channels,
        data,
    })
}

/// `v / 257`, rounded: white stays white. (Pillow's `convert("RGB")`, and so Anomalib, cuts at 255: nearly all is white.)
fn to_8_bits(data: &mut Vec<u8>) {
    let half = data.len() / 2;
    for at in 0..half {
        let value = u32::from(data[2 * at]) << 8 | u32::from(data[2 * at + 1]);
        data[at] = u8::try_from((value + 128) / 257).unwrap_or(u8::MAX);
    }
    data.truncate(half);
}

/// Others' decoders are built with checks of overflow that their authors' builds lack: where a damaged file trips one, it is this
/// file's error and not the task's end. They hold nothing that outlives the call.
pub(crate) fn guarded<T>(
    format: Format,
    decode: impl FnOnce() -> Result<T, VisionError>,
) -> Result<T, VisionError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        let said = said.unwrap_or("for no reason given");
        let reason = format!("its decoder gave up: {said}");
        Err(VisionError::damaged(format, reason))
    })
}

/// Drops all but the first `N` of each pixel's `channels` values.
pub(crate) fn keep_first<const N: usize>(data: &mut Vec<u8>, channels: usize) {
    let pixels = data.len() / channels;
    for pixel in 0..pixels {
        data.copy_within(pixel * channels..pixel * channels + N, pixel * N);
    }
    data.truncate(pixels * N);
}

/// Whether the image's end marker comes after its first scan began. A thumbnail in the metadata before has one, too.
fn has_end(bytes: &[u8]) -> bool {
    const START: u8 = 0xd8;
    const END: u8 = 0xd9;
    const SCAN: u8 = 0xda;
    let mut rest = bytes;
    loop {
        // What lies between segments is passed over, as the decoder does.
        let Some(at) = rest
            .windows(2)
            .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))
        else {
            return false;
        };
        let marker = rest[at + 1];
        rest = &rest[at + 2..];
        match marker {
            SCAN => return rest.windows(2).rev().any(|pair| pair == [0xff, END]),
            END => return false,
            // Without a length: start, restarts, TEM.
            START | 0xd0..=0xd7 | 0x01 => {}
            _ => {
                let length = rest.first_chunk().map_or(2, |two| u16::from_be_bytes(*two));
                rest = rest.get(usize::from(length)..).unwrap_or_default();
            }
        }
    }
}

fn jpeg(bytes: &[u8], header: Header) -> Result<Image, VisionError> {
    // The decoder fills what is missing with grey; an image that ends early is not a grey one.
    if !has_end(bytes) {
        return Err(VisionError::truncated(Format::Jpeg, bytes));
    }
    let damaged =
        |error: zune_jpeg::errors::DecodeErrors| VisionError::damaged(Format::Jpeg, error);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), unlimited());
    decoder.decode_headers().map_err(damaged)?;
    let channels = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => Channels::Grey,
        _ => Channels::Rgb,
    };
    let target = if channels == Channels::Grey {
        ColorSpace::Luma
    } else {
        ColorSpace::RGB
    };
    decoder.set_options(unlimited().jpeg_set_out_colorspace(target));
    let data = decoder.decode().map_err(damaged)?;
    let image = Image {
        width: header.width,
        height: header.height,
        channels,
        data,
    };
    let expected = image.width as usize * image.height as usize * channels.count();
    if image.data.len() != expected {
        let reason = format!(
            "it decodes to {} values instead of {expected}",
            image.data.len()
        );
        return Err(VisionError::damaged(Format::Jpeg, reason));
    }
    Ok(image)
}

/// `None`: its colours are not those of a photograph, which only the other decoder turns into RGB.
fn scaled_jpeg(
    bytes: &[u8],
    header: Header,
    [height, width]: [u16; 2],
) -> Result<Option<Image>, VisionError> {
    if !has_end(bytes) {
        return Err(VisionError::truncated(Format::Jpeg, bytes));
    }
    let damaged = |error: jpeg_decoder::Error| VisionError::damaged(Format::Jpeg, error);
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.read_info().map_err(damaged)?;
    let channels = match decoder.info().map(|info| info.pixel_format) {
        Some(PixelFormat::L8) => Channels::Grey,
        Some(PixelFormat::RGB24) => Channels::Rgb,
        _ => return Ok(None),
    };
    // It takes the smallest fraction of which either side is not smaller than asked for, which is this one.
    let (width, height) = decoder.scale(width, height).map_err(damaged)?;
    let data = decoder.decode().map_err(damaged)?;
    let image = Image {
        width: width.into(),
        height: height.into(),
        channels,
        data,
    };
    let expected = image.width as usize * image.height as usize * channels.count();
    if image.data.len() != expected || image.width > header.width || image.height > header.height {
        let reason = format!(
            "it decodes to {} values instead of {expected}",
            image.data.len()
        );
        return Err(VisionError::damaged(Format::Jpeg, reason));
    }
    Ok(Some(image))
}

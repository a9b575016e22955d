//! Files to 8-bit pixels. PNG here; the other formats have modules of their own.

use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use turbojpeg::ScalingFactor;

use crate::{
    bmp,
    error::VisionError,
    header::{Format, Header, header},
    image::{Channels, Image, Mask},
    jpeg_read, pnm,
    preprocess::{Decoding, Preprocess},
    resize::RowsResizer,
    tiff, webp,
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
        Format::Jpeg => jpeg_read::decode(bytes, header, ScalingFactor::ONE),
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
    if header.format != Format::Jpeg {
        return decode(bytes, limits).map(Scaled::from);
    }
    let fraction = jpeg_read::fraction(header, size);
    let image = guarded(Format::Jpeg, || jpeg_read::decode(bytes, header, fraction))?;
    Ok(Scaled {
        image,
        width: header.width,
        height: header.height,
    })
}

/// What is known of an image that became a model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Of the file's image.
    pub width: u32,
    pub height: u32,
    /// How much of the time was resizing.
    pub resizing: Duration,
}

/// Decodes a file to a model's input, as [`decode`] (or [`decode_scaled`]) and [`Preprocess::apply`] do, to the same bits: the
/// commonest JPEG files are resized while they are decoded, so that their pixels stay in the processor's nearest memory.
pub fn decode_input(
    bytes: &[u8],
    limits: &Limits,
    preprocess: &Preprocess,
    out: &mut [f32],
) -> Result<Known, VisionError> {
    let header = allowed(bytes, limits)?;
    if header.format == Format::Jpeg && preprocess.decoding == Decoding::Full {
        let [rows, columns] = preprocess.window_into(out)?;
        let from = [header.height as usize, header.width as usize];
        let mut resizing = Duration::ZERO;
        let are_given = guarded(header.format, || {
            let done = jpeg_read::decode_rows(bytes, header, |channels| {
                let mut resizer = RowsResizer::new(channels, from, preprocess.size, rows, columns);
                let (out, resizing) = (&mut *out, &mut resizing);
                move |row: &[u8]| {
                    if resizer.take(row) {
                        let start = Instant::now();
                        resizer.write(out);
                        *resizing += start.elapsed();
                    }
                }
            });
            Ok(done)
        })?;
        if are_given {
            return Ok(Known {
                width: header.width,
                height: header.height,
                resizing,
            });
        }
    }
    let decoded = match preprocess.decoding {
        Decoding::Full => decode(bytes, limits)?.into(),
        Decoding::Scaled => decode_scaled(bytes, limits, preprocess.size)?,
    };
    let start = Instant::now();
    preprocess.apply(&decoded.image, out)?;
    Ok(Known {
        width: decoded.width,
        height: decoded.height,
        resizing: start.elapsed(),
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
            with_less: match header.format {
                // Three times the pixels are held until the last scan.
                Format::Jpeg => "as a baseline JPEG of one scan",
                _ => "with 8 bits a channel and without alpha",
            },
        });
    }
    Ok(header)
}

fn png(bytes: &[u8], header: Header) -> Result<Image, VisionError> {
    let failed = |error: png::DecodingError| match error {
        png::DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            VisionError::truncated(Format::Png, bytes)
        }
        // It goes on with a chunk in the form of the decoder's own types.
        error => {
            let text = error.to_string();
            let what = text.split(" while decoding ChunkType").next();
            VisionError::damaged(Format::Png, what.unwrap_or(&text))
        }
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

/// CMYK in place: `(255 - c) * (255 - k) / 255`, rounded as Pillow does.
pub(crate) fn inks_to_rgb(data: &mut Vec<u8>, samples: usize) {
    let pixels = data.len() / samples;
    for pixel in 0..pixels {
        let at = pixel * samples;
        let light = 255 - u32::from(data[at + 3]);
        for channel in 0..3 {
            let product = u32::from(data[at + channel]) * light + 128;
            let ink = ((product >> 8) + product) >> 8;
            data[pixel * 3 + channel] = u8::try_from(light.saturating_sub(ink)).unwrap_or(u8::MAX);
        }
    }
    data.truncate(pixels * 3);
}

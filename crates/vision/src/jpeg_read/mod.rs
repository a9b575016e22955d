//! JPEG files to pixels, in full or at a fraction of their size.
//!
//! Pixels are those of libjpeg-turbo, the decoder of Pillow and of OpenCV, so that they are those that others' models are trained
//! on. The commonest files are decoded to the same bits in less time; it decodes all others that it has nothing to say about. Its errors come back as values (TurboJPEG's functions catch them in C; none of ours is called
//! from there). A file that it refuses or warns about is left to `zune-jpeg`, which says what is wrong with it, or reads it: CMYK,
//! and what is odd but whole.

#[cfg(target_arch = "x86_64")]
mod baseline;

use turbojpeg::{Colorspace, Decompressor, PixelFormat, ScalingFactor};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace};
use zune_jpeg::JpegDecoder;

use crate::{
    error::VisionError,
    header::{Format, Header, unlimited},
    image::{Channels, Image},
};

/// A progressive file of a camera or a program has about ten; each costs a pass over the whole image, however short it is.
const MOST_SCANS: u32 = 100;

pub(crate) fn decode(
    bytes: &[u8],
    header: Header,
    fraction: ScalingFactor,
) -> Result<Image, VisionError> {
    // Decoders fill what is missing with grey; an image that ends early is not a grey one.
    if !has_end(bytes) || !may_hold(bytes, header) {
        return Err(VisionError::truncated(Format::Jpeg, bytes));
    }
    #[cfg(target_arch = "x86_64")]
    if fraction == ScalingFactor::ONE
        && let Some(image) = baseline::decode(bytes, header)
    {
        return Ok(image);
    }
    match by_libjpeg(bytes, header, fraction) {
        Ok(Some(image)) => Ok(image),
        // The other decoder judges: it has no fractions, and what it gives is as good.
        Ok(None) | Err(_) => by_zune(bytes, header),
    }
}

/// Gives the rows of a file of the commonest kind to what `taking` makes. `false`: it is of another kind, or damaged; rows that
/// were given mean nothing.
pub(crate) fn decode_rows<Take: FnMut(&[u8])>(
    bytes: &[u8],
    header: Header,
    taking: impl FnOnce(Channels) -> Take,
) -> bool {
    #[cfg(target_arch = "x86_64")]
    return has_end(bytes)
        && may_hold(bytes, header)
        && baseline::decode_rows(bytes, header, taking).is_some();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// The smallest fraction at which neither side is smaller than `size` (height, width).
pub(crate) fn fraction(header: Header, [height, width]: [usize; 2]) -> ScalingFactor {
    let is_enough = |fraction: &ScalingFactor| {
        fraction.scale(header.height as usize) >= height
            && fraction.scale(header.width as usize) >= width
    };
    [
        ScalingFactor::ONE_EIGHTH,
        ScalingFactor::ONE_QUARTER,
        ScalingFactor::ONE_HALF,
    ]
    .into_iter()
    .find(is_enough)
    .unwrap_or(ScalingFactor::ONE)
}

/// `None`: its colours are not those of a photograph, which only the other decoder turns into RGB.
fn by_libjpeg(
    bytes: &[u8],
    header: Header,
    fraction: ScalingFactor,
) -> turbojpeg::Result<Option<Image>> {
    let mut decoder = Decompressor::new()?;
    decoder.set_scan_limit(MOST_SCANS)?;
    decoder.set_scaling_factor(fraction)?;
    let found = decoder.read_header(bytes)?;
    // What was checked against the limits is what is decoded.
    if [found.width, found.height] != [header.width as usize, header.height as usize] {
        return Ok(None);
    }
    let (channels, format) = match found.colorspace {
        Colorspace::Gray => (Channels::Grey, PixelFormat::GRAY),
        Colorspace::RGB | Colorspace::YCbCr => (Channels::Rgb, PixelFormat::RGB),
        _ => return Ok(None),
    };
    let turbojpeg::DecompressHeader { width, height, .. } = found.scaled(fraction);
    let mut pixels = turbojpeg::Image {
        pixels: vec![0; width * height * channels.count()],
        width,
        pitch: width * channels.count(),
        height,
        format,
    };
    decoder.decompress(bytes, pixels.as_deref_mut())?;
    Ok(Some(Image {
        width: fraction.scale(header.width as usize) as u32,
        height: fraction.scale(header.height as usize) as u32,
        channels,
        data: pixels.pixels,
    }))
}

fn by_zune(bytes: &[u8], header: Header) -> Result<Image, VisionError> {
    let damaged =
        |error: zune_jpeg::errors::DecodeErrors| VisionError::damaged(Format::Jpeg, error);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), unlimited());
    decoder.decode_headers().map_err(damaged)?;
    let (channels, target) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (Channels::Grey, ColorSpace::Luma),
        _ => (Channels::Rgb, ColorSpace::RGB),
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

/// What follows the marker of the first scan; `None`: there is none. A thumbnail in the metadata before has some, too.
fn first_scan(bytes: &[u8]) -> Option<&[u8]> {
    const START: u8 = 0xd8;
    const END: u8 = 0xd9;
    const SCAN: u8 = 0xda;
    let mut rest = bytes;
    loop {
        // What lies between segments is passed over, as decoders do.
        let at = rest
            .windows(2)
            .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))?;
        let marker = rest[at + 1];
        rest = &rest[at + 2..];
        match marker {
            SCAN => return Some(rest),
            END => return None,
            // Without a length: start, restarts, TEM.
            START | 0xd0..=0xd7 | 0x01 => {}
            _ => {
                let length = rest.first_chunk().map_or(2, |two| u16::from_be_bytes(*two));
                rest = rest.get(usize::from(length)..).unwrap_or_default();
            }
        }
    }
}

/// Components that the first scan holds. Where it does not hold all, decoders keep coefficients of the whole image.
pub(crate) fn components_of_first_scan(bytes: &[u8]) -> Option<u8> {
    first_scan(bytes)?.get(2).copied()
}

/// Whether the image's end marker comes after its first scan began.
fn has_end(bytes: &[u8]) -> bool {
    first_scan(bytes).is_some_and(|rest| rest.windows(2).rev().any(|pair| pair == [0xff, 0xd9]))
}

/// Whether there are bits for the blocks of 8 x 8 pixels, of which no code is shorter than one. Without this, 500 bytes that say
/// they are an image of 100 million pixels are decoded for seconds, to grey.
fn may_hold(bytes: &[u8], header: Header) -> bool {
    let blocks = u64::from(header.width.div_ceil(8)) * u64::from(header.height.div_ceil(8));
    8 * bytes.len() as u64 >= blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, decode_scaled, header, tests::file};

    /// Where the bytes of the first scan's header begin: at its marker.
    fn scan_at(bytes: &[u8]) -> usize {
        bytes.len() - first_scan(bytes).expect("a scan").len() - 2
    }

    #[test]
    fn a_file_with_too_many_scans_is_refused_by_libjpeg() {
        let bytes = file("progressive.jpg");
        let head = header(&bytes).unwrap();
        assert!(
            by_libjpeg(&bytes, head, ScalingFactor::ONE)
                .unwrap()
                .is_some()
        );
        // The first scan again and again: its entropy-coded bytes end at the next marker.
        let start = scan_at(&bytes);
        let length = 2 + bytes[start + 2..]
            .windows(2)
            .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7))
            .unwrap();
        let scan = &bytes[start..start + length];
        let many = [
            &bytes[..start],
            &scan.repeat(MOST_SCANS as usize + 1),
            &bytes[start..],
        ]
        .concat();
        let error = by_libjpeg(&many, head, ScalingFactor::ONE).unwrap_err();
        assert!(error.to_string().contains("more than 100 scans"), "{error}");
    }

    #[test]
    fn what_libjpeg_warns_about_is_read_by_the_other_decoder_at_any_size() {
        let bytes = file("rgb.jpg");
        let whole = crate::decode(&bytes, &Limits::default()).unwrap();
        let end = bytes.len() - 2;
        let odd = [&bytes[..end], &[0x11; 40], &bytes[end..]].concat();
        let head = header(&odd).unwrap();
        assert!(by_libjpeg(&odd, head, ScalingFactor::ONE).is_err());
        let scaled = decode_scaled(&odd, &Limits::default(), [1, 1]).unwrap();
        assert_eq!((scaled.width, scaled.height), (whole.width, whole.height));
        assert_eq!(
            scaled.image,
            crate::decode(&odd, &Limits::default()).unwrap()
        );
        let off = whole.data.iter().zip(&scaled.image.data);
        let most = off.map(|(one, other)| one.abs_diff(*other)).max().unwrap();
        assert!(most <= 6, "{most}");
    }

    #[test]
    fn coefficients_of_a_file_whose_first_scan_is_not_all_count_against_the_limit() {
        let bytes = file("rgb.jpg");
        assert_eq!(header(&bytes).unwrap().pixel_bytes, 3);
        assert_eq!(components_of_first_scan(&bytes), Some(3));
        let start = scan_at(&bytes);
        // One component instead of three: two pairs of bytes less.
        let one = [0xff, 0xda, 0, 8, 1, bytes[start + 5], bytes[start + 6]];
        let apart = [&bytes[..start], &one, &bytes[start + 11..]].concat();
        assert_eq!(header(&apart).unwrap().pixel_bytes, 9);
        let limits = Limits {
            decoded_bytes: 8 * 1000,
            ..Limits::default()
        };
        let error = crate::decode(&apart, &limits).unwrap_err();
        assert_eq!(error.word(), "too_large");
    }

    #[test]
    fn a_file_too_short_for_its_size_is_refused_before_it_is_decoded() {
        for name in ["rgb.jpg", "cmyk.jpg", "progressive.jpg", "grey.jpg"] {
            let mut bytes = file(name);
            let frame = bytes
                .windows(2)
                .position(|pair| pair == [0xff, 0xc0] || pair == [0xff, 0xc2])
                .unwrap();
            // Height, then width.
            bytes[frame + 5..frame + 9].copy_from_slice(&[0x1b, 0x58, 0x1b, 0x58]);
            for wanted in [[7000, 7000], [64, 64]] {
                let error = decode_scaled(&bytes, &Limits::default(), wanted).unwrap_err();
                assert!(
                    matches!(error, VisionError::Truncated { .. }),
                    "{name}: {error}"
                );
            }
        }
    }
}

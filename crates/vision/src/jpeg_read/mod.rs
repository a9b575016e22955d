//! JPEG files to pixels, in full or at a fraction of their size.
//!
//! Pixels are those of libjpeg-turbo, the decoder of Pillow and of OpenCV, so that they are those that others' models are trained
//! on. The commonest files are decoded to the same bits in less time; it decodes all others. Its errors come back as values
//! (TurboJPEG's functions catch them in C; none of ours is called from there), and so do its warnings: it fills what is missing
//! with grey, and an image of which a part is missing is not a grey one.

#[cfg(target_arch = "x86_64")]
mod baseline;
mod harmless;
mod segments;

use std::borrow::Cow;

use turbojpeg::{Colorspace, Decompressor, PixelFormat, ScalingFactor};

use crate::{
    decode::inks_to_rgb,
    error::VisionError,
    header::{Format, Header},
    image::{Channels, Image},
};

pub(crate) use segments::header;

/// A progressive file of a camera or a program has about ten; each costs a pass over the whole image, however short it is.
const MOST_SCANS: u32 = 100;

/// Each kind of what is harmless comes once, and filling perhaps twice.
const MOST_ODDITIES: usize = 8;

pub(crate) fn decode(
    bytes: &[u8],
    header: Header,
    fraction: ScalingFactor,
) -> Result<Image, VisionError> {
    if !segments::has_end(bytes) || !may_hold(bytes, header) {
        return Err(VisionError::truncated(Format::Jpeg, bytes));
    }
    #[cfg(target_arch = "x86_64")]
    if fraction == ScalingFactor::ONE
        && let Some(image) = baseline::decode(bytes, header)
    {
        #[cfg(fuzzing)]
        assert!(by_libjpeg(bytes, header, fraction).is_ok_and(|theirs| theirs == image));
        return Ok(image);
    }
    let mut copy = Cow::Borrowed(bytes);
    for _ in 0..MOST_ODDITIES {
        let words = match by_libjpeg(&copy, header, fraction) {
            Ok(image) => return Ok(image),
            Err(words) => words,
        };
        copy = harmless::without(&copy, &words)
            .ok_or_else(|| refused(words))?
            .into();
    }
    by_libjpeg(&copy, header, fraction).map_err(refused)
}

/// Gives the rows of a file of the commonest kind to what `taking` makes. `false`: it is of another kind, or damaged; rows that
/// were given mean nothing.
pub(crate) fn decode_rows<Take: FnMut(&[u8])>(
    bytes: &[u8],
    header: Header,
    taking: impl FnOnce(Channels) -> Take,
) -> bool {
    #[cfg(target_arch = "x86_64")]
    return segments::has_end(bytes)
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

/// An error is what libjpeg says, be it an error or a warning.
fn by_libjpeg(bytes: &[u8], header: Header, fraction: ScalingFactor) -> Result<Image, String> {
    let words = |error| match error {
        turbojpeg::Error::TurboJpegError(words) => words,
        other => other.to_string(),
    };
    let mut decoder = Decompressor::new().map_err(words)?;
    decoder.set_scan_limit(MOST_SCANS).map_err(words)?;
    let found = decoder.read_header(bytes).map_err(words)?;
    // What was checked against the limits is what is decoded.
    if [found.width, found.height] != [header.width as usize, header.height as usize] {
        return Err(format!(
            "it is {}x{} in one place and {}x{} in another",
            header.width, header.height, found.width, found.height
        ));
    }
    // Such a file has no frequencies of which a part would do.
    let fraction = if found.is_lossless {
        ScalingFactor::ONE
    } else {
        fraction
    };
    decoder.set_scaling_factor(fraction).map_err(words)?;
    let (channels, format) = match found.colorspace {
        Colorspace::Gray => (Channels::Grey, PixelFormat::GRAY),
        Colorspace::RGB | Colorspace::YCbCr => (Channels::Rgb, PixelFormat::RGB),
        Colorspace::CMYK | Colorspace::YCCK => (Channels::Rgb, PixelFormat::CMYK),
    };
    let turbojpeg::DecompressHeader { width, height, .. } = found.scaled(fraction);
    let mut pixels = turbojpeg::Image {
        pixels: vec![0; width * height * format.size()],
        width,
        pitch: width * format.size(),
        height,
        format,
    };
    decoder
        .decompress(bytes, pixels.as_deref_mut())
        .map_err(words)?;
    let mut data = pixels.pixels;
    if format == PixelFormat::CMYK {
        // Files hold how much light each ink lets through, with Adobe's marker or without.
        data.iter_mut().for_each(|ink| *ink = 255 - *ink);
        inks_to_rgb(&mut data, format.size());
    }
    Ok(Image {
        width: fraction.scale(header.width as usize) as u32,
        height: fraction.scale(header.height as usize) as u32,
        channels,
        data,
    })
}

/// Of what libjpeg refuses, what it has no code for is whole.
fn refused(words: String) -> VisionError {
    let what = if words.starts_with("Fractional sampling not implemented") {
        "JPEG images with a channel whose size is no whole fraction of another's".into()
    } else if words.starts_with("Unsupported color conversion request") {
        "lossless JPEG images whose channels are no colours".into()
    } else if words.ends_with(&format!("more than {MOST_SCANS} scans")) {
        format!("JPEG images of more than {MOST_SCANS} scans")
    } else {
        return VisionError::damaged(Format::Jpeg, words);
    };
    VisionError::unsupported(what)
}

/// Whether there are bits for the blocks of 8 x 8 pixels, of which no code is shorter than one. Without this, 500 bytes that say
/// they are an image of 100 million pixels are decoded for seconds, to grey.
fn may_hold(bytes: &[u8], header: Header) -> bool {
    let blocks = u64::from(header.width.div_ceil(8)) * u64::from(header.height.div_ceil(8));
    8 * bytes.len() as u64 >= blocks
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
    use proptest::prelude::*;

    use super::*;
    use crate::{Limits, decode_scaled, header, tests::file};

    fn read(bytes: &[u8]) -> Result<Image, VisionError> {
        crate::decode(bytes, &Limits::default())
    }

    /// Libjpeg's words on a file as it is.
    fn words(bytes: &[u8]) -> String {
        by_libjpeg(bytes, header(bytes).unwrap(), ScalingFactor::ONE).unwrap_err()
    }

    /// Where the bytes of the first scan's header begin: at its marker.
    fn scan_at(bytes: &[u8]) -> usize {
        segments::first_scan(bytes).expect("a scan").at
    }

    fn with_before(bytes: &[u8], at: usize, more: &[u8]) -> Vec<u8> {
        [&bytes[..at], more, &bytes[at..]].concat()
    }

    fn without(bytes: &[u8], marker: u8) -> Vec<u8> {
        let mut left = bytes.to_vec();
        let all: Vec<_> = segments::segments(bytes).collect();
        for segment in all.iter().rev().filter(|segment| segment.marker == marker) {
            left.drain(segment.at..segment.content.end);
        }
        left
    }

    /// Waves with some noise, of 96 x 80 pixels.
    fn made(colours: ColorType, restart: u16) -> Vec<u8> {
        let channels = match colours {
            ColorType::Luma => 1,
            ColorType::Rgb => 3,
            _ => 4,
        };
        let mut random = fastrand::Rng::with_seed(3);
        let value = |at: usize| {
            let wave = (at as f32 / 40.0).sin() * 90.0 + 120.0;
            wave as u8 + random.u8(..30)
        };
        let pixels: Vec<u8> = (0..96 * 80 * channels).map(value).collect();
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 60);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        if restart > 0 {
            encoder.set_restart_interval(restart);
        }
        encoder.encode(&pixels, 96, 80, colours).expect("an image");
        bytes
    }

    fn files() -> Vec<(&'static str, Vec<u8>)> {
        let mut files: Vec<_> = ["rgb.jpg", "grey.jpg", "progressive.jpg", "cmyk.jpg"]
            .map(|name| (name, file(name)))
            .into();
        files.extend([
            ("colours", made(ColorType::Rgb, 0)),
            ("restarts", made(ColorType::Rgb, 4)),
            ("inks", made(ColorType::Cmyk, 0)),
            ("inks as differences", made(ColorType::CmykAsYcck, 4)),
        ]);
        files
    }

    #[test]
    fn a_file_with_too_many_scans_is_refused() {
        let bytes = file("progressive.jpg");
        assert!(read(&bytes).is_ok());
        // The first scan again and again: its entropy-coded bytes end at the next marker.
        let start = scan_at(&bytes);
        let length = 2 + bytes[start + 2..]
            .windows(2)
            .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7))
            .unwrap();
        let scan = &bytes[start..start + length];
        let many = with_before(&bytes, start, &scan.repeat(MOST_SCANS as usize + 1));
        let error = read(&many).unwrap_err();
        assert_eq!(error.word(), "unsupported");
        assert!(error.to_string().contains("more than 100 scans"), "{error}");
    }

    /// Decoders fill up what is missing, and say so beside.
    #[test]
    fn an_image_of_which_a_part_is_missing_or_garbage_is_damaged() {
        for (name, whole) in files() {
            assert!(read(&whole).is_ok(), "{name}");
            let start = segments::first_scan(&whole).unwrap().content.end;
            let codes = whole.len() - 2 - start;
            let middle = start + codes / 2;
            let hole = codes / 4;
            let mut random = fastrand::Rng::with_seed(7);
            let garbage: Vec<u8> = (0..hole).map(|_| random.u8(..)).collect();
            let replaced = |by: &[u8]| [&whole[..middle], by, &whole[middle + hole..]].concat();
            for (what, bytes) in [
                (
                    "a tenth",
                    [&whole[..start + codes / 10], &[0xff, 0xd9]].concat(),
                ),
                ("half", [&whole[..middle], &[0xff, 0xd9]].concat()),
                ("half and another", [&whole[..middle], &whole].concat()),
                ("zeros", replaced(&vec![0; hole])),
                ("ones", replaced(&vec![0xff; hole])),
                ("garbage", replaced(&garbage)),
                ("a hole", replaced(&[])),
            ] {
                for wanted in [[1, 1], [1000, 1000]] {
                    let error = decode_scaled(&bytes, &Limits::default(), wanted).unwrap_err();
                    assert_eq!(error.word(), "decode_error", "{what} of {name}: {error}");
                }
            }
        }
    }

    #[test]
    fn damage_is_told_in_the_words_of_libjpeg() {
        let bytes = made(ColorType::Rgb, 0);
        let cut = [&bytes[..bytes.len() / 2], &[0xff, 0xd9]].concat();
        let error = read(&cut).unwrap_err().to_string();
        let expected = "the JPEG file is damaged: Corrupt JPEG data: premature end of data segment";
        assert_eq!(error, expected);
    }

    /// What libjpeg warns about first, and a file with it.
    fn odd(whole: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let profile = b"\xff\xe2\0\x12ICC_PROFILE\0\x02\x02..";
        let transform = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x07";
        // Where there is a JFIF segment, Adobe's does not count.
        let plain = without(whole, 0xe0);
        let other_colours = with_before(&plain, scan_at(&plain), transform);
        let other_version = b"\xff\xe0\0\x10JFIF\0\x02\x01\0\0\x01\0\x01\0\0";
        let first = |marker: u8| {
            let found = segments::segments(whole).find(|segment| segment.marker == marker);
            found.expect("such a segment").at
        };
        let mut other_range = whole.to_vec();
        let codes = segments::first_scan(whole).expect("a scan").content.end;
        other_range[codes - 3..codes].copy_from_slice(&[0; 3]);
        vec![
            (
                "JFIF revision number 2.",
                with_before(whole, 2, other_version),
            ),
            ("color transform code 7", other_colours),
            ("bad ICC marker", with_before(whole, 2, profile)),
            ("Invalid SOS parameters", other_range),
            (
                " extraneous bytes before marker 0xd9",
                with_before(whole, whole.len() - 2, &[0; 40]),
            ),
            (
                " extraneous bytes before marker 0xdb",
                with_before(whole, first(0xdb), &[0; 3]),
            ),
            (
                " extraneous bytes before marker 0xc4",
                with_before(whole, first(0xc4), &[0, 0, 0xff]),
            ),
            (
                " extraneous bytes before marker 0xd9",
                with_before(
                    whole,
                    whole.len() - 2,
                    &[[0; 40].as_slice(), &[0xff; 3]].concat(),
                ),
            ),
        ]
    }

    #[test]
    fn what_libjpeg_warns_about_without_need_does_not_matter() {
        let whole = made(ColorType::Rgb, 4);
        for (what, bytes) in odd(&whole) {
            let said = words(&bytes);
            assert!(said.contains(what), "{what}: {said}");
            for wanted in [[1, 1], [1000, 1000]] {
                let read = |bytes: &[u8]| decode_scaled(bytes, &Limits::default(), wanted);
                assert_eq!(read(&bytes).unwrap(), read(&whole).unwrap(), "{what}");
            }
            // Two of them at once, of which libjpeg tells the first alone.
            for (other, bytes) in odd(&bytes).into_iter().filter(|(other, _)| *other != what) {
                assert_eq!(
                    read(&bytes).unwrap(),
                    read(&whole).unwrap(),
                    "{what}, {other}"
                );
            }
        }
    }

    #[test]
    fn what_is_harmless_hides_no_damage() {
        let whole = made(ColorType::Rgb, 4);
        let cut = [&whole[..whole.len() / 2], &[0xff, 0xd9]].concat();
        for (what, bytes) in odd(&cut) {
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains("Corrupt JPEG data: "), "{what}: {error}");
            assert!(!error.contains(what), "{what}: {error}");
        }
    }

    /// What stands where the last restart should is skipped as if it came behind the image.
    #[test]
    fn a_lost_restart_is_no_filling() {
        let mut bytes = made(ColorType::Luma, 1);
        let last = segments::segments(&bytes)
            .filter(|segment| matches!(segment.marker, 0xd0..=0xd7))
            .last()
            .unwrap();
        let end = bytes.len() - 2;
        bytes[last.at..end].fill(0);
        assert!(words(&bytes).contains(" extraneous bytes before marker 0xd9"));
        assert!(bytes[last.at..end].len() <= 64);
        assert_eq!(read(&bytes).unwrap_err().word(), "decode_error");
    }

    #[test]
    fn more_than_filling_behind_the_image_is_damage() {
        let whole = made(ColorType::Rgb, 0);
        for more in [vec![0; 100], (0..40).collect(), vec![0x11; 40]] {
            let bytes = with_before(&whole, whole.len() - 2, &more);
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(" extraneous bytes before"), "{error}");
        }
    }

    /// Where a wrong code has taken other blocks' bits, a byte may be left that is no filling.
    #[test]
    fn one_byte_that_is_left_over_is_damage() {
        let mut seen = 0;
        for colours in [ColorType::Luma, ColorType::Rgb] {
            let whole = made(colours, 0);
            for count in 1..=8 {
                let bytes = with_before(&whole, whole.len() - 2, &vec![0x11; count]);
                let said = by_libjpeg(&bytes, header(&bytes).unwrap(), ScalingFactor::ONE).err();
                let Some(said) = said else { continue };
                assert_eq!(read(&bytes).unwrap_err().word(), "decode_error", "{said}");
                seen += usize::from(said.contains(" 1 extraneous bytes before marker 0xd9"));
            }
        }
        assert!(seen > 0);
    }

    /// Zeros behind Adobe's marker may be what is left of it, and say what the channels are.
    #[test]
    fn a_marker_of_adobe_that_is_shorter_than_it_was_is_damage() {
        let whole = file("rgb.jpg");
        let plain = without(&whole, 0xe0);
        let marker = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0";
        let mut bytes = with_before(&plain, 2, marker);
        assert_ne!(
            read(&bytes).unwrap(),
            read(&whole).unwrap(),
            "red, green and blue"
        );
        bytes[2 + 3] = 10;
        assert!(words(&bytes).contains(" extraneous bytes before marker"));
        assert_eq!(read(&bytes).unwrap_err().word(), "decode_error");
    }

    #[test]
    fn component_ids_do_not_matter() {
        let whole = file("rgb.jpg");
        let mut bytes = without(&whole, 0xe0);
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]);
        let (frame, scan) = (frame.unwrap(), scan_at(&bytes));
        for component in 0..3 {
            bytes[frame + 10 + 3 * component] = 7 + component as u8;
            bytes[scan + 5 + 2 * component] = 7 + component as u8;
        }
        assert_eq!(read(&bytes).unwrap(), read(&whole).unwrap());
    }

    /// An MCU of so many blocks by their sampling, the first of which is lighter than grey, and all others as it is.
    fn sampled(samplings: [u8; 3]) -> Vec<u8> {
        let frame = |at: usize| [at as u8, samplings[at], 0];
        [
            &[0xff, 0xd8, 0xff, 0xdb, 0, 67, 0][..],
            &[8; 64],
            &[0xff, 0xc0, 0, 17, 8, 0, 8, 0, 24, 3],
            &[0, 1, 2].map(frame).concat(),
            // No difference: 0; one of three bits: 10. No coefficients: 0.
            &[0xff, 0xc4, 0, 21, 0x00, 1, 1, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 3],
            &[0xff, 0xc4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xff, 0xda, 0, 12, 3, 0, 0, 1, 0, 2, 0, 0, 63, 0],
            // 10 100 0, four times 00, and ones.
            &[0b1010_0000, 0b0000_0011, 0xff, 0xd9],
        ]
        .concat()
    }

    #[test]
    fn channels_of_a_third_of_the_width_are_read() {
        let image = read(&sampled([0x31, 0x11, 0x11])).unwrap();
        assert_eq!((image.width, image.height), (24, 8));
        assert_eq!(image.data, [132; 24 * 8 * 3]);
        let error = read(&sampled([0x31, 0x21, 0x11])).unwrap_err();
        assert_eq!(error.word(), "unsupported");
        assert!(error.to_string().contains("no whole fraction"), "{error}");
    }

    #[test]
    fn kinds_that_are_not_read_are_refused_by_their_names() {
        let whole = file("rgb.jpg");
        let frame = whole.windows(2).position(|pair| pair == [0xff, 0xc0]);
        let frame = frame.unwrap();
        let with = |place: usize, value: u8| {
            let mut bytes = whole.clone();
            bytes[frame + place] = value;
            bytes
        };
        let mut arithmetic = turbojpeg::Compressor::new().unwrap();
        arithmetic.set_arithmetic(true).unwrap();
        let grey = turbojpeg::Image {
            pixels: vec![9; 192],
            width: 8,
            pitch: 24,
            height: 8,
            format: PixelFormat::RGB,
        };
        let arithmetic = arithmetic.compress_to_vec(grey.as_deref()).unwrap();
        for (bytes, what) in [
            (arithmetic, "with arithmetic coding"),
            (with(1, 0xca), "with arithmetic coding"),
            (with(1, 0xc5), "hierarchical"),
            (with(1, 0xf7), "JPEG-LS"),
            (with(4, 12), "of 12 bits a channel"),
            (with(9, 2), "of 2 channels"),
        ] {
            let error = read(&bytes).unwrap_err();
            assert_eq!(error.word(), "unsupported", "{what}: {error}");
            assert!(error.to_string().contains(what), "{what}: {error}");
        }
        for (place, value) in [(1, 0xd9), (4, 77), (9, 0)] {
            let error = read(&with(place, value)).unwrap_err();
            assert_eq!(error.word(), "decode_error", "{place}: {error}");
        }
    }

    #[test]
    fn lossless_files_are_read_to_the_bit_in_full() {
        let pixels: Vec<u8> = (0..40 * 30 * 3).map(|at| (at * at / 7) as u8).collect();
        let image = turbojpeg::Image {
            pixels: pixels.as_slice(),
            width: 40,
            pitch: 40 * 3,
            height: 30,
            format: PixelFormat::RGB,
        };
        let mut compressor = turbojpeg::Compressor::new().unwrap();
        compressor.set_lossless(true).unwrap();
        let bytes = compressor.compress_to_vec(image).unwrap();
        for wanted in [[1, 1], [30, 40]] {
            let scaled = decode_scaled(&bytes, &Limits::default(), wanted).unwrap();
            assert_eq!([scaled.image.width, scaled.image.height], [40, 30]);
            assert_eq!(scaled.image.data, pixels);
        }
        let cut = [&bytes[..bytes.len() / 2], &[0xff, 0xd9]].concat();
        assert_eq!(read(&cut).unwrap_err().word(), "decode_error");
    }

    /// Whether anything stands between the segments before the first scan.
    fn has_gaps(bytes: &[u8]) -> bool {
        let (scan, mut end) = (scan_at(bytes), 0);
        segments::segments(bytes)
            .take_while(|segment| segment.at <= scan)
            .any(|segment| std::mem::replace(&mut end, segment.content.end) < segment.at)
    }

    proptest! {
        /// Whatever is decoded, libjpeg has nothing to say about it, or nothing but what is harmless.
        #[test]
        fn what_libjpeg_calls_corrupt_is_never_decoded(
            file in prop::sample::select(files()),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = file.1;
            for (place, value) in damage {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            let limits = Limits { pixels: 1 << 20, ..Limits::default() };
            if crate::decode(&bytes, &limits).is_ok()
                && let Err(words) = by_libjpeg(&bytes, header(&bytes).unwrap(), ScalingFactor::ONE)
            {
                let mut harmless = vec!["JFIF", "Adobe", "ICC", "SOS", "before marker 0xd9"];
                // Between scans such bytes are damage.
                if has_gaps(&bytes) {
                    harmless.push("before marker");
                }
                prop_assert!(harmless.iter().any(|what| words.contains(what)), "{}", words);
            }
        }
    }

    #[test]
    fn coefficients_of_a_file_whose_first_scan_is_not_all_count_against_the_limit() {
        let bytes = file("rgb.jpg");
        assert_eq!(header(&bytes).unwrap().pixel_bytes, 3);
        let start = scan_at(&bytes);
        assert_eq!(bytes[start + 4], 3);
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

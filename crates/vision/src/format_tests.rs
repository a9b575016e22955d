//! BMP, TIFF, WebP, PGM and PPM: golden values made by Pillow, every kind that is read, and every kind that is refused.

use std::io::Cursor;

use ::tiff::{
    encoder::{Compression, TiffEncoder, colortype as kind},
    tags::Tag,
};
use jpeg_encoder::{ColorType as JpegColour, Encoder as JpegEncoder};
use proptest::prelude::*;

use crate::{
    tests::{Golden, file, read},
    *,
};

const FILES: [&str; 8] = [
    "rgb.bmp",
    "palette.bmp",
    "rgb.tiff",
    "lzw.tiff",
    "grey16.tiff",
    "float.tiff",
    "lossless.webp",
    "lossy.webp",
];

fn decoded(bytes: &[u8]) -> Image {
    decode(bytes, &Limits::default()).unwrap()
}

fn refused(bytes: &[u8]) -> VisionError {
    decode(bytes, &Limits::default()).unwrap_err()
}

/// The largest difference and the mean of all.
fn difference(ours: &[u8], theirs: &[u8]) -> (u8, f64) {
    assert_eq!(ours.len(), theirs.len());
    let each = || ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
    let sum: u32 = each().map(u32::from).sum();
    (each().max().unwrap(), f64::from(sum) / ours.len() as f64)
}

fn rgb(width: u32, height: u32, data: impl Into<Vec<u8>>) -> Image {
    Image {
        width,
        height,
        channels: Channels::Rgb,
        data: data.into(),
    }
}

fn grey(width: u32, height: u32, data: impl Into<Vec<u8>>) -> Image {
    Image {
        channels: Channels::Grey,
        ..rgb(width, height, data)
    }
}

#[test]
fn exact_formats_decode_as_pillow_does() {
    let golden = Golden::open("inputs");
    for name in [
        "rgb.bmp",
        "palette.bmp",
        "rgb.tiff",
        "lzw.tiff",
        "float.tiff",
        "lossless.webp",
    ] {
        let theirs = golden.bytes(&format!("decoded/{name}"));
        assert_eq!(
            difference(&read(name).to_rgb(), &theirs),
            (0, 0.0),
            "{name}"
        );
    }
    let theirs = golden.bytes("decoded/lossy.webp");
    let (most, mean) = difference(&read("lossy.webp").to_rgb(), &theirs);
    assert!(most <= 6 && mean < 1.0, "{most}, {mean}");
}

#[test]
fn sixteen_bits_are_the_same_in_every_format() {
    let png = read("grey16.png");
    assert_eq!(read("grey16.tiff"), png);
    let reader = png::Decoder::new(Cursor::new(file("grey16.png"))).read_info();
    let mut reader = reader.unwrap();
    let mut values = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut values).unwrap();
    let pgm = [b"P5 120 # wide\n90\n65535\n".as_slice(), &values].concat();
    assert_eq!(decoded(&pgm), png);
}

fn jpeg(data: &[u8], colour: JpegColour) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new(&mut bytes, 100);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_4_4);
    encoder.encode(data, 16, 16, colour).unwrap();
    bytes
}

#[test]
fn both_kinds_of_cmyk_in_jpeg_are_the_same_picture() {
    let inks = |at: u32| [at, 255 - at, at / 2, at / 3].map(|ink| ink as u8);
    let data: Vec<u8> = (0..256).flat_map(inks).collect();
    let (plain, turned) = (
        decoded(&jpeg(&data, JpegColour::Cmyk)),
        decoded(&jpeg(&data, JpegColour::CmykAsYcck)),
    );
    let expected: Vec<u8> = data
        .chunks_exact(4)
        .flat_map(|ink| [ink[0], ink[1], ink[2]].map(|one| (one, ink[3])))
        .map(|(ink, black)| ((255 - u32::from(ink)) * (255 - u32::from(black)) / 255) as u8)
        .collect();
    for (name, image) in [("CMYK", plain), ("YCCK", turned)] {
        assert_eq!(image.channels, Channels::Rgb);
        let (most, mean) = difference(&image.data, &expected);
        assert!(most <= 6 && mean < 1.5, "{name}: {most}, {mean}");
    }
}

/// A camera that writes no marker of Adobe's still turns its inks around, Pillow says.
#[test]
fn cmyk_in_jpeg_needs_no_marker() {
    let mut bytes = file("cmyk.jpg");
    let marker = bytes.windows(2).position(|pair| pair == [0xff, 0xee]);
    let marker = marker.unwrap();
    let length = usize::from(u16::from_be_bytes([bytes[marker + 2], bytes[marker + 3]]));
    bytes.drain(marker..marker + 2 + length);
    assert_eq!(decoded(&bytes), read("cmyk.jpg"));
}

/// A BMP with the header of 40 bytes; `more` stands between it and the rows.
fn bmp(size: [i32; 2], bits: u16, coding: u32, more: &[u8], rows: &[u8]) -> Vec<u8> {
    let mut bytes = b"BM\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend((54 + more.len() as u32).to_le_bytes());
    bytes.extend(40_u32.to_le_bytes());
    bytes.extend(size.iter().flat_map(|side| side.to_le_bytes()));
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(coding.to_le_bytes());
    bytes.extend([0; 12]);
    // Colours of the palette; no important ones.
    let colours = if bits <= 8 { more.len() as u32 / 4 } else { 0 };
    bytes.extend(colours.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(more);
    bytes.extend(rows);
    bytes
}

#[test]
fn every_kind_of_bmp_is_read() {
    let expected = rgb(
        3,
        2,
        [
            255, 0, 0, 0, 255, 0, 0, 0, 255, 8, 0, 255, 255, 255, 255, 0, 0, 0,
        ],
    );
    let red_green_blue = [0, 0, 255, 0, 255, 0, 255, 0, 0];
    let other = [255, 0, 8, 255, 255, 255, 0, 0, 0];
    let down = [&red_green_blue[..], &[0; 3], &other, &[0; 3]].concat();
    let up = [&other[..], &[0; 3], &red_green_blue, &[0; 3]].concat();
    assert_eq!(decoded(&bmp([3, 2], 24, 0, &[], &up)), expected);
    assert_eq!(decoded(&bmp([3, -2], 24, 0, &[], &down)), expected);
    // Only the filling of the last row is missing.
    assert_eq!(decoded(&bmp([3, 2], 24, 0, &[], &up[..21])), expected);

    let four: Vec<u8> = down
        .chunks_exact(12)
        .flat_map(|row| row[..9].chunks_exact(3))
        .flat_map(|bgr| [bgr[0], bgr[1], bgr[2], 77])
        .collect();
    assert_eq!(decoded(&bmp([3, -2], 32, 0, &[], &four)), expected);
    let masks = [0xff_0000_u32, 0xff00, 0xff].map(u32::to_le_bytes).concat();
    assert_eq!(decoded(&bmp([3, -2], 32, 3, &masks, &four)), expected);

    // Five bits each; and six of green.
    let fives = [0x7c00_u16, 0x03e0, 0x001f, 0, 0x041f, 0x7fff, 0, 0].map(u16::to_le_bytes);
    assert_eq!(
        decoded(&bmp([3, -2], 16, 0, &[], &fives.concat())),
        expected
    );
    let sixes = [0xf800_u16, 0x07e0, 0x001f, 0, 0x081f, 0xffff, 0, 0].map(u16::to_le_bytes);
    let masks = [0xf800_u32, 0x07e0, 0x001f].map(u32::to_le_bytes).concat();
    assert_eq!(
        decoded(&bmp([3, -2], 16, 3, &masks, &sixes.concat())),
        expected
    );

    let palette = [
        [0, 0, 255, 0],
        [0, 255, 0, 0],
        [255, 0, 0, 0],
        [255, 0, 8, 0],
        [255, 255, 255, 0],
        [0, 0, 0, 0],
    ]
    .concat();
    let eights = [0, 1, 2, 9, 3, 4, 5, 9];
    assert_eq!(decoded(&bmp([3, -2], 8, 0, &palette, &eights)), expected);
    let fours = [0x01, 0x29, 0, 0, 0x34, 0x59, 0, 0];
    assert_eq!(decoded(&bmp([3, -2], 4, 0, &palette, &fours)), expected);

    let two = [[10, 10, 10, 0], [200, 200, 200, 0]].concat();
    let bits = bmp([9, 1], 1, 0, &two, &[0b1010_0000, 0x80, 0, 0]);
    let values = [200, 10, 200, 10, 10, 10, 10, 10, 200];
    assert_eq!(decoded(&bits), grey(9, 1, values));

    // The oldest header: 16-bit sides, three bytes a colour.
    let mut old = b"BM\0\0\0\0\0\0\0\0\x20\0\0\0\x0c\0\0\0\x02\0\x01\0\x01\0\x01\0".to_vec();
    old.extend([1, 2, 3, 4, 5, 6, 0b0100_0000, 0, 0, 0]);
    assert_eq!(decoded(&old), rgb(2, 1, [3, 2, 1, 6, 5, 4]));
}

#[test]
fn a_bmp_with_a_pixel_beyond_its_palette_is_damaged() {
    let error = refused(&bmp([1, 1], 8, 0, &[0; 8], &[2, 0, 0, 0]));
    assert!(
        error.to_string().contains("colour 2, but there are 2"),
        "{error}"
    );
}

#[test]
fn every_kind_of_pgm_and_ppm_is_read() {
    let ppm = b"P6\n# by hand\n2 1 # wide, high\n255\n\n\x00\xff#12";
    assert_eq!(decoded(ppm), rgb(2, 1, *b"\n\x00\xff#12"));
    assert_eq!(
        decoded(b"P5 3 1 15 \x00\x08\x0f"),
        grey(3, 1, [0, 136, 255])
    );
    for (text, what) in [
        (&b"P5 2 2 255 abc"[..], "ends before"),
        (b"P5 2 2", "ends before"),
        (b"P5 2 two 255 abcd", "a number is missing"),
        (b"P5 99999999999 2 255 abcd", "too large"),
        (b"P5 2 2 70000 abcd", "no image"),
    ] {
        let error = refused(text);
        assert_eq!(error.word(), "decode_error");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_png_with_a_wrong_checksum_says_so_in_words() {
    let mut bytes = Vec::new();
    let encoder = png::Encoder::new(&mut bytes, 1, 1);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[7]).unwrap();
    drop(writer);
    let data = bytes.windows(4).position(|name| name == b"IDAT").unwrap();
    // Behind the length, the name and the data.
    let length = bytes[data - 4..data]
        .first_chunk()
        .map(|four| u32::from_be_bytes(*four));
    bytes[data + 4 + length.unwrap() as usize] ^= 1;
    let text = refused(&bytes).to_string();
    assert!(text.contains("CRC"), "{text}");
    assert!(!text.contains("ChunkType"), "{text}");
}

fn tiff<C: kind::ColorType>(width: u32, values: &[C::Inner]) -> Vec<u8>
where
    [C::Inner]: ::tiff::encoder::TiffValue,
{
    compressed::<C>(width, values, Compression::Uncompressed)
}

fn compressed<C: kind::ColorType>(width: u32, values: &[C::Inner], by: Compression) -> Vec<u8>
where
    [C::Inner]: ::tiff::encoder::TiffValue,
{
    let mut bytes = Cursor::new(Vec::new());
    let encoder = TiffEncoder::new(&mut bytes).unwrap();
    let mut encoder = encoder.with_compression(by);
    encoder.write_image::<C>(width, 1, values).unwrap();
    bytes.into_inner()
}

/// A TIFF from its tags, each of one number, with its pixels at place 8; `tags` are sorted.
fn tags(tags: &[(Tag, u32)], pixels: &[u8]) -> Vec<u8> {
    let mut bytes = b"II\x2a\0".to_vec();
    bytes.extend((8 + pixels.len() as u32).to_le_bytes());
    bytes.extend(pixels);
    bytes.extend((tags.len() as u16).to_le_bytes());
    for (tag, value) in tags {
        bytes.extend(tag.to_u16().to_le_bytes());
        // A LONG, once.
        bytes.extend([4, 0, 1, 0, 0, 0]);
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes
}

/// A grey image of so many bits in one strip.
fn strip(size: [u32; 2], bits: u32, more: &[(Tag, u32)], pixels: &[u8]) -> Vec<u8> {
    let mut all = vec![
        (Tag::ImageWidth, size[0]),
        (Tag::ImageLength, size[1]),
        (Tag::BitsPerSample, bits),
        (Tag::Compression, 1),
        (Tag::PhotometricInterpretation, 1),
        (Tag::StripOffsets, 8),
        (Tag::RowsPerStrip, size[1]),
        (Tag::StripByteCounts, pixels.len() as u32),
    ];
    for (tag, value) in more {
        all.retain(|(known, _)| known != tag);
        all.push((*tag, *value));
    }
    all.sort_by_key(|(tag, _)| tag.to_u16());
    tags(&all, pixels)
}

#[test]
fn every_kind_of_tiff_is_read() {
    let pixels = [9, 8, 7, 255, 0, 1];
    assert_eq!(decoded(&tiff::<kind::RGB8>(2, &pixels)), rgb(2, 1, pixels));
    assert_eq!(
        decoded(&tiff::<kind::Gray8>(6, &pixels)),
        grey(6, 1, pixels)
    );
    let with_alpha = [9, 8, 7, 50, 255, 0, 1, 0];
    assert_eq!(
        decoded(&tiff::<kind::RGBA8>(2, &with_alpha)),
        rgb(2, 1, pixels)
    );
    // Not whole multiples of 257: the nearest one counts.
    let wide = pixels.map(|value| (u16::from(value) * 257).saturating_sub(100));
    assert_eq!(decoded(&tiff::<kind::RGB16>(2, &wide)), rgb(2, 1, pixels));
    let floats = [-3.0, 9.9, 255.5, f32::NAN, f32::INFINITY, 254.99];
    let cut = [0, 9, 255, 0, 255, 254];
    assert_eq!(
        decoded(&tiff::<kind::Gray32Float>(6, &floats)),
        grey(6, 1, cut)
    );
    for by in [
        Compression::Lzw,
        Compression::Packbits,
        Compression::Deflate(Default::default()),
    ] {
        let bytes = compressed::<kind::RGB8>(2, &pixels, by);
        assert_eq!(decoded(&bytes), rgb(2, 1, pixels));
    }
    // Inks: none, all of cyan, black, half of each with half of black.
    let inks = [0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255, 128, 128, 128, 128];
    let colours = [255, 255, 255, 0, 255, 255, 0, 0, 0, 63, 63, 63];
    assert_eq!(decoded(&tiff::<kind::CMYK8>(4, &inks)), rgb(4, 1, colours));

    let mut big = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new_big(&mut big).unwrap();
    encoder.write_image::<kind::RGB8>(2, 1, &pixels).unwrap();
    assert_eq!(decoded(&big.into_inner()), rgb(2, 1, pixels));

    let bits = [0b1010_0000, 0b1000_0000, 0b0100_0000, 0];
    let values = [255, 0, 255, 0, 0, 0, 0, 0, 255, 0, 255, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(decoded(&strip([9, 2], 1, &[], &bits)), grey(9, 2, values));
    let white_is_zero = [(Tag::PhotometricInterpretation, 0)];
    let turned = values.map(|value| 255 - value);
    assert_eq!(
        decoded(&strip([9, 2], 1, &white_is_zero, &bits)),
        grey(9, 2, turned)
    );
    assert_eq!(
        decoded(&strip([3, 1], 4, &[], &[0x0f, 0x80])),
        grey(3, 1, [0, 255, 136])
    );
}

/// Its decoder multiplies the number of strips by that of planes, in 32 bits.
#[test]
fn numbers_too_large_for_a_decoder_are_an_error_of_the_file() {
    let many = [
        (Tag::RowsPerStrip, 1),
        (Tag::SamplesPerPixel, 3),
        (Tag::PlanarConfiguration, 2),
    ];
    let error = refused(&strip([1, u32::MAX], 8, &many, &[0; 8]));
    assert_eq!(error.word(), "decode_error");
    assert!(error.to_string().contains("TIFF"), "{error}");
}

/// A WebP of these chunks.
fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = b"WEBP".to_vec();
    for (name, content) in chunks {
        bytes.extend(*name);
        bytes.extend((content.len() as u32).to_le_bytes());
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
    }
    let length = (bytes.len() as u32).to_le_bytes();
    [b"RIFF".as_slice(), &length, &bytes].concat()
}

#[test]
fn webp_with_alpha_keeps_its_colours() {
    let pixels = [1, 2, 3, 0, 200, 100, 50, 255];
    let mut bytes = Vec::new();
    let encoder = image_webp::WebPEncoder::new(&mut bytes);
    encoder
        .encode(&pixels, 2, 1, image_webp::ColorType::Rgba8)
        .unwrap();
    assert_eq!(decoded(&bytes), rgb(2, 1, [1, 2, 3, 200, 100, 50]));
}

#[test]
fn a_webp_whose_image_is_not_the_size_of_its_canvas_is_damaged() {
    let lossy = file("lossy.webp");
    let (name, image) = (&lossy[12..16], &lossy[20..]);
    assert_eq!(name, b"VP8 ");
    let mut extended = [0; 10];
    extended[4] = 119;
    extended[7] = 89;
    let whole = riff(&[(b"VP8X", &extended), (b"VP8 ", image)]);
    assert_eq!(decoded(&whole), read("lossy.webp"));
    extended[4] = 120;
    let error = refused(&riff(&[(b"VP8X", &extended), (b"VP8 ", image)]));
    assert!(error.to_string().contains("120x90"), "{error}");
}

#[test]
fn what_is_not_read_is_refused_by_its_name() {
    let mut animated_png = Vec::new();
    let mut encoder = png::Encoder::new(&mut animated_png, 1, 1);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[0]).unwrap();
    writer.write_image_data(&[1]).unwrap();
    writer.finish().unwrap();

    let mut pages = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut pages).unwrap();
    encoder.write_image::<kind::Gray8>(1, 1, &[0]).unwrap();
    encoder.write_image::<kind::Gray8>(1, 1, &[0]).unwrap();

    let grey = |more: &[(Tag, u32)]| strip([4, 1], 8, more, &[0; 64]);
    let colours = |more: [(Tag, u32); 1]| {
        let rgb = [
            (Tag::SamplesPerPixel, 3),
            (Tag::PhotometricInterpretation, 2),
        ];
        grey(&[rgb.as_slice(), &more].concat())
    };
    for (bytes, what) in [
        (b"GIF89a\x01\0\x01\0".to_vec(), "GIF"),
        (animated_png, "animated PNG"),
        (
            riff(&[(b"VP8X", &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0])]),
            "animated WebP",
        ),
        (bmp([1, 1], 8, 1, &[0; 4], &[0; 4]), "run-length coded BMP"),
        (bmp([1, 1], 0, 5, &[], &[0; 4]), "around JPEG or PNG"),
        (bmp([1, 1], 7, 0, &[], &[0; 4]), "7 bits a pixel"),
        (pages.into_inner(), "several pages"),
        (grey(&[(Tag::NewSubfileType, 1)]), "begin with a thumbnail"),
        (grey(&[(Tag::PhotometricInterpretation, 3)]), "a palette"),
        (grey(&[(Tag::Compression, 4)]), "compressed by Fax4"),
        (grey(&[(Tag::Compression, 7)]), "compressed by ModernJPEG"),
        (grey(&[(Tag::BitsPerSample, 12)]), "Gray(12)"),
        (grey(&[(Tag::BitsPerSample, 32)]), "large integers"),
        (grey(&[(Tag::SampleFormat, 2)]), "signed"),
        (colours([(Tag::PhotometricInterpretation, 6)]), "YCbCr"),
        (b"P3 1 1 255 0 0 0".to_vec(), "of text"),
        (b"\0\0\0\x18ftypheic".to_vec(), "HEIF"),
        (b"\0\0\0\x0cJXL \r\n".to_vec(), "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n".to_vec(), "JPEG 2000"),
        (b"8BPS\0\x01".to_vec(), "Photoshop"),
        (b"%PDF-1.7".to_vec(), "PDF"),
    ] {
        let error = refused(&bytes);
        assert_eq!(error.word(), "unsupported", "{what}: {error}");
        assert!(error.to_string().contains(what), "{what}: {error}");
    }
}

/// The second directory of this file is a smaller copy of the first.
#[test]
fn a_thumbnail_after_the_image_is_passed_over() {
    let mut bytes = strip([2, 1], 8, &[], &[7, 8]);
    let second = strip([1, 1], 8, &[(Tag::NewSubfileType, 1)], &[9]);
    let at = bytes.len() as u32;
    let next = bytes.len() - 4;
    bytes[next..].copy_from_slice(&at.to_le_bytes());
    bytes.extend(&second[9..]);
    assert_eq!(decoded(&bytes), grey(2, 1, [7, 8]));
}

#[test]
fn bombs_are_refused_from_their_headers() {
    let side = 30_000_i32;
    let mut webp = file("lossless.webp");
    webp[21..25].copy_from_slice(&0x0fff_ffff_u32.to_le_bytes());
    let tile = |size: [u32; 2]| {
        tags(
            &[
                (Tag::ImageWidth, size[0]),
                (Tag::ImageLength, size[1]),
                (Tag::BitsPerSample, 8),
                (Tag::PhotometricInterpretation, 1),
                (Tag::TileWidth, 1 << 30),
                (Tag::TileLength, 16),
                (Tag::TileOffsets, 8),
                (Tag::TileByteCounts, 8),
            ],
            &[0; 8],
        )
    };
    for (bytes, what) in [
        (bmp([side, side], 24, 0, &[], &[]), "30000x30000"),
        (
            bmp([i32::MAX, i32::MIN], 1, 0, &[0; 8], &[]),
            "2147483647x2147483648",
        ),
        (strip([30_000, 30_000], 1, &[], &[]), "30000x30000"),
        (strip([12_000, 8_000], 64, &[], &[]), "9 bytes a pixel"),
        (webp, "16384x16384"),
        (b"P6 30000 30000 255 ".to_vec(), "30000x30000"),
    ] {
        let error = refused(&bytes);
        assert_eq!(error.word(), "too_large", "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
    let error = refused(&tile([4, 4]));
    assert!(
        error.to_string().contains("tiles are 1073741824 wide"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn changed_files_never_panic(
        name in prop::sample::select(FILES.as_slice()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        // Most of a file is pixels; these hit what describes them.
        near in proptest::collection::vec((0..64_usize, any::<bool>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = file(name);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        for (at, end, value) in near {
            let at = if end { bytes.len() - 1 - at } else { at };
            bytes[at] ^= value;
        }
        // A changed header may promise a large image: what it may cost is limited.
        let limits = Limits { pixels: 1 << 20, ..Limits::default() };
        if let Ok(image) = decode(&bytes, &limits) {
            let size = image.width as usize * image.height as usize * image.channels.count();
            prop_assert_eq!(image.data.len(), size);
        }
        for wanted in [1, 40] {
            if let Ok(scaled) = decode_scaled(&bytes, &limits, [wanted; 2]) {
                let image = scaled.image;
                let size = image.width as usize * image.height as usize * image.channels.count();
                prop_assert_eq!(image.data.len(), size);
                prop_assert!(scaled.width as usize <= 1 << 20);
            }
        }
    }

    #[test]
    fn cut_files_are_an_error(name in prop::sample::select(FILES.as_slice()), keep: prop::sample::Index) {
        let bytes = file(name);
        let kept = &bytes[..keep.index(bytes.len())];
        if let Err(error) = decode(kept, &Limits::default()) {
            prop_assert!(matches!(error.word(), "empty" | "not_an_image" | "decode_error"), "{}", error);
        } else {
            // All that is missing lies behind the image.
            prop_assert_eq!(decoded(kept), read(name));
        }
    }
}

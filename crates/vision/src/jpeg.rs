//! Pixels to small JPEG files, for pictures that people look at: a photograph takes about a tenth of what it does as PNG.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::{
    error::VisionError,
    image::{Channels, Image},
};

/// A JPEG of a quality from 1 to 100, in full colour resolution: thin coloured lines stay what they are.
pub fn encode_jpeg(image: &Image, quality: u8) -> Result<Vec<u8>, VisionError> {
    let not_a_picture = || VisionError::NotAPicture {
        width: image.width,
        height: image.height,
        bytes: image.data.len(),
    };
    let sides = [image.width, image.height].map(u16::try_from);
    let values = image.width as usize * image.height as usize * image.channels.count();
    let ([Ok(width @ 1..), Ok(height @ 1..)], true) = (sides, image.data.len() == values) else {
        return Err(not_a_picture());
    };
    let colours = match image.channels {
        Channels::Grey => ColorType::Luma,
        Channels::Rgb => ColorType::Rgb,
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality.clamp(1, 100));
    encoder.set_sampling_factor(SamplingFactor::R_4_4_4);
    // Nothing else can be wrong: it is written to memory.
    encoder
        .encode(&image.data, width, height, colours)
        .map_err(|_| not_a_picture())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Limits, decode};

    fn read(bytes: &[u8]) -> Image {
        decode(bytes, &Limits::default()).unwrap()
    }

    /// Mean of the squares of all differences.
    fn error(one: &Image, other: &Image) -> f64 {
        assert_eq!((one.width, one.height), (other.width, other.height));
        let (one, other) = (one.to_rgb(), other.to_rgb());
        let squares = one.iter().zip(&other);
        let sum: f64 = squares
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum();
        sum / one.len() as f64
    }

    /// Waves of several colours, and an edge.
    fn picture(width: u32, height: u32, channels: Channels) -> Image {
        let wave = |at: u32, length: f32| 60.0 * (at as f32 / length).sin();
        let mut data = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let edge = if x + y > 70 { 40.0 } else { 0.0 };
                let values = [wave(x, 5.0), wave(y, 7.0), wave(x + y, 11.0)];
                let bytes = values.map(|value| (100.0 + value + edge) as u8);
                data.extend(&bytes[..channels.count()]);
            }
        }
        Image {
            width,
            height,
            channels,
            data,
        }
    }

    #[test]
    fn what_is_written_is_read_again_nearly_as_it_was() {
        for channels in [Channels::Grey, Channels::Rgb] {
            for (width, height) in [(1, 1), (8, 8), (176, 176), (17, 90), (90, 17)] {
                let image = picture(width, height, channels);
                let read_again = read(&encode_jpeg(&image, 95).unwrap());
                assert_eq!(read_again.channels, channels);
                let off = error(&read_again, &image);
                assert!(off < 4.0, "{channels:?} {width}x{height}: {off}");
            }
        }
    }

    #[test]
    fn a_lower_quality_is_a_smaller_file_that_is_further_off() {
        let image = picture(176, 176, Channels::Rgb);
        let files = [95, 80, 40, 10].map(|quality| encode_jpeg(&image, quality).unwrap());
        let off = files.each_ref().map(|bytes| error(&read(bytes), &image));
        assert!(files.windows(2).all(|pair| pair[1].len() < pair[0].len()));
        assert!(off.windows(2).all(|pair| pair[0] < pair[1]), "{off:?}");
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        for (width, height, values) in [(2, 2, 3), (0, 4, 0), (65_536, 1, 65_536)] {
            let image = Image {
                width,
                height,
                channels: Channels::Grey,
                data: vec![0; values],
            };
            let error = encode_jpeg(&image, 80).unwrap_err();
            assert_eq!(error.word(), "internal");
        }
    }

    proptest! {
        #[test]
        fn noise_of_any_strength_and_size_can_be_read(
            width in 1..40_u32, height in 1..40_u32, quality in 0..=120_u8,
            data in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(255)], 40 * 40 * 3),
        ) {
            for channels in [Channels::Grey, Channels::Rgb] {
                let values = (width * height) as usize * channels.count();
                let image = Image { width, height, channels, data: data[..values].to_vec() };
                let read = read(&encode_jpeg(&image, quality).unwrap());
                prop_assert_eq!((read.width, read.height, read.channels), (width, height, channels));
                if quality >= 100 {
                    prop_assert!(error(&read, &image) < 3.0);
                }
            }
        }
    }
}

//! Synthetic anomalies: a normal image with a defect that nobody had to produce (Zavrtanik et al., DRAEM, ICCV 2021), as
//! Anomalib makes its synthetic test and validation sets, here of Perlin noise only.
//!
//! All that is random comes from the sample's seed: image and mask need not be kept, and every worker makes the same ones.

mod augment;
mod perlin;

use fastrand::Rng;

use crate::{Channels, Image, Mask};
use augment::{Picture, Rotation, augment, between};
use perlin::Perlin;

/// Cells along an axis are 2 to the power of less than this.
const SCALES: u32 = 6;

/// Noise above this is defect.
const THRESHOLD: f64 = 0.5;

/// How strong the defect is: from hardly to be seen on.
const STRENGTH: [f32; 2] = [0.01, 0.2];

/// Draws of a noise that exceeds the threshold somewhere; about every second does.
const DRAWS: u32 = 64;

/// The image with its defect, in colour.
pub fn with_synthetic_anomaly(image: &Image, seed: u64) -> Image {
    let mut random = Rng::with_seed(seed);
    let shape = Shape::draw(size_of(image.width, image.height), &mut random);
    let strength = between(&mut random, STRENGTH[0], STRENGTH[1]);
    let mut defect = shape.picture();
    augment(&mut defect, &mut random);
    let mut data = image.to_rgb();
    for ((pixel, defect), covered) in data
        .chunks_exact_mut(3)
        .zip(&defect.pixels)
        .zip(shape.mask())
    {
        if covered {
            for (value, defect) in pixel.iter_mut().zip(defect) {
                let mixed = strength * f32::from(*defect) + (1.0 - strength) * f32::from(*value);
                *value = mixed.round() as u8;
            }
        }
    }
    Image {
        width: image.width,
        height: image.height,
        channels: Channels::Rgb,
        data,
    }
}

/// Where the defect of such an image is.
pub fn synthetic_mask(width: u32, height: u32, seed: u64) -> Mask {
    let shape = Shape::draw(size_of(width, height), &mut Rng::with_seed(seed));
    Mask {
        width,
        height,
        data: shape.mask().map(u8::from).collect(),
    }
}

fn size_of(width: u32, height: u32) -> [usize; 2] {
    [height as usize, width as usize]
}

/// The noise that a defect is cut from: over the next powers of two, cut to the image and turned.
struct Shape {
    /// Rows and columns.
    size: [usize; 2],
    noise: Perlin,
    turned: Rotation,
    /// An image too small for noise is defect all over.
    everywhere: bool,
}

impl Shape {
    fn draw(size: [usize; 2], random: &mut Rng) -> Self {
        let mut draw = || {
            let whole = size.map(usize::next_power_of_two);
            let cells = whole.map(|length| (1 << random.u32(..SCALES)).min(length));
            Self {
                size,
                noise: Perlin::new(whole, cells, || random.f64()),
                turned: Rotation::new(size, between(random, -90.0, 90.0)),
                everywhere: false,
            }
        };
        let mut shape = draw();
        for _ in 1..DRAWS {
            if shape.mask().any(|covered| covered) {
                return shape;
            }
            shape = draw();
        }
        let everywhere = !shape.mask().any(|covered| covered);
        Self {
            everywhere,
            ..shape
        }
    }

    /// Row by row; 0 where the turn brings in what is outside.
    fn values(&self) -> impl Iterator<Item = f64> {
        let [rows, columns] = self.size;
        (0..rows * columns).map(move |index| {
            let place = self.turned.source(index / columns, index % columns);
            place.map_or(0.0, |[row, column]| self.noise.at(row, column))
        })
    }

    fn mask(&self) -> impl Iterator<Item = bool> {
        self.values()
            .map(|value| self.everywhere || value > THRESHOLD)
    }

    /// The noise as the reference shows it: negative values wrap.
    fn picture(&self) -> Picture {
        let value = |noise: f64| [(noise * 255.0) as i32 as u8; 3];
        Picture {
            width: self.size[1],
            height: self.size[0],
            pixels: self.values().map(value).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(width: u32, height: u32, channels: Channels) -> Image {
        let data = vec![120; (width * height) as usize * channels.count()];
        Image {
            width,
            height,
            channels,
            data,
        }
    }

    #[test]
    fn the_image_changes_inside_the_mask_only() {
        for seed in 0..20 {
            let image = flat(150, 90, Channels::Grey);
            let (found, mask) = (
                with_synthetic_anomaly(&image, seed),
                synthetic_mask(150, 90, seed),
            );
            assert_eq!(
                (found.width, found.height, found.channels),
                (150, 90, Channels::Rgb)
            );
            assert_eq!((mask.width, mask.height), (150, 90));
            let covered = mask.data.iter().filter(|defect| **defect == 1).count();
            assert!(covered > 0 && covered < 150 * 90, "seed {seed}: {covered}");
            for (pixel, defect) in found.data.chunks_exact(3).zip(&mask.data) {
                assert!(*defect == 1 || pixel == [120; 3]);
                // As strong as it may be.
                assert!(pixel.iter().all(|value| value.abs_diff(120) <= 27));
            }
        }
    }

    #[test]
    fn the_seed_decides() {
        let image = flat(64, 64, Channels::Rgb);
        assert_eq!(
            with_synthetic_anomaly(&image, 7),
            with_synthetic_anomaly(&image, 7)
        );
        assert_ne!(
            with_synthetic_anomaly(&image, 7),
            with_synthetic_anomaly(&image, 8)
        );
        let changed = |seed| with_synthetic_anomaly(&image, seed) != image;
        assert!((0..20).filter(|seed| changed(*seed)).count() > 15);
    }

    #[test]
    fn every_size_has_a_defect() {
        for (width, height) in [(1, 1), (1, 40), (2, 3), (33, 31), (500, 20)] {
            for seed in 0..5 {
                let mask = synthetic_mask(width, height, seed);
                assert!(mask.data.contains(&1), "{width} x {height}, seed {seed}");
                with_synthetic_anomaly(&flat(width, height, Channels::Rgb), seed);
            }
        }
    }
}

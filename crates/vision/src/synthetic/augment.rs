//! Ten ways to change a picture beyond recognition, of which each anomaly takes three (Zavrtanik et al., DRAEM, ICCV 2021),
//! with the ranges of Anomalib.

use fastrand::Rng;

/// Pixels of 8 bits, red, green, blue, row by row.
pub(super) struct Picture {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<[u8; 3]>,
}

type Augmentation = fn(&mut Picture, &mut Rng);

const ALL: [Augmentation; 10] = [
    gamma,
    brightness,
    sharpness,
    hue_and_saturation,
    solarise,
    posterise,
    invert,
    autocontrast,
    equalise,
    rotate,
];

/// How many of them change one picture.
const TAKEN: usize = 3;

/// Three different ones, one after the other.
pub(super) fn augment(picture: &mut Picture, random: &mut Rng) {
    let mut order = ALL;
    random.shuffle(&mut order);
    for change in &order[..TAKEN] {
        change(picture, random);
    }
}

/// Uniform in `low..high`.
pub(super) fn between(random: &mut Rng, low: f32, high: f32) -> f32 {
    low + random.f32() * (high - low)
}

fn to_u8(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

fn each_value(picture: &mut Picture, change: impl Fn(u8) -> u8) {
    let table: [u8; 256] = std::array::from_fn(|value| change(value as u8));
    for value in picture.pixels.iter_mut().flatten() {
        *value = table[usize::from(*value)];
    }
}

fn each_channel(picture: &mut Picture, mut table: impl FnMut(&[u8]) -> [u8; 256]) {
    for channel in 0..3 {
        let values: Vec<u8> = picture.pixels.iter().map(|pixel| pixel[channel]).collect();
        let table = table(&values);
        for pixel in &mut picture.pixels {
            pixel[channel] = table[usize::from(pixel[channel])];
        }
    }
}

fn gamma(picture: &mut Picture, random: &mut Rng) {
    each_channel(picture, |_| {
        let exponent = between(random, 0.5, 2.0);
        std::array::from_fn(|value| to_u8(255.0 * (value as f32 / 255.0).powf(exponent)))
    });
}

/// Of the luma (BT.601); colours stay.
fn brightness(picture: &mut Picture, random: &mut Rng) {
    let (factor, offset) = (between(random, 0.8, 1.2), between(random, -30.0, 30.0));
    let factor_first = random.bool();
    for pixel in &mut picture.pixels {
        let [red, green, blue] = pixel.map(f32::from);
        let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
        let changed = if factor_first {
            luma * factor + offset
        } else {
            (luma + offset) * factor
        };
        *pixel = [red, green, blue].map(|value| to_u8(value + changed - luma));
    }
}

/// 0: smoothed, 1: as it is, 2: as much sharper.
fn sharpness(picture: &mut Picture, random: &mut Rng) {
    let factor = between(random, 0.0, 2.0);
    let (width, source) = (picture.width, picture.pixels.clone());
    for row in 1..picture.height.saturating_sub(1) {
        for column in 1..width.saturating_sub(1) {
            let at = row * width + column;
            let around =
                [at - width, at, at + width].map(|middle| &source[middle - 1..=middle + 1]);
            for channel in 0..3 {
                let own = f32::from(source[at][channel]);
                let sum: f32 = (around.iter().flat_map(|pixels| pixels.iter()))
                    .map(|pixel| f32::from(pixel[channel]))
                    .sum();
                let smooth = (sum + 4.0 * own) / 13.0;
                picture.pixels[at][channel] = to_u8(smooth + factor * (own - smooth));
            }
        }
    }
}

fn hue_and_saturation(picture: &mut Picture, random: &mut Rng) {
    // Both on a scale of 256 steps.
    let turn = between(random, -50.0, 50.0) / 255.0 * 6.0;
    let more = between(random, -50.0, 50.0) / 255.0;
    for pixel in &mut picture.pixels {
        let [red, green, blue] = pixel.map(|value| f32::from(value) / 255.0);
        let (high, low) = (red.max(green).max(blue), red.min(green).min(blue));
        let spread = high - low;
        let hue = if spread == 0.0 {
            0.0
        } else if high == red {
            (green - blue) / spread
        } else if high == green {
            2.0 + (blue - red) / spread
        } else {
            4.0 + (red - green) / spread
        };
        let saturation = if high == 0.0 { 0.0 } else { spread / high };
        let (hue, saturation) = (
            (hue + turn).rem_euclid(6.0),
            (saturation + more).clamp(0.0, 1.0),
        );
        let channel = |offset: f32| {
            let place = (hue + offset).rem_euclid(6.0);
            high - high * saturation * place.min(4.0 - place).clamp(0.0, 1.0)
        };
        *pixel = [channel(5.0), channel(3.0), channel(1.0)].map(|value| to_u8(255.0 * value));
    }
}

fn solarise(picture: &mut Picture, random: &mut Rng) {
    if random.bool() {
        let threshold = random.u8(32..=128);
        each_value(picture, |value| {
            if value >= threshold {
                255 - value
            } else {
                value
            }
        });
    }
}

fn posterise(picture: &mut Picture, random: &mut Rng) {
    let bits = random.u32(1..=8);
    each_value(picture, |value| value & (0xff_u8 << (8 - bits)));
}

fn invert(picture: &mut Picture, _: &mut Rng) {
    each_value(picture, |value| 255 - value);
}

fn histogram(values: &[u8]) -> [usize; 256] {
    let mut counts = [0; 256];
    for value in values {
        counts[usize::from(*value)] += 1;
    }
    counts
}

/// Leaves out a share of the lowest and of the highest values, and spreads the rest.
fn autocontrast(picture: &mut Picture, random: &mut Rng) {
    let cut = between(random, 0.0, 0.2);
    each_channel(picture, |values| {
        let (counts, left_out) = (histogram(values), (values.len() as f32 * cut) as usize);
        let first_kept = |values: [usize; 256]| {
            let mut passed = 0;
            let kept = values.into_iter().find(|value| {
                passed += counts[*value];
                passed > left_out
            });
            kept.unwrap_or(values[0]) as f32
        };
        let low = first_kept(std::array::from_fn(|value| value));
        let high = first_kept(std::array::from_fn(|value| 255 - value));
        std::array::from_fn(|value| {
            if high <= low {
                value as u8
            } else {
                to_u8((value as f32 - low) * 255.0 / (high - low))
            }
        })
    });
}

fn equalise(picture: &mut Picture, _: &mut Rng) {
    each_channel(picture, |values| {
        let counts = histogram(values);
        let last = counts.iter().rev().find(|count| **count > 0);
        let step = (values.len() - last.copied().unwrap_or(0)) / 255;
        let mut passed = step / 2;
        std::array::from_fn(|value| {
            if step == 0 {
                return value as u8;
            }
            let mapped = (passed / step).min(255) as u8;
            passed += counts[value];
            mapped
        })
    });
}

/// About the middle; what comes in from outside is black.
fn rotate(picture: &mut Picture, random: &mut Rng) {
    let turned = Rotation::new(
        [picture.height, picture.width],
        between(random, -45.0, 45.0),
    );
    let (width, source) = (picture.width, picture.pixels.clone());
    for (index, pixel) in picture.pixels.iter_mut().enumerate() {
        let place = turned.source(index / width, index % width);
        *pixel = place.map_or([0; 3], |[row, column]| {
            source[row.round() as usize * width + column.round() as usize]
        });
    }
}

/// A picture turned about its middle.
pub(super) struct Rotation {
    size: [usize; 2],
    sine: f64,
    cosine: f64,
}

impl Rotation {
    /// `size`: rows and columns.
    pub fn new(size: [usize; 2], degrees: f32) -> Self {
        let (sine, cosine) = f64::from(degrees).to_radians().sin_cos();
        Self { size, sine, cosine }
    }

    /// Which place of the picture comes to this pixel: row and column, `None` outside.
    pub fn source(&self, row: usize, column: usize) -> Option<[f64; 2]> {
        let middle = self.size.map(|length| (length as f64 - 1.0) / 2.0);
        let (down, right) = (row as f64 - middle[0], column as f64 - middle[1]);
        let place = [
            self.cosine * down - self.sine * right + middle[0],
            self.sine * down + self.cosine * right + middle[1],
        ];
        // A rounding error outside is the edge.
        let inside = |axis: usize| {
            let last = self.size[axis] as f64 - 1.0;
            (-1e-9..=last + 1e-9)
                .contains(&place[axis])
                .then_some(place[axis].clamp(0.0, last))
        };
        Some([inside(0)?, inside(1)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let pixel = |index: usize| [0, 1, 2].map(|channel| (index * 7 + channel * 61) as u8);
        Picture {
            width: 60,
            height: 40,
            pixels: (0..2400).map(pixel).collect(),
        }
    }

    fn changed(change: Augmentation, seed: u64) -> Vec<[u8; 3]> {
        let mut picture = picture();
        change(&mut picture, &mut Rng::with_seed(seed));
        picture.pixels
    }

    #[test]
    fn each_changes_the_picture_and_is_the_same_for_the_same_seed() {
        for (number, change) in ALL.into_iter().enumerate() {
            let differs = (0..20).any(|seed| changed(change, seed) != picture().pixels);
            assert!(differs, "augmentation {number}");
            assert_eq!(
                changed(change, 3),
                changed(change, 3),
                "augmentation {number}"
            );
        }
    }

    #[test]
    fn none_needs_a_large_picture() {
        for (width, height) in [(1, 1), (1, 5), (2, 2), (3, 1)] {
            for change in ALL {
                let pixels = vec![[7, 8, 9]; width * height];
                let mut small = Picture {
                    width,
                    height,
                    pixels,
                };
                change(&mut small, &mut Rng::with_seed(1));
                assert_eq!(small.pixels.len(), width * height);
            }
        }
    }

    #[test]
    fn hue_and_saturation_leave_the_value() {
        for red in (0..=255_u8).step_by(15) {
            for green in (0..=255_u8).step_by(15) {
                let pixels = vec![[red, green, 90]];
                let mut one = Picture {
                    width: 1,
                    height: 1,
                    pixels,
                };
                hue_and_saturation(&mut one, &mut Rng::with_seed(u64::from(red)));
                assert_eq!(
                    one.pixels[0].into_iter().max(),
                    Some(red.max(green).max(90))
                );
            }
        }
    }

    #[test]
    fn autocontrast_and_equalise_reach_both_ends() {
        for change in [autocontrast as Augmentation, equalise] {
            let pixels = (0..2000)
                .map(|index| [(100 + index % 40) as u8; 3])
                .collect();
            let mut flat = Picture {
                width: 50,
                height: 40,
                pixels,
            };
            change(&mut flat, &mut Rng::with_seed(5));
            let values = || flat.pixels.iter().map(|pixel| pixel[0]);
            assert!(values().min().unwrap() < 8 && values().max().unwrap() > 247);
        }
    }

    #[test]
    fn a_quarter_turn_moves_the_corners() {
        let turn = Rotation::new([5, 5], 90.0);
        let near = |found: Option<[f64; 2]>, expected: [f64; 2]| {
            let found = found.unwrap();
            (0..2).all(|axis| (found[axis] - expected[axis]).abs() < 1e-6)
        };
        assert!(near(turn.source(0, 0), [4.0, 0.0]));
        assert!(near(turn.source(2, 2), [2.0, 2.0]));
        assert_eq!(Rotation::new([5, 9], 90.0).source(0, 0), None);
    }
}

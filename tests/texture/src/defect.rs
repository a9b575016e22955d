//! The kinds of defects: each changes the picture where its coverage is above nothing; the mask is where it is above a half.

use crate::picture::{Photo, Picture, SIDE};
use crate::random::Random;
use crate::view::{Light, Tint, View, see};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A piece of another surface.
    Foreign,
    /// Missing material: a dark, flat hollow with a shaded rim.
    Hole,
    /// A thin bright or dark line without structure.
    Scratch,
    /// The structure is blurred, the brightness shifted.
    Smear,
    /// The colour is changed, the structure kept.
    Stain,
}

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::Foreign,
        Self::Hole,
        Self::Scratch,
        Self::Smear,
        Self::Stain,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Hole => "hole",
            Self::Scratch => "scratch",
            Self::Smear => "smear",
            Self::Stain => "stain",
        }
    }
}

/// Share of each pixel that the defect covers, 0 to 1.
pub struct Coverage(Vec<f32>);

impl Coverage {
    /// 255 where the defect covers at least half of the pixel.
    pub fn mask(&self) -> Vec<u8> {
        self.0
            .iter()
            .map(|share| if *share >= 0.5 { 255 } else { 0 })
            .collect()
    }

    /// From the signed distance to the border in pixels (negative inside), with a soft edge.
    fn from_distance(distance: impl Fn(f32, f32) -> f32, softness: f32) -> Self {
        let mut shares = Vec::with_capacity(SIDE * SIDE);
        for y in 0..SIDE {
            for x in 0..SIDE {
                shares.push(
                    (0.5 - distance(x as f32 + 0.5, y as f32 + 0.5) / softness).clamp(0.0, 1.0),
                );
            }
        }
        Self(shares)
    }
}

/// A disc of the outline of a blob: centre and radii.
struct Ellipse {
    centre: (f32, f32),
    axis: (f32, f32),
    radii: (f32, f32),
}

impl Ellipse {
    /// Nearly the distance to the border: exact for circles, good enough for a soft edge.
    fn distance(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = (x - self.centre.0, y - self.centre.1);
        let (u, v) = (
            dx * self.axis.0 + dy * self.axis.1,
            dy * self.axis.0 - dx * self.axis.1,
        );
        let (u, v) = (u / self.radii.0, v / self.radii.1);
        ((u * u + v * v).sqrt() - 1.0) * self.radii.0.min(self.radii.1)
    }
}

/// An irregular blob: a few overlapping ellipses. `size` is the range of their radii in pixels.
fn blob(random: &mut Random, size: (f32, f32), softness: f32) -> Coverage {
    let side = SIDE as f32;
    let reach = size.1 * 0.6;
    let (cx, cy) = (
        random.between(0.15 * side, 0.85 * side),
        random.between(0.15 * side, 0.85 * side),
    );
    let ellipses: Vec<_> = (0..random.whole(2, 4))
        .map(|_| Ellipse {
            centre: (
                cx + random.between(-reach, reach),
                cy + random.between(-reach, reach),
            ),
            axis: random.direction(),
            radii: (
                random.between(size.0, size.1),
                random.between(size.0, size.1),
            ),
        })
        .collect();
    Coverage::from_distance(
        |x, y| {
            ellipses
                .iter()
                .map(|ellipse| ellipse.distance(x, y))
                .fold(f32::MAX, f32::min)
        },
        softness,
    )
}

/// A line that bends: a walk of short steps.
fn line(random: &mut Random) -> Coverage {
    let side = SIDE as f32;
    let mut point = (
        random.between(0.15 * side, 0.85 * side),
        random.between(0.15 * side, 0.85 * side),
    );
    let mut direction = random.direction();
    let mut points = vec![point];
    for _ in 0..random.whole(5, 9) {
        let bend = random.between(-0.45, 0.45);
        let turned = (
            direction.0 - bend * direction.1,
            direction.1 + bend * direction.0,
        );
        let length = (turned.0 * turned.0 + turned.1 * turned.1).sqrt();
        direction = (turned.0 / length, turned.1 / length);
        point = (
            (point.0 + 12.0 * direction.0).clamp(3.0, side - 3.0),
            (point.1 + 12.0 * direction.1).clamp(3.0, side - 3.0),
        );
        points.push(point);
    }
    let half_width = random.between(1.0, 2.2);
    Coverage::from_distance(
        |x, y| {
            points
                .windows(2)
                .map(|ends| segment_distance(ends[0], ends[1], x, y))
                .fold(f32::MAX, f32::min)
                - half_width
        },
        1.2,
    )
}

fn segment_distance(a: (f32, f32), b: (f32, f32), x: f32, y: f32) -> f32 {
    let (abx, aby) = (b.0 - a.0, b.1 - a.1);
    let square = abx * abx + aby * aby;
    let along = if square > 0.0 {
        (((x - a.0) * abx + (y - a.1) * aby) / square).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let (dx, dy) = (x - a.0 - along * abx, y - a.1 - along * aby);
    (dx * dx + dy * dy).sqrt()
}

/// A change of brightness that is never too small to see: between `low` and `high`, up or down.
fn shift(random: &mut Random, low: f32, high: f32) -> f32 {
    let size = random.between(low, high);
    if random.coin() { size } else { -size }
}

/// The surface that foreign pieces come from.
#[derive(Clone, Copy)]
pub struct Other<'a> {
    pub photo: &'a Photo,
    pub tint: Tint,
}

/// Applies a defect.
pub fn apply(random: &mut Random, kind: Kind, picture: &mut Picture, other: Other<'_>) -> Coverage {
    let (coverage, changed) = match kind {
        Kind::Scratch => {
            let gain = shift(random, 65.0, 105.0);
            (line(random), shifted(&picture.box_blur(8), gain))
        }
        Kind::Smear => {
            let gain = shift(random, 25.0, 55.0);
            (
                blob(random, (8.0, 18.0), 2.0),
                shifted(&picture.box_blur(4), gain),
            )
        }
        Kind::Hole => {
            let coverage = blob(random, (6.0, 14.0), 2.0);
            (coverage, hollow(random, picture))
        }
        Kind::Stain => {
            let mut tint = [
                random.between(0.5, 0.75),
                random.between(0.5, 0.75),
                random.between(0.5, 0.75),
            ];
            // One channel stands out, and never green, which would be lost in grass.
            tint[if random.coin() { 0 } else { 2 }] = random.between(1.0, 1.25);
            let changed = picture
                .0
                .iter()
                .map(|pixel| [pixel[0] * tint[0], pixel[1] * tint[1], pixel[2] * tint[2]]);
            (blob(random, (9.0, 20.0), 5.0), Picture(changed.collect()))
        }
        Kind::Foreign => {
            let view = View::draw(random, other.photo);
            let light = Light::draw(random, other.tint);
            (
                blob(random, (9.0, 20.0), 2.0),
                see(other.photo, &view, &light),
            )
        }
    };
    for (pixel, (new, share)) in picture.0.iter_mut().zip(changed.0.iter().zip(&coverage.0)) {
        (0..3).for_each(|channel| pixel[channel] += (new[channel] - pixel[channel]) * share);
    }
    coverage
}

fn shifted(picture: &Picture, gain: f32) -> Picture {
    Picture(
        picture
            .0
            .iter()
            .map(|pixel| pixel.map(|value| (value + gain).clamp(0.0, 255.0)))
            .collect(),
    )
}

/// The ground below the material: smooth, a good deal darker than the surface.
fn hollow(random: &mut Random, picture: &Picture) -> Picture {
    let depth = random.between(0.3, 0.55);
    let ground = picture.box_blur(8);
    Picture(
        ground
            .0
            .iter()
            .map(|pixel| pixel.map(|value| value * depth))
            .collect(),
    )
}

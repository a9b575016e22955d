//! Grey photographs and RGB pictures: reading, writing and sampling.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use anyhow::{Context, bail, ensure};

/// Side of every picture made, in pixels.
pub const SIDE: usize = 256;

/// A grey photograph.
pub struct Photo {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

/// Largest side of a photograph that is read.
const LIMIT: u32 = 4096;

impl Photo {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let mut reader = png::Decoder::new(BufReader::new(file))
            .read_info()
            .with_context(|| format!("{} is not a readable PNG", path.display()))?;
        let info = reader.info();
        ensure!(
            info.color_type == png::ColorType::Grayscale
                && info.bit_depth == png::BitDepth::Eight
                && info.width <= LIMIT
                && info.height <= LIMIT,
            "{}: expected 8-bit grey of at most {LIMIT} pixels a side",
            path.display()
        );
        let (width, height) = (info.width as usize, info.height as usize);
        let mut pixels = vec![0; width * height];
        reader
            .next_frame(&mut pixels)
            .with_context(|| format!("{} is not a readable PNG", path.display()))?;
        if width < SIDE + 64 || height < SIDE + 64 {
            bail!("{}: {width}x{height} is too small", path.display());
        }
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// Bilinear sample; outside, the photograph is mirrored.
    pub fn sample(&self, x: f32, y: f32) -> f32 {
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = (x - x0, y - y0);
        let at = |x: f32, y: f32| {
            f32::from(
                self.pixels
                    [mirror(y as i64, self.height) * self.width + mirror(x as i64, self.width)],
            )
        };
        let top = at(x0, y0) * (1.0 - fx) + at(x0 + 1.0, y0) * fx;
        let bottom = at(x0, y0 + 1.0) * (1.0 - fx) + at(x0 + 1.0, y0 + 1.0) * fx;
        top * (1.0 - fy) + bottom * fy
    }
}

fn mirror(position: i64, length: usize) -> usize {
    let period = 2 * length as i64;
    let wrapped = position.rem_euclid(period);
    (if wrapped < length as i64 {
        wrapped
    } else {
        period - 1 - wrapped
    }) as usize
}

/// An RGB picture of [`SIDE`] x [`SIDE`] pixels while it is being made: 0 to 255, not yet rounded.
#[derive(Clone)]
pub struct Picture(pub Vec<[f32; 3]>);

impl Picture {
    pub fn bytes(&self) -> Vec<u8> {
        self.0
            .iter()
            .flatten()
            .map(|value| (value + 0.5).clamp(0.0, 255.0) as u8)
            .collect()
    }

    /// Mean over a square window of `2 * radius + 1` pixels, mirrored at the border.
    pub fn box_blur(&self, radius: i64) -> Self {
        let pass = |source: &[[f32; 3]], horizontal: bool| -> Vec<[f32; 3]> {
            let weight = 1.0 / (2 * radius + 1) as f32;
            let mut out = Vec::with_capacity(SIDE * SIDE);
            for y in 0..SIDE as i64 {
                for x in 0..SIDE as i64 {
                    let mut sum = [0.0_f32; 3];
                    for d in -radius..=radius {
                        let (x, y) = if horizontal { (x + d, y) } else { (x, y + d) };
                        let pixel = source[mirror(y, SIDE) * SIDE + mirror(x, SIDE)];
                        (0..3).for_each(|c| sum[c] += pixel[c]);
                    }
                    out.push(sum.map(|value| value * weight));
                }
            }
            out
        };
        Self(pass(&pass(&self.0, true), false))
    }
}

pub fn write_png(path: &Path, color: png::ColorType, pixels: &[u8]) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), SIDE as u32, SIDE as u32);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder
        .write_header()
        .with_context(|| format!("cannot write {}", path.display()))?;
    writer
        .write_image_data(pixels)
        .with_context(|| format!("cannot write {}", path.display()))?;
    writer
        .finish()
        .with_context(|| format!("cannot write {}", path.display()))
}

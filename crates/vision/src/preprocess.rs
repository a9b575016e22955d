//! The one preprocessor: an image to a model's input, a mask to the same geometry.

use std::ops::Range;

use crate::{
    error::VisionError,
    image::{Image, Mask},
    resize::resize,
};

/// How much of a file is decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Decoding {
    /// Every pixel.
    #[default]
    Full,
    /// JPEG files at the smallest fraction of their size that is not smaller than what they are resized to. Other pixels: see
    /// [`crate::decode_scaled`].
    Scaled,
}

/// Resize (antialiased bilinear; nearest for masks), then a centre crop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preprocess {
    /// Height, width after resizing.
    pub size: [usize; 2],
    /// Height, width of the part in the middle that the model sees; not larger than `size`.
    pub crop: Option<[usize; 2]>,
    pub decoding: Decoding,
}

impl Preprocess {
    /// Raised whenever the same settings would give other numbers.
    const VERSION: u32 = 3;

    pub fn new(size: [usize; 2], crop: Option<[usize; 2]>) -> Self {
        Self {
            size,
            crop,
            decoding: Decoding::Full,
        }
    }

    /// The same with another decoding.
    pub fn decoding(self, decoding: Decoding) -> Self {
        Self { decoding, ..self }
    }

    /// Height, width of what the model sees.
    pub fn output(&self) -> [usize; 2] {
        self.crop.unwrap_or(self.size)
    }

    /// Names every setting that changes numbers; equal hashes mean equal inputs for equal files.
    pub fn hash(&self) -> String {
        let [height, width] = self.size;
        let crop = self.crop.map_or(String::new(), |[height, width]| {
            format!("-crop{height}x{width}")
        });
        let decoding = match self.decoding {
            Decoding::Full => "",
            Decoding::Scaled => "-jpegscaled",
        };
        format!(
            "v{}-bilinear-antialias-f32-{height}x{width}{crop}-depth16scale-orientationignore{decoding}",
            Self::VERSION
        )
    }

    /// Writes the image, channels first, values 0 to 1: `3 * height * width` of [`Self::output`].
    pub fn apply(&self, image: &Image, out: &mut [f32]) -> Result<(), VisionError> {
        let [rows, columns] = self.window_into(out)?;
        resize(image, self.size, rows, columns, out);
        Ok(())
    }

    /// The window, of a size for which `out` has the room.
    pub(crate) fn window_into(&self, out: &[f32]) -> Result<[Range<usize>; 2], VisionError> {
        let [rows, columns] = self.window()?;
        let expected = 3 * rows.len() * columns.len();
        if out.len() != expected {
            return Err(VisionError::BufferSize {
                expected,
                found: out.len(),
            });
        }
        Ok([rows, columns])
    }

    /// The mask as the model's map is seen, row by row: 1 where defective.
    pub fn mask(&self, mask: &Mask) -> Result<Vec<u8>, VisionError> {
        let [rows, columns] = self.window()?;
        let (width, height) = (mask.width as usize, mask.height as usize);
        let columns: Vec<usize> = columns.map(|x| nearest(x, width, self.size[1])).collect();
        let row = |y| {
            let start = nearest(y, height, self.size[0]) * width;
            columns.iter().map(move |x| mask.data[start + x])
        };
        Ok(rows.flat_map(row).collect())
    }

    /// Where a place of an image of `size` (height, width) is in the output. Places are (y, x) from the upper left corner, in
    /// pixels of the image and of the output; the middle of the first pixel is at a half. What the crop cuts off is outside.
    pub fn place(&self, size: [usize; 2], at: [f64; 2]) -> Result<[f64; 2], VisionError> {
        let [rows, columns] = self.window()?;
        let along = |axis: usize, first: usize| {
            at[axis] / size[axis] as f64 * self.size[axis] as f64 - first as f64
        };
        Ok([along(0, rows.start), along(1, columns.start)])
    }

    /// Where a place of the output is in an image of `size`: the other way of [`Self::place`].
    pub fn source(&self, size: [usize; 2], at: [f64; 2]) -> Result<[f64; 2], VisionError> {
        let [rows, columns] = self.window()?;
        let along = |axis: usize, first: usize| {
            (at[axis] + first as f64) / self.size[axis] as f64 * size[axis] as f64
        };
        Ok([along(0, rows.start), along(1, columns.start)])
    }

    /// Rows and columns of the resized image that are kept.
    pub fn window(&self) -> Result<[Range<usize>; 2], VisionError> {
        let [height, width] = self.size;
        let [crop_height, crop_width] = self.output();
        if crop_height > height || crop_width > width {
            return Err(VisionError::SmallerThanCrop {
                width,
                height,
                crop_width,
                crop_height,
            });
        }
        let middle = |size: usize, crop: usize| {
            let first = half_to_even(size - crop);
            first..first + crop
        };
        Ok([middle(height, crop_height), middle(width, crop_width)])
    }
}

/// Half of a number, rounded half to even: torchvision's centre crop.
fn half_to_even(number: usize) -> usize {
    let half = number / 2;
    half + (number % 2) * (half % 2)
}

/// torch's `nearest`: the source of output `index`, computed in f32 as torch does.
fn nearest(index: usize, from: usize, to: usize) -> usize {
    let scale = from as f32 / to as f32;
    ((index as f32 * scale) as usize).min(from - 1)
}

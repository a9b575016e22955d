//! Small pictures for people: an image, and an image with its anomaly map over it.

use crate::{
    error::VisionError,
    image::{Channels, Image, Mask},
    preprocess::Preprocess,
    resize::resize,
};

/// How strongly the highest value covers the image.
const STRONGEST: f32 = 0.8;
/// What is left of the image's light where the model saw nothing of it.
const UNSEEN: f32 = 0.4;
/// Colours from the lowest value to the highest: ever darker and redder, so that they are told apart without seeing colours.
/// The lowest is transparent besides.
const COLOURS: [[f32; 3]; 4] = [
    [255.0, 240.0, 130.0],
    [255.0, 170.0, 50.0],
    [232.0, 70.0, 30.0],
    [150.0, 0.0, 50.0],
];
/// Of a defect's outline: no colour of the map, and lighter than most images.
const OUTLINE: [u8; 3] = [0, 229, 255];

/// The values of a map that are shown as nothing and as the strongest colour; the same for all images that are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeatScale {
    low: f32,
    high: f32,
}

impl HeatScale {
    /// `None` unless both are finite and `low` is the lower one.
    pub fn new(low: f32, high: f32) -> Option<Self> {
        (low < high && (high - low).is_finite()).then_some(Self { low, high })
    }

    /// 0 to 1.
    fn share(self, value: f32) -> f32 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// The anomaly map of an image, at the size of its model's input.
#[derive(Debug, Clone, Copy)]
pub struct Heat<'a> {
    values: &'a [f32],
    preprocess: Preprocess,
    scale: HeatScale,
}

impl<'a> Heat<'a> {
    /// `values` are as many as pixels in the output of the preprocessor, row by row.
    pub fn new(
        values: &'a [f32],
        preprocess: Preprocess,
        scale: HeatScale,
    ) -> Result<Self, VisionError> {
        let [height, width] = preprocess.output();
        if values.len() != height * width || values.is_empty() {
            return Err(VisionError::BufferSize {
                expected: height * width,
                found: values.len(),
            });
        }
        Ok(Self {
            values,
            preprocess,
            scale,
        })
    }

    /// Along an axis, for each pixel of a picture of `length` of an image of `of`, the places in the map that it covers.
    fn places(
        &self,
        axis: usize,
        of: [usize; 2],
        length: usize,
    ) -> Result<Vec<Vec<Place>>, VisionError> {
        let side = self.preprocess.output()[axis];
        // Where a pixel of the picture covers several of the map, each of them has a place.
        let parts = self.preprocess.size[axis].div_ceil(length).max(1);
        let place = |pixel: usize, part: usize| {
            let at = pixel as f64 + (part as f64 + 0.5) / parts as f64;
            let mut in_image = [0.0; 2];
            in_image[axis] = at / length as f64 * of[axis] as f64;
            let at = self.preprocess.place(of, in_image)?[axis];
            Ok((0.0..side as f64)
                .contains(&at)
                .then(|| Place::between(at, side)))
        };
        let pixel = |pixel: usize| {
            let places: Result<Vec<Option<Place>>, VisionError> =
                (0..parts).map(|part| place(pixel, part)).collect();
            Ok(places?.into_iter().flatten().collect())
        };
        (0..length).map(pixel).collect()
    }

    /// Where an image of `of` (height, width) has a value of at least this; not where the model saw nothing.
    pub fn above(&self, of: [usize; 2], least: f32) -> Result<Mask, VisionError> {
        let (rows, columns) = (self.places(0, of, of[0])?, self.places(1, of, of[1])?);
        let mut data = Vec::with_capacity(of[0] * of[1]);
        for row in &rows {
            for column in &columns {
                let hot = row
                    .iter()
                    .any(|y| column.iter().any(|x| self.at(*y, *x) >= least));
                data.push(u8::from(hot));
            }
        }
        Ok(Mask {
            width: of[1] as u32,
            height: of[0] as u32,
            data,
        })
    }

    /// Between the middles of pixels, bilinear.
    fn at(&self, y: Place, x: Place) -> f32 {
        let width = self.preprocess.output()[1];
        let line = |y: usize| {
            let value = |x: usize| self.values[y * width + x];
            value(x.low) * (1.0 - x.share) + value(x.high) * x.share
        };
        line(y.low) * (1.0 - y.share) + line(y.high) * y.share
    }
}

/// Between two pixels of a map along one axis.
#[derive(Debug, Clone, Copy)]
struct Place {
    low: usize,
    high: usize,
    /// How much the second counts.
    share: f32,
}

impl Place {
    fn between(at: f64, side: usize) -> Self {
        let at = (at - 0.5).clamp(0.0, side as f64 - 1.0);
        let low = at as usize;
        Self {
            low,
            high: (low + 1).min(side - 1),
            share: (at - low as f64) as f32,
        }
    }
}

/// An image in small.
#[derive(Debug, Clone)]
pub struct Thumbnail {
    pub image: Image,
    /// Height, width of the image that it was made of.
    of: [usize; 2],
}

impl Thumbnail {
    /// At most `longest` pixels along the longer side; never enlarged.
    pub fn new(image: &Image, longest: u32) -> Self {
        let [height, width] = fitted(image, longest);
        let plane = height * width;
        let mut planes = vec![0.0; 3 * plane];
        resize(image, [height, width], 0..height, 0..width, &mut planes);
        let byte = |at: usize| (planes[at] * 255.0).round() as u8; // the cast ends at 0 and 255
        let data = match image.channels {
            Channels::Grey => (0..plane).map(byte).collect(),
            Channels::Rgb => (0..plane)
                .flat_map(|at| [at, at + plane, at + 2 * plane])
                .map(byte)
                .collect(),
        };
        Self {
            image: Image {
                width: width as u32,
                height: height as u32,
                channels: image.channels,
                data,
            },
            of: [image.height as usize, image.width as usize],
        }
    }

    /// The same with the image's map where the model looked and darker elsewhere, and with the outline of its mask. The mask is
    /// of the size of the whole image.
    pub fn overlay(&self, heat: &Heat<'_>, mask: Option<&Mask>) -> Result<Image, VisionError> {
        let [height, width] = self.of;
        if let Some(mask) = mask
            && [mask.height as usize, mask.width as usize] != self.of
        {
            return Err(VisionError::MaskSize {
                mask_width: mask.width,
                mask_height: mask.height,
                width: width as u32,
                height: height as u32,
            });
        }
        let small = &self.image;
        let size = [small.height as usize, small.width as usize];
        let shares = shares(self.of, heat, size)?;
        let mut data = small.to_rgb();
        for (pixel, share) in data.chunks_exact_mut(3).zip(&shares) {
            paint(pixel, *share);
        }
        if let Some(mask) = mask {
            for at in outline(&covered(mask, size), size[1]) {
                data[3 * at..3 * at + 3].copy_from_slice(&OUTLINE);
            }
        }
        Ok(Image {
            channels: Channels::Rgb,
            data,
            ..*small
        })
    }
}

/// Height and width.
fn fitted(image: &Image, longest: u32) -> [usize; 2] {
    let side = image.width.max(image.height).max(1);
    let scale = (f64::from(longest.max(1)) / f64::from(side)).min(1.0);
    [image.height, image.width].map(|length| (f64::from(length) * scale).round().max(1.0) as usize)
}

/// How hot each pixel of the picture is; `None` where the model saw nothing.
fn shares(
    of: [usize; 2],
    heat: &Heat<'_>,
    size: [usize; 2],
) -> Result<Vec<Option<f32>>, VisionError> {
    let rows = heat.places(0, of, size[0])?;
    let columns = heat.places(1, of, size[1])?;
    let mut shares = Vec::with_capacity(size[0] * size[1]);
    for row in &rows {
        for column in &columns {
            // The hottest place of a pixel counts: a small defect stays visible.
            let values = row
                .iter()
                .flat_map(|y| column.iter().map(|x| heat.at(*y, *x)));
            let hottest = values.reduce(f32::max);
            shares.push(hottest.map(|value| heat.scale.share(value)));
        }
    }
    Ok(shares)
}

fn paint(pixel: &mut [u8], share: Option<f32>) {
    let Some(share) = share else {
        for value in pixel {
            *value = (f32::from(*value) * UNSEEN).round() as u8;
        }
        return;
    };
    let cover = STRONGEST * share;
    for (value, colour) in pixel.iter_mut().zip(colour(share)) {
        *value = (f32::from(*value) * (1.0 - cover) + colour * cover).round() as u8;
    }
}

fn colour(share: f32) -> [f32; 3] {
    let place = share * (COLOURS.len() - 1) as f32;
    let low = (place as usize).min(COLOURS.len() - 2);
    let between = place - low as f32;
    [0, 1, 2].map(|part| COLOURS[low][part] * (1.0 - between) + COLOURS[low + 1][part] * between)
}

/// The pixels of a picture of `size` in which some pixel of the mask is defective.
fn covered(mask: &Mask, size: [usize; 2]) -> Vec<bool> {
    let (width, height) = (mask.width as usize, mask.height as usize);
    let mut covered = vec![false; size[0] * size[1]];
    for (y, row) in mask.data.chunks_exact(width.max(1)).enumerate() {
        for (x, _) in row.iter().enumerate().filter(|(_, value)| **value != 0) {
            covered[y * size[0] / height * size[1] + x * size[1] / width] = true;
        }
    }
    covered
}

/// The pixels of a region that have a neighbour outside of it, or lie at the edge.
fn outline(covered: &[bool], width: usize) -> impl Iterator<Item = usize> {
    let height = covered.len() / width.max(1);
    let is_inner = move |at: usize| {
        let (y, x) = (at / width, at % width);
        let within = y > 0 && x > 0 && y + 1 < height && x + 1 < width;
        within
            && [at - width, at - 1, at + 1, at + width]
                .into_iter()
                .all(|next| covered[next])
    };
    (0..covered.len()).filter(move |at| covered[*at] && !is_inner(*at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_mask_of_an_image_is_where_its_map_is_high_and_the_crop_shows_nothing() {
        // Of 8 x 16 pixels the model sees the middle 4 x 4 of 4 x 8: columns 4 to 12, twice as large.
        let preprocess = Preprocess::new([4, 8], Some([4, 4]));
        let mut values = [0.0; 16];
        values[3] = 1.0;
        let scale = HeatScale::new(0.0, 1.0).unwrap();
        let heat = Heat::new(&values, preprocess, scale).unwrap();
        let mask = heat.above([8, 16], 0.9).unwrap();
        assert_eq!((mask.height, mask.width), (8, 16));
        let hot: Vec<(usize, usize)> = (0..128)
            .filter(|at| mask.data[*at] == 1)
            .map(|at| (at / 16, at % 16))
            .collect();
        assert_eq!(hot, [(0, 11)]);
        assert_eq!(mask.to_image().data[11], 255);
        // At the lowest value it is all that the model sees.
        let seen = heat.above([8, 16], 0.0).unwrap().data;
        assert!((0..128).all(|at| (seen[at] == 1) == (4..12).contains(&(at % 16))));
    }

    proptest! {
        #[test]
        fn places_go_to_the_output_and_back(
            height in 1..2000_usize, width in 1..2000_usize, crop in 1..=64_usize, y in 0.0..1.0, x in 0.0..1.0,
        ) {
            let (preprocess, size) = (Preprocess::new([64, 100], Some([crop, crop])), [height, width]);
            let at = [y * height as f64, x * width as f64];
            let back = preprocess.source(size, preprocess.place(size, at).unwrap()).unwrap();
            prop_assert!(back.iter().zip(at).all(|(back, at)| (back - at).abs() < 1e-9));
        }
    }
}

//! Pixels to PNG files.

use crate::{
    error::VisionError,
    image::{Channels, Image},
};

/// A PNG of 8 bits a value.
pub fn encode_png(image: &Image) -> Result<Vec<u8>, VisionError> {
    let failed = |source| VisionError::NotWritable {
        width: image.width,
        height: image.height,
        bytes: image.data.len(),
        source,
    };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width, image.height);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_color(match image.channels {
        Channels::Grey => png::ColorType::Grayscale,
        Channels::Rgb => png::ColorType::Rgb,
    });
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&image.data).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

//! Bytes to pixels to a model's input, distances to anomaly maps, and maps to pictures; and defects that nobody had to produce.
//!
//! One preprocessor serves all engines: what it does is named by [`Preprocess::hash`], which packages carry.

mod bmp;
mod decode;
mod encode;
mod error;
mod header;
mod image;
mod jpeg;
mod jpeg_read;
mod map;
mod overlay;
mod pnm;
mod preprocess;
mod resize;
mod simd;
mod synthetic;
mod tiff;
mod webp;

pub use decode::{Known, Limits, Scaled, decode, decode_input, decode_scaled, read_mask};
pub use encode::encode_png;
pub use error::VisionError;
pub use header::{Format, Header, header};
pub use image::{Channels, Image, Mask};
pub use jpeg::encode_jpeg;
pub use map::{Blur, MapFinish, Upsampling};
pub use overlay::{Heat, HeatScale, Thumbnail};
pub use preprocess::{Decoding, Preprocess};
pub use synthetic::{synthetic_mask, with_synthetic_anomaly};

#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod tests;

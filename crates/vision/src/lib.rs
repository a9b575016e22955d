//! Bytes to pixels to a model's input, and distances to anomaly maps.
//!
//! One preprocessor serves all engines: what it does is named by [`Preprocess::hash`], which packages carry.

mod decode;
mod error;
mod header;
mod image;
mod map;
mod preprocess;
mod resize;
mod simd;

pub use decode::{Limits, decode, read_mask};
pub use error::VisionError;
pub use header::{Format, Header, header};
pub use image::{Channels, Image, Mask};
pub use map::{Blur, MapFinish, Upsampling};
pub use preprocess::Preprocess;

#[cfg(test)]
mod tests;

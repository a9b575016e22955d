//! Every way in which an image can be unusable.

use std::fmt::Display;

use crate::header::Format;

/// Says what is wrong with the bytes; the caller knows whose bytes they are.
#[derive(Debug, thiserror::Error)]
pub enum VisionError {
    #[error("the file is empty (0 bytes)")]
    Empty,
    #[error(
        "not an image: the file begins with {found}; expected JPEG, PNG, BMP, TIFF, WebP, PGM or PPM"
    )]
    NotAnImage { found: String },
    /// `what` is in the plural: GIF images.
    #[error("{what} cannot be read; convert it to a PNG of one image")]
    Unsupported { what: String },
    #[error(
        "{width}x{height} is {pixels} pixels, more than the {limit} allowed; scale it down, or cut it into tiles"
    )]
    TooManyPixels {
        width: u64,
        height: u64,
        pixels: u64,
        limit: u64,
    },
    #[error(
        "{width}x{height} with {pixel_bytes} bytes a pixel takes {bytes} bytes to decode, more than the {limit} allowed; scale it down, cut it into tiles, or save it {with_less}"
    )]
    TooManyDecodedBytes {
        width: u64,
        height: u64,
        pixel_bytes: u32,
        bytes: u64,
        limit: u64,
        /// How a file of this format takes less.
        with_less: &'static str,
    },
    #[error("the file is {bytes} bytes, more than the {limit} allowed")]
    TooManyBytes { bytes: u64, limit: u64 },
    #[error("the {format} file ends before its image does ({bytes} bytes)")]
    Truncated { format: Format, bytes: u64 },
    #[error("the {format} file is damaged: {reason}")]
    Damaged { format: Format, reason: String },
    #[error("the image is {width}x{height}, but the crop asks for {crop_width}x{crop_height}")]
    SmallerThanCrop {
        width: usize,
        height: usize,
        crop_width: usize,
        crop_height: usize,
    },
    #[error("a buffer of {found} values was given for {expected}")]
    BufferSize { expected: usize, found: usize },
    #[error(
        "the mask is {mask_width}x{mask_height}, but its image {width}x{height}: they must be of one size"
    )]
    MaskSize {
        mask_width: u32,
        mask_height: u32,
        width: u32,
        height: u32,
    },
    #[error("{width}x{height} pixels with {bytes} bytes cannot be written as PNG")]
    NotWritable {
        width: u32,
        height: u32,
        bytes: usize,
        #[source]
        source: png::EncodingError,
    },
    #[error("{width}x{height} pixels with {bytes} bytes cannot be written as JPEG")]
    NotAPicture {
        width: u32,
        height: u32,
        bytes: usize,
    },
}

impl VisionError {
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    pub(crate) fn truncated(format: Format, bytes: &[u8]) -> Self {
        Self::Truncated {
            format,
            bytes: bytes.len() as u64,
        }
    }

    pub(crate) fn damaged(format: Format, reason: impl Display) -> Self {
        Self::Damaged {
            format,
            reason: reason.to_string(),
        }
    }

    /// The word for the column `error_class` of result tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotAnImage { .. } => "not_an_image",
            Self::Unsupported { .. } => "unsupported",
            Self::TooManyPixels { .. }
            | Self::TooManyDecodedBytes { .. }
            | Self::TooManyBytes { .. } => "too_large",
            Self::Truncated { .. } | Self::Damaged { .. } => "decode_error",
            Self::SmallerThanCrop { .. } => "too_small",
            Self::MaskSize { .. } => "mask_size",
            Self::BufferSize { .. } | Self::NotWritable { .. } | Self::NotAPicture { .. } => {
                "internal"
            }
        }
    }
}

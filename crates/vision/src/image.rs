//! Decoded pixels.

/// How many values a pixel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// One; models see it three times. Kept apart so that nothing is computed thrice.
    Grey,
    /// Red, green, blue.
    Rgb,
}

impl Channels {
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// An image of 8 bits a value, row by row, channels innermost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub width: u32,
    pub height: u32,
    pub channels: Channels,
    /// `height * width * channels` values.
    pub data: Vec<u8>,
}

impl Image {
    /// The image as red, green, blue.
    pub fn to_rgb(&self) -> Vec<u8> {
        match self.channels {
            Channels::Rgb => self.data.clone(),
            Channels::Grey => self.data.iter().flat_map(|value| [*value; 3]).collect(),
        }
    }
}

/// Ground truth: which pixels are defective.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    pub width: u32,
    pub height: u32,
    /// `height * width` values, 1 where the pixel is defective, else 0.
    pub data: Vec<u8>,
}

impl Mask {
    /// White where the pixel is defective, else black.
    pub fn to_image(&self) -> Image {
        Image {
            width: self.width,
            height: self.height,
            channels: Channels::Grey,
            data: self.data.iter().map(|defect| 255 * defect).collect(),
        }
    }
}

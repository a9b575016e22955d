//! Encoded pictures, as they are embedded.

/// Bytes of the largest picture that a report takes in: a larger one would leave no room for the others.
pub const PICTURE_LIMIT: usize = 400_000;

/// A PNG or JPEG file: what every browser shows, and what runs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    kind: &'static str,
    bytes: Vec<u8>,
}

/// Why bytes cannot stand in a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAPicture {
    /// Neither PNG nor JPEG.
    Format,
    /// Above [`PICTURE_LIMIT`].
    TooLarge { bytes: usize },
}

impl std::error::Error for NotAPicture {}

impl std::fmt::Display for NotAPicture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Format => f.write_str("the file is neither PNG nor JPEG"),
            Self::TooLarge { bytes } => write!(
                f,
                "its {bytes} bytes are more than the {PICTURE_LIMIT} that a picture may have here"
            ),
        }
    }
}

impl Picture {
    /// The kind is told by the first bytes, never by a name.
    pub fn new(bytes: Vec<u8>) -> Result<Self, NotAPicture> {
        let kind = match bytes.as_slice() {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => "image/png",
            [0xff, 0xd8, 0xff, ..] => "image/jpeg",
            _ => return Err(NotAPicture::Format),
        };
        if bytes.len() > PICTURE_LIMIT {
            return Err(NotAPicture::TooLarge { bytes: bytes.len() });
        }
        Ok(Self { kind, bytes })
    }

    /// Bytes of the file.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What there is to see of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pictured {
    Image(Picture),
    /// The same image with its anomaly map over it, and the outline of its mask if it has one.
    WithMap {
        image: Picture,
        overlay: Picture,
    },
    /// Why nothing could be had.
    Missing {
        reason: String,
    },
}

impl Pictured {
    pub(crate) fn pictures(&self) -> impl Iterator<Item = &Picture> {
        let (image, overlay) = match self {
            Self::Image(image) => (Some(image), None),
            Self::WithMap { image, overlay } => (Some(image), Some(overlay)),
            Self::Missing { .. } => (None, None),
        };
        image.into_iter().chain(overlay)
    }
}

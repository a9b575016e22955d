//! Features of all training images in a scratch file, in sample order, so that memory holds a tile of them at a time.

use std::{
    error::Error,
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use models::FeatureSource;

/// A file of one fixed-size record an image; threads write theirs in any order.
pub struct Spool {
    file: File,
    path: PathBuf,
    images: usize,
    positions: usize,
    dims: usize,
}

impl Spool {
    /// `shape`: positions and dimensions of one image's features.
    pub fn create(folder: &Path, images: usize, [positions, dims]: [usize; 2]) -> io::Result<Self> {
        let path = folder.join("features.f32");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        Ok(Self {
            file,
            path,
            images,
            positions,
            dims,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn write(&self, image: usize, features: &[f32]) -> io::Result<()> {
        if features.len() != self.positions * self.dims {
            let message = format!(
                "{} features instead of {} x {}",
                features.len(),
                self.positions,
                self.dims
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.file
            .write_all_at(as_bytes(features), self.offset(image, 0))
    }

    fn offset(&self, image: usize, position: usize) -> u64 {
        ((image * self.positions + position) * self.dims * size_of::<f32>()) as u64
    }
}

impl FeatureSource for Spool {
    fn images(&self) -> usize {
        self.images
    }

    fn positions(&self) -> usize {
        self.positions
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn read(
        &self,
        images: Range<usize>,
        positions: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let values = (positions.len() * self.dims).max(1);
        for (image, out) in images.zip(out.chunks_exact_mut(values)) {
            self.file
                .read_exact_at(as_bytes_mut(out), self.offset(image, positions.start))?;
        }
        Ok(())
    }
}

/// The spool lives in one process on one machine, so the machine's own byte order will do.
pub fn as_bytes(values: &[f32]) -> &[u8] {
    // SAFETY: every f32 is four bytes without padding, and u8 has no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

pub fn as_bytes_mut(values: &mut [f32]) -> &mut [u8] {
    // SAFETY: as above, and every four bytes are some f32.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

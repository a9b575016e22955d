//! Files that are read by the range: large tables in remote stores.

use std::{
    io::{self, BufReader, Read},
    sync::Arc,
};

use bytes::Bytes;
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

/// An object of which any range can be read.
pub trait Ranges: Send + Sync {
    /// Bytes.
    fn size(&self) -> u64;

    /// Exactly so many bytes from there on.
    fn read_at(&self, offset: u64, len: u64) -> io::Result<Bytes>;
}

/// What is asked for at once where a reader does not say how far it will go.
const BLOCK: usize = 256 * 1024;

/// [`Ranges`] as a source of Parquet and as a stream.
pub struct RangesReader<S: ?Sized>(pub Arc<S>);

impl<S: ?Sized> Clone for RangesReader<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Ranges + ?Sized> RangesReader<S> {
    /// The bytes from there to the end, read block by block.
    pub fn stream(&self, offset: u64) -> BufReader<Stream<S>> {
        let stream = Stream {
            source: Arc::clone(&self.0),
            offset,
        };
        BufReader::with_capacity(BLOCK, stream)
    }
}

pub struct Stream<S: ?Sized> {
    source: Arc<S>,
    offset: u64,
}

impl<S: Ranges + ?Sized> Read for Stream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.source.size().saturating_sub(self.offset);
        let len = left.min(buffer.len() as u64);
        if len == 0 {
            return Ok(0);
        }
        let bytes = self.source.read_at(self.offset, len)?;
        let Some(place) = buffer.get_mut(..bytes.len()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        place.copy_from_slice(&bytes);
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl<S: Ranges + ?Sized> Length for RangesReader<S> {
    fn len(&self) -> u64 {
        self.0.size()
    }
}

impl<S: Ranges + ?Sized + 'static> ChunkReader for RangesReader<S> {
    type T = BufReader<Stream<S>>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.stream(start))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.0
            .read_at(start, length as u64)
            .map_err(|error| ParquetError::External(Box::new(error)))
    }
}

//! Where an archive lies.

use bytes::Bytes;

use crate::error::ArchiveError;

/// A file of known size, of which ranges can be read: in a folder, or by requests over a network.
pub trait Object {
    type Error: std::error::Error + Send + Sync + 'static;

    fn size(&self) -> u64;

    /// Exactly these bytes. It is only asked for what lies within the size.
    fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, Self::Error>;
}

/// An archive with its name for messages, and the part of it that was read last.
pub(crate) struct Source<'a, O> {
    pub archive: &'a str,
    object: &'a O,
    block: usize,
    start: u64,
    held: Bytes,
}

impl<'a, O: Object> Source<'a, O> {
    /// `block`: bytes that are read at once even if fewer are asked for.
    pub fn new(archive: &'a str, object: &'a O, block: usize) -> Self {
        Self {
            archive,
            object,
            block,
            start: 0,
            held: Bytes::new(),
        }
    }

    pub fn size(&self) -> u64 {
        self.object.size()
    }

    /// `what` these bytes are, if they reach beyond the end.
    pub fn get(
        &mut self,
        offset: u64,
        length: usize,
        what: impl FnOnce() -> String,
    ) -> Result<Bytes, ArchiveError> {
        let needed = offset.saturating_add(length as u64);
        let size = self.object.size();
        if needed > size {
            return Err(ArchiveError::Truncated {
                archive: self.archive.to_owned(),
                what: what(),
                needed,
                size,
            });
        }
        if length == 0 {
            return Ok(Bytes::new());
        }
        let held_to = self.start + self.held.len() as u64;
        if offset < self.start || needed > held_to {
            let most = usize::try_from(size - offset).unwrap_or(usize::MAX);
            self.held = self.read(offset, length.max(self.block).min(most))?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        Ok(self.held.slice(from..from + length))
    }

    fn read(&self, offset: u64, length: usize) -> Result<Bytes, ArchiveError> {
        let failed = |source| ArchiveError::Read {
            archive: self.archive.to_owned(),
            offset,
            length: length as u64,
            source,
        };
        let bytes = self.object.read_at(offset, length);
        let bytes = bytes.map_err(|error| failed(Box::new(error)))?;
        if bytes.len() != length {
            return Err(failed(format!("{} bytes came", bytes.len()).into()));
        }
        Ok(bytes)
    }

    pub fn damaged(&self, offset: u64, reason: impl Into<String>) -> ArchiveError {
        ArchiveError::Damaged {
            archive: self.archive.to_owned(),
            offset,
            reason: reason.into(),
        }
    }

    pub fn unsupported(&self, what: impl Into<String>) -> ArchiveError {
        ArchiveError::Unsupported {
            archive: self.archive.to_owned(),
            what: what.into(),
        }
    }
}

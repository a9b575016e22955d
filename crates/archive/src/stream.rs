//! A compressed tar, from its beginning to its end.

use std::{
    cell::Cell,
    io::{self, BufRead, BufReader, Read},
    rc::Rc,
};

use bytes::Bytes;
use flate2::bufread::GzDecoder;

use crate::{
    Limits,
    error::{ArchiveError, Problem, Refusal},
    tar::{BLOCK, FILLING, MORE, Machine, Next, filled},
};

const NAME: &str = "tar.gz";

/// A file with its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub modified: Option<i64>,
    pub bytes: Bytes,
}

/// The files of a `.tar.gz` in their order, one in memory at a time, and what is left out between them.
///
/// An error is the last item. The checksum of all stands at the end: until that came, what was given may be damaged. Names are not
/// compared with each other: a name may come twice, until [`Listing::without_duplicates`](crate::Listing::without_duplicates).
pub struct TarGz<'a, R: Read> {
    archive: &'a str,
    reader: Members<BufReader<Counted<R>>>,
    /// Compressed bytes that were taken so far.
    packed: Rc<Cell<u64>>,
    /// And what came of them.
    unpacked: u64,
    limits: Limits,
    machine: Machine,
    ended: bool,
}

impl<'a, R: Read> TarGz<'a, R> {
    /// `archive` is its name, for messages.
    pub fn new(archive: &'a str, packed: R, limits: Limits) -> Self {
        let counter = Rc::new(Cell::new(0));
        let counted = Counted {
            from: packed,
            bytes: counter.clone(),
        };
        Self {
            archive,
            reader: Members::new(BufReader::new(counted)),
            packed: counter,
            unpacked: 0,
            limits,
            machine: Machine::default(),
            ended: false,
        }
    }

    fn next_file(&mut self) -> Result<Option<Result<File, Problem>>, ArchiveError> {
        let mut known = None;
        loop {
            let next = match known.take() {
                Some(next) => next,
                None => {
                    let header = self.read(BLOCK as u64)?;
                    let at = self.unpacked - BLOCK as u64;
                    self.machine.next(self.archive, &header, at, NAME)?
                }
            };
            self.machine.check_count(self.archive, &self.limits)?;
            let at = self.unpacked;
            match next {
                Next::Description { size } => {
                    let bytes = self.read(size)?;
                    let described = self.machine.description(&bytes);
                    known = described.map_err(|reason| self.damaged(at, &reason))?;
                    self.skip_filling(size)?;
                }
                Next::File {
                    name,
                    size,
                    modified,
                } => {
                    let bytes = self.read_allowed(size)?;
                    self.skip_filling(size)?;
                    return Ok(Some(match bytes {
                        Ok(bytes) => Ok(File {
                            name,
                            modified,
                            bytes,
                        }),
                        Err(refusal) => Err(Problem {
                            entry: name,
                            refusal,
                        }),
                    }));
                }
                Next::Skip { size, problem } => {
                    self.skip(size)?;
                    self.skip_filling(size)?;
                    if let Some(problem) = problem {
                        return Ok(Some(Err(problem)));
                    }
                }
                Next::End => {
                    self.only_zeros(at)?;
                    return Ok(None);
                }
            }
        }
    }

    /// The contents of a file, which are passed over if they are not allowed.
    fn read_allowed(&mut self, size: u64) -> Result<Result<Bytes, Refusal>, ArchiveError> {
        if let Err(refusal) = self.limits.check(size, size) {
            self.skip(size)?;
            return Ok(Err(refusal));
        }
        // What it is packed to is known behind it, but for what was read ahead.
        let from = self.packed.get();
        let bytes = self.read(size)?;
        let stored = self.packed.get() - from;
        let allowed = self.limits.check(stored, size);
        Ok(allowed.map(|()| bytes.into()))
    }

    /// Exactly so many bytes. Memory grows as they come, not as they are promised.
    fn read(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        self.pass(size, |part| bytes.extend_from_slice(part))?;
        Ok(bytes)
    }

    fn skip(&mut self, size: u64) -> Result<(), ArchiveError> {
        self.pass(size, |_| {})
    }

    fn skip_filling(&mut self, size: u64) -> Result<(), ArchiveError> {
        self.skip(filled(size) - size)
    }

    fn pass(&mut self, size: u64, mut each: impl FnMut(&[u8])) -> Result<(), ArchiveError> {
        let mut buffer = [0; 16 << 10];
        let mut left = size;
        while left > 0 {
            let most = left.min(buffer.len() as u64) as usize;
            let read = self.part(&mut buffer[..most])?;
            if read == 0 {
                return Err(ArchiveError::Truncated {
                    archive: self.archive.to_owned(),
                    what: format!("what comes {}", self.machine.after()),
                    needed: self.unpacked.saturating_add(left),
                    size: self.unpacked,
                });
            }
            each(&buffer[..read]);
            left -= read as u64;
        }
        Ok(())
    }

    fn part(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let read = loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let read = read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::Truncated {
                archive: self.archive.to_owned(),
                what: format!("what comes {}", self.machine.after()),
                needed: self.packed.get() + 1,
                size: self.packed.get(),
            },
            // What the decoder says of its input; all else is the input's own.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData if self.unpacked == 0 => {
                ArchiveError::NotAnArchive {
                    archive: self.archive.to_owned(),
                    expected: NAME,
                    reason: error.to_string(),
                }
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                self.damaged(self.unpacked, &error.to_string())
            }
            _ => ArchiveError::Read {
                archive: self.archive.to_owned(),
                offset: self.packed.get(),
                length: buffer.len() as u64,
                source: Box::new(error),
            },
        })?;
        self.unpacked += read as u64;
        let from = self.limits.stream_ratio_from;
        let ratio = self
            .limits
            .check_ratio(self.packed.get(), self.unpacked, from);
        ratio.map_err(|refusal| ArchiveError::Entry {
            archive: self.archive.to_owned(),
            entry: format!("what comes {}", self.machine.after()),
            refusal,
        })?;
        Ok(read)
    }

    /// To the end, where the decoder compares its checksum.
    fn only_zeros(&mut self, at: u64) -> Result<(), ArchiveError> {
        let mut buffer = [0; 4096];
        let from = self.unpacked;
        loop {
            let read = self.part(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            let too_many = self.unpacked - from > FILLING;
            if too_many || buffer[..read].iter().any(|byte| *byte != 0) {
                return Err(self.damaged(at, MORE));
            }
        }
    }

    /// `offset`: in the unpacked archive.
    fn damaged(&self, offset: u64, reason: &str) -> ArchiveError {
        self.machine.damaged(self.archive, offset, reason)
    }
}

impl<R: Read> Iterator for TarGz<'_, R> {
    type Item = Result<Result<File, Problem>, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_file().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// The streams of a gzip file as one, as parallel packers write them. What fills up a tape's blocks behind one is passed over, as
/// gzip does: no stream begins with a zero.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Members<R> {
    fn new(packed: R) -> Self {
        Self(Some(GzDecoder::new(packed)))
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let follows = pass_zeros(member.get_mut())?;
            let packed = self.0.take().map(GzDecoder::into_inner);
            self.0 = packed.filter(|_| follows).map(GzDecoder::new);
        }
        Ok(0)
    }
}

/// Whether there is anything behind them.
fn pass_zeros(packed: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let part = packed.fill_buf()?;
        if part.is_empty() {
            return Ok(false);
        }
        let zeros = part.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return Ok(true);
        }
        packed.consume(zeros);
    }
}

struct Counted<R> {
    from: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}

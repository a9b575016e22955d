//! What an archive holds: listed where it lies, or unpacked first where it cannot be read in place.

use std::{
    fs::File,
    io::{BufWriter, Write},
    sync::Arc,
};

use archive::{Entry, Kind, Limits, Listing, Place};
use store::ObjectInfo;
use tables::{RangesReader, SampleRow};

use super::milliseconds;
use crate::{
    archived::Archived, attempt::Attempt, error::TaskError, object_file::ObjectFile,
    sorted::Sorter, tasks::names,
};

/// An archive and what is in it.
pub struct Opened {
    /// Its address.
    pub uri: String,
    pub info: ObjectInfo,
    pub listing: Listing,
    /// The object of the job's store in which the entries lie, and its size; `None`: the archive itself.
    unpacked: Option<(String, u64)>,
}

impl Opened {
    pub fn place(&self, entry: &Entry) -> Archived {
        match &self.unpacked {
            None => Archived::in_place(entry, self.info.size),
            Some((path, bytes)) => Archived::unpacked(entry, path.clone(), *bytes),
        }
    }

    /// Of an entry, or of its archive where it has none.
    pub fn modified_ms(&self, entry: &Entry) -> i64 {
        modified_ms(entry.modified, &self.info)
    }
}

fn modified_ms(seconds: Option<i64>, archive: &ObjectInfo) -> i64 {
    match seconds {
        Some(seconds) => seconds.saturating_mul(1000),
        None => milliseconds(archive.modified),
    }
}

fn named(uri: String) -> SampleRow {
    SampleRow {
        uri,
        ..SampleRow::default()
    }
}

/// Whether an entry is wanted, by its name, size in bytes, and when it was written.
pub type Wants<'a> = &'a dyn Fn(&str, u64, i64) -> bool;

/// Archives of one listing.
pub struct Archives<'a> {
    attempt: &'a Attempt,
    /// That were unpacked.
    unpacked: u32,
    /// Addresses of those that were opened.
    opened: Sorter<SampleRow>,
    /// Of those that are only there.
    left: Sorter<SampleRow>,
}

impl<'a> Archives<'a> {
    pub fn new(attempt: &'a Attempt) -> Self {
        Self {
            attempt,
            unpacked: 0,
            opened: Sorter::new(&attempt.scratch, "opened"),
            left: Sorter::new(&attempt.scratch, "left"),
        }
    }

    /// Takes note of one that nothing asks for so far.
    pub fn leave(&mut self, uri: String) -> Result<(), TaskError> {
        self.left.push(named(uri))
    }

    /// Those that were left, and that nothing has opened, each once and in order: how many, and the first.
    pub fn finish(self) -> Result<(u64, Option<String>), TaskError> {
        let mut opened = self.opened.finish()?.peekable();
        let (mut count, mut first, mut last) = (0, None, None);
        for row in self.left.finish()? {
            let uri = row?.uri;
            if last.as_ref() == Some(&uri) {
                continue;
            }
            while let Some(before) = opened.next_if(|row| match row {
                Ok(row) => row.uri < uri,
                Err(_) => true,
            }) {
                before?;
            }
            let is_opened = matches!(opened.peek(), Some(Ok(row)) if row.uri == uri);
            if !is_opened {
                count += 1;
                first.get_or_insert_with(|| uri.clone());
            }
            last = Some(uri);
        }
        Ok((count, first))
    }

    /// Of the entries of one that has to be unpacked only those that are wanted can be read afterwards.
    pub fn open(&mut self, address: &str, wants: Wants<'_>) -> Result<Opened, TaskError> {
        let attempt = self.attempt;
        let (store, path) = attempt.stores.locate(address)?;
        let info = attempt.runtime.block_on(store.head(&path))?;
        let uri = store.uri(&path);
        self.opened.push(named(uri.clone()))?;
        let file = ObjectFile::known(attempt, store, path, &info.etag, info.size);
        let (listing, unpacked) = match Kind::of_name(address) {
            Some(Kind::InPlace(format)) => {
                let listing = || archive::list(&uri, &file, format, &Limits::default());
                let listing = attempt.stages.time("list", 0, listing);
                (listing.map_err(TaskError::Archive)?, None)
            }
            Some(Kind::Stream) => {
                let (listing, unpacked) = self.unpack(&uri, &info, file, wants)?;
                (listing, Some(unpacked))
            }
            None => {
                let reason = format!("{address} is no archive");
                return Err(TaskError::Assignment(reason));
            }
        };
        Ok(Opened {
            uri,
            info,
            listing,
            unpacked,
        })
    }

    /// Has the entries written one after the other into an object of the attempt: its path and size.
    fn unpack(
        &mut self,
        uri: &str,
        info: &ObjectInfo,
        file: ObjectFile,
        wants: Wants<'_>,
    ) -> Result<(Listing, (String, u64)), TaskError> {
        let attempt = self.attempt;
        let name = format!("{}-{}", names::UNPACKED, self.unpacked);
        self.unpacked += 1;
        let scratch = attempt.scratch.join(&name);
        let failed = || TaskError::scratch(&scratch);
        let mut unpacked = BufWriter::new(File::create(&scratch).map_err(failed())?);
        let packed = RangesReader(Arc::new(file)).stream(0);
        let (mut listing, mut offset) = (Listing::default(), 0);
        for file in archive::TarGz::new(uri, packed, Limits::default()) {
            attempt.check_cancelled()?;
            attempt.stages.pulse.beat();
            let file = match file.map_err(TaskError::Archive)? {
                Ok(file) => file,
                Err(problem) => {
                    listing.problems.push(problem);
                    continue;
                }
            };
            let size = file.bytes.len() as u64;
            // The others count all the same: another of the same name may be wanted.
            let is_wanted = wants(&file.name, size, modified_ms(file.modified, info));
            listing.entries.push(Entry {
                name: file.name,
                place: Place::Tar { offset },
                stored: size,
                size,
                modified: file.modified,
            });
            if is_wanted {
                unpacked.write_all(&file.bytes).map_err(failed())?;
                offset += size;
            }
        }
        let flushed = unpacked.into_inner();
        flushed.map_err(|error| TaskError::scratch(&scratch)(error.into_error()))?;
        attempt.put_file(&name, &scratch, None)?;
        let path = attempt.writer.path(&name);
        Ok((listing.without_duplicates(), (path, offset)))
    }
}

//! Files in `.tar` and `.zip` archives, read where they lie: listed by reading ranges and not their contents, then read one by one.
//!
//! Nothing is unpacked. A compressed tar has no places to go to: [`TarGz`] gives its files in their order.
//!
//! What a listing leaves out it names as a [`Problem`]; where it cannot know whether it saw everything, it is an [`ArchiveError`].

mod error;
mod name;
mod object;
mod read;
mod stream;
mod tar;
mod zip;

use serde::{Deserialize, Serialize};

pub use error::{ArchiveError, Problem, Refusal};
pub use object::Object;
pub use read::read;
pub use stream::{File, TarGz};

/// What kind of archive an object is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its files can be listed and read in place.
    InPlace(Format),
    /// A `.tar.gz`: it can only be read from its beginning.
    Stream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Tar,
    Zip,
}

impl Kind {
    /// `None`: not an archive.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if ends(&[".tar.gz", ".tgz"]) {
            Some(Self::Stream)
        } else if ends(&[".tar"]) {
            Some(Self::InPlace(Format::Tar))
        } else if ends(&[".zip"]) {
            Some(Self::InPlace(Format::Zip))
        } else {
            None
        }
    }
}

/// What an archive may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of an archive, those that are refused included.
    pub entries: u64,
    /// Of one file, unpacked.
    pub entry_bytes: u64,
    /// Unpacked to packed bytes, where more than `ratio_from` are unpacked.
    pub ratio: u64,
    pub ratio_from: u64,
    /// The same of a compressed tar as a whole, which has to be unpacked whatever is wanted of it.
    pub stream_ratio_from: u64,
    /// What a listing asks for at once: headers that lie close together come by one request.
    pub block: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            entry_bytes: 1 << 30,
            // Images hardly shrink; Deflate reaches 1,032. A blank bitmap does, too, but it is not large.
            ratio: 200,
            ratio_from: 64 << 20,
            // Half a minute of work.
            stream_ratio_from: 16 << 30,
            block: 64 << 10,
        }
    }
}

impl Limits {
    fn check(&self, stored: u64, size: u64) -> Result<(), Refusal> {
        let largest = stored.max(size);
        if largest > self.entry_bytes {
            return Err(Refusal::TooLarge {
                bytes: largest,
                limit: self.entry_bytes,
            });
        }
        self.check_ratio(stored, size, self.ratio_from)
    }

    /// Where more than `from` bytes are unpacked.
    fn check_ratio(&self, stored: u64, size: u64, from: u64) -> Result<(), Refusal> {
        if size > from && size / self.ratio > stored {
            let ratio = self.ratio;
            return Err(Refusal::Bomb {
                stored,
                size,
                ratio,
            });
        }
        Ok(())
    }
}

/// A file in an archive: enough to read it without looking at anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `/` between its parts, of which none is empty, `.` or `..`.
    pub name: String,
    pub place: Place,
    /// Bytes in the archive.
    pub stored: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Seconds since 1970. ZIP may say local times only: these are taken as UTC.
    pub modified: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The contents begin here, as they are.
    Tar { offset: u64 },
    /// The file's own header begins here; its contents follow.
    Zip {
        header: u64,
        method: Method,
        crc: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    Stored,
    Deflate,
}

/// All files of an archive, in its order, and what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    pub entries: Vec<Entry>,
    pub problems: Vec<Problem>,
}

/// Lists an archive by reading ranges of it: of a zip its directory, of a tar the header of each file.
///
/// `name` is for messages.
pub fn list(
    name: &str,
    object: &impl Object,
    format: Format,
    limits: &Limits,
) -> Result<Listing, ArchiveError> {
    let listing = match format {
        Format::Tar => tar::list(name, object, limits),
        Format::Zip => zip::list(name, object, limits),
    }?;
    Ok(listing.without_duplicates())
}

impl Listing {
    /// Which of several files of one name is meant, nobody can know.
    #[must_use]
    pub fn without_duplicates(self) -> Self {
        let mut count = std::collections::HashMap::new();
        for entry in &self.entries {
            *count.entry(entry.name.clone()).or_insert(0_u64) += 1;
        }
        let Self {
            entries,
            mut problems,
        } = self;
        let (entries, twice): (Vec<_>, Vec<_>) =
            (entries.into_iter()).partition(|entry| count.get(&entry.name) == Some(&1));
        problems.extend(twice.into_iter().map(|entry| Problem {
            entry: entry.name,
            refusal: Refusal::Duplicate,
        }));
        Self { entries, problems }
    }
}

#[cfg(test)]
mod tests;

//! One of the addresses that images are looked for at, by how it is written.

use glob::{MatchOptions, Pattern};

use crate::{
    DataError,
    layout::{IMAGE_EXTENSIONS, ends_with},
};

/// Where images are; every address is an absolute path or a URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Every image below it.
    Folder(String),
    /// Of the images below `folder` those whose whole address is of the pattern; archives if it ends like one.
    Glob {
        folder: String,
        pattern: Pattern,
        levels: Levels,
    },
    Image(String),
    /// Every image in an archive.
    Archive(String),
    /// One image in an archive: `ARCHIVE!/place/in/it.png`.
    Archived {
        archive: String,
        entry: String,
    },
    /// A text or table of addresses.
    List {
        address: String,
        format: Format,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One a line; empty lines and those that begin with `#` say nothing.
    Lines,
    Csv,
    Parquet,
}

/// What the names on the way to an image are that a glob means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    /// Of the folders below the listed one, up to the first `**`.
    folders: Vec<Pattern>,
    /// Whether images may lie at any depth below these.
    any_depth: bool,
}

impl Levels {
    /// Of the part of a glob below its folder.
    fn of(below: &str) -> Self {
        let mut parts: Vec<&str> = below.split('/').collect();
        // The name of the image itself.
        let last = parts.pop();
        let mut levels = Self {
            folders: Vec::new(),
            any_depth: last == Some("**"),
        };
        for part in parts {
            match Pattern::new(part) {
                Ok(pattern) if part != "**" => levels.folders.push(pattern),
                // What does not stand alone (a slash within brackets) is not looked into.
                _ => {
                    levels.any_depth = true;
                    break;
                }
            }
        }
        levels
    }

    fn enter(&self, below: &str) -> bool {
        let depth = below.split('/').count();
        let mut pairs = self.folders.iter().zip(below.split('/'));
        (self.any_depth || depth <= self.folders.len())
            && pairs.all(|(pattern, name)| pattern.matches_with(name, MATCHING))
    }
}

/// What one address of a list names; nothing in it is a wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedAddress {
    Object(String),
    /// One image in an archive.
    Archived {
        archive: String,
        entry: String,
    },
}

impl ListedAddress {
    /// What is read, for messages.
    pub fn address(&self) -> &str {
        match self {
            Self::Object(address)
            | Self::Archived {
                archive: address, ..
            } => address,
        }
    }
}

/// `address`: an absolute path or a URI.
pub fn listed_address(address: &str) -> ListedAddress {
    match archived(address, |_| true) {
        Some((archive, entry)) => ListedAddress::Archived { archive, entry },
        None => ListedAddress::Object(address.to_owned()),
    }
}

const FORMATS: [(&str, Format); 3] = [
    (".txt", Format::Lines),
    (".csv", Format::Csv),
    (".parquet", Format::Parquet),
];

const ARCHIVES: [&str; 4] = [".tar", ".tar.gz", ".tgz", ".zip"];

/// What stands between the address of an archive and the place of an image in it.
const INSIDE: &str = "!/";

const WILD: [char; 3] = ['*', '?', '['];

/// `*` stays within a name, as in shells.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Place {
    pub(crate) fn parse(address: &str) -> Result<Self, DataError> {
        let wrong = |reason: String| DataError::Parameter {
            parameter: "path",
            reason,
        };
        let is_plain = |archive: &str| !archive.contains(WILD);
        if let Some((archive, entry)) = archived(address, is_plain) {
            return Ok(Self::Archived { archive, entry });
        }
        if let Some(wild) = address.find(WILD) {
            let folder = address[..wild]
                .rfind('/')
                .map_or("", |slash| &address[..slash]);
            if folder.is_empty() || folder.ends_with("/") {
                // Of `s3://*` and `/*` nobody can mean all of it.
                return Err(wrong(format!(
                    "{address:?} has no folder before its first wildcard"
                )));
            }
            let pattern = Pattern::new(address)
                .map_err(|error| wrong(format!("{address:?} is no glob: {}", error.msg)))?;
            return Ok(Self::Glob {
                levels: Levels::of(&address[folder.len() + 1..]),
                folder: folder.to_owned(),
                pattern,
            });
        }
        Ok(Self::literal(address))
    }

    /// What an address is in which nothing is a wildcard.
    fn literal(address: &str) -> Self {
        let format = FORMATS
            .iter()
            .find(|(ending, _)| ends_with(address, &[ending]));
        let address = address.to_owned();
        match format {
            Some((_, format)) => Self::List {
                address,
                format: *format,
            },
            None if ends_with(&address, IMAGE_EXTENSIONS) => Self::Image(address),
            None if is_archive(&address) => Self::Archive(address),
            None => Self::Folder(address),
        }
    }

    /// What a glob is if something of just that name exists: a folder may be called `Line [3]`.
    pub fn as_it_stands(&self) -> Option<Self> {
        match self {
            Self::Glob { pattern, .. } => Some(Self::literal(pattern.as_str())),
            _ => None,
        }
    }

    /// What is listed or read, for messages.
    pub fn address(&self) -> &str {
        match self {
            Self::Folder(address)
            | Self::Image(address)
            | Self::Archive(address)
            | Self::List { address, .. }
            | Self::Archived {
                archive: address, ..
            } => address,
            Self::Glob { pattern, .. } => pattern.as_str(),
        }
    }

    /// Whether an address below the listed folder is one of those that were asked for.
    pub fn takes(&self, address: &str) -> bool {
        match self {
            Self::Glob { pattern, .. } => pattern.matches_with(address, MATCHING),
            Self::Folder(_)
            | Self::Image(_)
            | Self::Archive(_)
            | Self::Archived { .. }
            | Self::List { .. } => true,
        }
    }

    /// Whether what was asked for may lie in a folder; `below` is its path from the listed folder on.
    pub fn enters(&self, below: &str) -> bool {
        match self {
            Self::Glob { levels, .. } => levels.enter(below),
            _ => true,
        }
    }

    /// Whether archives that are found are opened. Those in a folder are not: they may hold the same images again.
    pub fn opens_archives(&self) -> bool {
        match self {
            Self::Glob { pattern, .. } => is_archive(pattern.as_str()),
            _ => false,
        }
    }
}

/// Whether an object is an archive by its name.
pub fn is_archive(name: &str) -> bool {
    ends_with(name, &ARCHIVES)
}

/// What stands behind the archive is a name as it is, whatever signs are in it.
fn archived(address: &str, may_be: impl Fn(&str) -> bool) -> Option<(String, String)> {
    let (archive, entry) = address
        .match_indices(INSIDE)
        .map(|(at, _)| (&address[..at], &address[at + INSIDE.len()..]))
        .find(|(archive, entry)| is_archive(archive) && may_be(archive) && !entry.is_empty())?;
    Some((archive.to_owned(), entry.to_owned()))
}

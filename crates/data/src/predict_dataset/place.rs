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
    /// Of the images below `folder` those whose whole address is of the pattern.
    Glob {
        folder: String,
        pattern: Pattern,
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
        if let Some(archived) = archived(address) {
            return Ok(archived);
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
            let folder = folder.to_owned();
            return Ok(Self::Glob { folder, pattern });
        }
        let format = FORMATS
            .iter()
            .find(|(ending, _)| ends_with(address, &[ending]));
        let address = address.to_owned();
        Ok(match format {
            Some((_, format)) => Self::List {
                address,
                format: *format,
            },
            None if ends_with(&address, IMAGE_EXTENSIONS) => Self::Image(address),
            None if ends_with(&address, &ARCHIVES) => Self::Archive(address),
            None => Self::Folder(address),
        })
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
}

/// What stands behind the archive is a name as it is, whatever signs are in it.
fn archived(address: &str) -> Option<Place> {
    let is_archive = |path: &str| ends_with(path, &ARCHIVES) && !path.contains(WILD);
    let (archive, entry) = address
        .match_indices(INSIDE)
        .map(|(at, _)| (&address[..at], &address[at + INSIDE.len()..]))
        .find(|(archive, entry)| is_archive(archive) && !entry.is_empty())?;
    Some(Place::Archived {
        archive: archive.to_owned(),
        entry: entry.to_owned(),
    })
}

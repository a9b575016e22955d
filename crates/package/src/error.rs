//! What can be wrong with a package.

/// An error of reading or writing a package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error(
        "the package has format {found}, this program reads up to {known}: it was written by a newer version; use that one, or train again"
    )]
    Newer { found: u64, known: u32 },
    #[error("the file is no package: {problem}")]
    NoPackage { problem: &'static str },
    #[error("the package is not valid")]
    Json(#[from] serde_json::Error),
    #[error("it is no JSON map")]
    Metadata(#[source] serde_json::Error),
    #[error("{key}: {problem}")]
    MetadataKey { key: &'static str, problem: String },
    #[error("the package's {field} is not valid: {problem}")]
    Field {
        field: &'static str,
        problem: String,
    },
    #[error("{uri} has {found} bytes instead of {expected}")]
    Size {
        uri: String,
        expected: u64,
        found: u64,
    },
    #[error("{uri} has the sha256 {found} instead of {expected}: it was changed or damaged")]
    Digest {
        uri: String,
        expected: String,
        found: String,
    },
    #[error("the package's statistics cannot be read")]
    Statistics(#[source] weights::WeightsError),
}

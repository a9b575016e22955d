//! What can be wrong with a weight file, or with the folder of them.

use std::path::PathBuf;

/// An error of reading, converting or finding weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The error lies in this file.
    #[error("{file} cannot be used as weights")]
    File {
        file: String,
        #[source]
        source: Box<WeightsError>,
    },
    /// The bytes are not what the format asks for.
    #[error("{format}: {problem} (at byte {position})")]
    Format {
        format: &'static str,
        problem: String,
        position: usize,
    },
    /// The file asks for something outside of the closed list.
    #[error(
        "the pickle refers to `{global}`, which a state dictionary does not need; nothing was executed: save the model's `state_dict()` alone, or convert the file to safetensors"
    )]
    Global { global: String },
    /// An instruction outside of the closed list.
    #[error(
        "the pickle holds the instruction 0x{opcode:02x} at byte {position}, which a state dictionary does not need; nothing was executed"
    )]
    Opcode { opcode: u8, position: usize },
    /// There is no dictionary of tensors where one is expected.
    #[error(
        "the file holds {found} instead of a dictionary of tensors (looked at the top level and under {looked})"
    )]
    NoStateDict {
        found: &'static str,
        looked: &'static str,
    },
    /// A tensor that cannot become f32.
    #[error("tensor `{tensor}`: {problem}")]
    Tensor { tensor: String, problem: String },
    /// A name that no layout of the backbone has.
    #[error(
        "tensor `{tensor}` belongs to no known layout of {backbone}; are these the weights of another backbone?"
    )]
    UnknownName {
        backbone: &'static str,
        tensor: String,
    },
    /// Tensors are missing or have another shape than the backbone has.
    #[error("these are not the weights of {backbone}: {problem}")]
    Mismatch { backbone: String, problem: String },
    /// The names leave open whose weights these are, and wrong ones would silently score worse.
    #[error(
        "these tensors can be of timm's tf_efficientnet_lite0, which efficientnet_lite0 is here, or of timm's efficientnet_lite0, which pads otherwise and is not built; say `--backbone tf_efficientnet_lite0` if they are of the first"
    )]
    TwoNetworks,
    /// No backbone of that name.
    #[error("unknown backbone `{name}`; known: {known}")]
    UnknownBackbone { name: String, known: String },
    /// Nothing in the folder.
    #[error("no weights of {backbone} in {}; import them with `ctl weights import FILE --backbone {backbone}` (FILE: safetensors or .pth; in the source tree `make weights` fetches and imports mobilenet_v2 and efficientnet_lite0), or set `pre_trained: false` for random ones", folder.display())]
    NotFound { backbone: String, folder: PathBuf },
    /// The file changed since it was imported.
    #[error("{} has the sha256 {found}, but its import recorded {expected}; import it again", path.display())]
    Digest {
        path: PathBuf,
        expected: String,
        found: String,
    },
    /// The sidecar is not readable.
    #[error("the sidecar {} is not valid", path.display())]
    Sidecar {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

impl WeightsError {
    pub(crate) fn format(
        format: &'static str,
        position: usize,
        problem: impl Into<String>,
    ) -> Self {
        Self::Format {
            format,
            problem: problem.into(),
            position,
        }
    }

    pub(crate) fn in_file(self, file: &str) -> Self {
        Self::File {
            file: file.to_owned(),
            source: Box::new(self),
        }
    }
}

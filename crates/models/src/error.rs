//! What can be wrong with a model's parameters, weights or statistics.

use graph::GraphError;

/// An error of building, fitting or loading a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("unknown model `{class}`; known: {known}")]
    UnknownModel { class: String, known: String },
    #[error("the model {class} is known but not built yet; built: {built}")]
    NotBuilt { class: &'static str, built: String },
    #[error("{class}: {name}: {problem}")]
    Argument {
        class: &'static str,
        name: String,
        problem: String,
    },
    #[error("unknown backbone `{name}`; known: {known}")]
    UnknownBackbone { name: String, known: String },
    #[error("{backbone} has no layer `{layer}`; its layers: {known}")]
    UnknownLayer {
        backbone: &'static str,
        layer: String,
        known: String,
    },
    #[error("these are not the weights of {backbone}: tensor `{tensor}` {problem}")]
    Weights {
        backbone: &'static str,
        tensor: String,
        problem: String,
    },
    #[error("{class}: {problem}")]
    Fit {
        class: &'static str,
        problem: String,
    },
    #[error("the statistics do not fit the model: {problem}")]
    Statistics { problem: String },
    #[error("the image size {height} x {width} is too small: {reason}")]
    ImageSize {
        height: usize,
        width: usize,
        reason: String,
    },
    #[error("cannot read the features")]
    Features(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot build the model's graph")]
    Graph(#[from] GraphError),
}

impl ModelError {
    /// The parameter that is wrong, for whoever knows where it was written.
    pub fn parameter(&self) -> Option<&str> {
        match self {
            Self::Argument { name, .. } => Some(name),
            Self::UnknownBackbone { .. } => Some("backbone"),
            Self::UnknownLayer { .. } => Some("layers"),
            _ => None,
        }
    }
}

//! The models: each is one folder with its parameters, its graph, how it learns, and its tests; no engine, no file.
//!
//! [`REGISTRY`] is the list of all names that job files may use; [`build`] makes a model from its parameters.

pub mod backbones;
mod blur;
mod error;
mod features;
mod input;
pub mod padim;
mod random;
mod registry;

use std::collections::BTreeMap;
use std::ops::Range;

use graph::{Graph, Tensor};

pub use error::ModelError;
pub use features::{FeatureSource, MemoryFeatures};
pub use random::Stream;
pub use registry::{REGISTRY, build, problems};

/// A backbone's tensors by name, as weight files hold them.
pub type StateDict = BTreeMap<String, Tensor>;

/// What a model learned: named tensors, stored in its package.
pub type Statistics = BTreeMap<String, Tensor>;

/// Tells how many of how many units of work are done; called from any thread.
pub type Progress<'a> = dyn Fn(u64, u64) + Sync + 'a;

/// A feature extractor as a model uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackboneUse {
    /// Of the architecture and of its weight file, such as `mobilenet_v2`.
    pub name: &'static str,
    /// timm's names of the layers, in the order in which the model takes them.
    pub layers: Vec<String>,
    /// Whether weights come from the weights folder; otherwise [`Model::random_weights`] makes them.
    pub pre_trained: bool,
}

/// How images are brought to a model's size; the rest of preprocessing is in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transform {
    /// Height, width to which the whole image is resized (bilinear, antialiased).
    pub size: [usize; 2],
    /// Height, width of the centre that is cut out afterwards.
    pub crop: Option<[usize; 2]>,
}

/// What an engine-free scoring head makes of feature maps; see [`Scorer::finish`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapFinish {
    /// Height, width to which the map is upsampled (bilinear, corners not aligned).
    pub size: [usize; 2],
    /// Standard deviation of the Gaussian blur after it, in pixels; reflect padding.
    pub sigma: f64,
    /// Taps of the blur along one axis.
    pub kernel: usize,
}

/// A model with its parameters set.
pub trait Model: Send + Sync {
    /// Anomalib's class name.
    fn class(&self) -> &'static str;

    /// The frozen network that it looks through, if any.
    fn backbone(&self) -> Option<BackboneUse>;

    /// Weights of the backbone for `pre_trained: false`: a function of the model's seed.
    fn random_weights(&self) -> Result<StateDict, ModelError>;

    /// What is done to an image before the graph sees it.
    fn preprocess(&self) -> Transform;

    /// Positions and dimensions of one image's features, as [`Model::feature_graph`] gives them.
    fn feature_shape(&self) -> Result<[usize; 2], ModelError>;

    /// Bytes of memory that [`Model::fit`] takes at most on so many threads, beside the engine's and one thread's
    /// backlog of images; `None` if it cannot be told beforehand.
    fn fit_memory(&self, _threads: usize) -> Option<u64> {
        None
    }

    /// Input `image` [N, 3, H, W] in [0, 1]; output `features` [N, positions, dims], positions in row-major order.
    fn feature_graph(&self, weights: &StateDict) -> Result<Graph, ModelError>;

    /// Learns from the features of normal images. The result does not depend on `threads`.
    fn fit(
        &self,
        features: &dyn FeatureSource,
        threads: usize,
        progress: &Progress,
    ) -> Result<Statistics, ModelError>;

    /// The definition of scoring: input `image` as above, outputs `anomaly_map` `[N, 1, H, W]` and `pred_score` `[N]`.
    fn inference_graph(
        &self,
        weights: &StateDict,
        statistics: &Statistics,
    ) -> Result<Graph, ModelError>;

    /// A faster execution of the inference graph's tail, from features on.
    fn scorer(&self, statistics: &Statistics) -> Result<Box<dyn Scorer>, ModelError>;
}

/// Scores features without an engine. Must agree with the model's inference graph within 1e-4.
pub trait Scorer: Send + Sync {
    /// Height, width of the map that scoring gives.
    fn grid(&self) -> [usize; 2];

    /// Images for which scoring costs least for each image; any other number works.
    fn batch(&self) -> usize;

    /// For each image, given its features [positions, dims] (the output `features` of the feature graph for it), fills
    /// the part `positions` of its map. An image's values do not depend on its batch mates, nor on how the positions are cut.
    ///
    /// `maps[i]` has the length of `positions`. Different ranges may be scored by different threads.
    fn score(&self, features: &[&[f32]], positions: Range<usize>, maps: &mut [&mut [f32]]);

    /// What makes the anomaly map of the grid; the image score is the finished map's maximum.
    fn finish(&self) -> MapFinish;
}

//! The models: each is one folder with its parameters, its graph, how it learns, and its tests; no engine, no file.
//!
//! [`REGISTRY`] is the list of all names that job files may use; [`build`] makes a model from its parameters.

mod arguments;
pub mod backbones;
mod blur;
pub mod dfkde;
pub mod dfm;
mod eigen;
mod error;
mod extractor;
mod features;
mod half;
mod input;
mod joint;
mod lanes;
pub mod padim;
mod parallel;
pub mod patchcore;
mod pca;
mod random;
mod registry;
mod transform;

use std::collections::BTreeMap;
use std::ops::Range;

use graph::{Graph, Tensor};

pub use error::ModelError;
use features::read_rows;
pub use features::{FeatureSource, MemoryFeatures};
pub use half::kernels;
pub use joint::JointPass;
pub use random::Stream;
pub use registry::{REGISTRY, build, problems};
pub use transform::{InputSize, Transform};

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

impl BackboneUse {
    /// Multiplications whose products are added up, for an image of this height and width.
    pub fn products(&self, size: [usize; 2]) -> u64 {
        let Ok(network) = backbones::find(self.name) else {
            return 0;
        };
        let layers = self.layers.iter().filter_map(|name| network.layer(name));
        network.products(size, &layers.collect::<Vec<_>>())
    }
}

/// Where a graph of features begins.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// At the input `image` [N, 3, H, W] in [0, 1], with these weights of the backbone.
    Image(&'a StateDict),
    /// Behind the backbone: the inputs are the maps of the model's layers, each named like its layer, in the order of
    /// [`BackboneUse::layers`]; see [`JointPass`].
    Maps,
}

/// How a map on a model's grid becomes the anomaly map; see [`Model::map`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapFinish {
    /// Height, width of the grid.
    pub grid: [usize; 2],
    /// Height, width to which it is upsampled.
    pub size: [usize; 2],
    pub upsampling: Upsampling,
    /// What smooths it afterwards, if anything does.
    pub blur: Option<Blur>,
}

/// How pixels between a grid's cells get their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upsampling {
    /// Pixel i has the value of cell floor(i * cells / pixels).
    Nearest,
    /// Between neighbours, corners not aligned.
    Bilinear,
}

/// A Gaussian with reflected borders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blur {
    /// Standard deviation in pixels.
    pub sigma: f64,
    /// Taps along one axis.
    pub kernel: usize,
}

/// Memory that learning takes at most, beside the engine's and one thread's backlog of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FitMemory {
    /// However many images there are.
    pub bytes: u64,
    /// And for each training image so many more.
    pub bytes_per_image: u64,
}

/// Multiplications whose products are added up behind the features, at most; those in f64 count twice, since a processor
/// does half as many of them at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Learning.
    pub fit: f64,
    /// From an image's features to its score.
    pub score: f64,
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

    /// Positions (row-major) and dimensions of one image's features; a model that keeps them in another form has as many positions as
    /// numbers, of one dimension.
    fn feature_shape(&self) -> Result<[usize; 2], ModelError>;

    /// What [`Model::fit`] takes on so many threads.
    fn fit_memory(&self, threads: usize) -> Result<FitMemory, ModelError>;

    /// Of learning from so many images, and of what was learned of them.
    fn work(&self, images: u64) -> Result<Work, ModelError>;

    /// What makes the anomaly map of the grid's values; `None`: scoring gives a score alone, and does not say where an image
    /// is unusual.
    fn map(&self) -> Option<MapFinish>;

    /// Output `features` [N, positions, dims], as [`Model::feature_shape`] says.
    fn feature_graph(&self, start: Start<'_>) -> Result<Graph, ModelError>;

    /// Learns from the features of normal images. The result does not depend on `threads`.
    fn fit(
        &self,
        features: &dyn FeatureSource,
        threads: usize,
        progress: &Progress,
    ) -> Result<Statistics, ModelError>;

    /// The definition of scoring: input `image` [N, 3, H, W] in [0, 1], outputs `pred_score` `[N]` and, if the model has maps,
    /// `anomaly_map` `[N, 1, H, W]`.
    fn inference_graph(
        &self,
        weights: &StateDict,
        statistics: &Statistics,
    ) -> Result<Graph, ModelError>;

    /// A faster execution of the inference graph's tail, from features on.
    fn scorer(&self, statistics: &Statistics) -> Result<Box<dyn Scorer>, ModelError>;
}

/// Scores features without an engine. Must agree with the model's inference graph within 1e-4.
///
/// In two steps: what is cheapest for many images at once, position by position ([`Scorer::distances`], which a model may
/// do without), then what each image comes to by itself ([`Scorer::image`]).
pub trait Scorer: Send + Sync {
    /// Positions for which there are distances; 0: the model has no such step.
    fn positions(&self) -> usize {
        0
    }

    /// Images for which distances cost least for each image; any other number works.
    fn batch(&self) -> usize {
        1
    }

    /// For each image, given its features [positions, dims] (the output `features` of the feature graph for it), fills
    /// the part `positions` of its distances. An image's values do not depend on its batch mates, nor on how the positions
    /// are cut.
    ///
    /// `distances[i]` has the length of `positions`. Different ranges may be asked for by different threads.
    fn distances(
        &self,
        _features: &[&[f32]],
        _positions: Range<usize>,
        _distances: &mut [&mut [f32]],
    ) {
    }

    /// What one image comes to, given its features and its distances at all positions.
    fn image(&self, features: &[f32], distances: Vec<f32>) -> Scored;

    /// A faster one for features that were computed in bf16: its factors are rounded to bf16, its sums are in f32. `None`: the
    /// model has none, or this processor no instructions for it.
    fn in_bf16(&self) -> Option<Box<dyn Scorer>> {
        None
    }
}

/// What scoring makes of one image.
#[derive(Debug, Clone, PartialEq)]
pub enum Scored {
    /// Values on the map's grid; the score is the finished map's maximum.
    Map(Vec<f32>),
    /// Values on the map's grid and a score of its own.
    MapAndScore(Vec<f32>, f32),
    /// A score alone.
    Score(f32),
}

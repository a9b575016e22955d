//! The dataset `MVTec`: MVTec AD and everything else in its folder layout.

mod layout;

#[cfg(test)]
mod tests;

use params::{Default, Kind, Param};
use serde::Deserialize;

use crate::{
    DataError, Dataset, ListedObject, Listing, Purpose, Split,
    layout::join,
    parameters::{self, ImageDataset},
    registry::parse,
};

pub(crate) const PARAMS: &[Param] = &[
    Param::new(
        "root",
        Kind::Path,
        Default::Json("\"./datasets/MVTec\""),
        "Folder that holds the categories.",
    ),
    Param::new(
        "category",
        Kind::Text,
        Default::Json("\"bottle\""),
        "Folder below the root; may be empty: the root itself.",
    ),
    parameters::NAME,
    parameters::TASK,
    parameters::IMAGE_SIZE,
    parameters::CENTER_CROP,
    parameters::TEST_SPLIT_MODE,
    parameters::TEST_SPLIT_RATIO,
    Param::new(
        "val_split_mode",
        Kind::Choice {
            built: &[
                "none",
                "same_as_test",
                "from_train",
                "from_test",
                "synthetic",
                "from_dir",
            ],
            not_built: &[],
        },
        Default::Json("\"same_as_test\""),
        "Where validation images come from; `from_dir` (ours) reads CATEGORY/validation. `synthetic`: a share of the training images, \
         half of them with a synthetic anomaly.",
    ),
    parameters::VAL_SPLIT_RATIO,
    parameters::SEED,
    parameters::TRAIN_BATCH_SIZE,
    parameters::EVAL_BATCH_SIZE,
    parameters::NUM_WORKERS,
    parameters::TRANSFORM,
    parameters::TRAIN_TRANSFORM,
    parameters::EVAL_TRANSFORM,
];

#[derive(Debug, Deserialize)]
pub(crate) struct MvtecAd {
    root: String,
    category: String,
    name: Option<String>,
    test_split_ratio: f64,
    #[serde(flatten)]
    shared: ImageDataset,
}

impl MvtecAd {
    pub fn build(
        init_args: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Box<dyn Dataset>, DataError> {
        let mut dataset: Self = parse(init_args)?;
        dataset.root = join(&dataset.root, "");
        dataset.name.get_or_insert_with(|| {
            dataset
                .root
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned()
        });
        Ok(Box::new(dataset))
    }

    fn folder(&self) -> String {
        join(&self.root, &self.category)
    }
}

impl Dataset for MvtecAd {
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    fn category(&self) -> &str {
        &self.category
    }

    fn roots(&self) -> Vec<String> {
        vec![self.folder()]
    }

    fn licence_folders(&self) -> Vec<String> {
        let mut folders = vec![self.folder(), self.root.clone()];
        folders.dedup();
        folders
    }

    fn threshold_split(&self) -> Option<Split> {
        self.shared.threshold_split()
    }

    fn samples(&self, listing: &[ListedObject], purpose: Purpose) -> Result<Listing, DataError> {
        layout::samples(
            &self.folder(),
            &self.shared,
            self.test_split_ratio,
            listing,
            purpose,
        )
    }
}

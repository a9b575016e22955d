//! The dataset `Folder`: the user's own folders of normal and anomalous images.

mod layout;

#[cfg(test)]
mod tests;

use params::{Default, Kind, Param};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    DataError, Dataset, ListedObject, Listing, Purpose, Split,
    layout::join,
    parameters::{self, ImageDataset},
    registry::parse,
};

const FOLDERS: Kind = Kind::OneOrMany(&Kind::Text);

pub(crate) const PARAMS: &[Param] = &[
    Param::new(
        "name",
        Kind::Text,
        Default::Required,
        "The dataset's name in tables.",
    ),
    Param::new(
        "root",
        Kind::Nullable(&Kind::Path),
        Default::Json("\".\""),
        "Folder that the others are relative to.",
    ),
    Param::new(
        "normal_dir",
        FOLDERS,
        Default::Required,
        "Folders of normal images to train on.",
    ),
    Param::new(
        "abnormal_dir",
        Kind::Nullable(&FOLDERS),
        Default::Json("null"),
        "Folders of anomalous test images.",
    ),
    Param::new(
        "normal_test_dir",
        Kind::Nullable(&FOLDERS),
        Default::Json("null"),
        "Folders of normal test images.",
    ),
    Param::new(
        "mask_dir",
        Kind::Nullable(&FOLDERS),
        Default::Json("null"),
        "Folders of masks: as many as `abnormal_dir` has, in its order, or one for all.",
    ),
    Param::new(
        "extensions",
        Kind::Nullable(&Kind::OneOrMany(&Kind::Text)),
        Default::Json("null"),
        "Endings of image names, such as `.png`; null: all usual ones.",
    ),
    Param::new(
        "normal_split_ratio",
        Kind::Float { min: 0.0, max: 1.0 },
        Default::Json("0.2"),
        "Another name of `test_split_ratio`, used where that is null.",
    ),
    parameters::TASK,
    parameters::IMAGE_SIZE,
    parameters::CENTER_CROP,
    parameters::TEST_SPLIT_MODE,
    Param::new(
        "test_split_ratio",
        Kind::Nullable(&Kind::Float { min: 0.0, max: 1.0 }),
        Default::Json("null"),
        "Share of the normal training images that becomes test if there are no normal test images; null: `normal_split_ratio`.",
    ),
    Param::new(
        "val_split_mode",
        Kind::Choice {
            built: &[
                "none",
                "same_as_test",
                "from_train",
                "from_test",
                "synthetic",
            ],
            not_built: &[],
        },
        Default::Json("\"from_test\""),
        "Where validation images come from. `synthetic`: a share of the training images, half of them with a synthetic anomaly.",
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
pub(crate) struct Folder {
    name: String,
    root: Option<String>,
    normal_dir: Vec<String>,
    abnormal_dir: Option<Vec<String>>,
    normal_test_dir: Option<Vec<String>>,
    mask_dir: Option<Vec<String>>,
    extensions: Option<Vec<String>>,
    normal_split_ratio: f64,
    test_split_ratio: Option<f64>,
    #[serde(flatten)]
    shared: ImageDataset,
}

impl Folder {
    pub fn build(init_args: &Map<String, Value>) -> Result<Box<dyn Dataset>, DataError> {
        if let Some(problem) = problems(init_args, &[]).into_iter().next() {
            return Err(problem);
        }
        let mut dataset: Self = parse(init_args)?;
        dataset.make_absolute();
        Ok(Box::new(dataset))
    }

    fn make_absolute(&mut self) {
        let root = self.root.as_deref().unwrap_or_default();
        let folders = self
            .normal_dir
            .iter_mut()
            .chain(self.abnormal_dir.iter_mut().flatten())
            .chain(self.normal_test_dir.iter_mut().flatten())
            .chain(self.mask_dir.iter_mut().flatten());
        for folder in folders {
            *folder = join(root, folder);
        }
    }
}

/// What no single parameter's range can say. Of what depends on an unreadable one, nothing is said.
pub(crate) fn problems(init_args: &Map<String, Value>, unreadable: &[&str]) -> Vec<DataError> {
    let mut problems = Vec::new();
    let mut wrong = |parameter, reason: String| {
        problems.push(DataError::Parameter { parameter, reason });
    };
    let readable = |names: &[&str]| names.iter().all(|name| !unreadable.contains(name));
    let folders = |name: &str| {
        let items = init_args.get(name).and_then(Value::as_array);
        items.map(|items| items.iter().filter_map(Value::as_str).collect::<Vec<_>>())
    };
    let (masks, images) = (folders("mask_dir"), folders("abnormal_dir"));
    if readable(&["task", "mask_dir", "abnormal_dir"]) {
        let segmentation = init_args.get("task").and_then(Value::as_str) != Some("classification");
        let reason = match (segmentation, &masks, &images) {
            (false, Some(_), _) => Some(
                "the task classification has no masks; leave it out, or use the task segmentation",
            ),
            (true, None, Some(_)) => Some(
                "the task segmentation needs it for abnormal_dir; else use the task classification",
            ),
            (true, Some(masks), Some(images))
                if masks.len() != 1 && masks.len() != images.len() =>
            {
                Some("give as many folders as abnormal_dir has, in its order, or one for all")
            }
            (true, Some(_), None) => {
                Some("there is no abnormal_dir that the masks could belong to")
            }
            _ => None,
        };
        if let Some(reason) = reason {
            wrong("mask_dir", reason.to_owned());
        }
    }
    for bad in folders("extensions").unwrap_or_default() {
        if !bad.starts_with('.') {
            wrong("extensions", format!("{bad:?} does not begin with a dot"));
        }
    }
    if readable(&["root"]) && init_args.get("root").is_none_or(Value::is_null) {
        let names = ["normal_dir", "abnormal_dir", "normal_test_dir", "mask_dir"];
        let homeless = names
            .into_iter()
            .filter_map(folders)
            .flatten()
            .find(|folder| !folder.starts_with('/') && !folder.contains("://"));
        if let Some(folder) = homeless {
            wrong(
                "root",
                format!("without it the folder {folder:?} has no place"),
            );
        }
    }
    problems
}

impl Dataset for Folder {
    fn name(&self) -> &str {
        &self.name
    }

    fn category(&self) -> &str {
        ""
    }

    fn roots(&self) -> Vec<String> {
        let optional = [&self.abnormal_dir, &self.normal_test_dir, &self.mask_dir];
        let mut all: Vec<String> = self
            .normal_dir
            .iter()
            .chain(optional.into_iter().flatten().flatten())
            .cloned()
            .collect();
        all.sort();
        // A folder inside another is listed with it. After sorting, the outer one comes first.
        let mut outer: Vec<String> = Vec::new();
        for folder in all {
            let inside = |root: &String| {
                folder == *root
                    || folder
                        .strip_prefix(root.as_str())
                        .is_some_and(|rest| rest.starts_with('/'))
            };
            if !outer.iter().any(inside) {
                outer.push(folder);
            }
        }
        outer
    }

    fn licence_folders(&self) -> Vec<String> {
        let mut folders = self.roots();
        folders.extend(self.root.clone());
        folders.dedup();
        folders
    }

    fn threshold_split(&self) -> Option<Split> {
        self.shared.threshold_split()
    }

    fn samples(&self, listing: &[ListedObject], purpose: Purpose) -> Result<Listing, DataError> {
        layout::samples(self, listing, purpose)
    }
}

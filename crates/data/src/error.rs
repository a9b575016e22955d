//! What can be wrong with a dataset: always the user's to mend, so every message names the place.

/// All of them are of the failure class `invalid_input`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DataError {
    #[error("unknown dataset {class:?}")]
    UnknownClass { class: String },
    #[error("the dataset {class} is known but not built yet")]
    NotBuilt { class: &'static str },
    #[error("{parameter}: {reason}")]
    Parameter {
        parameter: &'static str,
        reason: String,
    },
    #[error("no images in {folder}: it is empty or does not exist{}", suggest(.nearest))]
    EmptyFolder {
        folder: String,
        /// Set by [`DataError::with_names`].
        nearest: Option<String>,
    },
    #[error("no images in {folder}: the folder is empty")]
    NoFiles { folder: String },
    #[error("no images in {folder}: there is no such folder{}", suggest(.nearest))]
    NoFolder {
        folder: String,
        /// As above.
        nearest: Option<String>,
    },
    #[error("no normal images to train on: {folder} holds none")]
    NoNormalImages { folder: String },
    #[error(
        "no normal images to train on: the test folders hold no normal image, and test_split_ratio {ratio} makes test \
         images of all {moved} in {folder}; lower it, or set test_split_mode: none"
    )]
    AllBecameTest {
        folder: String,
        moved: usize,
        ratio: f64,
    },
    #[error(
        "no normal images to train on: val_split_mode is {mode} and val_split_ratio {ratio} makes validation images of all {moved} \
         in {folder}; lower it, or choose another mode"
    )]
    AllBecameValidation {
        folder: String,
        moved: usize,
        ratio: f64,
        mode: &'static str,
    },
    #[error(
        "val_split_mode is from_dir, but {folder} holds no images; another mode is same_as_test"
    )]
    NoValidationImages { folder: String },
    #[error(
        "the anomalous image {image} has no mask in {masks}; add it, or use the task classification"
    )]
    MaskMissing { image: String, masks: String },
    #[error(
        "the mask {mask} belongs to both {first} and {second}: give each image a mask of its own, and masks of \
         different kinds folders of their own"
    )]
    MaskOfTwo {
        mask: String,
        first: String,
        second: String,
    },
    #[error("the mask {mask} belongs to no image")]
    MaskWithoutImage { mask: String },
    #[error(
        "the mask {mask} stands at the place of the image {image}, but its name does not contain the image's; \
         masks are paired by name, else in sorted order"
    )]
    MaskMismatch { image: String, mask: String },
    #[error("{path} belongs to both {first} and {second}: an image has one role")]
    TwoRoles {
        path: String,
        first: &'static str,
        second: &'static str,
    },
}

fn suggest(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!("; did you mean {name:?}?"),
        None => String::new(),
    }
}

impl DataError {
    /// The folder whose immediate sub-folders, given to [`Self::with_names`], may explain the error.
    pub fn wants_names_in(&self) -> Option<&str> {
        match self {
            Self::EmptyFolder { folder, .. } | Self::NoFolder { folder, .. } => {
                folder.rsplit_once('/').map(|(parent, _)| parent)
            }
            _ => None,
        }
    }

    /// The same error with the nearest of the names that do exist beside the missing folder.
    pub fn with_names(self, names: &[String]) -> Self {
        match self {
            Self::EmptyFolder { folder, .. } => {
                let nearest = nearest(&folder, names);
                Self::EmptyFolder { folder, nearest }
            }
            Self::NoFolder { folder, .. } => {
                let nearest = nearest(&folder, names);
                Self::NoFolder { folder, nearest }
            }
            other => other,
        }
    }
}

/// Of names beside a folder that does not exist the one that is most like its own.
fn nearest(folder: &str, names: &[String]) -> Option<String> {
    let wanted = folder
        .rsplit_once('/')
        .map_or(folder, |(_, name)| name)
        .to_lowercase();
    names
        .iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .filter(|(likeness, name)| *likeness > 0.75 && **name != wanted)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name.clone())
}

//! Every dataset that a job file may name.

use params::Entry;
use serde_json::{Map, Value};

use crate::{Data, DataError, Unlabelled, folder, mvtec_ad, predict_dataset};

/// Sorted by class name.
pub const REGISTRY: &[Entry] = &[
    known("Avenue"),
    known("BTech"),
    built("Folder", folder::PARAMS),
    known("Folder3D"),
    known("Kolektor"),
    built("MVTec", mvtec_ad::PARAMS),
    known("MVTec3D"),
    built("PredictDataset", predict_dataset::PARAMS),
    known("ShanghaiTech"),
    known("UCSDped"),
    known("Visa"),
];

const MODULE: &str = "anomalib.data";

const fn known(class: &'static str) -> Entry {
    Entry {
        class,
        module: MODULE,
        params: None,
    }
}

const fn built(class: &'static str, params: &'static [params::Param]) -> Entry {
    Entry {
        class,
        module: MODULE,
        params: Some(params),
    }
}

/// The dataset of a resolved job: canonical class name, every parameter written out.
pub fn build(class: &str, init_args: &Map<String, Value>) -> Result<Data, DataError> {
    match class {
        "Folder" => folder::Folder::build(init_args).map(Data::Labelled),
        "MVTec" => mvtec_ad::MvtecAd::build(init_args).map(Data::Labelled),
        "PredictDataset" => Unlabelled::build(init_args).map(Data::Unlabelled),
        other => Err(match REGISTRY.iter().find(|entry| entry.class == other) {
            Some(entry) => DataError::NotBuilt { class: entry.class },
            None => DataError::UnknownClass {
                class: other.to_owned(),
            },
        }),
    }
}

/// Everything that is wrong with a dataset's parameters together, as far as it can be told: `unreadable` names those whose
/// own value is wrong, so that nothing is said of what depends on them.
pub fn problems(
    class: &str,
    init_args: &Map<String, Value>,
    unreadable: &[&str],
) -> Vec<DataError> {
    match class {
        "Folder" => folder::problems(init_args, unreadable),
        "PredictDataset" => predict_dataset::problems(init_args, unreadable),
        _ if !unreadable.is_empty() => Vec::new(),
        _ => build(class, init_args).err().into_iter().collect(),
    }
}

/// Parameters whose names, kinds and ranges the job reader has checked.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    init_args: &Map<String, Value>,
) -> Result<T, DataError> {
    serde_json::from_value(Value::Object(init_args.clone())).map_err(|error| DataError::Parameter {
        parameter: "init_args",
        reason: error.to_string(),
    })
}

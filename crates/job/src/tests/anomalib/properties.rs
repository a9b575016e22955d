//! Whatever can be imported reads back to the same job.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

/// Maps that are nearly what Anomalib writes.
fn files() -> impl Strategy<Value = Json> {
    let keys = prop::sample::select(vec![
        "model",
        "data",
        "dataset",
        "benchmark",
        "grid_search",
        "model_name",
        "class_path",
        "init_args",
        "grid",
        "name",
        "format",
        "path",
        "category",
        "image_size",
        "center_crop",
        "metrics",
        "threshold",
        "method",
        "manual_image",
        "image",
        "normalization",
        "normalization_method",
        "trainer",
        "default_root_dir",
        "results_dir",
        "project",
        "seed",
        "seed_everything",
        "task",
        "tiling",
        "apply",
        "transform_config",
        "train",
        "accelerator",
        "odd",
    ]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (0..300).prop_map(Json::from),
        prop::sample::select(vec![
            "Padim", "MVTec", "folder", "manual", "min_max", "AUROC", "./x", "01"
        ])
        .prop_map(Json::from),
    ];
    let values = leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            4 => prop::collection::btree_map(keys.clone().prop_map(str::to_owned), inner, 0..7)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    });
    // Often with what every job needs, so that some can be read.
    (values, any::<bool>()).prop_map(|(value, whole)| match value {
        Json::Object(mut map) if whole => {
            map.insert("model".into(), "Padim".into());
            map.insert("data".into(), "MVTec".into());
            for key in [
                "name",
                "seed",
                "dataset",
                "benchmark",
                "grid_search",
                "model_name",
                "metrics",
                "task",
                "normalization",
            ] {
                map.remove(key);
            }
            Json::Object(map)
        }
        value => value,
    })
}

proptest! {
    #[test]
    fn whatever_is_imported_reads_back(file in files()) {
        let text = yaml(&file);
        if let Ok(import) = import_anomalib(&text, "job.yaml", &context()) {
            let ours = read(&import.yaml, "job.yaml", &[], &context());
            prop_assert_eq!(ours.map(|ours| ours.job), Ok(import.reading.job), "{}", import.yaml);
        }
    }
}

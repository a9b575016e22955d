//! The user's folders, right and wrong.

use serde_json::{Value, json};

use crate::{
    DataError, Label, Listing, Purpose, Split,
    tests::{dataset, lines, listing},
};

const IMAGES: &[&str] = &[
    "/d/good/0.png",
    "/d/good/1.png",
    "/d/good/2.png",
    "/d/good/deep/3.jpg",
    "/d/good/4.png",
    "/d/crack/0.png",
    "/d/crack/1.png",
    "/d/dent/0.png",
    "/d/mask/crack/0_mask.png",
    "/d/mask/crack/1_mask.png",
    "/d/mask/dent/0.png",
];

fn samples(given: Value) -> Result<Listing, DataError> {
    let mut args = json!({"name": "screws", "root": "/d", "normal_dir": ["good"], "task": "classification", "val_split_mode": "none"});
    for (name, value) in given.as_object().expect("a map") {
        args[name] = value.clone();
    }
    dataset("Folder", args)?.samples(&listing(IMAGES), Purpose::Train)
}

fn count(listing: &Listing, split: Split, label: Label) -> usize {
    listing
        .samples
        .iter()
        .filter(|one| one.split == split && one.label == label)
        .count()
}

#[test]
fn folders_have_roles() {
    let found = samples(json!({"abnormal_dir": ["crack", "/d/dent"]})).expect("right");
    let counts = (
        count(&found, Split::Train, Label::Normal),
        count(&found, Split::Test, Label::Normal),
        count(&found, Split::Test, Label::Anomalous),
    );
    assert_eq!(counts, (4, 1, 3), "a fifth of the normal images is tested");
    let kinds: Vec<&str> = found
        .samples
        .iter()
        .filter_map(|one| one.defect_type.as_deref())
        .collect();
    assert_eq!(kinds, ["crack", "crack", "dent"]);
}

#[test]
fn normal_split_ratio_is_used_where_test_split_ratio_is_not_given() {
    for (given, expected) in [
        (json!({"normal_split_ratio": 0}), 0),
        (json!({"normal_split_ratio": 0.6}), 3),
        (
            json!({"normal_split_ratio": 0.6, "test_split_ratio": 0.4}),
            2,
        ),
    ] {
        assert_eq!(
            count(
                &samples(given.clone()).expect("right"),
                Split::Test,
                Label::Normal
            ),
            expected,
            "{given}"
        );
    }
}

#[test]
fn normal_images_alone_are_enough_for_a_test() {
    let given =
        json!({"test_split_mode": "synthetic", "test_split_ratio": 0.8, "task": "segmentation"});
    let found = samples(given.clone()).expect("right");
    let counts = (
        count(&found, Split::Train, Label::Normal),
        count(&found, Split::Test, Label::Normal),
        count(&found, Split::Test, Label::Anomalous),
    );
    assert_eq!(counts, (1, 2, 2));
    let seeds: Vec<u64> = (found.samples.iter())
        .filter_map(|one| one.synthetic)
        .collect();
    assert!(seeds.len() == 2 && seeds[0] != seeds[1], "{seeds:?}");
    for one in &found.samples {
        let synthetic = one.label == Label::Anomalous;
        assert_eq!(one.synthetic.is_some(), synthetic);
        assert_eq!(one.defect_type.as_deref() == Some("synthetic"), synthetic);
        assert_eq!(one.mask_uri, None);
    }
    let reversed: Vec<&str> = IMAGES.iter().rev().copied().collect();
    let mut args =
        json!({"name": "screws", "root": "/d", "normal_dir": ["good"], "val_split_mode": "none"});
    for (name, value) in given.as_object().expect("a map") {
        args[name] = value.clone();
    }
    let dataset = dataset("Folder", args).expect("right");
    let again = dataset.samples(&listing(&reversed), Purpose::Train);
    assert_eq!(
        again.expect("right"),
        found,
        "no order of a listing matters"
    );
}

#[test]
fn a_synthetic_test_leaves_real_anomalies_out() {
    let found = samples(
        json!({"abnormal_dir": ["crack", "dent"], "test_split_mode": "synthetic", "test_split_ratio": 0.4}),
    );
    let found = found.expect("right");
    let real = |one: &&crate::SampleSeed| one.label == Label::Anomalous && one.synthetic.is_none();
    assert_eq!(found.samples.iter().filter(real).count(), 0);
    assert_eq!(count(&found, Split::Test, Label::Anomalous), 1);
    let said = "test_split_mode is synthetic: 3 anomalous test images are left out";
    assert!(
        found.warnings.iter().any(|line| line == said),
        "{:?}",
        found.warnings
    );
}

#[test]
fn validation_from_training_images() {
    let modes = |mode: &str, ratio: f64| {
        samples(
            json!({"abnormal_dir": ["crack"], "test_split_mode": "none", "val_split_mode": mode, "val_split_ratio": ratio}),
        )
    };
    let counts = |found: &Listing| {
        (
            count(found, Split::Train, Label::Normal),
            count(found, Split::Validation, Label::Normal),
            count(found, Split::Validation, Label::Anomalous),
            count(found, Split::Test, Label::Anomalous),
        )
    };
    let plain = modes("from_train", 0.9).expect("right");
    assert_eq!(counts(&plain), (1, 4, 0, 2));
    let synthetic = modes("synthetic", 0.9).expect("right");
    assert_eq!(counts(&synthetic), (1, 2, 2, 2));
    let validation = |found: &Listing| -> Vec<String> {
        let of_it = found
            .samples
            .iter()
            .filter(|one| one.split == Split::Validation);
        of_it.map(|one| one.uri.clone()).collect()
    };
    assert_eq!(validation(&plain), validation(&synthetic));
    assert_eq!(
        modes("synthetic", 1.0),
        Err(DataError::AllBecameValidation {
            folder: "/d/good".to_owned(),
            moved: 5,
            ratio: 1.0,
            mode: "synthetic",
        })
    );
    let none = modes("from_train", 0.1).expect("right");
    assert!(
        none.warnings
            .iter()
            .any(|line| line.contains("from_train took no image")),
        "{:?}",
        none.warnings
    );
}

#[test]
fn masks_by_folder_or_all_in_one() {
    let segmentation = |masks: Value| {
        samples(
            json!({"task": "segmentation", "abnormal_dir": ["crack", "dent"], "mask_dir": masks, "normal_split_ratio": 0}),
        )
    };
    for masks in [json!(["mask/crack", "mask/dent"]), json!(["mask"])] {
        let found = segmentation(masks).expect("right");
        assert_eq!(
            lines(&found)[..3],
            [
                "crack/0.png test anomalous crack/0_mask.png",
                "crack/1.png test anomalous crack/1_mask.png",
                "dent/0.png test anomalous dent/0.png",
            ]
        );
    }
    assert!(matches!(
        segmentation(json!(["mask/dent", "mask/crack"])),
        Err(DataError::MaskMissing { .. })
    ));
}

#[test]
fn a_mask_of_two_images_is_an_error_that_names_both() {
    let args = json!({"name": "screws", "root": "/d", "normal_dir": ["good"], "abnormal_dir": ["crack", "dent"],
        "mask_dir": ["mask"], "task": "segmentation", "val_split_mode": "none"});
    let objects = listing(&[
        "/d/good/0.png",
        "/d/good/1.png",
        "/d/crack/0.png",
        "/d/dent/0.png",
        "/d/mask/0.png",
    ]);
    let error = dataset("Folder", args)
        .expect("right")
        .samples(&objects, Purpose::Train)
        .expect_err("wrong")
        .to_string();
    for part in ["mask/0.png", "/d/crack/0.png", "/d/dent/0.png"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_share_that_leaves_nothing_to_train_on_is_named() {
    let error = samples(json!({"normal_split_ratio": 1.0}))
        .expect_err("wrong")
        .to_string();
    assert!(
        error.contains("test_split_ratio 1") && error.contains("all 5 in /d/good"),
        "{error}"
    );
}

#[test]
fn parameters_that_do_not_fit_each_other() {
    let wrong = |given: Value| match samples(given).expect_err("wrong") {
        DataError::Parameter { parameter, .. } => parameter,
        other => panic!("{other}"),
    };
    assert_eq!(
        wrong(json!({"abnormal_dir": ["crack"], "mask_dir": ["mask/crack"]})),
        "mask_dir"
    );
    assert_eq!(
        wrong(json!({"task": "segmentation", "abnormal_dir": ["crack"]})),
        "mask_dir"
    );
    assert_eq!(
        wrong(json!({"task": "segmentation", "mask_dir": ["mask/crack"]})),
        "mask_dir"
    );
    assert_eq!(
        wrong(
            json!({"task": "segmentation", "abnormal_dir": ["a", "b", "c"], "mask_dir": ["a", "b"]})
        ),
        "mask_dir"
    );
    assert_eq!(wrong(json!({"extensions": ["png"]})), "extensions");
    assert_eq!(wrong(json!({"root": null})), "root");
}

#[test]
fn an_image_has_one_role() {
    let error = samples(json!({"normal_test_dir": ["good/deep"]}))
        .expect_err("wrong")
        .to_string();
    assert_eq!(
        error,
        "/d/good/deep/3.jpg belongs to both normal_dir and normal_test_dir: an image has one role"
    );
}

#[test]
fn empty_folders_are_errors() {
    let empty = |given: Value| match samples(given).expect_err("wrong") {
        DataError::EmptyFolder { folder, .. } => folder,
        other => panic!("{other}"),
    };
    assert_eq!(empty(json!({"normal_dir": ["godo"]})), "/d/godo");
    assert_eq!(empty(json!({"abnormal_dir": ["crack", "hole"]})), "/d/hole");
    assert_eq!(empty(json!({"extensions": [".bmp"]})), "/d/good");
    assert_eq!(
        samples(json!({"extensions": [".jpg"], "normal_split_ratio": 0}))
            .expect("right")
            .samples
            .len(),
        1
    );
}

#[test]
fn a_folder_within_another_is_listed_once() {
    let args = json!({"name": "x", "root": "/d", "normal_dir": ["good", "good-too", "good/deep"], "abnormal_dir": ["../e/bad"], "task": "classification"});
    assert_eq!(
        dataset("Folder", args).expect("right").roots(),
        ["/d/good", "/d/good-too", "/e/bad"]
    );
}

#[test]
fn half_of_each_label_validates_by_default() {
    let found = samples(json!({"val_split_mode": "from_test", "abnormal_dir": ["crack", "dent"], "normal_split_ratio": 0.4})).expect("right");
    assert_eq!(
        (
            count(&found, Split::Validation, Label::Normal),
            count(&found, Split::Validation, Label::Anomalous)
        ),
        (1, 1)
    );
    assert_eq!(
        (
            count(&found, Split::Test, Label::Normal),
            count(&found, Split::Test, Label::Anomalous)
        ),
        (1, 2)
    );
}

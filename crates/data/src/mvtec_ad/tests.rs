//! The MVTec AD layout, right and wrong.

use serde_json::{Value, json};

use crate::{
    DataError, Listing, Purpose, Split,
    tests::{dataset, lines, listing},
};

const IMAGES: &[&str] = &[
    "/d/brick/train/good/0.png",
    "/d/brick/train/good/1.png",
    "/d/brick/test/good/0.png",
    "/d/brick/test/crack/1.png",
    "/d/brick/test/crack/10.PNG",
    "/d/brick/ground_truth/crack/1_mask.png",
    "/d/brick/ground_truth/crack/10_mask.png",
];

fn samples(given: Value, paths: &[&str]) -> Result<Listing, DataError> {
    let mut args = json!({"root": "/d", "category": "brick"});
    for (name, value) in given.as_object().expect("a map") {
        args[name] = value.clone();
    }
    dataset("MVTec", args)?.samples(&listing(paths), Purpose::Train)
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    IMAGES.iter().chain(more).copied().collect()
}

fn without<'a>(part: &str) -> Vec<&'a str> {
    IMAGES
        .iter()
        .filter(|path| !path.contains(part))
        .copied()
        .collect()
}

#[test]
fn folders_say_split_label_and_mask() {
    let found = samples(json!({}), IMAGES).expect("right");
    let expected = [
        "crack/1.png test anomalous crack/1_mask.png",
        "crack/10.PNG test anomalous crack/10_mask.png",
        "good/0.png test normal -",
        "good/0.png train normal -",
        "good/1.png train normal -",
    ];
    assert_eq!(lines(&found), expected);
    assert_eq!(found.warnings, [""; 0]);
    assert_eq!(found.samples[0].defect_type.as_deref(), Some("crack"));
}

#[test]
fn names_roots_and_threshold_splits() {
    let brick = dataset(
        "MVTec",
        json!({"root": "/data/texture/", "category": "brick"}),
    )
    .expect("right");
    assert_eq!(
        (brick.name(), brick.category(), brick.roots()),
        ("texture", "brick", vec!["/data/texture/brick".to_owned()])
    );
    assert_eq!(
        brick.licence_folders(),
        ["/data/texture/brick", "/data/texture"]
    );
    assert_eq!(brick.threshold_split(), Some(Split::Test));
    let whole = dataset(
        "MVTec",
        json!({"root": "/data/elpv", "category": "", "name": "cells"}),
    )
    .expect("right");
    assert_eq!(
        (whole.name(), whole.roots()),
        ("cells", vec!["/data/elpv".to_owned()])
    );
    assert_eq!(whole.licence_folders(), ["/data/elpv"]);
    for (mode, split) in [
        ("none", None),
        ("from_test", Some(Split::Validation)),
        ("from_dir", Some(Split::Validation)),
    ] {
        assert_eq!(
            dataset("MVTec", json!({"val_split_mode": mode}))
                .expect("right")
                .threshold_split(),
            split
        );
    }
}

#[test]
fn validation_from_a_folder() {
    let own = [
        "/d/brick/validation/good/7.png",
        "/d/brick/validation/crack/1.png",
        "/d/brick/ground_truth/validation/crack/1_mask.png",
    ];
    let found = samples(json!({"val_split_mode": "from_dir"}), &with(&own)).expect("right");
    let validation: Vec<String> = lines(&found)
        .into_iter()
        .filter(|line| line.contains("validation"))
        .collect();
    assert_eq!(
        validation,
        [
            "crack/1.png validation anomalous crack/1_mask.png",
            "good/7.png validation normal -"
        ]
    );
    assert!(found.samples.iter().any(|one| one.mask_uri.as_deref()
        == Some("file:///d/brick/ground_truth/validation/crack/1_mask.png")));
    // Masks beside those of the test images, as long as the names differ.
    let shared = [
        "/d/brick/validation/crack/2.png",
        "/d/brick/ground_truth/crack/2_mask.png",
    ];
    let found = samples(json!({"val_split_mode": "from_dir"}), &with(&shared)).expect("right");
    assert!(
        lines(&found).contains(&"crack/2.png validation anomalous crack/2_mask.png".to_owned())
    );
    // Not read: said, and its masks are no error.
    for folders in [&own[..], &shared[..]] {
        let found = samples(json!({}), &with(folders)).expect("right");
        assert_eq!(
            (found.samples.len(), found.warnings.len()),
            (5, 1),
            "{:?}",
            found.warnings
        );
    }
    let error = samples(json!({"val_split_mode": "from_dir"}), IMAGES).expect_err("nothing there");
    assert_eq!(
        error,
        DataError::NoValidationImages {
            folder: "/d/brick/validation".into()
        }
    );
}

#[test]
fn what_is_wrong_is_named() {
    let error = |paths: &[&str]| samples(json!({}), paths).expect_err("wrong").to_string();
    assert!(error(&[]).contains("/d/brick"));
    assert!(error(&without("train")).contains("/d/brick/train/good"));
    assert_eq!(
        error(&without("10_mask")),
        "the anomalous image /d/brick/test/crack/10.PNG has no mask in /d/brick/ground_truth/crack; \
         add it, or use the task classification"
    );
    assert_eq!(
        error(&without("10.PNG")),
        "the mask /d/brick/ground_truth/crack/10_mask.png belongs to no image"
    );
    assert!(
        error(&with(&["/d/brick/ground_truth/hole/1_mask.png"]))
            .contains("/d/brick/ground_truth/hole/1_mask.png")
    );
    let other: Vec<&str> = with(&["/d/brick/ground_truth/crack/other.png"])
        .into_iter()
        .filter(|path| !path.contains("10_mask"))
        .collect();
    assert!(
        matches!(samples(json!({}), &other), Err(DataError::MaskMismatch { image, mask })
        if image.ends_with("10.PNG") && mask.ends_with("other.png"))
    );
}

#[test]
fn without_masks_there_is_classification() {
    let found =
        samples(json!({"task": "classification"}), &without("ground_truth")).expect("right");
    assert!(found.samples.iter().all(|one| one.mask_uri.is_none()));
    assert_eq!(found.samples.len(), 5);
}

#[test]
fn hidden_and_other_files_are_skipped() {
    let more = [
        "/d/brick/train/good/.x.png",
        "/d/brick/.cache/good/1.png",
        "/d/brick/readme.txt",
        "/d/brick/train/good/Thumbs.db",
    ];
    assert_eq!(samples(json!({}), &with(&more)), samples(json!({}), IMAGES));
    let found = samples(json!({}), &with(&["/d/brick/train/bad/1.png"])).expect("right");
    assert!(
        found.warnings[0].contains("/d/brick/train/bad"),
        "{:?}",
        found.warnings
    );
}

#[test]
fn images_beside_the_layout_are_counted_and_the_first_is_named() {
    let more = [
        "/d/brick/train/7.png",
        "/d/brick/test/good/sub/1.png",
        "/d/brick/test/8.png",
        "/d/brick/test/readme.txt",
    ];
    let found = samples(json!({}), &with(&more)).expect("right");
    assert_eq!(
        lines(&found),
        lines(&samples(json!({}), IMAGES).expect("right"))
    );
    assert_eq!(found.warnings.len(), 2, "{:?}", found.warnings);
    for (warning, words) in found.warnings.iter().zip([
        [
            "1 images in /d/brick/train are",
            "train/7.png",
            "train/KIND/NAME",
        ],
        [
            "2 images in /d/brick/test are",
            "test/8.png",
            "test/KIND/NAME",
        ],
    ]) {
        assert!(words.iter().all(|word| warning.contains(word)), "{warning}");
    }
}

#[test]
fn without_normal_test_images_some_of_train_become_test() {
    let paths = without("test/good");
    let found = samples(json!({"test_split_ratio": 0.5}), &paths).expect("right");
    assert_eq!(
        lines(&found)
            .iter()
            .filter(|line| line.ends_with("test normal -"))
            .count(),
        1
    );
    assert_eq!(found.warnings.len(), 1);
    let found = samples(
        json!({"test_split_ratio": 0.5, "test_split_mode": "none"}),
        &paths,
    )
    .expect("right");
    assert_eq!(
        lines(&found)
            .iter()
            .filter(|line| line.ends_with("train normal -"))
            .count(),
        2
    );
}

#[test]
fn a_trained_package_needs_no_training_images() {
    let brick = dataset("MVTec", json!({"root": "/d", "category": "brick"})).expect("right");
    let objects = listing(&without("train"));
    assert_eq!(
        brick
            .samples(&objects, Purpose::Test)
            .expect("right")
            .samples
            .len(),
        3
    );
    assert!(brick.samples(&objects, Purpose::Train).is_err());
}

#[test]
fn a_mistyped_category_meets_its_neighbours() {
    let error = samples(json!({"category": "brik"}), &[]).expect_err("nothing there");
    assert_eq!(error.wants_names_in(), Some("/d"));
    let names = ["grass".to_owned(), "brick".to_owned()];
    assert_eq!(
        error.with_names(&names).to_string(),
        "no images in /d/brik: it is empty or does not exist; did you mean \"brick\"?"
    );
}

#[test]
fn a_mask_of_two_images_is_an_error_that_names_both() {
    let both = |paths: &[&str], given: Value| match samples(given, &with(paths)) {
        Err(DataError::MaskOfTwo {
            mask,
            first,
            second,
        }) => [mask, first, second],
        other => panic!("{other:?}"),
    };
    assert_eq!(
        both(&["/d/brick/test/crack/1.jpg"], json!({})),
        [
            "file:///d/brick/ground_truth/crack/1_mask.png",
            "/d/brick/test/crack/1.jpg",
            "/d/brick/test/crack/1.png",
        ]
    );
    // A validation image without a mask of its own takes none of test's.
    assert_eq!(
        both(
            &["/d/brick/validation/crack/1.png"],
            json!({"val_split_mode": "from_dir"})
        ),
        [
            "file:///d/brick/ground_truth/crack/1_mask.png",
            "/d/brick/test/crack/1.png",
            "/d/brick/validation/crack/1.png",
        ]
    );
}

#[test]
fn a_validation_split_without_a_class_is_a_warning() {
    let warnings = |path: &str, mask: &str| {
        let given = json!({"val_split_mode": "from_dir"});
        samples(given, &with(&[path, mask]))
            .expect("right")
            .warnings
    };
    let said = warnings(
        "/d/brick/validation/good/1.png",
        "/d/brick/validation/good/2.png",
    );
    assert!(
        said[0].contains("no anomalous validation image"),
        "{said:?}"
    );
    let said = warnings(
        "/d/brick/validation/hole/1.png",
        "/d/brick/ground_truth/validation/hole/1.png",
    );
    assert!(said[0].contains("no normal validation image"), "{said:?}");
}

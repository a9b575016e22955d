//! What holds for every dataset; and the helpers of the datasets' own tests.

use serde_json::{Map, Value, json};

use crate::*;

/// Objects at the given paths, as a file store lists them.
pub(crate) fn listing(paths: &[&str]) -> Vec<ListedObject> {
    paths
        .iter()
        .map(|path| ListedObject {
            path: (*path).to_owned(),
            uri: format!("file://{path}"),
            etag: "1".into(),
            size: 10,
            modified_ms: 0,
        })
        .collect()
}

/// A dataset with labels, with the defaults of its parameters.
pub(crate) fn dataset(class: &str, given: Value) -> Result<Box<dyn Dataset>, DataError> {
    match data(class, given)? {
        Data::Labelled(dataset) => Ok(dataset),
        Data::Unlabelled(_) => panic!("{class} has no labels"),
    }
}

/// What a class makes with the defaults of its parameters, as the job reader writes them out.
pub(crate) fn data(class: &str, given: Value) -> Result<Data, DataError> {
    let entry = REGISTRY
        .iter()
        .find(|entry| entry.class == class)
        .expect("known");
    let mut args = Map::new();
    for param in entry.params.expect("built") {
        if let params::Default::Json(text) = param.default {
            args.insert(
                param.name.to_owned(),
                serde_json::from_str(text).expect("defaults are JSON"),
            );
        }
    }
    args.extend(given.as_object().expect("a map").clone());
    build(class, &args)
}

/// `NAME split label mask` of each sample.
pub(crate) fn lines(listing: &Listing) -> Vec<String> {
    let name = |uri: &str| {
        uri.rsplit('/')
            .take(2)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join("/")
    };
    listing
        .samples
        .iter()
        .map(|one| {
            let mask = one
                .mask_uri
                .as_deref()
                .map(name)
                .unwrap_or_else(|| "-".into());
            format!("{} {} {} {mask}", name(&one.uri), one.split, one.label)
        })
        .collect()
}

#[test]
fn the_registry_is_sorted() {
    assert!(REGISTRY.is_sorted_by_key(|entry| entry.class));
}

/// A dataset is a folder; `MVTec` lies in `mvtec_ad`, since its files are called after the dataset's full name.
#[test]
fn each_folder_is_a_built_dataset_with_a_readme_and_an_example() {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples: Vec<String> = crates
        .join("../../configs")
        .read_dir()
        .expect("the examples")
        .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("a text"))
        .collect();
    let mut folders = 0;
    for folder in crates.join("src").read_dir().expect("the sources") {
        let folder = folder.expect("an entry").path();
        if !folder.is_dir() {
            continue;
        }
        folders += 1;
        let name = folder.file_name().expect("a name").to_string_lossy();
        assert!(folder.join("README.md").is_file(), "{name} has no README");
        let whole = name.replace('_', "");
        let class = name.split('_').next().unwrap_or_default();
        let built = REGISTRY
            .iter()
            .filter(|entry| entry.params.is_some())
            .find(|entry| [class, &whole].contains(&entry.class.to_lowercase().as_str()))
            .unwrap_or_else(|| panic!("{name} has no row in the registry"));
        let named = format!("class_path: {}", built.class);
        assert!(
            examples.iter().any(|text| text.contains(&named)),
            "{} is in no example",
            built.class
        );
    }
    let built = REGISTRY.iter().filter(|entry| entry.params.is_some());
    assert_eq!(built.count(), folders, "a row without a folder");
}

#[test]
fn what_is_not_built_says_so() {
    assert_eq!(
        build("Visa", &Map::new()).err(),
        Some(DataError::NotBuilt { class: "Visa" })
    );
    assert!(matches!(
        build("Visum", &Map::new()).err(),
        Some(DataError::UnknownClass { .. })
    ));
    assert!(matches!(
        build("MVTec", &Map::new()).err(),
        Some(DataError::Parameter { .. })
    ));
}

mod splits {
    use proptest::prelude::*;

    use super::*;

    fn textures(count: usize, good: usize) -> Vec<ListedObject> {
        let mut paths: Vec<String> = (0..5).map(|i| format!("/d/c/train/good/{i}.png")).collect();
        paths.extend((0..good).map(|i| format!("/d/c/test/good/{i}.png")));
        paths.extend((0..count).map(|i| format!("/d/c/test/crack/{i}.png")));
        listing(&paths.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn split(seed: u64, ratio: f64, objects: &[ListedObject]) -> Listing {
        let args = json!({"root": "/d", "category": "c", "task": "classification", "val_split_mode": "from_test",
            "val_split_ratio": ratio, "seed": seed});
        dataset("MVTec", args)
            .expect("right")
            .samples(objects, Purpose::Train)
            .expect("samples")
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_random_share_is_exact_label_aware_and_independent_of_order(
            seed in 0u64..4, ratio in 0.0f64..=1.0, bad in 0usize..40, good in 1usize..40, turn in 0usize..80,
        ) {
            let mut objects = textures(bad, good);
            let first = split(seed, ratio, &objects);
            let count = |split, label| first.samples.iter().filter(|one| one.split == split && one.label == label).count();
            prop_assert_eq!(count(Split::Validation, Label::Normal), (good as f64 * ratio).floor() as usize);
            prop_assert_eq!(count(Split::Validation, Label::Anomalous), (bad as f64 * ratio).floor() as usize);
            prop_assert_eq!(count(Split::Train, Label::Normal), 5);
            prop_assert_eq!(first.samples.len(), objects.len());
            let turn = turn % objects.len();
            objects.rotate_left(turn);
            prop_assert_eq!(split(seed, ratio, &objects), first);
        }
    }

    #[test]
    fn every_seed_is_a_seed_and_the_place_of_the_dataset_does_not_matter() {
        let objects = textures(20, 20);
        assert_ne!(split(0, 0.5, &objects), split(1, 0.5, &objects));
        let moved: Vec<ListedObject> = objects
            .iter()
            .map(|object| ListedObject {
                path: object.path.replace("/d/", "/elsewhere/"),
                ..object.clone()
            })
            .collect();
        let args = json!({"root": "/elsewhere", "category": "c", "task": "classification", "val_split_mode": "from_test"});
        let there = dataset("MVTec", args)
            .expect("right")
            .samples(&moved, Purpose::Train)
            .expect("samples");
        assert_eq!(there, split(0, 0.5, &objects));
    }
}

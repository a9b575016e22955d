//! Import into a folder, and what the folder finds there afterwards.

use graph::Tensor;

use super::*;

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("nightshift-weights-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    fn write(&self, name: &str, state: &StateDict) -> PathBuf {
        let mut bytes = Vec::new();
        write_safetensors(state, &mut bytes).expect("writes to memory");
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("writes");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A left-over folder in the temporary place harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn state() -> StateDict {
    let tensor = Tensor::new([2], vec![0.5, 1.5]).expect("fits");
    StateDict::from([
        ("_bn0.weight".to_owned(), tensor.clone()),
        ("_conv_stem.weight".to_owned(), tensor),
    ])
}

fn expected(_: &str) -> Vec<(String, Vec<usize>)> {
    vec![
        ("bn1.weight".to_owned(), vec![2]),
        ("conv_stem.weight".to_owned(), vec![2]),
    ]
}

#[test]
fn imported_weights_are_listed_loaded_and_checked() {
    let place = Folder::new("import");
    let folder = WeightsFolder::new(place.0.join("weights"));
    let missing = folder
        .load("tf_efficientnet_lite0")
        .expect_err("nothing there")
        .to_string();
    assert!(
        missing.contains("ctl weights import FILE --backbone efficientnet_lite0")
            && missing.contains("pre_trained: false"),
        "{missing}"
    );
    let file = place.write("shipped.safetensors", &state());
    let tensors = expected("");
    let request = Import {
        file: &file,
        backbone: "tf_efficientnet_lite0",
        licence: Some("Apache-2.0"),
        source: None,
        notes: "",
        expected: &tensors,
    };
    let sidecar = import(&folder, &request).expect("imports");
    assert_eq!(
        (sidecar.source.as_str(), sidecar.licence.as_str()),
        ("shipped.safetensors", "Apache-2.0")
    );

    let loaded = folder.load("efficientnet_lite0").expect("loads");
    assert_eq!(
        loaded.state.keys().collect::<Vec<_>>(),
        ["bn1.weight", "conv_stem.weight"]
    );
    assert_eq!(
        (loaded.sha256.as_str(), loaded.licence.as_str()),
        (sidecar.sha256.as_str(), "Apache-2.0")
    );
    let listed: Vec<_> = folder
        .list()
        .into_iter()
        .filter(|listed| listed.path.is_some())
        .collect();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].backbone, listed[0].sidecar.as_ref()),
        ("efficientnet_lite0", Some(&sidecar))
    );
    assert!(
        folder
            .check(expected)
            .iter()
            .all(|finding| finding.problem.is_none() && finding.tensors == 2)
    );
    // Importing again gives the same file, whatever is said about it.
    assert_eq!(import(&folder, &request).expect("imports"), sidecar);
    let said = Import {
        licence: Some("MIT"),
        notes: "asked the author",
        ..request.clone()
    };
    let other = import(&folder, &said).expect("imports");
    assert_eq!(
        (other.licence.as_str(), other.sha256),
        ("MIT", sidecar.sha256.clone())
    );

    let path = folder.find("efficientnet_lite0").expect("there");
    let mut bytes = std::fs::read(&path).expect("reads");
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(&path, bytes).expect("writes");
    let changed = folder
        .load("efficientnet_lite0")
        .expect_err("changed")
        .to_string();
    assert!(changed.contains("sha256"), "{changed}");
    assert!(folder.check(expected)[0].problem.is_some());
}

#[test]
fn weights_of_another_network_are_not_imported() {
    let place = Folder::new("refused");
    let folder = WeightsFolder::new(place.0.join("weights"));
    let attempt = |file: &Path, backbone: &str, expected: &[(String, Vec<usize>)]| {
        let error = import(
            &folder,
            &Import {
                file,
                backbone,
                licence: None,
                source: None,
                notes: "",
                expected,
            },
        )
        .expect_err("must be refused");
        let cause = std::error::Error::source(&error)
            .map(ToString::to_string)
            .unwrap_or_default();
        format!("{error}: {cause}")
    };
    let file = place.write("a.safetensors", &state());
    assert!(attempt(&file, "resnet18", &[]).contains("_bn0.weight"));
    assert!(
        attempt(
            &file,
            "efficientnet_lite0",
            &[("bn1.weight".to_owned(), vec![3])]
        )
        .contains("[2] instead of [3]")
    );
    assert!(
        attempt(
            &file,
            "efficientnet_lite0",
            &[("bn9.weight".to_owned(), vec![3])]
        )
        .contains("`bn9.weight` is missing")
    );
    assert!(attempt(&file, "vgg", &[]).contains("unknown backbone `vgg`"));
    let mut bad = state();
    bad.insert(
        "_bn0.weight".to_owned(),
        Tensor::new([2], vec![0.5, f32::NAN]).expect("fits"),
    );
    assert!(
        attempt(
            &place.write("b.safetensors", &bad),
            "efficientnet_lite0",
            &expected("")
        )
        .contains("not finite")
    );
    let text = place.0.join("text.pth");
    std::fs::write(&text, "no weights at all").expect("writes");
    assert!(attempt(&text, "resnet18", &[]).contains("no safetensors"));
    assert!(attempt(&place.0.join("absent.pth"), "resnet18", &[]).contains("absent.pth"));
    assert!(
        folder.list().iter().all(|listed| listed.path.is_none()),
        "nothing half-written"
    );
}

#[test]
fn tensors_of_either_of_two_networks_are_imported_under_the_full_name_only() {
    let place = Folder::new("two-networks");
    let folder = WeightsFolder::new(place.0.join("weights"));
    let timm = StateDict::from_iter(expected("").into_iter().map(|(name, shape)| {
        let tensor = Tensor::new(shape, vec![0.5, 1.5]).expect("fits");
        (name, tensor)
    }));
    let file = place.write("timm.safetensors", &timm);
    let tensors = expected("");
    let request = |backbone| Import {
        file: &file,
        backbone,
        licence: None,
        source: None,
        notes: "",
        expected: &tensors,
    };
    let error = import(&folder, &request("efficientnet_lite0")).expect_err("which one");
    let cause = std::error::Error::source(&error).expect("why").to_string();
    assert!(
        cause.contains("--backbone tf_efficientnet_lite0"),
        "{cause}"
    );
    assert!(!folder.root().exists());
    import(&folder, &request("tf_efficientnet_lite0")).expect("imports");
    assert!(folder.load("efficientnet_lite0").is_ok());
}

//! Runs that look at the same images through the same network: one pass serves them all, and changes nothing but the time.

use std::fs;

use serde_json::Value;

use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{JOB, Sandbox, files};

on_both_queues!(
    the_first_computes_and_the_others_read_with_the_same_scores_as_without_a_cache,
    a_grid_is_normalized_by_the_distributions_of_its_runs_own_training_images,
);

const MODELS: &str = "\
model:
  grid:
    - {class_path: Padim, init_args: {backbone: resnet18, layers: [layer1, layer2], n_features: 8, pre_trained: false}}
    - {class_path: Dfm, init_args: {backbone: resnet18, layer: layer3, pre_trained: false}}
    - {class_path: Dfkde, init_args: {backbone: resnet18, layers: [layer3], n_pca_components: 4, pre_trained: false}}
";
/// Of the dataset: trained on, and scored.
const IMAGES: u64 = 20 + 12;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_job(20, 6);
    let one_model = JOB.lines().find(|line| line.starts_with("model:")).unwrap();
    let three = JOB.replace(&format!("{one_model}\n"), MODELS);
    sandbox.write("certified.yaml", &three);
    sandbox.write("three.yaml", &format!("{three}parity: 0\n"));
    sandbox
}

/// Raw scores by run and image, to the last bit.
fn scores(sandbox: &Sandbox) -> Vec<String> {
    let rows = sandbox.json(&["results", "last", "--scores"]);
    let text = |row: &Value| format!("{} {} {}", row["run"], row["uri"], row["score"]);
    let mut scores: Vec<String> = rows.as_array().unwrap().iter().map(text).collect();
    scores.sort();
    scores
}

/// Images whose features a run took from another, of how many.
fn reused(sandbox: &Sandbox) -> Vec<(u64, u64)> {
    let job = sandbox.json(&["describe", "last"]);
    let of_run = |run: &Value| {
        let reused = &run["result"]["reused"];
        let number = |name: &str| reused[name].as_u64();
        number("images").zip(number("of"))
    };
    let runs = job["runs"].as_array().unwrap();
    runs.iter().filter_map(of_run).collect()
}

fn the_first_computes_and_the_others_read_with_the_same_scores_as_without_a_cache(queue: Queue) {
    let mut sandbox = sandbox().served(queue);
    sandbox.ctl(&["run", "three.yaml"]).expect(0);
    assert_eq!(
        reused(&sandbox),
        [(0, IMAGES), (IMAGES, IMAGES), (IMAGES, IMAGES)]
    );
    let described = sandbox.ctl(&["describe", "last"]);
    let line = format!("features of {} of {} images", 2 * IMAGES, 3 * IMAGES);
    assert!(described.stdout.contains(&line), "{}", described.stdout);
    let shared = scores(&sandbox);
    assert_eq!(shared.len(), 3 * 12);

    // What is damaged or gone is computed again.
    let cache = sandbox.path(".cache/nightshift/objects");
    let copies = files(&cache);
    assert_eq!(copies.len() as u64, IMAGES);
    let damaged = fs::read(&copies[0]).unwrap();
    fs::write(&copies[0], &damaged[..damaged.len() - 1]).unwrap();
    let mut other = fs::read(&copies[1]).unwrap();
    other[100] ^= 1;
    fs::write(&copies[1], other).unwrap();
    fs::remove_file(&copies[2]).unwrap();
    sandbox.ctl(&["run", "three.yaml", "--new"]).expect(0);
    assert_eq!(
        reused(&sandbox),
        [(IMAGES - 3, IMAGES), (IMAGES, IMAGES), (IMAGES, IMAGES)]
    );
    assert_eq!(scores(&sandbox), shared);

    // Neither a cache that is switched off nor one without room for all of them changes a bit.
    for limit in [0, 1] {
        sandbox.write("config.yaml", &format!("cache: {{limit_mib: {limit}}}\n"));
        let config = sandbox.path("config.yaml").display().to_string();
        sandbox.set("NIGHTSHIFT_CONFIG", &config);
        sandbox = sandbox.served_anew(queue);
        sandbox.ctl(&["run", "three.yaml", "--new"]).expect(0);
        assert_eq!(reused(&sandbox), [(0, IMAGES); 3], "{limit} MiB");
        assert_eq!(scores(&sandbox), shared, "{limit} MiB");
    }

    // A run that is alone shares nothing, and says nothing of it.
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    assert_eq!(reused(&sandbox), []);
    let described = sandbox.ctl(&["describe", "last"]);
    assert!(!described.stdout.contains("reused"), "{}", described.stdout);
}

fn a_grid_is_normalized_by_the_distributions_of_its_runs_own_training_images(queue: Queue) {
    let sandbox = sandbox().served(queue);
    let job = fs::read_to_string(sandbox.path("three.yaml")).unwrap();
    sandbox.write("cdf.yaml", &format!("{job}normalization: cdf\n"));
    sandbox.ctl(&["run", "three.yaml"]).expect(0);
    let plain = scores(&sandbox);
    sandbox.ctl(&["run", "cdf.yaml"]).expect(0);
    assert_eq!(scores(&sandbox), plain, "raw scores are what they were");
    let rows = sandbox.json(&["results", "last", "--scores"]);
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 3 * 12, "training images are in no table");
    for row in rows {
        let normalized = row["score_normalized"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&normalized), "{row}");
        let decided = row["is_anomalous"].as_bool().unwrap();
        assert_eq!(normalized >= 0.5, decided, "{row}");
    }
    // Each by its own.
    let packages = files(&sandbox.path("out")).into_iter();
    let packages = packages.filter(|path| path.ends_with("package.json"));
    let of_cdf = |path| -> Option<[u64; 2]> {
        let text = fs::read_to_string(path).unwrap();
        let package: Value = serde_json::from_str(&text).unwrap();
        let image = &package["normalization"]["image"];
        let number = |name: &str| Some(image[name].as_f64()?.to_bits());
        Some([number("mean")?, number("std")?])
    };
    let mut found: Vec<[u64; 2]> = packages.filter_map(of_cdf).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn certificates_share_the_pass_of_their_runs_and_say_what_they_say_without() {
    let mut sandbox = sandbox();
    let certificates = |sandbox: &Sandbox| {
        let job = sandbox.job_ids().remove(0);
        let packages = files(&sandbox.path("out"))
            .into_iter()
            .filter(|path| path.ends_with("package.json") && path.iter().any(|part| *part == *job));
        let package = |path| -> Value {
            let text = fs::read_to_string(path).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        let mut packages: Vec<Value> = packages.map(package).collect();
        packages.sort_by_key(|package| package["provenance"]["run"].as_u64());
        let parity = |package: Value| package["parity"].clone();
        packages.into_iter().map(parity).collect::<Vec<_>>()
    };
    sandbox.ctl(&["run", "certified.yaml"]).expect(0);
    let shared = certificates(&sandbox);
    assert_eq!(shared.len(), 3);
    let engines = shared[0]["engines"].as_array().unwrap().iter();
    let others = engines.filter(|engine| engine["result"]["agreement"].is_object());
    let others = others.count() as u64;
    assert!(others > 0, "{shared:?}");
    // Of each image what the job's engine makes of it, and of each that is certified what each other engine does.
    let kept = files(&sandbox.path(".cache/nightshift/objects")).len() as u64;
    assert_eq!(kept, IMAGES + others * 12);

    sandbox.write("config.yaml", "cache: {limit_mib: 0}\n");
    let config = sandbox.path("config.yaml").display().to_string();
    sandbox.set("NIGHTSHIFT_CONFIG", &config);
    sandbox.ctl(&["run", "certified.yaml", "--new"]).expect(0);
    assert_eq!(certificates(&sandbox), shared);
}

/// The middle 56 of 64 is what PatchCore sees of them by itself.
#[test]
fn with_one_crop_a_model_with_a_crop_of_its_own_shares_the_pass_of_one_without() {
    let sandbox = Sandbox::with_job(20, 6);
    let one_model = JOB.lines().find(|line| line.starts_with("model:")).unwrap();
    let patchcore = "{class_path: Patchcore, init_args: {backbone: resnet18, layers: [layer2], pre_trained: false}}";
    let padim = one_model.strip_prefix("model: ").unwrap();
    let both = JOB.replace(
        one_model,
        &format!("model: {{grid: [{padim}, {patchcore}]}}"),
    );
    let alone = JOB
        .replace("kind: benchmark", "kind: train")
        .replace(one_model, &format!("model: {patchcore}"));
    let run = |text: &str, crop: &str| {
        let size = format!("image_size: 64{crop}");
        sandbox.write("crop.yaml", &text.replace("image_size: 64", &size));
        sandbox.ctl(&["run", "crop.yaml"]).expect(0);
    };
    run(&both, "");
    assert_eq!(reused(&sandbox), [], "each sees something else");
    for side in [48, 56, 64] {
        run(&both, &format!(", center_crop: {side}"));
        assert_eq!(
            reused(&sandbox),
            [(0, IMAGES), (IMAGES, IMAGES)],
            "{side} of 64"
        );
    }

    // However it is asked for, it is the same model that sees the same.
    let scored = |crop: &str| {
        run(&alone, crop);
        let described = sandbox.json(&["describe", "model", "tiny"]);
        let seen = described["package"]["preprocessing"].clone();
        (scores(&sandbox), seen)
    };
    let (own, seen) = scored("");
    assert_eq!(seen["crop"], serde_json::json!([56, 56]));
    assert_eq!(scored(", center_crop: 56"), (own.clone(), seen));
    let (whole, seen) = scored(", center_crop: 64");
    assert_eq!(seen["crop"], Value::Null);
    assert_ne!(whole, own);

    // Who computes with its files is told what they take.
    let (_, seen) = scored(", center_crop: [48, 40]");
    assert_eq!(seen["image_size"], serde_json::json!([48, 40]));
    sandbox
        .ctl(&["export", "tiny", "--engine", "onnx", "--to", "files"])
        .expect(0);
    let metadata = fs::read(sandbox.path("files/metadata.json")).unwrap();
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    assert_eq!(metadata["nightshift"]["preprocessing"], seen);
}

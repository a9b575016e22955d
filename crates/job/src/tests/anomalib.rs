//! Files of Anomalib become jobs, and job files.

use serde_json::json;

use super::*;

mod properties;

const TRAIN: &str = include_str!("anomalib/train-1.0.yaml");
const OLD_TRAIN: &str = include_str!("anomalib/train-0.7.yaml");
const OLD_BENCHMARK: &str = include_str!("anomalib/benchmark-0.7.yaml");
const DEVELOPMENT_BENCHMARK: &str = include_str!("anomalib/benchmark-1.0.yaml");
const BENCHMARK: &str = include_str!("anomalib/benchmark-1.1.yaml");

fn warnings(reading: &Reading) -> Vec<String> {
    reading.warnings.iter().map(Diagnostic::to_string).collect()
}

/// Class and parameters of a run's model.
fn model(run: &RunSpec) -> (&str, &serde_json::Map<String, serde_json::Value>) {
    match &run.model {
        ModelSource::Train(class) => (&class.class_path, &class.init_args),
        ModelSource::Package(package) => panic!("{package} is not trained"),
    }
}

#[test]
fn a_train_file_of_1_0() {
    let reading = right(TRAIN);
    assert_eq!(
        (
            reading.job.kind,
            reading.job.name.as_str(),
            reading.job.output.as_str()
        ),
        (JobKind::Train, "job", "file:///home/me/lab/results")
    );
    let [run] = reading.job.runs.as_slice() else {
        panic!("one run");
    };
    assert_eq!(
        (run.seed, run.task, run.normalization),
        (42, VisionTask::Segmentation, Normalization::MinMax)
    );
    assert_eq!(run.metrics.image_threshold, ThresholdSpec::F1Adaptive);
    let (class, parameters) = model(run);
    assert_eq!(class, "Padim");
    assert_eq!(parameters["layers"], json!(["features.3", "features.6"]));
    assert_eq!(parameters["n_features"], 40);
    let data = &run.data.init_args;
    assert_eq!(data["root"], "/home/me/datasets/lab");
    assert_eq!(data["category"], "01");
    assert_eq!(data["task"], "segmentation");
    assert_eq!(
        (&data["image_size"], &data["center_crop"]),
        (&json!([256, 256]), &json!([224, 224]))
    );
    assert_eq!(
        warnings(&reading),
        [
            "job.yaml:3:1: trainer.precision, trainer.max_epochs, \
             trainer.enable_checkpointing are not used here: no model here is trained by gradient descent",
            "job.yaml:11:3: trainer.limit_test_batches is not used here: every image is used",
            "job.yaml:33:23: train_batch_size is accepted but has no effect: statistics do not depend on batches; engines choose their own",
            "job.yaml:34:18: num_workers is accepted but has no effect: images are read by the executor's own pipeline, sized by the machine",
            "job.yaml:35:5: data.init_args.task is not used here: the file's task wins, as in Anomalib",
            "job.yaml:47:5: model.init_args.visualizer is not used here: a job writes tables, and pictures on request",
            "job.yaml:48:1: optimizer.class_path is not used here: no model here is trained by gradient descent",
            "job.yaml:50:1: results is not used here: no such key is known; did you mean \"results_dir\"?",
        ]
    );
}

/// `anomalib train --model MODEL --data anomalib.data.MVTec --print_config` of 1.0.1: every parameter, most at their defaults.
const PRINTED: [(&str, &str); 4] = [
    ("Dfkde", include_str!("anomalib/printed-1.0.1-dfkde.yaml")),
    ("Dfm", include_str!("anomalib/printed-1.0.1-dfm.yaml")),
    ("Padim", include_str!("anomalib/printed-1.0.1-padim.yaml")),
    (
        "Patchcore",
        include_str!("anomalib/printed-1.0.1-patchcore.yaml"),
    ),
];

#[test]
fn files_as_anomalib_prints_them() {
    for (name, text) in PRINTED {
        let reading = right(text);
        let [run] = reading.job.runs.as_slice() else {
            panic!("{name}: one run");
        };
        assert_eq!(model(run).0, name);
        assert_eq!(run.metrics.image_threshold, ThresholdSpec::F1Adaptive);
        // Parameters at their defaults ask for nothing.
        let warnings = warnings(&reading);
        let [seed, trainer] = warnings.as_slice() else {
            panic!("{name}: {warnings:?}");
        };
        assert!(seed.contains("seed_everything is not used here"), "{seed}");
        assert!(trainer.contains("trainer.strategy, "), "{trainer}");
    }
}

#[test]
fn what_a_printed_file_has_that_is_not_its_default_is_warned_about() {
    let text = PRINTED[2]
        .1
        .replace("compute_on_cpu: false", "compute_on_cpu: true");
    let said = warnings(&right(&text)).join("\n");
    assert!(
        said.contains("compute_on_cpu is accepted but has no effect"),
        "{said}"
    );
}

#[test]
fn a_train_file_of_0_7() {
    let reading = right(OLD_TRAIN);
    assert_eq!(reading.job.output, "file:///home/me/old/results");
    let [run] = reading.job.runs.as_slice() else {
        panic!("one run");
    };
    assert_eq!(
        (run.seed, run.task, run.normalization),
        (3, VisionTask::Classification, Normalization::None)
    );
    assert_eq!(run.metrics.image, ["AUROC"]);
    assert_eq!(
        run.metrics.image_threshold,
        ThresholdSpec::Manual { value: 12.5 }
    );
    assert_eq!(run.metrics.pixel_threshold, ThresholdSpec::F1Adaptive);
    assert_eq!(model(run).0, "Padim");
    assert_eq!(model(run).1["layers"], json!(["layer1", "layer2"]));
    assert_eq!(run.data.class_path, "Folder");
    let data = &run.data.init_args;
    assert_eq!(data["name"], "cells");
    assert_eq!(data["root"], "/home/me/datasets/cells");
    assert_eq!(data["abnormal_dir"], json!(["crack", "scratch"]));
    assert_eq!(data["image_size"], json!([256, 256]));
    let named = warnings(&reading).join("\n");
    for name in [
        "job.yaml:27:3: model.init_args.early_stopping.patience, model.init_args.early_stopping.metric are not used",
        "job.yaml:33:5: metrics.threshold.manual_pixel is null: pixels have",
        "job.yaml:34:1: visualization.save_images is not used",
        "job.yaml:40:3: project.unique_dir is not used",
        "job.yaml:43:1: trainer.max_epochs is not used",
    ] {
        assert!(named.contains(name), "{name}\n{named}");
    }
    assert_eq!(reading.warnings.len(), 5, "{named}");
}

#[test]
fn a_center_crop_of_0_7_is_what_is_seen() {
    for (given, seen) in [
        ("224", json!([224, 224])),
        ("[128, 256]", json!([128, 256])),
        ("null", json!(null)),
    ] {
        let text = OLD_TRAIN.replace("center_crop: null", &format!("center_crop: {given}"));
        let reading = right(&text);
        let data = &reading.job.runs[0].data.init_args;
        assert_eq!(
            (&data["image_size"], &data["center_crop"]),
            (&json!([256, 256]), &seen)
        );
        let said = warnings(&reading).join("\n");
        assert!(!said.contains("center_crop"), "{said}");
        let import = import_anomalib(&text, "job.yaml", &context()).expect("it can be read");
        let ours = read(&import.yaml, "job.yaml", &[], &context()).expect("it can be read");
        assert_eq!(ours.job, reading.job);
    }
    says(
        &OLD_TRAIN.replace("center_crop: null", "center_crop: 288"),
        &["job.yaml:13:16: no 288 x 288 can be cut out of images of 256 x 256"],
    );
    // A list of a benchmark is an axis, as every list is.
    let text =
        "grid_search: {model_name: [padim, patchcore], dataset: {center_crop: [224, 192]}}\n";
    let runs = right(text).job.runs;
    let crops = runs.iter().map(|run| run.input_size().crop);
    let [small, large] = [192, 224].map(|side| Some([side, side]));
    assert_eq!(crops.collect::<Vec<_>>(), [large, small, large, small]);
}

/// Model, layers or layer, category, seed of each run.
fn points(job: &ResolvedJob) -> Vec<String> {
    let point = |run: &RunSpec| {
        let (class, parameters) = model(run);
        let layers = parameters.get("layers").or(parameters.get("layer"));
        format!(
            "{class} {} {} {} {}",
            parameters["backbone"].as_str().expect("a backbone"),
            layers.expect("layers"),
            run.data.init_args["category"].as_str().expect("a category"),
            run.seed
        )
    };
    job.runs.iter().map(point).collect()
}

#[test]
fn a_benchmark_before_1_0_has_an_axis_for_every_list() {
    let reading = right(OLD_BENCHMARK);
    assert_eq!(reading.job.kind, JobKind::Benchmark);
    let layers = r#"["layer1","layer2"]"#;
    assert_eq!(
        points(&reading.job),
        [
            format!("Padim resnet18 {layers} bottle 42"),
            format!("Patchcore resnet18 {layers} bottle 42"),
            format!("Padim resnet18 {layers} grid 42"),
            format!("Patchcore resnet18 {layers} grid 42"),
        ]
    );
    let run = &reading.job.runs[0];
    assert_eq!(run.data.class_path, "MVTec");
    assert_eq!(run.data.init_args["root"], "/home/me/datasets/MVTec");
    assert_eq!(run.data.init_args["image_size"], json!([224, 224]));
    assert_eq!(run.axes["data.init_args.category"], "bottle");
    assert_eq!(run.axes["model.class_path"], "padim");
    assert_eq!(
        warnings(&reading),
        [
            "job.yaml:3:1: compute_openvino is not used here: `resources.engine` chooses the engine",
            "job.yaml:4:1: hardware is not used here: each run is done once, by the workers that take it; \
             `resources` says which, and with which engine",
            "job.yaml:5:1: writer is not used here: results are always tables; `ctl results` shows them",
        ]
    );
}

#[test]
fn a_benchmark_before_1_0_needs_little_more_than_names() {
    let text = "grid_search: {model_name: [padim, patchcore, dfm, dfkde]}\n";
    let runs = right(text).job.runs;
    let classes: Vec<&str> = runs.iter().map(|run| model(run).0).collect();
    assert_eq!(classes, ["Padim", "Patchcore", "Dfm", "Dfkde"]);
    assert!(runs.iter().all(|run| run.data.class_path == "MVTec"));
    assert!(
        runs.iter()
            .all(|run| run.data.init_args["category"] == "bottle")
    );
}

#[test]
fn a_benchmark_of_1_0_s_development() {
    let text = DEVELOPMENT_BENCHMARK.replace("[mobilenet_v2, resnet18]", "[resnet18]");
    let reading = right(&text);
    assert_eq!(
        points(&reading.job),
        [
            "Dfm resnet18 \"layer3\" bottle 7",
            "Dfm resnet18 \"layer3\" cable 7",
        ]
    );
    assert_eq!(
        warnings(&reading),
        [
            "job.yaml:4:1: hardware is not used here: each run is done once, by the workers that take it; \
          `resources` says which, and with which engine"
        ]
    );
    // A layer that one of two backbones lacks is wrong in the user's own file.
    says(
        DEVELOPMENT_BENCHMARK,
        &["job.yaml:14:26: mobilenet_v2 has no layer `layer3`"],
    );
}

#[test]
fn a_benchmark_since_1_1_has_grids_anywhere() {
    let reading = right(BENCHMARK);
    assert_eq!(reading.job.kind, JobKind::Benchmark);
    let points = points(&reading.job);
    assert_eq!(points.len(), 2 * 2 * 2 * 2);
    for point in [
        r#"Padim resnet18 ["layer1","layer2"] bottle 1"#,
        r#"Patchcore resnet18 ["layer2"] 01 2"#,
    ] {
        assert!(points.contains(&point.to_owned()), "{points:#?}");
    }
    let run = &reading.job.runs[0];
    assert_eq!(run.data.class_path, "MVTec");
    assert_eq!(run.data.init_args["image_size"], json!([128, 256]));
    assert_eq!(
        warnings(&reading),
        [
            "job.yaml:2:1: accelerator is not used here: each run is done once, by the workers that take it; \
          `resources` says which, and with which engine"
        ]
    );
}

#[test]
fn what_is_imported_reads_back_to_the_same_job() {
    let development = DEVELOPMENT_BENCHMARK.replace("[mobilenet_v2, resnet18]", "[resnet18]");
    for text in [TRAIN, OLD_TRAIN, OLD_BENCHMARK, &development, BENCHMARK] {
        let import = import_anomalib(text, "some file.yaml", &context()).expect("it can be read");
        let same = read(text, "some file.yaml", &[], &context()).expect("it can be read");
        assert_eq!(import.reading, same);
        assert_eq!(import.reading.job.name, "some-file");
        let ours = read(&import.yaml, "another.yaml", &[], &context())
            .unwrap_or_else(|errors| panic!("{}\n{errors:#?}", import.yaml));
        assert_eq!(ours.job, import.reading.job, "{}", import.yaml);
        assert!(import_anomalib(&import.yaml, "x.yaml", &context()).is_err());
    }
}

#[test]
fn an_import_is_a_job_file_that_people_can_read() {
    let import = import_anomalib(BENCHMARK, "demo.yaml", &context()).expect("it can be read");
    assert_eq!(
        import.yaml,
        "\
kind: benchmark
name: demo
seed:
  grid:
    - 1
    - 2
model:
  class_path:
    grid:
      - Padim
      - Patchcore
  init_args:
    backbone: resnet18
    layers:
      grid:
        - - layer1
          - layer2
        - - layer2
data:
  class_path: MVTec
  init_args:
    root: \"./datasets/lab\"
    category:
      grid:
        - bottle
        - 01
    image_size:
      - 128
      - 256
"
    );
}

/// A train file that is right; cases append to it.
const SHORT: &str = "\
model:
  class_path: Padim
data:
  class_path: MVTec
";

#[test]
fn values_that_are_wrong_are_errors_in_the_user_s_file() {
    let short = |more: &str| format!("{SHORT}{more}");
    let cases: &[(String, &[&str])] = &[
        // What was probably meant is not guessed where results depend on it.
        (
            SHORT.replace("Padim\n", "Padim\n  init_args: {n_featurs: 50}\n"),
            &["job.yaml:3:15: Padim has no parameter \"n_featurs\"; did you mean \"n_features\"?"],
        ),
        (
            SHORT.replace("Padim", "Fastflow"),
            &["job.yaml:2:15: model: Fastflow is known but not built yet"],
        ),
        (
            short("metrics: {image: [AUROCC]}\n"),
            &["job.yaml:5:19: unknown metrics.image \"AUROCC\""],
        ),
        (
            short("  init_args: {transform_config_train: ./a.yaml}\n"),
            &["job.yaml:5:39: train_transform: expected null"],
        ),
        (
            short("  init_args: {category: {grid: [bottle, cable]}}\n"),
            &["job.yaml:5:26: a job of kind train has one run"],
        ),
        (
            "benchmark: [1]\n".to_owned(),
            &[
                "job.yaml:1:1: the key `data` is missing",
                "job.yaml:1:1: the key `model` is missing",
                "job.yaml:1:12: benchmark: expected a map, found [1]",
            ],
        ),
        (
            "dataset: mvtec\nmodel: {name: padim}\n".to_owned(),
            &["job.yaml:1:10: dataset: expected a map, found \"mvtec\""],
        ),
        (
            "grid_search: {model_name: []}\n".to_owned(),
            &["job.yaml:1:27: a grid is a list with at least one value"],
        ),
        (
            "dataset: {}\nmodel: {name: padim}\nmetrics: {threshold: {method: manual}}\n"
                .to_owned(),
            &["job.yaml:3:22: metrics.threshold: the method manual needs a number"],
        ),
        (
            "dataset: {}\nmodel: {name: padim}\nmetrics: {threshold: {method: best}}\n".to_owned(),
            &[
                "job.yaml:3:31: metrics.threshold.method: expected adaptive or manual, found \"best\"",
            ],
        ),
    ];
    for (text, expected) in cases {
        says(text, expected);
    }
}

#[test]
fn what_is_left_out_is_named() {
    let cases = [
        (
            "sed_everything: 3\n",
            "job.yaml:5:1: sed_everything is not used here: no such key is known; did you mean \"seed_everything\"?",
        ),
        (
            "seed_everything: true\n",
            "job.yaml:5:1: seed_everything is not used here: the seed is 0",
        ),
        (
            "trainer: {fast_dev_run: true}\n",
            "job.yaml:5:11: trainer.fast_dev_run is not used here: every image",
        ),
        // The number of batches, and not all of them.
        (
            "trainer: {limit_train_batches: 1}\n",
            "job.yaml:5:11: trainer.limit_train_batches is not used here: every image",
        ),
        (
            "ckpt_path: ./a.ckpt\n",
            "job.yaml:5:1: ckpt_path is not used here: the model is fitted anew",
        ),
        (
            "results_dir: {unique: true}\n",
            "job.yaml:5:15: results_dir.unique is not used here",
        ),
        (
            "default_root_dir: ./a\ntrainer: {default_root_dir: ./b}\n",
            "job.yaml:6:11: a second output is not used here",
        ),
        (
            "  dict_kwargs: {x: 1}\n",
            "job.yaml:5:3: data.dict_kwargs.x is not used here: data has class_path, init_args",
        ),
        (
            "  init_args: {normalization: clip}\n",
            "job.yaml:5:15: data.init_args.normalization is not used here: every model brings",
        ),
        (
            "  init_args: {shuffle: [1]}\n",
            "job.yaml:5:15: data.init_args.shuffle is not used here: MVTec has no such parameter",
        ),
        (
            "metrics: {savings: 3}\n",
            "job.yaml:5:11: metrics.savings is not used here: metrics has image, pixel, threshold",
        ),
    ];
    for (more, expected) in cases {
        let found = warnings(&right(&format!("{SHORT}{more}")));
        assert!(
            matches!(found.as_slice(), [only] if only.starts_with(expected)),
            "{found:#?}\nexpected {expected}"
        );
    }
}

#[test]
fn what_asks_for_nothing_is_not_spoken_of() {
    for more in [
        "trainer: {callbacks: null, fast_dev_run: false, limit_test_batches: 1.0, overfit_batches: 0.0}\n",
        "logging: {logger: [], log_graph: false}\nckpt_path: null\nseed_everything: null\n",
        "  init_args: {center_crop: null, normalization: imagenet, create_validation_set: false, transform_config_val: null}\n",
        "task: segmentation\n",
    ] {
        assert_eq!(
            warnings(&right(&format!("{SHORT}{more}"))),
            [""; 0],
            "{more}"
        );
    }
}

#[test]
fn files_of_ours_without_a_kind_are_not_anomalib_s() {
    let known = "there is no key `kind`, and the file is not one of Anomalib's";
    for more in [
        "name: x\n",
        "output: ./x\n",
        "resources: {pool: cpu}\n",
        "knid: train\n",
        "seed: 3\n",
    ] {
        let text = format!("{SHORT}{more}");
        let errors = wrong(&text);
        assert!(
            errors.iter().any(|error| error.contains(known)),
            "{errors:#?}"
        );
        assert!(import_anomalib(&text, "job.yaml", &context()).is_err());
    }
    // The command line can say it as well.
    let reading = read_set(SHORT, &[("kind", "benchmark"), ("seed", "{grid: [1, 2]}")]);
    assert_eq!(reading.expect("it can be read").job.runs.len(), 2);
}

#[test]
fn values_can_be_set_by_our_names() {
    let set = [("data.init_args.root", "/data"), ("output", "/results")];
    let job = read_set(OLD_BENCHMARK, &set).expect("it can be read").job;
    assert_eq!(job.output, "file:///results");
    assert!(
        job.runs
            .iter()
            .all(|run| run.data.init_args["root"] == "/data")
    );
}

#[test]
fn an_accelerator_is_the_device_of_the_job() {
    let read = |options: &str| {
        let text = format!("model: Padim\ndata: MVTec\ntrainer: {{{options}}}\n");
        let reading = right(&text);
        (reading.job.resources.device, warnings(&reading))
    };
    for (options, device) in [
        ("accelerator: auto, devices: auto", DeviceChoice::Auto),
        ("accelerator: cpu, devices: 1", DeviceChoice::Cpu),
    ] {
        assert_eq!(read(options), (device, Vec::new()), "{options}");
    }
    // It would wait for a worker that cannot be; what it computes is the same without.
    let (device, warnings) = read("accelerator: gpu, devices: 4");
    assert_eq!(device, DeviceChoice::Auto);
    assert_eq!(
        warnings,
        [
            "job.yaml:3:11: trainer.accelerator is not used here: the job goes to any worker; `resources: {device: gpu}` asks for one with a GPU",
            "job.yaml:3:29: trainer.devices is not used here: each task has one device, and the runs of a benchmark go side by side",
        ]
    );
}

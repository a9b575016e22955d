//! Job files in, resolved jobs or messages out.

use std::path::Path;

use super::*;
use resolved::{
    DeviceChoice, EngineChoice, JobKind, ModelSource, Normalization, Precision, RunSpec,
    ThresholdSpec, VisionTask,
};

fn context() -> ReadContext<'static> {
    ReadContext {
        current_dir: Path::new("/home/me"),
        now: "2026-11-28T01:00:00Z".parse().expect("a time"),
    }
}

/// A job that is right; cases append to it or replace in it.
const RIGHT: &str = "\
kind: train
model:
  class_path: Padim
data:
  class_path: MVTec
  init_args:
    root: data
    category: bottle
";

fn read_text(text: &str) -> Result<Reading, Vec<String>> {
    read_set(text, &[])
}

fn read_set(text: &str, set: &[(&str, &str)]) -> Result<Reading, Vec<String>> {
    let set: Vec<(String, String)> = set
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    read(text, "job.yaml", &set, &context())
        .map_err(|errors| errors.iter().map(Diagnostic::to_string).collect())
}

fn right(text: &str) -> Reading {
    read_text(text).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn wrong(text: &str) -> Vec<String> {
    read_text(text)
        .map(|reading| reading.job)
        .expect_err("the file is wrong")
}

/// Every expected message begins like this, in this order, and there is no other.
fn says(text: &str, expected: &[&str]) {
    let errors = wrong(text);
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        let (start, end) = expected.split_once(" .. ").unwrap_or((expected, ""));
        assert!(
            error.starts_with(start) && error.ends_with(end),
            "{error}\nexpected {expected}"
        );
    }
}

fn only_run(text: &str) -> RunSpec {
    let mut runs = right(text).job.runs;
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

#[test]
fn defaults_are_written_out() {
    let reading = right(RIGHT);
    assert_eq!(reading.warnings, []);
    let job = reading.job;
    assert_eq!(
        (job.kind, job.name.as_str(), job.output.as_str()),
        (JobKind::Train, "job", "file:///home/me/results")
    );
    assert_eq!(
        (job.priority, job.max_failed_tasks, job.resources.retries),
        (0, None, 2)
    );
    let run = &job.runs[0];
    assert_eq!(
        (run.seed, run.task, run.normalization),
        (0, VisionTask::Segmentation, Normalization::MinMax)
    );
    assert_eq!(
        (&run.metrics.image, &run.metrics.pixel),
        (
            &vec!["AUROC".to_string(), "F1Score".into()],
            &run.metrics.image
        )
    );
    assert_eq!(run.metrics.image_threshold, ThresholdSpec::F1Adaptive);
    assert!(run.measures_parity());
    let ModelSource::Train(model) = &run.model else {
        panic!("trained")
    };
    assert_eq!(
        model.init_args["layers"],
        serde_json::json!(["layer1", "layer2", "layer3"])
    );
    assert_eq!(run.data.init_args["root"], "/home/me/data");
    assert_eq!(run.data.init_args["task"], "segmentation");
    assert_eq!(run.data.init_args["val_split_mode"], "same_as_test");
    assert!(
        !run.data.init_args.contains_key("num_workers"),
        "without effect, so not in the digest"
    );
}

#[test]
fn classes_have_many_spellings() {
    for spelling in [
        "Padim",
        "padim",
        "PADIM",
        "anomalib.models.Padim",
        "anomalib.models.image.Padim",
        "anomalib.models.image.padim.lightning_model.Padim",
    ] {
        let run = only_run(&RIGHT.replace("class_path: Padim", &format!("class_path: {spelling}")));
        assert!(
            matches!(&run.model, ModelSource::Train(class) if class.class_path == "Padim"),
            "{spelling}"
        );
        only_run(&RIGHT.replace("model:\n  class_path: Padim", &format!("model: {spelling}")));
    }
    only_run(&RIGHT.replace("class_path: MVTec", "class_path: anomalib.data.image.MVTec"));
}

#[test]
fn what_is_not_built_is_known_by_name() {
    let replace = |from: &str, to: &str| RIGHT.replace(from, to);
    says(
        &replace("class_path: Padim", "class_path: reverse_distillation"),
        &["job.yaml:3:15: model: ReverseDistillation is known but not built yet"],
    );
    says(
        &replace("class_path: MVTec", "class_path: Visa"),
        &["job.yaml:5:15: data: Visa is known but not built yet; built: Folder, MVTec"],
    );
    says(
        &format!("{RIGHT}metrics: {{image: [AUROC, sPRO]}}"),
        &["job.yaml:9:26: metrics.image: sPRO is known but not built yet"],
    );
    says(
        &format!("{RIGHT}    task: detection"),
        &["job.yaml:9:11: task: detection is known but not built yet"],
    );
    says(
        &format!("{RIGHT}output: https://lab/results"),
        &["job.yaml:9:9: output: storage https:// is known but not built yet"],
    );
    says(
        "name: x\nmodel: Padim\ndata: MVTec\n",
        &["job.yaml:1:1: there is no key `kind`, and the file is not one of Anomalib's"],
    );
}

#[test]
fn all_errors_come_at_once_with_their_places() {
    let text = "\
kind: train
nmae: x
model:
  class_path: Padmi
  init_args: {}
data:
  class_path: MVTec
  init_args:
    rot: data
    val_split_ratio: 2
    val_split_mode: from_tset
    val_split_mode: none
task: detect
seed: -1
resources: {timeout: 2, engine: openvni, pol: gpu}
metrics: {image: AUORC, threshold: [1, 2, 3]}
";
    says(
        text,
        &[
            "job.yaml:2:1: unknown key \"nmae\"; .. ; did you mean \"name\"?",
            "job.yaml:4:15: unknown model \"Padmi\"; did you mean \"Padim\"?",
            "job.yaml:9:5: MVTec has no parameter \"rot\"; did you mean \"root\"?",
            "job.yaml:10:22: val_split_ratio: expected a number from 0 to 1, found 2",
            "job.yaml:11:21: val_split_mode: expected one of none, same_as_test, from_train, from_test, synthetic, from_dir, found \"from_tset\"; did you mean \"from_test\"?",
            "job.yaml:12:5: the key \"val_split_mode\" is given twice",
            "job.yaml:13:7: task: expected one of classification, segmentation, found \"detect\" .. ",
            "job.yaml:14:7: seed: expected an integer from 0",
            "job.yaml:15:22: resources.timeout: expected a time with its unit",
            "job.yaml:15:33: resources.engine: expected one of .. ; did you mean \"openvino\"?",
            "job.yaml:15:42: resources has no key \"pol\"; .. ; did you mean \"pool\"?",
            "job.yaml:16:18: unknown metrics.image \"AUORC\"; did you mean \"AUROC\"?",
            "job.yaml:16:36: metrics.threshold: a list has one threshold",
        ],
    );
}

#[test]
fn a_job_may_have_a_deadline() {
    let job = right(&format!("{RIGHT}deadline: 1h30m")).job;
    assert_eq!(job.deadline_s, Some(5_400));
    assert_eq!(right(RIGHT).job.deadline_s, None);
    says(
        &format!("{RIGHT}deadline: 20"),
        &["job.yaml:9:11: deadline: expected a time with its unit, such as 30m or 8h, found 20"],
    );
}

#[test]
fn labels_are_names_with_values() {
    let job = right(&format!(
        "{RIGHT}resources: {{labels: {{zone: b, rack: 07}}}}"
    ))
    .job;
    assert_eq!(job.resources.labels.to_string(), "rack=07,zone=b");
    says(
        &format!("{RIGHT}resources: {{labels: zone}}"),
        &["job.yaml:9:21: resources.labels: expected a map such as {zone: b}, found \"zone\""],
    );
    says(
        &format!("{RIGHT}resources: {{labels: {{zone: [a], 'a b': c}}}}"),
        &[
            "job.yaml:9:28: resources.labels.zone: expected a text, found a list",
            "job.yaml:9:33: resources.labels: label \"a b\": expected 1 to 63 letters",
        ],
    );
}

#[test]
fn anomalibs_keys_lead_to_ours() {
    says(
        &format!("{RIGHT}default_root_dir: x"),
        &["job.yaml:9:1: unknown key .. ; did you mean \"output\"?"],
    );
    says(
        &format!("{RIGHT}seed_everything: 1"),
        &["job.yaml:9:1: unknown key .. ; did you mean \"seed\"?"],
    );
}

#[test]
fn parity_is_a_number_of_images_and_of_trained_models() {
    for (more, images) in [
        ("", 16),
        ("parity: null\n", 16),
        ("parity: 0\n", 0),
        ("parity: 1000\n", 1000),
    ] {
        let run = only_run(&format!("{RIGHT}{more}"));
        assert_eq!((run.parity, run.measures_parity()), (images, images > 0));
    }
    for value in ["1001", "-1", "1.5", "all"] {
        let message = "job.yaml:9:9: parity: expected a number of images from 0";
        says(&format!("{RIGHT}parity: {value}\n"), &[message]);
    }
    let reading = right("kind: test\nmodel: {package: x@1}\ndata: MVTec\nparity: 5\n");
    let [warning] = &reading.warnings.iter().collect::<Vec<_>>()[..] else {
        panic!("{:?}", reading.warnings)
    };
    let warning = warning.to_string();
    assert!(warning.contains("4:9: parity has no effect"), "{warning}");
    says(
        "kind: test\nmodel: {package: x@1}\ndata: MVTec\nparity: -1\n",
        &["job.yaml:4:9: parity: expected a number of images from 0"],
    );
    assert!(!reading.job.runs[0].measures_parity());
}

#[test]
fn what_is_less_exact_is_of_jobs_that_score_by_a_package_and_comes_with_a_certificate() {
    const PREDICT: &str = "kind: predict\nmodel: {package: x@1}\ndata: ./images\n";
    let exact = only_run(PREDICT);
    assert!(exact.is_exact() && exact.parity == 0 && exact.shortcuts().is_empty());
    for (more, shortcuts, images) in [
        ("precision: bf16\n", "-bf16", 16),
        ("scaled_decoding: true\n", "-scaled", 16),
        (
            "precision: BF16\nscaled_decoding: true\nparity: 3\n",
            "-bf16-scaled",
            3,
        ),
        ("precision: f32\nscaled_decoding: false\n", "", 0),
        ("precision: null\nscaled_decoding: null\n", "", 0),
    ] {
        let reading = right(&format!("{PREDICT}{more}"));
        assert_eq!(reading.warnings, [], "{more}");
        let run = &reading.job.runs[0];
        assert_eq!((run.shortcuts().as_str(), run.parity), (shortcuts, images));
        let engine = match run.precision {
            Precision::F32 => EngineChoice::Auto,
            Precision::Bf16 => EngineChoice::Openvino,
        };
        assert_eq!(reading.job.resources.engine, engine, "{more}");
        let again = ResolvedJob::from_json(&reading.job.to_json()).unwrap();
        assert_eq!(again, reading.job);
    }
    for (more, said) in [
        (
            "precision: bf16\nparity: 0\n",
            "5:9: parity: expected a number of images from 1 to 1000",
        ),
        (
            "precision: fp16\n",
            "4:12: precision: expected one of f32, bf16",
        ),
        (
            "precision: int8\n",
            "4:12: precision: int8 is known but not built",
        ),
        (
            "scaled_decoding: maybe\n",
            "4:18: scaled_decoding: expected true or false",
        ),
        (
            "precision: bf16\nresources: {engine: onnxruntime}\n",
            "4:12: precision: the engine onnxruntime computes in f32 only",
        ),
    ] {
        says(&format!("{PREDICT}{more}"), &[&format!("job.yaml:{said}")]);
    }
    for more in ["precision: bf16\n", "scaled_decoding: true\n"] {
        let said = "is of jobs of the kinds predict and test";
        let errors = wrong(&format!("{RIGHT}{more}"));
        assert!(
            errors.iter().any(|error| error.contains(said)),
            "{errors:?}"
        );
        right(&format!(
            "kind: test\nmodel: {{package: x@1}}\ndata: MVTec\n{more}"
        ));
    }
    let mut job = right(&format!("{PREDICT}precision: bf16\n")).job;
    job.runs[0].parity = 0;
    let error = ResolvedJob::from_json(&job.to_json()).unwrap_err();
    assert!(error.to_string().contains("parity"), "{error}");
}

#[test]
fn parameters_without_effect_are_warned_about() {
    let reading = right(&format!(
        "{RIGHT}    num_workers: 4\n    train_batch_size: 8\n"
    ));
    let warnings: Vec<String> = reading.warnings.iter().map(Diagnostic::to_string).collect();
    assert_eq!(warnings.len(), 2);
    assert!(
        warnings[0].starts_with("job.yaml:9:18: num_workers is accepted but has no effect"),
        "{warnings:?}"
    );
    assert_eq!(digest(&reading.job), digest(&right(RIGHT).job));
    says(
        &format!("{RIGHT}    transform: Resize"),
        &["job.yaml:9:16: transform: expected null"],
    );
}

#[test]
fn grids_multiply_the_last_axis_fastest() {
    let text = RIGHT
        .replace("train", "benchmark")
        .replace("bottle", "{grid: [a, b]}")
        + "seed: {grid: [7, 8, 9]}\n";
    let runs = right(&text).job.runs;
    let points: Vec<(String, u64)> = runs
        .iter()
        .map(|run| {
            (
                run.data.init_args["category"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                run.seed,
            )
        })
        .collect();
    let expected = [("a", 7), ("a", 8), ("a", 9), ("b", 7), ("b", 8), ("b", 9)];
    assert_eq!(
        points,
        expected.map(|(category, seed)| (category.to_owned(), seed))
    );
    assert_eq!(
        runs[4].axes,
        *serde_json::json!({"data.init_args.category": "b", "seed": 8})
            .as_object()
            .expect("a map")
    );
}

#[test]
fn a_grid_may_hold_whole_models_and_datasets_with_their_own_task() {
    let text = "\
kind: benchmark
model:
  grid:
    - Padim
    - {class_path: Padim, init_args: {n_features: {grid: [10, 20]}}}
data:
  grid:
    - {class_path: MVTec, init_args: {task: classification}}
    - MVTec
";
    let runs = right(text).job.runs;
    assert_eq!(runs.len(), 6);
    let tasks: Vec<VisionTask> = runs.iter().map(|run| run.task).collect();
    assert_eq!(
        tasks[..2],
        [VisionTask::Classification, VisionTask::Segmentation]
    );
    assert_eq!(
        (runs[0].metrics.pixel.len(), runs[1].metrics.pixel.len()),
        (0, 2)
    );
    assert_eq!(runs[4].axes["model"]["init_args"]["n_features"], 20);
}

#[test]
fn grids_that_cannot_be_are_refused() {
    says(
        &format!("{RIGHT}seed: {{grid: [1, 2]}}"),
        &["job.yaml:9:8: a job of kind train has one run"],
    );
    let benchmark = RIGHT.replace("train", "benchmark");
    says(
        &format!("{benchmark}priority: {{grid: [1, 2]}}"),
        &[
            "job.yaml:9:11: priority",
            "job.yaml:9:12: a grid cannot stand here",
        ],
    );
    says(
        &format!("{benchmark}seed: {{grid: []}}"),
        &["job.yaml:9:14: a grid is a list with at least one value"],
    );
    says(
        &format!("{benchmark}seed: {{grid: 3}}"),
        &["job.yaml:9:14: a grid is a list with at least one value"],
    );
    says(
        &format!("{benchmark}seed: {{grid: [1], x: 2}}"),
        &["job.yaml:9:8: a grid stands alone"],
    );
    let many = (0..101)
        .map(|i| i.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let text = benchmark.replace("bottle", &format!("{{grid: [{many}]}}"))
        + &format!("seed: {{grid: [{many}]}}");
    says(
        &text,
        &["job.yaml:8:15: the grids have more than 10000 combinations"],
    );
}

#[test]
fn metrics_and_thresholds_have_anomalibs_forms() {
    let forms = [
        "AUROC",
        "[AUROC]",
        "{AUROC: {class_path: anomalib.metrics.AUROC, init_args: {}}}",
        "{AUROC: }",
        "{class_path: auroc}",
    ];
    for form in forms {
        let run = only_run(&format!("{RIGHT}metrics: {{image: {form}}}"));
        assert_eq!(run.metrics.image, ["AUROC"], "{form}");
    }
    let limited = "metrics: {pixel: [AUROC, {class_path: AUPRO, init_args: {fpr_limit: 0.05}}]}";
    let metrics = only_run(&format!("{RIGHT}{limited}")).metrics;
    assert_eq!(
        (metrics.pixel, metrics.fpr_limit),
        (vec!["AUROC".to_owned(), "AUPRO".to_owned()], 0.05)
    );
    let bounded = "metrics: {pixel: {class_path: AUPIMO, init_args: {fpr_bounds: [0.001, 0.1]}}}";
    let metrics = only_run(&format!("{RIGHT}{bounded}")).metrics;
    assert_eq!(metrics.fpr_bounds, [0.001, 0.1]);
    let metrics = only_run(&format!("{RIGHT}metrics: {{pixel: [AUPR, AUPRO, PRO]}}")).metrics;
    assert_eq!((metrics.pixel.len(), metrics.fpr_limit), (3, 0.3));
    assert_eq!(metrics.fpr_bounds, [1e-5, 1e-4]);
    let json = serde_json::to_value(&metrics).expect("JSON");
    assert!(
        json.get("fpr_limit").is_none() && json.get("fpr_bounds").is_none(),
        "older jobs keep their digest"
    );
    assert_eq!(
        serde_json::from_value::<crate::resolved::MetricsSpec>(json).expect("the same"),
        metrics
    );
    assert_eq!(
        only_run(&format!("{RIGHT}metrics: {{pixel: []}}"))
            .metrics
            .pixel,
        [""; 0]
    );
    let manual = |value| ThresholdSpec::Manual { value };
    let forms = [
        ("ManualThreshold", manual(0.5), manual(0.5)),
        (
            "{class_path: anomalib.metrics.ManualThreshold, init_args: {default_value: 3}}",
            manual(3.0),
            manual(3.0),
        ),
        (
            "[F1AdaptiveThreshold, 2.5]",
            ThresholdSpec::F1Adaptive,
            manual(2.5),
        ),
        ("{image: 1}", manual(1.0), ThresholdSpec::F1Adaptive),
        (
            "{image: {class_path: false_positive_rate, init_args: {rate: 0.001}}}",
            ThresholdSpec::FalsePositiveRate { rate: 0.001 },
            ThresholdSpec::F1Adaptive,
        ),
    ];
    for (form, image, pixel) in forms {
        let run = only_run(&format!("{RIGHT}metrics: {{threshold: {form}}}"));
        assert_eq!(
            (run.metrics.image_threshold, run.metrics.pixel_threshold),
            (image, pixel),
            "{form}"
        );
    }
    let warnings = right(&format!(
        "{RIGHT}metrics: {{pixel: [AUROC]}}\ntask: classification"
    ))
    .warnings;
    assert!(warnings[0].message.contains("no masks"), "{warnings:?}");
}

#[test]
fn a_test_job_has_a_package() {
    let text = |package: &str| format!("kind: test\nmodel: {package}\ndata: MVTec\n");
    let run = only_run(&text("{package: screws@3}"));
    assert_eq!(
        (run.model, run.metrics.image_threshold),
        (
            ModelSource::Package("screws@3".into()),
            ThresholdSpec::Package
        )
    );
    assert_eq!(
        only_run(&text("{package: out/package.json}")).model,
        ModelSource::Package("/home/me/out/package.json".into())
    );
    let named = only_run(&text(
        "{package: out/package.json, name: 'Padim of line 3'}",
    ));
    assert_eq!(named.model_name.as_deref(), Some("Padim of line 3"));
    assert_eq!(only_run(&text("{package: x, name: null}")).model_name, None);
    says(
        &text("{package: x, name: \"a\\nb\"}"),
        &["job.yaml:2:27: model.name: expected what the model is called"],
    );
    says(
        &text("Padim"),
        &["job.yaml:2:8: a job of kind test has a trained package"],
    );
    says(
        &text("{package: 'a b'}"),
        &["job.yaml:2:18: model.package: \"a b\" is neither a name"],
    );
    says(
        &RIGHT.replace("\n  class_path: Padim", " {package: x}"),
        &["job.yaml:2:9: a job of kind train trains its models"],
    );
}

#[test]
fn values_can_be_set_from_outside() {
    let job = read_set(
        RIGHT,
        &[
            ("seed", "5"),
            ("model.init_args.n_features", "7"),
            ("name", "other"),
        ],
    )
    .expect("right")
    .job;
    assert_eq!((job.runs[0].seed, job.name.as_str()), (5, "other"));
    let job = read_set(
        &RIGHT.replace("train", "benchmark"),
        &[("seed", "{grid: [1, 2]}")],
    )
    .expect("right")
    .job;
    assert_eq!(job.runs.len(), 2);
    let job = read_set(
        &RIGHT.replace("\n  class_path: Padim", " Padim"),
        &[("model.init_args.n_features", "7")],
    )
    .expect("right")
    .job;
    assert!(
        matches!(&job.runs[0].model, ModelSource::Train(class) if class.init_args["n_features"] == 7)
    );
    let errors = read_set(
        RIGHT,
        &[
            ("sed", "5"),
            ("data.init_args.category.x", "1"),
            ("a..b", "1"),
            ("seed", "["),
        ],
    )
    .expect_err("wrong");
    assert_eq!(errors.len(), 4, "{errors:#?}");
    assert!(
        errors.iter().any(
            |error| error.starts_with("--set sed=5: unknown key \"sed\"")
                && error.ends_with("did you mean \"seed\"?")
        ),
        "{errors:#?}"
    );
}

#[test]
fn files_that_are_no_job_are_refused() {
    says("", &["job.yaml:1:1: the file is empty"]);
    says("just a text", &["job.yaml:1:1: expected a map"]);
    says("kind: [", &["job.yaml:2:1: not valid YAML"]);
    says(
        "a: 1\n---\nb: 2\n",
        &["job.yaml:2:1: a job file is one YAML document"],
    );
    says("a: &x {b: 1}\nc: {<<: *x}\n", &["job.yaml:2:5: merge keys"]);
    says("a: !lua x\n", &["job.yaml:1:4: the tag"]);
    says("a: &x [*x]\n", &["job.yaml:1:8: the alias stands inside"]);
    says("? [a]\n: b\n", &["job.yaml:1:3: a key must be a text"]);
    let deep = "[".repeat(100);
    says(&deep, &["job.yaml:1:65: nested deeper than 64 levels"]);
    says(
        &format!("a: {}", "x".repeat(1 << 20)),
        &["job.yaml:1:1: the file has 1048579 bytes"],
    );
}

#[test]
fn an_alias_bomb_does_not_go_off() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let before = format!("*a{}", level - 1);
        bomb.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            [before.as_str(); 9].join(", ")
        ));
    }
    let errors = wrong(&bomb);
    assert!(
        errors[0].contains("with its aliases written out"),
        "{errors:?}"
    );
    let texts = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(400_000),
        "*a, ".repeat(90_000)
    );
    let nested = format!(
        "{}{}{}",
        "&a [".repeat(30),
        "x, ".repeat(30_000),
        "]".repeat(30)
    );
    for bomb in [texts, nested] {
        let errors = wrong(&bomb);
        assert!(
            errors[0].contains("with its aliases written out"),
            "{}",
            errors[0]
        );
    }
    only_run(
        &RIGHT
            .replace("kind: train", "kind: &k train")
            .replace("bottle", "*k"),
    );
}

#[test]
fn numbers_that_are_meant_as_texts_stay_as_written() {
    assert_eq!(
        only_run(&RIGHT.replace("bottle", "01")).data.init_args["category"],
        "01"
    );
    assert_eq!(
        only_run(&RIGHT.replace("bottle", "1e3")).data.init_args["category"],
        "1e3"
    );
}

#[test]
fn every_example_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut count = 0;
    for file in std::fs::read_dir(&folder).expect("configs") {
        let path = file.expect("file").path();
        let source = std::fs::read_to_string(&path).expect("text");
        let reading = read(&source, &path.to_string_lossy(), &[], &context())
            .unwrap_or_else(|errors| panic!("{errors:#?}"));
        assert_eq!(reading.warnings, [], "{path:?}");
        let job = ResolvedJob::from_json(&reading.job.to_json()).expect("reads back");
        assert_eq!(job, reading.job);
        let runs = match path.file_name().and_then(|name| name.to_str()) {
            Some("benchmark-demo.yaml") => 16,
            Some("benchmark-elpv.yaml") => 3,
            Some("benchmark-image-models.yaml") => 4,
            Some("export.yaml") => 0,
            _ => 1,
        };
        assert_eq!(job.runs.len(), runs, "{path:?}");
        count += 1;
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn the_schema_on_disk_is_the_registries() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/job-file.schema.json");
    let fresh = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &fresh).expect("docs can be written");
    }
    let on_disk = std::fs::read_to_string(&path).expect("docs/job-file.schema.json");
    assert!(
        on_disk == fresh,
        "docs/job-file.schema.json is out of date; UPDATE=1 cargo test -p job writes it anew"
    );
}

#[test]
fn a_resolved_job_is_read_strictly() {
    let job = right(RIGHT).job;
    let change = |pointer: &str, value: serde_json::Value| {
        let mut json = serde_json::to_value(&job).expect("JSON");
        *json
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("{pointer}")) = value;
        ResolvedJob::from_json(&json.to_string())
            .expect_err(pointer)
            .to_string()
    };
    for (pointer, value) in [
        ("/format", serde_json::json!(9)),
        ("/name", "../x".into()),
        ("/output", "results".into()),
        ("/runs", serde_json::json!([])),
        ("/runs/0/data/class_path", "Visa".into()),
        ("/runs/0/data/init_args/root", "relative/../x".into()),
        (
            "/runs/0/data/init_args/val_split_ratio",
            serde_json::json!(7),
        ),
        ("/runs/0/model", serde_json::json!({"package": "x"})),
        ("/runs/0/metrics/image", serde_json::json!(["Nonsense"])),
        (
            "/runs/0/metrics/image_threshold",
            serde_json::json!({"method": "package"}),
        ),
    ] {
        change(pointer, value);
    }
    assert!(change("/format", serde_json::json!(9)).contains("format 9"));
    let mut json = serde_json::to_value(&job).expect("JSON");
    json["runs"][0]["model_name"] = "x".into();
    let error = ResolvedJob::from_json(&json.to_string()).expect_err("it is trained");
    assert!(error.to_string().contains("run 0, model_name"), "{error}");
    let mut json = serde_json::to_value(&job).expect("JSON");
    json["surprise"] = true.into();
    assert!(ResolvedJob::from_json(&json.to_string()).is_err());
}

/// A file or folder of the repository.
fn repository(path: &str) -> std::path::PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

/// Name and text of every job file that people are told to run.
fn examples() -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = std::fs::read_dir(repository("configs"))
        .expect("the folder of examples")
        .map(|entry| entry.expect("an example").path())
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a text");
            (path.display().to_string(), text)
        })
        .collect();
    let readme = std::fs::read_to_string(repository("README.md")).expect("the README");
    let (_, job) = readme.split_once("<<'END'\n").expect("a job in the README");
    let (job, _) = job.split_once("\nEND").expect("its end");
    examples.push(("README.md".to_owned(), job.to_owned()));
    examples
}

#[test]
fn every_example_is_right_and_warns_of_nothing() {
    for (name, text) in examples() {
        let reading = read_text(&text).unwrap_or_else(|errors| panic!("{name}: {errors:#?}"));
        assert_eq!(reading.warnings, [], "{name}");
    }
}

#[test]
fn every_built_class_has_an_example() {
    let registries = [models::REGISTRY, data::REGISTRY, metrics::REGISTRY];
    for entry in registries.into_iter().flatten() {
        let named = examples()
            .iter()
            .any(|(_, text)| text.contains(entry.class));
        assert!(
            named || entry.params.is_none(),
            "configs/ has no example of {}",
            entry.class
        );
    }
}

#[test]
fn a_number_that_is_null_is_not_given() {
    let run = only_run(&format!("{RIGHT}    seed: null\n"));
    assert_eq!(run.data.init_args["seed"], 0);
}

#[test]
fn what_only_the_model_knows_has_its_place_too() {
    let model = |args: &str| {
        RIGHT.replace(
            "class_path: Padim",
            &format!("{{class_path: Padim, init_args: {args}}}"),
        )
    };
    says(
        &model("{backbone: resnet81}"),
        &["job.yaml:3:45: unknown backbone `resnet81` .. ; did you mean \"resnet18\"?"],
    );
    says(
        &model("{backbone: resnet18, layers: [layr2]}"),
        &["job.yaml:3:64: resnet18 has no layer `layr2` .. ; did you mean \"layer2\"?"],
    );
    says(
        &model("{backbone: resnet18, n_features: 5000}"),
        &["job.yaml:3:67: Padim: n_features: 5000 channels are asked for"],
    );
    says(
        &format!("{RIGHT}seed: {{gird: [1, 2]}}\n"),
        &["job.yaml:9:7: seed: expected an integer .. found a map with the key \"gird\""],
    );
}

mod anomalib;
mod export;
mod grids;
mod mistakes;
mod predict;
mod schema;
mod search;

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// The same JSON with the keys of every map in another order.
    fn reversed(json: &serde_json::Value) -> serde_json::Value {
        match json {
            serde_json::Value::Array(items) => items.iter().map(reversed).collect(),
            serde_json::Value::Object(map) => map
                .iter()
                .rev()
                .map(|(key, value)| (key.clone(), reversed(value)))
                .collect(),
            other => other.clone(),
        }
    }

    fn demo() -> String {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../configs/benchmark-demo.yaml"
        );
        std::fs::read_to_string(path).expect("an example")
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_read_or_refused(text in "[ -~\\n\u{e9}]{0,200}") {
            let _ = read_text(&text);
        }

        #[test]
        fn any_yaml_like_text_is_read_or_refused(text in "([a-k]: |- |\\n|\\n  |\\[|\\]|\\{|\\}|, |&a |\\*a|\"|'|grid: |kind: train|#|\\||>|\\? |!!str |1|~){0,40}") {
            let _ = read_text(&text);
            let _ = read_set(RIGHT, &[("model.init_args", &text)]);
        }

        #[test]
        fn a_damaged_job_is_read_or_refused(at in any::<prop::sample::Index>(), length in 0usize..40, insert in "[ -~\\n]{0,12}") {
            let mut characters: Vec<char> = demo().chars().collect();
            let start = at.index(characters.len());
            let end = (start + length).min(characters.len());
            characters.splice(start..end, insert.chars());
            if let Ok(reading) = read_text(&characters.into_iter().collect::<String>()) {
                let job = ResolvedJob::from_json(&reading.job.to_json()).expect("what was read reads back");
                prop_assert_eq!(job, reading.job);
            }
        }

        #[test]
        fn the_digest_does_not_depend_on_the_order_of_keys(seed in any::<u64>(), ratio in 0.0f64..=1.0) {
            let job = right(&format!("{RIGHT}    val_split_ratio: {ratio}\nseed: {seed}\n")).job;
            let back: ResolvedJob = serde_json::from_value(reversed(&serde_json::to_value(&job).expect("JSON"))).expect("a job");
            prop_assert_eq!(digest(&back), digest(&job));
            let other = right(&format!("{RIGHT}seed: {}\n", seed ^ 1)).job;
            prop_assert_ne!(digest(&other), digest(&job));
        }
    }
}

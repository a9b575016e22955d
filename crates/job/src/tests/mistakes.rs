//! Everything that is wrong with a file is said at once, and each at its place.

use super::*;

#[test]
fn eleven_mistakes_are_eleven_messages() {
    says(
        include_str!("mistakes.yaml"),
        &[
            "job.yaml:2:7: kind: expected one of train, test, predict, benchmark, hpo, export, found \"bench\"",
            "job.yaml:3:7: name: expected 1 to 128 letters",
            "job.yaml:7:15: unknown backbone `mobilnet_v2`; .. ; did you mean \"mobilenet_v2\"?",
            "job.yaml:9:17: n_features: expected an integer from 1 to 65536, found 0",
            "job.yaml:10:22: Padim: channel_indices: 4 is there twice",
            "job.yaml:14:5: mask_dir: the task segmentation needs it",
            "job.yaml:17:5: Folder has no parameter \"extension\"; did you mean \"extensions\"?",
            "job.yaml:18:22: val_split_ratio: expected a number from 0 to 1, found 1.5",
            "job.yaml:19:26: unknown metrics.image \"F1Scor\"; did you mean \"F1Score\"?",
            "job.yaml:19:46: unknown metrics.threshold \"ManualTreshold\"; did you mean \"ManualThreshold\"?",
            "job.yaml:20:19: max_failed_tasks: expected an integer from 0",
        ],
    );
}

#[test]
fn every_wrong_layer_has_its_place() {
    says(
        &RIGHT.replace(
            "class_path: Padim",
            "{class_path: Padim, init_args: {layers: [layr1, layer2, layer7], n_features: -1}}",
        ),
        &[
            "job.yaml:3:44: resnet18 has no layer `layr1`; .. ; did you mean \"layer1\"?",
            "job.yaml:3:59: resnet18 has no layer `layer7`; .. ?",
            "job.yaml:3:80: n_features: expected",
        ],
    );
}

#[test]
fn backbones_of_the_reference_are_known() {
    let model = |backbone: &str| {
        RIGHT.replace(
            "class_path: Padim",
            &format!("{{class_path: Padim, init_args: {{backbone: {backbone}}}}}"),
        )
    };
    for backbone in ["resnet101", "efficientnet_b5", "mobilenetv3_large_100"] {
        says(
            &model(backbone),
            &[&format!(
                "job.yaml:3:45: the backbone {backbone} is known but not built yet; built: efficientnet_lite0"
            )],
        );
    }
    says(
        &model("resnet18__AT__https://example.org/resnet18.pth"),
        &["job.yaml:3:45: weights from a URI are known but not built yet; say resnet18"],
    );
}

#[test]
fn a_grid_in_a_train_job_hides_nothing() {
    says(
        &format!("{RIGHT}seed: {{grid: [1, -2]}}\npriority: {{grid: [1]}}\ntask: x\n"),
        &[
            "job.yaml:9:8: a job of kind train has one run",
            "job.yaml:9:18: seed: expected an integer",
            "job.yaml:10:11: priority: expected",
            "job.yaml:10:12: a grid cannot stand here",
            "job.yaml:11:7: task: expected one of",
        ],
    );
}

#[test]
fn a_wrong_task_is_no_reason_to_ask_for_masks() {
    let folder = RIGHT.replace("MVTec", "Folder").replace(
        "    root: data\n    category: bottle\n",
        "    name: x\n    normal_dir: a\n    abnormal_dir: b\n",
    );
    says(
        &format!("{folder}task: classify\n"),
        &["job.yaml:10:7: task: expected one of"],
    );
    says(
        &folder,
        &["job.yaml:7:5: mask_dir: the task segmentation needs it"],
    );
}

#[test]
fn metrics_of_regions_are_of_pixels_and_have_one_limit() {
    says(
        &format!("{RIGHT}metrics: {{image: [AUROC, PRO]}}"),
        &["job.yaml:9:26: metrics.image: PRO is measured on masks; it belongs below metrics.pixel"],
    );
    says(
        &format!(
            "{RIGHT}metrics: {{pixel: [AUPRO, {{class_path: AUPRO, init_args: {{fpr_limit: 0.1}}}}]}}"
        ),
        &[
            "job.yaml:9:26: metrics.pixel: AUPRO has two values of fpr_limit; a run has one, and a benchmark may have a grid of them",
        ],
    );
    says(
        &format!("{RIGHT}metrics: {{pixel: {{class_path: AUPRO, init_args: {{fpr_limit: 0}}}}}}"),
        &["job.yaml:9:61: fpr_limit: expected a number from 0.000001 to 1, found 0"],
    );
    says(
        &format!(
            "{RIGHT}metrics: {{pixel: {{class_path: AUPIMO, init_args: {{fpr_bounds: [0.1, 0.01]}}}}}}"
        ),
        &[
            "job.yaml:9:18: metrics.pixel: fpr_bounds of AUPIMO: expected two rates, the lower one first, found [0.1, 0.01]",
        ],
    );
}

#[test]
fn thresholds_and_metrics_are_not_mixed_up() {
    says(
        &format!("{RIGHT}metrics: {{image: [AUROC, F1AdaptiveThreshold]}}"),
        &[
            "job.yaml:9:26: metrics.image: F1AdaptiveThreshold is no metric; it belongs below metrics.threshold",
        ],
    );
    says(
        &format!(
            "{RIGHT}metrics: {{image: {{AUROC: {{class_path: AUROC, init_args: {{treshold: 1, thresholds: one}}}}}}}}"
        ),
        &[
            "job.yaml:9:58: AUROC has no parameter \"treshold\"; did you mean \"thresholds\"?",
            "job.yaml:9:83: thresholds: expected an integer",
        ],
    );
    let warnings = right(&format!(
        "{RIGHT}metrics: {{image: {{mine: {{class_path: AUROC}}}}}}"
    ))
    .warnings;
    assert!(
        warnings[0].message.contains("\"mine\" has no effect"),
        "{warnings:?}"
    );
}

#[test]
fn thresholds_have_exact_keys_and_one_range() {
    let threshold = |value: &str| format!("{RIGHT}metrics: {{threshold: {value}}}\n");
    says(
        &threshold("{Image: 0.7, pixel: x}"),
        &[
            "job.yaml:9:23: metrics.threshold has no key \"Image\"; .. ; did you mean \"image\"?",
            "job.yaml:9:42: unknown metrics.threshold \"x\"; expected one of F1AdaptiveThreshold, FalsePositiveRate, ManualThreshold",
        ],
    );
    let range = "expected a number from -3.4028e38 to 3.4028e38, found 1e300";
    says(
        &threshold("1e300"),
        &[&format!("job.yaml:9:22: metrics.threshold: {range}")],
    );
    says(
        &threshold("{class_path: ManualThreshold, init_args: {default_value: 1e300}}"),
        &[&format!("job.yaml:9:79: default_value: {range}")],
    );
    says(
        &threshold("{class_path: FalsePositiveRate, init_args: {rate: 0.9}}"),
        &["job.yaml:9:72: rate: expected a number from 0 to 0.5, found 0.9"],
    );
}

#[test]
fn what_is_like_nothing_known_names_what_there_is() {
    says(
        &RIGHT.replace("Padim", "Foo").replace("MVTec", "Bar"),
        &[
            "job.yaml:3:15: unknown model \"Foo\"; expected one of Dfkde, Dfm, Padim, Patchcore",
            "job.yaml:5:15: unknown data \"Bar\"; expected one of Folder, MVTec",
        ],
    );
}

#[test]
fn what_a_package_has_itself_is_warned_about() {
    let text = "kind: test\nmodel: {package: x}\nseed: 3\n\
        data: {class_path: MVTec, init_args: {image_size: 64, center_crop: 64}}\n";
    let warnings: Vec<String> = right(text)
        .warnings
        .iter()
        .map(Diagnostic::to_string)
        .collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].starts_with("job.yaml:3:7: seed has no effect"));
    assert!(warnings[1].starts_with("job.yaml:4:51: image_size is the package's own"));
    assert!(warnings[2].starts_with("job.yaml:4:68: center_crop is the package's own"));
}

#[test]
fn a_crop_is_no_larger_than_the_image_and_no_smaller_than_the_model_needs_it() {
    let sizes = |sizes: &str| format!("{RIGHT}    {sizes}\n");
    for (given, expected) in [
        (
            "center_crop: [257, 256]",
            "job.yaml:9:18: no 257 x 256 can be cut out of images of 256 x 256; make center_crop smaller, or image_size larger",
        ),
        (
            "center_crop: 65\n    image_size: [64, 128]",
            "job.yaml:9:18: no 65 x 65 can be cut out of images of 64 x 128",
        ),
        (
            "center_crop: 31",
            "job.yaml:9:18: center_crop: expected a size from 32 to 4096",
        ),
        // Of the other nothing is known then.
        (
            "center_crop: 300\n    image_size: large",
            "job.yaml:10:17: image_size: expected a size from 32",
        ),
        (
            "center_crop: all\n    image_size: 32",
            "job.yaml:9:18: center_crop: expected a size from 32",
        ),
    ] {
        says(&sizes(given), &[expected]);
    }
    // What the model itself sees of it is as small.
    let pooled = sizes("image_size: 512\n    center_crop: 48").replace(
        "class_path: Padim",
        "{class_path: Dfm, init_args: {backbone: resnet18}}",
    );
    says(
        &pooled,
        &["job.yaml:3:32: Dfm: pooling_kernel_size: it is 4, but the layer's map is 3 x 3"],
    );
    let small = sizes("image_size: 64\n    center_crop: 32")
        .replace("class_path: Padim", "{class_path: Patchcore}");
    let job = right(&small).job;
    assert_eq!(
        job.runs[0].input_size(),
        models::InputSize {
            resized: Some([64, 64]),
            crop: Some([32, 32])
        }
    );
}

#[test]
fn a_float_is_said_as_one() {
    says(
        &format!("{RIGHT}    image_size: 256.0\n"),
        &["job.yaml:9:17: image_size: expected a size from .. found 256.0"],
    );
}

#[test]
fn a_key_can_have_an_anchor() {
    let text = format!("&k name: foo\noutput: *k\n{RIGHT}");
    assert_eq!(right(&text).job.output, "file:///home/me/name");
}

#[test]
fn a_device_is_one_of_its_words_and_one_that_the_engine_knows() {
    let resources = |text: &str| format!("{RIGHT}resources: {{{text}}}");
    for (text, device) in [
        ("device: auto", DeviceChoice::Auto),
        ("device: CPU, engine: openvino", DeviceChoice::Cpu),
        ("device: gpu, engine: auto", DeviceChoice::Gpu),
    ] {
        assert_eq!(right(&resources(text)).job.resources.device, device);
    }
    for (text, error) in [
        (
            "device: cuda:1",
            "job.yaml:9:21: resources.device: expected one of auto, cpu, gpu, found \"cuda:1\"; did you mean \"gpu\"?",
        ),
        (
            "device: gpus",
            "job.yaml:9:21: resources.device: .. ; did you mean \"gpu\"?",
        ),
        (
            "device: gpu, engine: onnxruntime",
            "job.yaml:9:21: resources.device: the engine onnxruntime computes on the processor only; leave one of the two out",
        ),
        (
            "device: cpu, engine: torch-cuda",
            "job.yaml:9:21: resources.device: the engine torch-cuda computes on GPUs only; leave one of the two out",
        ),
    ] {
        says(&resources(text), &[error]);
    }
    // Jobs that say nothing of it are the same as before there was such a key.
    let job = right(RIGHT).job;
    assert!(!job.to_json().contains("device"), "{}", job.to_json());
    let gpu = right(&resources("device: gpu")).job.to_json();
    assert_eq!(ResolvedJob::from_json(&gpu).unwrap().to_json(), gpu);
    let both = gpu.replace("\"engine\":\"auto\"", "\"engine\":\"openvino\"");
    let error = ResolvedJob::from_json(&both).unwrap_err().to_string();
    assert!(
        error.contains("openvino computes on the processor only"),
        "{error}"
    );
}

//! Searches: what they vary is checked like any parameter, and sweep files of others are searches.

use hpo::{Domain, Goal, Method, Scale};
use serde_json::json;

use super::*;
use resolved::SearchSpec;

const SEARCH: &str = "\
kind: hpo
model: Padim
data: {class_path: MVTec, init_args: {root: data, category: bottle, val_split_mode: from_test}}
search:
  method: tpe
  objective: image_AUROC
  parameters:
    backbone: {values: [resnet18, mobilenet_v2]}
    layers:
      - {when: {backbone: resnet18}, values: [[layer1, layer2], [layer2, layer3]]}
      - {when: {backbone: mobilenet_v2}, values: [[features.3, features.6]]}
    n_features: {min: 5, max: 50, scale: log}
";

fn search(text: &str) -> SearchSpec {
    right(text).job.search.expect("a search")
}

fn with(from: &str, to: &str) -> String {
    assert!(SEARCH.contains(from), "{from}");
    SEARCH.replace(from, to)
}

#[test]
fn a_search_has_its_defaults_written_out() {
    let job = right(SEARCH).job;
    assert_eq!((job.kind, job.runs.len()), (JobKind::Hpo, 1));
    let search = job.search.clone().expect("a search");
    assert_eq!(search.objective.to_string(), "image_AUROC");
    let by = &search.by;
    assert_eq!((by.method, by.goal), (Method::Tpe, Goal::Maximize));
    assert_eq!(
        (by.trials, by.concurrency, by.seed, search.refit),
        (20, 4, 0, false)
    );
    let names: Vec<&str> = by
        .space
        .dimensions
        .iter()
        .map(|dimension| dimension.name.as_str())
        .collect();
    let args = ["backbone", "layers", "layers", "n_features"]
        .map(|name| format!("model.init_args.{name}"));
    assert_eq!(names, args);
    assert_eq!(
        by.space.dimensions[3].domain,
        Domain::Integer {
            min: 5,
            max: 50,
            scale: Scale::Log
        }
    );
    assert_eq!(
        job,
        ResolvedJob::from_json(&job.to_json()).expect("what was read reads back")
    );
}

#[test]
fn a_trial_is_a_run_with_its_values_that_looks_at_no_test_image() {
    let job = right(SEARCH).job;
    let search = job.search.expect("a search");
    let next = search.by.suggest(&[]).expect("a first trial");
    let run = search.trial(&job.runs[0], &next.point, 0.5);
    assert_eq!(
        (run.measured_on, run.train_share, run.parity),
        (resolved::MeasuredOn::Validation, Some(0.5), 0)
    );
    let ModelSource::Train(model) = &run.model else {
        panic!("it is trained");
    };
    for (path, value) in &run.axes {
        let name = path.strip_prefix("model.init_args.").expect("of the model");
        assert_eq!(&model.init_args[name], value);
    }
    assert_eq!(run.axes.len(), 3);
    let fitted = search.refitted(&job.runs[0], &next.point);
    assert_eq!(
        (fitted.measured_on, fitted.train_share, &fitted.model),
        (resolved::MeasuredOn::Test, None, &run.model)
    );
    assert_eq!(fitted.chosen_on, Some(resolved::MeasuredOn::Validation));
}

#[test]
fn what_is_varied_is_checked_at_its_place_before_anything_runs() {
    let mut missing = Vec::new();
    for (from, to, expected) in [
        (
            "backbone: {",
            "backbon: {",
            "job.yaml:8:5: search.parameters: Padim has no parameter \"backbon\"; did you mean \"backbone\"?",
        ),
        (
            "resnet18, mobilenet_v2",
            "resnet18, mobilenet_v3",
            "job.yaml:8:35: unknown backbone `mobilenet_v3`",
        ),
        (
            "[layer2, layer3]",
            "[layer2, layer9]",
            "job.yaml:10:74: resnet18 has no layer `layer9`",
        ),
        (
            "{min: 5,",
            "{min: 0,",
            "job.yaml:12:23: n_features: expected an integer from 1",
        ),
        ("max: 50", "max: 50000", "job.yaml:12:31: Padim"),
        (
            "max: 50",
            "max: 5",
            "job.yaml:12:23: search.parameters.n_features: the lower end of a range lies below",
        ),
        (
            "scale: log",
            "scale: lag",
            "job.yaml:12:42: search.parameters.n_features.scale: expected one of linear, log",
        ),
        (
            "{min: 5, max: 50, scale: log}",
            "{min: 5}",
            "job.yaml:12:17: search.parameters.n_features: a dimension has `values`",
        ),
        (
            "{min: 5, max: 50, scale: log}",
            "{min: 5, max: 50, steps: 3}",
            "job.yaml:12:42: search.parameters.n_features: steps belong",
        ),
        (
            "{min: 5, max: 50, scale: log}",
            "{values: []}",
            "job.yaml:12:26: search.parameters.n_features: there are no values",
        ),
        (
            "{min: 5, max: 50, scale: log}",
            "{values: [7, 7]}",
            "job.yaml:12:30: search.parameters.n_features: 7 stands there twice",
        ),
        (
            "{backbone: resnet18}, v",
            "{backbone: resnet8}, v",
            "job.yaml:10:27: when: \"resnet8\" is none of the values of backbone; did you mean \"resnet18\"?",
        ),
        (
            "{backbone: resnet18}, v",
            "{n_features: 7}, v",
            "job.yaml:10:17: when: n_features is no dimension of values that stands before",
        ),
        (
            "values: [resnet18, mobilenet_v2]",
            "min: 1, max: 2",
            "job.yaml:8:21: search.parameters.backbone: a range is of numbers",
        ),
        (
            "method: tpe",
            "method: tpa",
            "job.yaml:5:11: search.method: expected one of grid, random, tpe",
        ),
        (
            "method: tpe",
            "trails: 5\n  method: tpe",
            "job.yaml:5:3: search has no key \"trails\"; .. did you mean \"trials\"?",
        ),
        (
            "method: tpe",
            "trials: 0\n  method: tpe",
            "job.yaml:5:11: search.trials: expected an integer from 1 to 10000",
        ),
        (
            "method: tpe",
            "budget: {min: 0.1}\n  method: tpe",
            "job.yaml:5:11: search.budget belongs to the method successive_halving",
        ),
        (
            "parameters:",
            "parameters:\n    data.init_args.center_crop: {values: [192, 224]}",
            "job.yaml:8:5: search.parameters.data.init_args.center_crop: which images there are, and how much of them is seen, \
             decides what is measured",
        ),
        (
            "parameters:",
            "parameters:\n    data.init_args.center_crop: {values: [288]}",
            "job.yaml:8:43: no 288 x 288 can be cut out of images of 256 x 256",
        ),
        (
            "category: bottle, val_split_mode: from_test}}\nsearch:\n  method: tpe\n  objective: image_AUROC\n  parameters:",
            "category: bottle, center_crop: 224, val_split_mode: from_test}}\nsearch:\n  method: tpe\n  objective: image_AUROC\n  \
             parameters:\n    data.init_args.image_size: {values: [256, 192]}",
            "job.yaml:3:82: no 224 x 224 can be cut out of images of 192 x 192",
        ),
        (
            "model: Padim",
            "model: {class_path: Padim, init_args: {backbone: {grid: [resnet18]}}}",
            "job.yaml:2:51: what a search varies stands in search.parameters",
        ),
    ] {
        let errors = wrong(&with(from, to));
        let (start, end) = expected.split_once(" .. ").unwrap_or((expected, ""));
        let found = errors
            .iter()
            .any(|error| error.starts_with(start) && error.ends_with(end));
        if !found {
            missing.push(format!("{expected}: {errors:#?}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn what_only_follows_from_a_wrong_dimension_is_not_said() {
    // Without its number of features this model is incomplete.
    let text = "\
kind: hpo
model: {class_path: Padim, init_args: {backbone: mobilenet_v2, layers: [features.3, features.6]}}
data: {class_path: MVTec, init_args: {root: data, category: bottle, val_split_mode: from_test}}
search:
  method: tpe
  objective: image_AUROC
  parameters:
    n_features: {when: {layers: [features.3]}, min: 2, max: 24}
    layers: {values: [[features.3], [features.6]]}
";
    let errors = wrong(text);
    assert_eq!(
        errors,
        [
            "job.yaml:8:25: when: layers is no dimension of values that stands before this one; put it above, with `values`"
        ]
    );
}

#[test]
fn an_empty_space_is_refused() {
    let (head, _) = SEARCH.split_once("  parameters:").expect("it has them");
    for rest in ["", "  parameters: {}\n", "  parameters:\n"] {
        let errors = wrong(&format!("{head}{rest}"));
        assert!(
            errors[0].contains("search.parameters: there is nothing to search"),
            "{errors:#?}"
        );
    }
    says(
        &SEARCH.replace("search:\n", "serch:\n"),
        &[
            "job.yaml:1:1: the key `search` is missing",
            "job.yaml:4:1: unknown key \"serch\" .. did you mean \"search\"?",
        ],
    );
}

#[test]
fn a_search_that_names_test_is_refused() {
    for objective in [
        "test_image_AUROC",
        "image_AUROC_test",
        "{metric: image_AUROC, split: test}",
    ] {
        let errors = wrong(&with("image_AUROC", objective));
        assert!(
            errors[0].starts_with("job.yaml:6:")
                && errors[0].contains("a search is measured on the split validation"),
            "{errors:#?}"
        );
    }
    assert_eq!(
        search(&with("image_AUROC", "val_image_AUROC"))
            .objective
            .to_string(),
        "image_AUROC"
    );
}

#[test]
fn an_objective_that_no_trial_can_reach_is_refused() {
    for (text, expected) in [
        (
            with("image_AUROC", "pixel_AUROC") + "task: classification\n",
            "no trial can reach pixel_AUROC: the task classification has no masks",
        ),
        (
            with("image_AUROC", "image_AUPRO"),
            "AUPRO is measured on masks",
        ),
        (
            with("image_AUROC", "image_AUROCC"),
            "\"AUROCC\" is no metric; did you mean \"image_AUROC\"?",
        ),
        (
            with("from_test", "same_as_test"),
            "val_split_mode same_as_test keeps no images apart for it",
        ),
        (
            with("from_test", "from_train"),
            "val_split_mode from_train keeps normal images only",
        ),
    ] {
        let errors = wrong(&text);
        assert!(
            errors.iter().any(|error| error.contains(expected)),
            "{errors:#?}\nexpected {expected}"
        );
    }
    let images_only = "\
kind: hpo
model: {class_path: Dfkde, init_args: {backbone: resnet18}}
data: {class_path: MVTec, init_args: {root: data, category: bottle, val_split_mode: from_test}}
search: {method: random, objective: pixel_AUROC, parameters: {n_pca_components: {values: [8, 16]}}}
";
    says(
        images_only,
        &[
            "job.yaml:4:37: search.objective: no trial can reach pixel_AUROC: Dfkde scores images only",
        ],
    );
}

#[test]
fn a_grid_has_its_points_counted_before_anything_runs() {
    let grid = with("method: tpe", "method: grid").replace(
        "{min: 5, max: 50, scale: log}",
        "{min: 5, max: 45, steps: 3, scale: log}",
    );
    let found = search(&grid);
    // 2 and 1 layers, with 5, 15 and 45 features.
    assert_eq!((found.by.trials, found.by.len()), (9, 9));
    assert_eq!(
        found.by.space.dimensions[3].domain,
        Domain::Values(vec![json!(5), json!(15), json!(45)])
    );
    let reading = right(&grid.replace("method: grid", "method: grid\n  trials: 4"));
    assert_eq!(reading.job.search.expect("a search").by.len(), 4);
    assert!(
        reading.warnings[0]
            .to_string()
            .contains("only the first 4 are tried"),
        "{:?}",
        reading.warnings
    );
    let million = "\
kind: hpo
model: Patchcore
data: {class_path: MVTec, init_args: {root: data, category: bottle, val_split_mode: from_test}}
search:
  method: grid
  objective: image_AUROC
  parameters:
    coreset_sampling_ratio: {min: 0.01, max: 0.5, steps: 1000}
    num_neighbors: {min: 1, max: 1000}
";
    says(
        million,
        &["job.yaml:8:5: search.parameters: the grid has more than 10000 points"],
    );
    says(
        &million.replace(", steps: 1000", ""),
        &[
            "job.yaml:8:29: search.parameters.coreset_sampling_ratio: a grid needs the number of `steps`",
        ],
    );
}

#[test]
fn halving_says_what_the_first_get() {
    let text = with(
        "method: tpe",
        "method: successive_halving\n  budget: {resource: images, min: 0.25, factor: 2}\n  trials: 30",
    );
    let Method::SuccessiveHalving(halving) = search(&text).by.method else {
        panic!("halving");
    };
    assert_eq!((halving.min, halving.factor), (0.25, 2));
    says(
        &text.replace("images, min", "epochs, min"),
        &[
            "job.yaml:6:22: search.budget.resource: no model here trains in epochs, each is fitted in one pass over its images; expected images (a share of them)",
        ],
    );
}

#[test]
fn a_parameter_that_is_not_varied_everywhere_keeps_the_files_value() {
    let text = "\
kind: hpo
model: {class_path: Patchcore, init_args: {backbone: resnet18, layers: [layer2], num_neighbors: 5}}
data: {class_path: MVTec, init_args: {root: data, category: bottle, val_split_mode: from_test}}
search:
  method: random
  objective: image_AUROC
  parameters:
    coreset_sampling_ratio: {values: [0.1, 0.2]}
    num_neighbors: {when: {coreset_sampling_ratio: 0.1}, values: [1, 2]}
";
    let found = search(text);
    let last = found.by.space.dimensions.last().expect("dimensions");
    assert_eq!(
        (last.name.as_str(), &last.domain),
        (
            "model.init_args.num_neighbors",
            &Domain::Values(vec![json!(5)])
        )
    );
}

#[test]
fn other_kinds_have_no_search_and_a_resolved_one_is_not_trusted() {
    let text = SEARCH.replace("kind: hpo", "kind: train");
    let errors = wrong(&text);
    assert!(
        errors[0].contains("a job of kind train has no `search`; use `kind: hpo`"),
        "{errors:#?}"
    );
    let job = right(SEARCH).job;
    let changed = |change: fn(&mut serde_json::Value)| {
        let mut json = serde_json::to_value(&job).expect("JSON");
        change(&mut json);
        ResolvedJob::from_json(&json.to_string())
            .expect_err("it was changed")
            .to_string()
    };
    for (change, expected) in [
        (
            (|json| json["search"] = json!(null)) as fn(&mut serde_json::Value),
            "search",
        ),
        (|json| json["kind"] = json!("train"), "search"),
        (
            |json| json["search"]["by"]["trials"] = json!(0),
            "1 to 10000 trials",
        ),
        (
            |json| json["search"]["objective"]["metric"] = json!("AUPR"),
            "image_AUPR is not measured",
        ),
        (
            |json| json["search"]["by"]["space"][0]["name"] = json!("model.init_args.nothing"),
            "is no parameter",
        ),
        (
            |json| json["search"]["by"]["space"][3]["domain"]["integer"]["min"] = json!(-5),
            "search",
        ),
        (
            |json| json["runs"][0]["measured_on"] = json!("validation"),
            "belongs to trials",
        ),
    ] {
        let error = changed(change);
        assert!(error.contains(expected), "{error}");
    }
}

const WANDB: &str = include_str!("search/wandb-1.0.yaml");
const COMET: &str = include_str!("search/comet-1.0.yaml");
const OLD_WANDB: &str = include_str!("search/wandb-0.7.yaml");
const OLD_COMET: &str = include_str!("search/comet-0.7.yaml");

#[test]
fn sweep_files_of_wandb_and_comet_are_searches_as_they_are() {
    for (text, set, objective) in [
        (WANDB, &[][..], "pixel_AUROC"),
        (COMET, &[], "image_F1Score"),
        (OLD_WANDB, &[("model.class_path", "Padim")], "pixel_AUROC"),
        (OLD_COMET, &[("model.class_path", "padim")], "image_F1Score"),
    ] {
        let reading = read_set(text, set).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"));
        let job = reading.job;
        assert_eq!(job.kind, JobKind::Hpo);
        let search = job.search.expect("a search");
        assert_eq!(
            (search.objective.to_string().as_str(), search.by.goal),
            (objective, Goal::Maximize),
            "{text}"
        );
        assert_eq!(
            (search.by.method, search.by.trials),
            (Method::GaussianProcess, 10),
            "{text}"
        );
        let dimensions: Vec<(&str, usize)> = search
            .by
            .space
            .dimensions
            .iter()
            .map(|dimension| match &dimension.domain {
                Domain::Values(values) => (dimension.name.as_str(), values.len()),
                _ => (dimension.name.as_str(), 0),
            })
            .collect();
        assert_eq!(
            dimensions,
            [
                ("data.init_args.image_size", 2),
                ("model.init_args.backbone", 2)
            ],
            "{text}"
        );
        let run = &job.runs[0];
        assert_eq!(
            (
                run.data.class_path.as_str(),
                &run.data.init_args["category"]
            ),
            ("MVTec", &json!("capsule"))
        );
        assert_eq!(run.data.init_args["val_split_mode"], "from_test");
        let said: Vec<String> = reading.warnings.iter().map(Diagnostic::to_string).collect();
        assert!(
            said.iter()
                .any(|said| said.contains("half of the test images are kept for validation")),
            "{said:#?}"
        );
    }
}

#[test]
fn a_sweep_file_without_a_model_or_a_dataset_is_told_where_they_stand_in_it() {
    for (text, wrong_part, mended, expected) in [
        (
            OLD_WANDB,
            "",
            "  model:\n    class_path: Padim",
            "the key `parameters.model` is missing; such as `model: {class_path: Padim}` below `parameters`, or `--set model.class_path=CLASS`",
        ),
        (
            WANDB,
            "  data:\n    class_path: anomalib.data.MVTec\n    init_args:\n      category: capsule\n      image_size:\n        values: [128, 256]\n",
            "  data: {class_path: MVTec, init_args: {root: ./datasets, category: bottle}}\n  model:",
            "the key `parameters.data` is missing; such as `data: {class_path: MVTec, init_args: {root: ./datasets, category: bottle}}` below `parameters`",
        ),
    ] {
        let without = text.replacen(wrong_part, "", 1);
        let errors = wrong(&without);
        assert!(
            errors.iter().any(|error| error.contains(expected)),
            "{errors:#?}"
        );
        // The advice does what it says.
        let with = without.replacen("  model:", mended, 1);
        read_set(&with, &[]).unwrap_or_else(|errors| panic!("{errors:#?}\n{with}"));
    }
}

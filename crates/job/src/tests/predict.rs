//! Jobs that score images without labels.

use super::*;
use crate::resolved::{ErrorLimit, Kept};

const PREDICT: &str = "kind: predict\nmodel: {package: bottle}\n";

fn places(text: &str) -> serde_json::Value {
    let run = only_run(text);
    assert_eq!(run.data.class_path, "PredictDataset");
    run.data.init_args["path"].clone()
}

#[test]
fn a_place_is_enough() {
    let run = only_run(&format!("{PREDICT}data: night\n"));
    assert_eq!(run.model, ModelSource::Package("bottle".into()));
    assert_eq!(run.max_error_rows, Some(ErrorLimit::STANDARD));
    assert_eq!(run.metrics.image_threshold, ThresholdSpec::Package);
    assert!(run.metrics.image.is_empty() && run.metrics.pixel.is_empty());
    let places = |data: &str| places(&format!("{PREDICT}data: {data}\n"));
    assert_eq!(places("night"), serde_json::json!(["/home/me/night"]));
    assert_eq!(
        places("[s3://line3/a, ./b.csv]"),
        serde_json::json!(["s3://line3/a", "/home/me/b.csv"])
    );
    assert_eq!(
        places("{class_path: PredictDataset, init_args: {path: \"/in/**/*.png\"}}"),
        serde_json::json!(["/in/**/*.png"])
    );
}

#[test]
fn days_in_addresses_are_those_of_the_time_zone() {
    let text = format!("{PREDICT}data: \"s3://line3/{{yesterday:%Y/%m/%d}}\"\n");
    assert_eq!(places(&text), serde_json::json!(["s3://line3/2026/11/27"]));
    // Ten hours behind: it is still the day before there.
    let text = format!("{text}timezone: Etc/GMT+10\n");
    assert_eq!(places(&text), serde_json::json!(["s3://line3/2026/11/26"]));
    assert_eq!(right(&text).now.date().to_string(), "2026-11-27");
    says(
        &format!("{PREDICT}data: \"s3://line3/{{noon}}\"\n"),
        &["job.yaml:3:7: {noon} is no day"],
    );
    says(
        &format!("{PREDICT}data: night\ntimezone: Moon/Sea\n"),
        &["job.yaml:4:11: timezone: \"Moon/Sea\" is no time zone"],
    );
}

#[test]
fn images_are_as_new_as_a_time_of_the_zone() {
    let since = |value: &str, zone: &str| {
        let data = format!(
            "{{class_path: PredictDataset, init_args: {{path: night, modified_since: {value}}}}}"
        );
        let run = only_run(&format!("{PREDICT}data: {data}\ntimezone: {zone}\n"));
        run.data.init_args["modified_since"].clone()
    };
    assert_eq!(since("2026-11-27", "null"), "2026-11-27T00:00:00Z");
    assert_eq!(since("2026-11-27", "Etc/GMT+10"), "2026-11-27T10:00:00Z");
    assert_eq!(since("'{today}'", "Etc/GMT+10"), "2026-11-27T10:00:00Z");
    assert_eq!(
        since("'2026-11-27 22:00'", "Etc/GMT-9"),
        "2026-11-27T13:00:00Z"
    );
    let with_offset = "2026-11-27T22:00:00+01:00";
    assert_eq!(since(&format!("'{with_offset}'"), "Etc/GMT-9"), with_offset);
    // What the zone would not be asked for is refused.
    for text in [
        "2026-11-27T22:00[Europe/Berlin]",
        "2026-11-7",
        " 2026-11-27",
    ] {
        says(
            &format!(
                "{PREDICT}data: {{class_path: PredictDataset, init_args: {{path: night, modified_since: '{text}'}}}}\n"
            ),
            &[&format!(
                "job.yaml:3:77: modified_since: {text:?} is no day, such as 2026-11-27"
            )],
        );
    }
}

#[test]
fn bad_images_are_bearable_up_to_a_number_or_a_share() {
    let limit = |value: &str| {
        only_run(&format!("{PREDICT}data: night\nmax_error_rows: {value}\n")).max_error_rows
    };
    assert_eq!(limit("0"), Some(ErrorLimit::Rows(0)));
    assert_eq!(limit("2.5%"), Some(ErrorLimit::Share(0.025)));
    assert_eq!(limit("null"), Some(ErrorLimit::STANDARD));
    for value in ["-1", "101%", "many", "1.5", "nan%"] {
        says(
            &format!("{PREDICT}data: night\nmax_error_rows: {value}\n"),
            &["job.yaml:4:17: max_error_rows: expected a number of images or a share such as 1%"],
        );
    }
    says(
        &format!("{RIGHT}max_error_rows: 1%\n"),
        &["job.yaml:9:17: max_error_rows is of jobs of kind predict"],
    );
    assert!(ErrorLimit::Share(0.01).allows(1, 100) && !ErrorLimit::Share(0.01).allows(2, 100));
    assert!(ErrorLimit::Rows(2).allows(2, 2) && !ErrorLimit::Rows(2).allows(3, 100));
}

#[test]
fn maps_and_pictures_are_kept_of_the_images_that_are_named() {
    let run = only_run(&format!("{PREDICT}data: night\n"));
    assert_eq!((run.maps, run.pictures), (Kept::None, Kept::None));
    let run = only_run(&format!(
        "{PREDICT}data: night\nmaps: all\npictures: anomalous\n"
    ));
    assert_eq!((run.maps, run.pictures), (Kept::All, Kept::Anomalous));
    assert!(Kept::Anomalous.has(true) && !Kept::Anomalous.has(false) && Kept::All.has(false));
    says(
        &format!("{PREDICT}data: night\nmaps: anomalus\n"),
        &["job.yaml:4:7: maps: expected one of none, anomalous, all, found \"anomalus\""],
    );
    says(
        &format!("{RIGHT}pictures: all\n"),
        &["job.yaml:9:11: pictures is of jobs of kind predict"],
    );
}

#[test]
fn the_images_of_one_job_are_skipped_which_is_named_by_its_id() {
    let skip = |value: &str| only_run(&format!("{PREDICT}data: night\nskip: {value}\n")).skip;
    assert_eq!(skip("7k2m9x4c"), Some("7k2m9x4c".parse().expect("an id")));
    assert_eq!(skip("null"), None);
    for (value, said) in [
        ("last", "skip: \"last\" may be another job tomorrow"),
        (
            "[a]",
            "skip: expected the id of a job, such as 7k2m9x4c, found",
        ),
        (
            "../x",
            "skip: expected the id of a job, such as 7k2m9x4c, found",
        ),
    ] {
        let text = format!("{PREDICT}data: night\nskip: {value}\n");
        says(&text, &[&format!("job.yaml:4:7: {said}")]);
    }
    says(
        &format!("{RIGHT}skip: 7k2m9x4c\n"),
        &["job.yaml:9:7: skip is of jobs of kind predict"],
    );
}

#[test]
fn nothing_can_be_measured_or_chosen_without_labels() {
    says(
        &format!(
            "{PREDICT}data: night\nmetrics: {{image: AUROC, threshold: F1AdaptiveThreshold}}\n"
        ),
        &[
            "job.yaml:4:18: metrics.image: a job of kind predict has no labels",
            "job.yaml:4:36: metrics.threshold: there are no labels to choose one by",
        ],
    );
    let given = only_run(&format!(
        "{PREDICT}data: night\nmetrics: {{threshold: 3.5}}\n"
    ));
    let manual = ThresholdSpec::Manual { value: 3.5 };
    assert_eq!(given.metrics.image_threshold, manual);
}

#[test]
fn each_kind_has_its_own_data_and_model() {
    says(
        "kind: predict\nmodel: {package: bottle}\ndata: {class_path: MVTec}\n",
        &["job.yaml:3:7: data: a job of kind predict scores images without labels"],
    );
    says(
        "kind: test\nmodel: {package: bottle}\ndata: {class_path: PredictDataset, init_args: {path: night}}\n",
        &["job.yaml:3:7: data: PredictDataset has no labels"],
    );
    says(
        "kind: predict\nmodel: Padim\ndata: night\n",
        &["job.yaml:2:8: a job of kind predict has a trained package"],
    );
    says(
        "kind: predict\nmodel: {package: bottle}\n",
        &["job.yaml:1:1: the key `data` is missing; such as `data: ./images`"],
    );
}

#[test]
fn what_comes_back_is_checked() {
    let job = right(&format!("{PREDICT}data: night\n")).job;
    assert_eq!(
        ResolvedJob::from_json(&job.to_json()).expect("the same"),
        job
    );
    let spoilt = |from: &str, to: &str| {
        let text = job.to_json();
        assert!(text.contains(from), "{text}");
        let error = ResolvedJob::from_json(&text.replace(from, to)).expect_err("spoilt");
        error.to_string()
    };
    assert!(spoilt("\"kind\":\"predict\"", "\"kind\":\"test\"").contains("data: does not fit"));
    assert!(spoilt("{\"share\":0.01}", "{\"share\":1.5}").contains("max_error_rows: is no share"));
    assert!(
        spoilt("{\"method\":\"package\"}", "{\"method\":\"f1_adaptive\"}")
            .contains("threshold: cannot be chosen")
    );
    assert!(
        spoilt("\"image\":[]", "\"image\":[\"AUROC\"]").contains("metrics: cannot be measured")
    );
}

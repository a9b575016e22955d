//! Jobs that do not score again what another one has scored: the listing is told of its tables, or the job is refused.

use ::job::resolved::{EngineChoice, JobKind, ModelSource, Precision, RunSpec};
use coordinator_core::*;
use sim::{store::part, workload};

use crate::desk::Desk;

/// A job that scores by the package `m`.
fn predict(id: &str, skip: Option<&str>) -> Submit {
    let request = format!("submit-{id}");
    let mut submit = workload::submit(id, &request, None, JobKind::Predict, 1, 3, 0);
    let set = |spec: &mut RunSpec| {
        spec.model = ModelSource::Package("m".to_owned());
        spec.skip = skip.map(|job| job.parse().unwrap());
    };
    submit.resolved.runs.iter_mut().for_each(set);
    let runs = submit.plan.runs.iter_mut();
    runs.for_each(|run| set(&mut run.spec));
    submit.resolved_json = submit.resolved.to_json();
    submit
}

/// Why it is not taken, and nothing of it is kept.
fn refused(desk: &mut Desk, submit: Submit) -> String {
    let id = submit.id.clone();
    let Reply::Refused(refusal) = desk.submit(submit) else {
        panic!("it was taken");
    };
    assert!(desk.core.job_view(&id).is_none());
    refusal.to_string()
}

#[test]
fn the_listing_is_told_what_the_job_has_scored_and_by_what() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(predict("job0", None));
    desk.work_off(&a, "first");
    let is_reduce = |row: &&AttemptRow| {
        let result = row.result_json.as_deref().unwrap_or_default();
        result.contains("\"kind\":\"reduce\"")
    };
    let reduce = desk.rows.attempts.values().find(is_reduce).unwrap();
    let view = desk.core.attempt(reduce.lease).unwrap();
    let table = part(&view.prefix);
    desk.submit(predict("job1", Some("job0")));
    desk.restart();
    // While it is decided anew it is as it was.
    assert!(matches!(
        desk.rethreshold("job0", "anew", &[], 7.0),
        Reply::Rethresholded { .. }
    ));
    let lists = ["one", "two"].map(|claim| desk.granted(&a, claim));
    let list = lists.iter().find(|list| list.task.job.as_str() == "job1");
    let skipped = list.unwrap().skipped.clone().unwrap();
    assert_eq!(skipped.job.as_str(), "job0");
    assert_eq!(skipped.tables, [table]);
    assert_eq!(skipped.package.name, "m");
    for task in &lists {
        assert_eq!(task.skipped.is_some(), task.task.job.as_str() == "job1");
        desk.complete(&a, task);
    }
    let fit = desk.granted(&a, "fit");
    assert_eq!(fit.skipped, None, "a listing alone needs it");
}

#[test]
fn what_cannot_be_skipped_is_said_at_submit() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    assert!(
        refused(&mut desk, predict("job1", Some("job0")))
            .contains("job job0 cannot be skipped: it is not known")
    );
    desk.submit(predict("job0", None));
    let said = refused(&mut desk, predict("job1", Some("job0")));
    assert!(
        said.contains("it is queued and has no published scores"),
        "{said}"
    );
    desk.work_off(&a, "all");

    let mut other = predict("job1", Some("job0"));
    other.resolved.output = "s3://elsewhere".to_owned();
    let said = refused(&mut desk, other);
    assert!(
        said.contains("in file:///simulated") && said.contains("s3://elsewhere"),
        "{said}"
    );
    let mut other = predict("job1", Some("job0"));
    other.resolved.resources.engine = EngineChoice::Onnxruntime;
    let said = refused(&mut desk, other);
    assert!(said.contains("by the engine auto"), "{said}");
    let mut other = predict("job1", Some("job0"));
    for run in &mut other.resolved.runs {
        run.scaled_decoding = true;
    }
    let said = refused(&mut desk, other);
    assert!(
        said.contains(
            "with `precision: f32` and `scaled_decoding: false`, and this job is to with"
        ),
        "{said}"
    );
    // The engine follows from a precision, which is what was asked for.
    let mut other = predict("job1", Some("job0"));
    other.resolved.resources.engine = EngineChoice::Openvino;
    for run in &mut other.resolved.runs {
        run.precision = Precision::Bf16;
    }
    let said = refused(&mut desk, other);
    assert!(said.contains("is to with `precision: bf16`"), "{said}");

    let train = workload::submit("job2", "train", None, JobKind::Train, 1, 3, 0);
    desk.submit(train);
    desk.work_off(&a, "train");
    let said = refused(&mut desk, predict("job1", Some("job2")));
    assert!(said.contains("it is of kind train"), "{said}");
    assert!(matches!(
        desk.submit(predict("job1", Some("job0"))),
        Reply::Submitted { .. }
    ));
}

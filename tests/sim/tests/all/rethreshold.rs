//! New thresholds for jobs that have ended: decided anew from the scores that there are, or as before.

use std::collections::BTreeMap;

use coordinator_core::*;
use plan::{InputOutcome, TaskSpec};
use sim::{store::part, workload};
use types::*;

use crate::desk::{Desk, job, manual};

const CHUNKS: u64 = 3;

/// A job of so many runs that has ended.
fn ended(runs: u32) -> (Desk, Sender) {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    let kind = ::job::resolved::JobKind::Benchmark;
    desk.submit(workload::submit("job0", "s", None, kind, runs, CHUNKS, 0));
    desk.work_off(&a, "first");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    (desk, a)
}

fn generation(desk: &Desk) -> u64 {
    let view = desk.core.job_view(&"job0".parse().unwrap());
    view.unwrap().results_generation
}

fn failure(desk: &Desk) -> Option<String> {
    let id = "job0".parse().unwrap();
    let view = desk.core.job_view(&id).unwrap();
    view.rethreshold_failure.map(str::to_owned)
}

/// The digest that the job's accepted reduce wrote.
fn reduced(desk: &Desk) -> u64 {
    let is_reduce = |row: &&AttemptRow| {
        let result = row.result_json.as_deref().unwrap_or_default();
        row.outcome == Outcome::Accepted && result.contains("\"kind\":\"reduce\"")
    };
    let accepted: Vec<_> = desk
        .rows
        .tasks
        .values()
        .filter_map(|task| task.accepted)
        .collect();
    let rows = desk.rows.attempts.values();
    let reduce = rows
        .filter(is_reduce)
        .find(|row| accepted.contains(&row.lease))
        .unwrap();
    let outputs: Vec<OutputObject> =
        serde_json::from_str(reduce.outputs_json.as_deref().unwrap()).unwrap();
    u64::from_str_radix(&outputs[0].sha256, 16).unwrap()
}

/// What it would be if these thresholds had been there from the start.
fn expected(runs: u32, thresholds: &[(u32, f64)]) -> u64 {
    let kind = ::job::resolved::JobKind::Benchmark;
    let plan = workload::submit("other", "x", None, kind, runs, CHUNKS, 0).plan;
    let thresholds: BTreeMap<u32, ::job::Rethreshold> = thresholds
        .iter()
        .map(|&(run, value)| (run, manual(value)))
        .collect();
    workload::expected_reduce(&plan, CHUNKS, &thresholds)
}

/// Attempts of each kind of task, accepted or not.
fn attempts(desk: &Desk, kind: TaskKind) -> usize {
    let id = "job0".parse().unwrap();
    let tasks = desk.core.task_views(&id, desk.now).unwrap();
    let of_kind = tasks.iter().filter(|task| task.kind == kind);
    of_kind.map(|task| task.attempts.len()).sum()
}

fn rethresholded(tasks: u32, before: u64) -> Reply {
    Reply::Rethresholded { tasks, before }
}

#[test]
fn results_are_those_of_a_job_with_that_threshold_and_nothing_is_scored_again() {
    let (mut desk, a) = ended(2);
    assert_eq!(reduced(&desk), expected(2, &[]));
    assert_eq!(desk.rethreshold("job0", "t", &[], 7.0), rethresholded(3, 1));
    assert_eq!(desk.state("job0"), JobState::Running);
    desk.restart();
    desk.work_off(&a, "anew");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    assert_eq!(generation(&desk), 2);
    assert_eq!(reduced(&desk), expected(2, &[(0, 7.0), (1, 7.0)]));
    let counts = [TaskKind::List, TaskKind::Fit, TaskKind::Score].map(|kind| attempts(&desk, kind));
    assert_eq!(counts, [1, 2, 2 * CHUNKS as usize]);
    assert_eq!(failure(&desk), None);
    // The same request again: the same answer, and nothing is done.
    assert_eq!(desk.rethreshold("job0", "t", &[], 7.0), rethresholded(3, 1));
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    // One run alone: the other keeps what it has.
    assert_eq!(
        desk.rethreshold("job0", "u", &[1], 9.0),
        rethresholded(2, 2)
    );
    desk.work_off(&a, "one");
    assert_eq!(generation(&desk), 3);
    assert_eq!(reduced(&desk), expected(2, &[(0, 7.0), (1, 9.0)]));
    desk.restart();
    // Nothing that a generation named is ever swept.
    desk.wait(1_000);
    assert_eq!(desk.swept, [""; 0]);
}

fn finished(desk: &Desk) -> Option<i64> {
    let id = "job0".parse().unwrap();
    desk.core.job_view(&id).unwrap().finished_ms
}

#[test]
fn a_job_ended_when_it_was_computed_whatever_is_decided_later() {
    for fails in [false, true] {
        let (mut desk, a) = ended(1);
        let end = finished(&desk);
        assert!(end.is_some());
        for (request, value) in [("t", 7.0), ("u", 8.0)] {
            desk.wait(5_000);
            desk.rethreshold("job0", request, &[], value);
            assert_eq!(finished(&desk), None);
            desk.restart();
            if fails {
                let evaluate = desk.granted(&a, request);
                desk.fail(&a, evaluate.lease, FailureClass::InvalidInput);
            } else {
                desk.work_off(&a, request);
            }
            assert_eq!(finished(&desk), end);
            desk.restart();
            assert_eq!(finished(&desk), end);
        }
    }
}

#[test]
fn what_decides_is_told_and_what_came_to_nothing_until_a_retry() {
    let told = |desk: &Desk| -> Vec<(u32, ::job::Rethreshold)> {
        let id = "job0".parse().unwrap();
        let thresholds = desk.core.job_view(&id).unwrap().rethresholds;
        thresholds
            .into_iter()
            .flatten()
            .map(|(run, new)| (*run, *new))
            .collect()
    };
    let (mut desk, a) = half_failed();
    let end = finished(&desk);
    assert_eq!(told(&desk), []);
    desk.rethreshold("job0", "t", &[0], 7.0);
    desk.work_off(&a, "anew");
    assert_eq!(told(&desk), [(0, manual(7.0))]);
    desk.rethreshold("job0", "u", &[0], 8.0);
    assert_eq!(told(&desk), [(0, manual(8.0))]);
    let evaluate = desk.granted(&a, "fails");
    desk.fail(&a, evaluate.lease, FailureClass::InvalidInput);
    assert_eq!(told(&desk), [(0, manual(7.0))]);
    assert!(failure(&desk).is_some());
    desk.wait(5_000);
    desk.retry("job0", "r");
    desk.restart();
    assert_eq!(failure(&desk), None);
    desk.work_off(&a, "rest");
    // It was computed again, and is decided as before.
    assert!(finished(&desk) > end);
    assert_eq!(told(&desk), [(0, manual(7.0))]);
    assert_eq!(failure(&desk), None);
    desk.restart();
}

#[test]
fn an_evaluation_gets_its_threshold_and_what_it_left_before() {
    let (mut desk, a) = ended(1);
    desk.rethreshold("job0", "t", &[], 7.0);
    let evaluate = desk.granted(&a, "c");
    assert_eq!(evaluate.spec, TaskSpec::Evaluate { run: 0 });
    assert!(evaluate.rethresholded);
    assert_eq!(
        Some(evaluate.runs[0].spec.metrics.image_threshold),
        manual(7.0).image
    );
    let earlier = &evaluate.inputs[0];
    assert_eq!(earlier.task, evaluate.task);
    assert!(
        matches!(&earlier.outcome, InputOutcome::Accepted { prefix, .. } if *prefix != evaluate.prefix)
    );
    // After a restart, and asked again, it is told the same.
    desk.restart();
    assert_eq!(desk.granted(&a, "c"), evaluate);
    assert_eq!(desk.complete(&a, &evaluate), Verdict::Accepted);
    let reduce = desk.granted(&a, "r");
    assert!(!reduce.rethresholded);
    let made_from = reduce.inputs.iter().map(|input| match &input.outcome {
        InputOutcome::Accepted { prefix, .. } => prefix.as_str(),
        InputOutcome::Failed { .. } => "",
    });
    assert_eq!(made_from.collect::<Vec<_>>(), [evaluate.prefix.as_str()]);
}

#[test]
fn what_fails_for_good_leaves_everything_as_it_was() {
    for second_run in [false, true] {
        for fails in [FailureClass::InvalidInput, FailureClass::Internal] {
            let (mut desk, a) = ended(2);
            desk.rethreshold("job0", "t", &[], 7.0);
            let first = desk.granted(&a, "first");
            let mut failing = first.clone();
            if second_run {
                assert_eq!(desk.complete(&a, &first), Verdict::Accepted);
                failing = desk.granted(&a, "second");
            }
            desk.fail(&a, failing.lease, fails);
            desk.restart();
            assert_eq!(desk.state("job0"), JobState::Succeeded);
            assert_eq!(generation(&desk), 1);
            assert_eq!(reduced(&desk), expected(2, &[]));
            let said = failure(&desk).unwrap();
            assert!(
                said.contains("simulated") && said.contains(fails.as_str()),
                "{said}"
            );
            assert_eq!(desk.claim(&a, "nothing"), ClaimAnswer::Nothing);
            // The next one is another matter, whatever came of the last.
            assert_eq!(
                desk.rethreshold("job0", "u", &[1], 8.0),
                rethresholded(2, 1)
            );
            assert_eq!(failure(&desk), None);
            desk.work_off(&a, "again");
            assert_eq!(reduced(&desk), expected(2, &[(1, 8.0)]));
            assert_eq!(generation(&desk), 2);
            desk.restart();
        }
    }
}

#[test]
fn a_reduce_that_fails_for_good_leaves_everything_as_it_was() {
    let (mut desk, a) = ended(1);
    desk.rethreshold("job0", "t", &[], 7.0);
    let evaluate = desk.granted(&a, "e");
    desk.complete(&a, &evaluate);
    let reduce = desk.granted(&a, "r");
    desk.fail(&a, reduce.lease, FailureClass::InvalidInput);
    desk.restart();
    assert_eq!((generation(&desk), reduced(&desk)), (1, expected(1, &[])));
    assert_eq!(desk.state("job0"), JobState::Succeeded);
}

#[test]
fn a_lost_attempt_of_one_that_came_to_nothing_is_never_accepted() {
    let (mut desk, a) = ended(2);
    desk.rethreshold("job0", "t", &[], 7.0);
    let lost = desk.granted(&a, "lost");
    desk.beat(&a, &[lost.lease]);
    let b = desk.register("b", 1);
    desk.wait(100_000);
    assert_eq!(
        desk.outcome(lost.lease),
        Outcome::Failed(FailureClass::Lost)
    );
    let other = desk.granted(&b, "other");
    desk.fail(&b, other.lease, FailureClass::InvalidInput);
    assert_eq!(desk.complete(&a, &lost), Verdict::Superseded);
    // Nor under the next one, which has other inputs.
    desk.rethreshold("job0", "u", &[], 8.0);
    assert_eq!(desk.complete(&a, &lost), Verdict::Superseded);
    desk.work_off(&b, "again");
    assert_eq!(reduced(&desk), expected(2, &[(0, 8.0), (1, 8.0)]));
    desk.restart();
}

#[test]
fn a_cancel_leaves_everything_as_it_was() {
    for granted in [false, true] {
        let (mut desk, a) = ended(1);
        desk.rethreshold("job0", "t", &[], 7.0);
        let evaluate = granted.then(|| desk.granted(&a, "e"));
        let reply = desk.cancel("job0", "x");
        let state = JobState::Succeeded;
        assert_eq!(reply, Reply::Cancelled { state });
        desk.restart();
        if let Some(evaluate) = evaluate {
            assert_eq!(desk.beat(&a, &[evaluate.lease]).cancel, [evaluate.lease]);
            assert_eq!(desk.complete(&a, &evaluate), Verdict::Cancelled);
        }
        assert_eq!((generation(&desk), reduced(&desk)), (1, expected(1, &[])));
        assert!(failure(&desk).unwrap().contains("cancelled"));
    }
}

#[test]
fn a_retry_meanwhile_does_nothing_and_the_key_joins() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    desk.submit(job("job0", "s", Some("nightly"), CHUNKS));
    desk.work_off(&a, "first");
    desk.rethreshold("job0", "t", &[], 7.0);
    assert_eq!(desk.retry("job0", "r"), Reply::Retried { tasks: 0 });
    let reply = desk.submit(job("job1", "again", Some("nightly"), CHUNKS));
    assert!(
        matches!(&reply, Reply::Submitted { job, outcome: SubmitOutcome::Attached, .. } if job.as_str() == "job0"),
        "{reply:?}"
    );
    desk.work_off(&a, "anew");
    assert_eq!(
        (generation(&desk), reduced(&desk)),
        (2, expected(1, &[(0, 7.0)]))
    );
}

#[test]
fn what_cannot_be_decided_anew_is_refused_and_nothing_changes() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    let refused = |desk: &mut Desk, runs: &[u32]| {
        let before = desk.rows.clone();
        let reply = desk.rethreshold("job0", "t", runs, 7.0);
        assert_eq!(desk.rows, before);
        match reply {
            Reply::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(refused(&mut desk, &[]), Refusal::UnknownJob(_)));
    desk.submit(job("job0", "s", None, CHUNKS));
    assert!(matches!(
        refused(&mut desk, &[]),
        Refusal::JobOpen {
            state: JobState::Queued,
            ..
        }
    ));
    let list = desk.granted(&a, "list");
    assert!(matches!(
        refused(&mut desk, &[]),
        Refusal::JobOpen {
            state: JobState::Running,
            ..
        }
    ));
    desk.complete(&a, &list);
    desk.cancel("job0", "x");
    assert_eq!(desk.state("job0"), JobState::Cancelled);
    assert!(matches!(refused(&mut desk, &[]), Refusal::JobCancelled(_)));
    desk.retry("job0", "r");
    desk.work_off(&a, "rest");
    assert!(matches!(
        refused(&mut desk, &[0, 1]),
        Refusal::UnknownRun {
            run: 1,
            runs: 1,
            ..
        }
    ));
    desk.retry("job0", "t");
    assert!(matches!(refused(&mut desk, &[]), Refusal::RequestReused(_)));
}

#[test]
fn what_a_retry_cannot_give_scores_is_not_told_to_be_retried() {
    let (mut desk, _) = failed_at(1, &TaskSpec::Evaluate { run: 0 });
    assert_eq!(desk.state("job0"), JobState::Failed);
    for (request, runs) in [("all", &[][..]), ("one", &[0][..])] {
        let reply = desk.rethreshold("job0", request, runs, 7.0);
        assert!(
            matches!(reply, Reply::Refused(Refusal::NotDecided { .. })),
            "{reply:?}"
        );
    }
    let kind = ::job::resolved::JobKind::Export;
    desk.submit(workload::submit("job1", "e", None, kind, 1, CHUNKS, 0));
    let reply = desk.rethreshold("job1", "export", &[], 7.0);
    assert!(
        matches!(reply, Reply::Refused(Refusal::Export(_))),
        "{reply:?}"
    );
}

/// A job of so many runs, of which one task has failed and all others are done that could be.
fn failed_at(runs: u32, spec: &TaskSpec) -> (Desk, Sender) {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    let kind = ::job::resolved::JobKind::Benchmark;
    desk.submit(workload::submit("job0", "s", None, kind, runs, CHUNKS, 0));
    for n in 0.. {
        let task = desk.granted(&a, &format!("{n}"));
        if task.spec == *spec {
            desk.fail(&a, task.lease, FailureClass::InvalidInput);
            break;
        }
        assert_eq!(desk.complete(&a, &task), Verdict::Accepted);
    }
    desk.work_off(&a, "others");
    (desk, a)
}

/// Of two runs the second has failed, its fit.
fn half_failed() -> (Desk, Sender) {
    failed_at(2, &TaskSpec::Fit { run: 1 })
}

#[test]
fn a_partly_failed_job_is_decided_where_it_has_scores_and_a_retry_of_the_rest_is_decided_alike() {
    let (mut desk, a) = half_failed();
    assert_eq!(desk.state("job0"), JobState::Failed);
    let reply = desk.rethreshold("job0", "one", &[1], 7.0);
    assert!(
        matches!(
            reply,
            Reply::Refused(Refusal::RunWithoutScores { run: 1, .. })
        ),
        "{reply:?}"
    );
    assert_eq!(desk.rethreshold("job0", "t", &[], 7.0), rethresholded(2, 1));
    desk.work_off(&a, "anew");
    assert_eq!(
        (desk.state("job0"), generation(&desk)),
        (JobState::Failed, 2)
    );
    desk.retry("job0", "r");
    desk.work_off(&a, "rest");
    assert_eq!(
        (desk.state("job0"), generation(&desk)),
        (JobState::Succeeded, 3)
    );
    assert_eq!(reduced(&desk), expected(2, &[(0, 7.0), (1, 7.0)]));
    desk.restart();
}

#[test]
fn a_cancelled_job_is_not_decided_anew_although_it_has_results() {
    let mut desk = Desk::new();
    let workers = ["a", "b"].map(|name| desk.register(name, 1));
    let kind = ::job::resolved::JobKind::Benchmark;
    desk.submit(workload::submit("job0", "s", None, kind, 2, CHUNKS, 0));
    // Of the second run one score fails, and another one is still under way when all else is done.
    let is_score = |task: &plan::Assignment| {
        task.spec.run() == Some(1) && matches!(task.spec, TaskSpec::Score { .. })
    };
    let mut under_way = None;
    let mut failed = false;
    for n in 0.. {
        let ClaimAnswer::Granted(task) = desk.claim(&workers[0], &format!("a{n}")) else {
            break;
        };
        if !is_score(&task) || (failed && under_way.is_some()) {
            desk.complete(&workers[0], &task);
        } else if under_way.is_none() {
            desk.fail(&workers[0], task.lease, FailureClass::Released);
            under_way = Some(desk.granted(&workers[1], "b"));
        } else {
            desk.fail(&workers[0], task.lease, FailureClass::InvalidInput);
            failed = true;
        }
    }
    desk.work_off(&workers[0], "nothing");
    let under_way = under_way.unwrap();
    assert!(is_score(&under_way));
    assert_eq!(
        (desk.state("job0"), generation(&desk)),
        (JobState::Running, 1)
    );
    desk.cancel("job0", "x");
    desk.fail(&workers[1], under_way.lease, FailureClass::Released);
    assert_eq!(desk.state("job0"), JobState::Cancelled);
    let reply = desk.rethreshold("job0", "t", &[], 7.0);
    assert!(
        matches!(reply, Reply::Refused(Refusal::JobCancelled(_))),
        "{reply:?}"
    );
    desk.retry("job0", "r");
    desk.work_off(&workers[0], "rest");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    assert_eq!(desk.rethreshold("job0", "u", &[], 7.0), rethresholded(3, 2));
    desk.work_off(&workers[0], "anew");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    desk.restart();
}

#[test]
fn a_deadline_counts_from_the_new_threshold_on_and_leaves_everything_as_it_was() {
    let mut desk = Desk::new();
    let a = desk.register("a", 1);
    let mut submit = job("job0", "s", None, CHUNKS);
    workload::must_end_within(&mut submit, 100);
    desk.submit(submit);
    desk.work_off(&a, "first");
    desk.wait(200_000);
    desk.rethreshold("job0", "t", &[], 7.0);
    desk.wait(90_000);
    assert_eq!(desk.state("job0"), JobState::Running);
    desk.restart();
    desk.wait(20_000);
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    assert_eq!((generation(&desk), reduced(&desk)), (1, expected(1, &[])));
    assert!(failure(&desk).unwrap().contains("deadline"));
    desk.rethreshold("job0", "u", &[], 8.0);
    desk.work_off(&a, "again");
    assert_eq!(reduced(&desk), expected(1, &[(0, 8.0)]));
}

#[test]
fn the_first_scores_of_each_run_are_named() {
    let (desk, _) = ended(2);
    let id = "job0".parse().unwrap();
    let named = |runs: &[u32]| desk.core.first_scores(&id, runs).unwrap();
    assert_eq!((named(&[]).len(), named(&[1]).len()), (2, 1));
    assert!(
        named(&[])
            .iter()
            .all(|path| *path == part(path.rsplit_once('/').unwrap().0))
    );
}

//! Searches: the same trials whoever does them and whatever is killed, and no failure that ends one.

use ::job::resolved::JobKind;
use coordinator_core::*;
use plan::{Assignment, TaskSpec};
use serde_json::Value;
use sim::{chance::Chance, workload};
use types::*;

use crate::desk::Desk;

const TRIALS: u32 = 14;
const CHUNKS: u64 = 2;

fn search() -> Submit {
    workload::submit("job0", "s", None, JobKind::Hpo, TRIALS, CHUNKS, 0)
}

fn id() -> JobId {
    "job0".parse().unwrap()
}

/// What each run tries, in order.
fn tried(desk: &Desk) -> Vec<Value> {
    let views = desk.core.run_views(&id()).unwrap();
    let axes = views
        .iter()
        .map(|view| Value::Object(view.run.spec.axes.clone()));
    axes.collect()
}

/// Half of the trials fail, each in its own way whoever tries it: a function of what it tries.
fn failure(assignment: &Assignment) -> Option<FailureClass> {
    let TaskSpec::Fit { .. } = assignment.spec else {
        return None;
    };
    let run = &assignment.runs[0];
    let drawn = workload::objective(&run.spec).value.unwrap();
    run.trial.as_ref()?;
    match (drawn * 1e6) as u64 % 6 {
        0 => Some(FailureClass::InvalidInput),
        1 => Some(FailureClass::TimedOut),
        2 => Some(FailureClass::Stalled),
        _ => None,
    }
}

/// Does a search with so many workers, whose tasks end in an order by chance; the coordinator is restarted now and then, and
/// what a worker had then is done again.
fn done(workers: usize, seed: u64, with_failures: bool) -> Desk {
    let mut chance = Chance::new(seed);
    let mut desk = Desk::new();
    let workers: Vec<Sender> = (0..workers)
        .map(|n| desk.register(&format!("w{n}"), 1))
        .collect();
    desk.submit(search());
    let mut held: Vec<(Sender, Assignment)> = Vec::new();
    for step in 0..10_000 {
        if desk.state("job0").is_terminal() {
            break;
        }
        for worker in &workers {
            let busy = held.iter().any(|(holder, _)| holder == worker);
            if !busy
                && let ClaimAnswer::Granted(assignment) =
                    desk.claim(worker, &format!("{}-{step}", worker.worker))
            {
                held.push((worker.clone(), *assignment));
            }
        }
        if held.is_empty() {
            for id in desk.core.outbox().map(|row| row.id).collect::<Vec<_>>() {
                desk.apply(|_| Event::OutboxDelivered {
                    id,
                    version: Some(1),
                });
            }
            continue;
        }
        let (from, assignment) =
            held.swap_remove(chance.between(0, held.len() as u64 - 1) as usize);
        let failure = failure(&assignment).filter(|_| with_failures);
        if let Some(class) = failure {
            desk.fail(&from, assignment.lease, class);
            desk.wait(61_000);
        } else if chance.hits(0.1) {
            desk.fail(&from, assignment.lease, FailureClass::Lost);
            desk.wait(61_000);
        } else {
            desk.complete(&from, &assignment);
        }
        if chance.hits(0.05) {
            desk.restart();
        }
    }
    desk.restart();
    desk
}

#[test]
fn one_worker_or_many_do_the_same_search() {
    let alone = done(1, 0, false);
    assert_eq!(alone.state("job0"), JobState::Succeeded);
    let expected = tried(&alone);
    // The best once more.
    assert_eq!(expected.len(), TRIALS as usize + 1);
    let submit = search();
    let found = workload::trials(&submit.resolved, &submit.plan);
    let found: Vec<Value> = found
        .into_iter()
        .map(|run| Value::Object(run.spec.axes))
        .collect();
    assert_eq!(expected, found, "as suggested one after the other");
    for seed in 1..12 {
        let workers = [2, 3, 7, 50][seed as usize % 4];
        assert_eq!(
            tried(&done(workers, seed, false)),
            expected,
            "{workers} workers, seed {seed}"
        );
    }
}

#[test]
fn a_trial_that_fails_is_a_result_and_not_the_end() {
    let alone = done(1, 0, true);
    assert_eq!(alone.state("job0"), JobState::Succeeded);
    let views = alone.core.run_views(&id()).unwrap();
    let failed = views
        .iter()
        .filter(|view| view.state == RunState::Failed)
        .count();
    assert!(failed > 2, "{failed}");
    let classes: Vec<FailureClass> = views
        .iter()
        .filter_map(|view| Some(view.error.as_ref()?.class))
        .collect();
    for class in [FailureClass::TimedOut, FailureClass::Stalled] {
        assert!(classes.contains(&class), "{class:?} in {classes:?}");
    }
    assert!(
        views
            .iter()
            .all(|view| view.state != RunState::Failed || view.error.is_some())
    );
    let best = alone.core.job_view(&id()).unwrap().best.unwrap();
    let values = views[..TRIALS as usize]
        .iter()
        .filter(|view| view.state == RunState::Succeeded);
    let values = values.map(|view| workload::objective(&view.run.spec).value.unwrap());
    assert_eq!(values.reduce(f64::max), Some(best.value));
    let last = &views[TRIALS as usize];
    assert_eq!(last.run.trial, None);
    assert_eq!(last.run.spec.axes, views[best.run as usize].run.spec.axes);
    let expected = tried(&alone);
    for seed in 1..8 {
        let other = done([2, 3, 7, 50][seed as usize % 4], seed, true);
        assert_eq!(tried(&other), expected, "seed {seed}");
    }
}

#[test]
fn ten_thousand_trials_are_one_search() {
    let mut desk = Desk::new();
    let worker = desk.register("w", 1);
    let most = hpo::MOST_TRIALS;
    desk.submit(workload::submit(
        "job0",
        "s",
        None,
        JobKind::Hpo,
        most,
        1,
        0,
    ));
    let start = std::time::Instant::now();
    desk.work_off(&worker, "all");
    println!("{most} trials in {:.1?}", start.elapsed());
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    assert_eq!(tried(&desk).len(), most as usize + 1);
    desk.restart();
}

#[test]
fn no_more_trials_than_may_be_are_under_way() {
    let mut desk = Desk::new();
    let workers: Vec<Sender> = (0..8).map(|n| desk.register(&format!("w{n}"), 1)).collect();
    desk.submit(search());
    let list = desk.granted(&workers[0], "list");
    desk.complete(&workers[0], &list);
    let fits: Vec<Assignment> = (0..3)
        .map(|n| desk.granted(&workers[n], &format!("fit-{n}")))
        .collect();
    assert_eq!(desk.claim(&workers[3], "more"), ClaimAnswer::Nothing);
    assert_eq!(tried(&desk).len(), 3);
    // The second fails: the first is still needed for what comes next.
    desk.fail(&workers[1], fits[1].lease, FailureClass::InvalidInput);
    assert_eq!(tried(&desk).len(), 3);
    desk.fail(&workers[0], fits[0].lease, FailureClass::InvalidInput);
    assert_eq!(tried(&desk).len(), 5);
    desk.restart();
}

#[test]
fn a_search_of_which_nothing_comes_fails_and_says_why() {
    let mut desk = Desk::new();
    let worker = desk.register("w", 1);
    desk.submit(search());
    for n in 0.. {
        match desk.claim(&worker, &format!("c{n}")) {
            ClaimAnswer::Granted(assignment) if matches!(assignment.spec, TaskSpec::Fit { .. }) => {
                desk.fail(&worker, assignment.lease, FailureClass::InvalidInput);
            }
            ClaimAnswer::Granted(assignment) => _ = desk.complete(&worker, &assignment),
            _ => break,
        }
    }
    desk.work_off(&worker, "rest");
    assert_eq!(
        tried(&desk).len(),
        TRIALS as usize,
        "all were tried, and none is fitted once more"
    );
    assert_eq!(desk.state("job0"), JobState::Failed);
    let view = desk.core.job_view(&id()).unwrap();
    assert_eq!((view.best, view.results_generation), (None, 1));
    assert_eq!(view.failures[0].1.class, FailureClass::InvalidInput);
    desk.restart();
}

#[test]
fn a_trial_whose_images_cannot_be_listed_is_a_result_and_not_the_end() {
    for concurrency in [1, 2, 5] {
        let mut submit = search();
        let by = &mut submit.resolved.search.as_mut().unwrap().by;
        by.concurrency = concurrency;
        by.space.dimensions[0].name = "data.init_args.category".to_owned();
        let data = &mut submit.resolved.runs[0].data;
        data.init_args.insert("category".to_owned(), "a".into());
        submit.resolved_json = serde_json::to_string(&submit.resolved).unwrap();
        submit.plan = plan::plan(&submit.resolved);
        let mut desk = Desk::new();
        let worker = desk.register("w", 1);
        desk.submit(submit);
        let mut failed = 0;
        for n in 0.. {
            let ClaimAnswer::Granted(assignment) = desk.claim(&worker, &format!("c{n}")) else {
                break;
            };
            let lists = matches!(assignment.spec, TaskSpec::List { .. });
            let run = assignment.runs.first();
            let category = run.and_then(|run| run.spec.data.init_args.get("category"));
            if lists && category == Some(&Value::from("b")) {
                desk.fail(&worker, assignment.lease, FailureClass::InvalidInput);
                failed += 1;
            } else {
                desk.complete(&worker, &assignment);
            }
        }
        desk.work_off(&worker, "rest");
        assert!(failed > 0);
        let runs = tried(&desk).len();
        assert_eq!(runs, TRIALS as usize + 1, "{concurrency} at a time");
        assert_eq!(desk.state("job0"), JobState::Succeeded);
        desk.restart();
    }
}

#[test]
fn a_search_whose_objective_nobody_could_measure_fails_and_says_so() {
    let mut submit = search();
    let search = submit.resolved.search.as_mut().unwrap();
    search.objective.metric = "AUPRO".to_owned();
    submit.resolved_json = serde_json::to_string(&submit.resolved).unwrap();
    let mut desk = Desk::new();
    let worker = desk.register("w", 1);
    desk.submit(submit);
    desk.work_off(&worker, "c");
    assert_eq!(tried(&desk).len(), TRIALS as usize);
    assert_eq!(desk.state("job0"), JobState::Failed);
    let view = desk.core.job_view(&id()).unwrap();
    assert!(view.failures.is_empty() && view.results_generation == 1);
    assert!(view.stopped.unwrap().contains("no trial came to a value"));
    desk.restart();
    assert_eq!(desk.state("job0"), JobState::Failed);
}

#[test]
fn without_images_there_is_no_second_try() {
    let mut desk = Desk::new();
    let worker = desk.register("w", 1);
    desk.submit(search());
    let list = desk.granted(&worker, "list");
    desk.fail(&worker, list.lease, FailureClass::InvalidInput);
    desk.restart();
    desk.work_off(&worker, "rest");
    assert_eq!(
        (tried(&desk).len(), desk.state("job0")),
        (3, JobState::Failed)
    );
    // And with them it goes on where it was.
    desk.retry("job0", "again");
    desk.work_off(&worker, "all");
    desk.restart();
    assert_eq!(
        (tried(&desk).len(), desk.state("job0")),
        (TRIALS as usize + 1, JobState::Succeeded)
    );
    assert_eq!(tried(&desk), tried(&done(1, 0, false)));
}

#[test]
fn a_cancelled_search_begins_nothing_and_goes_on_with_the_same_trials() {
    let mut desk = Desk::new();
    let worker = desk.register("w", 1);
    desk.submit(search());
    for n in 0..20 {
        let task = desk.granted(&worker, &format!("c{n}"));
        desk.complete(&worker, &task);
    }
    let before = tried(&desk).len();
    desk.cancel("job0", "stop");
    assert_eq!(
        (tried(&desk).len(), desk.state("job0")),
        (before, JobState::Cancelled)
    );
    desk.restart();
    desk.retry("job0", "again");
    desk.work_off(&worker, "all");
    assert_eq!(desk.state("job0"), JobState::Succeeded);
    assert_eq!(tried(&desk), tried(&done(1, 0, false)));
}

#[test]
fn another_space_under_the_same_key_is_another_job() {
    let mut desk = Desk::new();
    let keyed = |trials| {
        workload::submit(
            "job0",
            "s",
            Some("night".to_owned()),
            JobKind::Hpo,
            trials,
            CHUNKS,
            0,
        )
    };
    desk.submit(keyed(TRIALS));
    let mut other = keyed(TRIALS + 1);
    (other.id, other.request) = ("job1".parse().unwrap(), "s1".parse().unwrap());
    let Reply::Refused(refusal) = desk.submit(other) else {
        panic!("another space");
    };
    assert!(
        refusal
            .to_string()
            .contains("belongs to job job0 with another content"),
        "{refusal}"
    );
}

#[test]
fn a_search_is_not_decided_by_another_threshold() {
    let mut desk = done(1, 0, false);
    let Reply::Refused(refusal) = desk.rethreshold("job0", "new", &[], 1.0) else {
        panic!("its trials were chosen with theirs");
    };
    assert!(refusal.to_string().contains("is a search"), "{refusal}");
}

//! Searches: the same trials on one worker and on three whose executors are killed, failures that are rows, and what is shown.

use std::hash::{BuildHasher, RandomState};

use serde_json::Value;

use crate::hangs::{executor_at_fit, wait_for_state};
use crate::kills::wait_for_socket;
use crate::processes::{Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{LIMIT, Sandbox};

on_both_queues!(
    one_worker_and_three_of_which_any_program_is_killed_do_the_same_search,
    a_search_shows_its_best_which_was_chosen_on_validation_and_measured_once_on_test,
    trials_that_fail_are_rows_with_their_errors_and_all_of_them_a_failed_job,
    a_trial_that_takes_too_long_is_a_row_and_the_search_goes_on,
    halving_learns_from_a_part_of_the_images_first,
    sweep_files_run_as_they_are_and_options_of_trackers_are_said_to_do_nothing,
    every_form_of_sweep_files_runs,
    a_search_whose_objective_nobody_can_measure_fails,
    another_space_under_the_same_key_is_refused,
);

const SEARCH: &str = "\
kind: hpo
name: search
model: {class_path: Padim, init_args: {backbone: resnet18, pre_trained: false}}
data: {class_path: MVTec, init_args: {root: ./data, category: tiny, image_size: 64, val_split_mode: from_test}}
metrics: {image: [AUROC, F1Score], pixel: [AUROC]}
search:
  method: tpe
  objective: pixel_AUROC
  trials: 12
  concurrency: 3
  refit: true
  parameters:
    layers: {values: [[layer1], [layer2], [layer1, layer2], [layer2, layer3]]}
    n_features: {min: 2, max: 40}
output: ./out
";

fn sandbox(file: &str) -> Sandbox {
    let sandbox = Sandbox::with_job(12, 8);
    sandbox.write("search.yaml", file);
    sandbox
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

/// What each trial tried and what it came to, to the last digit.
fn trials(sandbox: &Sandbox) -> Vec<String> {
    let trials = sandbox.json(&["get", "trials", "last"]);
    let line = |trial: &Value| format!("{} {}", trial["parameters"], trial["value"]);
    list(&trials).iter().map(line).collect()
}

fn state(sandbox: &Sandbox) -> String {
    let job = sandbox.json(&["describe", "last"]);
    job["job"]["state"].as_str().unwrap_or_default().to_owned()
}

/// A number below this, another one each time.
fn any(below: usize) -> usize {
    RandomState::new().hash_one(()) as usize % below
}

/// Who is killed, in an order by chance. One executor only: a task that breaks executors on two workers is not tried again.
fn victims() -> Vec<&'static str> {
    let mut left = vec!["executor", "worker", "coordinator", "worker"];
    let mut order = Vec::new();
    while !left.is_empty() {
        order.push(left.swap_remove(any(left.len())));
    }
    order
}

fn one_worker_and_three_of_which_any_program_is_killed_do_the_same_search(queue: Queue) {
    let alone = sandbox(SEARCH);
    alone
        .ctl(&["run", "search.yaml"])
        .expect(0)
        .says(&["best 0."]);
    let expected = trials(&alone);
    assert_eq!(expected.len(), 12);
    assert!(
        expected.iter().all(|trial| !trial.ends_with("null")),
        "{expected:#?}"
    );

    let many = sandbox(SEARCH).on(queue);
    let names = ["a", "b", "c"];
    let worker = |name: &str| many.start("worker", &["--name", name]);
    let mut coordinator = many.start("coordinator", &[]);
    wait_for_socket(&many);
    let mut workers = names.map(worker);
    many.ctl(&["submit", "search.yaml"]).expect(0);
    let victims = victims();
    for (ended, victim) in [1, 4, 7, 9].into_iter().zip(&victims) {
        until(&format!("{ended} trials"), LIMIT, || {
            let trials = many.json(&["get", "trials", "last"]);
            let done = list(&trials)
                .iter()
                .filter(|trial| trial["state"] == "succeeded")
                .count();
            (done >= ended).then_some(())
        });
        let place = any(names.len());
        println!("after {ended} trials: {victim} (worker {})", names[place]);
        match *victim {
            "executor" => workers[place].program("executor").signal(Signal::KILL),
            "worker" => {
                workers[place].signal(Signal::KILL);
                workers[place].process().wait_for_end(LIMIT);
                workers[place] = worker(names[place]);
            }
            _ => {
                coordinator.signal(Signal::KILL);
                coordinator.process().wait_for_end(LIMIT);
                std::fs::remove_file(many.path("s/coordinator.sock")).unwrap();
                coordinator = many.start("coordinator", &[]);
                wait_for_socket(&many);
            }
        }
    }
    until("the end of the search", LIMIT, || {
        (state(&many) == "succeeded").then_some(())
    });
    // Paths of the data differ; they are no parameter.
    assert_eq!(trials(&many), expected, "killed: {victims:?}");
}

fn a_search_shows_its_best_which_was_chosen_on_validation_and_measured_once_on_test(queue: Queue) {
    let sandbox = sandbox(SEARCH).served(queue);
    let run = sandbox.ctl(&["run", "search.yaml"]);
    run.expect(0);
    assert!(
        run.stdout
            .contains("on the split validation, which chose it"),
        "{}",
        run.stdout
    );
    let best = sandbox.json(&["results", "last", "--best"]);
    assert_eq!(
        (&best["chosen_on"], &best["refit"]["measured_on"]),
        (&Value::from("validation"), &Value::from("test"))
    );
    let trials = sandbox.json(&["get", "trials", "last"]);
    let values = list(&trials)
        .iter()
        .filter_map(|trial| trial["value"].as_f64());
    assert_eq!(values.reduce(f64::max), best["best"]["value"].as_f64());
    // Rows of trials say that they are of validation images; of the test images there is one run.
    let rows = sandbox.json(&["results", "last", "--metrics"]);
    for row in list(&rows) {
        let parameters: Value = serde_json::from_str(row["parameters"].as_str().unwrap()).unwrap();
        let of_trial = row["run"].as_u64().unwrap() < 12;
        assert_eq!(parameters["measured_on"] == "validation", of_trial, "{row}");
        assert_eq!(parameters["chosen_on"] == "validation", !of_trial, "{row}");
        if row["metric"] == "F1Score" {
            assert_eq!(row["threshold_split"], "validation", "{row}");
        }
    }
    let scores = sandbox.json(&["results", "last", "--scores"]);
    let test: Vec<&Value> = list(&scores)
        .iter()
        .filter(|row| row["split"] == "test")
        .map(|row| &row["run"])
        .collect();
    assert!(
        !test.is_empty() && test.iter().all(|run| **run == 12),
        "{test:?}"
    );
    // The best is a model like any other.
    let models = sandbox.json(&["get", "models"]);
    assert_eq!(
        (list(&models).len(), &models[0]["run"]),
        (1, &Value::from(12))
    );
    sandbox.ctl(&["verify", "last"]).expect(0);
    sandbox
        .ctl(&["report", "last", "--to", "report.html"])
        .expect(0);
    let report = std::fs::read_to_string(sandbox.path("report.html")).unwrap();
    for part in [
        "History",
        "Parallel coordinates",
        "What mattered",
        "n_features",
    ] {
        assert!(report.contains(part), "{part}");
    }
    // Trials share what the frozen network saw.
    let described = sandbox.json(&["describe", "last"]);
    let reused = |run: &Value| run["result"]["reused"]["images"].as_u64().unwrap_or(0);
    let reused: u64 = list(&described["runs"]).iter().map(reused).sum();
    assert!(reused > 100, "{reused}");
}

fn halving_learns_from_a_part_of_the_images_first(queue: Queue) {
    let halving = SEARCH.replace(
        "method: tpe",
        "method: successive_halving\n  budget: {min: 0.25, factor: 2}",
    );
    let sandbox = sandbox(&halving).served(queue);
    sandbox.ctl(&["run", "search.yaml"]).expect(0);
    let trials = sandbox.json(&["get", "trials", "last"]);
    let shares: Vec<f64> = list(&trials)
        .iter()
        .map(|trial| trial["share"].as_f64().unwrap())
        .collect();
    assert_eq!(
        shares,
        [[0.25; 7].as_slice(), &[0.5; 3], &[1.0; 1]].concat()
    );
    let fits = sandbox.json(&["results", "last", "--timings"]);
    let items = |run: u64| {
        let of_run =
            |row: &&Value| row["run"] == run && row["kind"] == "fit" && row["stage"] == "spool";
        list(&fits)
            .iter()
            .find(of_run)
            .map(|row| row["items"].as_u64().unwrap())
    };
    assert_eq!(
        [items(0), items(7), items(10)],
        [Some(3), Some(6), Some(12)]
    );
}

fn trials_that_fail_are_rows_with_their_errors_and_all_of_them_a_failed_job(queue: Queue) {
    let sandbox = sandbox(SEARCH).served(queue);
    // Nothing can be learned from it.
    std::fs::write(sandbox.path("data/tiny/train/good/0000.png"), "no image").unwrap();
    sandbox
        .ctl(&["run", "search.yaml"])
        .expect(1)
        .says(&["invalid_input", "0000.png"]);
    let trials = sandbox.json(&["get", "trials", "last"]);
    assert_eq!(list(&trials).len(), 12, "each is tried");
    for trial in list(&trials) {
        assert_eq!(
            (&trial["state"], &trial["value"]),
            (&Value::from("failed"), &Value::Null)
        );
        assert!(
            trial["error"].as_str().unwrap().contains("0000.png"),
            "{trial}"
        );
    }
    let best = sandbox.ctl(&["results", "last", "--best"]);
    assert!(
        best.stdout
            .contains("no trial came to a value of pixel_AUROC"),
        "{}",
        best.stdout
    );
}

fn a_trial_that_takes_too_long_is_a_row_and_the_search_goes_on(queue: Queue) {
    let search = SEARCH
        .replace("trials: 12", "trials: 3")
        .replace("concurrency: 3", "concurrency: 1");
    // So many images that a trial is still fitted when it is looked for; the limit is every task's.
    let sandbox = Sandbox::with_job(300, 8).on(queue);
    sandbox.write(
        "search.yaml",
        &format!("{search}resources: {{timeout: 20s}}\n"),
    );
    let _coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let worker = sandbox.start("worker", &["--name", "box"]);
    sandbox.ctl(&["submit", "search.yaml"]).expect(0);
    executor_at_fit(&sandbox, &worker, 1).signal(Signal::STOP);
    wait_for_state(&sandbox, "succeeded");
    let trials = sandbox.json(&["get", "trials", "last"]);
    let [slow, others @ ..] = &list(&trials)[..] else {
        panic!("no trials")
    };
    assert_eq!((&slow["state"], others.len()), (&"failed".into(), 2));
    let error = slow["error"].as_str().unwrap();
    assert!(error.contains("resources.timeout"), "{slow}");
    assert!(
        others.iter().all(|trial| trial["value"].is_f64()),
        "{trials}"
    );
    // Not tried again; then the other trials and the best once more.
    assert_eq!(
        sandbox.outcomes("fit"),
        ["timed_out", "accepted", "accepted", "accepted"]
    );
}

fn sweep_files_run_as_they_are_and_options_of_trackers_are_said_to_do_nothing(queue: Queue) {
    let sandbox = Sandbox::with_job(12, 8).served(queue);
    sandbox.write(
        "sweep.yaml",
        "\
observation_budget: 3
method: random
metric: {name: pixel_AUROC, goal: maximize}
parameters:
  data:
    class_path: anomalib.data.MVTec
    init_args: {root: ./data, category: tiny, image_size: {values: [48, 64]}}
  model:
    class_path: anomalib.models.Padim
    init_args: {pre_trained: false, backbone: resnet18, n_features: {min: 2, max: 20}}
",
    );
    sandbox
        .ctl(&[
            "hpo",
            "--backend",
            "WANDB",
            "--project",
            "night",
            "--entity",
            "me",
            "--sweep_config",
            "sweep.yaml",
        ])
        .expect(0)
        .says(&[
            "--backend is taken and not used",
            "--entity is taken and not used",
            "half of the test images are kept for validation",
        ]);
    let jobs = sandbox.json(&["get", "jobs"]);
    assert_eq!(
        (&jobs[0]["name"], &jobs[0]["kind"]),
        (&Value::from("night"), &Value::from("hpo"))
    );
    assert_eq!(trials(&sandbox).len(), 3);
    sandbox
        .ctl(&["hpo", "--sweep_config", "job.yaml"])
        .expect(2)
        .says(&["searches nothing"]);
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    sandbox
        .ctl(&["get", "trials", "last"])
        .expect(2)
        .says(&["is no search"]);
}

fn every_form_of_sweep_files_runs(queue: Queue) {
    const DATA: &str = "data: {class_path: anomalib.data.MVTec, init_args: {root: ./data, category: tiny, image_size: ";
    const MODEL: &str = "model: {class_path: anomalib.models.Padim, init_args: {pre_trained: false, backbone: resnet18}}";
    const OLD_DATA: &str = "dataset: {root: ./data, category: tiny, image_size: ";
    const OLD_MODEL: &str = "model: {pre_trained: false, backbone: resnet18}";
    let comet = |data: &str, ends: &str, model: &str| {
        format!(
            "algorithm: random\nspec: {{maxCombo: 3, metric: pixel_AUROC, objective: maximize}}\nparameters:\n  \
             {data}{{type: discrete, values: [48, 64]}}{ends}\n  {model}\n"
        )
    };
    let old_wandb = format!(
        "observation_budget: 3\nmethod: random\nmetric: {{name: pixel_AUROC, goal: maximize}}\nparameters:\n  \
         {OLD_DATA}{{values: [48, 64]}}}}\n  {OLD_MODEL}\n"
    );
    for (text, of_model) in [
        (comet(DATA, "}}", MODEL), &[][..]),
        (comet(OLD_DATA, "}", OLD_MODEL), &["--model", "padim"]),
        (old_wandb, &["--model", "padim"]),
    ] {
        let sandbox = sandbox(&text).served(queue);
        let command = [&["hpo", "--sweep_config", "search.yaml"], of_model].concat();
        sandbox.ctl(&command).expect(0);
        assert_eq!(trials(&sandbox).len(), 3, "{text}");
        assert!(trials(&sandbox)[0].contains("image_size"), "{text}");
    }
}

fn a_search_whose_objective_nobody_can_measure_fails(queue: Queue) {
    let sandbox = sandbox(SEARCH).served(queue);
    for folder in ["test", "ground_truth"] {
        for entry in std::fs::read_dir(sandbox.path(&format!("data/tiny/{folder}"))).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != "good" {
                std::fs::remove_dir_all(entry.path()).unwrap();
            }
        }
    }
    sandbox
        .ctl(&["run", "search.yaml"])
        .expect(1)
        .says(&["no trial came to a value"]);
    assert_eq!(state(&sandbox), "failed");
    let trials = sandbox.json(&["get", "trials", "last"]);
    for trial in list(&trials) {
        assert_eq!(trial["value"], Value::Null);
        assert!(!trial["error"].as_str().unwrap().is_empty(), "{trial}");
    }
}

fn another_space_under_the_same_key_is_refused(queue: Queue) {
    let sandbox = sandbox(SEARCH).served(queue);
    sandbox
        .ctl(&["run", "search.yaml", "--key", "night"])
        .expect(0);
    sandbox
        .ctl(&[
            "run",
            "search.yaml",
            "--key",
            "night",
            "--set",
            "search.trials=13",
        ])
        .expect(2)
        .says(&["belongs to job", "with another content"]);
    sandbox
        .ctl(&["run", "search.yaml", "--key", "night"])
        .expect(0)
        .says(&["has succeeded already"]);
}

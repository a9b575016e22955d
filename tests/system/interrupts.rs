//! Ctrl-C in `ctl run`: the first drains, the second cancels, and the same command goes on.

use crate::images;
use crate::kills::run_to_fit;
use crate::processes::{Process, Signal};
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{Ended, JOB, LIMIT, SOON, Sandbox, files};

on_both_queues!(
    the_first_interrupt_finishes_what_runs_and_what_it_says_goes_on,
    the_second_interrupt_cancels_and_what_it_says_computes_what_is_missing,
    a_retry_computes_only_the_runs_that_failed,
    an_interrupted_export_or_drawing_says_what_goes_on_with_its_job_and_what_begins_another,
);

/// With a job of two runs, and a worker that `ctl run` brings along: that is the one that an interrupt drains.
fn sandbox(queue: Queue) -> Sandbox {
    let sandbox = Sandbox::with_job(300, 3).coordinated(queue);
    sandbox.write("job.yaml", &JOB.replace("seed: 0", "seed: {grid: [0, 1]}"));
    sandbox
}

/// The command, without `ctl`, that one was told to type after these words.
#[track_caller]
fn told<'a>(ended: &'a Ended, after: &str) -> &'a str {
    let (_, command) = ended.stderr.split_once(after).unwrap();
    let (command, _) = command.split_once('`').unwrap();
    command.strip_prefix("ctl ").unwrap()
}

/// Types what an interrupted command said that goes on. Beside other people's jobs the same file would be another job.
#[track_caller]
fn go_on(sandbox: &Sandbox, queue: Queue, interrupted: &Ended) {
    let command = told(interrupted, "go on with `");
    let words: Vec<&str> = command.split(' ').collect();
    let expected = match queue {
        Queue::Embedded => "run job.yaml".to_owned(),
        Queue::RabbitMq => format!("retry {} --wait", sandbox.job_ids()[0]),
    };
    // And where: the state folder is not the default one.
    assert!(
        command.starts_with(&format!("{expected} --state ")),
        "{command}"
    );
    sandbox.ctl(&words).expect(0);
    assert_eq!(sandbox.job_ids().len(), 1);
}

fn the_first_interrupt_finishes_what_runs_and_what_it_says_goes_on(queue: Queue) {
    let sandbox = sandbox(queue);
    let mut run = run_to_fit(&sandbox, &[]);
    let executor = run.program("executor");
    let programs = run.programs();
    // Held until the wish to drain has arrived.
    executor.signal(Signal::STOP);
    run.signal(Signal::INT);
    run.wait_for_word("draining");
    executor.signal(Signal::CONT);
    let interrupted = run.wait(LIMIT);
    interrupted.expect(130);
    programs
        .iter()
        .for_each(|program: &Process| program.wait_for_end(SOON));
    let fits: Vec<String> = sandbox.outcomes("fit");
    assert_eq!(
        fits,
        ["accepted"],
        "the running one was finished, no other begun"
    );
    go_on(&sandbox, queue, &interrupted);
    assert_eq!(sandbox.outcomes("fit"), ["accepted", "accepted"]);
}

fn the_second_interrupt_cancels_and_what_it_says_computes_what_is_missing(queue: Queue) {
    let sandbox = sandbox(queue);
    let mut run = run_to_fit(&sandbox, &[]);
    let executor = run.program("executor");
    let programs = run.programs();
    executor.signal(Signal::STOP);
    run.signal(Signal::INT);
    run.wait_for_word("draining");
    run.signal(Signal::INT);
    run.wait_for_word("cancelling");
    executor.signal(Signal::CONT);
    let interrupted = run.wait(LIMIT);
    interrupted.expect(130);
    programs
        .iter()
        .for_each(|program: &Process| program.wait_for_end(SOON));
    let jobs = sandbox.json(&["get", "jobs"]);
    assert_eq!(jobs[0]["state"], "cancelled");
    go_on(&sandbox, queue, &interrupted);
    let lists = sandbox.outcomes("list").len();
    assert_eq!(lists, 1, "what had succeeded stays");
    let scores = sandbox.json(&["results", "--last", "--scores"]);
    assert_eq!(scores.as_array().unwrap().len(), 12);
}

fn a_retry_computes_only_the_runs_that_failed(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).served(queue);
    images::mvtec(&sandbox.path("data/other"), 6, 3);
    let bad = sandbox.path("data/other/train/good/0002.png");
    images::write_truncated(&bad);
    sandbox.write(
        "job.yaml",
        &JOB.replace("category: tiny", "category: {grid: [tiny, other]}"),
    );
    sandbox
        .ctl(&["run", "job.yaml"])
        .expect(1)
        .says(&["other/train/good/0002.png"]);
    let metrics = sandbox.json(&["results", "--last", "--metrics"]);
    let with_value = |run: u64| {
        metrics
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["run"] == run)
            .all(|row| row["value"].is_number())
    };
    assert!(with_value(0) && !with_value(1), "{metrics}");

    // Nothing was mended: it fails again, with the same words.
    sandbox
        .ctl(&["retry", "last", "--wait"])
        .expect(1)
        .says(&["other/train/good/0002.png"]);
    let fits = sandbox.tasks("fit");
    let attempts: Vec<usize> = fits
        .iter()
        .map(|fit| fit["attempts"].as_array().unwrap().len())
        .collect();
    assert_eq!(attempts, [1, 2]);

    // Mended files are other files: a job computes on what it listed, and says so.
    images::mvtec(&sandbox.path("data/other"), 6, 3);
    sandbox
        .ctl(&["retry", "last", "--wait"])
        .expect(1)
        .says(&["changed since it was listed", "a new job lists it again"]);
    assert_eq!(sandbox.job_ids().len(), 1);
}

fn an_interrupted_export_or_drawing_says_what_goes_on_with_its_job_and_what_begins_another(
    queue: Queue,
) {
    let sandbox = Sandbox::with_job(6, 3).coordinated(queue);
    sandbox.write("train.yaml", &JOB.replace("kind: benchmark", "kind: train"));
    sandbox.ctl(&["run", "train.yaml"]).expect(0);
    let trained = sandbox.job_ids().remove(0);
    for words in [
        ["export", "tiny", "--engine", "onnx", "--to", "files"],
        ["render", &trained, "--top", "2", "--to", "pictures"],
    ] {
        let run = sandbox.start("ctl", &words);
        // Held before it has done anything.
        run.program("executor").signal(Signal::STOP);
        run.signal(Signal::TERM);
        let interrupted = run.wait(LIMIT);
        interrupted.expect(130);
        let begun = sandbox.job_ids();
        let follows = |command: &str, expected: &str| {
            assert!(
                command.starts_with(&format!("{expected} --state ")),
                "{command}"
            );
            let words: Vec<&str> = command.split(' ').collect();
            sandbox.ctl(&words).expect(0);
        };
        let go_on = format!("retry {} --wait", begun[0]);
        follows(told(&interrupted, "go on with `"), &go_on);
        assert_eq!(sandbox.job_ids(), begun);
        let folder = sandbox.path(words[5]);
        assert!(!folder.exists());
        follows(told(&interrupted, "begin anew with `"), &words.join(" "));
        assert_eq!(sandbox.job_ids().len(), begun.len() + 1);
        assert!(!files(&folder).is_empty());
    }
}

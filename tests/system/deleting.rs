//! Jobs that a user waits for, watches, completes the ids of, and deletes.

use std::fs;

use crate::kills::wait_for_socket;
use crate::processes::{Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{JOB, LIMIT, SOON, Sandbox, files};

on_both_queues!(
    a_deleted_job_is_gone_but_for_its_model,
    a_watched_list_shows_what_changes_and_a_shell_completes_ids,
);

fn a_deleted_job_is_gone_but_for_its_model(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).on(queue);
    sandbox.write("job.yaml", &JOB.replace("kind: benchmark", "kind: train"));
    // One that is not over yet: nobody works.
    let coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    sandbox
        .ctl(&["submit", "job.yaml", "--key", "tonight-7"])
        .expect(0);
    let refused = sandbox.ctl(&["delete", "last"]);
    refused
        .expect(2)
        .says(&["only jobs that have ended are deleted", "ctl cancel"]);
    let late = sandbox.ctl(&["wait", "last", "--timeout", "1ms"]);
    late.expect(1).says(&["has ended within 0.001 s"]);

    let _worker = sandbox.start("worker", &["--name", "box"]);
    let waited = sandbox.ctl(&["wait", "tonight-7"]);
    waited.expect(0);
    assert!(waited.stdout.contains("succeeded"), "{}", waited.stdout);
    let names = sandbox.ctl(&["get", "jobs", "-o", "name"]).stdout;
    let id = names.trim().to_owned();
    assert_eq!(id.len(), 8, "{names}");
    // Its key may look like a task's id.
    let described = sandbox.json(&["describe", "tonight-7"]);
    assert_eq!(described["job"]["id"], id.as_str());
    let logs = sandbox.ctl(&["logs", "tonight-7"]).stdout;
    assert!(logs.contains(&format!("task={id}-0003")), "{logs}");
    let csv = sandbox.ctl(&["get", "tasks", "last", "-o", "csv"]).stdout;
    assert!(csv.starts_with("tasks,kind,run,state"), "{csv}");
    sandbox
        .ctl(&["describe", "last", "-o", "csv"])
        .expect(2)
        .says(&["this is no table"]);

    let results = sandbox.path(&format!("out/jobs/{id}/results"));
    assert!(!files(&results).is_empty());
    let deleted = sandbox.ctl(&["delete", "last"]);
    deleted.expect(0);
    assert!(
        deleted.stdout.contains("models that it trained stay"),
        "{}",
        deleted.stdout
    );
    sandbox.ctl(&["describe", &id]).expect(3);
    assert_eq!(sandbox.ctl(&["get", "jobs", "-o", "name"]).stdout, "");
    // What is left is what the model is made of: one attempt fitted it, one evaluated it.
    let folder = sandbox.path(&format!("out/jobs/{id}"));
    let left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|one| one.unwrap().file_name())
        .collect();
    assert_eq!(left, ["tasks"]);
    let attempts = fs::read_dir(folder.join("tasks")).unwrap();
    assert_eq!(attempts.count(), 2);
    let model = sandbox.ctl(&["get", "models", "-o", "name"]).stdout;
    sandbox.ctl(&["describe", "model", model.trim()]).expect(0);
    sandbox
        .ctl(&["predict", model.trim(), "data/tiny/test", "--to", "out"])
        .expect(0);

    // The key is free, and who asks for the job again gets a new one; also after a restart.
    coordinator.signal(Signal::TERM);
    coordinator.wait(SOON).expect(0);
    let again = sandbox.ctl(&["run", "job.yaml", "--key", "tonight-7"]);
    again.expect(0);
    assert!(!sandbox.job_ids().contains(&id));
}

fn a_watched_list_shows_what_changes_and_a_shell_completes_ids(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).on(queue);
    let _coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let watching = sandbox.start("ctl", &["get", "jobs", "-w"]);
    until("the empty list", LIMIT, || {
        watching.stdout().contains("no jobs").then_some(())
    });
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    until("the new job", LIMIT, || {
        watching.stdout().contains("queued").then_some(())
    });
    sandbox.ctl(&["cancel", "last"]).expect(0);
    until("its end", LIMIT, || {
        watching.stdout().contains("cancelled").then_some(())
    });
    watching.signal(Signal::INT);
    watching.wait(SOON).expect(0);

    let [id] = &sandbox.job_ids()[..] else {
        panic!("one job")
    };
    let completed = |words: &[&str]| {
        let mut shell = sandbox.command("ctl");
        shell.env("CTL_COMPLETE", "fish").arg("--").args(words);
        String::from_utf8(shell.output().unwrap().stdout).unwrap()
    };
    let jobs = completed(&["ctl", "describe", ""]);
    assert!(jobs.contains(&format!("{id}\tbenchmark ")), "{jobs}");
    let tasks = completed(&["ctl", "logs", &format!("{id}-")]);
    assert!(tasks.contains(&format!("{id}-0000\t")), "{tasks}");
    for shell in ["bash", "zsh", "fish"] {
        let script = sandbox.ctl(&["completions", shell]);
        script.expect(0);
        assert!(script.stdout.contains("CTL_COMPLETE"), "{}", script.stdout);
    }
}

//! What jobs reach of a machine's files where others than its users may submit them.

use std::fs;
use std::os::unix::fs::symlink;

use crate::cluster::token;
use crate::kills::wait_for_socket;
use crate::processes::until;
use crate::sandbox::{JOB, LIMIT, Running, Sandbox};

/// A coordinator that other machines reach, and a worker that knows it by its socket only.
fn open_cluster(sandbox: &Sandbox, arguments: &[&str]) -> [Running; 2] {
    token(sandbox, "ann", "user");
    let listen = [
        "--listen",
        "0.0.0.0:0",
        "--insecure",
        "--tokens",
        "tokens.yaml",
    ];
    let coordinator = sandbox.start("coordinator", &[&listen, arguments].concat());
    wait_for_socket(sandbox);
    let worker = sandbox.start("worker", &[&["--name", "box"], arguments].concat());
    // Before, a command would bring its own, without this configuration.
    until("a live worker", LIMIT, || {
        (sandbox.json(&["get", "workers"])[0]["state"] == "live").then_some(())
    });
    [worker, coordinator]
}

#[test]
fn jobs_of_an_open_coordinator_reach_no_file_unless_its_place_is_declared() {
    let sandbox = Sandbox::with_job(6, 3);
    let programs = open_cluster(&sandbox, &[]);
    sandbox.ctl(&["submit", "job.yaml"]).expect(2).says(&[
        "/out lies below no folder",
        "none is declared",
        "`roots`",
    ]);
    sandbox.expect_no_output();
    programs.into_iter().for_each(Running::end);
}

#[test]
fn jobs_reach_what_lies_below_declared_roots_and_nothing_else() {
    let sandbox = Sandbox::with_job(6, 3);
    let folder = sandbox.path("").canonicalize().unwrap();
    let folder = folder.display();
    sandbox.write(
        "config.yaml",
        &format!("files: {{roots: [{folder}/data, {folder}/out]}}\n"),
    );
    let programs = open_cluster(&sandbox, &["--config", "config.yaml"]);
    sandbox.ctl(&["submit", "job.yaml", "--wait"]).expect(0);
    // What a worker reads.
    fs::create_dir(sandbox.path("private")).unwrap();
    fs::rename(sandbox.path("data/tiny"), sandbox.path("private/tiny")).unwrap();
    symlink(sandbox.path("private/tiny"), sandbox.path("data/tiny")).unwrap();
    for root in ["./private", "./data", "./out/../private"] {
        let job = JOB.replace("root: ./data", &format!("root: {root}"));
        sandbox.write("job.yaml", &job);
        let ended = sandbox.ctl(&["submit", "job.yaml", "--wait"]);
        ended.expect(1).says(&[
            "lies below no folder that jobs may use",
            &format!("{folder}/data, {folder}/out"),
        ]);
    }
    // What the coordinator writes.
    for output in ["./private/out", "./out/../private/out"] {
        let job = JOB.replace("output: ./out", &format!("output: {output}"));
        sandbox.write("job.yaml", &job);
        sandbox
            .ctl(&["submit", "job.yaml"])
            .expect(2)
            .says(&["private/out lies below no folder"]);
    }
    assert!(!sandbox.path("private/out").exists());
    programs.into_iter().for_each(Running::end);
}

#[test]
fn ctl_itself_reads_what_its_user_may() {
    let sandbox = Sandbox::with_job(6, 3);
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    sandbox.write("config.yaml", "files: {roots: [/nowhere]}\n");
    let place = sandbox.json(&["results", "last"])["results"].clone();
    let job = place.as_str().unwrap().split("/results/").next().unwrap();
    let verified = sandbox.start("ctl", &["verify", job, "--config", "config.yaml"]);
    verified.wait(LIMIT).expect(0);
    sandbox
        .ctl(&["run", "job.yaml", "--new", "--config", "config.yaml"])
        .expect(2)
        .says(&["there are /nowhere"]);
}

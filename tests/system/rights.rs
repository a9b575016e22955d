//! Folders that may not be read or written, as a user who is refused something; and programs copied elsewhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::images;
use crate::sandbox::{Ended, JOB, Sandbox, programs};

/// Root is refused nothing.
const NOBODY: u32 = 65534;

/// A sandbox whose programs are copies below /tmp, run by somebody without special rights.
fn unprivileged() -> Sandbox {
    let mut sandbox = Sandbox::with_job(6, 3);
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["ctl", "coordinator", "worker", "executor"] {
        fs::copy(programs().join(program), bin.join(program)).unwrap();
    }
    let libraries = programs().join("lib").canonicalize().unwrap();
    fs::create_dir(bin.join("lib")).unwrap();
    for library in fs::read_dir(libraries).unwrap().flatten() {
        let to = bin.join("lib").join(library.file_name());
        // Hundreds of megabytes: a link where the folders share a disk and it is a file, else a copy.
        if fs::hard_link(library.path(), &to).is_err() {
            let from = library.path().canonicalize().unwrap();
            fs::copy(from, to).unwrap();
        }
    }
    sandbox.use_programs(bin);
    if fs::metadata(sandbox.path("")).unwrap().uid() == 0 {
        sandbox.user = Some(NOBODY);
        allow(&sandbox.path(""), 0o755);
        for folder in ["s", "out"] {
            fs::create_dir(sandbox.path(folder)).unwrap();
            std::os::unix::fs::chown(sandbox.path(folder), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    sandbox
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn no_panic(ended: &Ended) {
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn the_programs_run_when_copied_elsewhere_with_their_libraries() {
    let sandbox = unprivileged();
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    assert!(sandbox.json(&["results", "--last", "--metrics"])[0]["value"].is_number());
}

#[test]
fn an_unreadable_folder_is_named() {
    let sandbox = unprivileged();
    let locked = sandbox.path("data/tiny/test/bad");
    allow(&locked, 0o000);
    let ended = sandbox.ctl(&["run", "job.yaml"]);
    allow(&locked, 0o755);
    ended.expect(1).says(&["test/bad", "ermission"]);
    no_panic(&ended);
    sandbox.expect_nothing_half_written();
}

/// A folder whose names may be read, but not its files: no image may vanish from training or test without a word.
#[track_caller]
fn is_named_where_it_cannot_be_entered(sandbox: &Sandbox, folder: &str) {
    let locked = sandbox.path(folder);
    allow(&locked, 0o644);
    let ended = sandbox.ctl(&["run", "job.yaml"]);
    allow(&locked, 0o755);
    // Whichever of its files comes first.
    let file = format!("no permission to look at file://{}/000", locked.display());
    ended.expect(1).says(&[&file, "invalid_input"]);
    no_panic(&ended);
    sandbox.expect_nothing_half_written();
}

#[test]
fn files_in_a_folder_that_may_not_be_entered_are_named() {
    let sandbox = unprivileged();
    for folder in ["train/good", "test/good", "ground_truth/bad"] {
        is_named_where_it_cannot_be_entered(&sandbox, &format!("data/tiny/{folder}"));
    }
}

#[test]
fn files_in_a_normal_dir_that_may_not_be_entered_are_named() {
    let sandbox = unprivileged();
    images::folder(&sandbox.path("data/mine"), 1, 1);
    sandbox.write(
        "job.yaml",
        "\
kind: benchmark
name: mine
model: {class_path: Padim, init_args: {backbone: resnet18, layers: [layer1, layer2], n_features: 8, pre_trained: false}}
data: {class_path: Folder, init_args: {name: mine, root: ./data/mine, normal_dir: good, abnormal_dir: bad, image_size: 64, task: classification}}
metrics: {image: [AUROC]}
task: classification
output: ./out
",
    );
    is_named_where_it_cannot_be_entered(&sandbox, "data/mine/good");
}

#[test]
fn an_output_folder_that_may_not_be_written_is_named_before_anything_is_computed() {
    let sandbox = unprivileged();
    fs::create_dir_all(sandbox.path("out")).unwrap();
    allow(&sandbox.path("out"), 0o555);
    if sandbox.user.is_some() {
        std::os::unix::fs::chown(sandbox.path("out"), Some(0), Some(0)).unwrap();
    }
    let ended = sandbox.ctl(&["run", "job.yaml"]);
    ended.expect(5).says(&["out", "ermission"]);
    no_panic(&ended);
    assert_eq!(fs::read_dir(sandbox.path("out")).unwrap().count(), 0);
    allow(&sandbox.path("out"), 0o755);
}

#[test]
fn a_store_that_may_only_be_read_takes_no_job_and_says_so() {
    let sandbox = unprivileged();
    let job = JOB.replace("kind: benchmark", "kind: train");
    sandbox.write("job.yaml", &job);
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    let jobs = sandbox.path("out/jobs");
    let before = fs::read_dir(&jobs).unwrap().count();
    allow(&jobs, 0o555);
    if sandbox.user.is_some() {
        std::os::unix::fs::chown(&jobs, Some(0), Some(0)).unwrap();
    }
    let ended = sandbox.ctl(&["predict", "tiny", "data/tiny/test", "--to", "./out"]);
    ended
        .expect(5)
        .says(&["cannot write", "out/jobs", "ermission"]);
    no_panic(&ended);
    assert_eq!(fs::read_dir(&jobs).unwrap().count(), before);
    allow(&jobs, 0o755);
}

#[test]
fn a_job_file_that_may_not_be_read_is_denied() {
    let sandbox = unprivileged();
    allow(&sandbox.path("job.yaml"), 0o000);
    sandbox
        .ctl(&["run", "job.yaml"])
        .expect(5)
        .says(&["job.yaml", "ermission"]);
}

#[test]
fn a_state_folder_that_may_not_be_written_is_denied() {
    let sandbox = unprivileged();
    let locked = sandbox.path("closed");
    fs::create_dir(&locked).unwrap();
    allow(&locked, 0o555);
    let state = locked.join("state").display().to_string();
    sandbox
        .ctl(&["run", "job.yaml", "--state", &state])
        .expect(5)
        .says(&["closed", "ermission"]);
}

#[test]
fn results_that_cannot_be_published_are_said_by_run_describe_and_get_until_they_are() {
    let sandbox = Sandbox::with_job(600, 3);
    let mut run = sandbox.start("ctl", &["run", "job.yaml"]);
    sandbox.wait_for_running("fit");
    let id = sandbox.job_ids().remove(0);
    // A file where the folder of results belongs.
    let in_the_way = sandbox.path(&format!("out/jobs/{id}/results"));
    std::fs::write(&in_the_way, "").unwrap();
    run.wait_for_word("results not taken by file://");
    let described = sandbox.json(&["describe", "last"]);
    let waits = &described["job"]["unpublished"][0];
    assert_eq!(waits["what"], "results");
    assert!(waits["since"].is_string(), "{waits}");
    assert!(waits["reason"].as_str().unwrap().contains(&id), "{waits}");
    let listed = sandbox.ctl(&["get", "jobs"]);
    assert!(
        listed.stdout.contains("results not taken by"),
        "{}",
        listed.stdout
    );
    std::fs::remove_file(in_the_way).unwrap();
    run.wait(crate::sandbox::LIMIT).expect(0);
    let jobs = sandbox.json(&["get", "jobs"]);
    assert_eq!(jobs[0]["unpublished"].as_array().unwrap().len(), 0);
}

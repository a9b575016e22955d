//! The program itself: who may own a folder, how it ends, what it says.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, process::Stdio, time::Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::{Sandbox, command, stderr, wait_for_exit};

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn a_second_coordinator_is_refused_and_told_who_has_the_folder() {
    let sandbox = Sandbox::start().await;
    let output = command(sandbox.state.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    let text = stderr(&output);
    assert!(
        text.contains(&format!("process {}", sandbox.pid())),
        "{text}"
    );
}

#[tokio::test]
async fn a_second_coordinator_on_the_same_database_in_another_folder_is_refused() {
    let sandbox = Sandbox::start().await;
    let other = tempfile::tempdir().unwrap();
    let database = sandbox.state.path().join("nightshift.db");
    std::os::unix::fs::symlink(database, other.path().join("nightshift.db")).unwrap();
    let mut second = command(other.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(wait_for_exit(&mut second), Some(6));
    let mut said = String::new();
    let mut stderr = second.stderr.take().unwrap();
    std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
    assert!(said.contains("database is locked"), "{said}");
    // The first has lost nothing.
    let mut client = sandbox.client().await;
    sandbox.submit(&mut client, "request-1").await;
}

#[tokio::test]
async fn signals_end_it_at_once_and_its_socket_goes() {
    for end in [Signal::TERM, Signal::INT] {
        let mut sandbox = Sandbox::start().await;
        let start = Instant::now();
        signal(sandbox.pid(), end);
        assert_eq!(sandbox.wait_for_exit(), Some(0));
        assert!(start.elapsed().as_secs() < 5);
        assert!(!sandbox.state.path().join("coordinator.sock").exists());
        // Nothing is left in the write-ahead log of an orderly end.
        assert!(!sandbox.state.path().join("nightshift.db-wal").exists());
    }
}

#[tokio::test]
async fn held_calls_do_not_hold_up_the_end() {
    let mut sandbox = Sandbox::start().await;
    let mut worker = crate::sandbox::Worker::register(&sandbox, "box", 1).await;
    let request = worker.claim_request(60_000);
    let mut client = worker.client.clone();
    let held = tokio::spawn(async move { client.claim(request).await });
    // Answered only once the claim before it in the same connection has reached the loop.
    worker.heartbeat(&[]).await;
    let start = Instant::now();
    signal(sandbox.pid(), Signal::TERM);
    assert_eq!(sandbox.wait_for_exit(), Some(0));
    assert!(start.elapsed().as_secs() < 5);
    let answer = held.await.unwrap();
    assert!(answer.is_err() || answer.unwrap().into_inner().assignment_json.is_empty());
}

#[tokio::test]
async fn a_dead_coordinators_socket_is_no_obstacle() {
    let mut sandbox = Sandbox::start().await;
    sandbox.kill();
    assert!(sandbox.state.path().join("coordinator.sock").exists());
    sandbox.start_again().await;
}

#[tokio::test]
async fn it_ends_with_its_parent() {
    let state = tempfile::tempdir().unwrap();
    let mut child = command(state.path())
        .arg("--exit-with-stdin")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"anything\n").unwrap();
    while proto::connect(&proto::Place::State(state.path().to_owned()))
        .await
        .is_err()
    {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(child.try_wait().unwrap().is_none());
    drop(stdin);
    assert_eq!(wait_for_exit(&mut child), Some(0));
}

#[tokio::test]
async fn only_its_user_may_connect() {
    let sandbox = Sandbox::start().await;
    let mode = fs::metadata(sandbox.state.path().join("coordinator.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_folder_that_is_a_file_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = command(file.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(
        stderr(&output).contains(&file.path().display().to_string()),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_damaged_database_is_not_started_upon() {
    let state = tempfile::tempdir().unwrap();
    fs::write(
        state.path().join("nightshift.db"),
        "this is no database, and long enough to be looked at".repeat(100),
    )
    .unwrap();
    let output = command(state.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(
        stderr(&output).contains("nightshift.db"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn wrong_usage_and_help_have_their_codes() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(
        command(state.path())
            .arg("--sate")
            .output()
            .unwrap()
            .status
            .code(),
        Some(2)
    );
    assert_eq!(
        command(state.path())
            .arg("--help")
            .output()
            .unwrap()
            .status
            .code(),
        Some(0)
    );
    assert_eq!(
        command(state.path())
            .args(["--log", "coordinator=loud"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(2)
    );
}

#[tokio::test]
async fn logs_are_json_when_asked() {
    let state = tempfile::tempdir().unwrap();
    let mut child = command(state.path())
        .args(["--log-json", "--exit-with-stdin"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while proto::connect(&proto::Place::State(state.path().to_owned()))
        .await
        .is_err()
    {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let text = stderr(&output);
    assert!(text.lines().count() >= 3, "{text}");
    for line in text.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            entry["message"].is_string() && entry["level"].is_string(),
            "{line}"
        );
    }
}

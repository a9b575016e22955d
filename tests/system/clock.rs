//! A machine whose clock is an hour off: a store that signs by time refuses it, which is said, and passes.

use std::fs;

use objects::Seaweed;

use crate::processes::until;
use crate::quiet::{quiet, results};
use crate::remote::bucket;
use crate::sandbox::{LIMIT, Sandbox};

#[test]
fn a_clock_that_is_an_hour_off_is_said_and_the_job_goes_on_once_it_is_set() {
    let server = Seaweed::start(&["lab"]);
    let mut sandbox = Sandbox::with_job(12, 6);
    let on_files = quiet(&sandbox);
    bucket(&sandbox, &server.endpoint(), str::to_owned);
    let ahead = sandbox.path("ahead");
    fs::write(&ahead, "").unwrap();
    let clock = sandbox.preload("clock.c");
    sandbox.set("LD_PRELOAD", &clock);
    sandbox.set("CLOCK_AHEAD_WHILE", &ahead.display().to_string());

    let with_keys = ["--config", "config.yaml"];
    let mut run = sandbox.start("ctl", &[&["run", "bucket.yaml"], &with_keys[..]].concat());
    // The server's own refusal, in our words.
    run.wait_for_word("; trying again");
    run.wait_for_word("set the clock");
    assert!(
        run.stderr().contains("RequestTimeTooSkewed"),
        "{}",
        run.stderr()
    );
    // It may have been the coordinator who was refused first.
    let outage = until("a task that was refused", LIMIT, || {
        let listed = sandbox.json(&["get", "jobs"]);
        let outage = listed[0]["outage"].as_str().unwrap().to_owned();
        (!outage.is_empty()).then_some(outage)
    });
    assert!(outage.contains("set the clock"), "{outage}");

    fs::remove_file(&ahead).unwrap();
    run.wait_for_word("no longer waiting");
    run.wait(LIMIT).expect(0);
    assert_eq!(results(&sandbox, &with_keys), on_files);
}

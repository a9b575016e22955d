//! What is wrong with a broker, or missing, at the start.

use broker_harness::{Broker, Options};

use crate::kills::wait_for_socket;
use crate::quiet::{Work, expect_the_quiet_results};
use crate::sandbox::{LIMIT, Sandbox};

#[test]
fn what_is_wrong_with_the_broker_is_said_at_the_start() {
    let broker = Broker::start(&Options::default()).unwrap();
    let address = broker.address();
    let mut sandbox = Sandbox::with_job(3, 3);
    let refused = |sandbox: &Sandbox, place: &str, code: i32, words: &[&str]| {
        for program in ["coordinator", "worker"] {
            let url = format!("amqp://{place}");
            let ended = sandbox.start(program, &["--broker", &url]).wait(LIMIT);
            ended.expect(code).says(words);
            assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
        }
    };
    sandbox.set("NIGHTSHIFT_BROKER_PASSWORD", "s3cret");
    let of_guest = format!("guest@{address}/");
    refused(&sandbox, &of_guest, 5, &["refused the login", "guest"]);
    let in_url = format!("guest:s3cret@{address}/");
    refused(&sandbox, &in_url, 2, &["NIGHTSHIFT_BROKER_PASSWORD"]);
    sandbox.set("NIGHTSHIFT_BROKER_PASSWORD", "guest");
    let nowhere = format!("guest@{address}/nowhere");
    refused(&sandbox, &nowhere, 5, &["nowhere", "add_vhost"]);
    // A password from a file; a queue that somebody else has declared.
    sandbox.write("password", "guest\n");
    sandbox.set("NIGHTSHIFT_BROKER_PASSWORD", "wrong");
    let file = sandbox.path("password").display().to_string();
    sandbox.set("NIGHTSHIFT_BROKER_PASSWORD_FILE", &file);
    let declare = "rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, <<\"nightshift.v1.cpu\">>), true, false, [], none, <<\"guest\">>).";
    broker.ctl(&["eval", declare]).unwrap();
    refused(&sandbox, &of_guest, 6, &["other arguments", "delete_queue"]);
}

#[test]
fn a_broker_that_is_not_there_yet_is_no_reason_not_to_start() {
    let mut broker = Broker::start(&Options::default()).unwrap();
    broker.kill().unwrap();
    let mut sandbox = Work::ThreeRuns.sandbox();
    sandbox.use_broker(&format!("guest@{}/", broker.address()));
    sandbox.set("NIGHTSHIFT_POLL", "2s");
    let coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(&sandbox);
    let worker = sandbox.start("worker", &["--name", "box"]);
    sandbox.ctl(&["submit", "job.yaml", "--wait"]).expect(0);
    expect_the_quiet_results(&sandbox, Work::ThreeRuns.quiet());
    for program in [&coordinator, &worker] {
        assert!(program.stderr().contains("the broker is not there"));
    }
    // The worker first: it says goodbye to the coordinator.
    worker.end();
    coordinator.end();
}

//! A coordinator that listens on the network: certificates and commands as the documents show them, and who is let in.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use proto::{Reach, v1};
use serde_json::Value;

use crate::monitoring::get;
use crate::processes::{Signal, until};
use crate::queues::{Queue, on_both_queues};
use crate::quiet::runtime;
use crate::sandbox::{LIMIT, Running, SOON, Sandbox, programs};

/// The shell commands of the first block below a heading of a document.
pub fn commands(document: &str, heading: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(document);
    let text = fs::read_to_string(path).unwrap();
    let (_, below) = text.split_once(&format!("{heading}\n")).unwrap();
    let (_, block) = below.split_once("```sh\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

/// Runs what a person would paste into a shell in this folder; what it prints.
fn shell(folder: &Path, text: &str) -> String {
    let ended = Command::new("bash")
        .args(["-euc", text])
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{text}\n{said}");
    String::from_utf8(ended.stdout).unwrap()
}

/// `ca.crt`, `tls.crt` and `tls.key` for `localhost`, made as the documents say.
pub fn certificates(sandbox: &Sandbox) {
    let text = commands("docs/operations.md", "### Certificates");
    shell(
        &sandbox.path(""),
        &text.replace("nightshift.example", "localhost"),
    );
}

/// A new token; its line is added to `tokens.yaml`.
pub fn token(sandbox: &Sandbox, name: &str, role: &str) -> String {
    let made = sandbox.json(&["token", "new", name, "--role", role]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let known = fs::read_to_string(sandbox.path("tokens.yaml")).unwrap_or_default();
    let hash = text(&made["entry"]["sha256"]);
    let line = format!("- {{name: {name}, role: {role}, sha256: {hash}}}\n");
    sandbox.write("tokens.yaml", &(known + &line));
    text(&made["token"])
}

const GUARDED: [&str; 6] = [
    "--tokens",
    "tokens.yaml",
    "--tls-cert",
    "tls.crt",
    "--tls-key",
    "tls.key",
];

/// Starts one with TLS and tokens at a free port; its URL.
pub fn coordinator(sandbox: &Sandbox, arguments: &[&str]) -> (Running, String) {
    let arguments = [&["--listen", "127.0.0.1:0"], &GUARDED[..], arguments].concat();
    let mut coordinator = sandbox.start("coordinator", &arguments);
    coordinator.wait_for_word("coordinator.sock");
    let url = format!("https://localhost:{}", port(&coordinator));
    (coordinator, url)
}

/// Where a coordinator says that it listens.
fn port(coordinator: &Running) -> String {
    let said = coordinator.stderr();
    let (_, from) = said.split_once("address=127.0.0.1:").unwrap();
    from.chars().take_while(char::is_ascii_digit).collect()
}

on_both_queues!(
    the_readmes_cluster_works_as_it_is_written,
    a_worker_goes_on_with_the_new_token_of_its_file,
    strangers_do_not_keep_out_who_is_let_in,
);

fn the_readmes_cluster_works_as_it_is_written(queue: Queue) {
    let mut sandbox = Sandbox::with_job(6, 3).on(queue);
    symlink(programs(), sandbox.path("bin")).unwrap();
    let shared = sandbox.path("").display().to_string();
    sandbox.write("stores.yaml", &format!("files: {{roots: [{shared}]}}\n"));
    certificates(&sandbox);
    let port = objects::free_ports::<1>()[0];
    let text = commands("README.md", "## A cluster in ten lines")
        .replace("nightshift.example", "localhost")
        .replace("7070", &port.to_string());
    let line = |word: &str| {
        let mut lines = text.lines().filter(|line| line.contains(word));
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("{word} is in no line of:\n{text}"));
        line.split('#')
            .next()
            .unwrap()
            .trim()
            .trim_end_matches('&')
            .to_owned()
    };
    // What the programs of this sandbox get for the test's own broker.
    let export = line("export");
    let variables: Vec<&str> = export.split_whitespace().skip(1).collect();
    let names = variables.iter().map(|set| set.split('=').next().unwrap());
    for name in names {
        let expected = (queue == Queue::RabbitMq).then_some(());
        assert_eq!(sandbox.variable(name).map(drop), expected, "{name}");
    }
    assert!(variables[0].contains("=amqps://nightshift@"), "{export}");
    // What a person copies from what is printed: the token, and the line for the file.
    let mut tokens = Vec::new();
    for made in ["bin/ctl token new box", "bin/ctl token new ann"] {
        let printed = shell(&sandbox.path(""), &line(made));
        let entry = printed
            .lines()
            .find(|line| line.contains("tokens file"))
            .unwrap();
        let known = fs::read_to_string(sandbox.path("tokens.yaml")).unwrap_or_default();
        let entry = &entry[entry.find("- {").unwrap()..];
        sandbox.write("tokens.yaml", &format!("{known}{entry}\n"));
        let token = printed
            .split_whitespace()
            .find(|word| word.starts_with("ns_"));
        tokens.push(token.unwrap().to_owned());
    }
    let start = |sandbox: &Sandbox, line: &str| {
        let (program, arguments) = line.split_once("bin/").unwrap().1.split_once(' ').unwrap();
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        sandbox.start(program, &arguments)
    };
    let mut coordinator = start(&sandbox, &line("bin/coordinator"));
    coordinator.wait_for_word("coordinator.sock");
    let [worker_line, user_line] = ["bin/worker", "bin/ctl submit"].map(line);
    for line in [&worker_line, &user_line] {
        assert!(line.starts_with("NIGHTSHIFT_TOKEN=ns_... "), "{line}");
    }
    sandbox.set("NIGHTSHIFT_TOKEN", &tokens[0]);
    let worker = start(&sandbox, &worker_line);
    sandbox.set("NIGHTSHIFT_TOKEN", &tokens[1]);
    start(&sandbox, &user_line).wait(LIMIT).expect(0);
    for program in [worker, coordinator] {
        program.signal(Signal::TERM);
        program.wait(SOON).expect(0);
    }
}

#[test]
fn a_certificate_that_is_not_accepted_says_what_to_do() {
    let mut sandbox = Sandbox::new();
    certificates(&sandbox);
    let token = token(&sandbox, "ann", "user");
    sandbox.set("NIGHTSHIFT_TOKEN", &token);
    let (running, url) = coordinator(&sandbox, &[]);
    let get = |url: &str, more: &[&str]| {
        sandbox.ctl(&[&["get", "jobs", "--coordinator", url], more].concat())
    };
    get(&url, &["--ca", "ca.crt"]).expect(0);
    get(&url, &[]).expect(4).says(&["--ca FILE"]);
    let other_name = url.replace("localhost", "127.0.0.1");
    get(&other_name, &["--ca", "ca.crt"])
        .expect(4)
        .says(&["another host name"]);
    drop(running);

    // As one makes it in a hurry: one certificate that is its own authority.
    let text = "openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout tls.key -out tls.crt";
    shell(&sandbox.path(""), text);
    let (_running, url) = coordinator(&sandbox, &[]);
    get(&url, &["--ca", "tls.crt"]).expect(4).says(&[
        "no server's",
        "docs/operations.md",
        "Certificates",
    ]);
    let mut worker = sandbox.start("worker", &["--coordinator", &url, "--ca", "tls.crt"]);
    worker.wait_for_word("docs/operations.md");
}

#[test]
fn an_address_with_the_wrong_scheme_is_told_the_right_one() {
    let mut sandbox = Sandbox::new();
    certificates(&sandbox);
    let token = token(&sandbox, "ann", "user");
    sandbox.set("NIGHTSHIFT_TOKEN", &token);
    sandbox.set("NIGHTSHIFT_CA", "ca.crt");
    let (guarded, url) = coordinator(&sandbox, &[]);
    let plain = url.replace("https://", "http://");
    let get = |url: &str| sandbox.ctl(&["get", "jobs", "--coordinator", url]);
    get(&plain).expect(4).says(&["speaks TLS", "https://"]);
    let mut worker = sandbox.start("worker", &["--coordinator", &plain]);
    worker.wait_for_word("speaks TLS");
    worker.end();
    guarded.end();

    let listen = ["--listen", "127.0.0.1:0", "--tokens", "tokens.yaml"];
    let mut open = sandbox.start("coordinator", &listen);
    open.wait_for_word("coordinator.sock");
    let url = format!("https://localhost:{}", port(&open));
    get(&url).expect(4).says(&["speaks no TLS", "http://"]);
    get(&url.replace("https", "http")).expect(0);
}

#[test]
fn a_worker_that_is_not_let_in_ends_at_its_start_and_says_why() {
    let mut sandbox = Sandbox::new();
    certificates(&sandbox);
    let user = token(&sandbox, "ann", "user");
    let (mut coordinator, url) = coordinator(&sandbox, &[]);
    let worker = |sandbox: &Sandbox, url: &str| {
        let arguments = ["--coordinator", url, "--ca", "ca.crt"];
        sandbox.start("worker", &arguments).wait(SOON)
    };
    worker(&sandbox, &url)
        .expect(5)
        .says(&["does not let this worker in", "--token-file FILE"]);
    sandbox.set("NIGHTSHIFT_TOKEN", &format!("ns_{}", "0".repeat(64)));
    worker(&sandbox, &url).expect(5).says(&["not known here"]);
    sandbox.set("NIGHTSHIFT_TOKEN", &user);
    worker(&sandbox, &url)
        .expect(5)
        .says(&["is a user's; Register needs a worker's"]);
    for word in ["a token is needed", "not known here", "is a user's"] {
        coordinator.wait_for_word(word);
    }
    drop(coordinator);

    // It speaks gRPC, and knows none of the calls.
    let runtime = runtime();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
    let listener = runtime.block_on(listener).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(
        tonic::transport::Server::builder()
            .add_routes(tonic::service::Routes::default())
            .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener)),
    );
    worker(&sandbox, &url)
        .expect(6)
        .says(&["protocol (nightshift.v1)"]);
}

fn a_worker_goes_on_with_the_new_token_of_its_file(queue: Queue) {
    let mut sandbox = Sandbox::with_job(6, 3).on(queue);
    certificates(&sandbox);
    let user = token(&sandbox, "ann", "user");
    let old = token(&sandbox, "box", "worker");
    sandbox.write("worker.token", &old);
    let (first, url) = coordinator(&sandbox, &[]);
    let arguments = ["--coordinator", &url, "--ca", "ca.crt", "--token-file"];
    let mut worker = sandbox.start("worker", &[&arguments[..], &["worker.token"]].concat());
    until("a live worker", LIMIT, || {
        let workers = sandbox.json(&["get", "workers"]);
        (workers[0]["state"] == "live").then_some(())
    });
    // The old token's line goes too early: the worker has no other yet.
    fs::remove_file(sandbox.path("tokens.yaml")).unwrap();
    let new = token(&sandbox, "box", "worker");
    let entry = sandbox.json(&["token", "new", "other"])["entry"]["sha256"].clone();
    let known = fs::read_to_string(sandbox.path("tokens.yaml")).unwrap();
    let line = format!(
        "- {{name: other, role: user, sha256: {}}}\n",
        entry.as_str().unwrap()
    );
    sandbox.write("tokens.yaml", &(known + &line));
    first.signal(Signal::TERM);
    first.wait(SOON).expect(0);
    let port = url.rsplit(':').next().unwrap();
    let listen = ["--listen", &format!("127.0.0.1:{port}")];
    let mut second = sandbox.start("coordinator", &[&listen[..], &GUARDED].concat());
    second.wait_for_word("coordinator.sock");
    worker.wait_for_word("denies this worker");
    sandbox.write("worker.token", &new);
    worker.wait_for_word("another token now");
    worker.wait_for_word("the coordinator answers");
    sandbox.ctl(&["submit", "job.yaml", "--wait"]).expect(0);
    assert_eq!(worker.stderr().matches("denies this worker").count(), 1);
    // Nor did it fill the coordinator's log.
    assert_eq!(second.stderr().matches("refused:").count(), 1);
    sandbox.set("NIGHTSHIFT_TOKEN", &user);
    sandbox
        .ctl(&["get", "jobs", "--coordinator", &url, "--ca", "ca.crt"])
        .expect(5);
}

/// More connections than there is room for, all through their TLS handshake; half of them say nothing more and answer
/// pings, half make calls that are refused.
fn strangers_do_not_keep_out_who_is_let_in(queue: Queue) {
    const FILES: u32 = 300;
    const STRANGERS: usize = 60;
    let mut sandbox = Sandbox::with_job(6, 3).on(queue);
    certificates(&sandbox);
    let [user, of_worker] =
        [("ann", "user"), ("box", "worker")].map(|(name, role)| token(&sandbox, name, role));
    sandbox.write("wrong.token", &format!("ns_{}", "0".repeat(64)));
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["ctl", "worker", "executor"] {
        symlink(programs().join(program), bin.join(program)).unwrap();
    }
    let limited = format!(
        "#!/bin/sh\nulimit -n {FILES}\nexec {}/coordinator \"$@\"\n",
        programs().display()
    );
    sandbox.write("bin/coordinator", &limited);
    fs::set_permissions(bin.join("coordinator"), fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.use_programs(bin);
    let [port] = objects::free_ports();
    let http = format!("127.0.0.1:{port}");
    let (mut coordinator, url) = coordinator(&sandbox, &["--http", &http]);

    let runtime = runtime();
    let strangers: Vec<_> = (0..STRANGERS)
        .map(|number| {
            let talks = number % 2 == 0;
            let reach = Reach {
                coordinator: Some(url.clone()),
                ca: Some(sandbox.path("ca.crt")),
                token_file: talks.then(|| sandbox.path("wrong.token")),
                ..Reach::default()
            };
            let place = reach.place().unwrap();
            runtime.spawn(async move {
                // Those for whom there is no room yet wait for it.
                let mut client = loop {
                    if let Ok(client) = proto::connect(&place).await {
                        break client;
                    }
                };
                for _ in 0..if talks { 20 } else { 0 } {
                    let answer = client.list_jobs(v1::ListJobsRequest {}).await;
                    assert!(answer.is_err());
                }
                client
            })
        })
        .collect();
    coordinator.wait_for_word("as many connections as there may be");
    sandbox.set("NIGHTSHIFT_COORDINATOR", &url);
    sandbox.set("NIGHTSHIFT_CA", "ca.crt");
    sandbox.set("NIGHTSHIFT_TOKEN", &of_worker);
    let _worker = sandbox.start("worker", &["--name", "box"]);
    sandbox.set("NIGHTSHIFT_TOKEN", &user);
    until("a user to be let in", LIMIT, || {
        let ended = sandbox.ctl(&["get", "workers", "-o", "json"]);
        ended.stdout.contains("\"box\"").then_some(())
    });
    sandbox.ctl(&["submit", "job.yaml", "--wait"]).expect(0);
    // Whoever got through held a connection for as long as that was possible.
    for stranger in strangers {
        runtime.block_on(stranger).unwrap();
    }
    // They are counted, but for those that were cut off over their call.
    let numbers = get(&http, "/metrics").1;
    let refused = |reason: &str| -> u64 {
        let family = format!("nightshift_refused_calls_total{{reason=\"{reason}\"}} ");
        let mut lines = numbers.lines();
        let number = lines.find_map(|line| line.strip_prefix(&family));
        number.unwrap_or_default().parse().expect(&numbers)
    };
    assert!((1..=600).contains(&refused("unknown_token")), "{numbers}");
    assert_eq!((refused("too_fast"), refused("no_token")), (0, 0));
    // 600 refused calls are a line, and one more a minute.
    let lines = coordinator.stderr().matches("refused").count();
    assert!((1..=3).contains(&lines), "{}", coordinator.stderr());
}

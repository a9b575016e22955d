//! The page `docs/configuration.md` lists every setting of every program; it is made from the programs' own flags.

use std::{env, fs, path::Path};

use crate::sandbox::{SOON, Sandbox};

const HEAD: &str = "\
# Configuration

Every program merges its settings at start: defaults < configuration file < environment < flags. `--config FILE` (or
`NIGHTSHIFT_CONFIG`) names the file; `PROGRAM --print-config` prints what came out, with `stores`, `cache` and `files`, as such a file, with where each
value is from and without secrets. It checks what is written as a start does, and ends with the same message and exit code; what only a network, the executor or writing would tell, a start alone says. One file may serve all programs; unknown keys are errors with line and column:

```yaml
coordinator: {listen: \"0.0.0.0:7070\", tokens: /etc/nightshift/tokens.yaml, tls_cert: /etc/nightshift/tls.crt, tls_key: /etc/nightshift/tls.key}
worker: {coordinator: \"https://nightshift.example:7070\", token_file: /etc/nightshift/worker.token, slots: 2}
ctl: {coordinator: \"https://nightshift.example:7070\", token_file: /home/me/.nightshift.token}
```

The sections `stores`, `cache` and `files` hold for all programs; [operations](operations.md#stores) explains them. A setting has the variable that its row names; one
without is refused there (`NIGHTSHIFT_RESTORED`: it is for one start), not ignored. A token or password itself never stands in a file
that others read: `NIGHTSHIFT_TOKEN` and `NIGHTSHIFT_BROKER_PASSWORD` hold one, `token_file` and `broker_password_file` name a file.
A variable that begins with `NIGHTSHIFT_` and that no program knows is warned about on standard error at start, with the nearest that is one, unless the
configuration file names it as that of a secret.

Made by `UPDATE=1 cargo test --workspace --test system configuration`.

";

#[test]
fn the_page_lists_every_setting() {
    let page = [
        HEAD.to_owned(),
        settings::page::<coordinator::Settings>("coordinator"),
        settings::page::<worker::Settings>("worker"),
        settings::page::<ctl::Cli>("ctl"),
        store::page(),
    ];
    let page = page.join("\n").replace("\n\n\n", "\n\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == page,
        "docs/configuration.md is out of date: UPDATE=1 cargo test --workspace --test system configuration"
    );
}

#[test]
fn every_program_knows_the_variables_of_all_and_users_are_told_of_each() {
    let mut variables = settings::of_flags::<coordinator::Settings>();
    variables.extend(settings::of_flags::<worker::Settings>());
    variables.extend(settings::of_flags::<ctl::Cli>());
    variables.sort_unstable();
    variables.dedup();
    assert_eq!(variables, settings::OF_FLAGS);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let page = fs::read_to_string(page).unwrap();
    for variable in settings::OTHERS {
        assert!(page.contains(&format!("| `{variable}` |")), "{variable}");
    }
}

#[test]
fn a_misspelt_variable_is_warned_about_and_standard_output_stays_as_it_is() {
    let mut sandbox = Sandbox::new();
    sandbox.write(
        "config.yaml",
        "stores: {lab: {url: s3://lab, access_key: {env: NIGHTSHIFT_LAB_ID}, secret_key: {env: NIGHTSHIFT_LAB_KEY}}}\n",
    );
    for variable in [
        "NIGHTSHIFT_LAB_ID",
        "NIGHTSHIFT_LAB_KEY",
        "NIGHTSHIFT_CHAOS",
    ] {
        sandbox.set(variable, "1");
    }
    let shown = |sandbox: &Sandbox, program| {
        let arguments = ["--config", "config.yaml", "--print-config"];
        let ended = sandbox.start(program, &arguments).wait(SOON);
        ended.expect(0);
        ended
    };
    let programs = ["coordinator", "worker", "ctl"];
    let before = programs.map(|program| shown(&sandbox, program));
    sandbox.set("NIGHTSHIFT_NATIV_DIR", "/native");
    for (program, before) in programs.iter().zip(before) {
        assert_eq!(before.stderr, "", "{program}");
        let ended = shown(&sandbox, program);
        ended.says(&[
            "NIGHTSHIFT_NATIV_DIR is set",
            "did you mean NIGHTSHIFT_NATIVE_DIR?",
        ]);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert_eq!(ended.stdout, before.stdout, "{program}");
    }
}

/// The message with which a program ends, without the time before it.
fn message(stderr: &str) -> String {
    let last = stderr.lines().last().unwrap_or_default();
    let of_log = last.contains(" ERROR ");
    let line = if of_log {
        last.split_once(' ').unwrap().1
    } else {
        last
    };
    line.to_owned()
}

/// Flags that do not go together, or mean nothing.
const OF_COORDINATOR: [&[&str]; 17] = [
    &["--listen", "0.0.0.0:0"],
    &["--listen", "0.0.0.0:0", "--insecure"],
    &["--listen", "nowhere"],
    &["--listen", "127.0.0.1:0", "--tokens", "tokens.yaml"],
    &["--listen", "127.0.0.1:0", "--tokens", "missing.yaml"],
    &["--listen", "127.0.0.1:0", "--tls-cert", "tls.crt"],
    &[
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        "password",
        "--tls-key",
        "password",
    ],
    &["--heartbeat", "30s", "--lease-ttl", "60s"],
    &["--http", "0.0.0.0:0"],
    &["--broker", "rabbit.example"],
    &["--broker", "amqps://ann:hush@rabbit.example/night"],
    &[
        "--broker",
        "amqps://ann@rabbit.example/",
        "--broker-ca",
        "password",
    ],
    &["--webhook", "https://factory.example/"],
    &["--webhook-secret-file", "tokens.yaml"],
    &[
        "--webhook",
        "factory.example",
        "--webhook-secret-file",
        "tokens.yaml",
    ],
    &[
        "--webhook",
        "https://factory.example/",
        "--webhook-secret-file",
        "password",
    ],
    &["--config", "literal.yaml"],
];
const OF_WORKER: [&[&str]; 8] = [
    &["--coordinator", "localhost:7070"],
    &[
        "--coordinator",
        "https://localhost:7070",
        "--ca",
        "missing.crt",
    ],
    &[
        "--coordinator",
        "https://localhost:7070",
        "--token-file",
        "empty.token",
    ],
    &["--executor", "missing"],
    &["--http", "0.0.0.0:0"],
    &["--broker", "http://rabbit.example"],
    &[
        "--broker",
        "amqp://ann@rabbit.example/",
        "--broker-password-file",
        "missing",
    ],
    &["--config", "literal.yaml"],
];

#[test]
fn print_config_refuses_what_a_start_refuses_with_the_same_words() {
    let sandbox = Sandbox::new();
    for (file, text) in [
        ("tokens.yaml", "- {name: a, role: user, sha256: '00'}\n"),
        (
            "literal.yaml",
            "stores: {lab: {url: 's3://lab', access_key: hush, secret_key: hush}}\n",
        ),
        ("password", "x\n"),
        ("empty.token", "\n"),
    ] {
        sandbox.write(file, text);
    }
    let of_coordinator = OF_COORDINATOR.map(|flags| ("coordinator", flags));
    let of_worker = OF_WORKER.map(|flags| ("worker", flags));
    for (program, flags) in of_coordinator.into_iter().chain(of_worker) {
        let started = sandbox.start(program, flags).wait(SOON);
        let shown = sandbox
            .start(program, &[flags, &["--print-config"]].concat())
            .wait(SOON);
        let code = started.status.code();
        assert!(
            matches!(code, Some(2 | 3 | 5 | 6)),
            "{flags:?}: {started:?}"
        );
        assert_eq!(shown.status.code(), code, "{flags:?}: {shown:?}");
        assert_eq!(
            message(&shown.stderr),
            message(&started.stderr),
            "{flags:?}"
        );
        // What led to it is shown all the same, without what must not be seen.
        assert!(
            shown.stdout.starts_with(&format!("{program}:\n")),
            "{flags:?}: {shown:?}"
        );
        for text in [&shown.stdout, &shown.stderr, &started.stderr] {
            assert!(!text.contains("hush"), "{flags:?}: {text}");
        }
        assert!(!sandbox.path("s").exists(), "{flags:?} made a state folder");
    }
}

#[test]
fn print_config_shows_stores_and_cache_as_a_file_that_gives_the_same() {
    let sandbox = Sandbox::new();
    let file = "\
coordinator: {lease_ttl: 90s}
stores:
  lab: {url: 's3://lab/night', access_key: {env: LAB_KEY}, secret_key: {file: /run/secrets/lab}}
cache: {limit_mib: 10}
";
    sandbox.write("first.yaml", file);
    for program in ["coordinator", "worker", "ctl"] {
        let show = |config: &str| {
            let shown = sandbox
                .start(program, &["--config", config, "--print-config"])
                .wait(SOON);
            shown.expect(0);
            shown.stdout
        };
        let shown = show("first.yaml");
        for line in [
            "  roots: null  # default\n",
            "    url: \"s3://lab/night\"  # file\n",
            "    secret_key: {\"file\":\"/run/secrets/lab\"}  # file\n",
            "    retries: 8  # default\n",
            "  limit_mib: 10  # file\n",
        ] {
            assert!(
                shown.contains(line),
                "{line} is missing in {program}'s:\n{shown}"
            );
        }
        sandbox.write("again.yaml", &shown);
        let values = |text: &str| {
            let lines = text
                .lines()
                .map(|line| line.split("  # ").next().unwrap().to_owned());
            lines.collect::<Vec<_>>()
        };
        assert_eq!(values(&show("again.yaml")), values(&shown), "{program}");
    }
}

#[test]
fn mistakes_of_stores_are_said_together_with_the_programs_own() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "config.yaml",
        "stores: {lab: {url: 's3://lab', region: 7}}\nfiles: {roots: [data]}\ncoordinator: {retentoin: 3d}\nworker: {slots: 0}\nctl: {coordinater: x}\n",
    );
    for (program, own) in [
        ("coordinator", "retentoin"),
        ("worker", "worker.slots"),
        ("ctl", "coordinater"),
    ] {
        let ended = sandbox
            .start(program, &["--config", "config.yaml", "--print-config"])
            .wait(SOON);
        ended.expect(2).says(&[
            own,
            "config.yaml:1:10: stores.lab",
            "config.yaml:2:9: files.roots: data is not an absolute path",
        ]);
        assert_eq!(ended.stderr.matches("config.yaml:").count(), 3, "{ended:?}");
    }
}

#[test]
fn every_setting_is_read_from_its_variable_and_others_are_refused() {
    let mut sandbox = Sandbox::new();
    for (variable, value) in [
        ("NIGHTSHIFT_SLOTS", "3"),
        ("NIGHTSHIFT_ENGINES", "openvino"),
        ("NIGHTSHIFT_EXECUTOR", "/bin/true"),
        ("NIGHTSHIFT_INSECURE", "1"),
        ("NIGHTSHIFT_HTTP_INSECURE", "true"),
        ("NIGHTSHIFT_WORKER_HTTP_INSECURE", "0"),
    ] {
        sandbox.set(variable, value);
    }
    let show = |sandbox: &Sandbox, program| sandbox.start(program, &["--print-config"]).wait(SOON);
    let shown = show(&sandbox, "worker");
    shown.expect(0);
    for line in [
        "slots: 3  # environment",
        "engines: [openvino]  # environment",
        "executor: /bin/true  # environment",
        "http_insecure: false  # environment",
    ] {
        assert!(shown.stdout.contains(line), "{line}: {}", shown.stdout);
    }
    let shown = show(&sandbox, "coordinator");
    shown.expect(0);
    for line in [
        "  insecure: true  # environment",
        "  http_insecure: true  # environment",
    ] {
        assert!(shown.stdout.contains(line), "{line}: {}", shown.stdout);
    }
    sandbox.set("NIGHTSHIFT_RESTORED", "1");
    show(&sandbox, "coordinator")
        .expect(2)
        .says(&["NIGHTSHIFT_RESTORED is set", "--restored"]);
    show(&sandbox, "worker").expect(0);
}

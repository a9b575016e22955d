use std::{ffi::OsString, fs};

use clap::Parser;

use crate::{SettingsError, Start, load, page};

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    file: crate::ConfigFile,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Tasks at a time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    slots: u32,
    /// Log as JSON
    #[arg(long)]
    log_json: bool,
    /// Words to match tasks with
    #[arg(long = "label", value_name = "WORD")]
    labels: Vec<String>,
    #[arg(long, default_value = "set by nobody", env = "SETTINGS_TEST_PLACE")]
    place: String,
}

/// Of sections that this crate does not read.
fn others(_: &std::path::Path) -> Vec<String> {
    vec!["nightshift.yaml:9:9: stores.lab: mistaken".to_owned()]
}

fn start(file: &str, flags: &[&str]) -> Result<Start<Program>, SettingsError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightshift.yaml");
    fs::write(&path, file).unwrap();
    let arguments = ["worker", "--config", path.to_str().unwrap()]
        .into_iter()
        .chain(flags.iter().copied())
        .map(OsString::from);
    load("worker", others, arguments)
}

fn settings(file: &str, flags: &[&str]) -> Program {
    match start(file, flags) {
        Ok(Start::Run(settings)) => settings,
        other => panic!("{other:?}"),
    }
}

fn error(file: &str, flags: &[&str]) -> String {
    start(file, flags).unwrap_err().to_string()
}

#[test]
fn a_file_wins_over_defaults_and_flags_win_over_the_file() {
    let file = "worker: {slots: 4, listen: 'a:1', log_json: true, label: [x, y]}\ncoordinator: {anything: 1}\n";
    let read = settings(file, &["--listen", "b:2"]);
    assert_eq!(read.slots, 4);
    assert_eq!(read.listen.as_deref(), Some("b:2"));
    assert!(read.log_json);
    assert_eq!(read.labels, ["x", "y"]);
    assert_eq!(read.place, "set by nobody");
    assert_eq!(settings(file, &["--label", "z"]).labels, ["z"]);
}

#[test]
fn every_mistake_in_a_file_is_named_at_once() {
    let text = error("worker: {slot: 1, log_json: 3}\nwrker: {}\n", &[]);
    assert!(text.contains("did you mean \"slots\""), "{text}");
    assert!(
        text.contains("worker.log_json: expected true or false"),
        "{text}"
    );
    assert!(text.contains("did you mean \"worker\""), "{text}");
}

#[test]
fn a_value_out_of_range_is_refused_wherever_it_stands() {
    let text = error("worker: {slots: 1000}\n", &[]);
    assert!(
        text.contains("1000") && text.contains("worker.slots"),
        "{text}"
    );
}

#[test]
fn a_broken_or_missing_file_is_an_error_with_its_name() {
    let text = error("worker: [\n", &[]);
    assert!(text.contains("nightshift.yaml"), "{text}");
    let missing = load::<Program, Program>(
        "worker",
        others,
        ["worker", "--config", "/nowhere/at/all.yaml"].map(OsString::from),
    );
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("/nowhere/at/all.yaml")
    );
}

#[test]
fn the_merged_settings_are_printed_with_their_origin() {
    let Ok(Start::Show(shown, text)) = start(
        "worker: {slots: 4}\n",
        &["--print-config", "--listen", "b:2"],
    ) else {
        panic!("nothing printed");
    };
    assert_eq!((shown.slots, shown.listen.as_deref()), (4, Some("b:2")));
    assert!(text.contains("  slots: 4  # file\n"), "{text}");
    assert!(text.contains("  listen: \"b:2\"  # flag\n"), "{text}");
    assert!(text.contains("  log_json: false  # default\n"), "{text}");
    // What is printed is a file that gives the same settings.
    let again = settings(&text, &[]);
    assert_eq!((again.slots, again.listen.as_deref()), (4, Some("b:2")));
}

#[test]
fn passwords_in_addresses_are_not_printed() {
    for (given, shown) in [
        ("amqp://ann:s3cret@host/v", "amqp://ann:***@host/v"),
        ("amqp://ann:s3/cr?t@host/v", "amqp://ann:***@host/v"),
        ("amqp://ann:s3@cret@host/v", "amqp://ann:***@host/v"),
        ("amqp://ann@host/v", "amqp://ann@host/v"),
        ("https://host:7070", "https://host:7070"),
        // No addresses, but perhaps meant to be.
        ("ann:s3cret@host", "ann:***@host"),
        ("amqp//ann:s3cret@host", "amqp//ann:***@host"),
        (
            "amqp://host/v?password=s3cret&heartbeat=5",
            "amqp://host/v?password=***&heartbeat=5",
        ),
        ("amqp://ann:s3?key=cret@host/v", "amqp://ann:***@host/v"),
        ("plain@place", "plain@place"),
        ("cpu?", "cpu?"),
    ] {
        assert_eq!(crate::without_password(given), shown);
    }
}

#[test]
fn the_page_has_every_setting() {
    let page = page::<Program>("worker");
    for key in ["listen", "slots", "log_json", "label", "place"] {
        assert!(page.contains(&format!("| `{key}` |")), "{page}");
    }
    assert!(page.contains("`SETTINGS_TEST_PLACE`"), "{page}");
}

#[test]
fn a_wrong_flag_is_an_error_of_usage() {
    for flags in [
        ["--slots", "many"],
        ["--sloots", "1"],
        ["--print-config", "--sloots"],
    ] {
        let text = error("worker: {slots: 4}\n", &flags);
        assert!(text.contains("slo") && text.contains("error:"), "{text}");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
enum Form {
    Table,
    Json,
}

#[derive(Debug, Parser)]
struct WithCommands {
    #[command(flatten)]
    file: crate::ConfigFile,
    #[arg(long, global = true, value_enum, default_value = "table")]
    output: Form,
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, clap::Subcommand)]
enum Commands {
    Do,
}

#[test]
fn a_wrong_value_in_the_file_has_its_place() {
    let text = error("worker:\n  slots: 4000\n  log_json: true\n", &[]);
    assert!(
        text.contains(
            "nightshift.yaml:2:3: worker.slots: invalid value \"4000\": 4000 is not in 1..=256"
        ),
        "{text}"
    );
    // A flag that wins over it does not make it right.
    let text = error("worker: {slots: many}\n", &["--slots", "3"]);
    assert!(
        text.contains("nightshift.yaml:1:10: worker.slots: invalid value \"many\""),
        "{text}"
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightshift.yaml");
    fs::write(&path, "ctl: {output: xml}\n").unwrap();
    let arguments = |path: &std::path::Path| {
        ["ctl", "--config", path.to_str().unwrap(), "do"].map(OsString::from)
    };
    let text = load::<WithCommands, crate::ConfigFile>("ctl", |_| Vec::new(), arguments(&path))
        .unwrap_err()
        .to_string();
    assert!(
        text.ends_with(
            "nightshift.yaml:1:7: ctl.output: invalid value \"xml\"; expected one of table, json"
        ),
        "{text}"
    );
    fs::write(&path, "ctl: {output: json}\n").unwrap();
    assert!(matches!(
        load::<WithCommands, crate::ConfigFile>("ctl", others, arguments(&path)),
        Ok(Start::Run(WithCommands {
            output: Form::Json,
            ..
        }))
    ));
}

#[test]
fn a_file_that_cannot_be_read_has_the_exit_code_of_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let code = |path: &std::path::Path| {
        let arguments = ["worker", "--config", path.to_str().unwrap()].map(OsString::from);
        match load::<Program, Program>("worker", others, arguments) {
            Err(SettingsError::File(file)) => file.exit_code(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code(&folder.path().join("missing.yaml")), 3);
    assert_eq!(code(folder.path()), 2);
    let denied = crate::FileError::Read {
        path: "x".into(),
        source: std::io::ErrorKind::PermissionDenied.into(),
    };
    assert_eq!(denied.exit_code(), 5);
}

#[test]
fn what_is_wrong_elsewhere_in_a_refused_file_is_said_with_it() {
    let text = error("worker: {slots: many}\n", &[]);
    assert!(text.contains("worker.slots"), "{text}");
    assert!(text.contains("stores.lab: mistaken"), "{text}");
    // Whoever reads the section says so by himself otherwise.
    assert_eq!(settings("worker: {slots: 3}\n", &[]).slots, 3);
}

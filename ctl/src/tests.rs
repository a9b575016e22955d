//! The command line's own promises.

use std::collections::BTreeSet;

use clap::CommandFactory;

use super::*;

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_exit_codes_of_the_documents_are_those_of_the_errors() {
    let io = |kind: std::io::ErrorKind| Error::Read {
        path: "x".into(),
        source: kind.into(),
    };
    let cases = [
        (
            Error::JobFailed {
                job: "abcd".to_owned(),
                state: "failed".to_owned(),
                describe: String::new(),
                retry: String::new(),
            },
            1,
        ),
        (
            Error::AsBefore {
                job: "abcd".to_owned(),
                why: String::new(),
            },
            1,
        ),
        (Error::InvalidFile { lines: Vec::new() }, 2),
        (Error::NotFound(String::new()), 3),
        (io(std::io::ErrorKind::NotFound), 3),
        (
            Error::Unreachable {
                what: String::new(),
                source: None,
            },
            4,
        ),
        (Error::Denied(String::new()), 5),
        (io(std::io::ErrorKind::PermissionDenied), 5),
        (Error::cannot_run(""), 6),
        (
            Error::Interrupted {
                hint: String::new(),
            },
            130,
        ),
    ];
    let mut given = BTreeSet::from([0]);
    for (error, code) in cases {
        assert_eq!(error.exit_code(), code, "{error}");
        given.insert(code);
    }
    let (_, table) = include_str!("../../docs/cli.md")
        .split_once("## Exit codes")
        .unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let documented: BTreeSet<u8> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(documented, given);
    let help = Cli::command().render_long_help().to_string();
    for code in documented {
        assert!(
            help.contains(&format!("{code} ")),
            "{code} is not in the help"
        );
    }
}

#[test]
fn what_a_coordinator_answers_keeps_its_meaning() {
    let code = |status: tonic::Status| Error::from(status).exit_code();
    assert_eq!(code(tonic::Status::not_found("no job abcd")), 3);
    assert_eq!(
        code(tonic::Status::failed_precondition(
            "the key was used for another job"
        )),
        2
    );
    assert_eq!(code(tonic::Status::unavailable("closed")), 4);
    assert_eq!(code(tonic::Status::permission_denied("no")), 5);
    assert_eq!(code(tonic::Status::internal("disk full")), 6);
}

/// The words of a line of a shell that is as simple as those of the examples.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (' ', None) => words.push(String::new()),
            (c, _) => words.iter_mut().last().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_example_is_a_command_line() {
    for (name, text) in commands::examples::EXAMPLES {
        assert!(Cli::command().find_subcommand(name).is_some(), "{name}");
        assert_eq!(commands::examples::of(name), text);
        for line in text.lines().skip(1) {
            // What a shell makes of it is not ctl's, nor what is said beside it.
            let line = line
                .trim()
                .replace("$(ctl get jobs -o name | tail -n +51)", "abcd");
            let line = line
                .split_once("    ")
                .map_or(line.as_str(), |(line, _)| line);
            for command in line
                .split([';', '|', '>'])
                .flat_map(|part| part.split("&&"))
            {
                let words = words(command);
                if words.first().is_some_and(|word| word == "ctl") {
                    let parsed = Cli::try_parse_from(&words);
                    assert!(parsed.is_ok(), "{line}: {}", parsed.err().unwrap());
                    assert!(text.contains(&format!("ctl {name}")));
                }
            }
        }
    }
}

#[test]
fn shells_complete_commands_and_options() {
    let mut command = Cli::command();
    let mut completed = |words: &str| -> Vec<String> {
        let words: Vec<std::ffi::OsString> = words.split(' ').map(Into::into).collect();
        let last = words.len() - 1;
        let found = clap_complete::engine::complete(&mut command, words, last, None).unwrap();
        let value = |one: &clap_complete::CompletionCandidate| {
            one.get_value().to_string_lossy().into_owned()
        };
        found.iter().map(value).collect()
    };
    assert_eq!(completed("ctl del"), ["delete"]);
    assert_eq!(completed("ctl completions f"), ["fish"]);
    assert!(completed("ctl results last --to").contains(&"--top".to_owned()));
    assert_eq!(
        completed("ctl get jobs -o "),
        ["table", "wide", "csv", "name", "json", "yaml"]
    );
}

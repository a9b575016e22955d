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

//! Environment variables of all programs, and which ones are set that mean nothing.

use std::path::Path;

use clap::{Command, Parser};

use crate::file;

/// What the names of all of them begin with.
const PREFIX: &str = "NIGHTSHIFT_";

/// Those of the programs' flags, sorted. One environment may serve all programs, so that each knows them all; a test
/// beside the page of all settings holds the list to the flags.
pub const OF_FLAGS: [&str; 39] = [
    "NIGHTSHIFT_BROKER",
    "NIGHTSHIFT_BROKER_CA",
    "NIGHTSHIFT_BROKER_PASSWORD_FILE",
    "NIGHTSHIFT_CA",
    "NIGHTSHIFT_CONFIG",
    "NIGHTSHIFT_COORDINATOR",
    "NIGHTSHIFT_DELETION_COST",
    "NIGHTSHIFT_DEVICE",
    "NIGHTSHIFT_DRAIN_TIMEOUT",
    "NIGHTSHIFT_ENGINES",
    "NIGHTSHIFT_EXECUTOR",
    "NIGHTSHIFT_HEARTBEAT",
    "NIGHTSHIFT_HTTP",
    "NIGHTSHIFT_HTTP_INSECURE",
    "NIGHTSHIFT_INSECURE",
    "NIGHTSHIFT_KEEP_JOBS",
    "NIGHTSHIFT_LABELS",
    "NIGHTSHIFT_LEASE_TTL",
    "NIGHTSHIFT_LISTEN",
    "NIGHTSHIFT_LOADING_TIMEOUT",
    "NIGHTSHIFT_LOG",
    "NIGHTSHIFT_LOG_JSON",
    "NIGHTSHIFT_POLL",
    "NIGHTSHIFT_POOL",
    "NIGHTSHIFT_RETENTION",
    "NIGHTSHIFT_SCRATCH",
    "NIGHTSHIFT_SLOTS",
    "NIGHTSHIFT_STALL_TIMEOUT",
    "NIGHTSHIFT_STATE",
    "NIGHTSHIFT_TLS_CERT",
    "NIGHTSHIFT_TLS_KEY",
    "NIGHTSHIFT_TOKENS",
    "NIGHTSHIFT_TOKEN_FILE",
    "NIGHTSHIFT_WEBHOOK",
    "NIGHTSHIFT_WEBHOOK_CA",
    "NIGHTSHIFT_WEBHOOK_SECRET_FILE",
    "NIGHTSHIFT_WORKER",
    "NIGHTSHIFT_WORKER_HTTP",
    "NIGHTSHIFT_WORKER_HTTP_INSECURE",
];

/// Those that users set besides: `docs/cli.md` says what for.
pub const OTHERS: [&str; 5] = [
    "NIGHTSHIFT_BROKER_PASSWORD",
    "NIGHTSHIFT_NATIVE_DIR",
    "NIGHTSHIFT_OPENVINO_DEVICE",
    "NIGHTSHIFT_TOKEN",
    "NIGHTSHIFT_WEIGHTS",
];

/// Those that programs set for each other, and that this repository's tests are run with: nobody means one of them.
const INTERNAL: [&str; 5] = [
    "NIGHTSHIFT_BIN",
    "NIGHTSHIFT_CHAOS",
    "NIGHTSHIFT_EXECUTOR_FD",
    "NIGHTSHIFT_EXECUTOR_TASK",
    "NIGHTSHIFT_SEED",
];

/// The variables of a program's flags, those of its commands too, sorted.
pub fn of_flags<S: Parser>() -> Vec<String> {
    fn collect(command: &Command, names: &mut Vec<String>) {
        let variables = command.get_arguments().filter_map(|arg| arg.get_env());
        names.extend(variables.map(|name| name.to_string_lossy().into_owned()));
        for command in command.get_subcommands() {
            collect(command, names);
        }
    }
    let mut names = Vec::new();
    collect(&S::command(), &mut names);
    names.sort_unstable();
    names.dedup();
    names
}

/// A warning for each variable that looks like one of ours and is none: somebody has misspelt it. `config`: the
/// configuration file, which may name variables with secrets.
pub fn unknown_variables(config: Option<&Path>) -> Vec<String> {
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    unknown(set, |name| {
        config.is_some_and(|config| file::mentions(config, name))
    })
}

fn unknown(set: impl Iterator<Item = String>, is_mentioned: impl Fn(&str) -> bool) -> Vec<String> {
    let of_users = || OF_FLAGS.into_iter().chain(OTHERS);
    let is_known = |name: &str| of_users().chain(INTERNAL).any(|known| known == name);
    let mut names: Vec<String> = set
        .filter(|name| {
            name.starts_with(PREFIX)
                && !is_known(name)
                && !is_of_kubernetes(name)
                && !is_mentioned(name)
        })
        .collect();
    names.sort_unstable();
    let warning = |name: &String| {
        // The beginning that all have in common makes none of them near.
        let ends = of_users().map(|known| &known[PREFIX.len()..]);
        let nearest = file::nearest(&name[PREFIX.len()..], ends, 3);
        let hint = match nearest {
            Some(end) => format!("did you mean {PREFIX}{end}?"),
            None => "`docs/configuration.md` has those of all settings".to_owned(),
        };
        format!("{name} is set, and no program knows this variable; {hint}")
    };
    names.iter().map(warning).collect()
}

/// What Kubernetes sets in pods for each service: `NIGHTSHIFT_COORDINATOR_SERVICE_HOST`, `..._PORT_7070_TCP`.
fn is_of_kubernetes(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(set: &[&str]) -> Vec<String> {
        let set = set.iter().map(|name| (*name).to_owned());
        unknown(set, |name| name == "NIGHTSHIFT_LAB_KEY")
    }

    #[test]
    fn what_looks_like_a_variable_and_is_none_is_warned_about_with_the_nearest() {
        let said = warnings(&["NIGHTSHIFT_NATIV_DIR", "HOME", "NIGHTSHIFT_FOO"]);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("NIGHTSHIFT_FOO is set"), "{said:?}");
        assert!(!said[0].contains("did you mean"), "{said:?}");
        assert!(
            said[1].ends_with("did you mean NIGHTSHIFT_NATIVE_DIR?"),
            "{said:?}"
        );
    }

    #[test]
    fn what_somebody_knows_is_not_warned_about() {
        let mut known: Vec<&str> = OF_FLAGS.to_vec();
        known.extend(OTHERS);
        known.extend(INTERNAL);
        // Of Kubernetes, and of the configuration file.
        known.extend([
            "NIGHTSHIFT_COORDINATOR_SERVICE_HOST",
            "NIGHTSHIFT_COORDINATOR_SERVICE_PORT_GRPC",
            "NIGHTSHIFT_COORDINATOR_PORT",
            "NIGHTSHIFT_COORDINATOR_PORT_7070_TCP_ADDR",
            "NIGHTSHIFT_LAB_KEY",
        ]);
        assert_eq!(warnings(&known), [""; 0]);
    }
}

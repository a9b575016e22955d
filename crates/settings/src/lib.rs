//! Settings of a program, merged once at start: defaults < file < environment < flags.
//!
//! A program declares its flags with clap and nothing else. A configuration file holds one section a program, whose
//! keys are the long flags with `_` for `-`; what it says becomes the flag's default, so that one parser checks every
//! value wherever it came from:
//!
//! ```yaml
//! coordinator: {listen: "0.0.0.0:7070", tls_cert: /etc/nightshift/tls.crt}
//! worker: {pool: gpu, slots: 2}
//! ```

mod document;
mod file;
mod time;
mod variables;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, Id, Parser, parser::ValueSource};

pub use document::page;
pub use file::{FileError, SECTIONS};
pub use time::time;
pub use variables::{OF_FLAGS, OTHERS, of_flags, unknown_variables};

const CONFIG: &str = "config";
const PRINT: &str = "print_config";
/// Where the file is looked for if no flag names it.
pub const CONFIG_VARIABLE: &str = "NIGHTSHIFT_CONFIG";

/// The flag that names the configuration file; part of every program's settings.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConfigFile {
    /// Configuration file; flags and environment win over it
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = CONFIG_VARIABLE,
        hide_env = true
    )]
    pub config: Option<PathBuf>,
}

/// What a start comes to. `C` is what of the settings can be checked where nothing is done: all of them, but for a
/// program of many commands.
#[derive(Debug)]
pub enum Start<S, C = S> {
    Run(S),
    /// The merged settings were asked for, as this text.
    Show(C, String),
    /// Help or version was asked for: print this and end well.
    Print(String),
}

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(transparent)]
    File(#[from] FileError),
    /// Rendered by clap, with usage; ends with a line feed.
    #[error("{0}")]
    Usage(String),
}

/// Says what is wrong with sections of a file that somebody else reads, one line a problem.
pub type Others = fn(&Path) -> Vec<String>;

/// Reads the program's settings. `section`: the program's name in the file. `others` is asked only where the file is refused
/// anyway, so that all of its mistakes are said at once.
pub fn load<S: Parser, C: FromArgMatches>(
    section: &str,
    others: Others,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Start<S, C>, SettingsError> {
    let command = command::<S>();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let first = command
        .clone()
        .ignore_errors(true)
        .try_get_matches_from(&arguments)
        .ok();
    let named = first
        .as_ref()
        .and_then(|matches| matches.get_one::<PathBuf>(CONFIG).cloned());
    let mut command = command;
    // After an error this first look may have stopped before the defaults.
    let print = first.and_then(|matches| matches.try_get_one(PRINT).ok().flatten().copied());
    if print == Some(true) {
        // Nothing is going to be done, so nothing has to be said about what to do.
        command = command
            .subcommand_required(false)
            .arg_required_else_help(false);
    }
    refuse_variables(&command, section)?;
    // Before the file's values, with which an argument moves to the end.
    let order: Vec<Id> = configurable(&command)
        .map(|arg| arg.get_id().clone())
        .collect();
    let mut from_file = Vec::new();
    if let Some(path) = &named {
        for (key, values) in file::section(path, section, others, &command)? {
            command = command.mut_arg(&key, |arg| arg.default_values(values));
            from_file.push(key);
        }
    }
    let matches = match command.try_get_matches_from_mut(&arguments) {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => {
            return Err(SettingsError::Usage(error.render().to_string()));
        }
        Err(error) => return Ok(Start::Print(error.render().to_string())),
    };
    let usage = |error: clap::Error| SettingsError::Usage(error.render().to_string());
    if matches.get_flag(PRINT) {
        let text = printed(&command, &order, section, &matches, &from_file);
        let settings = C::from_arg_matches(&matches).map_err(usage)?;
        return Ok(Start::Show(settings, text));
    }
    S::from_arg_matches(&matches).map(Start::Run).map_err(usage)
}

/// A program's `main`: reads its settings, runs it, or says what is wrong or was asked for. `show` prints the text that
/// it is given, and checks the settings as a run would.
pub fn start<S: Parser, C: FromArgMatches>(
    section: &str,
    others: Others,
    run: impl FnOnce(S) -> ExitCode,
    show: impl FnOnce(C, String) -> ExitCode,
) -> ExitCode {
    match load::<S, C>(section, others, std::env::args_os()) {
        Ok(Start::Run(settings)) => run(settings),
        Ok(Start::Show(settings, text)) => show(settings, text),
        Ok(Start::Print(text)) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", described(section, &error).trim_end());
            ExitCode::from(match error {
                SettingsError::File(file) => file.exit_code(),
                SettingsError::Usage(_) => 2,
            })
        }
    }
}

/// Prints on standard output. Whoever closed the pipe early has read enough.
pub fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// The error with its causes; clap's own are complete.
fn described(program: &str, error: &SettingsError) -> String {
    let SettingsError::File(file) = error else {
        return error.to_string();
    };
    format!("{program}: {}", types::chain(file))
}

/// The program's flags, and the one that asks for the merged settings.
fn command<S: Parser>() -> Command {
    S::command().arg(
        Arg::new(PRINT)
            .long("print-config")
            .global(true)
            .action(ArgAction::SetTrue)
            .help("Print every setting with where it comes from, and end"),
    )
}

/// A setting without a variable has a reason for it; somebody who sets one all the same is told, not ignored.
fn refuse_variables(command: &Command, section: &str) -> Result<(), SettingsError> {
    for arg in configurable(command).filter(|arg| arg.get_env().is_none()) {
        let variable = format!("NIGHTSHIFT_{}", key(arg).to_uppercase());
        if std::env::var_os(&variable).is_some() {
            return Err(SettingsError::Usage(format!(
                "{section}: {variable} is set, and this setting is not read from the environment; say --{} instead",
                arg.get_long().unwrap_or_default()
            )));
        }
    }
    Ok(())
}

/// The flags that a configuration file may set.
fn configurable(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        arg.get_long().is_some()
            && !["help", "version", CONFIG, PRINT].contains(&arg.get_id().as_str())
            && !arg.is_positional()
    })
}

fn key(arg: &Arg) -> String {
    arg.get_long().unwrap_or_default().replace('-', "_")
}

/// The merged settings as a section of a configuration file.
fn printed(
    command: &Command,
    order: &[Id],
    section: &str,
    matches: &ArgMatches,
    from_file: &[String],
) -> String {
    let mut text = format!("{section}:\n");
    let mut args: Vec<&Arg> = configurable(command).collect();
    args.sort_by_key(|arg| order.iter().position(|id| id == arg.get_id()));
    for arg in args {
        let id = arg.get_id().as_str();
        let origin = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "environment",
            _ if from_file.iter().any(|key| key == id) => "file",
            _ => "default",
        };
        let values: Vec<String> = matches
            .get_raw(id)
            .into_iter()
            .flatten()
            .map(|value| without_password(&value.to_string_lossy()))
            .collect();
        let value = match (values.as_slice(), arg.get_action()) {
            (_, ArgAction::SetTrue) => matches.get_flag(id).to_string(),
            ([], _) => "null".to_owned(),
            (values, ArgAction::Append) => format!(
                "[{}]",
                values
                    .iter()
                    .map(|value| quoted(value))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            (values, _) => quoted(&values.join(",")),
        };
        text += &format!("  {}: {value}  # {origin}\n", key(arg));
    }
    text
}

/// An address as it may be shown: what stands before an `@` after a colon is left out, and passwords among its parameters. Also
/// of what is no address, since this is shown before anything is made of it.
fn without_password(value: &str) -> String {
    without_parameters(&without_user_password(value))
}

fn without_user_password(value: &str) -> String {
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), value),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A password may itself hold what ends an authority; then all of the rest is in doubt.
    let (before, after) = match (authority.rsplit_once('@'), rest.rsplit_once('@')) {
        (Some((before, _)), _) => (before, &rest[before.len() + 1..]),
        (None, Some((before, after))) => (before, after),
        (None, None) => return value.to_owned(),
    };
    match before.split_once(':') {
        Some((user, _)) => format!("{scheme}{user}:***@{after}"),
        None => value.to_owned(),
    }
}

fn without_parameters(value: &str) -> String {
    let Some((address, parameters)) = value.split_once('?') else {
        return value.to_owned();
    };
    let shown = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}=***"),
        _ => parameter.to_owned(),
    };
    let parameters: Vec<String> = parameters.split('&').map(shown).collect();
    format!("{address}?{}", parameters.join("&"))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "token", "key", "signature"]
        .iter()
        .any(|word| name.contains(word))
}

fn quoted(value: &str) -> String {
    let plain = value
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if plain && !value.is_empty() {
        value.to_owned()
    } else {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests;

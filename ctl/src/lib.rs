//! The user's side of Nightshift: reads job files, talks to a coordinator, starts a private one if there is none.
//!
//! Links no native library and no image codec, so that it starts in milliseconds.

mod client;
mod cluster;
mod commands;
mod error;
mod job_file;
mod output;
mod places;
mod progress;
mod rows;
mod summary;
mod watch;
mod yaml;

use std::process::ExitCode;

use clap::Parser;

pub use error::Error;

/// Score last night's images before the morning shift arrives.
///
/// Exit codes: 0 ok, 1 job failed, 2 usage or invalid file, 3 not found, 4 cannot reach, 5 denied,
/// 6 cannot run here, 130 interrupted.
#[derive(Parser)]
#[command(name = "ctl", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: commands::Command,
}

/// Options of every command.
#[derive(clap::Args)]
pub struct Common {
    /// State folder of the coordinator, where its socket lies [default: $XDG_STATE_HOME/nightshift]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "NIGHTSHIFT_STATE",
        hide_env = true
    )]
    state: Option<std::path::PathBuf>,
    /// Configuration file: which remote stores there are (docs/operations.md)
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "NIGHTSHIFT_CONFIG",
        hide_env = true
    )]
    config: Option<std::path::PathBuf>,
    /// Form of the output
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: output::Format,
}

/// Reads the arguments, does it, says what went wrong.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are no errors; a reader that closed the pipe early is none of ours.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { error::USAGE } else { 0 });
        }
    };
    match commands::run(&cli.common, cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print();
            ExitCode::from(error.exit_code())
        }
    }
}

#[cfg(test)]
mod tests;

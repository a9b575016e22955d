//! The user's side of Nightshift: reads job files, talks to a coordinator, starts a private one if there is none.
//!
//! Links no native library and no image codec, so that it starts in milliseconds.

mod client;
mod cluster;
mod commands;
mod comparison;
mod completion;
mod coverage;
mod differences;
mod distribution;
mod drawing;
mod error;
mod estimate;
mod job_file;
mod job_report;
mod machine;
mod model_page;
mod output;
mod page;
mod places;
mod predicted;
mod private;
mod progress;
mod redecision;
mod resume;
mod rethresholded;
mod rows;
mod scored_run;
mod slowest;
mod stored_file;
mod summary;
mod switched;
mod target;
mod trials;
mod watch;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

pub use completion::complete;
pub use error::Error;

/// Score last night's images before the morning shift arrives.
///
/// Exit codes: 0 ok, 1 job failed or not whole, 2 usage or invalid file, 3 not found, 4 cannot reach, 5 denied,
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
    #[command(flatten)]
    reach: proto::Reach,
    #[command(flatten)]
    file: settings::ConfigFile,
    /// Form of the output
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: output::Format,
}

impl Common {
    fn config(&self) -> Option<&Path> {
        self.file.config.as_deref()
    }
}

/// Does what was asked, says what went wrong.
pub fn run(cli: Cli) -> ExitCode {
    warn_of_variables(&cli.common);
    ended(commands::run(&cli.common, cli.command))
}

/// Prints the merged settings, and ends as every command would that finds something wrong with them.
pub fn show(common: Common, text: String) -> ExitCode {
    warn_of_variables(&common);
    settings::print(&text);
    ended(
        places::coordinator(&common)
            .map(drop)
            .and_then(|()| Ok(store::Stores::read(common.config())?))
            .map(|stores| settings::print(&stores.shown())),
    )
}

fn warn_of_variables(common: &Common) {
    for warning in settings::unknown_variables(common.config()) {
        eprintln!("warning: {warning}");
    }
}

fn ended(outcome: Result<(), Error>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print();
            ExitCode::from(error.exit_code())
        }
    }
}

#[cfg(test)]
mod tests;

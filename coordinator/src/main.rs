//! The program `coordinator`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    coordinator::run(coordinator::Settings::parse())
}

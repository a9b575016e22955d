//! The program `worker`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    worker::run(worker::Settings::parse())
}

//! The program `coordinator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    settings::start("coordinator", coordinator::run, coordinator::show)
}

//! The program `worker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    settings::start("worker", worker::run, worker::show)
}

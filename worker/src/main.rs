//! The program `worker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    settings::start("worker", store::mistakes, worker::run, worker::show)
}

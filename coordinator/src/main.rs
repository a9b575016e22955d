//! The program `coordinator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    settings::start(
        "coordinator",
        store::mistakes,
        coordinator::run,
        coordinator::show,
    )
}

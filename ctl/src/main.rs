//! Program `ctl`: what people type.

use std::process::ExitCode;

fn main() -> ExitCode {
    settings::start("ctl", ctl::run, ctl::show)
}

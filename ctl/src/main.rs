//! Program `ctl`: what people type.

use std::process::ExitCode;

fn main() -> ExitCode {
    ctl::complete();
    settings::start("ctl", ctl::run, ctl::show)
}

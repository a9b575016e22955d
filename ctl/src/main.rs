//! Program `ctl`: what people type.

use std::process::ExitCode;

fn main() -> ExitCode {
    ctl::complete();
    settings::start("ctl", store::mistakes, ctl::run, ctl::show)
}

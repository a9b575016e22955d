//! Program `ctl`: what people type.

use std::process::ExitCode;

fn main() -> ExitCode {
    settings::start("ctl", store::mistakes, ctl::run, ctl::show)
}

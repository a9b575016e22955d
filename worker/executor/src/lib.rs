//! The program that computes: one task at a time, told and watched by the worker's agent over a socket pair.
//!
//! It may crash, hang, leak or be killed; everything it leaves behind lies under the attempt's prefix.

mod archived;
mod attempt;
mod attempt_log;
mod certificate;
mod decision;
mod defects;
mod error;
mod export_metadata;
mod extremes;
mod features;
mod findings;
mod fingerprint;
mod handover;
mod head;
mod images;
mod kept;
mod level;
mod model;
mod model_file;
mod object_file;
mod openvino_ir;
mod packages;
mod parallel;
mod parity;
mod pictures;
mod pixels;
mod probe;
mod scoring;
mod serve;
mod sorted;
mod spool;
mod stages;
mod states;
mod tasks;

pub use probe::{present, probe};
pub use serve::serve;

/// What `executor` and `executor-torch` do alike.
pub fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("--probe") => println!("{}", probe()),
        Some("--engines") => println!("{}", present()),
        Some("--version") => println!("executor {}", env!("CARGO_PKG_VERSION")),
        None => serve()?,
        Some(other) => anyhow::bail!(
            "unknown argument {other:?}: the executor is started by `worker`; `executor --probe` describes the machine"
        ),
    }
    Ok(())
}

//! The program `executor`: computes for a worker's agent, or says with `--probe` what this machine can compute with.

fn main() -> anyhow::Result<()> {
    #[cfg(feature = "torch")]
    engines_torch::link();
    match std::env::args().nth(1).as_deref() {
        Some("--probe") => println!("{}", executor::probe()),
        Some("--version") => println!("executor {}", env!("CARGO_PKG_VERSION")),
        None => executor::serve()?,
        Some(other) => anyhow::bail!(
            "unknown argument {other:?}: the executor is started by `worker`; `executor --probe` describes the machine"
        ),
    }
    Ok(())
}

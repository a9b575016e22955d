//! The program `executor`: computes for a worker's agent, or says with `--probe` what this machine can compute with.

fn main() -> anyhow::Result<()> {
    executor::main()
}

//! Compiles the .proto files in pure Rust: no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let ours = protox::compile(
        [
            "nightshift/v1/coordinator.proto",
            "nightshift/v1/executor.proto",
        ],
        ["proto"],
    )?;
    tonic_prost_build::configure()
        .extern_path(".opentelemetry.proto.collector.trace.v1", "crate::otlp")
        .compile_fds(ours)?;
    // After ours, which leaves an empty file of this package's name.
    let theirs = protox::compile(["opentelemetry/trace.proto"], ["proto"])?;
    tonic_prost_build::configure().compile_fds(theirs)?;
    Ok(())
}

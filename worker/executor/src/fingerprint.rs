//! What the bits of a result depend on besides its inputs: engine, CPU, instruction set, threads.

use std::fs;

use engines::{CPU, Precision};

pub fn fingerprint(
    (engine, version): (&str, &str),
    device: &str,
    precision: Precision,
    threads: usize,
) -> String {
    let device = match device {
        CPU => String::new(),
        other => format!(" on {other}"),
    };
    let precision = match precision {
        Precision::F32 => String::new(),
        other => format!(" {}", other.name()),
    };
    let isa = engines::cpu_features().join("+");
    format!(
        "{engine} {version}{device}{precision}; {}; {isa}; {threads} threads; nightshift {}",
        cpu_model(),
        env!("CARGO_PKG_VERSION")
    )
}

pub fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':')).map_or_else(
        || "unknown cpu".to_owned(),
        |(_, name)| name.trim().to_owned(),
    )
}

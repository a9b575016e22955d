//! What this machine has: host name, processors, memory, native libraries.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use types::{Incarnation, WorkerName};

use crate::cgroup;

/// The host name, as far as a worker's name can hold it.
pub fn host_name() -> WorkerName {
    let raw = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let allowed: String = raw
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        .collect();
    format!("host-{allowed}")
        .parse()
        .unwrap_or_else(|_| unnamed())
}

fn unnamed() -> WorkerName {
    // A constant that is a valid name.
    "host"
        .parse()
        .unwrap_or_else(|_| unreachable!("`host` is a valid worker name"))
}

/// A number that differs from that of every earlier start: the time of this one.
pub fn incarnation() -> Incarnation {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Incarnation(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Processors that this process may use: affinity and the quota of its control group.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Memory of the machine or of the control group, whichever is less.
pub fn memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_ascii_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
            .map(|kib| kib * 1024)
    });
    machine
        .unwrap_or(u64::MAX)
        .min(cgroup::memory_limit().unwrap_or(u64::MAX))
}

/// The executor beside this program.
pub fn executor_beside() -> io::Result<PathBuf> {
    Ok(folder_of_program()?.join("executor"))
}

/// The native libraries: where the user says, else `lib/` beside the executor.
pub fn native_folder(executor: &Path) -> Option<PathBuf> {
    let named = std::env::var_os("NIGHTSHIFT_NATIVE_DIR")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from);
    named
        .or_else(|| executor.parent().map(|folder| folder.join("lib")))
        .filter(|folder| folder.is_dir())
}

fn folder_of_program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    program
        .parent()
        .map(Path::to_owned)
        .ok_or_else(|| io::Error::other("the running program has no folder"))
}

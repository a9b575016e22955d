//! Processes seen from outside: who started whom, who is alive, signals, and waiting for a condition.

use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, kill_process, prlimit};

pub use rustix::process::Signal;

/// Looks again and again until there is something; a condition that does not come true in time fails the test.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    match within(limit, look) {
        Some(found) => found,
        None => panic!("not within {limit:?}: {what}"),
    }
}

/// Looks again and again until there is something, or the time is over.
pub fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let found = look();
        if found.is_some() || start.elapsed() >= limit {
            return found;
        }
        sleep(Duration::from_millis(10));
    }
}

/// One process; its start time tells it from a later one of the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub id: u32,
    pub name: String,
    started: u64,
}

struct Stat {
    name: String,
    state: String,
    parent: u32,
    threads: u32,
    started: u64,
}

fn stat(id: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (head, tail) = text.rsplit_once(')')?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    Some(Stat {
        name: head.split_once('(')?.1.to_owned(),
        state: (*fields.first()?).to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

impl Process {
    pub fn of(id: u32) -> Option<Self> {
        let stat = stat(id)?;
        Some(Self {
            id,
            name: stat.name,
            started: stat.started,
        })
    }

    /// Whether it is an executor that a worker asks at its start what it has; one that has ended has no words any more.
    pub fn only_tells(&self) -> bool {
        let words = fs::read(format!("/proc/{}/cmdline", self.id)).unwrap_or_default();
        let mut arguments = words.split(|byte| *byte == 0).skip(1);
        let asks = arguments.any(|word| word == b"--engines" || word == b"--probe");
        self.name == "executor" && (asks || words.is_empty())
    }

    /// One that has ended and waits to be reaped is not alive. Killed, its first thread may end before the others, which hold
    /// its files still.
    pub fn is_alive(&self) -> bool {
        let ended = |now: &Stat| now.state == "Z" && now.threads <= 1;
        stat(self.id).is_some_and(|now| now.started == self.started && !ended(&now))
    }

    /// The signal, unless the process has gone already.
    pub fn signal(&self, signal: Signal) {
        if self.is_alive() {
            let _ = kill_process(Pid::from_raw(self.id.cast_signed()).unwrap(), signal);
        }
    }

    /// From now on it gets no more than this beyond what it has: the next larger allocation fails.
    pub fn allow_more_memory(&self, bytes: u64) {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.id)).unwrap();
        let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
        let limit = Some(pages * rustix::param::page_size() as u64 + bytes);
        let limits = Rlimit {
            current: limit,
            maximum: limit,
        };
        prlimit(Pid::from_raw(self.id.cast_signed()), Resource::As, limits).unwrap();
    }

    #[track_caller]
    pub fn wait_for_end(&self, limit: Duration) {
        until(&format!("the end of {self:?}"), limit, || {
            (!self.is_alive()).then_some(())
        });
    }
}

/// Everything that a process has started, and what that has started.
pub fn descendants(of: u32) -> Vec<Process> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            && let Some(stat) = stat(id)
        {
            children.entry(stat.parent).or_default().push(id);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![of];
    while let Some(parent) = open.pop() {
        for id in children.get(&parent).into_iter().flatten() {
            open.push(*id);
            found.extend(Process::of(*id));
        }
    }
    found
}

/// Processes whose command line or environment names something: a sandbox's programs, and whatever they have started.
pub fn naming(word: &str) -> Vec<Process> {
    let says = |id: u32, file: &str| {
        let text = fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
        text.windows(word.len()).any(|part| part == word.as_bytes())
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| says(*id, "cmdline") || says(*id, "environ"))
        .filter_map(Process::of)
        .filter(Process::is_alive)
        .collect()
}

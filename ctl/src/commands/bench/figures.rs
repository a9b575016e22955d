//! Numbers of a measurement: how times are spread, and what a process has used.

use std::fs;
use std::io;

use serde_json::{Value, json};

/// Times, sorted.
pub struct Spread(Vec<f64>);

impl Spread {
    pub fn of(mut times_ms: Vec<f64>) -> Self {
        times_ms.sort_by(f64::total_cmp);
        Self(times_ms)
    }

    /// The smallest time that this share of all does not exceed.
    pub fn at(&self, share: f64) -> Option<f64> {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.max(1) - 1).copied()
    }

    pub fn value(&self) -> Value {
        json!({"count": self.0.len(), "p50": self.at(0.5).map(round), "p99": self.at(0.99).map(round), "max": self.at(1.0).map(round)})
    }
}

/// To a thousandth.
pub fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub cpu_s: f64,
    /// The most memory that it had in RAM.
    pub peak_mib: f64,
}

impl Usage {
    pub fn of(pid: u32) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let ticks = cpu_ticks(&stat).ok_or_else(|| wrong("/proc/PID/stat has another form"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = peak_kib(&status).ok_or_else(|| wrong("/proc/PID/status says no VmHWM"))?;
        Ok(Self {
            cpu_s: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
            peak_mib: kib as f64 / 1024.0,
        })
    }

    /// CPU seconds between two looks.
    pub fn cpu_between(before: Self, after: Self) -> f64 {
        after.cpu_s - before.cpu_s
    }
}

/// User and system time: the 14th and 15th field; the second, in brackets, may hold blanks.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn peak_kib(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_definition() {
        let spread = Spread::of((1..=200).rev().map(f64::from).collect());
        assert_eq!(
            (spread.at(0.5), spread.at(0.99), spread.at(1.0)),
            (Some(100.0), Some(198.0), Some(200.0))
        );
        assert_eq!(Spread::of(vec![7.0]).at(0.5), Some(7.0));
        assert_eq!(Spread::of(Vec::new()).at(0.5), None);
    }

    #[test]
    fn the_kernels_texts_are_read() {
        let stat = "17 (a b) c) S 1 17 17 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 1 1 1";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(peak_kib("Name:\tx\nVmHWM:\t    2048 kB\n"), Some(2048));
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.peak_mib > 1.0, "{usage:?}");
    }
}

//! When executors began and ended tasks: lines that they append to a file and the command reads. All are on one machine,
//! so one clock tells them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use types::{JobId, TaskId, TaskIndex};

/// Microseconds since 1970.
pub type Micros = u64;

pub fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| {
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The executor had read its task.
    pub begun: Micros,
    /// It was about to say that it is done.
    pub done: Micros,
}

/// Of a job's tasks.
pub type OfJob = BTreeMap<TaskIndex, Stamp>;

/// Where executors write; each line in one go, so that lines of several do not mix.
pub struct Stamps(File);

impl Stamps {
    pub fn append(path: &Path) -> io::Result<Self> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map(Self)
    }

    pub fn put(&mut self, task: &TaskId, stamp: Stamp) -> io::Result<()> {
        let line = format!("{task} {} {}\n", stamp.begun, stamp.done);
        self.0.write_all(line.as_bytes())
    }
}

/// The stamps of each job's tasks, and how often a task was done more than once.
pub fn read(path: &Path) -> io::Result<(BTreeMap<JobId, OfJob>, u64)> {
    let (mut jobs, mut repeated) = (BTreeMap::<_, OfJob>::new(), 0);
    for line in fs::read_to_string(path)?.lines() {
        let (task, stamp) = parse(line).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{line:?} is no stamp"))
        })?;
        let before = jobs.entry(task.job).or_default().insert(task.index, stamp);
        repeated += u64::from(before.is_some());
    }
    Ok((jobs, repeated))
}

fn parse(line: &str) -> Option<(TaskId, Stamp)> {
    let mut words = line.split(' ');
    let task = words.next()?.parse().ok()?;
    let stamp = Stamp {
        begun: words.next()?.parse().ok()?,
        done: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some((task, stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_second_try_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stamps");
        let task: TaskId = "abcd1234-0007".parse().unwrap();
        let (first, second) = (
            Stamp { begun: 5, done: 9 },
            Stamp {
                begun: 11,
                done: 12,
            },
        );
        for stamp in [first, second] {
            Stamps::append(&path).unwrap().put(&task, stamp).unwrap();
        }
        let (jobs, repeated) = read(&path).unwrap();
        assert_eq!(jobs[&task.job][&task.index], second);
        assert_eq!(repeated, 1);
    }

    #[test]
    fn a_line_that_is_no_stamp_is_an_error() {
        for line in [
            "",
            "abcd1234-0007 5",
            "abcd1234-0007 5 x",
            "abcd1234-0007 5 6 7",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }
}

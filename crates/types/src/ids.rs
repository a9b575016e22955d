//! Ids as types of their own, so that a job's id can never stand where a task's is meant.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is not the id it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: expected {expected}")]
pub struct ParseIdError {
    pub what: &'static str,
    pub text: String,
    pub expected: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseIdError { what: $what, text: text.to_owned(), expected: $expected })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// What names may hold: they become path segments, so nothing that a path gives meaning to.
fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with('.')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_job_id(text: &str) -> bool {
    (4..=32).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

text_id!(
    /// A job: lower-case letters and digits, chosen at random by the coordinator.
    JobId, "job id", "4 to 32 lower-case letters and digits", is_job_id
);
text_id!(
    /// A worker's name: stable over restarts of the machine's agent.
    WorkerName, "worker name", "letters, digits, '-', '_' and '.'", is_name
);
text_id!(
    /// A named set of workers with one queue.
    PoolName, "pool name", "letters, digits, '-', '_' and '.'", is_name
);
text_id!(
    /// Chosen by the sender; the same request sent twice is done once.
    RequestId, "request id", "letters, digits, '-', '_' and '.'", is_name
);

impl Default for PoolName {
    fn default() -> Self {
        Self("cpu".to_owned())
    }
}

/// One start of a worker's agent: a restarted agent has another number under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

/// The coordinator's own fencing number: rises with each start, asserted by every transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A lease's fencing token: it only grows, over all tasks, jobs, restarts and epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseNumber(pub u64);

impl fmt::Display for LeaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A task's place in its job's plan, in order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskIndex(pub u32);

/// A task of a job, written `JOB-INDEX`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId {
    pub job: JobId,
    pub index: TaskIndex,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:04}", self.job, self.index.0)
    }
}

impl FromStr for TaskId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError {
            what: "task id",
            text: text.to_owned(),
            expected: "JOB-INDEX, such as 7k2m9x4c-0012",
        };
        let (job, index) = text.rsplit_once('-').ok_or_else(error)?;
        Ok(Self {
            job: job.parse().map_err(|_| error())?,
            index: TaskIndex(index.parse().map_err(|_| error())?),
        })
    }
}

impl TryFrom<String> for TaskId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> String {
        id.to_string()
    }
}

/// Where one attempt writes: the name of its folder under `jobs/{job}/tasks/{task}/`.
///
/// `{lease}-{random}`: unique even when a database restored from a backup grants a lease number again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptPrefix {
    pub task: TaskId,
    pub lease: LeaseNumber,
    /// Random suffix, 8 hexadecimal digits.
    pub nonce: u32,
}

impl AttemptPrefix {
    /// Path of the attempt's folder, relative to the store's root; no slash at its end.
    pub fn path(&self) -> String {
        format!(
            "jobs/{}/tasks/{}/{}-{:08x}",
            self.task.job, self.task, self.lease, self.nonce
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_ids_read_back() {
        let id = TaskId {
            job: "abcd1234".parse().unwrap(),
            index: TaskIndex(7),
        };
        assert_eq!(id.to_string(), "abcd1234-0007");
        assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
        let wide = TaskId {
            index: TaskIndex(123_456),
            ..id
        };
        assert_eq!(wide.to_string().parse::<TaskId>().unwrap(), wide);
    }

    #[test]
    fn names_cannot_leave_their_folder() {
        for bad in ["", "..", "a/b", ".hidden", "a\\b", "a b", "é"] {
            assert!(bad.parse::<PoolName>().is_err(), "{bad:?}");
        }
        assert!("GPU-a100_2.x".parse::<PoolName>().is_ok());
    }
}

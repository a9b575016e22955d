//! Which workers can do a job's tasks, and if none takes one now, exactly why. A function of values.

use std::{collections::BTreeSet, fmt};

use job::resolved::{EngineChoice, Resources};
use types::{Labels, TaskKind};

use crate::{query::WorkerState, rows::WorkerRow};

/// What a job's tasks need of their worker.
#[derive(Debug, Clone, Copy)]
pub struct Needs<'a> {
    pub pool: &'a str,
    /// Kinds of its tasks. A worker gets nothing of a job of which it could do only a part.
    pub kinds: &'a BTreeSet<TaskKind>,
    pub engine: Option<&'static str>,
    pub labels: &'a Labels,
    pub memory_bytes: u64,
}

/// A worker of the pool as it stands.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    pub row: &'a WorkerRow,
    pub state: WorkerState,
    pub busy: u32,
    /// Of its memory, what the tasks that it runs may use.
    pub held_bytes: u64,
}

/// What the pool has for a job's tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// No live worker can do them, whatever becomes free.
    Nobody(Lack),
    /// There is a free slot, but too much memory is held beside it.
    NoRoom { needed_bytes: u64, free_bytes: u64 },
    /// Slots of the workers that can do them.
    Slots { free: u32, all: u32 },
}

/// Why no live worker can do a job's tasks: what the last of them was missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    Worker {
        pool: String,
        /// Workers that are there, but take nothing.
        quarantined: u32,
        draining: u32,
        unheard: u32,
    },
    /// All of them are of a release that does not know these kinds of tasks.
    Kinds {
        among: String,
        unknown: Vec<TaskKind>,
        versions: Vec<String>,
    },
    Engine {
        among: String,
        engine: &'static str,
        present: Vec<String>,
    },
    Labels {
        among: String,
        missing: Labels,
    },
    Memory {
        among: String,
        needed_bytes: u64,
        largest_bytes: u64,
    },
}

impl<'a> Needs<'a> {
    pub fn of(resources: &'a Resources, kinds: &'a BTreeSet<TaskKind>) -> Self {
        Self {
            pool: resources.pool.as_str(),
            kinds,
            engine: match resources.engine {
                EngineChoice::Auto => None,
                engine => Some(engine.as_str()),
            },
            labels: &resources.labels,
            memory_bytes: resources.memory_bytes.unwrap_or(0),
        }
    }

    /// Whether the worker can do the tasks at all.
    pub fn are_met_by(&self, worker: &WorkerRow) -> bool {
        self.kinds.is_subset(&worker.kinds)
            && self.has_engine(worker)
            && self.labels.are_among(&worker.labels)
            && worker.memory_bytes >= self.memory_bytes
    }

    fn has_engine(&self, worker: &WorkerRow) -> bool {
        self.engine
            .is_none_or(|engine| worker.engines.iter().any(|has| has == engine))
    }
}

/// Looks at the workers of the pool; need by need, so that the answer names the one that nobody meets.
pub fn place(needs: &Needs<'_>, offers: &[Offer<'_>]) -> Placement {
    let count = |state| offers.iter().filter(|o| o.state == state).count() as u32;
    let mut among = format!("pool {}", needs.pool);
    let live: Vec<&Offer<'_>> = offers
        .iter()
        .filter(|offer| offer.state == WorkerState::Live)
        .collect();
    if live.is_empty() {
        return Placement::Nobody(Lack::Worker {
            pool: needs.pool.to_owned(),
            quarantined: count(WorkerState::Quarantined),
            draining: count(WorkerState::Draining),
            unheard: count(WorkerState::Unheard),
        });
    }
    let mut able = live.clone();
    able.retain(|offer| needs.kinds.is_subset(&offer.row.kinds));
    if able.is_empty() {
        let known = |kind: &TaskKind| live.iter().any(|offer| offer.row.kinds.contains(kind));
        let mut unknown: Vec<TaskKind> = needs.kinds.iter().copied().collect();
        // If each of them is known somewhere, but all of them nowhere, all are named.
        if !unknown.iter().all(known) {
            unknown.retain(|kind| !known(kind));
        }
        let mut versions: Vec<String> = live.iter().map(|o| o.row.version.clone()).collect();
        versions.sort();
        versions.dedup();
        return Placement::Nobody(Lack::Kinds {
            among,
            unknown,
            versions,
        });
    }
    let live = able.clone();
    able.retain(|offer| needs.has_engine(offer.row));
    if let (Some(engine), true) = (needs.engine, able.is_empty()) {
        let mut present: Vec<String> = live.iter().flat_map(|o| o.row.engines.clone()).collect();
        present.sort();
        present.dedup();
        return Placement::Nobody(Lack::Engine {
            among,
            engine,
            present,
        });
    }
    if let Some(engine) = needs.engine {
        among += &format!(" with the engine {engine}");
    }
    let with_engine = able.clone();
    able.retain(|offer| needs.labels.are_among(&offer.row.labels));
    if able.is_empty() {
        let nowhere = needs
            .labels
            .nowhere_among(with_engine.iter().map(|offer| &offer.row.labels));
        // Each of them is somewhere, but all of them nowhere.
        let missing = if nowhere.is_empty() {
            needs.labels.clone()
        } else {
            nowhere
        };
        return Placement::Nobody(Lack::Labels { among, missing });
    }
    if !needs.labels.is_empty() {
        among += &format!(" labelled {}", needs.labels);
    }
    let largest_bytes = able.iter().map(|o| o.row.memory_bytes).max().unwrap_or(0);
    able.retain(|offer| offer.row.memory_bytes >= needs.memory_bytes);
    if able.is_empty() {
        return Placement::Nobody(Lack::Memory {
            among,
            needed_bytes: needs.memory_bytes,
            largest_bytes,
        });
    }
    let with_slot: Vec<&&Offer<'_>> = able.iter().filter(|o| o.busy < o.row.slots).collect();
    let free_bytes = with_slot.iter().map(|offer| offer.free_bytes()).max();
    match free_bytes {
        Some(free_bytes) if free_bytes < needs.memory_bytes => Placement::NoRoom {
            needed_bytes: needs.memory_bytes,
            free_bytes,
        },
        _ => Placement::Slots {
            free: with_slot
                .iter()
                .filter(|offer| offer.free_bytes() >= needs.memory_bytes)
                .map(|offer| offer.row.slots - offer.busy)
                .sum(),
            all: able.iter().map(|offer| offer.row.slots).sum(),
        },
    }
}

impl Offer<'_> {
    fn free_bytes(&self) -> u64 {
        self.row.memory_bytes.saturating_sub(self.held_bytes)
    }
}

/// How a job stands in its pool's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub priority: i32,
    pub running: u64,
    /// Age: a smaller number is older.
    pub number: u64,
    pub ready: u64,
}

/// The position in its pool's queue, from 1, of the task behind `before` others of its own job: how many grants until then, if
/// nothing ends meanwhile. Higher priority goes first; among equals the job with the fewest running, then the oldest.
pub fn position(own: &Standing, before: u64, others: impl Iterator<Item = Standing>) -> u64 {
    let running_by_then = own.running + before;
    let ahead = |other: Standing| match other.priority.cmp(&own.priority) {
        std::cmp::Ordering::Greater => other.ready,
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => {
            let first_at_tie = u64::from(other.number < own.number);
            let grants = (running_by_then + first_at_tie).saturating_sub(other.running);
            grants.min(other.ready)
        }
    };
    before + others.map(ahead).sum::<u64>() + 1
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker {
                pool,
                quarantined,
                draining,
                unheard,
            } => {
                write!(f, "no live worker is in pool {pool}")?;
                let closed = [
                    (quarantined, "in quarantine"),
                    (draining, "draining"),
                    (unheard, "not heard of since the coordinator's start"),
                ];
                let closed: Vec<String> = closed
                    .iter()
                    .filter(|(count, _)| **count > 0)
                    .map(|(count, what)| format!("{count} {what}"))
                    .collect();
                match closed.as_slice() {
                    [] => Ok(()),
                    closed => write!(f, ": {}", closed.join(", ")),
                }
            }
            Self::Kinds {
                among,
                unknown,
                versions,
            } => {
                let unknown: Vec<&str> = unknown.iter().map(|kind| kind.as_str()).collect();
                write!(
                    f,
                    "no live worker in {among} knows tasks of the kind {}: start workers of this release there (they are of {})",
                    unknown.join(", "),
                    versions.join(", ")
                )
            }
            Self::Engine {
                among,
                engine,
                present,
            } => {
                let present = match present.as_slice() {
                    [] => "none".to_owned(),
                    present => present.join(", "),
                };
                write!(
                    f,
                    "no live worker in {among} has the engine {engine} (there: {present})"
                )
            }
            Self::Labels { among, missing } => {
                write!(f, "no live worker in {among} is labelled {missing}")
            }
            Self::Memory {
                among,
                needed_bytes,
                largest_bytes,
            } => write!(
                f,
                "no live worker in {among} has {} of memory (the largest has {})",
                size(*needed_bytes),
                size(*largest_bytes)
            ),
        }
    }
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB")];
    let (unit, name) = units
        .into_iter()
        .find(|(unit, _)| bytes >= *unit)
        .unwrap_or((1, "bytes"));
    // Never more than there is: a worker that has 7.99 GiB has no 8.
    let tenths = (u128::from(bytes) * 10 / u128::from(unit)) as u64;
    match tenths % 10 {
        0 => format!("{} {name}", tenths / 10),
        tenth => format!("{}.{tenth} {name}", tenths / 10),
    }
}

#[cfg(test)]
mod tests;

//! Which workers can do a job's tasks, and if none takes one now, exactly why. A function of values.

use std::{collections::BTreeSet, fmt};

use job::resolved::{DeviceChoice, EngineChoice, Resources};
use types::{Labels, TaskKind};

use crate::{query::WorkerState, rows::WorkerRow};

/// What a job's tasks need of their worker.
#[derive(Debug, Clone, Copy)]
pub struct Needs<'a> {
    pub pool: &'a str,
    /// Kinds of its tasks. A worker gets nothing of a job of which it could do only a part.
    pub kinds: &'a BTreeSet<TaskKind>,
    pub device: DeviceChoice,
    /// One of these; none: any will do.
    pub engines: &'static [EngineChoice],
    pub labels: &'a Labels,
    pub memory_bytes: u64,
}

/// One thing that a worker has or has not, in the order in which they are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Kinds,
    Device,
    Engine,
    Labels,
    Memory,
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
    Nobody(Nobody),
    /// There is a free slot, but too much memory is held beside it.
    NoRoom { needed_bytes: u64, free_bytes: u64 },
    /// Slots of the workers that can do them.
    Slots { free: u32, all: u32 },
}

/// Why no live worker can do a job's tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nobody {
    /// None is live.
    Live {
        pool: String,
        /// Workers that are there, but take nothing.
        quarantined: u32,
        draining: u32,
        unheard: u32,
    },
    Lacking {
        /// The live workers that have all the rest.
        among: String,
        /// What none of these has, never empty.
        lacks: Vec<Lack>,
    },
}

/// What a job's tasks need and a worker has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// They are of a release that does not know these kinds of tasks.
    Kinds {
        unknown: Vec<TaskKind>,
        versions: Vec<String>,
    },
    Gpu,
    /// They have GPUs, which are kept for what needs one.
    Cpu,
    Engine {
        /// Any of them would do.
        wanted: Vec<&'static str>,
        present: Vec<String>,
    },
    Labels(Labels),
    Memory {
        needed_bytes: u64,
        largest_bytes: u64,
    },
}

impl Need {
    const ALL: [Self; 5] = [
        Self::Kinds,
        Self::Device,
        Self::Engine,
        Self::Labels,
        Self::Memory,
    ];
}

impl<'a> Needs<'a> {
    pub fn of(
        resources: &'a Resources,
        kinds: &'a BTreeSet<TaskKind>,
        engines: &'static [EngineChoice],
    ) -> Self {
        Self {
            pool: resources.pool.as_str(),
            kinds,
            device: resources.device,
            engines,
            labels: &resources.labels,
            memory_bytes: resources.memory_bytes.unwrap_or(0),
        }
    }

    /// Whether the worker can do the tasks at all.
    pub fn are_met_by(&self, worker: &WorkerRow) -> bool {
        Need::ALL.into_iter().all(|need| self.is_met(need, worker))
    }

    fn is_met(&self, need: Need, worker: &WorkerRow) -> bool {
        match need {
            Need::Kinds => self.kinds.is_subset(&worker.kinds),
            Need::Device => self.device.is_met_by(&worker.devices),
            Need::Engine => {
                let has = |one: &EngineChoice| worker.engines.iter().any(|has| has == one.as_str());
                self.engines.is_empty() || self.engines.iter().any(has)
            }
            Need::Labels => self.labels.are_among(&worker.labels),
            Need::Memory => worker.memory_bytes >= self.memory_bytes,
        }
    }

    fn wanted(&self) -> Vec<&'static str> {
        self.engines.iter().map(|one| one.as_str()).collect()
    }

    /// Those who meet the need while others do not, in words.
    fn word(&self, need: Need) -> String {
        match need {
            Need::Kinds => "of a release that knows its tasks".to_owned(),
            Need::Device => match self.device {
                DeviceChoice::Cpu => "without GPUs".to_owned(),
                DeviceChoice::Auto | DeviceChoice::Gpu => "with a GPU".to_owned(),
            },
            Need::Engine => format!("with the engine {}", self.wanted().join(" or ")),
            Need::Labels => format!("labelled {}", self.labels),
            Need::Memory => format!("with {} of memory", size(self.memory_bytes)),
        }
    }

    /// What workers lack none of whom meets the need.
    fn lack(&self, need: Need, workers: &[&Offer<'_>]) -> Lack {
        let rows = || workers.iter().map(|offer| offer.row);
        match need {
            Need::Kinds => {
                let known = |kind: &TaskKind| rows().any(|row| row.kinds.contains(kind));
                let mut unknown: Vec<TaskKind> = self.kinds.iter().copied().collect();
                // If each of them is known somewhere, but all of them nowhere, all are named.
                if !unknown.iter().all(known) {
                    unknown.retain(|kind| !known(kind));
                }
                let versions = distinct(rows().map(|row| row.version.clone()));
                Lack::Kinds { unknown, versions }
            }
            // Where any will do, nobody lacks one.
            Need::Device => match self.device {
                DeviceChoice::Auto | DeviceChoice::Gpu => Lack::Gpu,
                DeviceChoice::Cpu => Lack::Cpu,
            },
            Need::Engine => Lack::Engine {
                wanted: self.wanted(),
                present: distinct(rows().flat_map(|row| row.engines.clone())),
            },
            Need::Labels => {
                let nowhere = self.labels.nowhere_among(rows().map(|row| &row.labels));
                // Each of them is somewhere, but all of them nowhere.
                Lack::Labels(match nowhere.is_empty() {
                    true => self.labels.clone(),
                    false => nowhere,
                })
            }
            Need::Memory => Lack::Memory {
                needed_bytes: self.memory_bytes,
                largest_bytes: rows().map(|row| row.memory_bytes).max().unwrap_or(0),
            },
        }
    }
}

fn distinct(words: impl Iterator<Item = String>) -> Vec<String> {
    words.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Looks at the workers of the pool; need by need, so that the answer names all that nobody meets beside the others.
pub fn place(needs: &Needs<'_>, offers: &[Offer<'_>]) -> Placement {
    let count = |state| offers.iter().filter(|o| o.state == state).count() as u32;
    let live: Vec<&Offer<'_>> = offers
        .iter()
        .filter(|offer| offer.state == WorkerState::Live)
        .collect();
    if live.is_empty() {
        return Placement::Nobody(Nobody::Live {
            pool: needs.pool.to_owned(),
            quarantined: count(WorkerState::Quarantined),
            draining: count(WorkerState::Draining),
            unheard: count(WorkerState::Unheard),
        });
    }
    let mut able = live;
    let mut among = format!("pool {}", needs.pool);
    let mut unmet = Vec::new();
    for need in Need::ALL {
        let mut with = able.clone();
        with.retain(|offer| needs.is_met(need, offer.row));
        if with.is_empty() {
            unmet.push(need);
            continue;
        }
        // What all of them have says nothing about who is meant.
        if with.len() < able.len() {
            let word = needs.word(need);
            let word = match among.contains(" with ") {
                true => word.replacen("with ", "and ", 1),
                false => word,
            };
            among += &format!(" {word}");
        }
        able = with;
    }
    if !unmet.is_empty() {
        let lacks = unmet.into_iter().map(|need| needs.lack(need, &able));
        return Placement::Nobody(Nobody::Lacking {
            among,
            lacks: lacks.collect(),
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

impl Nobody {
    /// The words for programs.
    pub fn words(&self) -> Vec<&'static str> {
        match self {
            Self::Live { .. } => vec!["worker"],
            Self::Lacking { lacks, .. } => lacks.iter().map(Lack::word).collect(),
        }
    }
}

impl Lack {
    fn word(&self) -> &'static str {
        match self {
            Self::Kinds { .. } => "release",
            Self::Gpu | Self::Cpu => "device",
            Self::Engine { .. } => "engine",
            Self::Labels(_) => "labels",
            Self::Memory { .. } => "memory",
        }
    }
}

impl fmt::Display for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live {
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
            Self::Lacking { among, lacks } => {
                write!(f, "no live worker in {among}")?;
                for (place, lack) in lacks.iter().enumerate() {
                    let again = if place > 0 { ", none" } else { "" };
                    write!(f, "{again} {lack}")?;
                }
                Ok(())
            }
        }
    }
}

/// As what is said of a worker that does not lack it.
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kinds { unknown, versions } => {
                let unknown: Vec<&str> = unknown.iter().map(|kind| kind.as_str()).collect();
                write!(
                    f,
                    "knows tasks of the kind {}: start workers of this release there (they are of {})",
                    unknown.join(", "),
                    versions.join(", ")
                )
            }
            Self::Gpu => write!(f, "has a GPU"),
            Self::Cpu => write!(f, "is without GPUs, as `device: cpu` asks"),
            Self::Engine { wanted, present } => {
                let present = match present.as_slice() {
                    [] => "none".to_owned(),
                    present => present.join(", "),
                };
                let wanted = wanted.join(" or ");
                write!(f, "has the engine {wanted} (there: {present})")
            }
            Self::Labels(missing) => write!(f, "is labelled {missing}"),
            Self::Memory {
                needed_bytes,
                largest_bytes,
            } => write!(
                f,
                "has {} of memory (the largest has {})",
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

//! The worker's agent as a state machine: claims tasks, holds leases, starts and watches executors.
//!
//! ```text
//! slot:  free ──grant──▶ starting ──ready──▶ running ──done | failed──▶ free (executor kept)
//!                           │                   │ stalled, over time, over memory ─▶ killed ─exit─▶ free (no executor)
//!                           │                   │ cancelled ─▶ cancelling ──grace──▶ killed
//!                           └──exit─────────────┴──exit─────▶ free (no executor)
//!        an executor that kept too much memory for the granted task is killed first, and another one started
//! wake-up (over a broker): delivered ──claim──▶ answered, or a minute later ──no slot left: pause──▶ acked
//! lease: held from the grant until the coordinator has answered Complete, Fail or Release
//! ```
//!
//! The shell turns answers, executor messages and ticks into [`AgentEvent`]s and carries out the
//! [`AgentEffect`]s in order. The agent never deletes anything in the store.

mod agent;
mod event;
mod report;
mod slot;
mod wake_up;

pub use agent::Agent;
pub use event::{
    AgentEffect, AgentEvent, AgentSettings, Answer, Call, Denial, Exit, Grant, SlotNumber, Verdict,
};
pub use slot::tells_of_memory;

#[cfg(test)]
mod tests;

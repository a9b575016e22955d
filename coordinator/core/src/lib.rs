//! The coordinator's decisions: a state machine without clock, I/O or chance.
//!
//! ```text
//!             deps met            claim             complete accepted
//! blocked ───────────▶ ready ───────────▶ running ───────────────────▶ succeeded
//!                        ▲                  │ failed / lost / released
//!                        └── retry allowed ─┤        not allowed ─────▶ failed | dead
//!     dependency failed ─▶ skipped(because) └ cancel ▶ cancelling ────▶ cancelled
//!
//! blocked, ready ── cancel ▶ cancelled        failed, dead, skipped, cancelled ── user retry ▶ blocked | ready
//! succeeded (evaluate, reduce) ── new threshold ▶ blocked | ready ── it comes to nothing ▶ succeeded, as before
//! ready ── a late Complete of an attempt that was lost (until it is swept) ▶ succeeded
//! ```
//!
//! The shell turns whatever happened into an [`Event`], calls [`Core::apply`], collects the [`Effect`]s of a
//! batch, commits its `Persist`s in one transaction, and then carries out the rest. [`Core::rebuild`] makes
//! the same core from the rows again; what only lives in memory (heartbeats, progress, which worker is
//! alive) is not needed for that. See `docs/decisions/0002-coordinator-state-machine.md`.

mod assign;
mod audit;
mod backlog;
mod census;
mod claim;
mod complete;
mod core;
mod dead;
mod deadline;
mod delete;
mod effect;
mod event;
mod forget;
mod job;
mod lease;
mod notice;
mod outbox;
mod pace;
mod placement;
mod quarantine;
mod query;
mod rebuild;
mod request;
mod restore;
mod rethreshold;
mod retry;
mod rows;
mod search;
mod settings;
mod skip;
mod stop;
mod submit;
mod sweep;
mod waiting;
mod wake_up;
mod warned;
mod worker;

pub use backlog::Backlog;
pub use census::{Census, EndedAttempts, Pool, Untaken};
pub use core::Core;
pub use dead::DeadTask;
pub use effect::{
    ClaimAnswer, Effect, HeartbeatAnswer, Leftovers, Refusal, Removal, Reply, SubmitOutcome,
    Verdict,
};
pub use event::{Claim, Event, Now, Registration, Sender, Submit, Ticket};
pub use job::Counts;
pub use notice::{Notice, Scored};
pub use outbox::model_name;
pub use pace::Pace;
pub use placement::{Lack, Needs, Nobody, Offer, Placement, Standing, place, position};
pub use query::{
    ActiveAttempt, AttemptView, FindJobError, JobView, RunState, RunView, TaskView, Unpublished,
    WorkerState, WorkerView,
};
pub use rebuild::RebuildError;
pub use restore::RESTORED_JUMP;
pub use retry::{NextRetry, Policy, Site, Tried, next_retry};
pub use rows::*;
pub use search::BestTrial;
pub use settings::*;
pub use skip::CannotSkip;
pub use waiting::Waiting;
pub use wake_up::WakeUp;

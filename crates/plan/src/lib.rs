//! A resolved job becomes runs and tasks. Pure: the same job gives the same plan.
//!
//! ```text
//! list ─▶ fit ─▶ score 0..n ─▶ evaluate ─┐
//!   one list for all runs with the same dataset configuration; the score tasks
//!   are created when it is accepted; no fit where a trained package is tested
//! list ─▶ fit ─▶ score 0..n ─▶ evaluate ─┴─▶ reduce (whatever became of them)
//! ```
//!
//! The runs of a search are its trials: the first are there from the start, the others come as those before them settle.

mod certificate;
mod expand;
mod joint;
mod label;
mod planner;
mod search;
mod task;

#[cfg(test)]
mod tests;

pub use certificate::{Certificate, CertifiedAgreement};
pub use expand::{CHUNK, Expansion, Listed, expand};
pub use planner::plan;
pub use search::{Standing, search_on};
pub use task::*;

//! A resolved job becomes runs and tasks. Pure: the same job gives the same plan.
//!
//! ```text
//!  list (one per distinct dataset configuration)
//!    ├─▶ fit ──▶ score 0..n (created when the list is accepted) ─▶ evaluate ─┐   one such row per run;
//!    └──────────────▲──────────────────────────────────────────▲            ├─▶ reduce (whatever became of them)
//!                                                              …  evaluate ─┘   no fit for a trained package
//! ```

mod expand;
mod label;
mod planner;
mod task;

pub use expand::{CHUNK, Expansion, expand};
pub use planner::plan;
pub use task::*;

//! Searches for the best parameters, as pure functions: which point comes next follows from the space, the method, the seed
//! and the results so far, and from nothing else.
//!
//! [`Search::suggest`] gives trial `n` from the points of the trials before it and from the results of the first
//! [`Search::settled_before`]`(n)` of them. Those after these are pending, whatever became of them meanwhile: so a search is the
//! same however many workers share it, and in whatever order they end.
//!
//! Mathematical functions are those of `libm`, which give the same bits on every machine.

mod gaussian_process;
mod grid;
mod halving;
mod history;
mod linear;
mod random;
mod search;
mod space;
mod tpe;

#[cfg(test)]
mod tests;

pub use grid::points as grid_points;
pub use halving::Halving;
pub use search::{Goal, MOST_TRIALS, Method, Search, SearchError, Suggestion, Trial};
pub use space::{Condition, Dimension, Domain, Point, Scale, Space, SpaceError};

//! Compiled models of one network, for sessions in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::handle::CompiledModel;

pub(super) struct Copies {
    first: Arc<CompiledModel>,
    others: Vec<Arc<CompiledModel>>,
    given: AtomicUsize,
}

impl Copies {
    pub(super) fn new(first: CompiledModel, others: Vec<CompiledModel>) -> Self {
        Self {
            first: Arc::new(first),
            others: others.into_iter().map(Arc::new).collect(),
            given: AtomicUsize::new(0),
        }
    }

    /// For a session: as many of them that are made one after the other have one each.
    pub(super) fn next(&self) -> &Arc<CompiledModel> {
        let place = self.given.fetch_add(1, Ordering::Relaxed) % (1 + self.others.len());
        let other = place
            .checked_sub(1)
            .and_then(|place| self.others.get(place));
        other.unwrap_or(&self.first)
    }
}

//! Pieces of work shared out among threads, for models that learn.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ModelError;

/// Does `work` with every item, each on one thread that has tools of its own; the first error ends all.
pub(crate) fn for_each<Item: Send, Tools>(
    threads: usize,
    items: impl Iterator<Item = Item> + Send,
    tools: impl Fn() -> Tools + Sync,
    work: impl Fn(&mut Tools, Item) -> Result<(), ModelError> + Sync,
) -> Result<(), ModelError> {
    let (items, failed) = (Mutex::new(items), AtomicBool::new(false));
    let next = || {
        if failed.load(Ordering::Relaxed) {
            None
        } else {
            items.lock().ok()?.next()
        }
    };
    let run = || -> Result<(), ModelError> {
        let mut tools = tools();
        while let Some(item) = next() {
            work(&mut tools, item).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(run)).collect();
        let own = run();
        let joined = helpers.into_iter().map(|helper| {
            helper
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        joined.fold(own, Result::and)
    })
}

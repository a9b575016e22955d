//! Work on many items by a fixed number of threads, each with tools of its own, results in order of the items.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use crate::{
    error::TaskError,
    stages::{Stages, lock},
};

/// The stage whose threads wait for each other at the end, and where their waiting is counted.
#[derive(Clone, Copy)]
pub struct Waits<'a>(pub &'a Stages, pub &'static str);

impl Waits<'_> {
    /// Counts, of threads that ended at these times, how long each waited for the last.
    fn count(self, ended: impl Iterator<Item = Instant> + Clone) {
        let last = ended.clone().max();
        for waited in ended.filter_map(|one| Some(last? - one)) {
            self.0.blocked(self.1, waited);
        }
    }
}

/// Gives each share to a thread of its own; results in order of the shares. A panic of one goes on here.
pub fn on_threads<Share: Send, T: Send>(
    shares: Vec<Share>,
    waits: Waits<'_>,
    work: impl Fn(Share) -> T + Sync,
) -> Vec<T> {
    let work = &work;
    let (results, ended): (Vec<T>, Vec<Instant>) = std::thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || (work(share), Instant::now())))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .unzip()
    });
    waits.count(ended.into_iter());
    results
}

/// A thread's tools, and its results with their items' places.
type Done<Tools, T> = (Tools, Vec<(usize, T)>);

/// Calls `work` once an item. A thread takes the next item when it is free, so memory holds as many items as there are
/// threads. The first error ends all; a cancelled attempt ends between two items.
pub fn for_each_item<Tools: Send, T: Send>(
    tools: Vec<Tools>,
    items: usize,
    cancelled: &AtomicBool,
    waits: Waits<'_>,
    work: impl Fn(&mut Tools, usize) -> Result<T, TaskError> + Sync,
) -> Result<(Vec<T>, Vec<Tools>), TaskError> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let first_error: Mutex<Option<(usize, TaskError)>> = Mutex::new(None);
    let fail = |index, error| {
        failed.store(true, Ordering::Relaxed);
        let mut first = lock(&first_error);
        if first.as_ref().is_none_or(|(earliest, _)| index < *earliest) {
            *first = Some((index, error));
        }
    };
    let run = |mut tools: Tools| {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= items {
                break;
            }
            if cancelled.load(Ordering::Relaxed) {
                fail(index, TaskError::Cancelled);
                break;
            }
            match work(&mut tools, index) {
                Ok(result) => done.push((index, result)),
                Err(error) => fail(index, error),
            }
        }
        (tools, done)
    };
    let finished: Vec<Done<Tools, T>> = on_threads(tools, waits, run);
    if let Some((_, error)) = lock(&first_error).take() {
        return Err(error);
    }
    let (tools, done): (Vec<_>, Vec<_>) = finished.into_iter().unzip();
    let mut done: Vec<_> = done.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(index, _)| *index);
    Ok((done.into_iter().map(|(_, result)| result).collect(), tools))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32};

    use super::*;

    #[test]
    fn results_come_in_order_and_every_tool_comes_back() {
        for threads in [1, 2, 5] {
            let (results, tools) = for_each_item(
                vec![0_u64; threads],
                100,
                &AtomicBool::new(false),
                Waits(&Stages::start(), "infer"),
                |tool, index| {
                    *tool += 1;
                    Ok(index * index)
                },
            )
            .unwrap();
            assert_eq!(
                results,
                (0..100).map(|index| index * index).collect::<Vec<_>>()
            );
            assert_eq!((tools.len(), tools.iter().sum::<u64>()), (threads, 100));
        }
    }

    #[test]
    fn the_first_error_ends_all() {
        let calls = AtomicU32::new(0);
        let result = for_each_item(
            vec![(), ()],
            1_000_000,
            &AtomicBool::new(false),
            Waits(&Stages::start(), "infer"),
            |(), index| {
                calls.fetch_add(1, Ordering::Relaxed);
                if index == 3 {
                    Err(TaskError::Assignment("item 3".to_owned()))
                } else {
                    Ok(())
                }
            },
        );
        assert!(result.is_err_and(|error| error.to_string().contains("item 3")));
        assert!(calls.load(Ordering::Relaxed) < 1_000_000);
    }

    #[test]
    fn a_cancelled_attempt_does_nothing_more() {
        let stages = Stages::start();
        let waits = Waits(&stages, "infer");
        let result = for_each_item(vec![()], 10, &AtomicBool::new(true), waits, |(), _| Ok(()));
        assert!(matches!(result, Err(TaskError::Cancelled)));
    }

    #[test]
    fn threads_that_end_before_the_last_are_blocked_until_then() {
        let stages = Stages::start();
        let begun = Instant::now();
        let ended = [30, 10, 0].map(|ms| begun + std::time::Duration::from_millis(ms));
        Waits(&stages, "infer").count(ended.into_iter());
        let timings = stages.timings();
        assert_eq!(timings[0].stage, "infer");
        assert_eq!(timings[0].blocked_s, Some(0.05));
        assert_eq!((timings[0].busy_s, timings[0].items), (Some(0.0), 0));
        let total = timings.last().unwrap();
        assert_eq!((total.busy_s, total.blocked_s), (None, None));
    }
}

//! What the process keeps from task to task, so that the tasks of one run do not load and compile the same things again.

use std::sync::{Arc, Mutex};

use models::Statistics;
use types::JobId;
use weights::Loaded;

use crate::stages::lock;

/// The last thing of a kind that was made, under a key that says what it was made of.
pub struct Last<T>(Mutex<Option<(String, T)>>);

/// By the backbone and its file.
pub static WEIGHTS: Last<Arc<Loaded>> = Last::empty();

/// By their sha256; cloning shares the numbers.
pub static STATISTICS: Last<Statistics> = Last::empty();

/// What turns features into scores, by everything that it was made of.
pub static SCORER: Last<Arc<dyn models::Scorer>> = Last::empty();

/// The one for features in bf16, by the same, if there is one; it goes before another exact one comes.
pub static SCORER_IN_BF16: Last<Option<Arc<dyn models::Scorer>>> = Last::empty();

/// By name.
pub static ENGINE: Last<Arc<dyn engines::Engine>> = Last::empty();

/// What sees an image, by everything that the graph and its compilation depend on.
pub static COMPILED: Last<Arc<dyn engines::Compiled>> = Last::empty();

/// Where runs share that one: what makes a model's features of what it saw.
pub static COMPILED_TAIL: Last<Arc<dyn engines::Compiled>> = Last::empty();

/// A model file of another program, by its digest.
pub static MODEL_FILE: Last<Arc<dyn engines::ImageModel>> = Last::empty();

/// The job of the last task.
static JOB: Mutex<Option<JobId>> = Mutex::new(None);

/// Before a task of this job: statistics of another one are of no use to it, whereas jobs with one package share the
/// compiled graph; a scorer is of use to those tasks of one job alone that score images. What earlier tasks freed goes back to the system,
/// so that a task is charged for its own memory.
pub fn begin(job: &JobId, scores: bool) {
    let last = lock(&JOB).replace(job.clone());
    let other_job = last.as_ref() != Some(job);
    if other_job {
        STATISTICS.forget();
    }
    if other_job || !scores {
        SCORER.forget();
        SCORER_IN_BF16.forget();
    }
    give_back_freed_memory();
}

/// The allocator keeps what was freed for the next to ask, and the kernel counts it.
fn give_back_freed_memory() {
    // SAFETY: glibc's function may be called at any time, by any thread.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}

impl<T: Clone> Last<T> {
    pub const fn empty() -> Self {
        Self(Mutex::new(None))
    }

    /// The one that is kept, if its key is this one; else a new one, which is kept from then on.
    pub fn get_or<E>(&self, key: &str, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut last = lock(&self.0);
        if let Some((_, kept)) = last.as_ref().filter(|(kept, _)| kept == key) {
            return Ok(kept.clone());
        }
        // Before the new one is made, so that memory never holds both.
        *last = None;
        let made = make()?;
        *last = Some((key.to_owned(), made.clone()));
        Ok(made)
    }

    pub fn keep(&self, key: String, value: T) {
        *lock(&self.0) = Some((key, value));
    }

    pub fn forget(&self) {
        *lock(&self.0) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::Last;

    #[test]
    fn only_the_last_is_kept_and_only_under_its_key() {
        let last = Last::empty();
        let get = |key: &str, value: u32| last.get_or(key, || Ok::<_, ()>(value));
        assert_eq!(get("a", 1), Ok(1));
        assert_eq!(get("a", 2), Ok(1));
        assert_eq!(get("b", 3), Ok(3));
        assert_eq!(get("a", 4), Ok(4));
        assert_eq!(last.get_or("c", || Err("broken")), Err("broken"));
        assert_eq!(get("a", 5), Ok(5), "what could not be made leaves nothing");
        last.keep("d".to_owned(), 6);
        assert_eq!(get("d", 7), Ok(6));
        last.forget();
        assert_eq!(get("d", 8), Ok(8));
    }
}

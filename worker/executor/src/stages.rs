//! What the stages of a pipeline did: items, bytes, busy and blocked seconds, and how far the attempt has come.

use std::{
    fs,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use plan::StageTiming;
use spans::{Beginning, Kind, Span};
use types::{Progress, TraceContext};

/// Rises with every finished piece of work, wanted or not: an attempt whose pulse stands still is stalled. Its clones are one pulse.
#[derive(Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one attempt; shared by its threads.
pub struct Stages {
    started: Instant,
    beginning: Beginning,
    cpu_at_start: Duration,
    totals: Mutex<Vec<(&'static str, Totals)>>,
    shown: Mutex<Shown>,
    done: AtomicU64,
    pub pulse: Pulse,
    loading: AtomicBool,
}

#[derive(Clone, Copy)]
struct Totals {
    first: Instant,
    last: Instant,
    busy: Duration,
    blocked: Duration,
    items: u64,
    bytes: u64,
}

struct Shown {
    stage: &'static str,
    total: u64,
    since: Instant,
}

impl Stages {
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            beginning: Beginning::now(),
            cpu_at_start: cpu_time(),
            totals: Mutex::default(),
            shown: Mutex::new(Shown {
                stage: "start",
                total: 0,
                since: Instant::now(),
            }),
            done: AtomicU64::new(0),
            pulse: Pulse::default(),
            loading: AtomicBool::new(false),
        }
    }

    /// Does one item's work of a stage and counts it.
    pub fn time<T>(&self, stage: &'static str, bytes: u64, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add(stage, start.elapsed(), 1, bytes);
        result
    }

    /// Counts work that has just ended.
    pub fn add(&self, stage: &'static str, busy: Duration, items: u64, bytes: u64) {
        self.count(stage, busy, |total| {
            total.busy += busy;
            total.items += items;
            total.bytes += bytes;
        });
        self.pulse.beat();
    }

    /// Counts time in which a thread of the stage had nothing to do or nowhere to put what it had done, and which has
    /// just ended. Waiting is no sign of life: the pulse stands.
    pub fn blocked(&self, stage: &'static str, waited: Duration) {
        self.count(stage, waited, |total| total.blocked += waited);
    }

    fn count(&self, stage: &'static str, took: Duration, count: impl FnOnce(&mut Totals)) {
        let last = Instant::now();
        let first = last.checked_sub(took).unwrap_or(self.started);
        let mut totals = lock(&self.totals);
        let index = totals
            .iter()
            .position(|(name, _)| *name == stage)
            .unwrap_or_else(|| {
                let total = Totals {
                    first,
                    last,
                    busy: Duration::ZERO,
                    blocked: Duration::ZERO,
                    items: 0,
                    bytes: 0,
                };
                totals.push((stage, total));
                totals.len() - 1
            });
        let total = &mut totals[index].1;
        total.first = total.first.min(first);
        total.last = total.last.max(last);
        count(total);
    }

    /// Work that has no items to count, such as compiling: it has a time limit of its own.
    pub fn load<T>(&self, stage: &'static str, work: impl FnOnce() -> T) -> T {
        self.show(stage, 0);
        self.loading.store(true, Ordering::Relaxed);
        let result = self.time(stage, 0, work);
        self.loading.store(false, Ordering::Relaxed);
        result
    }

    /// What people see from now on; `total` 0: unknown.
    pub fn show(&self, stage: &'static str, total: u64) {
        *lock(&self.shown) = Shown {
            stage,
            total,
            since: Instant::now(),
        };
        self.done.store(0, Ordering::Relaxed);
        self.pulse.beat();
    }

    pub fn step(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.pulse.beat();
    }

    /// For work that tells its own progress.
    pub fn set_progress(&self, done: u64, total: u64) {
        lock(&self.shown).total = total;
        self.set_done(done);
    }

    pub fn set_done(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.pulse.beat();
    }

    pub fn loading(&self) -> bool {
        self.loading.load(Ordering::Relaxed)
    }

    pub fn progress(&self) -> Progress {
        let shown = lock(&self.shown);
        let done = self.done.load(Ordering::Relaxed);
        let seconds = shown.since.elapsed().as_secs_f64().max(1e-3);
        Progress {
            stage: shown.stage.to_owned(),
            done,
            total: shown.total,
            rate: done as f64 / seconds,
        }
    }

    /// Every stage in order of first use, and `total` for the attempt as a whole.
    pub fn timings(&self) -> Vec<StageTiming> {
        let totals = lock(&self.totals);
        let stage = |(name, total): &(&'static str, Totals)| StageTiming {
            stage: (*name).to_owned(),
            wall_s: (total.last - total.first).as_secs_f64(),
            busy_s: Some(total.busy.as_secs_f64()),
            blocked_s: Some(total.blocked.as_secs_f64()),
            cpu_s: None,
            items: total.items,
            bytes: total.bytes,
            peak_memory: None,
        };
        let whole = StageTiming {
            stage: "total".to_owned(),
            wall_s: self.started.elapsed().as_secs_f64(),
            busy_s: None,
            blocked_s: None,
            cpu_s: Some(cpu_time().saturating_sub(self.cpu_at_start).as_secs_f64()),
            items: totals
                .iter()
                .map(|(_, total)| total.items)
                .max()
                .unwrap_or(0),
            bytes: totals
                .iter()
                .map(|(_, total)| total.bytes)
                .max()
                .unwrap_or(0),
            peak_memory: peak_memory(),
        };
        totals.iter().map(stage).chain([whole]).collect()
    }

    /// The attempt as a span of this context, and its stages as those below it. A stage is one span however often it was
    /// entered: it lasts from its first beginning to its last end.
    pub fn spans(&self, name: String, context: &TraceContext, parent: &TraceContext) -> Vec<Span> {
        let whole = self.beginning.until_now();
        let totals = lock(&self.totals);
        let stage = |(name, total): &(&'static str, Totals)| {
            let times = self.beginning.wall(total.first)..self.beginning.wall(total.last);
            let own = context.child(name, 0);
            Span::new(*name, Kind::Internal, &own, Some(context), times)
                .with("nightshift.busy_s", total.busy.as_secs_f64())
                .with("nightshift.blocked_s", total.blocked.as_secs_f64())
                .with(
                    "nightshift.items",
                    i64::try_from(total.items).unwrap_or(i64::MAX),
                )
                .with(
                    "nightshift.bytes",
                    i64::try_from(total.bytes).unwrap_or(i64::MAX),
                )
        };
        let whole = Span::new(name, Kind::Internal, context, Some(parent), whole);
        [whole]
            .into_iter()
            .chain(totals.iter().map(stage))
            .collect()
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these guard is whole after every statement, whatever panicked elsewhere.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// CPU time of all threads of this process so far.
fn cpu_time() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to memory of the right type, which the call fills.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |value: libc::timeval| {
        Duration::from_secs(value.tv_sec.unsigned_abs())
            + Duration::from_micros(value.tv_usec.unsigned_abs())
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Highest resident memory of the process since [`reset_peak_memory`], in bytes.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Begins a new peak, so that a task is not charged for the one before; without the right to, the old peak stays.
pub fn reset_peak_memory() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

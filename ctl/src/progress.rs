//! How a job comes along: bars on a terminal, plain lines elsewhere. Always on standard error.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use proto::v1::{ActiveAttempt, BestTrial, Job, JobSnapshot, Pace, Run, TaskCounts, Unpublished};

use crate::output::{now_ms, span};

/// Between two plain lines about work in progress.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

pub enum Display {
    Bars(Bars),
    Plain(Plain),
}

impl Display {
    /// Bars if standard error is a terminal that understands them.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        if terminal {
            Self::Bars(Bars::new())
        } else {
            Self::Plain(Plain::default())
        }
    }

    pub fn update(&mut self, snapshot: &JobSnapshot) {
        match self {
            Self::Bars(bars) => bars.update(snapshot),
            Self::Plain(plain) => plain.update(snapshot),
        }
    }

    /// A line that stays.
    pub fn note(&self, text: &str) {
        match self {
            Self::Bars(bars) => {
                let _ = bars.screen.println(text);
            }
            Self::Plain(_) => eprintln!("{text}"),
        }
    }

    /// Takes the bars away.
    pub fn finish(&self) {
        if let Self::Bars(bars) = self {
            let _ = bars.screen.clear();
        }
    }
}

/// Terminal: one bar for the job, one for each running attempt.
pub struct Bars {
    screen: MultiProgress,
    job: ProgressBar,
    attempts: BTreeMap<String, ProgressBar>,
    told: Told,
}

impl Bars {
    fn new() -> Self {
        let screen = MultiProgress::new();
        let job = screen.add(ProgressBar::new(0));
        job.set_style(style(
            "{msg:24} {wide_bar} {pos}/{len} tasks {elapsed_precise}",
        ));
        job.enable_steady_tick(Duration::from_millis(500));
        Self {
            screen,
            job,
            attempts: BTreeMap::new(),
            told: Told::default(),
        }
    }

    fn update(&mut self, snapshot: &JobSnapshot) {
        for run in &snapshot.ended_runs {
            let _ = self.screen.println(run_line(run));
        }
        if let Some(job) = &snapshot.job {
            for news in self.told.news(job) {
                let _ = self.screen.println(news);
            }
            let counts = job.tasks.unwrap_or_default();
            self.job.set_length(all(&counts));
            self.job.set_position(settled(&counts));
            let pace = job.pace.as_ref().map(pace_words).unwrap_or_default();
            let best = job
                .best
                .as_ref()
                .map(|best| format!(", {}", best_words(best)));
            let best = best.unwrap_or_default();
            let message = format!("{} {}{best} {pace}", job.name, job.state);
            self.job.set_message(message.trim_end().to_owned());
        }
        self.attempts.retain(|task, bar| {
            let active = snapshot.active.iter().any(|attempt| attempt.task == *task);
            if !active {
                bar.finish_and_clear();
                self.screen.remove(bar);
            }
            active
        });
        for attempt in &snapshot.active {
            let bar = self
                .attempts
                .entry(attempt.task.clone())
                .or_insert_with(|| {
                    let bar = self.screen.add(ProgressBar::new(0));
                    bar.set_style(style("  {wide_msg} {bar:16} {pos}/{len}"));
                    bar
                });
            let progress = attempt.progress.clone().unwrap_or_default();
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            bar.set_message(format!(
                "{} {}",
                attempt_words(attempt),
                rate_words(attempt)
            ));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Anything else: a line when a run ends, and one every few seconds.
#[derive(Default)]
pub struct Plain {
    last: Option<Instant>,
    state: String,
    told: Told,
}

impl Plain {
    fn update(&mut self, snapshot: &JobSnapshot) {
        for run in &snapshot.ended_runs {
            eprintln!("{}", run_line(run));
        }
        let Some(job) = &snapshot.job else { return };
        for news in self.told.news(job) {
            eprintln!("{news}");
        }
        let changed = job.state != self.state;
        let due = self
            .last
            .is_none_or(|last| last.elapsed() >= PLAIN_INTERVAL);
        if changed || due {
            eprintln!("{}", job_line(job, &snapshot.active));
            self.last = Some(Instant::now());
            self.state.clone_from(&job.state);
        }
    }
}

fn job_line(job: &Job, active: &[ActiveAttempt]) -> String {
    let counts = job.tasks.unwrap_or_default();
    let mut line = format!(
        "job {} {}: {}/{} tasks",
        job.id,
        job.state,
        settled(&counts),
        all(&counts)
    );
    if let Some(best) = &job.best {
        line.push_str(&format!("; {}", best_words(best)));
    }
    if let Some(pace) = &job.pace {
        line.push_str(&format!(", {}", pace_words(pace)));
    }
    for attempt in active {
        line.push_str(&format!(
            "; {} {}",
            attempt_words(attempt),
            rate_words(attempt)
        ));
    }
    line.trim_end().to_owned()
}

/// The best trial of a search so far.
fn best_words(best: &BestTrial) -> String {
    format!("best {} (trial {})", report::metric(best.value), best.run)
}

fn attempt_words(attempt: &ActiveAttempt) -> String {
    let stage = attempt
        .progress
        .as_ref()
        .map_or("", |progress| progress.stage.as_str());
    let run = attempt
        .run
        .map(|run| format!(" run {run}"))
        .unwrap_or_default();
    format!("{}{run} {stage}", attempt.kind)
        .trim_end()
        .to_owned()
}

/// `120/353 41.2/s 6 s left`, as far as it is known.
fn rate_words(attempt: &ActiveAttempt) -> String {
    let Some(progress) = &attempt.progress else {
        return String::new();
    };
    let left = (progress.total > progress.done && progress.rate > 0.0)
        .then(|| (progress.total - progress.done) as f64 * 1_000.0 / progress.rate);
    words(&[
        (progress.total > 0).then(|| format!("{}/{}", progress.done, progress.total)),
        rate(progress.rate),
        left.map(|ms| format!("{} left", span(ms as i64))),
    ])
}

/// `12800/61000 images 41.2/s 6 s left`, as far as it is known.
pub fn pace_words(pace: &Pace) -> String {
    words(&[
        Some(format!("{} images", images(pace))),
        rate(pace.images_per_s),
        left(pace).map(|left| format!("{left} left")),
    ])
}

fn words(known: &[Option<String>]) -> String {
    let known: Vec<&str> = known.iter().flatten().map(String::as_str).collect();
    known.join(" ")
}

/// How many of a job's images are scored, of how many.
pub fn images(pace: &Pace) -> String {
    match pace.total {
        0 => pace.done.to_string(),
        total => format!("{}/{total}", pace.done),
    }
}

/// `41.2/s`, of something that moves.
pub fn rate(per_s: f64) -> Option<String> {
    (per_s > 0.0).then(|| format!("{per_s:.1}/s"))
}

/// How long it takes until a job's images are scored.
pub fn left(pace: &Pace) -> Option<String> {
    let left_ms = pace.left_ms?;
    Some(span(i64::try_from(left_ms).unwrap_or(i64::MAX)))
}

/// What a job's store does not take, for how long and why, in a line.
pub fn unpublished(waits: &Unpublished, now_ms: i64) -> String {
    let time = span(now_ms.saturating_sub(waits.since_ms).max(0));
    format!(
        "{} not taken by {} for {time}: {}",
        waits.what, waits.store, waits.reason
    )
}

/// What was said last about what holds the job up.
#[derive(Default)]
struct Told {
    unpublished: String,
    outage: String,
}

impl Told {
    /// Lines when something begins or ceases to hold the job up.
    fn news(&mut self, job: &Job) -> Vec<String> {
        // A job does not wait for those who are told of its end.
        let mut awaited = job.unpublished.iter();
        let first = awaited.find(|waits| waits.what != "notice");
        let reason = first.map_or("", |waits| waits.reason.as_str());
        let mut news = Vec::new();
        if self.unpublished != reason {
            reason.clone_into(&mut self.unpublished);
            news.push(match first {
                Some(waits) => format!("waiting: {}; trying again", unpublished(waits, now_ms())),
                None => "the store takes it now".to_owned(),
            });
        }
        if self.outage != job.outage {
            job.outage.clone_into(&mut self.outage);
            news.push(match job.outage.as_str() {
                "" => "no longer waiting: all of it answers".to_owned(),
                outage => format!("waiting: {outage}; trying again"),
            });
        }
        news
    }
}

/// A run in a few words, for people.
pub fn run_name(run: &Run) -> String {
    let data = if run.category.is_empty() {
        run.dataset.clone()
    } else {
        format!("{}/{}", run.dataset, run.category)
    };
    format!("{} on {data} seed {}", run.model, run.seed)
}

fn run_line(run: &Run) -> String {
    let mut line = format!("run {} {}: {}", run.index, run.state, run_name(run));
    if !run.error.is_empty() {
        line.push_str(&format!(": {}", run.error));
    }
    line
}

pub fn all(counts: &TaskCounts) -> u64 {
    settled(counts) + counts.blocked + counts.ready + counts.running + counts.cancelling
}

pub fn settled(counts: &TaskCounts) -> u64 {
    counts.succeeded + counts.failed + counts.dead + counts.skipped + counts.cancelled
}

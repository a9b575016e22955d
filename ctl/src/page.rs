//! The pages of `ctl describe`: how far a job or task is, what it waits for, what went wrong and where the results are.

use std::collections::BTreeMap;

use proto::v1::{Attempt, Job, Run, Task};

use crate::commands::get::run_table;
use crate::output::{self, Table, ago, took};
use crate::progress::pace_words;
use crate::slowest::Slowest;
use crate::{rethresholded, summary};

/// What is known of a job by its published tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Published<'a> {
    /// Where they are.
    pub place: Option<&'a str>,
    pub slowest: Option<&'a Slowest>,
}

/// Tasks that neither failed nor wait for one that did, in the order in which they are told.
const OPEN: [&str; 4] = ["running", "cancelling", "ready", "blocked"];

/// `now_ms` is the time that it is.
pub fn render(
    job: &Job,
    runs: &[Run],
    tasks: &[Task],
    published: Published<'_>,
    now_ms: i64,
) -> String {
    let mut text = head(job, runs, published, now_ms);
    if !job.reason.is_empty() {
        text.push_str(&format!("{:<9}{}\n", "waits", job.reason));
    }
    for warning in &job.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    for run in runs {
        for line in summary::warning_lines(run.index, &run.warnings) {
            text.push_str(&format!("{line}\n"));
        }
    }
    let causes = Causes::of(tasks);
    for part in [
        run_table(&without_repetitions(runs, &causes)).render(),
        causes.render(),
        open(tasks),
        skipped(tasks, &causes),
    ] {
        if !part.is_empty() {
            text.push('\n');
            text.push_str(&part);
            text.push('\n');
        }
    }
    text
}

fn head(job: &Job, runs: &[Run], published: Published<'_>, now_ms: i64) -> String {
    let when = if job.finished_ms > 0 {
        let took = took(job.finished_ms.saturating_sub(job.created_ms));
        format!("{}, took {took}", ago(job.created_ms, now_ms))
    } else {
        ago(job.created_ms, now_ms)
    };
    let results = match published.place {
        Some(place) => format!("{place} (generation {})", job.results_generation),
        None => "none published yet".to_owned(),
    };
    let mut rows = vec![
        ("job", job.id.clone()),
        ("name", job.name.clone()),
        ("kind", job.kind.clone()),
        ("state", job.state.clone()),
        ("begun", when),
        ("runs", counted(runs.iter().map(|run| run.state.as_str()))),
        ("tasks", task_counts(job)),
        ("store", job.store.clone()),
        ("results", results),
    ];
    if let Some(pace) = &job.pace {
        rows.push(("pace", pace_words(pace)));
    }
    if let Some(reused) = summary::reused(runs) {
        let plan::Reused {
            images,
            of,
            saved_s,
        } = reused;
        let of = output::counted(of, "image");
        let text = format!("features of {images} of {of}, {saved_s:.1} s saved");
        rows.push(("reused", text));
    }
    if let Some(slowest) = published.slowest {
        rows.push(("slowest", slowest.words()));
    }
    for certificate in summary::certificates(runs) {
        rows.push(("parity", certificate.words()));
    }
    if !job.key.is_empty() {
        rows.insert(1, ("key", job.key.clone()));
    }
    // Those of tasks are told with the tasks.
    let of_task = |failure: &&String| failure.starts_with(&format!("{}-", job.id));
    if let Some(failure) = job.failures.iter().find(|failure| !of_task(failure)) {
        rows.push(("failed", failure.clone()));
    }
    if let Some(told) = rethresholded::words(job) {
        rows.push(("decided", told));
    }
    if let Some(told) = rethresholded::masks(job) {
        rows.push(("masks", told));
    }
    if !job.rethreshold_failure.is_empty() {
        let why = &job.rethreshold_failure;
        let told = format!("as before, since the last new threshold came to nothing: {why}");
        rows.push(("decided", told));
    }
    if job.deadline_ms > 0 && job.finished_ms == 0 {
        let left = job.deadline_ms.saturating_sub(now_ms).max(0);
        rows.push(("deadline", format!("in {}", output::span(left))));
    }
    if !job.trace.is_empty() {
        rows.push(("trace", job.trace.clone()));
    }
    if job.priority != 0 {
        rows.push(("priority", job.priority.to_string()));
    }
    rows.iter()
        .map(|(name, value)| format!("{name:<9}{value}\n"))
        .collect()
}

/// A task with its attempts, oldest first.
pub fn task(task: &Task) -> String {
    let run = task.run.map_or("-".to_owned(), |run| run.to_string());
    let rows = [
        ("task", task.id.as_str()),
        ("kind", &task.kind),
        ("run", &run),
        ("state", &task.state),
        ("why", reason(task)),
    ];
    let mut text: String = rows
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:<9}{value}\n"))
        .collect();
    let mut table = Table::new(&[
        "attempts", "worker", "outcome", "counted", "took", "message",
    ]);
    for attempt in &task.attempts {
        let ended = attempt.ended_ms > 0;
        table.row([
            attempt.lease.to_string(),
            attempt.worker.clone(),
            attempt.outcome.clone(),
            (if attempt.counted { "yes" } else { "no" }).to_owned(),
            if ended {
                took(attempt.ended_ms.saturating_sub(attempt.started_ms))
            } else {
                String::new()
            },
            message_of(attempt),
        ]);
    }
    text.push('\n');
    text.push_str(&table.render());
    text
}

fn message_of(attempt: &Attempt) -> String {
    let swept = match attempt.swept_ms {
        0 => "",
        _ => "log and files deleted after the retention",
    };
    let parts = [attempt.message.as_str(), swept];
    let said: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    said.join("; ")
}

/// `8: 7 succeeded, 1 failed`.
fn counted<'a>(states: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    states.for_each(|state| *counts.entry(state).or_default() += 1);
    let all: usize = counts.values().sum();
    let parts: Vec<String> = counts
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    match parts.as_slice() {
        [] => "0".to_owned(),
        parts => format!("{all}: {}", parts.join(", ")),
    }
}

fn task_counts(job: &Job) -> String {
    let counts = job.tasks.unwrap_or_default();
    let named = [
        (counts.succeeded, "succeeded"),
        (counts.running, "running"),
        (counts.ready, "ready"),
        (counts.blocked, "blocked"),
        (counts.failed, "failed"),
        (counts.dead, "dead"),
        (counts.skipped, "skipped"),
        (counts.cancelling, "cancelling"),
        (counts.cancelled, "cancelled"),
    ];
    let all: u64 = named.iter().map(|(count, _)| count).sum();
    let parts: Vec<String> = named
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    format!("{all}: {}", parts.join(", "))
}

/// What went wrong, each cause once, with the tasks that met it.
pub struct Causes<'a>(Vec<(&'a str, Vec<&'a Task>)>);

impl<'a> Causes<'a> {
    pub fn of(tasks: &'a [Task]) -> Self {
        let mut causes: Vec<(&str, Vec<&Task>)> = Vec::new();
        for task in tasks
            .iter()
            .filter(|task| matches!(task.state.as_str(), "failed" | "dead"))
        {
            let cause = reason(task);
            match causes.iter_mut().find(|(known, _)| *known == cause) {
                Some((_, tasks)) => tasks.push(task),
                None => causes.push((cause, vec![task])),
            }
        }
        Self(causes)
    }

    /// The task whose failure this is: of the same run if one of it failed so.
    pub fn task(&self, cause: &str, run: Option<u32>) -> Option<&'a Task> {
        let (_, tasks) = self.0.iter().find(|(known, _)| *known == cause)?;
        tasks
            .iter()
            .find(|task| task.run == run)
            .or(tasks.first())
            .copied()
    }

    fn render(&self) -> String {
        let mut lines = Vec::new();
        for (cause, tasks) in &self.0 {
            lines.push(format!("failed: {cause}"));
            for task in tasks.iter().take(MOST) {
                let run = task
                    .run
                    .map_or(String::new(), |run| format!(" of run {run}"));
                let attempts = output::counted(task.attempts.len() as u64, "attempt");
                lines.push(format!(
                    "  {}{run}, {attempts}; `ctl logs {}` shows what it wrote",
                    task.kind, task.id
                ));
            }
            if tasks.len() > MOST {
                lines.push(format!(
                    "  and {} more",
                    output::counted((tasks.len() - MOST) as u64, "task")
                ));
            }
        }
        lines.join("\n")
    }
}

/// Lines of one kind that anybody reads.
const MOST: usize = 5;

/// Why a task is in its state.
pub fn reason(task: &Task) -> &str {
    match (task.reason.as_str(), task.attempts.last()) {
        ("", Some(attempt)) => &attempt.message,
        (reason, _) => reason,
    }
}

/// A run's error is told with the task that failed.
fn without_repetitions(runs: &[Run], causes: &Causes<'_>) -> Vec<Run> {
    runs.iter()
        .map(|run| {
            let mut run = run.clone();
            if let Some(task) = causes.task(&run.error, Some(run.index)) {
                run.error = format!("{} {}", task.kind, task.id);
            }
            run
        })
        .collect()
}

fn open(tasks: &[Task]) -> String {
    let mut table = Table::new(&["open tasks", "kind", ">run", "state", ">attempts", "reason"]);
    for state in OPEN {
        for task in tasks.iter().filter(|task| task.state == state) {
            table.row([
                task.id.clone(),
                task.kind.clone(),
                task.run.map(|run| run.to_string()).unwrap_or_default(),
                task.state.clone(),
                task.attempts.len().to_string(),
                reason(task).to_owned(),
            ]);
        }
    }
    if table.is_empty() {
        String::new()
    } else {
        table.render()
    }
}

/// Skipped tasks say only which task they would have needed.
fn skipped(tasks: &[Task], causes: &Causes<'_>) -> String {
    let mut after: Vec<(String, Vec<&Task>)> = Vec::new();
    for task in tasks.iter().filter(|task| task.state == "skipped") {
        let needed = needs(task, causes);
        match after.iter_mut().find(|(known, _)| *known == needed) {
            Some((_, tasks)) => tasks.push(task),
            None => after.push((needed, vec![task])),
        }
    }
    let lines: Vec<String> = after
        .iter()
        .map(|(needed, tasks)| {
            let kinds = counted(tasks.iter().map(|task| task.kind.as_str()));
            format!("skipped {kinds}; {needed}")
        })
        .collect();
    lines.join("\n")
}

/// `after TASK` where the failed task is known, else the reason in full.
pub fn needs(task: &Task, causes: &Causes<'_>) -> String {
    match causes.task(&task.reason, task.run) {
        Some(failed) => format!("after {}", failed.id),
        None => reason(task).to_owned(),
    }
}

/// The page as it is now.
pub fn now(job: &Job, runs: &[Run], tasks: &[Task], published: Published<'_>) -> String {
    render(job, runs, tasks, published, output::now_ms())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: &str, kind: &str, run: Option<u32>, state: &str, reason: &str) -> Task {
        Task {
            id: id.to_owned(),
            kind: kind.to_owned(),
            run,
            state: state.to_owned(),
            reason: reason.to_owned(),
            ..Task::default()
        }
    }

    #[test]
    fn a_cause_is_told_once_and_skipped_tasks_name_the_failed_one() {
        let cause = "invalid_input: no images in /d/good";
        let tasks = [
            task("j-0", "list", None, "failed", cause),
            task("j-1", "fit", Some(1), "skipped", cause),
            task("j-2", "evaluate", Some(1), "skipped", cause),
            task("j-3", "fit", Some(0), "blocked", "needs j-9"),
        ];
        let runs = [Run {
            index: 1,
            state: "failed".to_owned(),
            error: cause.to_owned(),
            ..Run::default()
        }];
        let job = Job {
            id: "j".to_owned(),
            state: "running".to_owned(),
            created_ms: 1_000,
            ..Job::default()
        };
        let page = render(&job, &runs, &tasks, Published::default(), 61_000);
        assert_eq!(page.matches(cause).count(), 1, "{page}");
        assert!(
            page.contains("skipped 2: 1 evaluate, 1 fit; after j-0"),
            "{page}"
        );
        assert!(page.contains("begun    1 min 0 s ago\n"), "{page}");
        assert!(page.contains("needs j-9"), "{page}");
        assert!(page.contains("results  none published yet"), "{page}");
    }

    #[test]
    fn warnings_of_the_job_and_of_its_runs_are_told() {
        let runs = [Run {
            index: 1,
            warnings: vec!["3 images cannot be used".to_owned()],
            ..Run::default()
        }];
        let job = Job {
            warnings: vec!["pictures are left out".to_owned()],
            ..Job::default()
        };
        let page = render(&job, &runs, &[], Published::default(), 0);
        let told: Vec<_> = page.lines().filter(|l| l.starts_with("warning")).collect();
        assert_eq!(
            told,
            [
                "warning: pictures are left out",
                "warning: run 1: 3 images cannot be used"
            ]
        );
    }

    #[test]
    fn a_job_that_waits_says_why_and_until_when_it_may() {
        let why = "all 2 slots of pool cpu are busy, position 7";
        let tasks = [task("j-0", "list", None, "ready", why)];
        let mut job = Job {
            id: "j".to_owned(),
            deadline_ms: 121_000,
            reason: why.to_owned(),
            ..Job::default()
        };
        let page = render(&job, &[], &tasks, Published::default(), 61_000);
        assert!(page.contains(&format!("waits    {why}\n")), "{page}");
        assert!(page.contains("deadline in 1 min 0 s\n"), "{page}");
        job.reason = String::new();
        job.finished_ms = 130_000;
        job.failures = vec![
            "timed_out: the job had not ended".to_owned(),
            "j-0: lost: x".to_owned(),
        ];
        let page = render(&job, &[], &[], Published::default(), 161_000);
        assert!(
            page.contains("failed   timed_out: the job had not ended\n"),
            "{page}"
        );
        assert!(
            !page.contains("deadline") && !page.contains("j-0: lost"),
            "{page}"
        );
    }

    #[test]
    fn a_tasks_page_has_its_attempts() {
        let mut one = task("j-0003", "fit", Some(2), "dead", "crashed: signal 11");
        one.attempts = vec![proto::v1::Attempt {
            lease: 17,
            worker: "box".to_owned(),
            outcome: "crashed".to_owned(),
            started_ms: 1_000,
            ended_ms: 3_500,
            counted: true,
            ..Default::default()
        }];
        let page = super::task(&one);
        assert!(page.contains("why      crashed: signal 11\n"), "{page}");
        let line = page.lines().last().unwrap();
        let cells: Vec<_> = line.split_whitespace().collect();
        assert_eq!(cells, ["17", "box", "crashed", "yes", "2.5", "s"], "{page}");
    }
}

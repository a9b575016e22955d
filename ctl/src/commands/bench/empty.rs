//! Jobs of empty tasks: ordinary benchmarks whose results hold nothing.

use std::path::Path;

use plan::{Assignment, CHUNK, ResultDetail, StageTiming, TaskResult, TaskSpec};

/// The one object that an empty attempt leaves, and its content.
pub const OBJECT: &str = "empty.bin";
pub const CONTENT: &[u8] = b"nothing";

/// Its queue at a broker is no other pool's.
pub const POOL: &str = "bench";

/// Score tasks of one run: more would make the assignment of its evaluate task unlike those of most jobs.
const RUN: u64 = 250;

/// Tasks of a run besides its score tasks: fit and evaluate. Of a job besides its runs: list and reduce.
const OF_A_RUN: u64 = 2;
const OF_A_JOB: u64 = 2;

/// A job of empty tasks.
pub struct EmptyJob {
    runs: u64,
    /// Score tasks of each run.
    chunks: u64,
    priority: i32,
}

impl EmptyJob {
    /// Of at least so many tasks.
    pub fn of(tasks: u64) -> Self {
        let chunks = RUN.min(tasks);
        Self {
            runs: tasks.div_ceil(chunks + OF_A_RUN).max(1),
            chunks,
            priority: 0,
        }
    }

    /// Of one run without score tasks: list, fit, evaluate and reduce, each waiting for the one before. Goes before others.
    pub fn chain() -> Self {
        Self {
            runs: 1,
            chunks: 0,
            priority: 1,
        }
    }

    pub fn runs(&self) -> u64 {
        self.runs
    }

    pub fn score_tasks(&self) -> u64 {
        self.runs * self.chunks
    }

    pub fn tasks(&self) -> u64 {
        self.runs * (self.chunks + OF_A_RUN) + OF_A_JOB
    }

    /// The job file. Its data need not be there: nobody reads them.
    pub fn text(&self, store: &Path) -> String {
        let seeds: Vec<String> = (0..self.runs).map(|seed| seed.to_string()).collect();
        format!(
            "kind: benchmark\n\
             name: empty-{}\n\
             model: {{class_path: Padim, init_args: {{backbone: resnet18, layers: [layer1], n_features: 8, pre_trained: false}}}}\n\
             data: {{class_path: MVTec, init_args: {{root: /empty, category: empty}}}}\n\
             seed: {{grid: [{}]}}\n\
             priority: {}\n\
             resources: {{pool: {POOL}}}\n\
             output: {:?}\n",
            self.chunks,
            seeds.join(", "),
            self.priority,
            store.display().to_string(),
        )
    }
}

/// What an executor that did nothing answers. The job's name says how many score tasks each run is to have.
pub fn result(assignment: &Assignment, seconds: f64) -> Result<TaskResult, String> {
    let object = || OBJECT.to_owned();
    let detail = match assignment.spec {
        TaskSpec::List { .. } => ResultDetail::List {
            samples: object(),
            train: 1,
            scored: chunks(&assignment.job_name)? * CHUNK,
            packages: Vec::new(),
            licences: Vec::new(),
            scored_before: None,
        },
        TaskSpec::Fit { .. } => ResultDetail::Fit {
            statistics: object(),
            weights: None,
        },
        TaskSpec::Score { count, .. } => ResultDetail::Score {
            scores: object(),
            rows: count,
            errors: 0,
        },
        TaskSpec::Evaluate { .. } => ResultDetail::Evaluate {
            metrics: Vec::new(),
            package: None,
            rows: 0,
            errors: 0,
            anomalous: None,
            index: None,
            merged: Vec::new(),
            certificate: None,
        },
        TaskSpec::Reduce => ResultDetail::Reduce {
            tables: Vec::new(),
            manifest: object(),
            index: None,
            merged: Vec::new(),
        },
        TaskSpec::Export { .. } => return Err("ctl bench exports nothing".to_owned()),
    };
    Ok(TaskResult {
        detail,
        timings: timings(seconds),
        warnings: Vec::new(),
        reused: None,
    })
}

fn chunks(job_name: &str) -> Result<u64, String> {
    job_name
        .rsplit('-')
        .next()
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| format!("job {job_name:?} is not one of `ctl bench`"))
}

/// The stages of a real attempt, so that a result is as long as a real one's.
fn timings(seconds: f64) -> Vec<StageTiming> {
    let stages = [
        "fetch",
        "decode",
        "preprocess",
        "infer",
        "solve",
        "write",
        "total",
    ];
    let timing = |stage: &&str| {
        let is_total = *stage == "total";
        StageTiming {
            stage: (*stage).to_owned(),
            wall_s: seconds,
            busy_s: (!is_total).then_some(seconds),
            blocked_s: (!is_total).then_some(0.0),
            cpu_s: is_total.then_some(seconds),
            items: CHUNK,
            bytes: CONTENT.len() as u64,
            peak_memory: is_total.then_some(1 << 20),
        }
    };
    stages.iter().map(timing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(job: &EmptyJob) -> plan::Plan {
        let context = job::ReadContext {
            current_dir: Path::new("/"),
            now: job::Timestamp::UNIX_EPOCH,
        };
        let text = job.text(Path::new("/some where/results"));
        let read = job::read(&text, "bench", &[], &context);
        plan::plan(&read.map_err(|errors| errors[0].to_string()).unwrap().job)
    }

    #[test]
    fn a_job_has_as_many_tasks_as_were_asked_for_or_a_few_more() {
        for tasks in [1, 250, 251, 4_000, 100_000] {
            let job = EmptyJob::of(tasks);
            assert!((tasks..tasks + 256).contains(&job.tasks()), "{tasks}");
        }
    }

    #[test]
    fn the_file_is_a_job_of_that_many_tasks() {
        let job = EmptyJob::of(1_000);
        let plan = plan(&job);
        let listed = TaskResult {
            detail: ResultDetail::List {
                samples: OBJECT.to_owned(),
                train: 1,
                scored: chunks(&format!("empty-{}", job.chunks)).unwrap() * CHUNK,
                packages: Vec::new(),
                licences: Vec::new(),
                scored_before: None,
            },
            timings: timings(0.0),
            warnings: Vec::new(),
            reused: None,
        };
        let next = types::TaskIndex(plan.tasks.len() as u32);
        let added = plan::expand(&plan, types::TaskIndex(0), &listed, next);
        assert_eq!((plan.tasks.len() + added.tasks.len()) as u64, job.tasks());
    }

    #[test]
    fn a_chain_has_four_tasks() {
        assert_eq!(plan(&EmptyJob::chain()).tasks.len(), 4);
        assert_eq!(EmptyJob::chain().tasks(), 4);
    }

    #[test]
    fn another_jobs_name_says_nothing() {
        assert!(chunks("night").is_err());
        assert_eq!(chunks("empty-250"), Ok(250));
    }
}

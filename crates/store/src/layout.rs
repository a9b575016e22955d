//! Where everything lies in a store, relative to its root. `docs/formats.md` is the public form of this page.
//!
//! ```text
//! jobs/{job}/spec.yaml, plan.json
//! jobs/{job}/tasks/{task}/{lease}-{random}/...   one attempt's folder (types::AttemptPrefix), sealed by _outputs.json
//! jobs/{job}/manifest/{generation}.parquet
//! jobs/{job}/results/{generation}/{table}.parquet
//! models/{name}/{version}.json
//! index/{package}-{engine}/{input}/{job}.parquet   what has been scored: immutable copies of tables `scores`
//! index/{package}-{engine}/{input}/merged/{job}-{number}.parquet   rows of several of them: read in their place
//! ```

use types::JobId;

/// The last object that an attempt writes: what it wrote.
pub const OUTPUTS: &str = "_outputs.json";

/// Largest `_outputs.json`: it travels in one message and is kept in the database.
pub const MAX_OUTPUTS_BYTES: u64 = 1 << 20;

pub fn job(job: &JobId) -> String {
    format!("jobs/{job}")
}

/// The job file as its user wrote it.
pub fn spec(job: &JobId) -> String {
    format!("jobs/{job}/spec.yaml")
}

/// The resolved job, cut into runs and tasks.
pub fn plan(job: &JobId) -> String {
    format!("jobs/{job}/plan.json")
}

/// Readers take the highest generation; the number is padded so that they sort as text, too.
pub fn manifest(job: &JobId, generation: u64) -> String {
    format!("jobs/{job}/manifest/{generation:06}.parquet")
}

pub fn results(job: &JobId, generation: u64) -> String {
    format!("jobs/{job}/results/{generation:06}")
}

/// `name` is a file name, such as `scores.parquet`.
pub fn result(job: &JobId, generation: u64, name: &str) -> String {
    format!("jobs/{job}/results/{generation:06}/{name}")
}

/// What has been scored by a package (its digest) and engine.
pub fn index(package: &str, engine: &str) -> String {
    let package: String = package.chars().take(16).collect();
    format!("index/{package}-{engine}")
}

/// What a job adds to a folder of the index.
pub fn index_segment(index: &str, job: &JobId) -> String {
    format!("{index}/{job}.parquet")
}

/// Rows of several segments, put there by a job.
pub fn index_merged(index: &str, job: &JobId, number: usize) -> String {
    format!("{index}/merged/{job}-{number}.parquet")
}

/// Whether it is such a table of the folder, and no segment.
pub fn is_index_merged(index: &str, path: &str) -> bool {
    let below = path
        .strip_prefix(index)
        .and_then(|path| path.strip_prefix('/'));
    below.is_some_and(|path| path.starts_with("merged/"))
}

/// All versions of a model lie below this.
pub fn models(name: &str) -> String {
    format!("models/{name}")
}

/// The pointer to a package.
pub fn model(name: &str, version: u32) -> String {
    format!("models/{name}/{version:06}.json")
}

/// The version that a pointer's path says; `None` if it is none.
pub fn version(path: &str) -> Option<u32> {
    path.rsplit('/').next()?.strip_suffix(".json")?.parse().ok()
}

/// A segment of an attempt's log, relative to the attempt's prefix.
pub fn log_segment(number: u32) -> String {
    format!("log/{number:06}.log")
}

//! The tables, one line a column: name, type and meaning are the public format.

use crate::{cell::Micros, table::table};

table! {
    /// One image of a dataset, sealed by a `list` task.
    SampleRow = "samples" version 2 sorted by [uri] {
        /// From 0, in order of the uri.
        sample: u64,
        uri: String,
        /// What identified the object's content when it was listed; every later read insists on it.
        etag: String,
        /// Bytes.
        size: u64,
        modified: Micros,
        /// `train`, `validation` or `test`.
        split: String,
        /// `normal`, `anomalous` or `unknown`.
        label: String,
        /// Folder name of the defect's kind, where the dataset tells.
        defect_type: Option<String>,
        mask_uri: Option<String>,
        /// Of the mask, when it was listed.
        mask_etag: Option<String>,
        /// Seed of the synthetic anomaly that a normal image gets when it is read, and of its mask.
        synthetic: Option<u64>,
    }
}

table! {
    /// What one run says about one image. An image that could not be scored is a row with an error.
    ScoreRow = "scores" version 1 sorted by [run, uri] {
        run: u32,
        sample: u64,
        uri: String,
        etag: String,
        /// Class of the model and what distinguishes it, as in `metrics`.
        model: String,
        split: String,
        label: String,
        defect_type: Option<String>,
        /// Raw: never clamped, never normalized.
        score: Option<f32>,
        /// 0 to 1 between the bounds of the run, 0.5 at its threshold.
        score_normalized: Option<f32>,
        /// Score at or above the threshold; null without one.
        is_anomalous: Option<bool>,
        /// Of the image as it was found, in pixels.
        width: Option<u32>,
        height: Option<u32>,
        /// Part and row of the anomaly map, where maps are kept.
        map_part: Option<String>,
        map_row: Option<u64>,
        /// `decode`, `changed`, `not_found`, `too_large`, `denied`...
        error_class: Option<String>,
        error: Option<String>,
        decode_us: Option<u64>,
        infer_us: Option<u64>,
    }
}

table! {
    /// One metric of one run: a value, or the reason why there is none.
    MetricRow = "metrics" version 1 sorted by [run, level, metric] {
        run: u32,
        model: String,
        dataset: String,
        category: String,
        seed: u64,
        /// The run's grid coordinates, its model's parameters, and which package and weights these came to use, JSON.
        parameters: String,
        /// `image` or `pixel`.
        level: String,
        metric: String,
        value: Option<f64>,
        /// Why there is no value: `one_class`, `no_mask`, or the failure of the run.
        reason: Option<String>,
        /// 95 % confidence interval, where one is known for the metric.
        low: Option<f64>,
        high: Option<f64>,
        /// The threshold that the metric was taken at, for those that need one.
        threshold: Option<f64>,
        /// What chose the threshold: `validation`, `test` (selected on test!), `manual`; `package:` before it, if it is a package's.
        threshold_split: Option<String>,
        /// What was counted: images or pixels of the split `test`.
        normal: u64,
        anomalous: u64,
        /// Images left out because they could not be scored.
        errors: u64,
        engine: String,
        /// Engine and version, CPU, instruction set, threads: equal fingerprints promise equal bits.
        fingerprint: String,
    }
}

table! {
    /// What one stage of one task took.
    TimingRow = "timings" version 3 sorted by [task, stage] {
        /// Null for tasks of several runs.
        run: Option<u32>,
        task: String,
        /// `list`, `fit`, `score`, `evaluate`, `reduce`.
        kind: String,
        /// `fetch`, `decode`, `preprocess`, `infer`, `solve`, `metrics`, `write`...; `total` is the attempt as a whole.
        stage: String,
        /// Seconds from the stage's first beginning to its last end.
        wall_s: f64,
        /// Seconds that its threads worked, their sum; not `total`; null in version 1.
        busy_s: Option<f64>,
        /// Seconds that its threads waited for input or for room in the next stage, their sum; as `busy_s`.
        blocked_s: Option<f64>,
        /// CPU seconds of the process; only `total`.
        cpu_s: Option<f64>,
        items: u64,
        bytes: u64,
        /// Bytes of resident memory at the highest; only `total`.
        peak_memory: Option<u64>,
        /// Id of the job's trace; null where nobody traced it, and before version 3.
        trace: Option<String>,
    }
}

table! {
    /// One committed object of a job.
    ManifestRow = "manifest" version 1 sorted by [path] {
        task: String,
        /// `list`, `fit`, `score`, `evaluate`, `reduce`.
        kind: String,
        run: Option<u32>,
        /// Relative to the store's root.
        path: String,
        size: u64,
        /// Lower-case hexadecimal.
        sha256: String,
        /// Rows, where the object is a Parquet part.
        rows: Option<u64>,
    }
}

//! The tables, one line a column: name, type and meaning are the public format.

use crate::{
    cell::{AnomalyBox, Micros},
    table::table,
};

table! {
    /// One image of a dataset, sealed by a `list` task. A score task reads the groups of its chunk alone.
    SampleRow = "samples" version 3 sorted by [uri] in groups of 1 batches {
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
        /// Where an image of an archive lies, JSON.
        entry: Option<String>,
    }
}

table! {
    /// What one run says about one image. An image that could not be scored is a row with an error.
    ScoreRow = "scores" version 2 sorted by [run, uri] {
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
        /// Around the regions of the anomaly map that are at or above the threshold of pixels, the highest first; of images that were
        /// anomalous when they were scored, and only where images are predicted. Null in version 1.
        boxes: Option<Vec<AnomalyBox>>,
        /// Object (below the store's root) and row of the anomaly map, where maps are kept.
        map_part: Option<String>,
        map_row: Option<u64>,
        /// `decode`, `changed`, `not_found`, `too_large`, `denied`...
        error_class: Option<String>,
        error: Option<String>,
        decode_us: Option<u64>,
        infer_us: Option<u64>,
    }
}

/// In the place of a metric where images have no labels: the share of the scored ones that were decided to be anomalous. Its row
/// counts these as anomalous, and the others as normal.
pub const ANOMALOUS_RATE: &str = "anomalous_rate";

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
        /// What chose the threshold: `validation`, `test` (selected on test!), `manual`; `package:` before it, if it is a package's; `package:unknown` of a model file, which does not say.
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
    /// One point of a curve of one run; the points of a curve are joined by straight lines.
    CurveRow = "curves" version 1 sorted by [run, level, curve, point] {
        run: u32,
        /// `image` or `pixel`.
        level: String,
        /// `ROC`, `PR`; of pixels also `PRO`, and `PIMO` where AUPIMO is a metric of the run.
        curve: String,
        /// From 0, in ascending order of `x`.
        point: u32,
        x: f64,
        y: f64,
    }
}

table! {
    /// AUPIMO of one image that has a defect; the mean over a run's rows is the metric of its images.
    AupimoRow = "aupimo" version 1 sorted by [run, uri] {
        run: u32,
        uri: String,
        /// As in `samples`.
        defect_type: Option<String>,
        /// Pixels of its mask's defects, at the model's size.
        pixels: u64,
        aupimo: Option<f64>,
        /// Why there is no value, the same for all rows of a run.
        reason: Option<String>,
    }
}

table! {
    /// What one `score` task leaves of an image that has a defect, from which its AUPIMO is made.
    DefectRow = "defects" version 1 sorted by [uri] in batches of 16 {
        uri: String,
        defect_type: Option<String>,
        /// Raw scores of the defect's pixels: f32, little endian.
        scores: Vec<u8>,
    }
}

table! {
    /// One of the images that a run gets most wrong or most right, as people look at it.
    PictureRow = "pictures" version 1 sorted by [run, uri] in batches of 16 {
        run: u32,
        uri: String,
        /// `normal` or `anomalous`.
        label: String,
        score: f32,
        /// `worst` (of the normal ones those with the highest scores, of the anomalous ones those with the lowest) or `best`.
        list: String,
        /// From 0 in its list, the most extreme first.
        rank: u32,
        /// The image in small, JPEG; null with an `error`.
        image: Option<Vec<u8>>,
        /// The same with the anomaly map over it, and with the outline of the defect where there is a mask, JPEG; null if the model
        /// has no map.
        overlay: Option<Vec<u8>>,
        /// The values of the map that are shown as nothing and as the strongest colour: the same for all pictures of the run.
        heat_low: Option<f32>,
        heat_high: Option<f32>,
        /// Why there is no picture, or no outline.
        error: Option<String>,
    }
}

table! {
    /// The anomaly map of one image, as coarse as the model sees it: bilinear or nearest upsampling and a blur make the map of an image.
    MapRow = "maps" version 1 sorted by [uri] in batches of 64 {
        sample: u64,
        uri: String,
        etag: String,
        score: f32,
        /// Of the grid.
        height: u32,
        width: u32,
        /// Row by row: f32, little endian.
        values: Vec<u8>,
    }
}

table! {
    /// One image as people look at it, because a job was asked to draw it.
    RenderRow = "renders" version 1 sorted by [run, uri] in batches of 16 {
        run: u32,
        uri: String,
        etag: String,
        score: f32,
        /// By the threshold that the job began with.
        is_anomalous: Option<bool>,
        /// The image, at most 512 pixels wide and high, JPEG; null with an `error`.
        image: Option<Vec<u8>>,
        /// The same with the anomaly map over it, JPEG; null if the model has no map.
        overlay: Option<Vec<u8>>,
        /// White where the map is at or above the threshold of pixels, of the size of the image as it is stored, PNG; null without one.
        mask: Option<Vec<u8>>,
        /// The values of the map that are shown as nothing and as the strongest colour.
        heat_low: Option<f32>,
        heat_high: Option<f32>,
        /// Why there is no picture.
        error: Option<String>,
    }
}

table! {
    /// One of the images at the ends of the scores of one `score` task, from which the pictures are made.
    ExtremeRow = "extremes" version 1 sorted by [uri] in batches of 16 {
        sample: u64,
        uri: String,
        etag: String,
        size: u64,
        label: String,
        score: f32,
        mask_uri: Option<String>,
        mask_etag: Option<String>,
        synthetic: Option<u64>,
        /// As in `samples`.
        entry: Option<String>,
        /// Values on the model's grid, row by row: f32, little endian. Null if the model has no map.
        cells: Option<Vec<u8>>,
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

//! Reads a resolved job back from its JSON: whoever did not make it trusts nothing in it.

use std::path::Path;

use params::{Entry, Kind};
use serde_json::Value as Json;

use crate::{
    ResolvedJob, check, grid,
    node::{At, Node},
    paths, read,
    report::Report,
    resolved::{
        ClassSpec, EngineChoice, ErrorLimit, JobKind, Kept, MeasuredOn, ModelSource, Precision,
        RunSpec, ThresholdSpec,
    },
    run, search,
};

/// Why a text is not a resolved job.
#[derive(Debug, thiserror::Error)]
pub enum ResolvedError {
    #[error("the resolved job is not valid JSON of its form")]
    Json(#[from] serde_json::Error),
    #[error("the resolved job has format {found}; this program reads format {expected}")]
    Format { found: u32, expected: u32 },
    #[error("the resolved job's {what}: {reason}")]
    Invalid { what: String, reason: String },
}

impl ResolvedJob {
    /// Version that this program writes.
    pub const FORMAT: u32 = 1;

    /// Accepts what [`crate::read`] could have made, and nothing else.
    pub fn from_json(text: &str) -> Result<Self, ResolvedError> {
        let job: Self = serde_json::from_str(text)?;
        if job.format != Self::FORMAT {
            return Err(ResolvedError::Format {
                found: job.format,
                expected: Self::FORMAT,
            });
        }
        job.check()?;
        Ok(job)
    }

    pub fn to_json(&self) -> String {
        serde_json::to_value(self)
            .map(|json| json.to_string())
            .unwrap_or_default()
    }

    fn check(&self) -> Result<(), ResolvedError> {
        if !read::is_name(&self.name) {
            return invalid("name", format!("{:?} is not a name", self.name));
        }
        if paths::file_path(&self.output).is_none() && !paths::is_remote(&self.output) {
            return invalid(
                "output",
                format!("{:?} is not an absolute URI", self.output),
            );
        }
        if let Some(why) = self.resources.contradiction() {
            return invalid("resources.device", why);
        }
        let runs = self.runs.len() as u64;
        let wanted = match self.kind {
            JobKind::Benchmark => 1..=grid::MAX_RUNS,
            JobKind::Train | JobKind::Test | JobKind::Predict | JobKind::Hpo => 1..=1,
            JobKind::Export => 0..=0,
        };
        match (&self.export, self.kind) {
            (Some(export), JobKind::Export) => {
                if let Some((key, why)) = export.contradiction() {
                    return invalid(format!("export.{key}"), why);
                }
                if self.resources.engine != export.needs() {
                    return invalid("resources.engine", "is not the one that the export needs");
                }
            }
            (
                None,
                JobKind::Train
                | JobKind::Test
                | JobKind::Predict
                | JobKind::Benchmark
                | JobKind::Hpo,
            ) => {}
            _ => {
                return invalid(
                    "export",
                    format!("does not fit a job of kind {}", self.kind),
                );
            }
        }
        if !wanted.contains(&runs) {
            return invalid(
                "runs",
                format!("a job of kind {} cannot have {runs}", self.kind),
            );
        }
        self.check_search()?;
        for (index, run) in self.runs.iter().enumerate() {
            let what = |part: &str| format!("run {index}, {part}");
            class(data::REGISTRY, &run.data, &what("data"))?;
            let built = data::build(&run.data.class_path, &run.data.init_args);
            let built = built.map_err(|error| ResolvedError::Invalid {
                what: what("data"),
                reason: error.to_string(),
            })?;
            let predicts = self.kind == JobKind::Predict;
            if matches!(built, data::Data::Unlabelled(_)) != predicts {
                return invalid(
                    what("data"),
                    format!("does not fit a job of kind {}", self.kind),
                );
            }
            check_predict(run, predicts).or_else(|(part, reason)| invalid(what(part), reason))?;
            match (&run.model, self.kind) {
                (ModelSource::Train(model), JobKind::Train | JobKind::Benchmark | JobKind::Hpo) => {
                    class(models::REGISTRY, model, &what("model"))?
                }
                (ModelSource::Package(_), kind) if kind.takes_package() => {}
                _ => {
                    return invalid(
                        what("model"),
                        format!("does not fit a job of kind {}", self.kind),
                    );
                }
            }
            let is_of_package = matches!(run.model, ModelSource::Package(_));
            let mut name = run.model_name.iter();
            if !name.all(|name| is_of_package && run::is_model_name(name)) {
                return invalid(what("model_name"), "is not what a package can be called");
            }
            check_shortcuts(run, self.kind, self.resources.engine)
                .or_else(|(part, reason)| invalid(what(part), reason))?;
            for name in run.metrics.image.iter().chain(&run.metrics.pixel) {
                entry(metrics::REGISTRY, name, &what("metrics"))?;
            }
            if let Some(name) = run
                .metrics
                .image
                .iter()
                .find(|name| metrics::OF_PIXELS_ONLY.contains(&name.as_str()))
            {
                return invalid(what("metrics"), format!("{name} is of pixels only"));
            }
            if metrics::FprLimit::new(run.metrics.fpr_limit).is_none() {
                return invalid(
                    what("metrics"),
                    format!("fpr_limit cannot be {:?}", run.metrics.fpr_limit),
                );
            }
            if metrics::FprBounds::of(&run.metrics.fpr_bounds).is_none() {
                return invalid(
                    what("metrics"),
                    format!("fpr_bounds cannot be {:?}", run.metrics.fpr_bounds),
                );
            }
            for threshold in [run.metrics.image_threshold, run.metrics.pixel_threshold] {
                if threshold == ThresholdSpec::Package && !self.kind.takes_package() {
                    return invalid(what("threshold"), "there is no package to take it from");
                }
                check_threshold(threshold).or_else(|reason| invalid(what("threshold"), reason))?;
            }
        }
        Ok(())
    }
}

impl ResolvedJob {
    /// A search is one of what its run has, and its trials are made by it alone.
    fn check_search(&self) -> Result<(), ResolvedError> {
        let of_search = |run: &RunSpec| {
            run.measured_on != MeasuredOn::Test
                || run.train_share.is_some()
                || run.chosen_on.is_some()
        };
        if self.runs.iter().any(of_search) {
            return invalid(
                "runs",
                "what they are measured and chosen on belongs to trials",
            );
        }
        let (Some(search), Some(run), JobKind::Hpo) = (&self.search, self.runs.first(), self.kind)
        else {
            return match (&self.search, self.kind) {
                (None, kind) if kind != JobKind::Hpo => Ok(()),
                (_, kind) => invalid("search", format!("does not fit a job of kind {kind}")),
            };
        };
        search
            .by
            .check()
            .or_else(|error| invalid("search", error.to_string()))?;
        let metrics = match search.objective.level.as_str() {
            "image" => &run.metrics.image,
            "pixel" => &run.metrics.pixel,
            level => return invalid("search", format!("there is no level {level:?}")),
        };
        if !metrics.contains(&search.objective.metric) {
            return invalid("search", format!("{} is not measured", search.objective));
        }
        for dimension in &search.by.space.dimensions {
            if search::parameter(&mut run.clone(), &dimension.name).is_none() {
                return invalid("search", format!("{:?} is no parameter", dimension.name));
            }
        }
        for corner in search.corners(run) {
            class(data::REGISTRY, &corner.data, "search, data")?;
            if let ModelSource::Train(model) = &corner.model {
                class(models::REGISTRY, model, "search, model")?;
            }
        }
        Ok(())
    }
}

/// What only jobs of kind predict have, and what they cannot have.
fn check_predict(run: &RunSpec, predicts: bool) -> Result<(), (&'static str, &'static str)> {
    if run.max_error_rows.is_some() != predicts {
        return Err((
            "max_error_rows",
            "belongs to jobs of kind predict, and to each of them",
        ));
    }
    if let Some(ErrorLimit::Share(share)) = run.max_error_rows
        && !(0.0..=1.0).contains(&share)
    {
        return Err(("max_error_rows", "is no share"));
    }
    if run.incremental && !predicts {
        return Err(("incremental", "belongs to jobs of kind predict"));
    }
    if run.skip.is_some() && !predicts {
        return Err(("skip", "belongs to jobs of kind predict"));
    }
    for (key, kept) in [("maps", run.maps), ("pictures", run.pictures)] {
        if kept != Kept::None && !predicts {
            return Err((key, "belongs to jobs of kind predict"));
        }
    }
    let metrics = &run.metrics;
    if predicts && !(metrics.image.is_empty() && metrics.pixel.is_empty()) {
        return Err(("metrics", "cannot be measured without labels"));
    }
    let thresholds = [metrics.image_threshold, metrics.pixel_threshold];
    if predicts && !thresholds.into_iter().all(ThresholdSpec::is_given) {
        return Err(("threshold", "cannot be chosen without labels"));
    }
    Ok(())
}

/// Whether it may compute otherwise than exactly, and with a certificate of that.
fn check_shortcuts(
    run: &RunSpec,
    kind: JobKind,
    engine: EngineChoice,
) -> Result<(), (&'static str, &'static str)> {
    let scores_by_package = matches!(kind, JobKind::Test | JobKind::Predict);
    if !run.is_exact() && !scores_by_package {
        return Err((
            "precision or scaled_decoding",
            "belongs to jobs of the kinds predict and test",
        ));
    }
    if run.precision != Precision::F32 && !computes_in(engine, run.precision) {
        return Err(("precision", "is not one that the engine computes in"));
    }
    if scores_by_package && run.is_exact() != (run.parity == 0) {
        return Err((
            "parity",
            "belongs to jobs that do not compute exactly, and to each of them",
        ));
    }
    Ok(())
}

/// Whether the engine computes with such numbers at all.
pub(crate) fn computes_in(engine: EngineChoice, precision: Precision) -> bool {
    match (precision, engine) {
        (Precision::F32, _) | (Precision::Bf16, EngineChoice::Auto | EngineChoice::Openvino) => {
            true
        }
        (
            Precision::Bf16,
            EngineChoice::Onnxruntime | EngineChoice::TorchCpu | EngineChoice::TorchCuda,
        ) => false,
    }
}

/// Whether its number is one that the registry allows.
pub(crate) fn check_threshold(threshold: ThresholdSpec) -> Result<(), String> {
    let (class, value) = match threshold {
        ThresholdSpec::Manual { value } => (run::MANUAL, value),
        ThresholdSpec::FalsePositiveRate { rate } => (run::FALSE_POSITIVE_RATE, rate),
        ThresholdSpec::F1Adaptive | ThresholdSpec::Package => return Ok(()),
    };
    match run::threshold_number(class) {
        Some(Kind::Float { min, max }) if (*min..=*max).contains(&value) => Ok(()),
        Some(kind) => Err(format!(
            "{class}: expected {}, found {value:?}",
            kind.expected()
        )),
        None => Err(format!("{class} has no number")),
    }
}

fn invalid<T>(what: impl Into<String>, reason: impl Into<String>) -> Result<T, ResolvedError> {
    Err(ResolvedError::Invalid {
        what: what.into(),
        reason: reason.into(),
    })
}

fn entry(
    registry: &'static [Entry],
    name: &str,
    what: &str,
) -> Result<&'static Entry, ResolvedError> {
    match registry
        .iter()
        .find(|entry| entry.class == name && entry.params.is_some())
    {
        Some(entry) => Ok(entry),
        None => invalid(what, format!("{name:?} is not known or not built")),
    }
}

/// The class exists, and checking its parameters again changes nothing.
fn class(registry: &'static [Entry], class: &ClassSpec, what: &str) -> Result<(), ResolvedError> {
    let entry = entry(registry, &class.class_path, what)?;
    let mut report = Report::new("", &[]);
    let given = Node::from_json(&Json::Object(class.init_args.clone()), At::START);
    // Every path is absolute by now; a relative one would show as a change.
    let checked = check::arguments(
        entry,
        Some(&given),
        At::START,
        &[],
        Path::new("/"),
        &mut report,
    );
    if let Some(error) = report.errors.first() {
        return invalid(what, error.message.clone());
    }
    if checked.values != class.init_args {
        return invalid(what, "its parameters are not written out in full");
    }
    Ok(())
}

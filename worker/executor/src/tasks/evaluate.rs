//! `evaluate`: a run's raw scores and pixel counts become thresholds, bounds, metrics, decisions and a package.

use std::collections::BTreeSet;

use ::package::Parity;
use data::Split;
use job::resolved::{Kept, MeasuredOn, ModelSource, ThresholdSpec};
use metrics::{Asked, AtRate, Interval, Points, RawScore, SplitRole, Summary, Undefined};
use plan::{
    Input, InputOutcome, MetricValue, PlannedRun, ResultDetail, Reused, ScoredBefore, TaskResult,
};
use serde_json::{Value, json};
use tables::{CurveRow, ManifestRow, MetricRow, RenderRow, Row, ScoreRow, TimingRow};
use types::TaskKind;

use super::{
    names,
    reduce::{manifest_rows, push_all, timing_rows},
    reused,
    score::{ComputedBy, wants_pixels},
};
use crate::{
    attempt::{Attempt, accepted},
    certificate,
    decision::{Decision, Given, decide},
    defects,
    error::TaskError,
    level::{Before, Images, Level, Pixels, asked},
    model::{Chosen, sight, weights_of_fit},
    packages, parity, pictures,
};

pub fn run(attempt: &Attempt) -> Result<TaskResult, TaskError> {
    let run = attempt.run()?;
    attempt.stages.show("evaluate", 0);
    let computed_by = computed_by(attempt)?;
    let (trained, given) = match &run.spec.model {
        ModelSource::Train(_) => (Some(Chosen::to_train(attempt)?), None),
        ModelSource::Package(name) => (None, Some(packages::open(attempt, name)?)),
    };
    let licences = packages::licences(attempt, given.as_ref(), trained.as_ref())?;
    let used = used(attempt, given.as_ref(), &licences);
    let asked = asked(run)?;
    let images = attempt
        .stages
        .time("metrics", 0, || Images::count(attempt))?;
    let before = scored_before(attempt)?;
    let split = measured(run);
    images.check(split, run.spec.max_error_rows, &Before::count(attempt)?)?;
    let image = decide(
        run,
        run.spec.metrics.image_threshold,
        &images,
        given.as_ref().map(Given::image).as_ref(),
    )?;
    if attempt.assignment.rethresholded && decided_before(attempt)? {
        // There would be no decisions where there were some.
        image.threshold.map_err(TaskError::NoThreshold)?;
    }
    let sight = sight(run, given.as_ref())?;
    let pixels = (wants_pixels(run) && sight.map.is_some()).then(|| Pixels::of(attempt));
    let decide_pixels = |pixels: &Pixels<'_>| {
        decide(
            run,
            run.spec.metrics.pixel_threshold,
            pixels,
            given.as_ref().map(Given::pixel).as_ref(),
        )
    };
    let pixel = pixels.as_ref().map(decide_pixels).transpose()?;
    let rates = rates(&image, pixel.as_ref());
    let template = empty_row(run, (used, rates), &computed_by);
    let (mut rows, mut curves) = level_rows(
        &run.spec.metrics.image,
        &images,
        split,
        (&image, asked),
        images.errors(split),
        &template,
    )?;
    if let (Some(pixels), Some(decision)) = (&pixels, &pixel) {
        let (metrics, drawn) = level_rows(
            &run.spec.metrics.pixel,
            pixels,
            split,
            (decision, asked),
            images.errors(split),
            &template,
        )?;
        rows.extend(metrics);
        curves.extend(drawn);
        defects::evaluate(attempt, run, pixels, split)?;
    } else {
        let reason = if sight.map.is_some() {
            Undefined::NoMask
        } else {
            Undefined::NoMap
        };
        let pixel = run.spec.metrics.pixel.iter();
        rows.extend(pixel.map(|metric| no_pixels_row(metric, reason, &template)));
    }
    if run.spec.max_error_rows.is_some() {
        rows.push(predicted_row(&images, &image, &template)?);
    }
    rows.sort_by(Row::order);
    let metrics = rows.iter().map(value).collect();
    attempt.put_table(names::METRICS, rows)?;
    curves.sort_by(Row::order);
    attempt.put_table(names::CURVES, curves)?;
    // Of a trial nobody looks at pictures.
    let missing_pictures = match split {
        Split::Test => pictures::put(attempt, run, &sight)?,
        Split::Train | Split::Validation => None,
    };
    let (rows, anomalous) = write_scores(attempt, &image)?;
    let without_map = reused::decide(attempt, run, sight.map.is_some(), &image)?;
    bring_renders(attempt)?;
    let parity = parity::measure(attempt, run, image.threshold.ok())?;
    let problems = parity.iter().flat_map(Parity::problems);
    let disagreeing = problems
        .map(|problem| format!("the package's parity certificate: {problem}"))
        .collect();
    let mut warnings = warnings(attempt, &images, missing_pictures, disagreeing);
    warnings.extend(unsupported(&image));
    warnings.extend(undecided(run, given.as_ref(), &image));
    warnings.extend(not_normalized(&image));
    warnings.extend(without_map);
    warnings.extend(mapless(run, sight.map.is_some()));
    let certificate = certificate::measure(attempt, run, given.as_ref(), image.threshold.ok())?;
    let package = match &trained {
        Some(chosen) => Some(packages::write(
            attempt,
            run,
            chosen,
            licences,
            &computed_by,
            (&image, pixel.as_ref()),
            parity,
        )?),
        None => None,
    };
    write_inherited(attempt)?;
    Ok(TaskResult {
        detail: ResultDetail::Evaluate {
            metrics,
            package,
            rows,
            errors: images.all_errors(),
            anomalous: image.threshold.ok().map(|_| anomalous),
            index: before.and_then(|before| before.index.clone()),
            merged: attempt.input(TaskKind::List)?.merged(),
            certificate,
        },
        timings: Vec::new(),
        warnings,
        reused: passes_reused(attempt),
    })
}

/// Whether the evaluation that is done anew, if this is one, had decided any image.
fn decided_before(attempt: &Attempt) -> Result<bool, TaskError> {
    let Some(evaluated) = attempt.accepted(TaskKind::Evaluate).next() else {
        return Ok(false);
    };
    let mut decided = false;
    attempt.each_batch::<ScoreRow>(&evaluated.path(names::SCORES), |batch| {
        decided |= batch.iter().any(|row| row.is_anomalous.is_some());
        Ok(())
    })?;
    Ok(decided)
}

/// What the run's tasks did not have to compute, together.
fn passes_reused(attempt: &Attempt) -> Option<Reused> {
    let inputs = behind(attempt).filter_map(accepted);
    let by_task = inputs.filter_map(|input| input.result.reused);
    by_task.reduce(|mut all, one| {
        all += one;
        all
    })
}

/// Images that have no part in the numbers, and what the run's earlier tasks warned of, each once: the evaluation is where
/// people look.
fn warnings(
    attempt: &Attempt,
    images: &Images,
    pictures: Option<String>,
    engines: Vec<String>,
) -> Vec<String> {
    let mut warnings = engines;
    warnings.extend(pictures);
    if let Some(said) = images.said(Split::Validation) {
        warnings.push(format!("{said}; none of them chose the threshold"));
    }
    if let Some(said) = images.said(Split::Test) {
        warnings.push(format!(
            "{said}; table `scores` has them as rows with errors"
        ));
    }
    for input in behind(attempt) {
        if let InputOutcome::Accepted { result, .. } = &input.outcome {
            for warning in &result.warnings {
                if !warnings.contains(warning) {
                    warnings.push(warning.clone());
                }
            }
        }
    }
    warnings
}

/// What the evaluation is made from: not what it left itself, before it was done anew.
fn behind(attempt: &Attempt) -> impl Iterator<Item = &Input> {
    let inputs = attempt.assignment.inputs.iter();
    inputs.filter(|input| input.spec.kind() != TaskKind::Evaluate)
}

/// A false-positive rate of images that needs more of them.
fn unsupported(decision: &Decision) -> Option<String> {
    let at_rate = decision.at_rate.filter(|found| !found.is_supported())?;
    let (rate, normal) = (at_rate.rate.rate(), at_rate.normal);
    Some(format!(
        "no threshold can be made for a false-positive rate of {rate} from {normal} normal images ({}): it takes {} and more; it is above all of \
         them, and the true rate is at most {:.4}, 95 % sure",
        decision.chosen_by,
        at_rate.rate.needs().unwrap_or(normal),
        at_rate.true_rate_at_most()
    ))
}

/// Anomaly maps that are asked for of a model that has none.
fn mapless(run: &PlannedRun, has_maps: bool) -> Option<String> {
    let asked = [("maps", run.spec.maps), ("pictures", run.spec.pictures)];
    let mut asked = asked.iter().filter(|(_, kept)| *kept != Kept::None);
    let (key, _) = asked.next().filter(|_| !has_maps)?;
    Some(format!(
        "`{key}`: the model scores whole images and has no anomaly maps, so none is kept or drawn"
    ))
}

/// Images that a package without a threshold cannot decide.
fn undecided(
    run: &PlannedRun,
    given: Option<&packages::Opened>,
    image: &Decision,
) -> Option<String> {
    let asks = run.spec.metrics.image_threshold == ThresholdSpec::Package;
    let package = given.filter(|_| asks && image.threshold.is_err())?;
    Some(format!(
        "the package {} has no threshold: there are scores and no decisions; name one as `metrics.threshold`, or afterwards by `ctl rethreshold`",
        package.found.uri
    ))
}

/// Training images whose scores have no distribution.
fn not_normalized(image: &Decision) -> Option<String> {
    let reason = image.scaling.err().flatten()?;
    (reason == Undefined::NotPositive).then(|| {
        "training images have scores of 0 or less, which have no logarithm: scores are not normalized; take `normalization: min_max`"
            .to_owned()
    })
}

/// What thresholds for false-positive rates stand on; null without any.
fn rates(image: &Decision, pixel: Option<&Decision>) -> Value {
    let mut levels = serde_json::Map::new();
    let found = |decision: &Decision| decision.at_rate;
    if let Some(found) = found(image) {
        let mut level = rate(found);
        level["true_rate_at_most"] = json!(found.true_rate_at_most());
        levels.insert("image".to_owned(), level);
    }
    // Pixels of one image are not independent: what is sure of them, nobody can say from their number.
    if let Some(found) = pixel.and_then(found) {
        levels.insert("pixel".to_owned(), rate(found));
    }
    if levels.is_empty() {
        return Value::Null;
    }
    levels.into()
}

fn rate(found: AtRate) -> Value {
    json!({ "asked": found.rate.rate(), "normal": found.normal, "at_or_above": found.at_or_above })
}

/// The split whose images are measured.
pub fn measured(run: &PlannedRun) -> Split {
    match run.spec.measured_on {
        MeasuredOn::Test => Split::Test,
        MeasuredOn::Validation => Split::Validation,
    }
}

/// Every metric of a level and its curves, computed from one split alone.
fn level_rows(
    wanted: &[String],
    level: &dyn Level,
    split: Split,
    (decision, asked): (&Decision, Asked<'_>),
    errors: u64,
    template: &MetricRow,
) -> Result<(Vec<MetricRow>, Vec<CurveRow>), TaskError> {
    let thresholds: Vec<_> = decision.threshold.iter().copied().collect();
    let asked = Asked {
        thresholds: &thresholds,
        ..asked
    };
    let summary = level.summary(split, asked)?;
    // In every row: where no metric needs one, images are decided by it all the same.
    let deciding = decision.threshold.ok();
    let deciding = deciding.map(|threshold| f64::from(threshold.value()));
    let role = match split {
        Split::Train => SplitRole::Train,
        Split::Validation => SplitRole::Validation,
        Split::Test => SplitRole::Test,
    };
    let row = |metric: &String| {
        let computed = compute(metric, &summary, decision, role);
        // Pixels of one image are not independent: their interval would be far too narrow.
        let interval = computed.interval.filter(|_| level.name() == "image");
        MetricRow {
            level: level.name().to_owned(),
            metric: metric.to_owned(),
            value: computed.value.ok(),
            reason: computed.value.err().map(|reason| reason.word().to_owned()),
            low: interval.map(|interval| interval.low),
            high: interval.map(|interval| interval.high),
            threshold: deciding,
            threshold_split: deciding.map(|_| decision.chosen_by.to_owned()),
            normal: summary.totals.normal,
            anomalous: summary.totals.anomalous,
            errors,
            ..template.clone()
        }
    };
    let curves = curve_rows(wanted, level, &summary, template.run);
    Ok((wanted.iter().map(row).collect(), curves))
}

/// The points of a level's curves; those that do not exist have none.
fn curve_rows(wanted: &[String], level: &dyn Level, summary: &Summary, run: u32) -> Vec<CurveRow> {
    let Some(curves) = &summary.curves else {
        return Vec::new();
    };
    let mut drawn = vec![("ROC", &curves.roc), ("PR", &curves.precision_recall)];
    if level.name() == "pixel" {
        drawn.push(("PRO", &curves.pro));
        // Its bounds are the user's affair where the metric is.
        if wanted.iter().any(|metric| metric == "AUPIMO") {
            drawn.push(("PIMO", &curves.pimo));
        }
    }
    let rows = |(curve, points): (&str, &Points)| {
        let points = points.iter().flatten().copied().zip(0..);
        let row = |([x, y], point): ([f64; 2], u32)| CurveRow {
            run,
            level: level.name().to_owned(),
            curve: curve.to_owned(),
            point,
            x,
            y,
        };
        points.map(row).collect::<Vec<_>>()
    };
    drawn.into_iter().flat_map(rows).collect()
}

struct Computed {
    value: Result<f64, Undefined>,
    interval: Option<Interval>,
}

fn compute(metric: &str, summary: &Summary, decision: &Decision, measured: SplitRole) -> Computed {
    let without_interval = |value| Computed {
        value,
        interval: None,
    };
    let threshold = decision.threshold.ok();
    // Why nothing was decided, or what came of it.
    let decided = decision.threshold.and_then(|_| {
        let first = summary.decided.first();
        first.ok_or(Undefined::NoThreshold)
    });
    match metric {
        "AUPR" => without_interval(summary.aupr),
        "AUPRO" => without_interval(summary.aupro),
        "AUPIMO" => without_interval(summary.aupimo),
        "PRO" => without_interval(decided.and_then(|decided| decided.pro)),
        "AUROC" => Computed {
            value: summary.auroc,
            interval: summary.auroc_interval,
        },
        "F1Score" => Computed {
            value: decided.and_then(|decided| decided.confusion.f1()),
            // An interval holds only where the threshold was not chosen on these very scores.
            interval: threshold
                .filter(|threshold| threshold.is_independent_of(measured))
                .and_then(|_| decided.ok()?.confusion.f1_interval()),
        },
        // The job reader refuses every other name.
        _ => without_interval(Err(Undefined::Empty)),
    }
}

/// What was decided about images of which nobody has said what they show: those at or above the threshold count as anomalous.
fn predicted_row(
    images: &Images,
    decision: &Decision,
    template: &MetricRow,
) -> Result<MetricRow, TaskError> {
    let thresholds: Vec<_> = decision.threshold.iter().copied().collect();
    let summary = images.summary(Split::Test, Asked::from(&thresholds[..]))?;
    // Without labels all of them are counted as normal ones, so that what is decided otherwise is a false positive.
    let scored = summary.totals.normal;
    let anomalous = summary
        .decided
        .first()
        .map(|at| at.confusion.false_positives);
    let threshold = decision.threshold.ok();
    // Every image may have been scored before.
    let reason = decision
        .threshold
        .err()
        .or((scored == 0).then_some(Undefined::Empty));
    let rate = anomalous.filter(|_| reason.is_none());
    // Counts are far below 2^53.
    let rate = rate.map(|anomalous| anomalous as f64 / scored as f64);
    Ok(MetricRow {
        level: images.name().to_owned(),
        metric: tables::ANOMALOUS_RATE.to_owned(),
        value: rate,
        reason: reason.map(|reason| reason.word().to_owned()),
        threshold: threshold.map(|threshold| f64::from(threshold.value())),
        threshold_split: threshold.map(|_| decision.chosen_by.to_owned()),
        normal: scored - anomalous.unwrap_or(0),
        anomalous: anomalous.unwrap_or(0),
        errors: images.errors(Split::Test),
        ..template.clone()
    })
}

fn no_pixels_row(metric: &str, reason: Undefined, template: &MetricRow) -> MetricRow {
    MetricRow {
        level: "pixel".to_owned(),
        metric: metric.to_owned(),
        reason: Some(reason.word().to_owned()),
        ..template.clone()
    }
}

/// What a run's rows have in common.
fn empty_row(
    run: &PlannedRun,
    (used, rates): (Value, Value),
    computed_by: &ComputedBy,
) -> MetricRow {
    MetricRow {
        run: run.index,
        model: run.model.clone(),
        dataset: run.dataset.clone(),
        category: run.category.clone(),
        seed: run.spec.seed,
        parameters: parameters(run, used, rates),
        level: String::new(),
        metric: String::new(),
        value: None,
        reason: None,
        low: None,
        high: None,
        threshold: None,
        threshold_split: None,
        normal: 0,
        anomalous: 0,
        errors: 0,
        engine: computed_by.engine.clone(),
        fingerprint: computed_by.fingerprint.clone(),
    }
}

/// The run's model with every parameter, its grid coordinates, which package, weights and licences it came to use, and what
/// its thresholds stand on, as JSON.
pub fn parameters(run: &PlannedRun, used: Value, rates: Value) -> String {
    let mut parameters = json!({ "model": run.spec.model, "axes": run.spec.axes, "used": used });
    let metrics = &run.spec.metrics;
    if metrics.pixel.iter().any(|metric| metric == "AUPRO") {
        parameters["fpr_limit"] = json!(metrics.fpr_limit);
    }
    if metrics.pixel.iter().any(|metric| metric == "AUPIMO") {
        parameters["fpr_bounds"] = json!(metrics.fpr_bounds);
    }
    if !run.spec.is_exact() {
        parameters["precision"] = json!(run.spec.precision);
        parameters["scaled_decoding"] = json!(run.spec.scaled_decoding);
    }
    if !rates.is_null() {
        parameters["false_positive_rate"] = rates;
    }
    if run.spec.measured_on != MeasuredOn::Test {
        parameters["measured_on"] = json!(run.spec.measured_on);
    }
    if let Some(split) = run.spec.chosen_on {
        parameters["chosen_on"] = json!(split);
    }
    if let Some(share) = run.spec.train_share {
        parameters["train_share"] = json!(share);
    }
    parameters.to_string()
}

/// What the job's words for its model stood for in this run.
fn used(attempt: &Attempt, given: Option<&packages::Opened>, licences: &[String]) -> Value {
    let weights = match given {
        Some(package) => package
            .weights()
            .map(|weights| json!({ "backbone": weights.backbone, "sha256": weights.sha256 })),
        None => weights_of_fit(attempt).map(|weights| json!(weights)),
    };
    let package = given.map(|package| &package.found);
    json!({ "package": package, "weights": weights, "licences": licences })
}

fn value(row: &MetricRow) -> MetricValue {
    MetricValue {
        level: row.level.clone(),
        metric: row.metric.clone(),
        value: row.value,
        reason: row.reason.clone(),
    }
}

/// The raw rows of all parts, in order, with the decisions that the image threshold makes; how many they are, and how many
/// of them are anomalous.
fn write_scores(attempt: &Attempt, decision: &Decision) -> Result<(u64, u64), TaskError> {
    let mut table = attempt.begin_table::<ScoreRow>(names::SCORES)?;
    let mut anomalous = 0;
    for part in attempt.accepted(TaskKind::Score) {
        attempt.each_batch::<ScoreRow>(&part.path(names::SCORES), |batch| {
            let mut rows = batch.into_iter();
            rows.try_for_each(|row| {
                let row = decided(row, decision);
                anomalous += u64::from(row.is_anomalous == Some(true));
                table.push(row)
            })
        })?;
    }
    Ok((table.finish()?.rows.unwrap_or(0), anomalous))
}

/// The pictures that the run's images were asked for, together.
fn bring_renders(attempt: &Attempt) -> Result<(), TaskError> {
    let parts = || {
        let parts = attempt.accepted(TaskKind::Score);
        parts.filter(|part| part.object(names::RENDERS).is_some())
    };
    if parts().next().is_none() {
        return Ok(());
    }
    let mut table = attempt.begin_table::<RenderRow>(names::RENDERS)?;
    for part in parts() {
        push_all(attempt, &part.path(names::RENDERS), &mut table)?;
    }
    table.finish()?;
    Ok(())
}

/// Of a job that does not score all images itself.
fn scored_before(attempt: &Attempt) -> Result<Option<&ScoredBefore>, TaskError> {
    Ok(match &attempt.input(TaskKind::List)?.result.detail {
        ResultDetail::List { scored_before, .. } => scored_before.as_ref(),
        _ => None,
    })
}

pub(super) fn decided(row: ScoreRow, decision: &Decision) -> ScoreRow {
    let score = row.score.and_then(|score| RawScore::new(score).ok());
    ScoreRow {
        score_normalized: score.and_then(|score| decision.normalized(score)),
        is_anomalous: score.and_then(|score| decision.is_anomalous(score)),
        ..row
    }
}

/// What the run's tasks left and took, for the job's own tables: reduce sees evaluate tasks only.
fn write_inherited(attempt: &Attempt) -> Result<(), TaskError> {
    let inputs = || behind(attempt).filter_map(accepted);
    let mut timings: Vec<TimingRow> = inputs()
        .flat_map(|input| timing_rows(&input, attempt.trace()))
        .collect();
    timings.sort_by(Row::order);
    attempt.put_table(names::TIMINGS, timings)?;
    let mut manifest: Vec<ManifestRow> = inputs().flat_map(|input| manifest_rows(&input)).collect();
    manifest.sort_by(Row::order);
    attempt.put_table(names::MANIFEST, manifest)?;
    Ok(())
}

/// What computed the parts; several engines or machines are all named.
fn computed_by(attempt: &Attempt) -> Result<ComputedBy, TaskError> {
    let (mut engines, mut versions, mut fingerprints) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for part in attempt.accepted(TaskKind::Score) {
        let bytes = attempt.read(&part.path(names::COMPUTED_BY))?;
        let part: ComputedBy = serde_json::from_slice(&bytes)
            .map_err(|error| TaskError::Assignment(error.to_string()))?;
        engines.insert(part.engine);
        versions.insert(part.version);
        fingerprints.insert(part.fingerprint);
    }
    let join = |words: BTreeSet<String>| words.into_iter().collect::<Vec<_>>().join(" | ");
    Ok(ComputedBy {
        engine: join(engines),
        version: join(versions),
        fingerprint: join(fingerprints),
    })
}

//! Thresholds that a user has set since a job had ended, in place of those in its file.

use std::collections::BTreeMap;

use job::resolved::{JobKind, ThresholdSpec};
use job::{ResolvedJob, Rethreshold};
use proto::v1::Job;

/// What decides in place of the job file's thresholds, for people; `None`: these do.
pub fn words(job: &Job) -> Option<String> {
    let mut groups: Vec<(Rethreshold, Vec<u32>)> = Vec::new();
    for (run, new) in by_run(job) {
        match groups.iter_mut().find(|(one, _)| *one == new) {
            Some((_, runs)) => runs.push(run),
            None => groups.push((new, vec![run])),
        }
    }
    let group = |(new, runs): &(Rethreshold, Vec<u32>)| {
        let all = runs.len() == job.runs as usize;
        let numbers: Vec<String> = runs.iter().map(u32::to_string).collect();
        let of = match (all, &numbers[..]) {
            (true, _) => String::new(),
            (false, [only]) => format!(" in run {only}"),
            (false, several) => format!(" in runs {}", several.join(", ")),
        };
        let levels = [("images", new.image), ("pixels", new.pixel)];
        let level = |(level, spec): (&str, Option<ThresholdSpec>)| {
            Some(format!("{level} {}", threshold(spec?)))
        };
        let levels: Vec<String> = levels.into_iter().filter_map(level).collect();
        format!("{}{of}", levels.join(", "))
    };
    let groups: Vec<String> = groups.iter().map(group).collect();
    (!groups.is_empty()).then(|| {
        format!(
            "by `ctl rethreshold`, not by the job file: {}",
            groups.join("; ")
        )
    })
}

fn by_run(job: &Job) -> BTreeMap<u32, Rethreshold> {
    serde_json::from_str(&job.rethresholds_json).unwrap_or_default()
}

/// The number that decides a run's pixels, where its user has given one, in the job file or since.
pub fn given_for_pixels(job: &Job, run: u32) -> Option<f64> {
    let since = by_run(job).get(&run).and_then(|new| new.pixel);
    let in_file = || {
        let resolved = ResolvedJob::from_json(&job.resolved_json).ok()?;
        // What the trials of a search have in common stands there once.
        let spec = resolved.runs.get(run as usize).or(resolved.runs.first())?;
        Some(spec.metrics.pixel_threshold)
    };
    match since.or_else(in_file)? {
        ThresholdSpec::Manual { value } => Some(value),
        ThresholdSpec::F1Adaptive
        | ThresholdSpec::FalsePositiveRate { .. }
        | ThresholdSpec::Package => None,
    }
}

/// With which threshold the masks of a job that predicts are drawn, for people; `None`: with the package's.
pub fn masks(job: &Job) -> Option<String> {
    let value = given_for_pixels(job, 0).filter(|_| job.kind == JobKind::Predict.as_str())?;
    let set_since = by_run(job).get(&0).is_some_and(|new| new.pixel.is_some());
    let earlier = if set_since {
        "; boxes, and pictures that the job kept, are of the threshold that it began with"
    } else {
        ""
    };
    Some(format!("pixels at and above {value}{earlier}"))
}

fn threshold(spec: ThresholdSpec) -> String {
    match spec {
        ThresholdSpec::Manual { value } => format!("at and above {value}"),
        ThresholdSpec::F1Adaptive => "by the highest F1".to_owned(),
        ThresholdSpec::FalsePositiveRate { rate } => format!("by the false-positive rate {rate}"),
        ThresholdSpec::Package => "by the package".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_are_decided_alike_stand_together() {
        let manual = |image, pixel| Rethreshold {
            image: Some(ThresholdSpec::Manual { value: image }),
            pixel,
        };
        let rate = ThresholdSpec::FalsePositiveRate { rate: 0.01 };
        let job = |runs, thresholds: &[(u32, Rethreshold)]| {
            let by_run: BTreeMap<u32, Rethreshold> = thresholds.iter().copied().collect();
            Job {
                runs,
                rethresholds_json: serde_json::to_string(&by_run).unwrap(),
                ..Job::default()
            }
        };
        let said = |job| words(&job).unwrap();
        let by = "by `ctl rethreshold`, not by the job file: ";
        let one = manual(3.5, None);
        assert_eq!(
            said(job(1, &[(0, one)])),
            format!("{by}images at and above 3.5")
        );
        let both = manual(2.0, Some(rate));
        assert_eq!(
            said(job(4, &[(0, one), (1, both), (3, one)])),
            format!(
                "{by}images at and above 3.5 in runs 0, 3; images at and above 2, pixels by the false-positive rate 0.01 in run 1"
            )
        );
        assert_eq!(words(&job(1, &[])), None);
        assert_eq!(words(&Job::default()), None);
    }
}

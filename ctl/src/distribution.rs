//! How the scores of a job's test images are distributed: moments of each class, and the histogram that the report draws.

use metrics::{RawScore, ScoreCounts};
use report::{Cut, Histogram, Scored, Scores, Truth};
use serde_json::{Value, json};
use tables::{MetricRow, ScoreRow};

use crate::output::{self, Document, Table};

/// Images of one class, or those whose class nobody knows.
#[derive(Debug, Clone, PartialEq)]
struct Moments {
    images: u64,
    min: f64,
    mean: f64,
    /// Of a sample, as that of logarithms; none of one image.
    std: Option<f64>,
    max: f64,
    /// Of natural logarithms; none where a score is 0 or less.
    log_mean: Option<f64>,
    log_std: Option<f64>,
}

/// Scores of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    run: u32,
    model: String,
    category: String,
    threshold: Option<f64>,
    /// By their label.
    moments: Vec<(&'static str, Moments)>,
    /// Of images with labels; of a run that has none, of all.
    histogram: Option<Histogram>,
    has_labels: bool,
}

const LABELS: [&str; 3] = ["normal", "anomalous", "unknown"];

/// Of every run that has scored a test image.
pub fn of(scores: &[ScoreRow], metrics: &[MetricRow]) -> Vec<Distribution> {
    let mut runs: Vec<u32> = scores.iter().map(|row| row.run).collect();
    runs.sort_unstable();
    runs.dedup();
    let of_run = |run| {
        let rows = || {
            let rows = scores.iter();
            rows.filter(move |row| row.run == run && row.split == "test")
        };
        let metric = metrics.iter().find(|row| row.run == run);
        let cut = metrics
            .iter()
            .filter(|row| row.run == run && row.level == "image")
            .find_map(|row| Cut::read(row.threshold?, row.threshold_split.as_deref()?));
        let values = |label: &str| -> Vec<RawScore> {
            let rows = rows().filter(|row| row.label == label);
            rows.filter_map(|row| RawScore::new(row.score?).ok())
                .collect()
        };
        let of_label = |label: &'static str| Some((label, moments(&values(label))?));
        let moments: Vec<_> = LABELS.into_iter().filter_map(of_label).collect();
        let has_labels = moments.iter().any(|(label, _)| *label != "unknown");
        let scored = |(label, truth)| {
            let scored = move |score| Scored {
                uri: String::new(),
                truth,
                score,
            };
            values(label).into_iter().map(scored)
        };
        let classes = match has_labels {
            true => &[("normal", Truth::Normal), ("anomalous", Truth::Anomalous)][..],
            false => &[("unknown", Truth::Unknown)],
        };
        let scores = Scores::new(classes.iter().copied().flat_map(scored).collect());
        (!moments.is_empty()).then(|| Distribution {
            run,
            model: metric.map_or_else(String::new, |row| row.model.clone()),
            category: metric.map_or_else(String::new, |row| row.category.clone()),
            threshold: cut.map(|cut| f64::from(cut.threshold.value())),
            moments,
            histogram: Histogram::new(&scores, cut.as_ref()),
            has_labels,
        })
    };
    runs.into_iter().filter_map(of_run).collect()
}

fn moments(scores: &[RawScore]) -> Option<Moments> {
    if scores.is_empty() {
        return None;
    }
    let mut counts = ScoreCounts::new();
    scores
        .iter()
        .for_each(|score| counts.observe(*score, false));
    let logarithms = counts.score_distribution().ok();
    let values = || scores.iter().map(|score| f64::from(score.value()));
    let count = scores.len() as f64;
    let mean = values().sum::<f64>() / count;
    let squares: f64 = values().map(|value| (value - mean).powi(2)).sum();
    Some(Moments {
        images: scores.len() as u64,
        min: values().fold(f64::INFINITY, f64::min),
        mean,
        std: (scores.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
        max: values().fold(f64::NEG_INFINITY, f64::max),
        log_mean: logarithms.map(|found| found.mean),
        log_std: logarithms.map(|found| found.std),
    })
}

/// A bin: where it begins and ends, images of each class, whether they are anomalous by the threshold.
struct Bin {
    from: f64,
    to: f64,
    counts: [Option<u64>; 3],
    is_anomalous: Option<bool>,
}

impl Distribution {
    fn bins(&self) -> Vec<Bin> {
        let Some(histogram) = &self.histogram else {
            return Vec::new();
        };
        let bin = |at: usize| Bin {
            from: histogram.low + at as f64 * histogram.width,
            to: histogram.low + (at + 1) as f64 * histogram.width,
            counts: match self.has_labels {
                true => [
                    Some(histogram.normal[at]),
                    Some(histogram.anomalous[at]),
                    None,
                ],
                false => [None, None, Some(histogram.unknown[at])],
            },
            is_anomalous: histogram.decided_from.map(|edge| at >= edge),
        };
        (0..histogram.normal.len()).map(bin).collect()
    }
}

pub fn json(found: &[Distribution]) -> Value {
    let bin = |bin: &Bin| {
        let [normal, anomalous, unknown] = bin.counts;
        json!({"from": bin.from, "to": bin.to, "normal": normal, "anomalous": anomalous, "unknown": unknown, "is_anomalous": bin.is_anomalous})
    };
    let moments = |(label, found): &(&'static str, Moments)| {
        json!({
            "label": label, "images": found.images, "min": found.min, "mean": found.mean, "std": found.std, "max": found.max,
            "log_mean": found.log_mean, "log_std": found.log_std,
        })
    };
    let one = |one: &Distribution| {
        json!({
            "run": one.run, "model": one.model, "category": one.category, "threshold": one.threshold,
            "moments": one.moments.iter().map(moments).collect::<Value>(), "bins": one.bins().iter().map(bin).collect::<Value>(),
        })
    };
    found.iter().map(one).collect()
}

/// The histograms alone: what a drawing needs.
pub fn document(found: &[Distribution], form: Document) -> String {
    bins(found).document(form)
}

pub fn text(found: &[Distribution]) -> String {
    let mut table = Table::new(&[
        ">run",
        "model",
        "category",
        "label",
        ">images",
        ">min",
        ">mean",
        ">std",
        ">max",
        ">log mean",
        ">log std",
    ]);
    for one in found {
        for (label, moments) in &one.moments {
            table.row([
                one.run.to_string(),
                one.model.clone(),
                one.category.clone(),
                (*label).to_owned(),
                moments.images.to_string(),
                number(Some(moments.min)),
                number(Some(moments.mean)),
                number(moments.std),
                number(Some(moments.max)),
                number(moments.log_mean),
                number(moments.log_std),
            ]);
        }
    }
    format!("{}\n\n{}", table.render(), bins(found).render())
}

fn bins(found: &[Distribution]) -> Table {
    let mut table = Table::new(&[
        ">run",
        ">from",
        ">to",
        ">normal",
        ">anomalous",
        ">unknown",
        "decided",
    ]);
    let decided = |bin: &Bin| match bin.is_anomalous {
        Some(true) => "anomalous",
        Some(false) => "normal",
        None => "-",
    };
    for one in found {
        for bin in one.bins() {
            let counts = bin
                .counts
                .map(|count| count.map_or("-".to_owned(), |n| n.to_string()));
            let mut cells = vec![
                one.run.to_string(),
                number(Some(bin.from)),
                number(Some(bin.to)),
            ];
            cells.extend(counts);
            cells.push(decided(&bin).to_owned());
            table.row(cells);
        }
    }
    table
}

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), output::number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(split: &str, label: &str, score: f32) -> ScoreRow {
        ScoreRow {
            run: 2,
            split: split.to_owned(),
            label: label.to_owned(),
            score: Some(score),
            ..ScoreRow::default()
        }
    }

    fn threshold(value: f64) -> MetricRow {
        MetricRow {
            run: 2,
            model: "Padim".to_owned(),
            dataset: "texture".to_owned(),
            category: "brick".to_owned(),
            seed: 0,
            parameters: "{}".to_owned(),
            level: "image".to_owned(),
            metric: "AUROC".to_owned(),
            value: Some(1.0),
            reason: None,
            low: None,
            high: None,
            threshold: Some(value),
            threshold_split: Some("validation".to_owned()),
            normal: 0,
            anomalous: 0,
            errors: 0,
            engine: String::new(),
            fingerprint: String::new(),
        }
    }

    #[test]
    fn every_test_image_is_in_one_bin_and_moments_are_those_of_its_class() {
        let scores = [
            row("test", "normal", 1.0),
            row("test", "normal", 3.0),
            row("validation", "normal", 99.0),
            row("test", "anomalous", 8.0),
            ScoreRow {
                score: None,
                ..row("test", "anomalous", 0.0)
            },
        ];
        let found = of(&scores, &[threshold(4.0)]);
        let json = json(&found);
        let [normal, anomalous] = [0, 1].map(|at| &json[0]["moments"][at]);
        assert_eq!(
            (&normal["images"], &anomalous["images"]),
            (&2.into(), &1.into())
        );
        assert_eq!(
            (&normal["mean"], &anomalous["std"]),
            (&2.0.into(), &Value::Null)
        );
        let log_mean = normal["log_mean"].as_f64().unwrap();
        assert!((log_mean - 3.0_f64.ln() / 2.0).abs() < 1e-12);
        let (mut counted, mut edge) = ([0, 0], f64::NEG_INFINITY);
        for bin in json[0]["bins"].as_array().unwrap() {
            for (count, class) in counted.iter_mut().zip(["normal", "anomalous"]) {
                *count += bin[class].as_u64().unwrap();
            }
            assert!(bin["from"].as_f64().unwrap() >= edge - 1e-9);
            edge = bin["to"].as_f64().unwrap();
            let above = bin["from"].as_f64().unwrap() > 4.0 - 1e-9;
            assert_eq!(bin["is_anomalous"], above, "{bin}");
        }
        assert_eq!(counted, [2, 1]);
        let shown = text(&found);
        let words: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words[3..7], ["normal", "2", "1.0000", "2.0000"], "{shown}");
        assert!(
            document(&found, Document::Csv)
                .starts_with("run,from,to,normal,anomalous,unknown,decided")
        );
    }

    #[test]
    fn images_without_labels_are_counted_as_such() {
        let found = of(
            &[row("test", "unknown", 0.0), row("test", "unknown", 2.0)],
            &[],
        );
        let json = json(&found);
        assert_eq!(json[0]["moments"][0]["log_mean"], Value::Null);
        let bins = json[0]["bins"].as_array().unwrap();
        let unknown: u64 = bins
            .iter()
            .map(|bin| bin["unknown"].as_u64().unwrap())
            .sum();
        assert_eq!(unknown, 2);
        assert!(bins.iter().all(|bin| bin["normal"].is_null()));
        assert_eq!(of(&[row("train", "normal", 1.0)], &[]), []);
    }
}

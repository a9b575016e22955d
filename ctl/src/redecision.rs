//! What another threshold changed: decisions, and what they come to, of two generations of one job's results.

use std::collections::{BTreeMap, HashMap};

use metrics::{Confusion, FalsePositiveRate};
use serde_json::{Value, json};
use tables::{MetricRow, ScoreRow};

use crate::output::{self, Table};

/// One generation.
#[derive(Debug, Default)]
pub struct Side {
    /// Of every image that the job answers for, also where an earlier one had scored it.
    pub scores: Vec<ScoreRow>,
    pub metrics: Vec<MetricRow>,
}

/// What decides at one level of a run, and what comes of it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Decided {
    threshold: Option<f64>,
    threshold_split: Option<String>,
    /// Of the split `test`; of images alone.
    confusion: Option<Confusion>,
    /// As the table `metrics` has it.
    f1: Option<f64>,
}

/// One level of a run, before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    run: u32,
    model: String,
    category: String,
    level: &'static str,
    before: Decided,
    after: Decided,
    /// Images that are decided otherwise, of all splits: to anomalous, to normal.
    flipped: Option<[u64; 2]>,
    /// What the new threshold stands on, where it is that of a false-positive rate.
    at_rate: Option<Value>,
}

/// Of these runs, or of all if none is named.
pub fn changes(before: &Side, after: &Side, only: &[u32]) -> Vec<Change> {
    let runs: BTreeMap<u32, &MetricRow> = after
        .metrics
        .iter()
        .filter(|row| only.is_empty() || only.contains(&row.run))
        .map(|row| (row.run, row))
        .collect();
    let mut found = Vec::new();
    for (run, row) in runs {
        for level in ["image", "pixel"] {
            let change = Change {
                run,
                model: row.model.clone(),
                category: row.category.clone(),
                level,
                before: decided(before, run, level),
                after: decided(after, run, level),
                flipped: (level == "image").then(|| flipped(before, after, run)),
                at_rate: at_rate(row, level),
            };
            if level == "image" || change.after.threshold.is_some() {
                found.push(change);
            }
        }
    }
    found
}

fn decided(side: &Side, run: u32, level: &str) -> Decided {
    let of_level = || {
        let rows = side.metrics.iter();
        rows.filter(move |row| row.run == run && row.level == level)
    };
    let deciding = of_level().find(|row| row.threshold.is_some());
    let f1 = of_level().find(|row| row.metric == "F1Score");
    Decided {
        threshold: deciding.and_then(|row| row.threshold),
        threshold_split: deciding.and_then(|row| row.threshold_split.clone()),
        confusion: (level == "image").then(|| confusion(side, run)),
        f1: f1.and_then(|row| row.value),
    }
}

fn confusion(side: &Side, run: u32) -> Confusion {
    let mut confusion = Confusion::default();
    let rows = side.scores.iter();
    for row in rows.filter(|row| row.run == run && row.split == "test") {
        let count = match (row.label.as_str(), row.is_anomalous) {
            ("anomalous", Some(true)) => &mut confusion.true_positives,
            ("anomalous", Some(false)) => &mut confusion.false_negatives,
            ("normal", Some(true)) => &mut confusion.false_positives,
            ("normal", Some(false)) => &mut confusion.true_negatives,
            _ => continue,
        };
        *count += 1;
    }
    confusion
}

fn flipped(before: &Side, after: &Side, run: u32) -> [u64; 2] {
    let decisions = |side: &'_ Side| -> HashMap<String, bool> {
        let rows = side.scores.iter().filter(|row| row.run == run);
        rows.filter_map(|row| Some((row.uri.clone(), row.is_anomalous?)))
            .collect()
    };
    let earlier = decisions(before);
    let mut flipped = [0; 2];
    for (uri, now) in decisions(after) {
        if earlier.get(&uri).is_some_and(|then| *then != now) {
            flipped[usize::from(!now)] += 1;
        }
    }
    flipped
}

fn at_rate(row: &MetricRow, level: &str) -> Option<Value> {
    let parameters: Value = serde_json::from_str(&row.parameters).ok()?;
    let found = &parameters["false_positive_rate"][level];
    found.is_object().then(|| found.clone())
}

fn precision(confusion: Confusion) -> Option<f64> {
    share(confusion.true_positives, confusion.false_positives)
}

fn recall(confusion: Confusion) -> Option<f64> {
    share(confusion.true_positives, confusion.false_negatives)
}

fn share(part: u64, rest: u64) -> Option<f64> {
    (part + rest > 0).then(|| part as f64 / (part + rest) as f64)
}

impl Decided {
    fn f1(&self) -> Option<f64> {
        let of_images = self.confusion.and_then(|confusion| confusion.f1().ok());
        self.f1.or(of_images)
    }

    fn json(&self) -> Value {
        json!({
            "threshold": self.threshold, "threshold_split": self.threshold_split, "f1": self.f1(),
            "precision": self.confusion.and_then(precision), "recall": self.confusion.and_then(recall),
        })
    }
}

impl Change {
    /// How sure a false-positive rate of images is.
    pub fn note(&self) -> Option<String> {
        let found = self.at_rate.as_ref()?;
        let at_most = found["true_rate_at_most"].as_f64()?;
        let (asked, normal) = (found["asked"].as_f64()?, found["normal"].as_u64()?);
        let needed = FalsePositiveRate::new(asked).and_then(FalsePositiveRate::needs);
        let too_few = match needed.filter(|needed| normal < *needed) {
            Some(needed) => format!("; a rate of {asked} takes {needed} and more"),
            None => String::new(),
        };
        Some(format!(
            "run {}: {} of {normal} normal images ({}) reach the threshold, so that the true false-positive rate is at most {:.2} %, 95 % sure{too_few}",
            self.run,
            found["at_or_above"],
            self.after.threshold_split.as_deref().unwrap_or("-"),
            at_most * 100.0,
        ))
    }
}

pub fn json(found: &[Change]) -> Value {
    let one = |change: &Change| {
        json!({
            "run": change.run, "model": change.model, "category": change.category, "level": change.level,
            "before": change.before.json(), "after": change.after.json(),
            "to_anomalous": change.flipped.map(|flipped| flipped[0]), "to_normal": change.flipped.map(|flipped| flipped[1]),
            "false_positive_rate": change.at_rate,
        })
    };
    found.iter().map(one).collect()
}

pub fn table(found: &[Change]) -> Table {
    let mut table = Table::new(&[
        ">run",
        "model",
        "category",
        "level",
        ">threshold",
        ">to anomalous",
        ">to normal",
        ">precision",
        ">recall",
        ">F1",
    ]);
    for change in found {
        let (before, after) = (&change.before, &change.after);
        let of = |share: fn(Confusion) -> Option<f64>| {
            let each = |decided: &Decided| decided.confusion.and_then(share);
            moved(each(before), each(after), report::metric)
        };
        let flips = |place: usize| {
            let flipped = change.flipped.map(|flipped| flipped[place].to_string());
            flipped.unwrap_or_else(|| "-".to_owned())
        };
        table.row([
            change.run.to_string(),
            change.model.clone(),
            change.category.clone(),
            change.level.to_owned(),
            moved(before.threshold, after.threshold, output::number),
            flips(0),
            flips(1),
            of(precision),
            of(recall),
            moved(before.f1(), after.f1(), report::metric),
        ]);
    }
    table
}

fn moved(before: Option<f64>, after: Option<f64>, text: fn(f64) -> String) -> String {
    let [before, after] = [before, after].map(|value| value.map_or("-".to_owned(), text));
    if before == after {
        after
    } else {
        format!("{before} → {after}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(uri: &str, label: &str, is_anomalous: bool) -> ScoreRow {
        ScoreRow {
            run: 1,
            uri: uri.to_owned(),
            model: "Padim".to_owned(),
            split: "test".to_owned(),
            label: label.to_owned(),
            score: Some(1.0),
            is_anomalous: Some(is_anomalous),
            ..ScoreRow::default()
        }
    }

    fn metric(threshold: f64, parameters: Value) -> MetricRow {
        MetricRow {
            run: 1,
            model: "Padim".to_owned(),
            dataset: "texture".to_owned(),
            category: "brick".to_owned(),
            seed: 0,
            parameters: parameters.to_string(),
            level: "image".to_owned(),
            metric: "F1Score".to_owned(),
            value: Some(0.5),
            reason: None,
            low: None,
            high: None,
            threshold: Some(threshold),
            threshold_split: Some("validation".to_owned()),
            normal: 0,
            anomalous: 0,
            errors: 0,
            engine: String::new(),
            fingerprint: String::new(),
        }
    }

    #[test]
    fn flips_are_counted_by_image_and_shares_stand_before_and_after() {
        let side = |threshold, decisions: [bool; 3], parameters| Side {
            scores: ["a", "b", "c"]
                .into_iter()
                .zip(["normal", "anomalous", "anomalous"])
                .zip(decisions)
                .map(|((uri, label), decision)| score(uri, label, decision))
                .collect(),
            metrics: vec![metric(threshold, parameters)],
        };
        let before = side(2.0, [true, true, true], json!({}));
        let rate = json!({"image": {"asked": 0.001, "normal": 40, "at_or_above": 0, "true_rate_at_most": 0.0722}});
        let after = side(
            3.0,
            [false, true, false],
            json!({"false_positive_rate": rate}),
        );
        let found = changes(&before, &after, &[]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].flipped, Some([0, 2]));
        let json = json(&found);
        assert_eq!(json[0]["before"]["precision"], 2.0 / 3.0);
        assert_eq!(json[0]["after"]["precision"], 1.0);
        assert_eq!(json[0]["after"]["recall"], 0.5);
        let table = table(&found).render();
        assert!(table.contains("2.0000 → 3.0000"), "{table}");
        let note = found[0].note().unwrap();
        for words in ["0 of 40", "7.22 %", "takes 1000 and more"] {
            assert!(note.contains(words), "{note}");
        }
        assert_eq!(changes(&before, &after, &[0]), []);
        assert_eq!(changes(&after, &before, &[1])[0].note(), None);
    }
}

//! `ctl results --compare`: which of two models is better, where images and seeds can tell.

use std::collections::{BTreeMap, BTreeSet};

use metrics::RawScore;
use metrics::paired::{LEAST_IMAGES, Paired, RESAMPLES, Verdict, compare};
use serde_json::{Value, json};
use tables::ScoreRow;

use crate::differences;
use crate::output::{Cell, Table, counted};
use crate::summary::{IMAGE_AUROC, Line};

/// Any will do; the same one gives the same interval every time.
const SEED: u64 = 0;

/// A job's runs and what they said about each image.
pub struct Side<'a> {
    pub job: &'a str,
    pub lines: &'a [Line],
    pub scores: &'a [ScoreRow],
}

/// A model with its settings, in one of the jobs.
#[derive(Clone, PartialEq)]
struct Contender<'a> {
    side: usize,
    model: &'a str,
    settings: &'a BTreeMap<String, Value>,
}

/// Two models on one category of a dataset, or on all.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    dataset: String,
    category: String,
    names: [String; 2],
    /// Images that both have scores for.
    images: usize,
    /// Images that only one of them has a score for.
    left_out: usize,
    outcome: Result<metrics::paired::Comparison, metrics::Undefined>,
}

/// Compares the models of a job with those of another. Each is set against the one of the same name and settings, or
/// against the only one that there is. Within one job the best of each dataset is set against the others.
pub fn rows(one: &Side<'_>, other: Option<&Side<'_>>) -> Vec<Row> {
    let sides: Vec<&Side<'_>> = std::iter::once(one).chain(other).collect();
    let datasets: BTreeSet<&str> = one.lines.iter().map(|line| line.dataset.as_str()).collect();
    let mut rows = Vec::new();
    for dataset in datasets {
        let of_side = |side: usize| contenders(sides[side], side, dataset);
        let pairs = match other {
            None => against_the_best(one, of_side(0), dataset),
            Some(_) => alike(of_side(0), of_side(1)),
        };
        for pair in pairs {
            rows.extend(of_pair(&sides, &pair, dataset));
        }
    }
    rows
}

fn contenders<'a>(side: &'a Side<'a>, number: usize, dataset: &str) -> Vec<Contender<'a>> {
    let mut found: Vec<Contender<'a>> = Vec::new();
    for line in side.lines.iter().filter(|line| line.dataset == dataset) {
        let contender = Contender {
            side: number,
            model: &line.model,
            settings: &line.settings,
        };
        if line.state == "succeeded" && !found.contains(&contender) {
            found.push(contender);
        }
    }
    found
}

fn alike<'a>(ones: Vec<Contender<'a>>, others: Vec<Contender<'a>>) -> Vec<[Contender<'a>; 2]> {
    if let ([one], [other]) = (&ones[..], &others[..]) {
        return vec![[one.clone(), other.clone()]];
    }
    let same = |one: &Contender<'a>| {
        others
            .iter()
            .find(|other| other.model == one.model && other.settings == one.settings)
            .map(|other| [one.clone(), other.clone()])
    };
    ones.iter().filter_map(same).collect()
}

fn against_the_best<'a>(
    side: &Side<'_>,
    contenders: Vec<Contender<'a>>,
    dataset: &str,
) -> Vec<[Contender<'a>; 2]> {
    let mean = |contender: &Contender<'_>| {
        let runs = runs(side, contender, dataset);
        let value = |line: &&Line| line.metrics.get(IMAGE_AUROC).copied().flatten();
        let values: Vec<f64> = runs.iter().filter_map(value).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let known = contenders.iter().filter(|one| mean(one).is_finite());
    let Some(best) = known.max_by(|a, b| mean(a).total_cmp(&mean(b))) else {
        return Vec::new();
    };
    let others = contenders.iter().filter(|other| *other != best);
    others.map(|other| [best.clone(), other.clone()]).collect()
}

fn runs<'a>(side: &'a Side<'_>, contender: &Contender<'_>, dataset: &str) -> Vec<&'a Line> {
    let of = |line: &&Line| {
        line.dataset == dataset
            && line.model == contender.model
            && line.settings == *contender.settings
            && line.state == "succeeded"
    };
    side.lines.iter().filter(of).collect()
}

/// What tells the content of an image, and what it is.
type Image<'a> = (&'a str, &'a str, bool);

/// The test images of one category with the scores of each seed.
struct Scored<'a> {
    seeds: Vec<BTreeMap<Image<'a>, RawScore>>,
}

impl<'a> Scored<'a> {
    fn of(side: &'a Side<'a>, runs: &[&Line]) -> Self {
        let scores = |line: &&Line| {
            let rows = side.scores.iter();
            let rows = rows.filter(|row| row.run == line.run && row.split == "test");
            rows.filter_map(|row| {
                let anomalous = match row.label.as_str() {
                    "anomalous" => true,
                    "normal" => false,
                    _ => return None,
                };
                let score = RawScore::new(row.score?).ok()?;
                Some(((row.uri.as_str(), row.etag.as_str(), anomalous), score))
            })
            .collect()
        };
        Self {
            seeds: runs.iter().map(scores).collect(),
        }
    }

    fn all(&self) -> BTreeSet<Image<'a>> {
        self.seeds
            .iter()
            .flat_map(BTreeMap::keys)
            .copied()
            .collect()
    }

    fn has(&self, image: &Image<'_>) -> bool {
        self.seeds.iter().all(|seed| seed.contains_key(image))
    }

    fn scores(&self, images: &[Image<'a>]) -> Vec<Vec<RawScore>> {
        let of_seed = |seed: &BTreeMap<_, _>| images.iter().map(|image| seed[image]).collect();
        self.seeds.iter().map(of_seed).collect()
    }
}

/// One row a category, and one for their mean.
fn of_pair(sides: &[&Side<'_>], pair: &[Contender<'_>; 2], dataset: &str) -> Vec<Row> {
    let runs = pair
        .each_ref()
        .map(|one| runs(sides[one.side], one, dataset));
    let categories = |runs: &[&Line]| -> BTreeSet<String> {
        runs.iter().map(|line| line.category.clone()).collect()
    };
    let both = &categories(&runs[0]) & &categories(&runs[1]);
    let names = names(sides, pair);
    let mut rows = Vec::new();
    let mut data = Vec::new();
    for category in &both {
        let [a, b] = [0, 1].map(|which| {
            let of_category: Vec<&Line> = runs[which]
                .iter()
                .copied()
                .filter(|line| line.category == *category)
                .collect();
            Scored::of(sides[pair[which].side], &of_category)
        });
        let all = &a.all() | &b.all();
        let shared = all.iter().filter(|image| a.has(image) && b.has(image));
        let images: Vec<Image<'_>> = shared.copied().collect();
        let anomalous: Vec<bool> = images.iter().map(|image| image.2).collect();
        data.push((anomalous, a.scores(&images), b.scores(&images)));
        // A changed image is one, whose states are two.
        let addresses: BTreeSet<&str> = all.iter().map(|image| image.0).collect();
        rows.push((
            category.clone(),
            images.len(),
            addresses.len() - images.len(),
        ));
    }
    let paired: Vec<Paired<'_>> = data
        .iter()
        .map(|(anomalous, a, b)| Paired { anomalous, a, b })
        .collect();
    let row = |category: String, images, left_out, paired: &[Paired<'_>]| Row {
        dataset: dataset.to_owned(),
        category,
        names: names.clone(),
        images,
        left_out,
        outcome: compare(paired, RESAMPLES, SEED),
    };
    let total = rows.iter().fold((0, 0), |sum, (_, images, left_out)| {
        (sum.0 + images, sum.1 + left_out)
    });
    let mut found: Vec<Row> = rows
        .into_iter()
        .zip(&paired)
        .map(|((category, images, left_out), one)| {
            row(category, images, left_out, std::slice::from_ref(one))
        })
        .collect();
    if paired.len() > 1 {
        let category = format!("mean of {}", paired.len());
        found.push(row(category, total.0, total.1, &paired));
    }
    found
}

/// By model and settings where these differ, else by job.
fn names(sides: &[&Side<'_>], pair: &[Contender<'_>; 2]) -> [String; 2] {
    let name = |one: &Contender<'_>| {
        let settings = differences::text(one.settings);
        format!("{} {settings}", one.model).trim_end().to_owned()
    };
    let [a, b] = pair.each_ref().map(name);
    if a != b {
        return [a, b];
    }
    pair.each_ref()
        .map(|one| format!("{a} ({})", sides[one.side].job))
}

/// For people.
pub fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "dataset", "category", "a", "b", ">images", ">auroc a", ">auroc b", ">a - b", "95 %",
        "better",
    ]);
    for row in rows {
        let [a, b] = row.names.clone();
        let mut cells: Vec<Cell> = [row.dataset.clone(), row.category.clone(), a, b]
            .map(Cell::from)
            .into();
        cells.push(row.images.to_string().into());
        match row.outcome {
            Ok(found) => {
                let verdict = found.verdict();
                let auroc = |value: f64, wins| match verdict == wins {
                    true => Cell::best(report::metric(value)),
                    false => Cell::from(report::metric(value)),
                };
                cells.push(auroc(found.a, Verdict::A));
                cells.push(auroc(found.b, Verdict::B));
                let difference = found.difference;
                cells.push(format!("{:+.4}", found.a - found.b).into());
                cells.push(format!("{:+.4} to {:+.4}", difference.low, difference.high).into());
                cells.push(better(verdict).to_owned().into());
            }
            Err(reason) => {
                cells.extend(["-", "-", "-", "-"].map(|none| Cell::from(none.to_owned())));
                cells.push(reason.to_string().into());
            }
        }
        table.row(cells);
    }
    table
}

fn better(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::A => "a",
        Verdict::B => "b",
        Verdict::Open => "cannot tell",
    }
}

/// What has to be said besides the table.
pub fn notes(rows: &[Row]) -> Vec<String> {
    let left_out = |row: &Row| {
        (row.left_out > 0 && !row.category.starts_with("mean of ")).then(|| {
            format!(
                "{}/{}: {} {} a score of one side only, or changed in between: left out",
                row.dataset,
                row.category,
                counted(row.left_out as u64, "image"),
                if row.left_out == 1 { "has" } else { "have" },
            )
        })
    };
    let too_few = |row: &Row| {
        let found = row
            .outcome
            .ok()
            .filter(|found| !found.has_enough_images())?;
        Some(format!(
            "{}/{}: {} of one class {} too few to call a model better; {LEAST_IMAGES} of each are asked for",
            row.dataset,
            row.category,
            counted(found.fewest as u64, "image"),
            if found.fewest == 1 { "is" } else { "are" },
        ))
    };
    let left_out = rows.iter().filter_map(left_out);
    left_out.chain(rows.iter().filter_map(too_few)).collect()
}

/// For programs.
pub fn json(rows: &[Row]) -> Value {
    let one = |row: &Row| {
        let found = row.outcome.as_ref();
        let number = |value: fn(&metrics::paired::Comparison) -> f64| found.ok().map(value);
        json!({
            "dataset": row.dataset, "category": row.category, "a": row.names[0], "b": row.names[1], "images": row.images, "left_out": row.left_out,
            "image_auroc_a": number(|c| c.a), "image_auroc_b": number(|c| c.b), "difference": number(|c| c.a - c.b),
            "low": number(|c| c.difference.low), "high": number(|c| c.difference.high),
            "better": found.ok().and_then(|c| match c.verdict() { Verdict::A => Some("a"), Verdict::B => Some("b"), Verdict::Open => None }),
            "reason": found.err().map(ToString::to_string),
        })
    };
    Value::Array(rows.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(run: u32, model: &str, category: &str) -> Line {
        Line {
            run,
            model: model.to_owned(),
            dataset: "cells".to_owned(),
            category: category.to_owned(),
            seed: 0,
            axes: Value::Null,
            settings: BTreeMap::new(),
            state: "succeeded".to_owned(),
            metrics: [(IMAGE_AUROC.to_owned(), Some(1.0 / f64::from(run + 1)))].into(),
            interval: None,
            threshold_split: None,
            fit_s: None,
            test_s: None,
            images_per_s: None,
            error: String::new(),
            warnings: Vec::new(),
        }
    }

    /// Forty test images of a run; each score is right where `right` says so.
    fn scores(run: u32, right: impl Fn(u32) -> bool) -> Vec<ScoreRow> {
        (0..40)
            .map(|image| ScoreRow {
                run,
                sample: image.into(),
                uri: format!("file:///cells/{image:02}.png"),
                etag: "1".to_owned(),
                split: "test".to_owned(),
                label: if image % 2 == 0 {
                    "normal"
                } else {
                    "anomalous"
                }
                .to_owned(),
                score: Some(if (image % 2 == 1) == right(image) {
                    2.0
                } else {
                    1.0
                }),
                ..ScoreRow::default()
            })
            .collect()
    }

    #[test]
    fn jobs_are_compared_by_the_images_that_both_have() {
        let (ones, others) = ([line(0, "Padim", "a")], [line(0, "Dfm", "a")]);
        let good = scores(0, |_| true);
        let mut bad = scores(0, |image| image % 4 < 2);
        // One changed in between, one could not be read.
        bad[3].etag = "2".to_owned();
        bad[4].score = None;
        let side = |job, lines, scores| Side { job, lines, scores };
        let rows = rows(
            &side("one", &ones, &good),
            Some(&side("two", &others, &bad)),
        );
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].images, rows[0].left_out), (38, 2));
        let found = json(&rows);
        assert_eq!(found[0]["better"], "a");
        assert_eq!(found[0]["image_auroc_a"], 1.0);
        assert!(notes(&rows)[0].contains("2 images"), "{:?}", notes(&rows));
        let table = table(&rows).render();
        assert!(table.contains("Padim") && table.contains("Dfm"), "{table}");
    }

    #[test]
    fn with_few_images_no_model_is_better_and_a_note_says_why() {
        let (ones, others) = ([line(0, "Padim", "a")], [line(0, "Dfm", "a")]);
        for (count, told) in [
            (6, "3 images of one class are too few"),
            (2, "1 image of one class is too few"),
        ] {
            let few = |right: bool| {
                scores(0, move |_| right)
                    .into_iter()
                    .take(count)
                    .collect::<Vec<_>>()
            };
            let (good, bad) = (few(true), few(false));
            let side = |job, lines, scores| Side { job, lines, scores };
            let rows = rows(
                &side("one", &ones, &good),
                Some(&side("two", &others, &bad)),
            );
            assert_eq!(json(&rows)[0]["better"], Value::Null);
            assert!(table(&rows).render().contains("cannot tell"));
            let notes = notes(&rows);
            assert!(notes[0].contains(told), "{notes:?}");
        }
    }

    #[test]
    fn within_a_job_the_best_is_set_against_the_others_and_categories_have_a_mean() {
        let lines = [
            line(0, "Padim", "a"),
            line(1, "Dfm", "a"),
            line(2, "Padim", "b"),
            line(3, "Dfm", "b"),
        ];
        let all: Vec<ScoreRow> = (0..4)
            .flat_map(|run| scores(run, move |image| run % 2 == 0 || image % 4 < 2))
            .collect();
        let one = Side {
            job: "one",
            lines: &lines,
            scores: &all,
        };
        let rows = rows(&one, None);
        let places: Vec<&str> = rows.iter().map(|row| row.category.as_str()).collect();
        assert_eq!(places, ["a", "b", "mean of 2"]);
        assert!(rows.iter().all(|row| row.names == ["Padim", "Dfm"]));
        assert_eq!(json(&rows)[2]["better"], "a");
    }

    #[test]
    fn a_model_against_itself_is_named_by_job_and_the_images_cannot_tell() {
        let lines = [line(0, "Padim", "a")];
        let same = scores(0, |image| image % 4 < 3);
        let side = |job| Side {
            job,
            lines: &lines,
            scores: &same,
        };
        let rows = rows(&side("one"), Some(&side("two")));
        assert_eq!(rows[0].names, ["Padim (one)", "Padim (two)"]);
        assert_eq!(json(&rows)[0]["better"], Value::Null);
        assert!(table(&rows).render().contains("cannot tell"));
    }
}

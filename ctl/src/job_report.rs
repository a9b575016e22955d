//! The rows of a job's tables as a report.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::{Job, Run};
use report::{
    Curve, Cut, Finished, FprLimit, Interval, Mean, Measure, Metric, Outcome, Picture, Pictured,
    PixelCurves, RawScore, Report, Scored, Scores, Times, Truth,
};
use serde_json::Value;
use tables::{ANOMALOUS_RATE, AupimoRow, CurveRow, MetricRow, PictureRow, ScoreRow, TimingRow};

use crate::differences;
use crate::output;
use crate::predicted::Reused;
use crate::summary::{self, Line};
use crate::trials::Search;

/// The split that metrics are computed from.
const TEST: &str = "test";

/// What is known of a job.
pub struct Tables<'a> {
    pub job: &'a Job,
    pub runs: &'a [Run],
    pub scores: &'a [ScoreRow],
    pub metrics: &'a [MetricRow],
    pub timings: &'a [TimingRow],
    /// Empty if the job has no such table: an older version did it.
    pub curves: &'a [CurveRow],
    pub pictures: &'a [PictureRow],
    /// Empty if AUPIMO is no metric of the job.
    pub aupimo: &'a [AupimoRow],
    /// What an incremental job did not have to score again.
    pub reused: Reused,
    /// Where the tables are, for people.
    pub place: &'a str,
}

impl Tables<'_> {
    pub fn report(&self, licences: &BTreeSet<String>) -> Report {
        let search = Search::new(self.job.clone(), self.runs.to_vec());
        // Trials are shown together.
        let trials = search.as_ref().map_or(0, |search| search.trials.len());
        let rest: Vec<Run> = self.runs.iter().skip(trials).cloned().collect();
        let lines = summary::lines(&rest, self.metrics, self.timings);
        let runs = lines.iter().map(|line| self.run(line)).collect();
        let licences = licences
            .iter()
            .map(|licence| format!("licence of {licence}"));
        let warnings = self
            .job
            .warnings
            .iter()
            .map(|text| format!("warning: {text}"));
        let failures = self
            .job
            .failures
            .iter()
            .map(|text| format!("failed: {text}"));
        Report {
            job: report::Job {
                id: self.job.id.clone(),
                name: self.job.name.clone(),
                kind: self.job.kind.clone(),
                state: self.job.state.clone(),
                facts: self.facts(),
            },
            runs,
            means: summary::means(&lines).into_iter().map(mean).collect(),
            notes: failures.chain(warnings).chain(licences).collect(),
            search: search.as_ref().map(Search::for_report),
        }
    }

    fn facts(&self) -> Vec<(String, String)> {
        let job = self.job;
        let time = |ms: i64| output::time(ms).as_str().map(str::to_owned);
        let took = output::took(job.finished_ms.saturating_sub(job.created_ms));
        let engines: BTreeSet<&str> = self
            .metrics
            .iter()
            .map(|row| row.engine.as_str())
            .filter(|engine| !engine.is_empty())
            .collect();
        let engines: Vec<&str> = engines.into_iter().collect();
        let facts = [
            ("Submitted", time(job.created_ms)),
            (
                "Finished",
                time(job.finished_ms).map(|time| format!("{time}, after {took}")),
            ),
            ("Engine", (!engines.is_empty()).then(|| engines.join(", "))),
            ("Scored before", self.reused.words()),
            ("Tables", Some(self.place.to_owned())),
            ("Nightshift", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ];
        facts
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }

    fn run(&self, line: &Line) -> report::Run {
        let rows: Vec<&MetricRow> = self
            .metrics
            .iter()
            .filter(|row| row.run == line.run)
            .collect();
        let outcome = if line.state == "succeeded" {
            Outcome::Finished(Box::new(self.finished(line, &rows)))
        } else {
            Outcome::Unfinished {
                state: line.state.clone(),
                error: line.error.clone(),
            }
        };
        report::Run {
            index: line.run,
            model: line.model.clone(),
            dataset: line.dataset.clone(),
            category: line.category.clone(),
            seed: line.seed,
            settings: differences::text(&line.settings),
            metrics: rows
                .iter()
                .map(|row| (metric(&row.level, &row.metric), measure(row)))
                .collect(),
            outcome,
        }
    }

    fn finished(&self, line: &Line, metrics: &[&MetricRow]) -> Finished {
        let (mut scores, mut unreadable) = (Vec::new(), 0);
        for row in self
            .scores
            .iter()
            .filter(|row| row.run == line.run && row.split == TEST)
        {
            match row.score.map(RawScore::new) {
                Some(Ok(score)) => scores.push(Scored {
                    uri: row.uri.clone(),
                    truth: truth(&row.label),
                    score,
                }),
                Some(Err(_)) | None => unreadable += 1,
            }
        }
        // Decisions on images are by the threshold of any image metric that needs one.
        let cut = metrics
            .iter()
            .filter(|row| row.level == "image")
            .find_map(|row| Cut::read(row.threshold?, row.threshold_split.as_deref()?));
        let curves = of_run(self.curves, |row| row.run == line.run);
        let pictures = of_run(self.pictures, |row| row.run == line.run);
        let scale = |row: &&PictureRow| Some([row.heat_low?, row.heat_high?]);
        let predicts = metrics.iter().any(|row| row.metric == ANOMALOUS_RATE);
        let mut warnings = line.warnings.clone();
        if predicts && scores.is_empty() && unreadable == 0 {
            let reused = self.reused.words();
            warnings.extend(reused.map(|words| format!("no image was scored anew: {words}")));
        }
        let mut finished = Finished {
            predicts,
            scores: Scores::new(scores),
            unreadable,
            cut,
            pixels: pixel_curves(metrics, &curves),
            times: times(line),
            pictures: BTreeMap::new(),
            heat: pictures.iter().find_map(scale),
            aupimo: self.aupimo(line.run),
            warnings,
        };
        finished.pictures = pictured(&finished, &pictures);
        finished
    }

    /// Of single images of a run, by their addresses.
    fn aupimo(&self, run: u32) -> BTreeMap<String, f64> {
        let rows = self.aupimo.iter().filter(|row| row.run == run);
        rows.filter_map(|row| Some((row.uri.clone(), row.aupimo?)))
            .collect()
    }
}

fn of_run<R>(rows: &[R], is_of_run: impl Fn(&R) -> bool) -> Vec<&R> {
    rows.iter().filter(|row| is_of_run(row)).collect()
}

fn truth(label: &str) -> Truth {
    match label {
        "normal" => Truth::Normal,
        "anomalous" => Truth::Anomalous,
        _ => Truth::Unknown,
    }
}

fn metric(level: &str, name: &str) -> Metric {
    if level == "pixel" {
        Metric::Pixel(name.to_owned())
    } else {
        Metric::Image(name.to_owned())
    }
}

fn measure(row: &MetricRow) -> Measure {
    match row.value {
        Some(value) => Measure::Known {
            value,
            interval: row
                .low
                .zip(row.high)
                .map(|(low, high)| Interval { low, high }),
        },
        None => Measure::unknown(row.reason.as_deref().unwrap_or("no reason is stored")),
    }
}

fn times(line: &Line) -> Times {
    Times {
        fit_s: line.fit_s,
        test_s: line.test_s,
        images_per_s: line.images_per_s,
    }
}

fn mean(line: Line) -> Mean {
    let times = times(&line);
    let measure = |value: Option<f64>| {
        value.map_or_else(|| Measure::unknown("not in every run"), Measure::known)
    };
    Mean {
        settings: differences::text(&line.settings),
        model: line.model,
        dataset: line.dataset,
        name: line.category,
        metrics: line
            .metrics
            .into_iter()
            .map(|(name, value)| {
                let (level, name) = name.split_once(' ').unwrap_or(("image", name.as_str()));
                (metric(level, name), measure(value))
            })
            .collect(),
        times,
    }
}

/// What there is to see of the images that the report shows, by the address.
fn pictured(finished: &Finished, rows: &[&PictureRow]) -> BTreeMap<String, Pictured> {
    let rows: BTreeMap<&str, &PictureRow> =
        rows.iter().map(|row| (row.uri.as_str(), *row)).collect();
    let of = |uri: &str| {
        let missing = |reason: &str| Pictured::Missing {
            reason: reason.to_owned(),
        };
        let Some(row) = rows.get(uri) else {
            return missing("the job’s table `pictures` has none");
        };
        let picture = |bytes: &Option<Vec<u8>>| bytes.clone().map(Picture::new).transpose();
        match (picture(&row.image), picture(&row.overlay)) {
            (Ok(Some(image)), Ok(Some(overlay))) => Pictured::WithMap { image, overlay },
            (Ok(Some(image)), Ok(None)) => Pictured::Image(image),
            (Ok(None), _) => missing(row.error.as_deref().unwrap_or("no reason is stored")),
            (Err(error), _) | (_, Err(error)) => missing(&error.to_string()),
        }
    };
    Finished::shown(&finished.scores)
        .into_iter()
        .map(|scored| (scored.uri.clone(), of(&scored.uri)))
        .collect()
}

/// How many images of a report have a picture, and how many have none.
pub fn pictures(report: &Report) -> [usize; 2] {
    let runs = report.runs.iter().filter_map(|run| match &run.outcome {
        Outcome::Finished(finished) => Some(&finished.pictures),
        Outcome::Unfinished { .. } => None,
    });
    let (missing, shown): (Vec<_>, Vec<_>) = runs
        .flat_map(BTreeMap::values)
        .partition(|pictured| matches!(pictured, Pictured::Missing { .. }));
    [shown.len(), missing.len()]
}

/// The curves of a run's pixels.
fn pixel_curves(metrics: &[&MetricRow], rows: &[&CurveRow]) -> PixelCurves {
    let curve = |name: &str| {
        let of = |row: &&&CurveRow| row.level == "pixel" && row.curve == name;
        let points = rows.iter().filter(of).map(|row| [row.x, row.y]).collect();
        Curve::new(points).ok()
    };
    let limit = |row: &&MetricRow| {
        let parameters: Value = serde_json::from_str(&row.parameters).ok()?;
        FprLimit::new(parameters["fpr_limit"].as_f64()?)
    };
    PixelCurves {
        roc: curve("ROC"),
        precision_recall: curve("PR"),
        pro: curve("PRO"),
        fpr_limit: metrics
            .iter()
            .filter(|row| row.metric == "AUPRO")
            .find_map(limit),
        pimo: curve("PIMO"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(run: u32, uri: &str, label: &str, score: Option<f32>) -> ScoreRow {
        ScoreRow {
            run,
            uri: uri.to_owned(),
            etag: format!("etag of {uri}"),
            model: "Padim".to_owned(),
            split: TEST.to_owned(),
            label: label.to_owned(),
            score,
            ..ScoreRow::default()
        }
    }

    fn f1(value: Option<f64>, reason: Option<&str>) -> MetricRow {
        MetricRow {
            run: 0,
            model: "Padim".to_owned(),
            dataset: "texture".to_owned(),
            category: "brick".to_owned(),
            seed: 0,
            parameters: String::new(),
            level: "image".to_owned(),
            metric: "F1Score".to_owned(),
            value,
            reason: reason.map(str::to_owned),
            low: value,
            high: value,
            threshold: value.map(|_| 2.0),
            threshold_split: value.map(|_| "validation".to_owned()),
            normal: 2,
            anomalous: 1,
            errors: 0,
            engine: "openvino".to_owned(),
            fingerprint: String::new(),
        }
    }

    fn run(index: u32, state: &str) -> Run {
        Run {
            index,
            model: "Padim".to_owned(),
            dataset: "texture".to_owned(),
            category: "brick".to_owned(),
            state: state.to_owned(),
            error: if state == "failed" {
                "no images".to_owned()
            } else {
                String::new()
            },
            ..Run::default()
        }
    }

    fn aupimo(run: u32, uri: &str, aupimo: Option<f64>) -> AupimoRow {
        AupimoRow {
            run,
            uri: uri.to_owned(),
            defect_type: None,
            pixels: 9,
            aupimo,
            reason: aupimo.is_none().then(|| "no_normal".to_owned()),
        }
    }

    fn report_of(runs: &[Run], scores: &[ScoreRow], metrics: &[MetricRow]) -> Report {
        report_with(runs, scores, metrics, &[], &[])
    }

    fn report_with(
        runs: &[Run],
        scores: &[ScoreRow],
        metrics: &[MetricRow],
        curves: &[CurveRow],
        pictures: &[PictureRow],
    ) -> Report {
        let job = Job {
            id: "abcd".to_owned(),
            state: "succeeded".to_owned(),
            ..Job::default()
        };
        let tables = Tables {
            job: &job,
            runs,
            scores,
            metrics,
            timings: &[],
            curves,
            pictures,
            aupimo: &[
                aupimo(0, "b", Some(0.25)),
                aupimo(0, "c", None),
                aupimo(1, "b", Some(0.5)),
            ],
            reused: Reused::default(),
            place: "/results",
        };
        tables.report(&BTreeSet::from(["data: CC0".to_owned()]))
    }

    #[test]
    fn test_images_with_a_score_are_in_the_report_and_the_others_are_counted() {
        let scores = [
            score(0, "a", "normal", Some(1.0)),
            score(0, "b", "anomalous", Some(3.0)),
            score(0, "c", "normal", None),
            score(0, "d", "unknown", Some(1.0)),
            ScoreRow {
                split: "validation".to_owned(),
                ..score(0, "e", "normal", Some(1.0))
            },
            score(1, "f", "normal", Some(1.0)),
        ];
        let report = report_of(&[run(0, "succeeded")], &scores, &[f1(Some(0.5), None)]);
        let Outcome::Finished(finished) = &report.runs[0].outcome else {
            panic!("it succeeded");
        };
        let uris: Vec<&str> = finished
            .scores
            .iter()
            .map(|scored| scored.uri.as_str())
            .collect();
        assert_eq!((uris, finished.unreadable), (vec!["a", "b", "d"], 1));
        let truths: Vec<Truth> = finished.scores.iter().map(|scored| scored.truth).collect();
        assert_eq!(truths, [Truth::Normal, Truth::Anomalous, Truth::Unknown]);
        assert_eq!(finished.cut, Cut::read(2.0, "validation"));
        let expected = BTreeMap::from([("b".to_owned(), 0.25)]);
        assert_eq!(finished.aupimo, expected, "of this run, where there is one");
        assert_eq!(report.notes, ["licence of data: CC0"]);
        assert_eq!(pictures(&report), [0, 3], "there is no such table");
    }

    #[test]
    fn missing_values_keep_their_reason_and_failed_runs_their_error() {
        let runs = [run(0, "succeeded"), run(1, "failed")];
        let report = report_of(&runs, &[], &[f1(None, Some("one_class"))]);
        let measures: Vec<&Measure> = report.runs[0].metrics.values().collect();
        assert_eq!(measures, [&Measure::unknown("one_class")]);
        assert_eq!(
            report.runs[1].outcome,
            Outcome::Unfinished {
                state: "failed".to_owned(),
                error: "no images".to_owned()
            }
        );
    }
    fn picture(uri: &str, image: Option<&[u8]>, overlay: Option<&[u8]>) -> PictureRow {
        PictureRow {
            run: 0,
            uri: uri.to_owned(),
            label: "normal".to_owned(),
            score: 1.0,
            list: "worst".to_owned(),
            rank: 0,
            image: image.map(<[u8]>::to_vec),
            overlay: overlay.map(<[u8]>::to_vec),
            heat_low: overlay.map(|_| 1.0),
            heat_high: overlay.map(|_| 9.0),
            error: image.is_none().then(|| "it is gone".to_owned()),
        }
    }

    #[test]
    fn pictures_are_those_of_the_table_and_what_is_missing_says_why() {
        let scores = ["a", "b", "c", "d", "e"].map(|uri| score(0, uri, "normal", Some(1.0)));
        let jpeg = [0xff, 0xd8, 0xff, 0xe0];
        let pictures = [
            picture("a", Some(&jpeg), Some(&jpeg)),
            picture("b", Some(&jpeg), None),
            picture("c", None, None),
            picture("d", Some(b"<svg>"), None),
            picture("not shown", Some(&jpeg), None),
        ];
        let report = report_with(&[run(0, "succeeded")], &scores, &[], &[], &pictures);
        let Outcome::Finished(finished) = &report.runs[0].outcome else {
            panic!("it succeeded");
        };
        assert_eq!(finished.heat, Some([1.0, 9.0]));
        assert_eq!(super::pictures(&report), [2, 3]);
        let of = |uri: &str| &finished.pictures[uri];
        assert!(matches!(of("a"), Pictured::WithMap { .. }));
        assert!(matches!(of("b"), Pictured::Image(_)));
        for (uri, word) in [
            ("c", "gone"),
            ("d", "neither PNG nor JPEG"),
            ("e", "has none"),
        ] {
            let Pictured::Missing { reason } = of(uri) else {
                panic!("{uri}");
            };
            assert!(reason.contains(word), "{uri}: {reason}");
        }
    }

    #[test]
    fn curves_are_those_of_the_runs_pixels_with_the_limit_of_its_metric() {
        let point = |level: &str, curve: &str, point: u32| CurveRow {
            run: 0,
            level: level.to_owned(),
            curve: curve.to_owned(),
            point,
            x: f64::from(point),
            y: f64::from(point),
        };
        let curves = [
            point("image", "ROC", 0),
            point("image", "ROC", 1),
            point("pixel", "PRO", 0),
            point("pixel", "PRO", 1),
        ];
        let aupro = MetricRow {
            level: "pixel".to_owned(),
            metric: "AUPRO".to_owned(),
            parameters: r#"{"fpr_limit": 0.05}"#.to_owned(),
            ..f1(Some(0.5), None)
        };
        let report = report_with(&[run(0, "succeeded")], &[], &[aupro], &curves, &[]);
        let Outcome::Finished(finished) = &report.runs[0].outcome else {
            panic!("it succeeded");
        };
        let expected = PixelCurves {
            pro: Curve::new(vec![[0.0, 0.0], [1.0, 1.0]]).ok(),
            fpr_limit: FprLimit::new(0.05),
            ..PixelCurves::default()
        };
        assert_eq!(finished.pixels, expected);
    }
}

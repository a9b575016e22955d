//! The result table of a job: one line a run, and the means.

use std::collections::BTreeMap;

use proto::v1::Run;
use serde_json::{Value, json};
use tables::{MetricRow, TimingRow};

use crate::differences;
use crate::output::{Cell, Table, embedded};

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub run: u32,
    pub model: String,
    pub dataset: String,
    pub category: String,
    pub seed: u64,
    /// The run's coordinates in the grids, as the job has them.
    pub axes: Value,
    /// By path, what tells it from the runs of the same model on the same dataset, besides category and seed.
    pub settings: BTreeMap<String, Value>,
    pub state: String,
    /// `image AUROC` and the like to the value.
    pub metrics: BTreeMap<String, Option<f64>>,
    /// 95 % of the image AUROC.
    pub interval: Option<(f64, f64)>,
    pub threshold_split: Option<String>,
    pub fit_s: Option<f64>,
    pub test_s: Option<f64>,
    pub images_per_s: Option<f64>,
    pub error: String,
    /// What its tasks warned of.
    pub warnings: Vec<String>,
}

/// Puts together what the tables say about each run.
pub fn lines(runs: &[Run], metrics: &[MetricRow], timings: &[TimingRow]) -> Vec<Line> {
    runs.iter()
        .zip(differences::of_runs(runs))
        .map(|(run, settings)| {
            let of_run = || metrics.iter().filter(|row| row.run == run.index);
            let total = |kind: &str| {
                let rows: Vec<_> = timings
                    .iter()
                    .filter(|row| {
                        row.run == Some(run.index) && row.kind == kind && row.stage == "total"
                    })
                    .collect();
                (!rows.is_empty()).then(|| {
                    (
                        rows.iter().map(|row| row.wall_s).sum::<f64>(),
                        rows.iter().map(|row| row.items).sum::<u64>(),
                    )
                })
            };
            let (fit, score, evaluate) = (total("fit"), total("score"), total("evaluate"));
            // How fast a model is cannot be told from a run that took features from another.
            let own = reused(std::slice::from_ref(run)).is_none_or(|reused| reused.images == 0);
            Line {
                run: run.index,
                model: run.model.clone(),
                dataset: run.dataset.clone(),
                category: run.category.clone(),
                seed: run.seed,
                axes: embedded(&run.axes_json),
                settings,
                state: run.state.clone(),
                metrics: of_run()
                    .map(|row| (format!("{} {}", row.level, row.metric), row.value))
                    .collect(),
                interval: of_run()
                    .find(|row| row.level == "image" && row.metric == "AUROC")
                    .and_then(|row| row.low.zip(row.high)),
                threshold_split: of_run().find_map(|row| row.threshold_split.clone()),
                fit_s: fit.filter(|_| own).map(|(wall, _)| wall),
                test_s: score
                    .filter(|_| own)
                    .map(|(wall, _)| wall + evaluate.map_or(0.0, |(wall, _)| wall)),
                images_per_s: score
                    .filter(|(wall, items)| own && *wall > 0.0 && *items > 0)
                    .map(|(wall, items)| items as f64 / wall),
                error: run.error.clone(),
                warnings: run.warnings.clone(),
            }
        })
        .collect()
}

/// For people: what a run's tasks warned of.
pub fn warning_lines(run: u32, warnings: &[String]) -> impl Iterator<Item = String> {
    let line = move |warning| format!("warning: run {run}: {warning}");
    warnings.iter().map(line)
}

/// What the runs of a job that does not compute exactly have measured of that.
pub fn certificates(runs: &[Run]) -> Vec<plan::Certificate> {
    let of_run = |run: &Run| {
        let result = serde_json::from_str::<plan::TaskResult>(&run.result_json).ok()?;
        match result.detail {
            plan::ResultDetail::Evaluate { certificate, .. } => certificate,
            _ => None,
        }
    };
    runs.iter().filter_map(of_run).collect()
}

/// What the runs of a job did not have to compute, together; `None`: none of them has a pass in common with another.
pub fn reused(runs: &[Run]) -> Option<plan::Reused> {
    let result = |run: &Run| serde_json::from_str::<plan::TaskResult>(&run.result_json).ok();
    let by_run = runs
        .iter()
        .filter_map(result)
        .filter_map(|result| result.reused);
    by_run.reduce(|mut all, one| {
        all += one;
        all
    })
}

/// Means over the runs of one model on one dataset with the same settings, where there are several.
pub fn means(lines: &[Line]) -> Vec<Line> {
    let mut groups: Vec<Vec<&Line>> = Vec::new();
    for line in lines.iter().filter(|line| line.state == "succeeded") {
        match groups.iter_mut().find(|group| {
            let first = group[0];
            first.model == line.model
                && first.dataset == line.dataset
                && first.settings == line.settings
        }) {
            Some(group) => group.push(line),
            None => groups.push(vec![line]),
        }
    }
    groups
        .into_iter()
        .filter(|group| group.len() > 1)
        .map(|group| mean(&group))
        .collect()
}

fn mean(group: &[&Line]) -> Line {
    let average = |values: Vec<Option<f64>>| {
        let known: Vec<f64> = values.into_iter().flatten().collect();
        (known.len() == group.len()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    let names: std::collections::BTreeSet<&String> =
        group.iter().flat_map(|line| line.metrics.keys()).collect();
    let metric = |name: &str| {
        average(
            group
                .iter()
                .map(|line| line.metrics.get(name).copied().flatten())
                .collect(),
        )
    };
    let splits: Vec<_> = group.iter().map(|line| &line.threshold_split).collect();
    Line {
        run: 0,
        model: group[0].model.clone(),
        dataset: group[0].dataset.clone(),
        category: format!("mean of {}", group.len()),
        seed: 0,
        axes: Value::Null,
        settings: group[0].settings.clone(),
        state: "mean".to_owned(),
        metrics: names
            .into_iter()
            .map(|name| (name.clone(), metric(name)))
            .collect(),
        interval: None,
        threshold_split: splits[0]
            .clone()
            .filter(|_| splits.iter().all(|split| *split == splits[0])),
        fit_s: average(group.iter().map(|line| line.fit_s).collect()),
        test_s: average(group.iter().map(|line| line.test_s).collect()),
        images_per_s: average(group.iter().map(|line| line.images_per_s).collect()),
        error: String::new(),
        warnings: Vec::new(),
    }
}

/// The metric with an interval, and the one that jobs are compared by.
pub const IMAGE_AUROC: &str = "image AUROC";

/// The columns that are always there; others follow when a run has them.
const USUAL: [&str; 4] = [IMAGE_AUROC, "image F1Score", "pixel AUROC", "pixel F1Score"];

/// For people: the runs, then the means, and the best of those that can be compared in bold.
pub fn table(lines: &[Line]) -> Table {
    let mut names: Vec<&str> = USUAL.to_vec();
    for name in lines.iter().flat_map(|line| line.metrics.keys()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names.retain(|name| lines.iter().any(|line| line.metrics.contains_key(*name)));
    let with_interval = lines.iter().any(|line| line.interval.is_some());
    let mut columns = vec!["model", "dataset", "category", ">seed"];
    let with_settings = lines.iter().any(|line| !line.settings.is_empty());
    columns.extend(with_settings.then_some("settings"));
    for name in &names {
        // Column names are static in `Table`: the closed set of metric names is small, unknown ones go by their level.
        columns.push(label(name));
        columns.extend((with_interval && *name == IMAGE_AUROC).then_some("95 %"));
    }
    columns.extend([">fit s", ">test s", ">images/s", "threshold from"]);
    let with_states = lines.iter().any(|line| line.state != "succeeded");
    columns.extend(with_states.then_some("state"));
    let mut table = Table::new(&columns);
    let means = means(lines);
    for (among, line) in lines
        .iter()
        .map(|line| (lines, line))
        .chain(means.iter().map(|mean| (&means[..], mean)))
    {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let mut cells: Vec<Cell> = [
            line.model.clone(),
            line.dataset.clone(),
            line.category.clone(),
            if line.state == "mean" {
                String::new()
            } else {
                line.seed.to_string()
            },
        ]
        .map(Cell::from)
        .into();
        cells.extend(with_settings.then(|| differences::text(&line.settings).into()));
        for name in &names {
            let text = line.value(name).map_or("-".to_owned(), report::metric);
            cells.push(match line.is_best(among, name) {
                true => Cell::best(text),
                false => text.into(),
            });
            if with_interval && *name == IMAGE_AUROC {
                let interval = |(low, high)| format!("{low:.3}-{high:.3}");
                cells.push(line.interval.map_or("-".to_owned(), interval).into());
            }
        }
        cells.extend(
            [
                number(line.fit_s, 2),
                number(line.test_s, 2),
                number(line.images_per_s, 1),
                line.threshold_split
                    .clone()
                    .unwrap_or_else(|| "-".to_owned()),
            ]
            .map(Cell::from),
        );
        cells.extend(with_states.then(|| line.state.clone().into()));
        table.row(cells);
    }
    table
}

impl Line {
    fn value(&self, metric: &str) -> Option<f64> {
        self.metrics.get(metric).copied().flatten()
    }

    /// Whether nothing that was measured on the same images, with the same seed, is better. What has no rival is not best.
    fn is_best(&self, among: &[Self], metric: &str) -> bool {
        let place = |line: &Self| (line.dataset.clone(), line.category.clone(), line.seed);
        let mut rivals = among.iter().filter(|line| place(line) == place(self));
        let Some(own) = self.value(metric) else {
            return false;
        };
        // As they are shown: what nobody can tell apart is equal.
        let shown = |value: f64| (value * 1e4).round();
        let is_better = |line: &Self| line.value(metric).map(shown) > Some(shown(own));
        rivals.clone().count() > 1 && !rivals.any(is_better)
    }
}

fn label(name: &str) -> &'static str {
    match name {
        "image AUROC" => ">image AUROC",
        "image F1Score" => ">image F1",
        "pixel AUROC" => ">pixel AUROC",
        "pixel F1Score" => ">pixel F1",
        "image AUPR" => ">image AUPR",
        "pixel AUPR" => ">pixel AUPR",
        "pixel AUPRO" => ">pixel AUPRO",
        "pixel AUPIMO" => ">pixel AUPIMO",
        "pixel PRO" => ">pixel PRO",
        _ if name.starts_with("image") => ">image other",
        _ => ">pixel other",
    }
}

/// For programs: the runs, then the means.
pub fn json(lines: &[Line]) -> Value {
    let object = |line: &Line| {
        json!({
            "run": line.run, "model": line.model, "dataset": line.dataset, "category": line.category, "seed": line.seed, "state": line.state,
            "axes": line.axes, "settings": line.settings,
            "metrics": line.metrics, "image_auroc_95": line.interval, "threshold_split": line.threshold_split, "fit_s": line.fit_s, "test_s": line.test_s,
            "images_per_s": line.images_per_s, "error": if line.error.is_empty() { Value::Null } else { line.error.clone().into() },
            "warnings": line.warnings,
        })
    };
    let mean = |line: &Line| {
        json!({
            "model": line.model, "dataset": line.dataset, "settings": line.settings, "of": line.category, "metrics": line.metrics, "fit_s": line.fit_s,
            "test_s": line.test_s, "images_per_s": line.images_per_s,
        })
    };
    json!({ "runs": lines.iter().map(object).collect::<Vec<_>>(), "means": means(lines).iter().map(mean).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(category: &str, state: &str, auroc: Option<f64>) -> Line {
        Line {
            run: 0,
            model: "Padim".to_owned(),
            dataset: "texture".to_owned(),
            category: category.to_owned(),
            seed: 3,
            axes: Value::Null,
            settings: BTreeMap::new(),
            state: state.to_owned(),
            metrics: [("image AUROC".to_owned(), auroc)].into(),
            interval: None,
            threshold_split: Some("validation".to_owned()),
            fit_s: Some(1.0),
            test_s: Some(2.0),
            images_per_s: Some(50.0),
            error: String::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_mean_needs_a_value_from_every_run() {
        let known = means(&[
            line("a", "succeeded", Some(0.5)),
            line("b", "succeeded", Some(1.0)),
        ]);
        assert_eq!(
            (known.len(), known[0].metrics["image AUROC"]),
            (1, Some(0.75))
        );
        let unknown = means(&[
            line("a", "succeeded", None),
            line("b", "succeeded", Some(1.0)),
        ]);
        assert_eq!(unknown[0].metrics["image AUROC"], None);
    }

    #[test]
    fn the_best_on_the_same_images_is_marked() {
        let better = |auroc| Line {
            model: "PatchCore".to_owned(),
            ..line("a", "succeeded", auroc)
        };
        let lines = [
            line("a", "succeeded", Some(0.5)),
            better(Some(0.75)),
            line("b", "succeeded", Some(0.9)),
        ];
        let best = |line: &Line| line.is_best(&lines, IMAGE_AUROC);
        assert_eq!(lines.each_ref().map(best), [false, true, false]);
        let markdown = table(&lines).document(crate::output::Document::Markdown);
        assert!(markdown.contains("| **0.7500** |"), "{markdown}");
        assert_eq!(markdown.matches("**").count(), 2, "{markdown}");
    }

    #[test]
    fn failed_runs_have_a_line_and_no_part_in_the_mean() {
        let lines = [line("a", "succeeded", Some(0.5)), line("b", "failed", None)];
        assert!(means(&lines).is_empty());
        let table = table(&lines).render();
        assert_eq!(table.lines().count(), 3);
        let states: Vec<&str> = table
            .lines()
            .filter_map(|line| line.split_ascii_whitespace().last())
            .collect();
        assert_eq!(states, ["STATE", "succeeded", "failed"], "{table}");
    }

    #[test]
    fn grids_over_anything_tell_runs_apart() {
        let runs: Vec<Run> = [(64, "none"), (64, "min_max"), (128, "none"), (128, "min_max")]
            .into_iter()
            .flat_map(|(size, normalization)| [(size, normalization, "a"), (size, normalization, "b")])
            .map(|(size, normalization, category)| {
                let axes = json!({
                    "data": {"class_path": "MVTec", "init_args": {"image_size": size, "category": category, "root": "r"}},
                    "normalization": normalization, "model": "Padim", "seed": 1,
                });
                Run {
                    model: "Padim".to_owned(),
                    dataset: "texture".to_owned(),
                    category: category.to_owned(),
                    state: "succeeded".to_owned(),
                    axes_json: axes.to_string(),
                    ..Run::default()
                }
            })
            .collect();
        let lines = lines(&runs, &[], &[]);
        let table = table(&lines).render();
        for settings in [
            "data.image_size=64 normalization=none",
            "data.image_size=128 normalization=min_max",
        ] {
            // Two categories and their mean.
            assert_eq!(table.matches(settings).count(), 3, "{table}");
        }
        assert!(
            !table.contains("root") && !table.contains("mean of 8"),
            "{table}"
        );
        let json = json(&lines);
        assert_eq!(json["means"].as_array().map(Vec::len), Some(4));
        assert_eq!(json["means"][0]["settings"]["normalization"], "none");
        assert_eq!(
            json["runs"][0]["axes"]["data"]["init_args"]["image_size"],
            64
        );
    }
}

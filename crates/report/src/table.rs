//! The table of all runs and their means.

use std::collections::{BTreeMap, BTreeSet};

use metrics::Undefined;

use crate::budget::{self, Fitted};
use crate::html::Html;
use crate::number;
use crate::values::{Mean, Measure, Metric, Outcome, Report, Run, Times};

/// Metrics that people look for first; the others follow by name.
const FIRST: [&str; 5] = ["AUROC", "AUPR", "F1Score", "AUPRO", "PRO"];
/// Characters of a reason that stand in a cell; below the table it is whole.
const REASON: usize = 22;
/// Columns of metrics; a table has no more.
const COLUMNS: usize = 24;

/// `linked` of the runs have a section to go to.
pub fn table(report: &Report, linked: usize) -> Html {
    let columns = Columns::of(report);
    let best = Best::of(report, &columns);
    let mut html = Html::new();
    html.markup("<p class=\"legend\">One row a run. ");
    if best.is_any() {
        html.markup(
            "Bold: the best of several on the same dataset and category with the same seed. ",
        );
    }
    if columns.with_intervals {
        html.markup("Below a value: its 95 % confidence interval. ");
    }
    if columns.with_cautions {
        html.markup("(!): chosen on test images, so that F1 looks better than it is.");
    }
    html.markup("</p><div class=\"wide\" role=\"region\" aria-label=\"Results of each run\" tabindex=\"0\"><table class=\"results\"><caption>Results of each run</caption>");
    columns.head(&mut html);
    let rows = report.runs.iter().enumerate();
    let rows = rows.map(|(place, run)| columns.run(place, run, place < linked, &best));
    let fitted = Fitted::new(rows, budget::TABLE / 3 * 2);
    html.markup("<tbody>").push(&fitted.html).markup("</tbody>");
    let means = Fitted::new(
        report.means.iter().map(|mean| columns.mean(mean, &best)),
        budget::TABLE / 4,
    );
    if means.taken > 0 {
        html.markup("<tbody class=\"means\">")
            .push(&means.html)
            .markup("</tbody>");
    }
    html.markup("</table></div>");
    for (left_out, what) in [(fitted.left_out, "run"), (means.left_out, "mean")] {
        if left_out > 0 {
            html.markup("<p class=\"caution\">")
                .text(&number::counted(left_out as u64, what));
            html.markup(" more: left out here, to keep the file below 10 MB.</p>");
        }
    }
    columns.reasons(&mut html, report);
    html
}

struct Columns {
    metrics: Vec<Metric>,
    with_dataset: bool,
    with_category: bool,
    with_settings: bool,
    with_intervals: bool,
    with_states: bool,
    with_cautions: bool,
}

impl Columns {
    fn of(report: &Report) -> Self {
        let metrics = || report.runs.iter().flat_map(|run| run.metrics.iter());
        let mut names: Vec<Metric> = metrics()
            .map(|(metric, _)| metric)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .cloned()
            .collect();
        let place = |metric: &Metric| {
            let known = FIRST.iter().position(|name| *name == metric.name());
            (metric.level(), known.unwrap_or(FIRST.len()))
        };
        names.sort_by_key(place); // stable: the rest stays in order of its names
        names.truncate(COLUMNS);
        let interval = |(_, measure): (_, &Measure)| {
            matches!(
                measure,
                Measure::Known {
                    interval: Some(_),
                    ..
                }
            )
        };
        let succeeded = |run: &Run| matches!(run.outcome, Outcome::Finished(_));
        Self {
            metrics: names,
            with_dataset: report.runs.iter().any(|run| !run.dataset.is_empty()),
            with_category: report.runs.iter().any(|run| !run.category.is_empty()),
            with_settings: report.runs.iter().any(|run| !run.settings.is_empty()),
            with_intervals: metrics().any(interval),
            with_states: !report.runs.iter().all(succeeded),
            with_cautions: report.runs.iter().any(has_caution),
        }
    }

    /// Columns before and after those of metrics.
    fn others(&self) -> usize {
        // Model, seed, threshold; fit, test and images a second.
        6 + [
            self.with_dataset,
            self.with_category,
            self.with_settings,
            self.with_states,
        ]
        .into_iter()
        .filter(|with| *with)
        .count()
    }

    fn head(&self, html: &mut Html) {
        html.markup("<thead><tr>");
        let mut plain = |with: bool, name: &'static str, class: &'static str| {
            if with {
                html.markup("<th scope=\"col\" rowspan=\"2\" class=\"")
                    .markup(class);
                html.markup("\">").markup(name).markup("</th>");
            }
        };
        plain(true, "Model", "first");
        plain(self.with_dataset, "Dataset", "");
        plain(self.with_category, "Category", "");
        plain(true, "Seed", "num");
        plain(self.with_settings, "Settings", "");
        for (level, name) in [("image", "Image"), ("pixel", "Pixel")] {
            let count = self
                .metrics
                .iter()
                .filter(|metric| metric.level() == level)
                .count();
            if count > 0 {
                html.markup("<th scope=\"colgroup\" class=\"level\" colspan=\"")
                    .count(count as u64);
                html.markup("\">").markup(name).markup("</th>");
            }
        }
        let mut plain = |with: bool, name: &'static str, class: &'static str| {
            if with {
                html.markup("<th scope=\"col\" rowspan=\"2\" class=\"")
                    .markup(class);
                html.markup("\">").markup(name).markup("</th>");
            }
        };
        plain(true, "Threshold chosen on", "");
        plain(true, "Fit", "num");
        plain(true, "Test", "num");
        plain(true, "Images/s", "num");
        plain(self.with_states, "State", "");
        html.markup("</tr><tr>");
        for metric in &self.metrics {
            html.markup("<th scope=\"col\" class=\"num\">")
                .cut(metric.name(), 24)
                .markup("</th>");
        }
        html.markup("</tr></thead>");
    }

    fn run(&self, place: usize, run: &Run, is_linked: bool, best: &Best) -> Html {
        let mut html = Html::new();
        html.markup("<tr><th scope=\"row\" class=\"first\">");
        if is_linked {
            html.markup("<a href=\"#run-")
                .count(place as u64)
                .markup("\">");
        }
        html.cut(&run.model, 100);
        html.markup(if is_linked { "</a></th>" } else { "</th>" });
        self.place(&mut html, &run.dataset, &run.category);
        number_cell(&mut html, &run.seed.to_string());
        self.settings(&mut html, &run.settings);
        self.measures(&mut html, &run.metrics, has_error(run), |metric| {
            best.of_run(run, metric)
        });
        let finished = match &run.outcome {
            Outcome::Finished(finished) => Some(finished),
            Outcome::Unfinished { .. } => None,
        };
        html.markup("<td>");
        match finished.and_then(|finished| finished.cut) {
            Some(cut) => {
                html.markup(cut.short());
                html.markup(if has_caution(run) { " (!)" } else { "" })
            }
            None => html.markup("<span class=\"none\">–</span>"),
        };
        html.markup("</td>");
        times(
            &mut html,
            finished.map_or_else(Times::default, |finished| finished.times),
        );
        if self.with_states {
            html.markup("<td>");
            state(&mut html, &run.outcome);
            html.markup("</td>");
        }
        html.markup("</tr>");
        if let Outcome::Unfinished { error, .. } = &run.outcome
            && has_error(run)
        {
            html.markup("<tr class=\"error\"><td colspan=\"");
            html.count((self.others() + self.metrics.len()) as u64)
                .markup("\"><span>");
            html.cut(error, 600).markup("</span></td></tr>");
        }
        html
    }

    fn mean(&self, mean: &Mean, best: &Best) -> Html {
        let mut html = Html::new();
        html.markup("<tr><th scope=\"row\" class=\"first\">")
            .cut(&mean.model, 100);
        html.markup("</th>");
        if self.with_category {
            self.place(&mut html, &mean.dataset, &mean.name);
            html.markup("<td></td>");
        } else {
            self.place(&mut html, &mean.dataset, "");
            html.markup("<td>").cut(&mean.name, 80).markup("</td>");
        }
        self.settings(&mut html, &mean.settings);
        self.measures(&mut html, &mean.metrics, false, |metric| {
            best.of_mean(mean, metric)
        });
        html.markup("<td></td>");
        times(&mut html, mean.times);
        html.markup(if self.with_states {
            "<td></td></tr>"
        } else {
            "</tr>"
        });
        html
    }

    fn place(&self, html: &mut Html, dataset: &str, category: &str) {
        for (with, name) in [(self.with_dataset, dataset), (self.with_category, category)] {
            if with {
                html.markup("<td>").cut(name, 80).markup("</td>");
            }
        }
    }

    fn settings(&self, html: &mut Html, settings: &str) {
        if self.with_settings {
            html.markup("<td class=\"settings\">")
                .cut(settings, 300)
                .markup("</td>");
        }
    }

    /// `is_told`: why values are missing stands elsewhere.
    fn measures(
        &self,
        html: &mut Html,
        measures: &BTreeMap<Metric, Measure>,
        is_told: bool,
        is_best: impl Fn(&Metric) -> bool,
    ) {
        for metric in &self.metrics {
            html.markup("<td class=\"num\">");
            match measures.get(metric) {
                Some(Measure::Known { value, interval }) => {
                    let bold = is_best(metric);
                    html.markup(if bold { "<b>" } else { "" });
                    html.text(&number::metric(*value));
                    html.markup(if bold { "</b>" } else { "" });
                    if let Some(interval) = interval {
                        html.markup("<small>").text(&format!("{:.3}", interval.low));
                        html.markup("–").text(&format!("{:.3}", interval.high));
                        html.markup("</small>");
                    }
                }
                Some(Measure::Unknown { reason }) if !is_told => {
                    html.markup("<span class=\"none\">none</span><small class=\"reason\">");
                    html.cut(reason, REASON).markup("</small>");
                }
                Some(Measure::Unknown { .. }) | None => {
                    html.markup("<span class=\"none\">–</span>");
                }
            }
            html.markup("</td>");
        }
    }

    /// Every reason for a missing value, said once.
    fn reasons(&self, html: &mut Html, report: &Report) {
        let untold = report.runs.iter().filter(|run| !has_error(run));
        let of_runs = untold.map(|run| &run.metrics);
        let all = || {
            of_runs
                .clone()
                .chain(report.means.iter().map(|mean| &mean.metrics))
        };
        let reasons: BTreeSet<&str> = all()
            .flat_map(BTreeMap::values)
            .filter_map(|measure| match measure {
                Measure::Unknown { reason } => Some(reason.as_str()),
                Measure::Known { .. } => None,
            })
            .collect();
        let lines = reasons.into_iter().filter_map(|reason| {
            let mut line = Html::new();
            match explained(reason) {
                Some(text) => line
                    .markup("<li><code>")
                    .text(reason)
                    .markup("</code>: ")
                    .text(&text),
                None if reason.chars().count() > REASON => line.markup("<li>").cut(reason, 2_000),
                None => return None,
            };
            line.markup("</li>");
            Some(line)
        });
        let lines = Fitted::new(lines, budget::TABLE / 20);
        if lines.taken > 0 {
            html.markup("<div class=\"why\"><p>Why a value is missing:</p><ul>");
            html.push(&lines.html).markup("</ul></div>");
        }
    }
}

/// What the words of the tables mean.
fn explained(reason: &str) -> Option<String> {
    let words = [
        Undefined::Empty,
        Undefined::OneClass,
        Undefined::NoMask,
        Undefined::NoMap,
        Undefined::NoThreshold,
    ];
    let word = words.into_iter().find(|word| word.word() == reason)?;
    let text = word.to_string();
    text.split_once(": ").map(|(_, text)| text.to_owned())
}

/// Whether a line of the table says why the run has no values.
fn has_error(run: &Run) -> bool {
    matches!(&run.outcome, Outcome::Unfinished { error, .. } if !error.is_empty())
}

fn has_caution(run: &Run) -> bool {
    match &run.outcome {
        Outcome::Finished(finished) => {
            let is_measured = finished.scores.has_labels();
            is_measured && finished.cut.is_some_and(|cut| cut.caution().is_some())
        }
        Outcome::Unfinished { .. } => false,
    }
}

fn number_cell(html: &mut Html, text: &str) {
    html.markup("<td class=\"num\">").text(text).markup("</td>");
}

fn times(html: &mut Html, times: Times) {
    let known =
        |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| "–".to_owned(), show);
    number_cell(html, &known(times.fit_s, number::seconds));
    number_cell(html, &known(times.test_s, number::seconds));
    number_cell(html, &known(times.images_per_s, number::rate));
}

/// The word, with a mark that does not need its colour.
pub fn state(html: &mut Html, outcome: &Outcome) {
    match outcome {
        Outcome::Finished(_) => badge(html, "succeeded"),
        Outcome::Unfinished { state, .. } => badge(html, state),
    }
}

pub fn badge(html: &mut Html, state: &str) {
    let (class, mark) = match state {
        "succeeded" => ("good", "✓ "),
        "failed" | "dead" => ("bad", "✗ "),
        _ => ("open", ""),
    };
    html.markup("<span class=\"state ")
        .markup(class)
        .markup("\">")
        .markup(mark);
    html.cut(state, 40).markup("</span>");
}

/// The highest values as they are shown, among runs of the same dataset, category and seed, and among means of the same dataset: as
/// in the table of `ctl results`.
struct Best {
    runs: BTreeMap<(String, String, u64, Metric), Group>,
    means: BTreeMap<(String, Metric), Group>,
}

/// Of how many, and the best of them.
struct Group {
    of: usize,
    best: f64,
}

impl Best {
    fn of(report: &Report, columns: &Columns) -> Self {
        let (mut runs, mut means) = (BTreeMap::new(), BTreeMap::new());
        for metric in &columns.metrics {
            for run in &report.runs {
                let key = (
                    run.dataset.clone(),
                    run.category.clone(),
                    run.seed,
                    metric.clone(),
                );
                note(&mut runs, key, run.metrics.get(metric));
            }
            for mean in &report.means {
                let key = (mean.dataset.clone(), metric.clone());
                note(&mut means, key, mean.metrics.get(metric));
            }
        }
        Self { runs, means }
    }

    fn of_run(&self, run: &Run, metric: &Metric) -> bool {
        let key = (
            run.dataset.clone(),
            run.category.clone(),
            run.seed,
            metric.clone(),
        );
        is_best(self.runs.get(&key), run.metrics.get(metric))
    }

    fn of_mean(&self, mean: &Mean, metric: &Metric) -> bool {
        let key = (mean.dataset.clone(), metric.clone());
        is_best(self.means.get(&key), mean.metrics.get(metric))
    }

    fn is_any(&self) -> bool {
        let mut groups = self.runs.values().chain(self.means.values());
        groups.any(|group| group.of > 1)
    }
}

fn note<K: Ord>(groups: &mut BTreeMap<K, Group>, key: K, measure: Option<&Measure>) {
    let Some(value) = measure.and_then(Measure::value) else {
        return;
    };
    match groups.get_mut(&key) {
        Some(group) => {
            group.of += 1;
            group.best = group.best.max(value);
        }
        None => _ = groups.insert(key, Group { of: 1, best: value }),
    }
}

fn is_best(group: Option<&Group>, measure: Option<&Measure>) -> bool {
    match (group, measure.and_then(Measure::value)) {
        (Some(group), Some(value)) => {
            group.of > 1 && number::metric(value) == number::metric(group.best)
        }
        _ => false,
    }
}

//! The curves of runs that were tested on the same images, in one drawing.

use std::collections::BTreeSet;

use crate::budget::{self, Fitted};
use crate::chart::{Axes, COLOURS, CurveChart, OVERLAP, ROC};
use crate::html::Html;
use crate::number;
use crate::values::{Finished, Measure, Metric, Outcome, Report, Run};

/// The runs of one category of one dataset, with their places in the report.
struct Group<'a> {
    dataset: &'a str,
    category: &'a str,
    runs: Vec<(usize, &'a Run, &'a Finished)>,
}

/// One drawing for each metric whose curves are compared, for each category that several runs were tested on.
pub fn section(report: &Report, linked: usize) -> Html {
    let groups = groups(report)
        .into_iter()
        .filter(|group| group.runs.len() > 1);
    let fitted = Fitted::new(
        groups.map(|group| group.html(linked)),
        budget::GROUPS - 1_000,
    );
    let mut html = Html::new();
    if fitted.taken > 0 {
        html.markup("<section><h2>Curves</h2>").push(&fitted.html);
        if fitted.left_out > 0 {
            html.markup("<p class=\"caution\">");
            html.text(&number::count(fitted.left_out as u64));
            html.markup(" more categories: left out here, to keep the file below 10 MB.</p>");
        }
        html.markup("</section>");
    }
    html
}

fn groups(report: &Report) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    for (place, run) in report.runs.iter().enumerate() {
        let Outcome::Finished(finished) = &run.outcome else {
            continue;
        };
        // Without labels there is no curve.
        if !finished.scores.has_labels() {
            continue;
        }
        let same = |group: &&mut Group| {
            (group.dataset, group.category) == (run.dataset.as_str(), run.category.as_str())
        };
        let member = (place, run, &**finished);
        match groups.iter_mut().find(same) {
            Some(group) => group.runs.push(member),
            None => groups.push(Group {
                dataset: &run.dataset,
                category: &run.category,
                runs: vec![member],
            }),
        }
    }
    for group in &mut groups {
        group.first_of_each_model();
    }
    groups
}

impl Group<'_> {
    /// There are fewer colours than runs in a large group: one run of each model comes before the second of any.
    fn first_of_each_model(&mut self) {
        let mut seen = BTreeSet::new();
        let mut again = |(_, run, _): &(usize, &Run, &Finished)| {
            !seen.insert((run.model.clone(), run.settings.clone()))
        };
        self.runs.sort_by_cached_key(|run| again(run));
    }

    fn html(&self, linked: usize) -> Html {
        let mut html = Html::new();
        html.markup("<div class=\"group\"><h3>")
            .cut(self.dataset, 80);
        if !self.category.is_empty() {
            html.markup(" <span class=\"on\">· ");
            html.cut(self.category, 80).markup("</span>");
        }
        html.markup("</h3><div class=\"charts\">");
        let shown = &self.runs[..self.runs.len().min(COLOURS.len())];
        let images: Vec<Vec<[f64; 2]>> = shown
            .iter()
            .map(|(_, _, finished)| finished.scores.curves().roc.unwrap_or_default())
            .collect();
        let pixels = |curve: fn(&Finished) -> Option<&[[f64; 2]]>| -> Vec<&[[f64; 2]]> {
            shown
                .iter()
                .map(|(_, _, finished)| curve(finished).unwrap_or_default())
                .collect()
        };
        let chance = Some([[0.0, 0.0], [1.0, 1.0]]);
        let images = images.iter().map(Vec::as_slice).collect();
        figure(&mut html, "ROC", &ROC, chance, images);
        let roc = pixels(|finished| Some(finished.pixels.roc.as_ref()?.points()));
        figure(&mut html, "ROC of pixels", &ROC, chance, roc);
        let pro = pixels(|finished| Some(finished.pixels.pro.as_ref()?.points()));
        figure(&mut html, "Overlap with defects", &OVERLAP, None, pro);
        html.markup("</div><ul class=\"lines\">");
        for ((place, run, _), colour) in shown.iter().zip(COLOURS) {
            entry(&mut html, (*place, run), colour, *place < linked);
        }
        if let Some(more) = self
            .runs
            .len()
            .checked_sub(shown.len())
            .filter(|more| *more > 0)
        {
            html.markup("<li>");
            html.text(&number::counted(more as u64, "run"));
            html.markup(" more, not drawn: other seeds, or beyond the first eight models</li>");
        }
        html.markup("</ul></div>");
        html
    }
}

/// Nothing, if there is no curve.
fn figure(
    html: &mut Html,
    name: &'static str,
    axes: &Axes,
    chance: Option<[[f64; 2]; 2]>,
    curves: Vec<&[[f64; 2]]>,
) {
    if curves.iter().all(|points| points.is_empty()) {
        return;
    }
    let spoken = format!("{name} of {} runs", curves.len());
    let drawing = CurveChart {
        chance,
        ..CurveChart::of(&spoken, axes, &curves)
    };
    html.markup("<figure><h4>").markup(name).markup("</h4>");
    html.push(&drawing.draw()).markup("</figure>");
}

/// What a colour stands for.
fn entry(html: &mut Html, (place, run): (usize, &Run), colour: &'static str, is_linked: bool) {
    html.markup(
        "<li><svg class=\"line\" viewBox=\"0 0 26 8\" aria-hidden=\"true\"><path class=\"curve ",
    );
    html.markup(colour).markup("\" d=\"M1 4H25\"/></svg> ");
    if is_linked {
        html.markup("<a href=\"#run-")
            .count(place as u64)
            .markup("\">");
    }
    html.markup("Run ").count(run.index.into());
    if is_linked {
        html.markup("</a>");
    }
    html.markup(" ").cut(&run.model, 100);
    if !run.settings.is_empty() {
        html.markup(" · ").cut(&run.settings, 200);
    }
    html.markup(" · seed ").count(run.seed);
    if let Some(Measure::Known { value, .. }) = run.metrics.get(&Metric::Image("AUROC".to_owned()))
    {
        html.markup(" <small>AUROC ").text(&number::metric(*value));
        html.markup("</small>");
    }
    html.markup("</li>");
}

//! The section of one run.

use std::collections::BTreeMap;

use metrics::Totals;

use crate::figures;
use crate::gallery;
use crate::html::Html;
use crate::number;
use crate::scores::{Cut, Scored, Truth};
use crate::table;
use crate::values::{Finished, Outcome, Run};

/// Bytes of a section besides what it holds.
const FRAME: usize = 200;

/// A run's section before its pictures are chosen.
pub struct Section<'a> {
    run: &'a Run,
    place: usize,
    /// Everything above the images.
    head: Html,
    /// Bytes without pictures.
    pub text: usize,
    /// Bytes of all its pictures.
    pub wanted: usize,
}

impl<'a> Section<'a> {
    pub fn new(place: usize, run: &'a Run) -> Self {
        let mut head = Html::new();
        head.markup("<h3>");
        title(&mut head, run);
        head.markup("</h3>");
        let (mut text, mut wanted) = (FRAME, 0);
        match &run.outcome {
            Outcome::Finished(finished) => {
                show(&mut head, run, finished);
                text += gallery::lists(finished, 0).len();
                wanted = gallery::wanted(finished);
            }
            Outcome::Unfinished { error, .. } => {
                head.markup("<p>");
                table::state(&mut head, &run.outcome);
                head.markup("</p>");
                if !error.is_empty() {
                    head.markup("<pre class=\"error\">");
                    head.cut(error, 4_000).markup("</pre>");
                }
            }
        }
        text += head.len();
        Self {
            run,
            place,
            head,
            text,
            wanted,
        }
    }

    /// With pictures of at most `room` bytes.
    pub fn html(&self, room: usize) -> Html {
        let mut html = Html::new();
        html.markup("<section class=\"run\" id=\"run-");
        html.count(self.place as u64).markup("\">").push(&self.head);
        if let Outcome::Finished(finished) = &self.run.outcome {
            html.push(&gallery::lists(finished, room));
        }
        html.markup("</section>");
        html
    }
}

fn title(html: &mut Html, run: &Run) {
    html.markup("<span class=\"index\">Run ")
        .count(run.index.into())
        .markup("</span> ");
    html.cut(&run.model, 100);
    let of = [run.dataset.as_str(), run.category.as_str()];
    for part in of.into_iter().filter(|part| !part.is_empty()) {
        html.markup(" <span class=\"on\">· ")
            .cut(part, 80)
            .markup("</span>");
    }
    html.markup(" <span class=\"on\">· seed ")
        .count(run.seed)
        .markup("</span>");
    if !run.settings.is_empty() {
        html.markup(" <span class=\"on\">· ")
            .cut(&run.settings, 300)
            .markup("</span>");
    }
}

fn show(html: &mut Html, run: &Run, finished: &Finished) {
    let totals = finished.scores.counts().totals();
    let curves = finished.scores.curves();
    let is_measured =
        finished.scores.has_labels() || (finished.scores.is_empty() && !finished.predicts);
    let cut = finished.cut.filter(|_| is_measured);
    let confusion = cut.map(|cut| finished.scores.confusion(&cut));
    html.markup("<dl class=\"facts\">");
    facts(html, finished, totals);
    html.markup("</dl>");
    // What is not measured cannot look better than it is.
    if let Some(caution) = cut.and_then(|cut| cut.caution()) {
        html.markup("<p class=\"caution\">")
            .markup(caution)
            .markup("</p>");
    }
    for warning in finished.warnings.iter().take(20) {
        html.markup("<p class=\"caution\">")
            .cut(warning, 1_000)
            .markup("</p>");
    }
    if let Some(left_out) = finished
        .warnings
        .len()
        .checked_sub(20)
        .filter(|more| *more > 0)
    {
        html.markup("<p class=\"caution\">")
            .text(&number::counted(left_out as u64, "warning"));
        html.markup(" more.</p>");
    }
    html.markup("<div class=\"charts\">");
    figures::scores(html, finished, confusion.as_ref());
    if is_measured {
        figures::roc(html, run, &curves.roc, confusion.as_ref());
        figures::precision_recall(
            html,
            run,
            (&curves.precision_recall, totals),
            confusion.as_ref(),
        );
    }
    figures::pixels(html, run, &finished.pixels);
    html.markup("</div>");
}

fn facts(html: &mut Html, finished: &Finished, totals: Totals) {
    let mut fact = |name: &'static str, value: &str| {
        html.markup("<div><dt>")
            .markup(name)
            .markup("</dt><dd>")
            .text(value)
            .markup("</dd></div>");
    };
    let (unlabelled, called) = finished.scores.unlabelled(finished.cut.as_ref());
    if finished.scores.has_labels() || (unlabelled == 0 && !finished.predicts) {
        let images = format!(
            "{} normal, {} anomalous",
            number::count(totals.normal),
            number::count(totals.anomalous)
        );
        fact("Test images", &images);
    }
    if unlabelled > 0 {
        fact("Images without label", &number::count(unlabelled));
    }
    if let Some(called) = called.filter(|_| unlabelled > 0) {
        // Counts are far below 2^53.
        let share = number::percent(called as f64 / unlabelled as f64);
        let called = number::count(called);
        fact(
            "Anomalous of these",
            &format!("{called} ({share}) by the threshold"),
        );
    }
    if finished.unreadable > 0 {
        fact(
            "Could not be scored",
            &number::counted(finished.unreadable, "image"),
        );
    }
    match &finished.cut {
        Some(cut) => {
            let value = number::score(cut.threshold.value().into());
            fact("Threshold", &format!("{value}, {}", cut.origin()));
        }
        None => fact("Threshold", "none known"),
    }
    if let Some(spread) = spread(&finished.aupimo) {
        fact("AUPIMO of single images", &spread);
    }
    let times = finished.times;
    let timed = [("Fit", times.fit_s), ("Test", times.test_s)];
    for (name, seconds) in timed {
        if let Some(seconds) = seconds {
            fact(name, &number::seconds(seconds));
        }
    }
    if let Some(rate) = times.images_per_s {
        fact("Throughput", &format!("{} images/s", number::rate(rate)));
    }
}

/// The mean of these is a metric of the run, and hides the images whose defects are not found.
fn spread(aupimo: &BTreeMap<String, f64>) -> Option<String> {
    let mut values: Vec<f64> = aupimo.values().copied().collect();
    values.sort_unstable_by(f64::total_cmp);
    let (lowest, highest) = (*values.first()?, *values.last()?);
    let median = values[(values.len() - 1) / 2];
    let nothing = values.iter().take_while(|value| **value <= 0.0).count();
    Some(format!(
        "{} to {}, median {}; nothing found in {} of {}",
        number::metric(lowest),
        number::metric(highest),
        number::metric(median),
        number::count(nothing as u64),
        number::counted(values.len() as u64, "image")
    ))
}

/// For a caption beside a picture.
pub fn verdict(cut: Option<&Cut>, scored: &Scored) -> Option<&'static str> {
    match (scored.truth, cut?.threshold.is_anomalous(scored.score)) {
        (Truth::Normal, true) => Some("false alarm"),
        (Truth::Anomalous, false) => Some("missed"),
        (Truth::Unknown, true) => Some("called anomalous"),
        _ => None,
    }
}

//! The drawings of a run, each with its title and what it says in words.

use metrics::{Confusion, Points, Totals, Undefined};

use crate::chart::{self, Axes, CurveChart, OVERLAP, PRECISION_RECALL, ROC};
use crate::curve::{Curve, PixelCurves};
use crate::histogram::Histogram;
use crate::html::Html;
use crate::number;
use crate::scores::Truth;
use crate::values::{Finished, Measure, Metric, Run};

/// The name of a drawing, and what it comes to.
struct Title {
    name: &'static str,
    number: String,
}

impl Title {
    fn show(&self, html: &mut Html) {
        html.markup("<h4>").markup(self.name).markup(" <small>");
        html.text(&self.number).markup("</small></h4>");
    }

    fn spoken(&self) -> String {
        if self.number.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}: {}", self.name, self.number)
        }
    }
}

fn figure(html: &mut Html, title: &Title, drawing: &Html, caption: &str) {
    html.markup("<figure>");
    title.show(html);
    html.push(drawing);
    html.markup("<figcaption>")
        .text(caption)
        .markup("</figcaption></figure>");
}

/// In the place of a drawing: why there is none.
fn no_figure(html: &mut Html, title: &Title, reason: &str) {
    html.markup("<figure class=\"empty\">");
    title.show(html);
    html.markup("<p>No curve: ");
    html.text(reason).markup("</p></figure>");
}

pub fn scores(html: &mut Html, finished: &Finished, confusion: Option<&Confusion>) {
    let errors = |confusion: &Confusion| {
        format!(
            "{}, {} missed",
            number::counted(confusion.false_positives, "false alarm"),
            number::count(confusion.false_negatives)
        )
    };
    let called = match finished.scores.unlabelled(finished.cut.as_ref()) {
        (images, Some(called)) if images > 0 => {
            format!(
                "{} of {} anomalous",
                number::count(called),
                number::count(images)
            )
        }
        _ => String::new(),
    };
    let title = Title {
        name: "Image scores",
        number: confusion.map_or(called, errors),
    };
    let Some(histogram) = Histogram::new(&finished.scores, finished.cut.as_ref()) else {
        return no_figure(html, &title, "no image was scored");
    };
    let threshold = finished.cut.map(|cut| f64::from(cut.threshold.value()));
    let spoken = spoken_scores(finished, confusion);
    let drawing = chart::histogram(&histogram, &spoken, threshold);
    html.markup("<figure>");
    title.show(html);
    html.push(&drawing);
    html.markup("<figcaption>");
    match (confusion, finished.cut) {
        (Some(confusion), Some(cut)) => {
            html.text("At or above the threshold an image is called anomalous; strong bars are on its wrong side. It was ");
            html.markup(cut.origin()).markup(".");
            decisions(html, confusion);
        }
        (None, Some(cut)) => {
            html.text("At or above the threshold an image is called anomalous. It was ");
            html.markup(cut.origin())
                .markup(". No image has a label, so nothing says which decisions are right.");
        }
        _ => {
            html.text("How the scores of each class are spread. No threshold is known, so no decision is counted.");
        }
    }
    html.markup("</figcaption></figure>");
}

fn spoken_scores(finished: &Finished, confusion: Option<&Confusion>) -> String {
    let range = |truth: Truth| {
        let values = || {
            finished
                .scores
                .of(truth)
                .map(|scored| f64::from(scored.score.value()))
        };
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            format!("no {} image", truth.word())
        } else {
            let (low, high) = (number::score(low), number::score(high));
            let images = number::plural(finished.scores.of(truth).count() as u64, "image");
            format!("{} {images} from {low} to {high}", truth.word())
        }
    };
    let mut classes = Vec::new();
    if finished.scores.has_labels() {
        classes.extend([Truth::Normal, Truth::Anomalous]);
    }
    if finished.scores.of(Truth::Unknown).next().is_some() {
        classes.push(Truth::Unknown);
    }
    let ranges: Vec<String> = classes.into_iter().map(range).collect();
    let mut spoken = format!("Histogram of image scores: {}", ranges.join("; "));
    if let Some(confusion) = confusion {
        spoken.push_str(&format!(
            "; {} and {} at the threshold",
            number::counted(confusion.false_positives, "false alarm"),
            number::counted(confusion.false_negatives, "missed image")
        ));
    }
    spoken
}

/// The four counts.
fn decisions(html: &mut Html, confusion: &Confusion) {
    html.markup("<table class=\"decisions\"><caption>Decisions at the threshold</caption><thead><tr><td></td><th scope=\"col\">called normal</th><th scope=\"col\">called anomalous</th></tr></thead><tbody>");
    let rows = [
        (
            "normal",
            [
                (confusion.true_negatives, "right", "passed"),
                (confusion.false_positives, "wrong", "false alarms"),
            ],
        ),
        (
            "anomalous",
            [
                (confusion.false_negatives, "wrong", "missed"),
                (confusion.true_positives, "right", "found"),
            ],
        ),
    ];
    for (truth, cells) in rows {
        html.markup("<tr><th scope=\"row\">")
            .markup(truth)
            .markup("</th>");
        for (count, class, name) in cells {
            let class = if count == 0 { "right" } else { class };
            html.markup("<td class=\"")
                .markup(class)
                .markup("\"><b>")
                .text(&number::count(count));
            html.markup("</b> ").markup(name).markup("</td>");
        }
        html.markup("</tr>");
    }
    html.markup("</tbody></table>");
}

/// With the value that the table has.
fn titled(name: &'static str, run: &Run, metric: &Metric) -> Title {
    let number = match run.metrics.get(metric) {
        Some(Measure::Known { value, .. }) => {
            format!("{} {}", metric.name(), number::metric(*value))
        }
        _ => String::new(),
    };
    Title { name, number }
}

fn image(metric: &str) -> Metric {
    Metric::Image(metric.to_owned())
}

pub fn roc(html: &mut Html, run: &Run, points: &Points, confusion: Option<&Confusion>) {
    let title = titled("ROC", run, &image("AUROC"));
    let points = match points {
        Ok(points) => points,
        Err(reason) => return no_figure(html, &title, plain(*reason)),
    };
    let rates = confusion.map(|confusion| {
        let share = |part: u64, rest: u64| part as f64 / (part + rest) as f64;
        [
            share(confusion.false_positives, confusion.true_negatives),
            share(confusion.true_positives, confusion.false_negatives),
        ]
    });
    let drawing = CurveChart {
        chance: Some([[0.0, 0.0], [1.0, 1.0]]),
        here: rates,
        ..CurveChart::of(&title.spoken(), &ROC, &[points])
    }
    .draw();
    let mut caption = "Share of anomalous images found, over share of normal images that raise a false alarm, at every threshold. Dashed: guessing.".to_owned();
    if let Some([false_alarms, found]) = rates {
        caption.push_str(&format!(
            " Dot: the run’s threshold, which finds {} at {} false alarms.",
            number::percent(found),
            number::percent(false_alarms)
        ));
    }
    figure(html, &title, &drawing, &caption);
}

pub fn precision_recall(
    html: &mut Html,
    run: &Run,
    (points, totals): (&Points, Totals),
    confusion: Option<&Confusion>,
) {
    let title = titled("Precision and recall", run, &image("AUPR"));
    // Without a normal image it is a line that says nothing.
    let points = match points {
        Ok(points) if totals.normal > 0 => points,
        Ok(_) => return no_figure(html, &title, plain(Undefined::OneClass)),
        Err(reason) => return no_figure(html, &title, plain(*reason)),
    };
    let guessing = totals.anomalous as f64 / (totals.normal + totals.anomalous) as f64;
    // Nothing called anomalous: no precision.
    let here = confusion.and_then(|confusion| {
        let called = confusion.true_positives + confusion.false_positives;
        let found = confusion.true_positives as f64;
        (called > 0).then(|| [found / totals.anomalous as f64, found / called as f64])
    });
    let drawing = CurveChart {
        chance: Some([[0.0, guessing], [1.0, guessing]]),
        here,
        ..CurveChart::of(&title.spoken(), &PRECISION_RECALL, &[points])
    }
    .draw();
    let mut caption = "Of the images called anomalous, the share that is; over the share of anomalous images found. Dashed: guessing.".to_owned();
    if here.is_some() {
        caption.push_str(" Dot: the run’s threshold.");
    }
    figure(html, &title, &drawing, &caption);
}

/// The curves of pixels that there are.
pub fn pixels(html: &mut Html, run: &Run, curves: &PixelCurves) {
    let pixel = |metric: &str| Metric::Pixel(metric.to_owned());
    if let Some(curve) = &curves.roc {
        let title = titled("ROC of pixels", run, &pixel("AUROC"));
        let drawing = CurveChart {
            chance: Some([[0.0, 0.0], [1.0, 1.0]]),
            ..CurveChart::of(&title.spoken(), &ROC, &[curve.points()])
        }
        .draw();
        let caption = "As for images: share of the pixels of defects found, over share of the normal pixels called anomalous.";
        figure(html, &title, &drawing, caption);
    }
    if let Some(curve) = &curves.precision_recall {
        let title = titled("Precision and recall of pixels", run, &pixel("AUPR"));
        let drawing = CurveChart::of(&title.spoken(), &PRECISION_RECALL, &[curve.points()]).draw();
        let caption = "Of the pixels called anomalous, the share that is; over the share of the pixels of defects found.";
        figure(html, &title, &drawing, caption);
    }
    if let Some(curve) = &curves.pro {
        let title = titled("Overlap with defects", run, &pixel("AUPRO"));
        let limit = curves.fpr_limit.map(|limit| limit.rate());
        let drawing = CurveChart {
            limit: limit.unwrap_or(1.0),
            ..CurveChart::of(&title.spoken(), &OVERLAP, &[curve.points()])
        }
        .draw();
        let mut caption = "Share of a defect’s pixels found, the mean over all defects, over the share of normal pixels called anomalous.".to_owned();
        if let Some(limit) = limit {
            let rate = number::tick(limit, 0.01);
            caption.push_str(&format!(" AUPRO is the shaded area up to the rate {rate}."));
        }
        figure(html, &title, &drawing, &caption);
    }
    if let Some(curve) = &curves.pimo
        && let Some((axes, points)) = logarithmic(curve)
    {
        let title = titled("Overlap at few false alarms", run, &pixel("AUPIMO"));
        let drawing = CurveChart::of(&title.spoken(), &axes, &[&points]).draw();
        let caption = "Share of an image’s defect found, the mean over all images that have one, over the share of a good image called anomalous, between the bounds of AUPIMO.";
        figure(html, &title, &drawing, caption);
    }
}

/// The curve over the logarithm of its rates, from the first to the last.
fn logarithmic(curve: &Curve) -> Option<(Axes, Vec<[f64; 2]>)> {
    let (low, high) = (curve.points().first()?[0], curve.points().last()?[0]);
    if !(0.0 < low && low < high) {
        return None;
    }
    let place = |rate: f64| ((rate / low).ln() / (high / low).ln()).clamp(0.0, 1.0);
    let points = curve.points().iter().map(|[x, y]| [place(*x), *y]);
    let axes = Axes {
        x_ticks: Some(
            number::powers(low, high)
                .into_iter()
                .map(|rate| (place(rate), format!("{rate:.0e}")))
                .collect(),
        ),
        ..Axes::of(
            "false-positive rate of good images",
            "mean overlap of images",
        )
    };
    Some((axes, points.collect()))
}

fn plain(reason: Undefined) -> &'static str {
    match reason {
        Undefined::Empty => "no image was scored",
        Undefined::OneClass => "all scored images are of one class",
        Undefined::NoNormalImage => "every scored image has a defect",
        Undefined::NoNormalItem => "nothing normal was scored",
        Undefined::TooFewPixels => "there are too few normal pixels",
        Undefined::NoMask => "there is no mask",
        Undefined::NoMap => "the model has no map",
        Undefined::NoThreshold => "there is no threshold",
        Undefined::NotPositive => "normal scores of 0 or less have no logarithm",
    }
}

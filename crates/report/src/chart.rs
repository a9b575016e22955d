//! Drawings: a frame with axes, and the curves and bars in it.

use crate::histogram::Histogram;
use crate::html::Html;
use crate::number;
use crate::scores::Truth;

/// Of every drawing, in its own units; a page shows them at about this size, so that letters are readable.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// From one class of a histogram to the next.
const BETWEEN: f64 = 18.0;

/// A rectangle of the drawing and the values at its sides.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    pub x: [f64; 2],
    pub y: [f64; 2],
}

impl Frame {
    pub fn at_x(&self, value: f64) -> f64 {
        self.left + (value - self.x[0]) / (self.x[1] - self.x[0]) * (self.right - self.left)
    }

    pub fn at_y(&self, value: f64) -> f64 {
        self.bottom - (value - self.y[0]) / (self.y[1] - self.y[0]) * (self.bottom - self.top)
    }

    /// The unit square.
    pub fn unit() -> Self {
        Self {
            left: LEFT,
            right: WIDTH - RIGHT,
            top: 12.0,
            bottom: HEIGHT - BOTTOM,
            x: [0.0, 1.0],
            y: [0.0, 1.0],
        }
    }
}

/// What the sides of a chart are.
pub struct Axes {
    pub x: &'static str,
    pub y: &'static str,
    /// Places from 0 to 1 and what stands there; `None`: the places themselves.
    pub x_ticks: Option<Vec<(f64, String)>>,
}

impl Axes {
    pub const fn of(x: &'static str, y: &'static str) -> Self {
        Self {
            x,
            y,
            x_ticks: None,
        }
    }
}

pub static ROC: Axes = Axes::of("false-positive rate", "true-positive rate");
pub static PRECISION_RECALL: Axes = Axes::of("recall", "precision");
pub static OVERLAP: Axes = Axes::of(
    "false-positive rate of pixels",
    "mean overlap of regions (PRO)",
);

/// Curves that are told apart by colour: classes of the style.
pub const COLOURS: [&str; 8] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];

/// Curves in the unit square with what belongs to them.
pub struct CurveChart<'a> {
    /// What somebody hears who does not see it.
    pub spoken: &'a str,
    pub axes: &'a Axes,
    /// As many as there are colours; the area below a single one is shaded.
    pub curves: &'a [&'a [[f64; 2]]],
    /// Dashed: what scores that know nothing would give.
    pub chance: Option<[[f64; 2]; 2]>,
    /// Where the threshold is.
    pub here: Option<[f64; 2]>,
    /// Up to which x the area below counts.
    pub limit: f64,
}

impl<'a> CurveChart<'a> {
    pub fn of(spoken: &'a str, axes: &'a Axes, curves: &'a [&'a [[f64; 2]]]) -> Self {
        Self {
            spoken,
            axes,
            curves,
            chance: None,
            here: None,
            limit: 1.0,
        }
    }

    pub fn draw(&self) -> Html {
        let frame = Frame::unit();
        let mut svg = begin(self.spoken);
        let ticks = number::ticks(0.0, 1.0, 5);
        let label = |tick: f64| number::tick(tick, 0.2);
        match &self.axes.x_ticks {
            None => x_axis(&mut svg, &frame, &ticks, label, self.axes.x),
            Some(named) => {
                let places: Vec<f64> = named.iter().map(|(place, _)| *place).collect();
                let name = |place: f64| {
                    let found = named.iter().find(|(tick, _)| *tick == place);
                    found.map_or_else(String::new, |(_, name)| name.clone())
                };
                x_axis(&mut svg, &frame, &places, name, self.axes.x);
            }
        }
        y_axis(&mut svg, &frame, &ticks, label);
        y_title(&mut svg, frame.top, frame.bottom, self.axes.y);
        if let [single] = self.curves {
            self.area(&mut svg, &frame, single);
        }
        if let Some([from, to]) = self.chance {
            svg.markup("<path class=\"chance\" d=\"");
            path(&mut svg, &frame, &[from, to]);
            svg.markup("\"/>");
        }
        if self.limit < 1.0 {
            upright(
                &mut svg,
                frame.at_x(self.limit),
                frame.top,
                frame.bottom,
                "limit",
            );
        }
        // The first lies above the others.
        for (points, colour) in self.curves.iter().zip(COLOURS).rev() {
            svg.markup("<path class=\"curve ").markup(colour);
            svg.markup("\" d=\"");
            path(&mut svg, &frame, points);
            svg.markup("\"/>");
        }
        if let Some([x, y]) = self.here {
            svg.markup("<circle class=\"here\" r=\"4.5\" cx=\"")
                .at(frame.at_x(x));
            svg.markup("\" cy=\"").at(frame.at_y(y)).markup("\"/>");
        }
        svg.markup("</svg>");
        svg
    }

    /// The area below, up to the limit.
    fn area(&self, svg: &mut Html, frame: &Frame, curve: &[[f64; 2]]) {
        let mut points: Vec<[f64; 2]> = Vec::with_capacity(curve.len() + 2);
        for pair in curve.windows(2) {
            let [from, to] = [pair[0], pair[1]];
            if points.is_empty() {
                points.push([from[0], 0.0]);
                points.push(from);
            }
            if to[0] > self.limit {
                let share = (self.limit - from[0]) / (to[0] - from[0]);
                points.push([self.limit, from[1] + share * (to[1] - from[1])]);
                break;
            }
            points.push(to);
        }
        if let Some([x, _]) = points.last().copied() {
            points.push([x, 0.0]);
            svg.markup("<path class=\"area\" d=\"");
            path(svg, frame, &points);
            svg.markup("Z\"/>");
        }
    }
}

/// The scores of each class, one above the other, and the threshold through all.
pub fn histogram(histogram: &Histogram, spoken: &str, threshold: Option<f64>) -> Html {
    let mut svg = begin(spoken);
    let (top, bottom) = (24.0, HEIGHT - BOTTOM);
    let x = [histogram.low, histogram.high()];
    let panel = |top: f64, bottom: f64, counts: &[u64]| {
        let total: u64 = counts.iter().sum();
        let most = counts.iter().copied().max().unwrap_or(0);
        let high = if total == 0 {
            1.0
        } else {
            most as f64 / total as f64
        };
        Frame {
            left: LEFT,
            right: WIDTH - RIGHT,
            top,
            bottom,
            x,
            // The highest bar stays below the class's name.
            y: [0.0, high * 1.3],
        }
    };
    let classes = histogram.classes();
    let height = (bottom - top + BETWEEN) / classes.len() as f64 - BETWEEN;
    let panels: Vec<_> = classes
        .into_iter()
        .enumerate()
        .map(|(at, (truth, counts))| {
            let top = top + at as f64 * (height + BETWEEN);
            (panel(top, top + height, counts), truth, counts)
        })
        .collect();
    let ticks = number::ticks(x[0], x[1], 5);
    let step = match ticks.as_slice() {
        [first, second, ..] => second - first,
        _ => 1.0,
    };
    for (frame, truth, counts) in &panels {
        let ticks = number::ticks(0.0, frame.y[1], 2);
        let step = ticks.get(1).copied().unwrap_or(1.0);
        // The base line is zero by itself, and between the parts there is no room for two numbers.
        let is_empty = counts.iter().all(|count| *count == 0);
        let ticks: Vec<f64> = ticks
            .into_iter()
            .filter(|tick| *tick > 0.0 && !is_empty)
            .collect();
        y_axis(&mut svg, frame, &ticks, |value| {
            format!("{} %", number::tick(100.0 * value, 100.0 * step))
        });
        bars(&mut svg, frame, histogram, counts, *truth);
    }
    let label = |tick: f64| number::tick(tick, step);
    let lowest = panel(bottom - height, bottom, &[]);
    x_axis(&mut svg, &lowest, &ticks, label, "image score");
    for (frame, ..) in panels.iter().rev().skip(1) {
        base(&mut svg, frame);
    }
    let title = match panels.len() {
        1 => "share of the images",
        _ => "share of the class",
    };
    y_title(&mut svg, top, bottom, title);
    for (frame, truth, counts) in &panels {
        let name = match truth {
            Truth::Unknown => "without label",
            truth => truth.word(),
        };
        svg.markup("<text class=\"name ")
            .markup(truth.word())
            .markup("\" text-anchor=\"end\" x=\"");
        svg.at(frame.right - 2.0)
            .markup("\" y=\"")
            .at(frame.top + 11.0)
            .markup("\">");
        svg.markup(name)
            .markup(", ")
            .text(&number::count(counts.iter().sum()))
            .markup("</text>");
    }
    if let Some(threshold) = threshold {
        let place = lowest.at_x(threshold);
        upright(&mut svg, place, top - 8.0, bottom, "cut");
        // Beside the line, on the side that has room.
        let (anchor, beside) = if place < WIDTH / 2.0 {
            ("start", place + 4.0)
        } else {
            ("end", place - 4.0)
        };
        svg.markup("<text class=\"cut-name\" text-anchor=\"")
            .markup(anchor)
            .markup("\" x=\"");
        svg.at(beside)
            .markup("\" y=\"")
            .at(top - 10.0)
            .markup("\">threshold ");
        svg.text(&number::score(threshold)).markup("</text>");
    }
    svg.markup("</svg>");
    svg
}

/// Bars on the wrong side of the threshold are stronger.
fn bars(svg: &mut Html, frame: &Frame, histogram: &Histogram, counts: &[u64], truth: Truth) {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let wrong = |at: usize| match (histogram.decided_from, truth) {
        (Some(edge), Truth::Normal) => at >= edge,
        (Some(edge), Truth::Anomalous) => at < edge,
        (None, _) | (_, Truth::Unknown) => false,
    };
    for (strength, is_strong) in [("", false), (" wrong", true)] {
        let mut shapes = Html::new();
        for (at, count) in counts.iter().enumerate() {
            if *count == 0 || wrong(at) != is_strong {
                continue;
            }
            let left = frame.at_x(histogram.low + at as f64 * histogram.width);
            let right = frame.at_x(histogram.low + (at + 1) as f64 * histogram.width);
            // One image among a million is seen, too.
            let top = frame.at_y(*count as f64 / total).min(frame.bottom - 1.0);
            shapes
                .markup("M")
                .at(left + 0.5)
                .markup(" ")
                .at(frame.bottom);
            shapes.markup("V").at(top).markup("H").at(right - 0.5);
            shapes.markup("V").at(frame.bottom).markup("Z");
        }
        if shapes.len() > 0 {
            svg.markup("<path class=\"bar ")
                .markup(truth.word())
                .markup(strength)
                .markup("\" d=\"");
            svg.push(&shapes).markup("\"/>");
        }
    }
}

pub fn begin(spoken: &str) -> Html {
    begin_sized(WIDTH, HEIGHT, spoken)
}

pub fn begin_sized(width: f64, height: f64, spoken: &str) -> Html {
    let mut svg = Html::new();
    svg.markup("<svg role=\"img\" viewBox=\"0 0 ")
        .at(width)
        .markup(" ")
        .at(height);
    svg.markup("\" aria-label=\"").text(spoken).markup("\">");
    svg
}

pub fn path(svg: &mut Html, frame: &Frame, points: &[[f64; 2]]) {
    for (at, [x, y]) in points.iter().enumerate() {
        svg.markup(if at == 0 { "M" } else { "L" });
        svg.at(frame.at_x(*x)).markup(" ").at(frame.at_y(*y));
    }
}

fn upright(svg: &mut Html, x: f64, top: f64, bottom: f64, class: &'static str) {
    svg.markup("<path class=\"")
        .markup(class)
        .markup("\" d=\"M")
        .at(x)
        .markup(" ")
        .at(top);
    svg.markup("V").at(bottom).markup("\"/>");
}

fn base(svg: &mut Html, frame: &Frame) {
    svg.markup("<path class=\"axis\" d=\"M")
        .at(frame.left)
        .markup(" ")
        .at(frame.bottom);
    svg.markup("H").at(frame.right).markup("\"/>");
}

pub fn x_axis(
    svg: &mut Html,
    frame: &Frame,
    ticks: &[f64],
    label: impl Fn(f64) -> String,
    title: &'static str,
) {
    base(svg, frame);
    for tick in ticks {
        let x = frame.at_x(*tick);
        svg.markup("<path class=\"axis\" d=\"M")
            .at(x)
            .markup(" ")
            .at(frame.bottom);
        svg.markup("v4\"/><text text-anchor=\"middle\" x=\"").at(x);
        svg.markup("\" y=\"").at(frame.bottom + 16.0).markup("\">");
        svg.text(&label(*tick)).markup("</text>");
    }
    svg.markup("<text class=\"title\" text-anchor=\"middle\" x=\"");
    svg.at((frame.left + frame.right) / 2.0);
    svg.markup("\" y=\"")
        .at(HEIGHT - 6.0)
        .markup("\">")
        .markup(title)
        .markup("</text>");
}

/// With a line across at each tick.
pub fn y_axis(svg: &mut Html, frame: &Frame, ticks: &[f64], label: impl Fn(f64) -> String) {
    for tick in ticks {
        let y = frame.at_y(*tick);
        svg.markup("<path class=\"grid\" d=\"M")
            .at(frame.left)
            .markup(" ")
            .at(y);
        svg.markup("H")
            .at(frame.right)
            .markup("\"/><text text-anchor=\"end\" x=\"");
        svg.at(frame.left - 5.0)
            .markup("\" y=\"")
            .at(y + 3.5)
            .markup("\">");
        svg.text(&label(*tick)).markup("</text>");
    }
}

fn y_title(svg: &mut Html, top: f64, bottom: f64, title: &'static str) {
    let middle = (top + bottom) / 2.0;
    svg.markup("<text class=\"title\" text-anchor=\"middle\" transform=\"translate(10 ");
    svg.at(middle)
        .markup(") rotate(-90)\">")
        .markup(title)
        .markup("</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[[f64; 2]], limit: f64) -> String {
        CurveChart {
            here: Some([0.5, 0.5]),
            limit,
            ..CurveChart::of("a <curve>", &ROC, &[points])
        }
        .draw()
        .into_string()
    }

    #[test]
    fn corners_of_the_square_are_corners_of_the_frame() {
        let svg = chart(&[[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 1.0);
        assert!(
            svg.contains("class=\"curve c0\" d=\"M46 240L46 12L308 12\""),
            "{svg}"
        );
        assert!(svg.contains("cx=\"177\" cy=\"126\""), "{svg}");
        assert!(svg.contains("aria-label=\"a &lt;curve&gt;\""), "{svg}");
        assert!(!svg.contains("class=\"limit\""), "{svg}");
    }

    #[test]
    fn several_curves_have_colours_and_no_area_and_ticks_have_names() {
        let axes = Axes {
            x_ticks: Some(vec![(0.5, "<half>".to_owned())]),
            ..Axes::of("x", "y")
        };
        let line = [[0.0, 0.0], [1.0, 1.0]];
        let svg = CurveChart::of("two", &axes, &[&line, &line]).draw();
        let svg = svg.into_string();
        assert!(!svg.contains("class=\"area\""), "{svg}");
        assert!(svg.contains("curve c0\"") && svg.contains("curve c1\""));
        assert!(
            svg.contains("x=\"177\" y=\"256\">&lt;half&gt;</text>"),
            "{svg}"
        );
    }

    #[test]
    fn an_area_ends_at_its_limit_between_two_points() {
        let svg = chart(&[[0.0, 0.0], [1.0, 1.0]], 0.5);
        assert!(
            svg.contains("class=\"area\" d=\"M46 240L46 240L177 126L177 240Z\""),
            "{svg}"
        );
        assert!(svg.contains("class=\"limit\" d=\"M177 12V240\""), "{svg}");
    }
}

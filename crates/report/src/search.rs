//! The section of a search: how the best came about, what each trial tried, and which parameters mattered.

use crate::chart::{self, Frame};
use crate::html::Html;
use crate::number;

/// A search with its trials in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Search {
    /// Such as `image_AUROC`, with the split that it is measured on.
    pub objective: String,
    /// Whether more of it is better.
    pub maximize: bool,
    /// Names of what is searched.
    pub parameters: Vec<String>,
    pub trials: Vec<Trial>,
    /// Place of the best among the trials.
    pub best: Option<usize>,
    /// What it tried, and what it came to, in a line.
    pub found: String,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trial {
    /// `None`: it failed.
    pub value: Option<f64>,
    /// One of each parameter; `None` where it does not count.
    pub settings: Vec<Option<Setting>>,
}

/// What a trial has for a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Along its axis, 0 to 1.
    pub place: f64,
    pub name: String,
}

/// Lines that can be told apart, and what keeps the file small.
const MOST_LINES: usize = 500;
/// Axes that have room beside each other.
const MOST_AXES: usize = 9;
/// Values that stand beside an axis.
const MOST_NAMES: usize = 8;
/// Letters of such a value, their mean width and the height of a line, in the drawing's units.
const MOST_LETTERS: usize = 34;
const LETTER: f64 = 6.0;
const LINE: f64 = 12.0;
/// Groups that the values of a range are cut into, to see whether it matters.
const GROUPS: usize = 4;

impl Search {
    pub fn section(&self) -> Html {
        let mut html = Html::new();
        html.markup("<section class=\"search\"><h2>Search</h2><p>");
        html.cut(&self.found, 1_000)
            .markup("</p><div class=\"charts\">");
        self.history(&mut html);
        self.importance(&mut html);
        html.markup("</div>");
        self.parallel(&mut html);
        html.markup("</section>");
        html
    }

    fn values(&self) -> impl Iterator<Item = (usize, f64)> {
        let trials = self.trials.iter().enumerate();
        trials.filter_map(|(index, trial)| Some((index, trial.value?)))
    }

    /// The least and the greatest value, a bit apart.
    fn ends(&self) -> Option<[f64; 2]> {
        let low = self
            .values()
            .map(|(_, value)| value)
            .fold(f64::INFINITY, f64::min);
        let high = self
            .values()
            .map(|(_, value)| value)
            .fold(f64::NEG_INFINITY, f64::max);
        let room = match high - low {
            span if span > 0.0 => 0.04 * span,
            _ => 0.5 * low.abs().max(1e-3),
        };
        (low <= high).then_some([low - room, high + room])
    }

    fn history(&self, html: &mut Html) {
        html.markup("<figure><h4>History <small>")
            .cut(&self.objective, 80)
            .markup("</small></h4>");
        let Some(y) = self.ends() else {
            html.markup("<p>No trial came to a value.</p></figure>");
            return;
        };
        let last = self.trials.len().saturating_sub(1).max(1) as f64;
        let frame = Frame {
            x: [0.0, last],
            y,
            ..Frame::unit()
        };
        let mut svg = chart::begin("Value of each trial in order, and the best so far");
        let ticks = number::ticks(y[0], y[1], 5);
        let step = step_of(&ticks);
        chart::y_axis(&mut svg, &frame, &ticks, |tick| number::tick(tick, step));
        let whole: Vec<f64> = number::ticks(0.0, last, 5)
            .into_iter()
            .filter(|tick| tick.fract() == 0.0)
            .collect();
        chart::x_axis(
            &mut svg,
            &frame,
            &whole,
            |tick| number::count(tick as u64),
            "trial",
        );
        let mut line: Vec<[f64; 2]> = Vec::new();
        for (index, value) in self.values() {
            let best = line.last().map(|last| last[1]);
            let is_better = best.is_none_or(|best| {
                if self.maximize {
                    value > best
                } else {
                    value < best
                }
            });
            if is_better {
                line.extend(best.map(|best| [index as f64, best]));
                line.push([index as f64, value]);
            }
        }
        line.extend(line.last().map(|end| [last, end[1]]));
        svg.markup("<path class=\"curve c0\" d=\"");
        chart::path(&mut svg, &frame, &line);
        svg.markup("\"/>");
        for (index, value) in self.values().take(4 * MOST_LINES) {
            svg.markup("<circle class=\"trial\" r=\"2.5\" cx=\"")
                .at(frame.at_x(index as f64));
            svg.markup("\" cy=\"").at(frame.at_y(value)).markup("\"/>");
        }
        if let Some((index, value)) = self
            .best
            .and_then(|best| Some((best, self.trials.get(best)?.value?)))
        {
            svg.markup("<circle class=\"here\" r=\"4.5\" cx=\"")
                .at(frame.at_x(index as f64));
            svg.markup("\" cy=\"").at(frame.at_y(value)).markup("\"/>");
        }
        svg.markup("</svg>");
        html.push(&svg)
            .markup("<figcaption>Dots: trials. Line: the best so far.");
        let failed = self
            .trials
            .iter()
            .filter(|trial| trial.value.is_none())
            .count();
        if failed > 0 {
            html.markup(" Without a value: ")
                .text(&number::counted(failed as u64, "trial"))
                .markup(".");
        }
        html.markup("</figcaption></figure>");
    }

    fn importance(&self, html: &mut Html) {
        html.markup("<figure><h4>What mattered <small>share of the spread of values</small></h4>");
        let mut shares: Vec<(f64, &str)> = self
            .parameters
            .iter()
            .enumerate()
            .filter_map(|(index, name)| Some((self.share(index)?, name.as_str())))
            .collect();
        if shares.is_empty() {
            html.markup("<p>Too few values to tell.</p></figure>");
            return;
        }
        shares.sort_by(|a, b| b.0.total_cmp(&a.0));
        shares.truncate(MOST_AXES);
        let frame = Frame::unit();
        let mut svg =
            chart::begin("How much of the spread of values each parameter explains by itself");
        let height = (frame.bottom - frame.top) / shares.len().max(4) as f64;
        for (at, (share, name)) in shares.iter().enumerate() {
            let top = frame.top + at as f64 * height;
            svg.markup("<text class=\"start\" x=\"")
                .at(frame.left)
                .markup("\" y=\"")
                .at(top + 0.42 * height)
                .markup("\">");
            svg.cut(name, 40)
                .markup(" ")
                .text(&number::percent(*share))
                .markup("</text><rect class=\"share\" x=\"");
            svg.at(frame.left)
                .markup("\" y=\"")
                .at(top + 0.52 * height)
                .markup("\" height=\"")
                .at(0.3 * height);
            svg.markup("\" width=\"")
                .at((frame.right - frame.left) * share.clamp(0.004, 1.0))
                .markup("\"/>");
        }
        svg.markup("</svg>");
        html.push(&svg);
        html.markup("<figcaption>Share of the variance of values that lies between groups of trials with the same value of a parameter (of a range: a quarter of the trials each). Parameters that act together share it.</figcaption></figure>");
    }

    /// Variance between groups over all variance, less what so many groups explain by chance (epsilon squared); `None`: there is
    /// none, one group only, or a group for each trial.
    fn share(&self, parameter: usize) -> Option<f64> {
        let mut placed: Vec<(f64, f64)> = self
            .trials
            .iter()
            .filter_map(|trial| {
                let place = trial
                    .settings
                    .get(parameter)?
                    .as_ref()
                    .map_or(-1.0, |setting| setting.place);
                Some((place, trial.value?))
            })
            .collect();
        placed.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut groups: Vec<Vec<f64>> = Vec::new();
        let mut distinct: Vec<f64> = placed.iter().map(|(place, _)| *place).collect();
        distinct.dedup();
        if distinct.len() < 2 || placed.len() < 4 {
            return None;
        }
        if distinct.len() <= MOST_NAMES {
            for place in distinct {
                let same = placed.iter().filter(|(other, _)| *other == place);
                groups.push(same.map(|(_, value)| *value).collect());
            }
        } else {
            let size = placed.len().div_ceil(GROUPS);
            groups.extend(
                placed
                    .chunks(size)
                    .map(|part| part.iter().map(|(_, value)| *value).collect()),
            );
        }
        let all = placed.len() as f64;
        let mean = placed.iter().map(|(_, value)| value).sum::<f64>() / all;
        let total: f64 = placed
            .iter()
            .map(|(_, value)| (value - mean) * (value - mean))
            .sum();
        let between: f64 = groups
            .iter()
            .map(|group| {
                let own = group.iter().sum::<f64>() / group.len() as f64;
                group.len() as f64 * (own - mean) * (own - mean)
            })
            .sum();
        let free = all - groups.len() as f64;
        (total > 0.0 && free > 0.0).then(|| {
            let unexplained = (total - between) / total * (all - 1.0) / free;
            (1.0 - unexplained).max(0.0)
        })
    }

    /// A line for each trial through what it tried to what it came to.
    fn parallel(&self, html: &mut Html) {
        let Some(y) = self.ends() else { return };
        let axes = self.parameters.len().min(MOST_AXES);
        let names: Vec<Vec<(f64, String)>> = (0..=axes)
            .map(|axis| match axis < axes {
                true => self.names(axis),
                false => value_names(y),
            })
            .collect();
        // Names stand left of their axis: so much room the longest takes.
        let room = |axis: usize| {
            let lengths = names[axis].iter().map(|(_, name)| name.chars().count());
            let longest = lengths.max().unwrap_or(0).min(MOST_LETTERS);
            LETTER * longest as f64 + 14.0
        };
        let mut places = vec![room(0).max(50.0)];
        for axis in 1..=axes {
            let apart = (600.0 / axes as f64).max(150.0);
            places.push(places[axis - 1] + (room(axis) + 50.0).max(apart));
        }
        let width = places[axes] + 60.0;
        let (top, bottom) = (30.0, 250.0);
        let at_x = |axis: usize| places[axis];
        let at_y = |place: f64| bottom - place * (bottom - top);
        let share = |value: f64| (value - y[0]) / (y[1] - y[0]);
        let mut svg = chart::begin_sized(
            width,
            270.0,
            "What each trial tried and what it came to, a line each",
        );
        let mut lines: Vec<(f64, usize)> = self
            .values()
            .map(|(index, value)| (share(value), index))
            .collect();
        // The best are drawn last, and stay when there are too many.
        lines.sort_by(|a, b| {
            if self.maximize {
                a.0.total_cmp(&b.0)
            } else {
                b.0.total_cmp(&a.0)
            }
        });
        let first = lines.len().saturating_sub(MOST_LINES);
        let shown = &lines[first..];
        for (rank, (value, index)) in shown.iter().enumerate() {
            let quarter = (4 * rank / shown.len().max(1)).min(3);
            let class = match (self.best == Some(*index), quarter) {
                (true, _) => "line best",
                (_, 3) => "line q3",
                (_, 2) => "line q2",
                _ => "line",
            };
            svg.markup("<path class=\"").markup(class).markup("\" d=\"");
            let mut next = "M";
            for axis in 0..axes {
                let setting = self.trials[*index]
                    .settings
                    .get(axis)
                    .and_then(Option::as_ref);
                if let Some(setting) = setting {
                    svg.markup(next)
                        .at(at_x(axis))
                        .markup(" ")
                        .at(at_y(setting.place));
                    next = "L";
                }
            }
            svg.markup(next)
                .at(at_x(axes))
                .markup(" ")
                .at(at_y(*value))
                .markup("\"/>");
        }
        for (axis, named) in names.iter().enumerate() {
            let name = self
                .parameters
                .get(axis)
                .filter(|_| axis < axes)
                .unwrap_or(&self.objective);
            svg.markup("<path class=\"axis\" d=\"M")
                .at(at_x(axis))
                .markup(" ")
                .at(top)
                .markup("V")
                .at(bottom)
                .markup("\"/><text class=\"title\" text-anchor=\"middle\" x=\"");
            svg.at(at_x(axis))
                .markup("\" y=\"")
                .at(top - 12.0)
                .markup("\">")
                .cut(name, 24)
                .markup("</text>");
            // From the top: a name that would stand on another one is left out.
            let mut free = f64::NEG_INFINITY;
            for (place, name) in named.iter().rev() {
                let at = at_y(*place) + 3.5;
                if at < free {
                    continue;
                }
                free = at + LINE;
                svg.markup("<text class=\"end\" text-anchor=\"end\" x=\"")
                    .at(at_x(axis) - 5.0)
                    .markup("\" y=\"")
                    .at(at);
                svg.markup("\">").cut(name, MOST_LETTERS).markup("</text>");
            }
        }
        svg.markup("</svg>");
        html.markup("<figure class=\"parallel\"><h4>Parallel coordinates <small>each trial a line, the better the stronger</small></h4><div class=\"wide\">");
        html.push(&svg).markup("</div>");
        if first > 0 || axes < self.parameters.len() {
            html.markup("<figcaption>Left out to keep it readable: ");
            html.text(&number::counted(first as u64, "trial"))
                .markup(", ");
            html.text(&number::counted(
                (self.parameters.len() - axes) as u64,
                "parameter",
            ))
            .markup(".</figcaption>");
        }
        html.markup("</figure>");
    }

    /// What stands beside an axis: every value, or the ends of what was tried.
    fn names(&self, axis: usize) -> Vec<(f64, String)> {
        let settings = self
            .trials
            .iter()
            .filter_map(|trial| trial.settings.get(axis)?.as_ref());
        let mut names: Vec<(f64, String)> = settings
            .map(|setting| (setting.place, setting.name.clone()))
            .collect();
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        names.dedup_by(|a, b| a.0 == b.0);
        if names.len() > MOST_NAMES {
            let (first, last) = (names[0].clone(), names[names.len() - 1].clone());
            names = vec![first, last];
        }
        names
    }
}

fn step_of(ticks: &[f64]) -> f64 {
    match ticks {
        [first, second, ..] => second - first,
        _ => 0.001,
    }
}

fn value_names(y: [f64; 2]) -> Vec<(f64, String)> {
    let ticks = number::ticks(y[0], y[1], 5);
    let step = step_of(&ticks);
    let name = |tick: f64| ((tick - y[0]) / (y[1] - y[0]), number::tick(tick, step));
    ticks.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(values: &[Option<f64>]) -> Search {
        let trial = |(index, value): (usize, &Option<f64>)| Trial {
            value: *value,
            settings: vec![
                Some(Setting {
                    place: (index % 2) as f64,
                    name: format!("<{}>", index % 2),
                }),
                None,
            ],
        };
        Search {
            objective: "image_AUROC".to_owned(),
            maximize: true,
            parameters: vec!["backbone".to_owned(), "rate".to_owned()],
            trials: values.iter().enumerate().map(trial).collect(),
            best: Some(1),
            found: "found".to_owned(),
        }
    }

    #[test]
    fn what_tells_good_from_bad_has_the_whole_share() {
        let search = search(&[Some(0.1), Some(0.9), Some(0.1), Some(0.9), None]);
        assert!((search.share(0).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(search.share(1), None, "it never counts");
    }

    #[test]
    fn a_section_has_its_drawings_and_no_markup_of_others() {
        let html = search(&[Some(0.1), Some(0.9), Some(0.2), Some(0.8), None])
            .section()
            .into_string();
        for part in [
            "History",
            "What mattered",
            "Parallel coordinates",
            "&lt;1&gt;",
            "1 trial.",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("<1>"));
    }

    #[test]
    fn a_search_without_any_value_says_so() {
        let html = search(&[None, None]).section().into_string();
        assert!(html.contains("No trial came to a value"), "{html}");
        assert!(!html.contains("NaN"), "{html}");
    }
}

//! Tree-structured Parzen estimator (Bergstra and others 2011): points are drawn like the good ones so far, and the one is taken
//! that is most like them and least like the others. Kernels are products over all dimensions, so that what goes together stays
//! together.

use crate::{
    Domain, Point, Search, Space,
    history::{History, Seen},
    random::Draws,
};

/// Trials before there is enough to learn from.
const OPENING: usize = 10;
/// Points drawn for each suggestion.
const CANDIDATES: usize = 24;
/// One in so many of the settled trials counts as good, and no more than this.
const GOOD_ONE_IN: usize = 10;
const MOST_GOOD: usize = 25;
/// Of the others the last ones: what a suggestion costs stays the same however long the search.
const MOST_OTHERS: usize = 400;
/// Weight of the prior of values, in observations.
const PRIOR: f64 = 1.0;
/// How wide a kernel is, in deviations of what was observed, of one observation; it falls with the fourth root of their number
/// (Scott's rule has 1.06 and the fifth). Measured on the functions of `make bench ONLY=hpo`, as is the next.
const WIDTH: f64 = 0.7;
/// No kernel is narrower than the unit interval cut into so many parts for each observation, nor than a hundredth of it.
const PARTS: f64 = 5.0;

pub(crate) fn suggest(search: &Search, history: &History<'_>, n: usize) -> Point {
    if history.settled.len() < OPENING.min(search.trials as usize / 2).max(1) {
        return search.opening(n);
    }
    let space = &search.space;
    let ranked = history.ranked();
    let good = ranked.len().div_ceil(GOOD_ONE_IN).min(MOST_GOOD);
    let (good, others) = ranked.split_at(good);
    let good = Mixture::new(space, good.iter().map(|seen| seen.point));
    let others = Mixture::new(space, latest(others, &history.pending));
    let mut draws = Draws::new(search.seed, n as u64);
    let known = history.known();
    let mut best: Option<(bool, f64, Point)> = None;
    for _ in 0..CANDIDATES {
        let candidate = good.draw(&mut draws);
        let gain = good.log_density(&candidate) - others.log_density(&candidate);
        let is_new = !known.contains(&candidate);
        let better = best
            .as_ref()
            .is_none_or(|(was_new, most, _)| (is_new, gain) > (*was_new, *most));
        if better {
            best = Some((is_new, gain, candidate));
        }
    }
    match best {
        Some((true, _, point)) => point,
        // What is near the good ones has been tried.
        _ => unknown(search, &mut draws, &known),
    }
}

/// A point that was not tried, if one is found by chance.
fn unknown(search: &Search, draws: &mut Draws, known: &std::collections::HashSet<&Point>) -> Point {
    let mut draw = || search.space.point(|_, domain| domain.place(draws.unit()));
    let mut point = draw();
    for _ in 0..CANDIDATES {
        if !known.contains(&point) {
            break;
        }
        point = draw();
    }
    point
}

/// The latest of the trials that are not good; pending ones count among them, so that nobody goes where others are already.
fn latest<'a>(others: &[Seen<'a>], pending: &[&'a Point]) -> Vec<&'a Point> {
    let mut others: Vec<&Seen<'_>> = others.iter().collect();
    others.sort_by_key(|seen| seen.index);
    let first = others.len().saturating_sub(MOST_OTHERS);
    let settled = others[first..].iter().map(|seen| seen.point);
    settled.chain(pending.iter().copied()).collect()
}

/// A density over points: the mean of one kernel at each observation and one that knows nothing.
struct Mixture<'a> {
    space: &'a Space,
    observed: Vec<&'a Point>,
    /// Of each dimension.
    kernels: Vec<Kernels>,
}

enum Kernels {
    /// Each observation's place has this much more than the prior.
    Values { choices: usize },
    /// A normal distribution within the unit interval at each observation that has the dimension.
    Numbers { normals: Vec<Option<Normal>> },
}

#[derive(Clone, Copy)]
struct Normal {
    mean: f64,
    deviation: f64,
    /// Logarithm of what the density is multiplied by.
    log_scale: f64,
}

impl<'a> Mixture<'a> {
    fn new(space: &'a Space, observed: impl IntoIterator<Item = &'a Point>) -> Self {
        let observed: Vec<&Point> = observed.into_iter().collect();
        let kernels = space.dimensions.iter().enumerate();
        let kernels = kernels.map(|(index, dimension)| match dimension.domain.choices() {
            Some(choices) => Kernels::Values { choices },
            None => Kernels::Numbers {
                normals: normals(&dimension.domain, index, &observed),
            },
        });
        Self {
            space,
            kernels: kernels.collect(),
            observed,
        }
    }

    fn draw(&self, draws: &mut Draws) -> Point {
        // The last one is the prior.
        let component = draws.below(self.observed.len() + 1);
        self.space.point(|index, domain| {
            let at = self
                .observed
                .get(component)
                .and_then(|point| point.0[index]);
            match (&self.kernels[index], at) {
                (Kernels::Values { choices }, Some(at)) => {
                    let own = draws.unit() * (1.0 + PRIOR) >= PRIOR;
                    if own {
                        at
                    } else {
                        draws.below(*choices) as u32
                    }
                }
                (Kernels::Numbers { normals }, Some(_)) => {
                    let normal = normals.get(component).copied().flatten();
                    domain.place(match normal {
                        Some(normal) => normal.draw(draws),
                        None => draws.unit(),
                    })
                }
                (_, None) => domain.place(draws.unit()),
            }
        })
    }

    fn log_density(&self, point: &Point) -> f64 {
        let units: Vec<Option<f64>> = self
            .space
            .dimensions
            .iter()
            .zip(&point.0)
            .map(|(dimension, place)| Some(dimension.domain.unit((*place)?)))
            .collect();
        let of_component = |component: usize| -> f64 {
            let dimensions = self.kernels.iter().zip(&point.0).zip(&units).enumerate();
            dimensions
                .map(|(index, ((kernels, place), unit))| {
                    let (Some(place), Some(unit)) = (place, unit) else {
                        return 0.0;
                    };
                    match kernels {
                        Kernels::Values { choices } => {
                            let observed = self.observed.get(component);
                            let at = observed.and_then(|point| point.0[index]);
                            // Relative to the uniform one.
                            match at {
                                Some(at) => {
                                    let own = if at == *place { *choices as f64 } else { 0.0 };
                                    libm::log((own + PRIOR) / (1.0 + PRIOR))
                                }
                                None => 0.0,
                            }
                        }
                        Kernels::Numbers { normals } => match normals.get(component) {
                            Some(Some(normal)) => normal.log_density(*unit),
                            _ => 0.0,
                        },
                    }
                })
                .sum()
        };
        let logs: Vec<f64> = (0..=self.observed.len()).map(of_component).collect();
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|log| libm::exp(log - most)).sum();
        most + libm::log(sum / logs.len() as f64)
    }
}

/// All of a dimension as wide as the spread of what was observed: where good ones lie close together, candidates are drawn close to them.
fn normals(domain: &Domain, index: usize, observed: &[&Point]) -> Vec<Option<Normal>> {
    let units: Vec<Option<f64>> = observed
        .iter()
        .map(|point| Some(domain.unit(point.0[index]?)))
        .collect();
    let known = || units.iter().flatten();
    let count = known().count().max(1) as f64;
    let mean = known().sum::<f64>() / count;
    let variance = known()
        .map(|unit| (unit - mean) * (unit - mean))
        .sum::<f64>()
        / count;
    let wide = WIDTH * libm::sqrt(variance) * libm::pow(count, -0.25);
    let narrowest = 1.0 / (1.0 + PARTS * count).min(100.0);
    let deviation = wide.max(narrowest);
    let normal = |unit: f64| Normal::new(unit, deviation);
    units.into_iter().map(|unit| unit.map(normal)).collect()
}

impl Normal {
    fn new(mean: f64, deviation: f64) -> Self {
        let below = |x: f64| 0.5 * libm::erfc((mean - x) / (deviation * std::f64::consts::SQRT_2));
        let inside = (below(1.0) - below(0.0)).max(1e-12);
        let log_scale = -libm::log(deviation * libm::sqrt(2.0 * std::f64::consts::PI) * inside);
        Self {
            mean,
            deviation,
            log_scale,
        }
    }

    fn draw(&self, draws: &mut Draws) -> f64 {
        // The mean lies inside, so that at least a quarter of them do.
        for _ in 0..64 {
            let unit = self.mean + self.deviation * draws.normal();
            if (0.0..=1.0).contains(&unit) {
                return unit;
            }
        }
        self.mean
    }

    fn log_density(&self, unit: f64) -> f64 {
        let apart = (unit - self.mean) / self.deviation;
        self.log_scale - 0.5 * apart * apart
    }
}

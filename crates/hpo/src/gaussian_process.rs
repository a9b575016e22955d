//! A Gaussian process over the points so far, and the point with the highest expected improvement (Jones and others 1998).
//!
//! The kernel is a Matérn 5/2 with a length for each dimension. Values differ or not; a dimension that counts for one point only
//! makes it differ. Lengths and noise are the most probable ones under weak priors; the process' own scale follows from them.

use crate::{
    Point, Search, Space,
    history::{History, Seen},
    linear::Cholesky,
    random::Draws,
};

/// Trials before there is enough to learn from.
const OPENING: usize = 10;
/// Points of the process: the best ones and the latest.
const MOST: usize = 200;
const BEST: usize = 60;
/// Points that lengths and noise are learned from.
const LEARNED_FROM: usize = 80;
/// Steps of learning, and how far the first goes.
const STEPS: usize = 40;
const STEP: f64 = 0.3;
/// Points that are looked at before the best of them are improved.
const CANDIDATES: usize = 600;
const IMPROVED: usize = 5;
const ROUNDS: usize = 50;
/// The prior of a length and of the noise, by their logarithms: mean and deviation.
const LENGTH: (f64, f64) = (-0.5, 1.0);
const NOISE: (f64, f64) = (-11.0, 2.0);
/// Less than this and matrices are not positive definite any more.
const LEAST_NOISE: f64 = 1e-7;

pub(crate) fn suggest(search: &Search, history: &History<'_>, n: usize) -> Point {
    if history.settled.len() < OPENING.min(search.trials as usize / 2).max(1) {
        return search.opening(n);
    }
    let space = &search.space;
    let observed = observed(space, history);
    let lengths = learn(&observed, space.len());
    let mut draws = Draws::new(search.seed, n as u64);
    let Some(process) = Process::new(&observed, &lengths) else {
        return search.opening(n);
    };
    let known = history.known();
    let best = history.ranked();
    let mut candidates: Vec<Point> = (0..CANDIDATES)
        .map(|_| space.point(|_, domain| domain.place(draws.unit())))
        .collect();
    for seen in best.iter().take(IMPROVED) {
        for wide in [0.2, 0.05, 0.01, 0.002] {
            let near = (0..12).map(|_| moved(space, seen.point, wide, &mut draws));
            candidates.extend(near);
        }
    }
    let mut rated: Vec<(f64, Point)> = candidates
        .into_iter()
        .filter(|point| !known.contains(point))
        .map(|point| (process.log_improvement(&place(space, &point)), point))
        .collect();
    rated.sort_by(|a, b| b.0.total_cmp(&a.0));
    rated.truncate(IMPROVED);
    let improved = rated.into_iter().map(|(mut most, mut point)| {
        let mut wide = 0.1;
        for _ in 0..ROUNDS {
            let other = moved(space, &point, wide, &mut draws);
            let gain = process.log_improvement(&place(space, &other));
            if gain > most && !known.contains(&other) {
                (most, point) = (gain, other);
                wide *= 1.5;
            } else {
                wide *= 0.88;
            }
        }
        (most, point)
    });
    let best = improved.max_by(|a, b| a.0.total_cmp(&b.0));
    // Every point may have been tried.
    best.map_or_else(|| search.opening(n), |(_, point)| point)
}

/// A point near this one: numbers move by a normal step, values change now and then.
fn moved(space: &Space, from: &Point, wide: f64, draws: &mut Draws) -> Point {
    let counts = from.0.iter().flatten().count().max(1);
    // One dimension for sure, the others by chance.
    let chosen = draws.below(counts);
    let mut seen = 0;
    space.point(|index, domain| {
        let Some(at) = from.0[index] else {
            return domain.place(draws.unit());
        };
        let moves = seen == chosen || draws.unit() < 0.5;
        seen += 1;
        match (moves, domain.choices()) {
            (false, _) => at,
            (true, Some(choices)) if draws.unit() < 0.3 => draws.below(choices) as u32,
            (true, Some(_)) => at,
            (true, None) => domain.place(domain.unit(at) + wide * draws.normal()),
        }
    })
}

/// Where a point lies along a dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    None,
    Value(u32),
    Number(f64),
}

impl Place {
    /// Square of the distance.
    fn apart(self, other: Self) -> f64 {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => (a - b) * (a - b),
            _ if self == other => 0.0,
            _ => 1.0,
        }
    }
}

fn place(space: &Space, point: &Point) -> Vec<Place> {
    let places = space.dimensions.iter().zip(&point.0);
    places
        .map(
            |(dimension, place)| match (place, dimension.domain.choices()) {
                (None, _) => Place::None,
                (Some(value), Some(_)) => Place::Value(*value),
                (Some(place), None) => Place::Number(dimension.domain.unit(*place)),
            },
        )
        .collect()
}

/// Points with their losses: mean 0, deviation 1.
struct Observed {
    places: Vec<Vec<Place>>,
    losses: Vec<f64>,
}

/// Of pending points nobody knows the loss: they count with the mean.
fn observed(space: &Space, history: &History<'_>) -> Observed {
    let ranked = history.ranked();
    let best = &ranked[..ranked.len().min(BEST)];
    let mut chosen: Vec<&Seen<'_>> = ranked[best.len()..].iter().collect();
    chosen.sort_by_key(|seen| seen.index);
    let room = MOST.saturating_sub(best.len() + history.pending.len());
    let latest = chosen.split_off(chosen.len().saturating_sub(room));
    let seen: Vec<&Seen<'_>> = best.iter().chain(latest).collect();
    let mut losses = standardized(&seen);
    let pending = history.pending.iter().copied();
    let points = seen.iter().map(|seen| seen.point).chain(pending);
    losses.resize(seen.len() + history.pending.len(), 0.0);
    Observed {
        places: points.map(|point| place(space, point)).collect(),
        losses,
    }
}

/// Losses far above the others say no more than that they are bad: what lies beyond twice the better half's spread is drawn in.
fn standardized(seen: &[&Seen<'_>]) -> Vec<f64> {
    let mut sorted: Vec<f64> = seen.iter().map(|seen| seen.loss).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2);
    let (Some(&least), Some(&middle)) = (sorted.first(), middle) else {
        return Vec::new();
    };
    let spread = (middle - least).max(f64::MIN_POSITIVE);
    let bounded = |loss: f64| {
        let apart = (loss - middle) / spread;
        if apart > 1.0 {
            1.0 + libm::log(apart)
        } else {
            apart
        }
    };
    let losses: Vec<f64> = seen.iter().map(|seen| bounded(seen.loss)).collect();
    let count = losses.len() as f64;
    let mean = losses.iter().sum::<f64>() / count;
    let variance = losses
        .iter()
        .map(|loss| (loss - mean) * (loss - mean))
        .sum::<f64>()
        / count;
    let deviation = libm::sqrt(variance).max(1e-12);
    losses
        .iter()
        .map(|loss| (loss - mean) / deviation)
        .collect()
}

/// Weight of each dimension's squared distance (1 / length²), and the noise's share of the variance.
#[derive(Debug, Clone)]
struct Lengths {
    weights: Vec<f64>,
    noise: f64,
}

impl Lengths {
    fn of(logs: &[f64]) -> Self {
        let (noise, lengths) = logs.split_last().unwrap_or((&NOISE.0, &[]));
        Self {
            weights: lengths.iter().map(|log| libm::exp(-2.0 * log)).collect(),
            noise: libm::exp(*noise) + LEAST_NOISE,
        }
    }

    fn apart(&self, a: &[Place], b: &[Place]) -> f64 {
        let squares = a.iter().zip(b).zip(&self.weights);
        squares.map(|((a, b), weight)| weight * a.apart(*b)).sum()
    }
}

/// Matérn 5/2 of a squared distance.
fn matern(square: f64) -> f64 {
    let root = libm::sqrt(5.0 * square);
    (1.0 + root + root * root / 3.0) * libm::exp(-root)
}

/// Its derivative by the squared distance.
fn matern_slope(square: f64) -> f64 {
    let root = libm::sqrt(5.0 * square);
    -5.0 / 6.0 * (1.0 + root) * libm::exp(-root)
}

/// The most probable lengths and noise, by ascent with a step of its own for each (Rprop), which halves where the slope turns.
fn learn(observed: &Observed, dimensions: usize) -> Lengths {
    let from = observed.places.len().min(LEARNED_FROM);
    let (places, losses) = (&observed.places[..from], &observed.losses[..from]);
    let mut logs = vec![LENGTH.0; dimensions];
    logs.push(NOISE.0);
    let mut steps = vec![STEP; logs.len()];
    let mut last = vec![0.0; logs.len()];
    let mut best = (f64::NEG_INFINITY, logs.clone());
    for _ in 0..STEPS {
        let Some((likelihood, slopes)) = likelihood(places, losses, &logs) else {
            break;
        };
        if likelihood > best.0 {
            best = (likelihood, logs.clone());
        }
        for (((log, step), last), slope) in
            logs.iter_mut().zip(&mut steps).zip(&mut last).zip(slopes)
        {
            if slope * *last < 0.0 {
                *step *= 0.5;
            } else {
                *step = (*step * 1.2).min(1.0);
            }
            *log += *step
                * if slope > 0.0 {
                    1.0
                } else if slope < 0.0 {
                    -1.0
                } else {
                    0.0
                };
            *last = slope;
        }
    }
    Lengths::of(&best.1)
}

/// Logarithm of the probability of the losses and of the priors, and its slope by each of `logs`.
fn likelihood(places: &[Vec<Place>], losses: &[f64], logs: &[f64]) -> Option<(f64, Vec<f64>)> {
    let (count, lengths) = (places.len(), Lengths::of(logs));
    let squares: Vec<Vec<f64>> = (0..count)
        .map(|a| {
            (0..a)
                .map(|b| lengths.apart(&places[a], &places[b]))
                .collect()
        })
        .collect();
    let factor = Cholesky::of(count, |a, b| match a == b {
        true => 1.0 + lengths.noise,
        false => matern(squares[a][b]),
    })?;
    let mut weights = losses.to_vec();
    factor.solve_lower(&mut weights);
    factor.solve_upper(&mut weights);
    let fit: f64 = losses.iter().zip(&weights).map(|(a, b)| a * b).sum();
    let scale = (fit / count as f64).max(1e-12);
    let mut value = -0.5 * count as f64 * libm::log(scale) - 0.5 * factor.log_determinant();
    let inverse = factor.inverse();
    let mut slopes = vec![0.0; logs.len()];
    for a in 0..count {
        for b in 0..a {
            let pull = weights[a] * weights[b] / scale - inverse[a][b];
            // Both halves of the matrix; the square's slope by the logarithm of a length is -2 times its part.
            let pull = pull * matern_slope(squares[a][b]) * -2.0;
            let parts = places[a].iter().zip(&places[b]).zip(&lengths.weights);
            for (slope, ((a, b), weight)) in slopes.iter_mut().zip(parts) {
                *slope += pull * weight * a.apart(*b);
            }
        }
    }
    let noise = lengths.noise - LEAST_NOISE;
    let diagonal = (0..count).map(|a| weights[a] * weights[a] / scale - inverse[a][a]);
    let last = logs.len() - 1;
    slopes[last] = 0.5 * noise * diagonal.sum::<f64>();
    for (place, (log, slope)) in logs.iter().zip(&mut slopes).enumerate() {
        let (mean, deviation) = if place == last { NOISE } else { LENGTH };
        let apart = (log - mean) / deviation;
        value -= 0.5 * apart * apart;
        *slope -= apart / deviation;
    }
    value.is_finite().then_some((value, slopes))
}

struct Process<'a> {
    observed: &'a Observed,
    lengths: &'a Lengths,
    factor: Cholesky,
    weights: Vec<f64>,
    scale: f64,
    /// The least that the process expects at an observed point.
    least: f64,
}

impl<'a> Process<'a> {
    fn new(observed: &'a Observed, lengths: &'a Lengths) -> Option<Self> {
        let places = &observed.places;
        let factor = Cholesky::of(places.len(), |a, b| match a == b {
            true => 1.0 + lengths.noise,
            false => matern(lengths.apart(&places[a], &places[b])),
        })?;
        let mut weights = observed.losses.clone();
        factor.solve_lower(&mut weights);
        factor.solve_upper(&mut weights);
        let fit: f64 = observed
            .losses
            .iter()
            .zip(&weights)
            .map(|(a, b)| a * b)
            .sum();
        let mut process = Self {
            observed,
            lengths,
            factor,
            weights,
            scale: (fit / places.len() as f64).max(1e-12),
            least: f64::INFINITY,
        };
        let expected = places.iter().map(|place| process.expected(place).0);
        process.least = expected.fold(f64::INFINITY, f64::min);
        Some(process)
    }

    /// The mean at a place, and how each observed point is tied to it.
    fn expected(&self, place: &[Place]) -> (f64, Vec<f64>) {
        let others = self.observed.places.iter();
        let ties: Vec<f64> = others
            .map(|other| matern(self.lengths.apart(place, other)))
            .collect();
        let mean = ties
            .iter()
            .zip(&self.weights)
            .map(|(tie, weight)| tie * weight)
            .sum();
        (mean, ties)
    }

    fn log_improvement(&self, place: &[Place]) -> f64 {
        let (mean, mut ties) = self.expected(place);
        self.factor.solve_lower(&mut ties);
        let explained: f64 = ties.iter().map(|tie| tie * tie).sum();
        let deviation = libm::sqrt((self.scale * (1.0 - explained)).max(1e-20));
        libm::log(deviation) + log_gain((self.least - mean) / deviation)
    }
}

/// Logarithm of z Φ(z) + φ(z).
fn log_gain(z: f64) -> f64 {
    let density = libm::exp(-0.5 * z * z) / libm::sqrt(2.0 * std::f64::consts::PI);
    if z > -6.0 {
        let below = 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
        return libm::log((z * below + density).max(f64::MIN_POSITIVE));
    }
    // Both terms nearly cancel: φ(z) / z² and the next term of its series.
    let log_density = -0.5 * z * z - 0.5 * libm::log(2.0 * std::f64::consts::PI);
    log_density - 2.0 * libm::log(-z) + libm::log(1.0 - 3.0 / (z * z))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slopes_are_those_of_the_likelihood() {
        let mut draws = Draws::new(3, 0);
        let places: Vec<Vec<Place>> = (0..8)
            .map(|at| vec![Place::Number(draws.unit()), Place::Value(at % 3)])
            .collect();
        let losses: Vec<f64> = places.iter().map(|_| draws.normal()).collect();
        let logs = [-0.7, -0.2, -2.0];
        let (_, slopes) = likelihood(&places, &losses, &logs).unwrap();
        for place in 0..logs.len() {
            let at = |step: f64| {
                let mut moved = logs;
                moved[place] += step;
                likelihood(&places, &losses, &moved).unwrap().0
            };
            let measured = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!(
                (measured - slopes[place]).abs() < 1e-5,
                "{measured} and {}",
                slopes[place]
            );
        }
    }

    #[test]
    fn the_gain_has_no_step_where_its_form_changes() {
        let (above, below) = (log_gain(-6.0 + 1e-9), log_gain(-6.0 - 1e-9));
        assert!((above - below).abs() < 0.02, "{above} and {below}");
        assert!((log_gain(0.0) - (1.0 / (2.0 * std::f64::consts::PI).sqrt()).ln()).abs() < 1e-12);
    }
}

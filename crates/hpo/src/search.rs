//! A search, and which trial comes next.

use serde::{Deserialize, Serialize};

use crate::{
    Halving, Point, Space, SpaceError, gaussian_process, grid,
    halving::Rung,
    history::{History, loss},
    random::{Draws, Spread},
    tpe,
};

/// More trials than this are a slip of the keyboard.
pub const MOST_TRIALS: u32 = 10_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    pub space: Space,
    pub method: Method,
    pub goal: Goal,
    /// How many at most; a grid ends with its last point.
    pub trials: u32,
    /// How many may be under way at once: so many results a suggestion does without.
    pub concurrency: u32,
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    Grid,
    Random,
    /// Tree-structured Parzen estimator.
    Tpe,
    /// A Gaussian process with expected improvement.
    GaussianProcess,
    SuccessiveHalving(Halving),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    Maximize,
    Minimize,
}

/// A trial as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    pub point: Point,
    /// What it measured. `None` of one that has not settled, and of one that failed; whatever is no finite number counts as failed.
    pub value: Option<f64>,
}

/// What the next trial is.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    pub point: Point,
    /// Share of the resource that it gets, above 0 and at most 1.
    pub share: f64,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SearchError {
    #[error(transparent)]
    Space(#[from] SpaceError),
    #[error("a search has 1 to {MOST_TRIALS} trials, not {0}")]
    Trials(u32),
    #[error("at least one trial is under way at a time")]
    Concurrency,
    #[error("a grid has values only, and at most {MOST_TRIALS} combinations of them")]
    Grid,
    #[error(
        "successive halving begins with a share above 0 and at most 1, and has a factor of at least 2"
    )]
    Halving,
}

impl Search {
    pub fn check(&self) -> Result<(), SearchError> {
        self.space.check()?;
        if !(1..=MOST_TRIALS).contains(&self.trials) {
            return Err(SearchError::Trials(self.trials));
        }
        if self.concurrency == 0 {
            return Err(SearchError::Concurrency);
        }
        match self.method {
            Method::Grid if grid::points(&self.space, MOST_TRIALS as usize).is_none() => {
                Err(SearchError::Grid)
            }
            Method::SuccessiveHalving(halving)
                if !(halving.min > 0.0 && halving.min <= 1.0 && halving.factor >= 2) =>
            {
                Err(SearchError::Halving)
            }
            _ => Ok(()),
        }
    }

    /// How many trials there will be.
    pub fn len(&self) -> usize {
        let trials = self.trials as usize;
        match self.method {
            Method::Grid => grid::points(&self.space, trials).map_or(trials, |points| points.len()),
            Method::SuccessiveHalving(halving) => halving
                .rungs(self.trials)
                .iter()
                .map(|rung| rung.trials)
                .sum(),
            Method::Random | Method::Tpe | Method::GaussianProcess => trials,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What trial `n` gets of the resource.
    pub fn share(&self, n: usize) -> f64 {
        match self.method {
            Method::SuccessiveHalving(halving) => {
                let rungs = halving.rungs(self.trials);
                let rung = rungs.iter().rev().find(|rung| rung.first <= n);
                rung.map_or(1.0, |rung| rung.share)
            }
            Method::Grid | Method::Random | Method::Tpe | Method::GaussianProcess => 1.0,
        }
    }

    /// How many of the first trials must have settled before trial `n` can be suggested. Only their results are looked at.
    pub fn settled_before(&self, n: usize) -> usize {
        let apart = (n + 1).saturating_sub(self.concurrency.max(1) as usize);
        match self.method {
            // A rung begins when the one before has settled.
            Method::SuccessiveHalving(halving) => {
                let rungs = halving.rungs(self.trials);
                let rung = rungs.iter().rev().find(|rung| rung.first <= n);
                apart.max(rung.map_or(0, |rung| rung.first))
            }
            Method::Grid | Method::Random | Method::Tpe | Method::GaussianProcess => apart,
        }
    }

    /// The trial after these; `None` after the last.
    pub fn suggest(&self, trials: &[Trial]) -> Option<Suggestion> {
        let n = trials.len();
        let whole = |point| Suggestion { point, share: 1.0 };
        match self.method {
            Method::Grid => {
                let points = grid::points(&self.space, MOST_TRIALS as usize)?;
                let point = points.into_iter().take(self.trials as usize).nth(n)?;
                Some(whole(point))
            }
            Method::SuccessiveHalving(halving) => self.halved(halving, trials),
            _ if n >= self.trials as usize => None,
            Method::Random => Some(whole(self.random(n))),
            Method::Tpe => Some(whole(tpe::suggest(self, &History::new(self, trials), n))),
            Method::GaussianProcess => Some(whole(gaussian_process::suggest(
                self,
                &History::new(self, trials),
                n,
            ))),
        }
    }

    /// The best of the trials that had everything; `None` if all failed.
    pub fn best(&self, trials: &[Trial]) -> Option<usize> {
        let first = match self.method {
            Method::SuccessiveHalving(halving) => halving.rungs(self.trials).last()?.first,
            Method::Grid | Method::Random | Method::Tpe | Method::GaussianProcess => 0,
        };
        let losses = trials.iter().enumerate().skip(first);
        let losses = losses.filter_map(|(index, trial)| Some((loss(self.goal, trial)?, index)));
        let best = losses.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))?;
        Some(best.1)
    }

    fn halved(&self, halving: Halving, trials: &[Trial]) -> Option<Suggestion> {
        let n = trials.len();
        let rungs = halving.rungs(self.trials);
        let place = rungs
            .iter()
            .position(|rung| (rung.first..rung.first + rung.trials).contains(&n))?;
        let Rung { first, share, .. } = rungs[place];
        let point = match place.checked_sub(1) {
            None => self.random(n),
            Some(before) => {
                let Rung {
                    first: began,
                    trials: size,
                    ..
                } = rungs[before];
                let mut ranked: Vec<(bool, f64, usize)> = (began..began + size)
                    .map(|index| match loss(self.goal, &trials[index]) {
                        Some(loss) => (false, loss, index),
                        None => (true, 0.0, index),
                    })
                    .collect();
                ranked.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
                trials[ranked.get(n - first)?.2].point.clone()
            }
        };
        Some(Suggestion { point, share })
    }

    fn random(&self, n: usize) -> Point {
        let mut draws = Draws::new(self.seed, n as u64);
        self.space.point(|_, domain| domain.place(draws.unit()))
    }

    /// Points to begin with: spread evenly, since nothing is known yet.
    pub(crate) fn opening(&self, n: usize) -> Point {
        let spread = Spread::new(self.seed, self.space.len());
        self.space
            .point(|index, domain| domain.place(spread.unit(n, index)))
    }
}

//! Whether one model is better than another: the difference of their image AUROC by a paired bootstrap (Efron and
//! Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13).
//!
//! A resample draws the images of a category with replacement, normal and anomalous ones apart, the same for both models:
//! an image that is hard for one is hard for the other. Of each model's seeds it draws as many as there are, by itself:
//! seeds of two models have nothing in common. With one seed the interval says nothing about other seeds. Categories keep
//! their equal weight in the mean.
//!
//! A class of few images hardly varies from one resample to the next (one of a single image not at all), so that the
//! interval is too narrow: below [`LEAST_IMAGES`] no model is called better.

#[cfg(test)]
mod tests;

use fastrand::Rng;

use crate::{Interval, RawScore, Undefined};

/// Enough for two digits of the interval's ends.
pub const RESAMPLES: u32 = 2_000;

/// Images that each class of each category has at least where a model is called better: of ten images a resample leaves
/// out 3.5 (36.6 %), and the bootstrap's variance is a tenth too low (a factor of 1 - 1/n).
pub const LEAST_IMAGES: usize = 10;

/// Two models on the images of one category. The scores are of each seed, in the order of the images.
#[derive(Debug, Clone)]
pub struct Paired<'a> {
    pub anomalous: &'a [bool],
    pub a: &'a [Vec<RawScore>],
    pub b: &'a [Vec<RawScore>],
}

/// Means over categories and seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    pub a: f64,
    pub b: f64,
    /// 95 % of the resamples' differences, a less b.
    pub difference: Interval,
    /// Images of the smaller class in the category that has fewest.
    pub fewest: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    A,
    B,
    /// The interval holds zero, or there are too few images: they and the seeds do not tell.
    Open,
}

impl Comparison {
    /// Whether the interval can be believed.
    pub fn has_enough_images(&self) -> bool {
        self.fewest >= LEAST_IMAGES
    }

    pub fn verdict(&self) -> Verdict {
        if !self.has_enough_images() {
            return Verdict::Open;
        }
        match self.difference {
            Interval { low, .. } if low > 0.0 => Verdict::A,
            Interval { high, .. } if high < 0.0 => Verdict::B,
            _ => Verdict::Open,
        }
    }
}

/// Compares two models over some categories. The same `seed` gives the same interval.
///
/// Without a category, an image or a seed: [`Undefined::Empty`]; with images of one class only: [`Undefined::OneClass`].
///
/// # Panics
///
/// If a seed has not one score an image.
pub fn compare(
    categories: &[Paired<'_>],
    resamples: u32,
    seed: u64,
) -> Result<Comparison, Undefined> {
    let categories: Vec<Category> = categories
        .iter()
        .map(Category::new)
        .collect::<Result<_, _>>()?;
    if categories.is_empty() || resamples == 0 {
        return Err(Undefined::Empty);
    }
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let of = |model: fn(&Category) -> &Model| {
        mean(
            categories
                .iter()
                .map(|category| {
                    let once = vec![1; category.anomalous.len()];
                    let seeds = model(category).seeds.iter();
                    mean(seeds.map(|seed| category.auroc(seed, &once)).collect())
                })
                .collect(),
        )
    };
    let mut rng = Rng::with_seed(seed);
    let mut differences: Vec<f64> = (0..resamples)
        .map(|_| mean(categories.iter().map(|c| c.resampled(&mut rng)).collect()))
        .collect();
    differences.sort_unstable_by(f64::total_cmp);
    // As many lie below the one as above the other.
    let outside = (f64::from(resamples) * 0.025) as usize;
    let fewest = categories
        .iter()
        .flat_map(|category| category.classes.each_ref().map(Vec::len))
        .min();
    Ok(Comparison {
        fewest: fewest.unwrap_or(0),
        a: of(|category| &category.a),
        b: of(|category| &category.b),
        difference: Interval {
            low: differences[outside],
            high: differences[differences.len() - 1 - outside],
        },
    })
}

/// One model on the images of a category.
struct Model {
    seeds: Vec<Ranking>,
}

/// Images in ascending order of their score; those of one score together.
struct Ranking {
    ties: Vec<Vec<usize>>,
}

struct Category {
    anomalous: Vec<bool>,
    /// Images of each class.
    classes: [Vec<usize>; 2],
    a: Model,
    b: Model,
}

impl Category {
    fn new(paired: &Paired<'_>) -> Result<Self, Undefined> {
        let classes = [false, true].map(|class| {
            let images = 0..paired.anomalous.len();
            images
                .filter(|image| paired.anomalous[*image] == class)
                .collect::<Vec<_>>()
        });
        if paired.anomalous.is_empty() || paired.a.is_empty() || paired.b.is_empty() {
            return Err(Undefined::Empty);
        }
        if classes.iter().any(Vec::is_empty) {
            return Err(Undefined::OneClass);
        }
        let model = |seeds: &[Vec<RawScore>]| Model {
            seeds: seeds
                .iter()
                .map(|scores| {
                    assert_eq!(scores.len(), paired.anomalous.len(), "one score an image");
                    Ranking::of(scores)
                })
                .collect(),
        };
        Ok(Self {
            anomalous: paired.anomalous.to_vec(),
            classes,
            a: model(paired.a),
            b: model(paired.b),
        })
    }

    /// The difference in one resample.
    fn resampled(&self, rng: &mut Rng) -> f64 {
        let mut times = vec![0; self.anomalous.len()];
        for class in &self.classes {
            for _ in class {
                times[class[rng.usize(..class.len())]] += 1;
            }
        }
        let mut mean = |model: &Model| {
            let seeds = &model.seeds;
            let drawn = seeds.iter().map(|_| &seeds[rng.usize(..seeds.len())]);
            drawn.map(|seed| self.auroc(seed, &times)).sum::<f64>() / seeds.len() as f64
        };
        mean(&self.a) - mean(&self.b)
    }

    /// With each image counted so many times, as many as there are of its class in all.
    fn auroc(&self, ranking: &Ranking, times: &[u64]) -> f64 {
        let (mut won, mut below) = (0.0, 0.0);
        for images in &ranking.ties {
            let (mut normal, mut anomalous) = (0, 0);
            for &image in images {
                match self.anomalous[image] {
                    true => anomalous += times[image],
                    false => normal += times[image],
                }
            }
            won += anomalous as f64 * (below + 0.5 * normal as f64);
            below += normal as f64;
        }
        let [normal, anomalous] = self.classes.each_ref().map(Vec::len);
        won / normal as f64 / anomalous as f64
    }
}

impl Ranking {
    fn of(scores: &[RawScore]) -> Self {
        let mut images: Vec<usize> = (0..scores.len()).collect();
        images.sort_by_key(|image| scores[*image].key());
        let ties = images.chunk_by(|a, b| scores[*a].key() == scores[*b].key());
        Self {
            ties: ties.map(<[usize]>::to_vec).collect(),
        }
    }
}

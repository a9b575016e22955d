//! What a search may choose from: dimensions, and points along them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{grid, random::Spread};

/// Dimensions in order; a condition names earlier ones only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Space {
    pub dimensions: Vec<Dimension>,
}

/// Something that is varied.
///
/// Several may have one name: the first whose conditions hold counts, the others do not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dimension {
    pub name: String,
    pub domain: Domain,
    /// It counts where all of these hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Domain {
    /// One of these, without an order.
    Values(Vec<Value>),
    /// A whole number, both ends included.
    Integer { min: i64, max: i64, scale: Scale },
    /// Both ends included.
    Float { min: f64, max: f64, scale: Scale },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    Linear,
    Log,
}

/// An earlier dimension has one of these values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Index of a dimension of values.
    pub dimension: usize,
    /// Indexes of its values.
    pub values: Vec<u32>,
}

/// A place along each dimension; `None` where it does not count. An index of a value, a distance from the least integer, or
/// a multiple of 1 / (2^32 - 1) between the ends: whole numbers, so that what is written and read again is the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Point(pub Vec<Option<u32>>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    #[error("there is nothing to search: the space has no dimension")]
    Empty,
    #[error("{0}: there are no values to choose from")]
    NoValues(String),
    #[error("{0}: the lower end of a range lies below its upper end, and both are finite numbers")]
    Range(String),
    #[error("{0}: a logarithmic range begins above 0")]
    Log(String),
    #[error("{0}: a range of integers has at most 2^32 of them")]
    TooWide(String),
    #[error("{0}: a condition names an earlier dimension of values, and values that it has")]
    Condition(String),
}

impl Space {
    pub fn check(&self) -> Result<(), SpaceError> {
        if self.dimensions.is_empty() {
            return Err(SpaceError::Empty);
        }
        for (index, dimension) in self.dimensions.iter().enumerate() {
            dimension.domain.check(&dimension.name)?;
            for condition in &dimension.when {
                let earlier = self.dimensions[..index].get(condition.dimension);
                let known = match earlier.map(|earlier| &earlier.domain) {
                    Some(Domain::Values(values)) => values.len(),
                    _ => 0,
                };
                let right = |value: &u32| (*value as usize) < known;
                if condition.values.is_empty() || !condition.values.iter().all(right) {
                    return Err(SpaceError::Condition(dimension.name.clone()));
                }
            }
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.dimensions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.dimensions.is_empty()
    }

    /// Whether the next dimension counts, given the places along those before it.
    pub fn is_active(&self, before: &[Option<u32>]) -> bool {
        let Some(dimension) = self.dimensions.get(before.len()) else {
            return false;
        };
        let holds = |condition: &Condition| {
            let chosen = before.get(condition.dimension).copied().flatten();
            chosen.is_some_and(|chosen| condition.values.contains(&chosen))
        };
        let is_taken = self
            .dimensions
            .iter()
            .zip(before)
            .any(|(earlier, place)| place.is_some() && earlier.name == dimension.name);
        !is_taken && dimension.when.iter().all(holds)
    }

    /// A point whose places are given by `place`, asked in order for each dimension that counts.
    pub fn point(&self, mut place: impl FnMut(usize, &Domain) -> u32) -> Point {
        let mut places = Vec::with_capacity(self.len());
        for (index, dimension) in self.dimensions.iter().enumerate() {
            let active = self.is_active(&places);
            places.push(active.then(|| place(index, &dimension.domain)));
        }
        Point(places)
    }

    /// Name and value of every dimension that counts.
    pub fn values<'a>(&'a self, point: &'a Point) -> impl Iterator<Item = (&'a str, Value)> {
        let places = self.dimensions.iter().zip(&point.0);
        places.filter_map(|(dimension, place)| {
            Some((dimension.name.as_str(), dimension.domain.value((*place)?)))
        })
    }
}

/// Between the ends of a range of floats there are so many steps.
const STEPS: f64 = u32::MAX as f64;

impl Domain {
    fn check(&self, name: &str) -> Result<(), SpaceError> {
        let name = || name.to_owned();
        match *self {
            Self::Values(ref values) if values.is_empty() => Err(SpaceError::NoValues(name())),
            Self::Values(_) => Ok(()),
            Self::Integer { min, max, .. } if min >= max => Err(SpaceError::Range(name())),
            Self::Integer { min, max, .. } if max.abs_diff(min) > u64::from(u32::MAX) => {
                Err(SpaceError::TooWide(name()))
            }
            Self::Integer { min, scale, .. } if scale == Scale::Log && min < 1 => {
                Err(SpaceError::Log(name()))
            }
            Self::Integer { .. } => Ok(()),
            Self::Float { min, max, .. } if !(min < max && (max - min).is_finite()) => {
                Err(SpaceError::Range(name()))
            }
            Self::Float { min, scale, .. } if scale == Scale::Log && min <= 0.0 => {
                Err(SpaceError::Log(name()))
            }
            Self::Float { .. } => Ok(()),
        }
    }

    pub fn value(&self, place: u32) -> Value {
        match *self {
            Self::Values(ref values) => values.get(place as usize).cloned().unwrap_or(Value::Null),
            Self::Integer { min, max, .. } => min.saturating_add(i64::from(place)).min(max).into(),
            Self::Float { min, max, scale } => {
                let share = f64::from(place) / STEPS;
                let value = match scale {
                    Scale::Linear => min + share * (max - min),
                    Scale::Log => {
                        let (low, high) = (libm::log(min), libm::log(max));
                        libm::exp(low + share * (high - low))
                    }
                };
                value.clamp(min, max).into()
            }
        }
    }

    /// How far from the least to the greatest number of a range a value lies, in the range's scale; `None`: it is no range, or no
    /// number.
    pub fn share_of(&self, value: &Value) -> Option<f64> {
        let (min, max, scale) = match *self {
            Self::Values(_) => return None,
            Self::Integer { min, max, scale } => (min as f64, max as f64, scale),
            Self::Float { min, max, scale } => (min, max, scale),
        };
        let (low, high) = ends(min, max, scale);
        Some(((scaled(value.as_f64()?, scale) - low) / (high - low)).clamp(0.0, 1.0))
    }

    /// How many values there are; `None`: it is a range.
    pub(crate) fn choices(&self) -> Option<usize> {
        match self {
            Self::Values(values) => Some(values.len()),
            Self::Integer { .. } | Self::Float { .. } => None,
        }
    }

    /// From a place to the unit interval, in the range's scale. Of values an index has no such place: the middle of its share.
    pub(crate) fn unit(&self, place: u32) -> f64 {
        let place = f64::from(place);
        match *self {
            Self::Values(ref values) => (place + 0.5) / values.len() as f64,
            Self::Integer { min, max, scale } => {
                // Each integer has the interval around it.
                let (low, high) = ends(min as f64 - 0.5, max as f64 + 0.5, scale);
                (scaled(min as f64 + place, scale) - low) / (high - low)
            }
            Self::Float { .. } => place / STEPS,
        }
    }

    /// The place at this share of the way from the first to the last, in the range's scale.
    pub fn place_of_share(&self, share: f64) -> u32 {
        match *self {
            Self::Integer { min, max, scale } => {
                let (low, high) = ends(min as f64, max as f64, scale);
                let at = low + share.clamp(0.0, 1.0) * (high - low);
                let value = match scale {
                    Scale::Linear => at,
                    Scale::Log => libm::exp(at),
                };
                (libm::round(value) - min as f64).clamp(0.0, f64::from(self.last())) as u32
            }
            Self::Values(_) | Self::Float { .. } => self.place(share),
        }
    }

    /// The place that the unit interval's number falls into.
    pub(crate) fn place(&self, unit: f64) -> u32 {
        let unit = unit.clamp(0.0, 1.0);
        match *self {
            Self::Values(ref values) => {
                let most = values.len().saturating_sub(1) as f64;
                (unit * values.len() as f64).floor().min(most) as u32
            }
            Self::Integer { min, max, scale } => {
                let (low, high) = ends(min as f64 - 0.5, max as f64 + 0.5, scale);
                let value = match scale {
                    Scale::Linear => low + unit * (high - low),
                    Scale::Log => libm::exp(low + unit * (high - low)),
                };
                (libm::round(value) - min as f64).clamp(0.0, max.abs_diff(min) as f64) as u32
            }
            Self::Float { .. } => libm::round(unit * STEPS) as u32,
        }
    }
}

fn scaled(value: f64, scale: Scale) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Log => libm::log(value),
    }
}

fn ends(min: f64, max: f64, scale: Scale) -> (f64, f64) {
    (scaled(min, scale), scaled(max, scale))
}

impl Domain {
    /// The last place; the first is 0.
    fn last(&self) -> u32 {
        match *self {
            Self::Values(ref values) => values.len().saturating_sub(1) as u32,
            Self::Integer { min, max, .. } => u32::try_from(max.abs_diff(min)).unwrap_or(u32::MAX),
            Self::Float { .. } => u32::MAX,
        }
    }
}

impl Space {
    /// Points at the ends of all ranges, with all values: every combination, or a spread of `most` of them if there are more.
    pub fn corners(&self, most: usize) -> Vec<Point> {
        let ends = |dimension: &Dimension| Dimension {
            domain: match dimension.domain.choices() {
                Some(_) => dimension.domain.clone(),
                None => Domain::Values(vec![0.into(), dimension.domain.last().into()]),
            },
            ..dimension.clone()
        };
        let ends = Self {
            dimensions: self.dimensions.iter().map(ends).collect(),
        };
        let spread = Spread::new(0, self.len());
        let some = |n| ends.point(|index, domain| domain.place(spread.unit(n, index)));
        let points = grid::points(&ends, most);
        let points = points.unwrap_or_else(|| (0..most).map(some).collect());
        let of_range =
            |(dimension, place): (&Dimension, Option<u32>)| match (place, &dimension.domain) {
                (Some(1), Domain::Integer { .. } | Domain::Float { .. }) => {
                    Some(dimension.domain.last())
                }
                (place, _) => place,
            };
        let at_ends =
            |point: Point| Point(self.dimensions.iter().zip(point.0).map(of_range).collect());
        points.into_iter().map(at_ends).collect()
    }
}

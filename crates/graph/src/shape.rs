//! Shapes with a symbolic batch axis, broadcasting included.

use std::fmt;

/// The extent of one axis.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dim {
    /// The number of images; only ever axis 0, and no operation mixes entries along it, so that a score cannot
    /// depend on its batch mates.
    Batch,
    /// A number known when the graph is built.
    Fixed(usize),
}

impl Dim {
    /// The extent if it is known.
    pub fn fixed(self) -> Option<usize> {
        match self {
            Dim::Batch => None,
            Dim::Fixed(n) => Some(n),
        }
    }

    /// The extent at a given batch size.
    pub fn at(self, batch: usize) -> usize {
        self.fixed().unwrap_or(batch)
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        Dim::Fixed(n)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Batch => f.write_str("N"),
            Dim::Fixed(n) => write!(f, "{n}"),
        }
    }
}

/// The extents of a value, outermost first.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    pub(crate) fn fixed(dims: &[usize]) -> Self {
        Shape(dims.iter().copied().map(Dim::Fixed).collect())
    }

    /// The extents.
    pub fn dims(&self) -> &[Dim] {
        &self.0
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Whether axis 0 is the batch.
    pub fn has_batch(&self) -> bool {
        self.0.contains(&Dim::Batch)
    }

    /// Number of elements of one image: the product of all axes but the batch.
    pub fn elements_per_image(&self) -> usize {
        self.0.iter().filter_map(|d| d.fixed()).product()
    }

    /// The extents at a given batch size.
    pub fn at(&self, batch: usize) -> Vec<usize> {
        self.0.iter().map(|d| d.at(batch)).collect()
    }

    /// Number of elements at a given batch size.
    pub fn len(&self, batch: usize) -> usize {
        self.0.iter().map(|d| d.at(batch)).product()
    }

    /// Whether the batch, if there is one, is axis 0.
    pub(crate) fn batch_leads(&self) -> bool {
        self.0.iter().skip(1).all(|d| *d != Dim::Batch)
    }

    /// The four extents of an image batch: (batch, channels, height, width).
    pub(crate) fn nchw(&self) -> Option<(Dim, usize, usize, usize)> {
        match self.0[..] {
            [n, Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)] => Some((n, c, h, w)),
            _ => None,
        }
    }

    /// numpy's broadcasting: aligned at the last axis, extent 1 stretches.
    pub(crate) fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let at = |s: &Shape, i: usize| {
            let missing = rank - s.rank();
            if i < missing {
                Dim::Fixed(1)
            } else {
                s.0[i - missing]
            }
        };
        let dims = (0..rank).map(|i| match (at(self, i), at(other, i)) {
            (a, b) if a == b => Some(a),
            (Dim::Fixed(1), d) | (d, Dim::Fixed(1)) => Some(d),
            _ => None,
        });
        let shape = Shape(dims.collect::<Option<Vec<Dim>>>()?);
        shape.batch_leads().then_some(shape)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.0.iter().enumerate() {
            write!(f, "{}{d}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

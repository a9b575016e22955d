//! The row of the memory bank that is nearest to a vector: exactly, at a fraction of what the products of all with all cost.
//!
//! Rows and vectors are kept as codes, small integers with a scale each, whose products are cheap and exact. What a code stands for is
//! off by a known length: a row that is nearest cannot be farther by its code than the nearest found so far, plus the errors of
//! both (the triangle inequality). The few rows of which that does not say enough are compared as they are, so that codes
//! decide nothing. Where a processor has no products of small integers, codes are the numbers themselves.

// Several vectors and registers are indexed alike; iterators over one of them would hide that.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::bytes::{self, ByBytes, Part, Products, Quad};
use super::plain::{self, Plain};
use super::statistics::Bank;
#[cfg(target_arch = "x86_64")]
use super::tiles::{self, ByTiles};
#[cfg(target_arch = "x86_64")]
use super::vnni::ByQuads;
use crate::lanes::{Instructions, Lanes};

/// Rows side by side: a group.
pub(super) const LANES: usize = 16;

/// One number of each row of a group.
pub(super) type Rows = Lanes<f32, LANES>;

/// Groups that vectors are compared with at once.
pub(super) const GROUPS: usize = 2;

/// Groups of a panel at most: as long as vectors are compared with one, what is known of the nearest so far stays.
pub(super) const PANEL: usize = 32;

/// Bytes of codes in a panel, which a second-level cache keeps.
const PANEL_BYTES: usize = 256 << 10;

/// What rounding may add to a squared distance by codes, of the squared lengths that it is made of; of bytes, whose products are exact.
const ROUNDING: f64 = 4e-6;

/// What is added to each row's error, in units of features: squares of shorter vectors, which f32 hardly has, differ by less.
const SHORTEST: f64 = 1e-15;

/// Squared. Longer vectors have no codes: their squares may not be numbers.
pub(super) const LONGEST: f64 = 1e30;

pub(super) struct Nearest {
    bank: Bank,
    /// Their mean, which all codes are relative to: errors grow with lengths.
    centre: Vec<f32>,
    codes: Codes,
    /// Of a row, and of a vector that is compared with it.
    parts: usize,
    known: KnownRows,
    longest: f64,
    /// Whether a row of numbers is too long for a code: each vector is compared with all rows.
    has_longer: bool,
    /// See [`ROUNDING`].
    rounding: f64,
    instructions: Instructions,
}

/// What is known of each row, group by group.
pub(super) struct KnownRows {
    /// By its code, its squared length less the square of its error; infinite where there is no row, or one that is no vector.
    pub(super) lengths: Vec<Rows>,
    /// What its product with a query's code is multiplied with, besides the query's own factor.
    pub(super) factors: Vec<Rows>,
    /// How far it is from what its code stands for.
    pub(super) errors: Vec<Rows>,
}

/// Groups one after another, [groups, parts of a row].
enum Codes {
    /// The numbers.
    Plain(Vec<Rows>),
    /// Bytes without signs, four dimensions of each row a part.
    #[cfg(target_arch = "x86_64")]
    Bytes(Vec<Quad>),
    /// The same with signs.
    #[cfg(target_arch = "x86_64")]
    Tiles(Vec<Quad>),
}

/// What codes may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Bytes,
    #[cfg(target_arch = "x86_64")]
    Tiles,
}

impl Kind {
    /// Those that this machine can compare, the fastest last.
    fn of_this_machine() -> Vec<Self> {
        let mut kinds = vec![Self::Plain];
        #[cfg(target_arch = "x86_64")]
        if has_bytes() {
            kinds.push(Self::Bytes);
            if tiles::are_there() {
                kinds.push(Self::Tiles);
            }
        }
        kinds
    }
}

/// A vector as it is compared with codes.
struct Query<'a> {
    vector: &'a [f32],
    /// By its code.
    length: f64,
    factor: f32,
    error: f64,
    /// Of its code's bytes.
    sum: i32,
    /// The least squared distance so far.
    best: f32,
    /// Where that is found; among equals the first.
    row: usize,
    /// What may be as near as that.
    limit: Limit,
}

impl<'a> Query<'a> {
    fn new(vector: &'a [f32], length: f64) -> Self {
        Self {
            vector,
            length,
            factor: 1.0,
            error: 0.0,
            sum: 0,
            best: f32::INFINITY,
            row: 0,
            limit: Limit::NONE,
        }
    }
}

impl Nearest {
    pub(super) fn new(bank: Bank) -> Self {
        let kinds = Kind::of_this_machine();
        Self::with(bank, kinds[kinds.len() - 1])
    }

    /// `kind`: of those of this machine.
    fn with(bank: Bank, kind: Kind) -> Self {
        let dims = bank.dims();
        let centre = mean(&bank);
        let groups = bank.count().div_ceil(LANES).next_multiple_of(GROUPS);
        let parts = match kind {
            Kind::Plain => dims,
            #[cfg(target_arch = "x86_64")]
            Kind::Bytes => dims.div_ceil(bytes::DIMS),
            #[cfg(target_arch = "x86_64")]
            Kind::Tiles => dims.div_ceil(bytes::DIMS).next_multiple_of(tiles::PARTS),
        };
        let mut nearest = Self {
            codes: Codes::Plain(Vec::new()),
            parts,
            known: KnownRows {
                lengths: vec![Rows::splat(f32::INFINITY); groups],
                factors: vec![Rows::ZERO; groups],
                errors: vec![Rows::ZERO; groups],
            },
            longest: 0.0,
            has_longer: false,
            rounding: ROUNDING.max(dims as f64 * f64::from(f32::EPSILON)),
            instructions: Instructions::of_this_machine(),
            centre,
            bank,
        };
        #[cfg(target_arch = "x86_64")]
        if kind != Kind::Plain {
            nearest.rounding = ROUNDING;
            let above = match kind {
                Kind::Bytes => bytes::ABOVE,
                _ => 0,
            };
            let mut codes = vec![Quad::zero(above); groups * parts];
            let mut code = vec![0; parts];
            for index in 0..nearest.bank.count() {
                let row = nearest.bank.row(index);
                // SAFETY: the machine has its instructions: it would have no such kind.
                let known = unsafe { bytes::encode(row, &nearest.centre, &mut code) };
                let Some(known) = known else {
                    nearest.has_longer |= row.iter().all(|value| value.is_finite());
                    continue;
                };
                let (group, lane) = (index / LANES, index % LANES);
                for (quad, &part) in codes[group * parts..].iter_mut().zip(&code) {
                    quad.set(lane, part, above);
                }
                nearest.know(index, known.length, -2.0 * known.scale, known.error);
            }
            nearest.codes = match kind {
                Kind::Bytes => Codes::Bytes(codes),
                _ => Codes::Tiles(codes),
            };
            return nearest;
        }
        let mut codes = vec![Rows::ZERO; groups * dims];
        for index in 0..nearest.bank.count() {
            let row = nearest.centred(nearest.bank.row(index));
            let length = squared_length(&row);
            if length.is_nan() || length > LONGEST {
                let row = nearest.bank.row(index);
                nearest.has_longer |= row.iter().all(|value| value.is_finite());
                continue;
            }
            let (group, lane) = (index / LANES, index % LANES);
            for (out, value) in codes[group * dims..].iter_mut().zip(&row) {
                out.0[lane] = *value;
            }
            nearest.know(index, length, -2.0, 0.0);
        }
        nearest.codes = Codes::Plain(codes);
        nearest
    }

    fn know(&mut self, index: usize, length: f64, factor: f32, error: f64) {
        let (group, lane) = (index / LANES, index % LANES);
        // Not less by what rounding takes.
        let error = error * (1.0 + 1e-6) + SHORTEST;
        self.known.lengths[group].0[lane] = (length - error * error) as f32;
        self.known.factors[group].0[lane] = factor;
        self.known.errors[group].0[lane] = error as f32;
        self.longest = self.longest.max(length);
    }

    fn centred(&self, vector: &[f32]) -> Vec<f32> {
        let pairs = vector.iter().zip(&self.centre);
        pairs.map(|(value, centre)| value - centre).collect()
    }

    pub(super) fn bank(&self) -> &Bank {
        &self.bank
    }

    /// Of each vector its distance to the nearest row; no number if the vector has none.
    pub(super) fn distances(&self, vectors: &[&[f32]], out: &mut [f32]) {
        for (out, query) in out.iter_mut().zip(self.compared(vectors)) {
            let squared = match self.is_coded(&query) {
                true => query.best,
                false => self.least_of_all(query.vector),
            };
            *out = squared.sqrt();
        }
    }

    /// The row nearest to a vector; among equals the first.
    pub(super) fn row(&self, vector: &[f32]) -> usize {
        match self.compared(&[vector]).first() {
            Some(query) if self.is_coded(query) => query.row,
            _ => self.first(vector, 1)[0],
        }
    }

    /// Vectors that have been compared with all rows, if codes say anything about them.
    fn compared<'v>(&self, vectors: &[&'v [f32]]) -> Vec<Query<'v>> {
        let known = &self.known;
        match &self.codes {
            Codes::Plain(rows) => {
                let (mut queries, codes) = self.plain_queries(vectors);
                let codes = codes.as_slice();
                match self.instructions {
                    #[cfg(target_arch = "x86_64")]
                    Instructions::Avx512 => {
                        let kernel = Plain { known, rows, codes };
                        // SAFETY: the machine has these instructions: that is what `Instructions` says.
                        unsafe { plain_avx512(&kernel, self, &mut queries) }
                    }
                    #[cfg(target_arch = "x86_64")]
                    Instructions::Avx2 => {
                        let kernel = Plain { known, rows, codes };
                        // SAFETY: as above.
                        unsafe { plain_avx2(&kernel, self, &mut queries) }
                    }
                    _ => {
                        let kernel: Plain<1, false> = Plain { known, rows, codes };
                        self.compare::<4, _>(&kernel, &mut queries);
                    }
                }
                queries
            }
            #[cfg(target_arch = "x86_64")]
            Codes::Bytes(rows) => {
                let (mut queries, codes) = self.byte_queries(vectors);
                let (parts, codes) = (self.parts, codes.as_slice());
                let products = ByQuads { rows, codes, parts };
                // SAFETY: the machine has these instructions, and so this kind of codes.
                unsafe { by_bytes(self, products, &mut queries) }
                queries
            }
            #[cfg(target_arch = "x86_64")]
            Codes::Tiles(rows) => {
                let (mut queries, mut codes) = self.byte_queries(vectors);
                let whole = queries.len().next_multiple_of(tiles::QUERIES);
                codes.resize(whole * self.parts, 0);
                // SAFETY: there are tiles, and so this kind of codes.
                let products = unsafe { ByTiles::new(rows, &codes, self.parts) };
                // SAFETY: as above.
                unsafe { by_bytes(self, products, &mut queries) }
                queries
            }
        }
    }

    /// Whether codes say anything about how far rows are.
    #[inline(always)]
    fn is_coded(&self, query: &Query) -> bool {
        query.length <= LONGEST && !self.has_longer
    }

    /// With the codes of all, each of as many parts as a row has.
    fn plain_queries<'v>(&self, vectors: &[&'v [f32]]) -> (Vec<Query<'v>>, Vec<f32>) {
        let mut codes = Vec::with_capacity(vectors.len() * self.bank.dims());
        let queries = vectors.iter().map(|&vector| {
            let centred = self.centred(vector);
            let length = squared_length(&centred);
            codes.extend(centred);
            Query::new(vector, length)
        });
        (queries.collect(), codes)
    }

    #[cfg(target_arch = "x86_64")]
    fn byte_queries<'v>(&self, vectors: &[&'v [f32]]) -> (Vec<Query<'v>>, Vec<Part>) {
        let mut codes = vec![0; vectors.len() * self.parts];
        let pairs = vectors.iter().zip(codes.chunks_exact_mut(self.parts));
        let queries = pairs.map(|(&vector, code)| {
            // SAFETY: the machine has its instructions: there would be no such codes.
            match unsafe { bytes::encode(vector, &self.centre, code) } {
                Some(known) => Query {
                    factor: known.scale,
                    error: known.error,
                    sum: known.sum,
                    ..Query::new(vector, known.length)
                },
                None => Query::new(vector, f64::INFINITY),
            }
        });
        (queries.collect(), codes)
    }

    /// Without codes.
    fn least_of_all(&self, vector: &[f32]) -> f32 {
        if vector.iter().any(|value| value.is_nan()) {
            return f32::NAN;
        }
        let squared = self.squared_to_all(vector);
        squared.into_iter().fold(f32::INFINITY, f32::min)
    }

    /// The rows nearest to a vector, the nearest first; among equals those with the lower index.
    pub(super) fn first(&self, vector: &[f32], count: usize) -> Vec<usize> {
        let mut order: Vec<(f32, usize)> =
            self.squared_to_all(vector).into_iter().zip(0..).collect();
        let by = |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if count < order.len() {
            order.select_nth_unstable_by(count - 1, by);
            order.truncate(count);
        }
        order.sort_unstable_by(by);
        order.into_iter().map(|(_, index)| index).collect()
    }

    /// |x - y|² with every row.
    fn squared_to_all(&self, vector: &[f32]) -> Vec<f32> {
        match self.instructions {
            // SAFETY: the machine has these instructions: that is what `Instructions` says.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => unsafe { all_avx512(&self.bank, vector) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe { all_avx2(&self.bank, vector) },
            _ => all::<false>(&self.bank, vector),
        }
    }

    /// Compares queries with all rows: by their codes, and those of which codes do not say enough as they are.
    #[inline(always)]
    fn compare<const Q: usize, K: Kernel<Q>>(&self, kernel: &K, queries: &mut [Query]) {
        let groups = self.known.lengths.len();
        let most = (PANEL_BYTES / kernel.group_bytes()).clamp(GROUPS, PANEL) / GROUPS * GROUPS;
        let mut asked = Asked {
            at: [0; Q],
            factors: [0.0; Q],
            sums: [0; Q],
            limits: [Limit::NONE; Q],
        };
        let mut first = 0;
        while first < groups {
            // Each as long as all before it, since each gives the next a limit.
            let panel = first..(first + most.min(first.max(GROUPS))).min(groups);
            for (block, queries) in queries.chunks_mut(Q).enumerate() {
                for q in 0..Q {
                    // Where fewer are left, the last one is computed several times.
                    let at = q.min(queries.len() - 1);
                    let query = &queries[at];
                    asked.at[q] = block * Q + at;
                    (asked.factors[q], asked.sums[q]) = (query.factor, query.sum);
                    asked.limits[q] = query.limit;
                }
                if first == 0 {
                    let least = kernel.least(panel.clone(), &asked);
                    self.begin(panel.clone(), least, queries, &mut asked.limits);
                }
                let admitted = kernel.admitted(panel.clone(), &asked);
                for (query, admitted) in queries.iter_mut().zip(&admitted) {
                    if admitted.iter().fold(0, |any, lanes| any | lanes) != 0
                        && self.is_coded(query)
                    {
                        self.look_at::<Q, K>(panel.start, admitted, query);
                    }
                }
            }
            first = panel.end;
        }
    }

    /// Limits queries by their least values of the first rows.
    #[inline(always)]
    fn begin<const Q: usize>(
        &self,
        groups: Range<usize>,
        least: [f32; Q],
        queries: &mut [Query],
        limits: &mut [Limit; Q],
    ) {
        let errors = self.known.errors[groups].iter().flat_map(|rows| rows.0);
        let error = f64::from(errors.fold(0.0, f32::max));
        for ((query, least), limit) in queries.iter_mut().zip(least).zip(limits) {
            if !least.is_finite() || !self.is_coded(query) {
                continue;
            }
            let squared = (query.length + f64::from(least) + error * error).max(0.0)
                + self.rounding * (query.length + self.longest);
            query.limit = self.limit(query, squared.sqrt() + query.error + error);
            *limit = query.limit;
        }
    }

    /// Compares a query with the admitted rows of a panel as they are.
    #[inline(always)]
    fn look_at<const Q: usize, K: Kernel<Q>>(
        &self,
        first_group: usize,
        admitted: &Admitted,
        query: &mut Query,
    ) {
        let best = query.best;
        for (group, &lanes) in admitted.iter().enumerate() {
            let mut lanes = lanes;
            while lanes != 0 {
                let row = (first_group + group) * LANES + lanes.trailing_zeros() as usize;
                lanes &= lanes - 1;
                let squared = K::squared_distance(query.vector, self.bank.row(row));
                // Rows come in order: the first of equals stays.
                if squared < query.best {
                    (query.best, query.row) = (squared, row);
                }
            }
        }
        if query.best < best {
            // Sums of a few products in each of the lanes.
            let rounding = (self.bank.dims() / LANES + 8) as f64 * f64::from(f32::EPSILON);
            let found = f64::from(query.best).sqrt() * (1.0 + rounding);
            query.limit = self.limit(query, found);
        }
    }

    /// Of rows that may be as near as one that is no farther than that.
    #[inline(always)]
    fn limit(&self, query: &Query, found: f64) -> Limit {
        let distance = found + query.error;
        let squared = distance * distance;
        let slack = self.rounding * (query.length + self.longest + squared);
        Limit {
            twice: (2.0 * distance) as f32,
            // Places without a row are infinitely far.
            value: (squared - query.length + slack).min(f64::from(f32::MAX)) as f32,
        }
    }
}

/// Whether a row may be within a distance d, given how far its code is from it: e + d at most by codes, squared e² + 2 d e + d².
#[derive(Clone, Copy)]
pub(super) struct Limit {
    /// 2 d
    pub(super) twice: f32,
    /// d², less the query's squared length.
    pub(super) value: f32,
}

impl Limit {
    /// Of all rows that there are.
    const NONE: Self = Self {
        twice: 0.0,
        value: f32::MAX,
    };
}

/// `Q` queries.
pub(super) struct Asked<const Q: usize> {
    /// Which they are.
    pub(super) at: [usize; Q],
    pub(super) factors: [f32; Q],
    /// Of their codes' bytes.
    pub(super) sums: [i32; Q],
    pub(super) limits: [Limit; Q],
}

/// Of each group of a panel the rows that may be nearest, a bit each.
pub(super) type Admitted = [u16; PANEL];

/// How queries are compared with rows by some instructions. A value: what a query's squared length and it make is the squared distance
/// by codes less the row's squared error.
pub(super) trait Kernel<const Q: usize> {
    /// Bytes of codes in a group.
    fn group_bytes(&self) -> usize;

    /// Of each query the least value.
    fn least(&self, groups: Range<usize>, asked: &Asked<Q>) -> [f32; Q];

    /// Of each query the rows of a panel that its limit admits: value - error · 2 d is not more than the limit's value.
    fn admitted(&self, groups: Range<usize>, asked: &Asked<Q>) -> [Admitted; Q];

    /// |x - y|², the same by all kernels that multiply and add in one step.
    fn squared_distance(x: &[f32], y: &[f32]) -> f32;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
fn by_bytes<const Q: usize>(nearest: &Nearest, products: impl Products<Q>, queries: &mut [Query]) {
    let (known, parts) = (&nearest.known, nearest.parts);
    let kernel = ByBytes {
        known,
        parts,
        products,
    };
    nearest.compare::<Q, _>(&kernel, queries);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn plain_avx512(kernel: &Plain<GROUPS, true>, nearest: &Nearest, queries: &mut [Query]) {
    nearest.compare::<8, _>(kernel, queries);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn plain_avx2(kernel: &Plain<1, true>, nearest: &Nearest, queries: &mut [Query]) {
    nearest.compare::<4, _>(kernel, queries);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn all_avx512(bank: &Bank, vector: &[f32]) -> Vec<f32> {
    all::<true>(bank, vector)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn all_avx2(bank: &Bank, vector: &[f32]) -> Vec<f32> {
    all::<true>(bank, vector)
}

#[inline(always)]
fn all<const FUSED: bool>(bank: &Bank, vector: &[f32]) -> Vec<f32> {
    let mut squared = Vec::with_capacity(bank.count());
    // A closure would not have the caller's instructions.
    for index in 0..bank.count() {
        squared.push(plain::squared_distance::<FUSED>(vector, bank.row(index)));
    }
    squared
}

fn mean(bank: &Bank) -> Vec<f32> {
    let mut sums = vec![0.0; bank.dims()];
    for index in 0..bank.count() {
        for (sum, &value) in sums.iter_mut().zip(bank.row(index)) {
            // What is no vector is no row either.
            *sum += if value.is_finite() {
                f64::from(value)
            } else {
                0.0
            };
        }
    }
    let count = bank.count() as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

pub(super) fn squared_length(vector: &[f32]) -> f64 {
    vector.iter().map(|&v| f64::from(v) * f64::from(v)).sum()
}

#[cfg(target_arch = "x86_64")]
fn has_bytes() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_bytes() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use graph::Tensor;
    use proptest::prelude::*;

    use super::*;
    use crate::Stream;

    /// What makes codes say little.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Odd {
        Nothing,
        /// A few places with rows close around them.
        Clusters,
        /// One row is far longer than all others.
        Outlier,
        /// One dimension is far wider than all others.
        Dimension,
        /// All rows are far from 0.
        Far,
        Same,
        /// One dimension is too wide for codes.
        Long,
        /// Squares are hardly numbers.
        Short,
        /// Nothing but what is no vector.
        None,
    }

    fn made(odd: Odd, rows: usize, dims: usize, seed: u64) -> Vec<f32> {
        let stream = Stream::new(seed, "rows");
        let value = |at: usize| stream.uniform(at as u64) - 0.5;
        let one = |row: usize, dim: usize| match odd {
            Odd::Nothing => value(row * dims + dim),
            Odd::Clusters => value(row % 5 * dims + dim) + 1e-3 * value((row + 9) * dims + dim),
            Odd::Outlier if row == rows / 2 => 1e4 * value(dim),
            Odd::Outlier => value(row * dims + dim),
            Odd::Dimension if dim == 0 => 1e3 * value(row * dims),
            Odd::Dimension => value(row * dims + dim),
            Odd::Far => 1e3 + value(row * dims + dim),
            Odd::Same => value(dim),
            Odd::Long if dim == 0 => 1e17 * value(row * dims),
            Odd::Long => value(row * dims + dim),
            Odd::Short => 1e-19 * value(row * dims + dim),
            Odd::None => f32::NAN,
        };
        (0..rows)
            .flat_map(|row| (0..dims).map(move |dim| (row, dim)))
            .map(|(row, dim)| one(row, dim))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn codes_decide_nothing(
            odd in prop::sample::select(vec![
                Odd::Nothing, Odd::Clusters, Odd::Outlier, Odd::Dimension, Odd::Far, Odd::Same, Odd::Long, Odd::Short, Odd::None,
            ]),
            // Of more than 1,024 a panel is as long as it may be.
            rows in 1..1300_usize,
            dims in 1..150_usize,
            seed: u64,
        ) {
            let values = made(odd, rows, dims, seed);
            let mut queries = made(odd, 41, dims, seed ^ 1);
            // One that is a row, one that is none of a kind, and some that are hardly vectors.
            queries[..dims].copy_from_slice(&values[..dims]);
            for (query, value) in [(1, 0.0), (2, 1e6), (3, 1e20), (4, 1e-42), (5, -3e38), (8, 1e22), (9, 1e30), (10, 1e15)] {
                queries[query * dims..(query + 1) * dims].fill(value);
            }
            queries[6 * dims] = f32::NAN;
            queries[7 * dims] = f32::INFINITY;
            let queries: Vec<&[f32]> = queries.chunks_exact(dims).collect();
            let bank = || Bank { rows: Tensor::new([rows, dims], values.clone()).expect("fits") };
            for kind in Kind::of_this_machine() {
                let nearest = Nearest::with(bank(), kind);
                let mut found = vec![0.0; queries.len()];
                nearest.distances(&queries, &mut found);
                for (query, found) in queries.iter().zip(found) {
                    let slow = nearest.least_of_all(query).sqrt();
                    if slow.is_finite() {
                        prop_assert_eq!(nearest.row(query), nearest.first(query, 1)[0]);
                    }
                    prop_assert_eq!(found.to_bits(), slow.to_bits(), "{:?}: {} and not {}", kind, found, slow);
                }
            }
        }
    }

    /// A panel holds a group of rows at least.
    #[test]
    fn rows_of_many_dimensions_are_compared() {
        let dims = 20_000;
        let values = made(Odd::Nothing, 40, dims, 1);
        for kind in Kind::of_this_machine() {
            let rows = Tensor::new([40, dims], values.clone()).expect("fits");
            let nearest = Nearest::with(Bank { rows }, kind);
            let mut found = [f32::NAN];
            nearest.distances(&[&values[33 * dims..34 * dims]], &mut found);
            assert_eq!(found, [0.0]);
        }
    }

    #[test]
    fn a_row_that_is_no_vector_is_none() {
        let values = vec![f32::NAN, 0.0, 3.0, 4.0, f32::INFINITY, 1.0];
        for kind in Kind::of_this_machine() {
            let rows = Tensor::new([3, 2], values.clone()).expect("fits");
            let nearest = Nearest::with(Bank { rows }, kind);
            let mut found = [0.0];
            nearest.distances(&[&[0.0, 0.0]], &mut found);
            assert_eq!(found, [5.0]);
        }
    }
}

//! What changes from one job to another on the same images: whose decisions flip, and where.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use report::{Flip, Folder, Side, Switch, Truth};
use tables::ScoreRow;

/// What one job says about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    pub uri: String,
    /// Of what was scored; empty where nothing was read.
    pub etag: String,
    pub truth: Option<Truth>,
    pub score: Option<f32>,
    pub normalized: Option<f32>,
    pub is_anomalous: Option<bool>,
}

impl Decided {
    /// Of an image that is measured, of those of this run.
    pub fn of(row: ScoreRow, run: u32) -> Option<Self> {
        (row.run == run && row.split == "test").then_some(Self {
            truth: match row.label.as_str() {
                "normal" => Some(Truth::Normal),
                "anomalous" => Some(Truth::Anomalous),
                _ => None,
            },
            uri: row.uri,
            etag: row.etag,
            score: row.score,
            normalized: row.score_normalized,
            is_anomalous: row.is_anomalous,
        })
    }

    /// Whether both were read, and what was read is not the same.
    fn has_changed(pair: &[&Self; 2]) -> bool {
        let [first, second] = pair.map(|one| one.etag.as_str());
        !first.is_empty() && !second.is_empty() && first != second
    }

    /// How far from its threshold an image is decided: half of the way at most with bounds, else not known.
    fn margin(&self) -> f32 {
        self.normalized
            .map_or(0.0, |normalized| (normalized - 0.5).abs())
    }
}

/// Compares what two jobs decided; of each kind of flip so many are kept, the clearest ones.
pub fn switch(sides: [Side; 2], mut decided: [Vec<Decided>; 2], shown: usize) -> Switch {
    for side in &mut decided {
        side.sort_by(|a, b| a.uri.cmp(&b.uri));
        side.dedup_by(|a, b| a.uri == b.uri);
    }
    let [first, second] = &decided;
    let mut switch = Switch {
        sides,
        images: [[0; 2]; 2],
        only: [0; 2],
        changed: 0,
        undecided: 0,
        rank_correlation: None,
        folders: Vec::new(),
        flips: [Vec::new(), Vec::new()],
        right: None,
    };
    let (mut pairs, mut folders) = (Vec::new(), BTreeMap::<&str, Folder>::new());
    let mut flips: [Vec<[&Decided; 2]>; 2] = [Vec::new(), Vec::new()];
    let (mut right, mut labelled) = ([0; 2], 0);
    for pair in both(first, second, &mut switch.only) {
        if Decided::has_changed(&pair) {
            switch.changed += 1;
            continue;
        }
        pairs.extend(pair[0].score.zip(pair[1].score));
        let [Some(before), Some(now)] = pair.map(|one| one.is_anomalous) else {
            switch.undecided += 1;
            continue;
        };
        switch.images[usize::from(before)][usize::from(now)] += 1;
        let folder = pair[0]
            .uri
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        let folder = folders.entry(folder).or_insert_with(|| Folder {
            name: folder.to_owned(),
            images: 0,
            anomalous: [0; 2],
            flipped: [0; 2],
        });
        folder.images += 1;
        for (count, is_anomalous) in folder.anomalous.iter_mut().zip([before, now]) {
            *count += u64::from(is_anomalous);
        }
        if before != now {
            let kind = usize::from(before);
            folder.flipped[kind] += 1;
            flips[kind].push(pair);
        }
        if let Some(truth) = pair[0].truth.or(pair[1].truth) {
            labelled += 1;
            for (count, is_anomalous) in right.iter_mut().zip([before, now]) {
                *count += u64::from(is_anomalous == (truth == Truth::Anomalous));
            }
        }
    }
    switch.right = (labelled > 0).then_some((right, labelled));
    switch.rank_correlation = spearman(&pairs);
    switch.folders = folders.into_values().collect();
    // A stable order: by name among those with as many flips.
    switch
        .folders
        .sort_by_key(|folder| std::cmp::Reverse(folder.flipped.iter().sum::<u64>()));
    switch.flips = flips.map(|flips| clearest(flips, shown));
    switch
}

/// The images that both have, in order; counts those that only one of them has.
fn both<'a>(
    first: &'a [Decided],
    second: &'a [Decided],
    only: &mut [u64; 2],
) -> Vec<[&'a Decided; 2]> {
    let (mut ones, mut others) = (first.iter().peekable(), second.iter().peekable());
    let mut pairs = Vec::new();
    loop {
        let order = match (ones.peek(), others.peek()) {
            (Some(one), Some(other)) => one.uri.cmp(&other.uri),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return pairs,
        };
        match order {
            Ordering::Less => {
                ones.next();
                only[0] += 1;
            }
            Ordering::Greater => {
                others.next();
                only[1] += 1;
            }
            Ordering::Equal => pairs.extend(ones.next().zip(others.next()).map(|(a, b)| [a, b])),
        }
    }
}

/// Those that both jobs are surest of.
fn clearest(mut flips: Vec<[&Decided; 2]>, shown: usize) -> Vec<Flip> {
    let margin = |pair: &[&Decided; 2]| pair[0].margin() + pair[1].margin();
    flips.sort_by(|a, b| margin(b).total_cmp(&margin(a)));
    let flip = |pair: &[&Decided; 2]| Flip {
        uri: pair[0].uri.clone(),
        truth: pair[0].truth.or(pair[1].truth),
        // What is decided has a score.
        scores: pair.map(|one| one.score.unwrap_or_default()),
        normalized: pair.map(|one| one.normalized),
        image: None,
        overlays: [None, None],
        lacks: None,
    };
    flips.iter().take(shown).map(flip).collect()
}

/// The correlation of ranks, equal values sharing the mean of theirs. `None` for fewer than two pairs, or where one side is all
/// alike.
fn spearman(pairs: &[(f32, f32)]) -> Option<f64> {
    let ranks = |of: fn(&(f32, f32)) -> f32| {
        let values: Vec<f32> = pairs.iter().map(of).collect();
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        let mut ranks = vec![0.0_f64; values.len()];
        for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
            // Ranks of those before, and the middle of these.
            let first =
                order.partition_point(|&at| values[at].total_cmp(&values[equal[0]]).is_lt());
            let middle = first as f64 + (equal.len() - 1) as f64 / 2.0;
            equal.iter().for_each(|&at| ranks[at] = middle);
        }
        ranks
    };
    let (a, b) = (ranks(|pair| pair.0), ranks(|pair| pair.1));
    let mean = (pairs.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| {
        let products = a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean));
        products.sum::<f64>()
    };
    let spread = product(&a, &a) * product(&b, &b);
    (pairs.len() > 1 && spread > 0.0).then(|| product(&a, &b) / spread.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(job: &str) -> Side {
        Side {
            job: job.to_owned(),
            name: String::new(),
            model: String::new(),
            version: None,
            threshold: None,
        }
    }

    fn decided(uri: &str, score: f32, is_anomalous: impl Into<Option<bool>>) -> Decided {
        Decided {
            uri: uri.to_owned(),
            etag: "1".to_owned(),
            truth: None,
            score: Some(score),
            normalized: Some(score),
            is_anomalous: is_anomalous.into(),
        }
    }

    #[test]
    fn flips_are_counted_each_way_and_by_folder() {
        let first = vec![
            decided("/n/cam1/a", 0.1, false),
            decided("/n/cam1/b", 0.45, false),
            decided("/n/cam2/c", 0.9, true),
            decided("/n/cam2/d", 0.4, false),
            decided("/n/cam2/e", 0.4, None),
            decided("/n/cam2/only", 0.4, false),
        ];
        let mut second = vec![
            decided("/n/cam2/c", 0.2, false),
            decided("/n/cam1/a", 0.9, true),
            decided("/n/cam1/b", 0.55, true),
            decided("/n/cam2/d", 0.3, false),
            decided("/n/cam2/e", 0.3, false),
            decided("/n/new", 0.3, false),
            decided("/n/newer", 0.3, false),
        ];
        second[0].truth = Some(Truth::Anomalous);
        let found = switch([side("a"), side("b")], [first, second], 1);
        assert_eq!(found.images, [[1, 2], [1, 0]]);
        assert_eq!((found.only, found.undecided), ([1, 2], 1));
        assert_eq!(found.flipped(), [2, 1]);
        assert_eq!(found.decided(), 4);
        assert_eq!(found.right, Some(([1, 0], 1)));
        let folder = |name: &str, anomalous, flipped| Folder {
            name: name.to_owned(),
            images: 2,
            anomalous,
            flipped,
        };
        assert_eq!(
            found.folders,
            [
                folder("/n/cam1", [0, 2], [2, 0]),
                folder("/n/cam2", [1, 0], [0, 1])
            ]
        );
        // The one that both are surer of.
        let shown = found
            .flips
            .map(|flips| flips.into_iter().map(|flip| flip.uri).collect::<Vec<_>>());
        assert_eq!(shown, [["/n/cam1/a"], ["/n/cam2/c"]]);
    }

    #[test]
    fn what_was_written_between_the_jobs_is_no_flip() {
        let first = ["a", "b", "c"].map(|uri| decided(uri, 0.1, false)).to_vec();
        let mut second = ["a", "b", "c"].map(|uri| decided(uri, 0.9, true)).to_vec();
        second[0].etag = "2".to_owned();
        // Nobody knows what could not be read.
        second[2] = Decided {
            etag: String::new(),
            score: None,
            ..decided("c", 0.0, None)
        };
        let found = switch([side("a"), side("b")], [first, second], 3);
        assert_eq!((found.changed, found.undecided), (1, 1));
        assert_eq!(found.images, [[0, 1], [0, 0]]);
        assert_eq!(found.folders[0].images, 1);
        assert_eq!(found.flips[0].len(), 1);
    }

    #[test]
    fn ranks_correlate_whatever_the_scale() {
        assert_eq!(
            spearman(&[(1.0, 10.0), (2.0, 400.0), (3.0, 5e6)]),
            Some(1.0)
        );
        assert_eq!(spearman(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]), Some(-1.0));
        // By hand: ranks 0 1.5 1.5 3 and 0 1 2 3.
        let ties = spearman(&[(1.0, 1.0), (2.0, 2.0), (2.0, 3.0), (9.0, 4.0)]).unwrap();
        assert!(
            (ties - 4.5 / (4.5_f64 * 5.0).sqrt()).abs() < 1e-12,
            "{ties}"
        );
        assert_eq!(spearman(&[(1.0, 1.0)]), None);
        assert_eq!(spearman(&[(1.0, 1.0), (1.0, 2.0)]), None);
    }
}

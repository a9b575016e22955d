//! Whether the rows of a run cover its samples: each image exactly once, with a score or with a typed error.
//!
//! Pure. All tables are sorted by uri, so that one pass over them is enough, however long they are.

use std::cmp::Ordering;

use sha2::{Digest, Sha256};

/// Images named in a report; the rest is counted.
const NAMED: usize = 5;

/// What identifies an image in both tables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    pub uri: String,
    pub sample: u64,
    pub etag: String,
}

/// What a row of `scores` says about its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Score,
    Error,
    /// Neither, or both.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A sample without a row.
    Missing,
    /// A second row of one sample.
    Doubled,
    /// A row whose image is no sample, or is another version of one.
    Foreign,
    /// A row with neither a score nor an error, or with both.
    Undecided,
    /// A reused row behind one of a later image: nobody can tell whether it is there twice.
    Unsorted,
}

impl Fault {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Doubled => "doubled",
            Self::Foreign => "foreign",
            Self::Undecided => "undecided",
            Self::Unsorted => "unsorted",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    pub samples: u64,
    pub scored: u64,
    pub errors: u64,
    /// Images besides these that earlier jobs had scored.
    pub reused: u64,
    pub faults: u64,
    /// The first faults, with the images' addresses.
    pub named: Vec<(Fault, String)>,
    /// Over sample, uri and etag of each image in order: equal where rows and samples are the same images.
    pub samples_sha256: String,
    pub rows_sha256: String,
}

impl Coverage {
    pub fn is_complete(&self) -> bool {
        self.faults == 0
            && self.scored + self.errors == self.samples
            && self.samples_sha256 == self.rows_sha256
    }
}

/// Walks over a run's samples, its rows and those that it took from earlier jobs, all sorted by uri; anything out of order counts as
/// a fault. An image that was reused is no sample.
pub fn cover<E>(
    samples: impl Iterator<Item = Result<Image, E>>,
    rows: impl Iterator<Item = Result<(Image, Said), E>>,
    reused: impl Iterator<Item = Result<(Image, Said), E>>,
) -> Result<Coverage, E> {
    let (mut samples, mut rows) = (Side::new(samples), Side::new(rows));
    let mut reused = Side::new(reused);
    let mut last_reused: Option<Image> = None;
    let mut found = Coverage {
        samples: 0,
        scored: 0,
        errors: 0,
        reused: 0,
        faults: 0,
        named: Vec::new(),
        samples_sha256: String::new(),
        rows_sha256: String::new(),
    };
    let (mut of_samples, mut of_rows) = (Sha256::new(), Sha256::new());
    let mut last: Option<Image> = None;
    loop {
        let (sample, row) = (samples.peek()?, rows.peek()?);
        let next = [sample, row.map(|(image, _)| image)];
        // Of the listing and of what was scored, whichever comes first.
        let next = next.into_iter().flatten().map(|image| &image.uri).min();
        if let Some((image, _)) = reused.peek()?
            && next.is_none_or(|next| image.uri <= *next)
        {
            let is_scored = next == Some(&image.uri);
            if let Some(row) = reused.take() {
                found.reused(row, is_scored, &mut last_reused);
            }
            continue;
        }
        let order = match (sample, row) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(sample), Some((image, _))) => sample.cmp(image),
        };
        let sample = if order.is_le() { samples.take() } else { None };
        let row = if order.is_ge() { rows.take() } else { None };
        if let Some(sample) = &sample {
            found.samples += 1;
            of_samples.update(line(sample));
        }
        if let Some((image, said)) = &row {
            of_rows.update(line(image));
            match said {
                Said::Score => found.scored += 1,
                Said::Error => found.errors += 1,
                Said::Nothing => found.fault(Fault::Undecided, image),
            }
        }
        match (sample, row) {
            (Some(sample), None) => found.fault(Fault::Missing, &sample),
            (None, Some((image, _))) if last.as_ref() == Some(&image) => {
                found.fault(Fault::Doubled, &image)
            }
            (None, Some((image, _))) => found.fault(Fault::Foreign, &image),
            (_, row) => last = row.map(|(image, _)| image),
        }
    }
    found.samples_sha256 = hexadecimal(&of_samples.finalize());
    found.rows_sha256 = hexadecimal(&of_rows.finalize());
    Ok(found)
}

impl Coverage {
    /// Counts a row that was taken from an earlier job; `is_scored`: its image is one of this job's own.
    fn reused(&mut self, (image, said): (Image, Said), is_scored: bool, last: &mut Option<Image>) {
        self.reused += 1;
        let order = last.as_ref().map(|last| last.uri.cmp(&image.uri));
        if order.is_some_and(Ordering::is_gt) {
            self.fault(Fault::Unsorted, &image);
        } else if is_scored || order.is_some_and(Ordering::is_eq) {
            self.fault(Fault::Doubled, &image);
        }
        if said == Said::Nothing {
            self.fault(Fault::Undecided, &image);
        }
        *last = Some(image);
    }

    fn fault(&mut self, fault: Fault, image: &Image) {
        self.faults += 1;
        if self.named.len() < NAMED {
            self.named.push((fault, image.uri.clone()));
        }
    }
}

/// One side of the walk, with the item that comes next.
struct Side<T, E, I: Iterator<Item = Result<T, E>>> {
    items: I,
    next: Option<T>,
}

impl<T, E, I: Iterator<Item = Result<T, E>>> Side<T, E, I> {
    fn new(items: I) -> Self {
        Self { items, next: None }
    }

    fn peek(&mut self) -> Result<Option<&T>, E> {
        if self.next.is_none() {
            self.next = self.items.next().transpose()?;
        }
        Ok(self.next.as_ref())
    }

    fn take(&mut self) -> Option<T> {
        self.next.take()
    }
}

fn line(image: &Image) -> String {
    format!("{}\t{}\t{}\n", image.sample, image.uri, image.etag)
}

pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, sample: u64) -> Image {
        Image {
            uri: format!("file:///{name}"),
            sample,
            etag: "e".to_owned(),
        }
    }

    fn check(samples: &[Image], rows: &[(Image, Said)]) -> Coverage {
        check_with(samples, rows, &[])
    }

    fn check_with(samples: &[Image], rows: &[(Image, Said)], reused: &[(Image, Said)]) -> Coverage {
        let samples = samples
            .iter()
            .cloned()
            .map(Ok::<_, std::convert::Infallible>);
        let rows = rows.iter().cloned().map(Ok);
        let Ok(found) = cover(samples, rows, reused.iter().cloned().map(Ok));
        found
    }

    #[test]
    fn every_image_once_is_complete() {
        let samples = [image("a", 0), image("b", 1), image("c", 2)];
        let rows = [Said::Score, Said::Error, Said::Score];
        let rows: Vec<_> = samples.iter().cloned().zip(rows).collect();
        let found = check(&samples, &rows);
        assert!(found.is_complete(), "{found:?}");
        assert_eq!((found.samples, found.scored, found.errors), (3, 2, 1));
        assert!(check(&[], &[]).is_complete());
    }

    #[test]
    fn each_fault_is_found_and_named() {
        let samples = [image("a", 0), image("b", 1), image("c", 2)];
        let score = |image: &Image| (image.clone(), Said::Score);
        let mut other = samples[1].clone();
        other.etag = "f".to_owned();
        type Case<'a> = (Vec<(Image, Said)>, &'a [(Fault, &'a str)]);
        let cases: [Case<'_>; 6] = [
            (
                vec![score(&samples[0]), score(&samples[2])],
                &[(Fault::Missing, "b")],
            ),
            (
                vec![
                    score(&samples[0]),
                    score(&samples[1]),
                    score(&samples[1]),
                    score(&samples[2]),
                ],
                &[(Fault::Doubled, "b")],
            ),
            (
                vec![score(&samples[0]), score(&other), score(&samples[2])],
                &[(Fault::Missing, "b"), (Fault::Foreign, "b")],
            ),
            (
                samples
                    .iter()
                    .map(score)
                    .chain([score(&image("d", 3))])
                    .collect(),
                &[(Fault::Foreign, "d")],
            ),
            (
                vec![
                    score(&samples[0]),
                    (samples[1].clone(), Said::Nothing),
                    score(&samples[2]),
                ],
                &[(Fault::Undecided, "b")],
            ),
            (
                vec![],
                &[
                    (Fault::Missing, "a"),
                    (Fault::Missing, "b"),
                    (Fault::Missing, "c"),
                ],
            ),
        ];
        for (rows, faults) in cases {
            let found = check(&samples, &rows);
            let named: Vec<_> = faults
                .iter()
                .map(|(fault, name)| (*fault, format!("file:///{name}")))
                .collect();
            assert_eq!(found.named, named);
            assert!(!found.is_complete());
        }
    }

    #[test]
    fn each_image_is_once_in_what_was_scored_and_reused_together() {
        let samples = [image("b", 0), image("d", 1)];
        let score = |image: &Image| (image.clone(), Said::Score);
        let rows: Vec<_> = samples.iter().map(score).collect();
        let [a, c, e] = ["a", "c", "e"].map(|name| image(name, 7));
        let all = [score(&a), (c.clone(), Said::Error), score(&e)];
        let whole = check_with(&samples, &rows, &all);
        assert!(whole.is_complete(), "{whole:?}");
        assert_eq!((whole.samples, whole.reused), (2, 3));
        let alone = check_with(&[], &[], &all);
        assert_eq!((alone.is_complete(), alone.reused), (true, 3));
        // Another number and version of the image do not make it another.
        let b = image("b", 9);
        for (reused, fault, name) in [
            (vec![score(&a), score(&a)], Fault::Doubled, "a"),
            (vec![score(&a), score(&b)], Fault::Doubled, "b"),
            (vec![score(&e), score(&e)], Fault::Doubled, "e"),
            (vec![score(&c), score(&a)], Fault::Unsorted, "a"),
            (vec![score(&e), score(&c)], Fault::Unsorted, "c"),
            (vec![(a.clone(), Said::Nothing)], Fault::Undecided, "a"),
        ] {
            let found = check_with(&samples, &rows, &reused);
            assert_eq!(found.named, [(fault, format!("file:///{name}"))]);
            assert!(!found.is_complete());
        }
    }

    #[test]
    fn rows_out_of_order_are_faults() {
        let samples = [image("a", 0), image("b", 1)];
        let rows = [
            (samples[1].clone(), Said::Score),
            (samples[0].clone(), Said::Score),
        ];
        assert!(!check(&samples, &rows).is_complete());
    }
}

//! Which tables of the store's index say what has been scored: those of earlier jobs, and in the place of many one that was
//! merged of them.
//!
//! ```text
//! {folder}/{job}.parquet                    a segment: what a job has scored
//! {folder}/merged/{job}-{number}.parquet    the rows of several segments, which its metadata names
//! ```
//!
//! A merged table is read in the place of its segments only while each of them is there as it was. So it says what they say,
//! nothing else: it may be deleted, be left half published, or be there twice.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    iter,
    rc::Rc,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::{Store, layout};
use tables::{MADE_OF_KEY, Row, ScoreRow, TableError, TableReader};
use tokio::runtime::Handle;

use super::{known::is_final, spans::Spans};
use crate::{
    attempt::Attempt,
    error::{TaskError, one_line},
    sorted::{Batches, Merged},
    tasks::names,
};

/// So many tables of like size become one. A thousand nights are read as some 30 tables, and each row is written twice more.
const MANY: usize = 16;

/// What is to be read of the index.
pub struct Index {
    /// Paths of the tables, relative to the store's root.
    pub tables: Vec<String>,
    /// Names of the attempt's parts among them, which are to be put into the index.
    pub merged: Vec<String>,
}

/// A segment of a folder, as it was when somebody looked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Segment {
    /// Below the folder.
    name: String,
    etag: String,
}

/// A table with the rows of these segments.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    path: String,
    segments: BTreeSet<Segment>,
}

/// Tables of the index that cannot be read, by their addresses, and why. The index is a copy: what only they say is scored again.
#[derive(Debug, Clone, Default)]
pub struct Damaged(Rc<RefCell<BTreeMap<String, String>>>);

impl Damaged {
    pub fn warnings(&self) -> Vec<String> {
        let tables = self.0.borrow();
        let warning = |(uri, why): (&String, &String)| {
            format!(
                "{uri}, which says what an earlier job has scored, cannot be read ({why}): its images are scored again; delete it"
            )
        };
        tables.iter().map(warning).collect()
    }
}

/// A table of the index that is being read.
struct Table {
    store: Store,
    runtime: Handle,
    path: String,
    damaged: Damaged,
}

impl Table {
    fn of(attempt: &Attempt, path: &str, damaged: &Damaged) -> Self {
        Self {
            store: attempt.store.clone(),
            runtime: attempt.runtime.clone(),
            path: path.to_owned(),
            damaged: damaged.clone(),
        }
    }

    /// Takes note if the table is damaged; every other error is given back.
    fn note(&self, error: TaskError) -> Result<(), TaskError> {
        let TaskError::Table {
            uri,
            source: source @ TableError::Read { .. },
        } = &error
        else {
            return Err(error);
        };
        // A store that fails is no damage: it is asked for the whole file, and says so itself.
        let bytes = self.runtime.block_on(self.store.get(&self.path, None))?;
        if is_whole(bytes) {
            return Err(error);
        }
        tracing::warn!(uri, error = one_line(source), "damaged");
        let mut tables = self.damaged.0.borrow_mut();
        tables.insert(uri.clone(), one_line(source));
        Ok(())
    }
}

fn is_whole(bytes: Bytes) -> bool {
    TableReader::<ScoreRow>::open(bytes).is_ok_and(|mut rows| rows.all(|batch| batch.is_ok()))
}

/// The rows of a table of the index that may be within these spans of addresses, and others besides, up to where it is damaged.
pub fn batches(
    attempt: &Attempt,
    path: &str,
    spans: &Spans,
    damaged: &Damaged,
) -> Result<Batches<ScoreRow>, TaskError> {
    let wanted = |least: &[u8], greatest: &[u8]| spans.meet(least, greatest);
    up_to_damage(
        attempt,
        path,
        damaged,
        attempt.batches_where(path, "uri", wanted),
    )
}

fn up_to_damage(
    attempt: &Attempt,
    path: &str,
    damaged: &Damaged,
    batches: Result<Batches<ScoreRow>, TaskError>,
) -> Result<Batches<ScoreRow>, TaskError> {
    let table = Table::of(attempt, path, damaged);
    let batches = match batches {
        Ok(batches) => batches,
        Err(error) => {
            table.note(error)?;
            return Ok(Box::new(iter::empty()));
        }
    };
    Ok(Box::new(batches.map_while(move |batch| match batch {
        Ok(rows) => Some(Ok(rows)),
        Err(error) => table.note(error).err().map(Err),
    })))
}

/// Looks at a folder of the index, and merges tables where there are many; of these no more than [`MANY`] are open at once.
pub fn open(attempt: &Attempt, folder: &str, damaged: &Damaged) -> Result<Index, TaskError> {
    let objects = attempt.runtime.block_on(attempt.store.list(folder))?;
    let (mut segments, mut merged) = (Vec::new(), Vec::new());
    for object in objects {
        if layout::is_index_merged(folder, &object.path) {
            match made_of(attempt, &object.path) {
                Ok(segments) => merged.push(Source {
                    segments,
                    path: object.path,
                }),
                // Its segments say the same.
                Err(error) => Table::of(attempt, &object.path, damaged).note(error)?,
            }
        } else {
            let name = object.path.strip_prefix(folder).unwrap_or(&object.path);
            let segment = Segment {
                name: name.trim_start_matches('/').to_owned(),
                etag: object.etag,
            };
            segments.push(Source {
                path: object.path,
                segments: BTreeSet::from([segment]),
            });
        }
    }
    let mut parts = Vec::new();
    let merge = |sources: &[Source], segments: &BTreeSet<Segment>| {
        let name = names::merged(parts.len());
        merge(attempt, sources, segments, &name, damaged)?;
        let path = attempt.writer.path(&name);
        parts.push(name);
        Ok::<_, TaskError>(path)
    };
    let sources = compact(choose(segments, merged), merge)?;
    Ok(Index {
        tables: sources.into_iter().map(|source| source.path).collect(),
        merged: parts,
    })
}

/// The segments whose rows a merged table has.
fn made_of(attempt: &Attempt, path: &str) -> Result<BTreeSet<Segment>, TaskError> {
    let table = attempt.ranged_table::<ScoreRow>(path, 0..0)?;
    let segments = table
        .note(MADE_OF_KEY)
        .and_then(|text| serde_json::from_str(text).ok());
    segments.ok_or_else(|| TaskError::NotMerged {
        uri: attempt.store.uri(path),
    })
}

/// Tables that have the rows of all segments that are there, and no others.
fn choose(segments: Vec<Source>, mut merged: Vec<Source>) -> Vec<Source> {
    let there: BTreeSet<&Segment> = segments.iter().flat_map(|one| &one.segments).collect();
    merged.retain(|table| table.segments.iter().all(|one| there.contains(one)));
    // The largest first: what it was merged of says nothing besides.
    merged.sort_by_key(|table| std::cmp::Reverse(table.segments.len()));
    let mut told: BTreeSet<Segment> = BTreeSet::new();
    let mut chosen = Vec::new();
    for table in merged.into_iter().chain(segments) {
        if !table.segments.is_subset(&told) {
            told.extend(table.segments.iter().cloned());
            chosen.push(table);
        }
    }
    chosen
}

/// Has tables merged until nowhere are [`MANY`] of like size; `merge` makes one, and says where it is.
fn compact<E>(
    mut sources: Vec<Source>,
    mut merge: impl FnMut(&[Source], &BTreeSet<Segment>) -> Result<String, E>,
) -> Result<Vec<Source>, E> {
    while let Some(level) = crowded(&sources) {
        let mut taken = Vec::with_capacity(MANY);
        let mut left = Vec::with_capacity(sources.len());
        for source in sources {
            if taken.len() < MANY && level_of(&source) == level {
                taken.push(source);
            } else {
                left.push(source);
            }
        }
        let segments: BTreeSet<Segment> = taken
            .iter()
            .flat_map(|source| source.segments.iter().cloned())
            .collect();
        left.push(Source {
            path: merge(&taken, &segments)?,
            segments,
        });
        sources = left;
    }
    Ok(sources)
}

/// How often a table's rows have been merged, about.
fn level_of(source: &Source) -> u32 {
    source.segments.len().checked_ilog(MANY).unwrap_or(0)
}

/// The lowest level that has too many tables.
fn crowded(sources: &[Source]) -> Option<u32> {
    let mut levels: BTreeMap<u32, usize> = BTreeMap::new();
    for source in sources {
        *levels.entry(level_of(source)).or_default() += 1;
    }
    let mut crowded = levels.into_iter().filter(|(_, tables)| *tables >= MANY);
    crowded.next().map(|(level, _)| level)
}

/// Writes the rows of some tables as a part of the attempt.
fn merge(
    attempt: &Attempt,
    sources: &[Source],
    segments: &BTreeSet<Segment>,
    name: &str,
    damaged: &Damaged,
) -> Result<(), TaskError> {
    let tables = sources.iter();
    let tables = tables.map(|source| {
        let batches = attempt.batches(&source.path);
        up_to_damage(attempt, &source.path, damaged, batches)
    });
    let rows = Merged::of(tables.collect::<Result<_, _>>()?)?;
    let mut part = attempt.begin_table::<ScoreRow>(name)?;
    part.note(MADE_OF_KEY, serde_json::json!(segments).to_string());
    each_distinct(rows, |row| {
        attempt.check_cancelled()?;
        part.push(row)
    })?;
    part.finish()?;
    tracing::info!(
        tables = sources.len(),
        jobs = segments.len(),
        "merged tables of the index"
    );
    Ok(())
}

/// The rows that count, of each state of an image one: of sorted rows the last, as a reader of all of them takes it.
fn each_distinct<E>(
    rows: impl Iterator<Item = Result<ScoreRow, E>>,
    mut push: impl FnMut(ScoreRow) -> Result<(), E>,
) -> Result<(), E> {
    // Of one address.
    let mut states: Vec<ScoreRow> = Vec::new();
    for row in rows {
        let row = row?;
        if !is_final(&row) {
            continue;
        }
        if states.last().is_some_and(|last| last.order(&row).is_ne()) {
            states.drain(..).try_for_each(&mut push)?;
        }
        match states.iter_mut().find(|known| known.etag == row.etag) {
            Some(known) => *known = row,
            None => states.push(row),
        }
    }
    states.into_iter().try_for_each(push)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// A folder of the index, without rows: segments with their etags, and what merged tables were made of.
    #[derive(Debug, Clone, Default)]
    struct Folder {
        segments: BTreeMap<String, u64>,
        merged: BTreeMap<String, BTreeSet<Segment>>,
    }

    impl Folder {
        fn there(&self) -> BTreeSet<Segment> {
            let segment = |(name, etag): (&String, &u64)| Segment {
                name: name.clone(),
                etag: etag.to_string(),
            };
            self.segments.iter().map(segment).collect()
        }

        /// What a job's listing reads, and the tables that it has merged.
        fn list(&self, job: u64) -> (Vec<Source>, Vec<Source>) {
            let segments = self.there().into_iter().map(|segment| Source {
                path: segment.name.clone(),
                segments: BTreeSet::from([segment]),
            });
            let merged = self.merged.iter().map(|(path, segments)| Source {
                path: path.clone(),
                segments: segments.clone(),
            });
            let mut made = Vec::new();
            let merge = |sources: &[Source], segments: &BTreeSet<Segment>| {
                assert!(sources.len() <= MANY, "open at once: {}", sources.len());
                let path = format!("merged/{job:04}-{}", made.len());
                made.push(Source {
                    path: path.clone(),
                    segments: segments.clone(),
                });
                Ok::<_, Infallible>(path)
            };
            let Ok(read) = compact(choose(segments.collect(), merged.collect()), merge);
            (read, made)
        }

        /// Publishes what a job has made, of its merged tables so many.
        fn publish(&mut self, job: u64, made: Vec<Source>, merged: usize) {
            self.segments.insert(format!("{job:04}"), job);
            for table in made.into_iter().take(merged) {
                self.merged.insert(table.path, table.segments);
            }
        }

        /// The tables together have the segments that are there, and they are few.
        fn check(&self, read: &[Source]) {
            let told: BTreeSet<Segment> =
                read.iter().flat_map(|one| one.segments.clone()).collect();
            assert_eq!(told, self.there());
            let levels = 1 + told.len().max(1).ilog(MANY) as usize;
            let most = (MANY - 1) * levels;
            assert!(read.len() <= most, "{} of {}", read.len(), told.len());
        }
    }

    #[test]
    fn a_thousand_nights_are_read_as_few_tables_and_each_row_is_merged_twice_at_most() {
        let mut folder = Folder::default();
        let mut rows = 0;
        for job in 0..1000 {
            let (read, made) = folder.list(job);
            folder.check(&read);
            rows += made.iter().map(|one| one.segments.len()).sum::<usize>();
            folder.publish(job, made, usize::MAX);
        }
        assert!(folder.list(1000).0.len() <= 33);
        assert!(rows <= 2 * 1000, "{rows}");
    }

    #[test]
    fn a_folder_that_was_never_merged_is_merged_in_groups() {
        let mut folder = Folder::default();
        for job in 0..1000 {
            folder.publish(job, Vec::new(), 0);
        }
        let (read, made) = folder.list(1000);
        folder.check(&read);
        folder.publish(1000, made, usize::MAX);
        let (read, made) = folder.list(1001);
        folder.check(&read);
        assert_eq!(made, [], "what is published is not merged again");
    }

    /// Whatever happens to the folder, a listing knows what the segments say, and nothing else.
    #[test]
    fn merged_tables_say_what_the_segments_say_whatever_is_deleted_half_done_or_done_at_once() {
        for seed in 1..=8_u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut chance = |below: usize| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state % below as u64) as usize
            };
            let mut folder = Folder::default();
            let mut job = 0;
            for _ in 0..180 {
                // Jobs at once see the same.
                let jobs = 1 + chance(3);
                let seen = folder.clone();
                for _ in 0..jobs {
                    job += 1;
                    let (read, made) = seen.list(job);
                    seen.check(&read);
                    match chance(8) {
                        // Ended before it published.
                        0 => {}
                        // The segment and some of the merged tables are there; others are to come, and never do.
                        1 => {
                            let some = chance(made.len() + 1);
                            folder.publish(job, made, some);
                        }
                        _ => folder.publish(job, made, usize::MAX),
                    }
                }
                let any = chance(folder.segments.len().max(1));
                let segment = folder.segments.keys().nth(any).cloned();
                let any = chance(folder.merged.len().max(1));
                let merged = folder.merged.keys().nth(any).cloned();
                match (chance(10), segment, merged) {
                    (0, Some(segment), _) => _ = folder.segments.remove(&segment),
                    // A retried job has published more.
                    (1, Some(segment), _) => {
                        job += 1;
                        folder.segments.insert(segment, job);
                    }
                    (2, _, Some(merged)) => _ = folder.merged.remove(&merged),
                    (3, _, _) if chance(10) == 0 => folder.merged.clear(),
                    _ => {}
                }
            }
        }
    }

    fn row(uri: &str, etag: &str, sample: u64, error: Option<&str>) -> ScoreRow {
        ScoreRow {
            uri: uri.to_owned(),
            etag: etag.to_owned(),
            sample,
            error_class: error.map(str::to_owned),
            ..ScoreRow::default()
        }
    }

    #[test]
    fn of_each_state_of_an_image_the_last_row_that_counts_is_kept() {
        let rows = [
            row("a", "1", 0, None),
            row("a", "2", 1, Some("decode")),
            row("a", "1", 2, None),
            row("b", "1", 3, Some("not_found")),
            row("c", "1", 4, None),
            row("c", "1", 5, Some("unavailable")),
        ];
        let mut kept = Vec::new();
        let Ok(()) = each_distinct(rows.map(Ok::<_, Infallible>).into_iter(), |row| {
            kept.push((row.uri, row.etag, row.sample));
            Ok(())
        });
        let expected = [("a", "1", 2), ("a", "2", 1), ("c", "1", 4)];
        let expected =
            expected.map(|(uri, etag, sample)| (uri.to_owned(), etag.to_owned(), sample));
        assert_eq!(kept, expected);
    }
}

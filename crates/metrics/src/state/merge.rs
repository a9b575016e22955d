//! Many written states read as one, in bounded memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io::{Read, Write};

use super::entries::Stretch;
use super::{StateError, StateReader, StateWriter};
use crate::aupimo::{FprBounds, SharedFpr};
use crate::false_positive_rate::{AtRate, FalsePositiveRate, Search};
use crate::ordered::NO_KEY;
use crate::score_distribution::{Moments, ScoreDistribution};
use crate::{Asked, Pass, Step, Summary, Totals, Undefined};

/// Holds a block and a few thousand entries of each source, however many items the sources have.
pub struct Merge<R> {
    sources: Vec<StateReader<R>>,
    totals: Totals,
}

impl<R: Read> Merge<R> {
    pub fn open(sources: impl IntoIterator<Item = R>) -> Result<Self, StateError> {
        let mut merge = Self {
            sources: Vec::new(),
            totals: Totals::default(),
        };
        for source in sources {
            let reader = StateReader::new(source)?;
            let totals = merge.totals.checked_add(reader.totals());
            merge.totals = totals.ok_or(StateError::TooLarge)?;
            merge.sources.push(reader);
        }
        Ok(merge)
    }

    /// Of all sources together, known before the first step.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Calls `each` with steps of strictly ascending score.
    pub fn for_each(
        self,
        mut each: impl FnMut(Step) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        // Those that have a step left, each with the next one, and its key with the index of its source.
        let (mut sources, mut heap) = (Vec::new(), BinaryHeap::new());
        for mut reader in self.sources {
            if let Some(next) = reader.next_step()? {
                heap.push(Reverse((next.score.key(), sources.len())));
                sources.push((reader, next));
            }
        }
        let mut open: Option<Step> = None;
        while heap.len() > 1
            && let Some(mut top) = heap.peek_mut()
        {
            let Reverse((key, index)) = *top;
            let (reader, next) = &mut sources[index];
            match &mut open {
                // Below the totals, which fit.
                Some(step) if step.score.key() == key => step.add(*next),
                _ => {
                    if let Some(done) = open.replace(*next) {
                        each(done)?;
                    }
                }
            }
            // Replacing the top in place sifts once; a pop and a push would sift twice.
            match reader.next_step()? {
                Some(step) => {
                    *next = step;
                    *top = Reverse((step.score.key(), index));
                }
                None => {
                    PeekMut::pop(top);
                }
            }
        }
        let Some(Reverse((key, index))) = heap.pop() else {
            return open.map_or(Ok(()), each);
        };
        let (reader, last) = &mut sources[index];
        match open {
            Some(open) if open.score.key() == key => last.add(open),
            Some(open) => each(open)?,
            None => {}
        }
        each(*last)?;
        // Nothing is left to compare the last source with.
        while let Some(step) = reader.next_step()? {
            each(step)?;
        }
        Ok(())
    }

    /// All numbers at once, for some thresholds or more ([`Asked`]).
    pub fn summary<'a>(self, asked: impl Into<Asked<'a>>) -> Result<Summary, StateError> {
        let asked = asked.into();
        let mut pass = Pass::new(self.totals, asked);
        let mut cuts = asked.cuts();
        let mut stretch = Stretch::new(self.sources);
        loop {
            let end = stretch.refill()?;
            pass.take_below(end, &mut stretch, &mut cuts);
            if end == NO_KEY {
                return Ok(pass.finish());
            }
        }
    }

    /// The false-positive rates of images without a defect, by which the curves of single images are drawn.
    pub fn shared_fpr(self, bounds: FprBounds) -> Result<Result<SharedFpr, Undefined>, StateError> {
        let mut rates = SharedFpr::new(self.totals, bounds);
        self.for_each(|step| {
            rates.step(step);
            Ok(())
        })?;
        Ok(rates.finish())
    }

    /// The threshold for a false-positive rate.
    pub fn at_rate(self, rate: FalsePositiveRate) -> Result<Result<AtRate, Undefined>, StateError> {
        let mut search = Search::new(self.totals, rate);
        self.for_each(|step| {
            search.step(step);
            Ok(())
        })?;
        Ok(search.finish())
    }

    /// The distribution of the logarithms of normal scores.
    pub fn score_distribution(self) -> Result<Result<ScoreDistribution, Undefined>, StateError> {
        let mut moments = Moments::default();
        self.for_each(|step| {
            moments.step(step);
            Ok(())
        })?;
        Ok(moments.finish())
    }

    /// Writes all sources as one state: the bytes that [`crate::ScoreCounts::to_bytes`] gives of the same items.
    pub fn write(self, sink: &mut impl Write) -> Result<(), StateError> {
        let mut writer = StateWriter::new(Vec::new(), self.totals);
        self.for_each(|step| {
            writer.step(step);
            writer.pass_on(sink)
        })?;
        sink.write_all(&writer.finish()).map_err(StateError::Write)
    }
}

//! Many written states read as one, in bounded memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io::{Read, Write};

use super::{StateError, StateReader, StateWriter};
use crate::{Asked, Overlap, Pass, RawScore, Step, Summary, Totals};

/// A k-way merge: holds one block of each source, however many items the sources have.
pub struct Merge<R> {
    readers: Vec<StateReader<R>>,
    totals: Totals,
    heap: BinaryHeap<Reverse<Head>>,
}

/// The next step of one source, ordered by score.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    key: u32,
    source: usize,
    normal: u64,
    anomalous: u64,
    overlap: Overlap,
}

impl<R: Read> Merge<R> {
    pub fn open(sources: impl IntoIterator<Item = R>) -> Result<Self, StateError> {
        let readers = sources
            .into_iter()
            .map(StateReader::new)
            .collect::<Result<Vec<_>, _>>()?;
        let totals = readers
            .iter()
            .try_fold(Totals::default(), |sum, reader| {
                sum.checked_add(reader.totals())
            })
            .ok_or(StateError::TooLarge)?;
        let mut merge = Self {
            readers,
            totals,
            heap: BinaryHeap::new(),
        };
        for source in 0..merge.readers.len() {
            if let Some(head) = merge.head(source)? {
                merge.heap.push(Reverse(head));
            }
        }
        Ok(merge)
    }

    /// Of all sources together, known before the first step.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Calls `each` with steps of strictly ascending score.
    pub fn for_each(
        mut self,
        mut each: impl FnMut(Step) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let mut open: Option<Head> = None;
        while self.heap.len() > 1
            && let Some(mut top) = self.heap.peek_mut()
        {
            let (key, source) = (top.0.key, top.0.source);
            match &mut open {
                Some(step) if step.key == key => {
                    // Below the totals, which fit.
                    step.normal += top.0.normal;
                    step.anomalous += top.0.anomalous;
                    step.overlap += top.0.overlap;
                }
                _ => {
                    let head = Head {
                        key,
                        source,
                        normal: top.0.normal,
                        anomalous: top.0.anomalous,
                        overlap: top.0.overlap,
                    };
                    if let Some(done) = open.replace(head) {
                        each(done.step()?)?;
                    }
                }
            }
            // Replacing the top in place sifts once; a pop and a push would sift twice.
            match head(&mut self.readers[source], source)? {
                Some(next) => *top = Reverse(next),
                None => {
                    PeekMut::pop(top);
                }
            }
        }
        let Some(Reverse(mut last)) = self.heap.pop() else {
            return open.map_or(Ok(()), |open| each(open.step()?));
        };
        match open {
            Some(open) if open.key == last.key => {
                last.normal += open.normal;
                last.anomalous += open.anomalous;
                last.overlap += open.overlap;
            }
            Some(open) => each(open.step()?)?,
            None => {}
        }
        each(last.step()?)?;
        // Nothing is left to compare the last source with.
        let reader = &mut self.readers[last.source];
        while let Some(step) = reader.next_step()? {
            each(step)?;
        }
        Ok(())
    }

    /// All numbers at once, for some thresholds or more ([`Asked`]).
    pub fn summary<'a>(self, asked: impl Into<Asked<'a>>) -> Result<Summary, StateError> {
        let mut pass = Pass::new(self.totals, asked);
        self.for_each(|step| {
            pass.step(step);
            Ok(())
        })?;
        Ok(pass.finish())
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

    fn head(&mut self, source: usize) -> Result<Option<Head>, StateError> {
        head(&mut self.readers[source], source)
    }
}

fn head<R: Read>(reader: &mut StateReader<R>, source: usize) -> Result<Option<Head>, StateError> {
    let step = reader.next_step()?;
    Ok(step.map(|step| Head {
        key: step.score.key(),
        source,
        normal: step.normal,
        anomalous: step.anomalous,
        overlap: step.overlap,
    }))
}

impl Head {
    fn step(&self) -> Result<Step, StateError> {
        let score = RawScore::from_key(self.key)
            .ok_or(StateError::Malformed("a score that is not finite"))?;
        Ok(Step {
            score,
            normal: self.normal,
            anomalous: self.anomalous,
            overlap: self.overlap,
        })
    }
}

//! What stands before the first scan of a JPEG file, if the file is of the commonest kind: baseline, Huffman codes, 8 bits, grey or
//! luma with colour differences, all in one scan.

use std::rc::Rc;

use super::huffman::{AC_LOOKS, DC_LOOKS, Table};

/// Places of coefficients, row by row, in the order of files (T.81, figure A.6).
pub(super) const ZIGZAG: [u8; 64] = zigzag();

const fn zigzag() -> [u8; 64] {
    let mut places = [0; 64];
    let (mut row, mut column, mut at) = (0, 0, 0);
    while at < 64 {
        places[at] = 8 * row + column;
        match ((row + column) % 2 == 0, row, column) {
            (true, _, 7) | (false, 0..7, 0) => row += 1,
            (true, 0, _) | (false, 7, _) => column += 1,
            (true, ..) => {
                row -= 1;
                column += 1;
            }
            (false, ..) => {
                row += 1;
                column -= 1;
            }
        }
        at += 1;
    }
    places
}

/// How many luma samples stand beside and above one another for one of each colour difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sampling {
    Grey,
    /// 4:4:4
    Full,
    /// 4:2:2
    Beside,
    /// 4:2:0
    Both,
}

impl Sampling {
    pub(super) fn across(self) -> usize {
        match self {
            Self::Grey | Self::Full => 1,
            Self::Beside | Self::Both => 2,
        }
    }

    pub(super) fn down(self) -> usize {
        match self {
            Self::Grey | Self::Full | Self::Beside => 1,
            Self::Both => 2,
        }
    }
}

pub(super) struct Component {
    /// Row by row.
    pub(super) quanta: [i16; 64],
    pub(super) dc: Rc<Table<DC_LOOKS>>,
    pub(super) ac: Rc<Table<AC_LOOKS>>,
}

pub(super) struct Frame<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) sampling: Sampling,
    /// One, or luma, blue difference and red difference.
    pub(super) components: Vec<Component>,
    /// MCUs between two restarts; 0: there are none.
    pub(super) restart: usize,
    /// From the first code on.
    pub(super) scan: &'a [u8],
}

/// A component as the frame's header tells it.
struct Named {
    id: u8,
    sampling: u8,
    quanta: u8,
}

/// Segments as they came, until all that belong together are there.
#[derive(Default)]
struct Segments {
    size: [usize; 2],
    named: Vec<Named>,
    quanta: [Option<[i16; 64]>; 4],
    dc: [Option<Rc<Table<DC_LOOKS>>>; 4],
    ac: [Option<Rc<Table<AC_LOOKS>>>; 4],
    restart: usize,
    is_jfif: bool,
    /// What Adobe's marker says of the colours.
    adobe: Option<u8>,
}

impl<'a> Frame<'a> {
    /// `None`: it is of another kind, or odd in some way that libjpeg judges.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        const START: [u8; 2] = [0xff, 0xd8];
        let mut segments = Segments::default();
        let mut rest = bytes.strip_prefix(&START)?;
        loop {
            let [0xff, marker, high, low, after @ ..] = rest else {
                return None;
            };
            let length = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(2)?;
            let (segment, after) = after.split_at_checked(length)?;
            rest = after;
            match marker {
                0xc0 | 0xc1 => segments.frame(segment)?,
                0xc4 => segments.codes(segment)?,
                0xdb => segments.quanta(segment)?,
                0xdd => {
                    segments.restart = usize::from(u16::from_be_bytes(segment.try_into().ok()?))
                }
                0xe0 if segment.starts_with(b"JFIF\0") => {
                    // libjpeg warns about other versions.
                    if segment.len() < 14 || segment[5] != 1 {
                        return None;
                    }
                    segments.is_jfif = true;
                }
                0xee if segment.starts_with(b"Adobe") => segments.adobe = Some(*segment.get(11)?),
                // Other programs' segments, and comments.
                0xe0..=0xef | 0xfe => {}
                0xda => return segments.scan(segment, rest),
                _ => return None,
            }
        }
    }
}

impl Segments {
    fn frame(&mut self, segment: &[u8]) -> Option<()> {
        let [8, high, low, left, right, count, named @ ..] = segment else {
            return None;
        };
        let (named, []) = named.as_chunks::<3>() else {
            return None;
        };
        if named.len() != usize::from(*count) || !self.named.is_empty() {
            return None;
        }
        self.size = [[*high, *low], [*left, *right]].map(|two| u16::from_be_bytes(two).into());
        let name = |[id, sampling, quanta]: &[u8; 3]| Named {
            id: *id,
            sampling: *sampling,
            quanta: *quanta,
        };
        self.named = named.iter().map(name).collect();
        Some(())
    }

    fn codes(&mut self, mut segment: &[u8]) -> Option<()> {
        while let [what, rest @ ..] = segment {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let count = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(count)?;
            let at = usize::from(what & 15);
            match what >> 4 {
                0 => *self.dc.get_mut(at)? = Some(Rc::new(Table::of_differences(counts, symbols)?)),
                1 => {
                    *self.ac.get_mut(at)? = Some(Rc::new(Table::of_coefficients(counts, symbols)?))
                }
                _ => return None,
            }
            segment = rest;
        }
        Some(())
    }

    fn quanta(&mut self, mut segment: &[u8]) -> Option<()> {
        while let [what, rest @ ..] = segment {
            let (values, rest) = rest.split_first_chunk::<64>()?;
            // From 4 on: of 16 bits, or nobody's.
            let quanta = self.quanta.get_mut(usize::from(*what))?;
            let mut natural = [0; 64];
            for (value, place) in values.iter().zip(ZIGZAG) {
                natural[usize::from(place)] = i16::from(*value);
            }
            *quanta = Some(natural);
            segment = rest;
        }
        Some(())
    }

    /// All is there once a scan begins.
    fn scan<'a>(&self, segment: &[u8], scan: &'a [u8]) -> Option<Frame<'a>> {
        let [count, tables @ .., 0, 63, 0] = segment else {
            return None;
        };
        let (tables, []) = tables.as_chunks::<2>() else {
            return None;
        };
        let own = tables.iter().map(|[id, _]| *id);
        if tables.len() != usize::from(*count) || !own.eq(self.named.iter().map(|named| named.id)) {
            return None;
        }
        let [height, width] = self.size;
        let sampling = self.sampling(width)?;
        let component = |(named, [_, tables]): (&Named, &[u8; 2])| {
            Some(Component {
                quanta: (*self.quanta.get(usize::from(named.quanta))?)?,
                dc: self.dc.get(usize::from(tables >> 4))?.clone()?,
                ac: self.ac.get(usize::from(tables & 15))?.clone()?,
            })
        };
        Some(Frame {
            width,
            height,
            sampling,
            components: self
                .named
                .iter()
                .zip(tables)
                .map(component)
                .collect::<Option<_>>()?,
            restart: self.restart,
            scan,
        })
    }

    fn sampling(&self, width: usize) -> Option<Sampling> {
        // Of narrower images libjpeg repeats differences instead of weighing neighbours.
        const NARROWEST: usize = 5;
        let samplings: Vec<u8> = self.named.iter().map(|named| named.sampling).collect();
        let sampling = match samplings[..] {
            [0x11] => return Some(Sampling::Grey),
            [0x11, 0x11, 0x11] => Sampling::Full,
            [0x21, 0x11, 0x11] if width >= NARROWEST => Sampling::Beside,
            [0x22, 0x11, 0x11] if width >= NARROWEST => Sampling::Both,
            _ => return None,
        };
        let are_differences = match self.adobe {
            _ if self.is_jfif => true,
            Some(transform) => transform == 1,
            None => self.named.iter().map(|named| named.id).eq([1, 2, 3]),
        };
        are_differences.then_some(sampling)
    }
}

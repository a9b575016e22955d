//! Entropy-coded data of baseline JPEG (T.81, annex F): bits, codes, coefficients.
//!
//! A look at ten bits gives two coefficients where both are short, and nothing branches on how long they are: what costs is the
//! chain from look to look.

/// Zero bytes behind each stretch: bits are taken eight bytes at a time.
pub(super) const PADDING: usize = 16;

/// Bits of one stretch between restarts, without stuffed bytes, and with [`PADDING`].
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the highest on.
    held: u64,
    /// How many of them count.
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            held: 0,
            count: 0,
        }
    }

    /// Holds 56 bits or more. `None`: the padding is over.
    #[inline(always)]
    fn refill(&mut self) -> Option<()> {
        let eight = self.bytes.get(self.at..)?.first_chunk()?;
        self.held |= u64::from_be_bytes(*eight) >> (self.count & 63);
        self.at = self.at.wrapping_add(((63 ^ self.count) >> 3) as usize);
        self.count |= 56;
        Some(())
    }

    #[inline(always)]
    fn look<const LOOKS: usize>(&self) -> usize {
        (self.held >> (64 - LOOKS.trailing_zeros())) as usize
    }

    #[inline(always)]
    fn skip(&mut self, count: u32) {
        self.held <<= count & 63;
        self.count = self.count.wrapping_sub(count);
    }

    /// Whether less than a byte is left before the padding.
    pub(super) fn is_at_end(&self) -> bool {
        let end = 8 * self.bytes.len().saturating_sub(PADDING);
        let taken = (8 * self.at).wrapping_sub(self.count as usize);
        taken <= end && end < taken.wrapping_add(8)
    }
}

/// What a look says: a coefficient, whose value's bits follow its code, and maybe a whole one before it.
///
/// Eight bits each, from bit 0: bits that all of it takes; bits before the value; 64 less the bits of the value; the
/// coefficient's place, counted from the next one; how many places all of it takes; the place of the one before; its bits, 0 if
/// there is none; its value.
#[derive(Clone, Copy)]
struct Entry(u64);

/// Places that the end of a block takes: all that are left.
const END: u64 = 64;

/// Where what has no value goes: behind all places.
const NOWHERE: u64 = 127;

impl Entry {
    /// The code is longer than a look, or there is none.
    const LONG: Self = Self(0);

    fn of(symbol: u8, length: u32) -> Self {
        let (zeros, size) = (u64::from(symbol >> 4), u64::from(symbol & 15));
        let length = u64::from(length);
        let (place, places) = match (size, zeros) {
            (0, 0..15) => (NOWHERE, END),
            (0, _) => (NOWHERE, zeros + 1),
            _ => (zeros, zeros + 1),
        };
        Self(places << 32 | place << 24 | (64 - size) << 16 | length << 8 | (length + size))
    }

    /// `self` behind the coefficient of `first`, whose value is `value`.
    fn behind(self, first: Self, value: i8) -> Self {
        let (bits, places) = (u64::from(first.bits()), first.places() as u64);
        let further = places << 32 | places << 24 | bits << 8 | bits;
        let before = u64::from(value as u8) << 56 | bits << 48 | (first.place() as u64) << 40;
        Self((self.0 + further) | before)
    }

    #[inline(always)]
    fn is_long(self) -> bool {
        self.0 == 0
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        self.0 as u32 & 0xff
    }

    #[inline(always)]
    fn length(self) -> u32 {
        (self.0 >> 8) as u32 & 0xff
    }

    #[inline(always)]
    fn is_valueless(self) -> bool {
        (self.0 >> 16) as u8 == 64
    }

    #[inline(always)]
    fn place(self) -> usize {
        (self.0 >> 24) as usize & 0xff
    }

    #[inline(always)]
    fn places(self) -> usize {
        (self.0 >> 32) as usize & 0xff
    }

    #[inline(always)]
    fn place_before(self) -> usize {
        (self.0 >> 40) as usize & 0xff
    }

    #[inline(always)]
    fn bits_before(self) -> u32 {
        (self.0 >> 48) as u32 & 0xff
    }

    #[inline(always)]
    fn value_before(self) -> i16 {
        (self.0 as i64 >> 56) as i16
    }

    /// EXTEND of T.81, F.2.2.1: where its first bit is 0, a value of n bits is less by n ones. Means nothing if
    /// [`is_valueless`](Self::is_valueless).
    #[inline(always)]
    fn value(self, held: u64) -> i32 {
        let rest = held << (self.length() & 63);
        let ones = !(rest as i64 >> 63) as u64;
        let beyond = (self.0 >> 16) as u32 & 63;
        (rest >> beyond).wrapping_sub(ones >> beyond) as i32
    }
}

/// Looks of eight bits at differences, of ten at coefficients: all tables of a file fit a processor's nearest memory.
pub(super) const DC_LOOKS: usize = 1 << 8;
pub(super) const AC_LOOKS: usize = 1 << 10;

/// Codes of one kind, and what follows them.
pub(super) struct Table<const LOOKS: usize> {
    entries: Box<[Entry; LOOKS]>,
    /// For each length, the first 16 bits that are none of its codes nor of a shorter one's.
    ends: [u32; 17],
    /// For each length, the first of its symbols, less its first code.
    symbols_less_codes: [i32; 17],
    symbols: Vec<u8>,
}

impl Table<DC_LOOKS> {
    /// `counts`: codes of each length from 1 to 16. `None`: that is no code.
    pub(super) fn of_differences(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let are_sizes = symbols.iter().all(|symbol| *symbol < 16);
        Self::new(counts, symbols).filter(|_| are_sizes)
    }
}

impl Table<AC_LOOKS> {
    /// As [`of_differences`](Table::of_differences).
    pub(super) fn of_coefficients(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self::new(counts, symbols)?;
        let single = table.entries.clone();
        for (look, entry) in table.entries.iter_mut().enumerate() {
            let first = *entry;
            // What has no value stays alone.
            if first.is_long() || first.is_valueless() || first.bits() >= Self::LOOK {
                continue;
            }
            let second = single[look << first.bits() & (AC_LOOKS - 1)];
            let value = i8::try_from(first.value((look as u64) << (64 - Self::LOOK)));
            if let Ok(value) = value
                && !second.is_long()
                && first.bits() + second.length() <= Self::LOOK
            {
                *entry = second.behind(first, value);
            }
        }
        Some(table)
    }
}

impl<const LOOKS: usize> Table<LOOKS> {
    const LOOK: u32 = LOOKS.trailing_zeros();

    fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            entries: Box::new([Entry::LONG; LOOKS]),
            ends: [0; 17],
            symbols_less_codes: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut first) = (0_u32, 0_usize);
        for (length, count) in (1..=16_u32).zip(counts) {
            let own = symbols.get(first..first + usize::from(*count))?;
            // A code of ones alone is none.
            if code + u32::from(*count) >= 1 << length && *count > 0 {
                return None;
            }
            table.symbols_less_codes[length as usize] = first as i32 - code as i32;
            for symbol in own {
                if length <= Self::LOOK {
                    let looks = 1 << (Self::LOOK - length);
                    let from = code as usize * looks;
                    table.entries[from..from + looks].fill(Entry::of(*symbol, length));
                }
                code += 1;
            }
            first += own.len();
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        (symbols.len() <= 256).then_some(table)
    }

    /// For codes longer than a look, which few are.
    #[cold]
    #[inline(never)]
    fn long(&self, bits: &mut Bits<'_>) -> Option<Entry> {
        bits.refill()?;
        let code = (bits.held >> 48) as u32;
        let mut lengths = Self::LOOK + 1..=16;
        let length = lengths.find(|length| code < self.ends[*length as usize])?;
        let place = self.symbols_less_codes[length as usize] + (code >> (16 - length)) as i32;
        let symbol = *self.symbols.get(usize::try_from(place).ok()?)?;
        Some(Entry::of(symbol, length))
    }
}

/// Room for a block's coefficients and, behind them, for what has no place.
pub(super) type Room = [i16; 256];

/// Whether a block has more than its mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Flat,
    Varied,
}

/// Reads one block's coefficients as they stand in the file, each to `room[places[i]]`; `places` from 64 on are none of a
/// coefficient. `None`: these are no codes, or too many.
#[inline(never)]
#[target_feature(enable = "bmi1,bmi2")]
pub(super) fn block(
    bits: &mut Bits<'_>,
    dc: &Table<DC_LOOKS>,
    ac: &Table<AC_LOOKS>,
    mean: &mut i32,
    places: &[u8; 256],
    room: &mut Room,
) -> Option<Content> {
    // In registers.
    let mut own = *bits;
    own.refill()?;
    let mut entry = dc.entries[own.look::<DC_LOOKS>()];
    if entry.is_long() {
        entry = dc.long(&mut own)?;
    }
    if !entry.is_valueless() {
        *mean = mean.wrapping_add(entry.value(own.held));
    }
    own.skip(entry.bits());
    // As libjpeg cuts it.
    room[0] = *mean as i16;
    let entries = &*ac.entries;
    let mut next = 1_usize;
    loop {
        own.refill()?;
        // Twice 25 bits at most: codes that are longer fill up themselves.
        for _ in 0..2 {
            let mut entry = entries[own.look::<AC_LOOKS>()];
            if entry.is_long() {
                entry = ac.long(&mut own)?;
            }
            let mut put = |place: usize, value: i16| {
                room[usize::from(places[usize::from(place as u8)])] = value;
            };
            let before = next.wrapping_add(entry.place_before());
            // Where there is none before, its 0 is overwritten, or stands where 0 is.
            put(before, entry.value_before());
            put(
                next.wrapping_add(entry.place()),
                entry.value(own.held) as i16,
            );
            let end = next.wrapping_add(entry.places());
            if end >= 64 {
                return finish(bits, own, entry, next);
            }
            own.skip(entry.bits());
            next = end;
        }
    }
}

/// The block ends within `entry`, whose first place is `next`.
#[inline(always)]
fn finish<'a>(
    bits: &mut Bits<'a>,
    mut own: Bits<'a>,
    entry: Entry,
    next: usize,
) -> Option<Content> {
    const LAST: usize = 63;
    let before = next.wrapping_add(entry.place_before());
    // The rest of the look is the next block's.
    let is_whole_before = entry.bits_before() > 0 && before >= LAST;
    let (taken, is_inside) = if is_whole_before {
        (entry.bits_before(), before == LAST)
    } else {
        let is_inside = next.wrapping_add(entry.place()) == LAST;
        (entry.bits(), is_inside || entry.is_valueless())
    };
    own.skip(taken);
    *bits = own;
    let is_flat = next == 1 && entry.places() == END as usize;
    let content = if is_flat {
        Content::Flat
    } else {
        Content::Varied
    };
    is_inside.then_some(content)
}

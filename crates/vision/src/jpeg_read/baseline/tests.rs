//! The same pixels as libjpeg-turbo's, of whatever is decoded here; and what is not is left to it.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;
use turbojpeg::ScalingFactor;

use super::{super::by_libjpeg, *};
use crate::{header, tests::file};

fn libjpeg(bytes: &[u8]) -> Option<Image> {
    let head = header(bytes).ok()?;
    by_libjpeg(bytes, head, ScalingFactor::ONE).ok()
}

fn own(bytes: &[u8]) -> Option<Image> {
    decode(bytes, header(bytes).ok()?)
}

/// What a file is made of.
#[derive(Debug, Clone)]
struct Made {
    width: u16,
    height: u16,
    /// The amplitude of its noise, of 255: from flat blocks to all coefficients.
    noise: u8,
    quality: u8,
    sampling: SamplingFactor,
    is_grey: bool,
    restart: u16,
    is_optimized: bool,
    seed: u64,
}

impl Made {
    fn file(&self) -> Vec<u8> {
        let colours = if self.is_grey {
            ColorType::Luma
        } else {
            ColorType::Rgb
        };
        let count =
            usize::from(self.width) * usize::from(self.height) * if self.is_grey { 1 } else { 3 };
        let mut random = fastrand::Rng::with_seed(self.seed);
        let slope = random.u8(..4);
        let value = |at: usize| {
            (at as u8)
                .wrapping_mul(slope)
                .saturating_add(random.u8(..=self.noise))
        };
        let pixels: Vec<u8> = (0..count).map(value).collect();
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, self.quality);
        encoder.set_sampling_factor(self.sampling);
        if self.restart > 0 {
            encoder.set_restart_interval(self.restart);
        }
        encoder.set_optimized_huffman_tables(self.is_optimized);
        encoder
            .encode(&pixels, self.width, self.height, colours)
            .expect("an image");
        bytes
    }
}

fn made() -> impl Strategy<Value = Made> {
    let sampling = prop::sample::select(vec![
        SamplingFactor::F_1_1,
        SamplingFactor::F_2_1,
        SamplingFactor::F_2_2,
    ]);
    let image = (1..120_u16, 1..120_u16, any::<u8>(), any::<bool>());
    let coding = (1..=100_u8, sampling, 0..9_u16, any::<bool>());
    (image, coding, any::<u64>()).prop_map(|(image, coding, seed)| {
        let (width, height, noise, is_grey) = image;
        let (quality, sampling, restart, is_optimized) = coding;
        Made {
            width,
            height,
            noise,
            quality,
            sampling,
            is_grey,
            restart,
            is_optimized,
            seed,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn whole_files_have_the_pixels_of_libjpeg(made in made()) {
        let bytes = made.file();
        let own = own(&bytes);
        // Left alone: narrow ones with fewer differences; grey ones whose only component says that it has several blocks; and, where
        // the encoder makes codes of its own, colours, which it writes one after another, and restarts, at which it forgets to
        // begin with a mean of 0.
        let is_wide = made.width >= 5 && !made.is_grey || made.sampling == SamplingFactor::F_1_1;
        let is_plain = is_wide && (!made.is_optimized || made.is_grey && made.restart == 0);
        prop_assert!(own.is_some() || !is_plain);
        if own.is_some() {
            prop_assert!(own == libjpeg(&bytes));
        }
    }

    #[test]
    fn damaged_files_are_left_alone_or_have_the_pixels_of_libjpeg(
        made in made(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = made.file();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.remove(cut.index(bytes.len()));
        }
        if let Some(own) = own(&bytes) {
            prop_assert!(Some(own) == libjpeg(&bytes));
        }
    }
}

#[test]
fn files_of_other_programs_have_the_pixels_of_libjpeg() {
    for name in ["rgb.jpg", "grey.jpg"] {
        let bytes = file(name);
        let own = own(&bytes);
        assert!(own.is_some(), "{name}");
        assert!(own == libjpeg(&bytes), "{name}");
    }
    for name in ["cmyk.jpg", "progressive.jpg"] {
        assert!(own(&file(name)).is_none(), "{name}");
    }
}

/// Bits of entropy-coded data, with what is stuffed in.
#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    bits: u32,
    count: u32,
}

impl Written {
    fn put(&mut self, bits: u32, count: u32) {
        for at in (0..count).rev() {
            self.bits = self.bits << 1 | bits >> at & 1;
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.bits as u8);
                if self.bits == 0xff {
                    self.bytes.push(0);
                }
                (self.bits, self.count) = (0, 0);
            }
        }
    }

    fn end(mut self) -> Vec<u8> {
        while self.count > 0 {
            self.put(1, 1);
        }
        self.bytes
    }
}

/// Some code for `symbols`: of codes of 1 to 16 bits.
struct Code {
    lengths: Vec<u32>,
    symbols: Vec<u8>,
}

impl Code {
    fn some(random: &mut fastrand::Rng, mut symbols: Vec<u8>) -> Self {
        random.shuffle(&mut symbols);
        // One leaf more: the code of ones alone is none. Chains are as likely as bushes.
        let mut leaves = vec![0];
        while leaves.len() <= symbols.len() {
            let last = leaves.len() - 1;
            let at = if random.bool() {
                last
            } else {
                random.usize(..=last)
            };
            if leaves[at] < 16 {
                leaves[at] += 1;
                leaves.push(leaves[at]);
            }
        }
        leaves.sort_unstable();
        leaves.pop();
        Self {
            lengths: leaves,
            symbols,
        }
    }

    fn segment(&self, what: u8) -> Vec<u8> {
        let count = |length| self.lengths.iter().filter(|own| **own == length).count() as u8;
        let length = (2 + 17 + self.symbols.len() as u16).to_be_bytes();
        let mut bytes = vec![0xff, 0xc4, length[0], length[1], what];
        bytes.extend((1..=16).map(count));
        bytes.extend(&self.symbols);
        bytes
    }

    fn put(&self, symbol: u8, to: &mut Written) {
        let (mut code, mut before) = (0, self.lengths[0]);
        for (length, own) in self.lengths.iter().zip(&self.symbols) {
            code <<= length - before;
            before = *length;
            if *own == symbol {
                return to.put(code, *length);
            }
            code += 1;
        }
        panic!("no code for {symbol:#x}");
    }
}

/// A grey file of 48 x 32 pixels with codes that no encoder would choose, and all that they can say.
fn written(seed: u64) -> Vec<u8> {
    const END: u8 = 0x00;
    const ZEROS: u8 = 0xf0;
    let mut random = fastrand::Rng::with_seed(seed);
    let random = &mut random;
    let mut dc_symbols: Vec<u8> = (0..=8).collect();
    dc_symbols.truncate(random.usize(1..=9));
    let mut ac_symbols: Vec<u8> = (0..=255)
        .filter(|symbol| (1..=10).contains(&(symbol & 15)))
        .collect();
    random.shuffle(&mut ac_symbols);
    ac_symbols.truncate(random.usize(..160));
    ac_symbols.extend([END, ZEROS]);
    let dc = Code::some(random, dc_symbols);
    let ac = Code::some(random, ac_symbols);

    let mut bits = Written::default();
    // What blocks end with: seldom, mostly, or never with the code for it.
    let ends = random.u8(..3);
    for _ in 0..6 * 4 {
        let size = dc.symbols[random.usize(..dc.symbols.len())];
        dc.put(size, &mut bits);
        bits.put(random.u32(..), size.into());
        let mut place = 1;
        while place < 64 {
            let some = ac.symbols[random.usize(..ac.symbols.len())];
            let wanted = if random.u8(..3) < ends { END } else { some };
            let is_beyond = place + usize::from(wanted >> 4) > 63;
            let symbol = if is_beyond { END } else { wanted };
            ac.put(symbol, &mut bits);
            bits.put(random.u32(..), u32::from(symbol & 15));
            place = if symbol == END {
                64
            } else {
                place + usize::from(symbol >> 4) + 1
            };
        }
    }
    let start = [0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
    let frame = [0xff, 0xc0, 0, 11, 8, 0, 32, 0, 48, 1, 1, 0x11, 0];
    let scan = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0];
    [
        &start[..],
        &[1; 64],
        &frame,
        &dc.segment(0x00),
        &ac.segment(0x10),
        &scan,
        &bits.end(),
        &[0xff, 0xd9],
    ]
    .concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_codes_are_read(seed in any::<u64>()) {
        let bytes = written(seed);
        let own = own(&bytes);
        prop_assert!(own.is_some());
        prop_assert!(own == libjpeg(&bytes));
    }
}

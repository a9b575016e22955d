//! Products of vectors as bytes by tiles (AMX): an instruction multiplies a part of sixteen vectors with that of sixteen rows.

// Several vectors and registers are indexed alike; iterators over one of them would hide that.
#![allow(clippy::needless_range_loop)]

use std::{
    arch::{asm, x86_64::*},
    array,
    marker::PhantomData,
    sync::OnceLock,
};

use super::bytes::{Part, Quad, load, store};
use super::nearest::{GROUPS, LANES, Rows};

/// Vectors that are compared with two groups at once: with as many, sums take half of the eight tiles.
pub(super) const QUERIES: usize = 2 * LANES;

/// Parts of a vector or row that a tile holds.
pub(super) const PARTS: usize = 16;

/// Bytes of a tile's rows.
const ROW: usize = 64;

/// Whether the processor has tiles of bytes, and the system lets this process use them.
pub(super) fn are_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| has_tiles() && permitted())
}

fn has_tiles() -> bool {
    const AMX_TILE: u32 = 1 << 24;
    const AMX_INT8: u32 = 1 << 25;
    if __cpuid_count(0, 0).eax < 7 {
        return false;
    }
    let features = __cpuid_count(7, 0).edx;
    features & AMX_TILE != 0 && features & AMX_INT8 != 0
}

/// Linux keeps tiles for a process that has asked for them: they are 8 KiB more of each thread's state.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XTILEDATA: libc::c_long = 18;
    // SAFETY: it changes what the processor saves of this process's threads, and no memory.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// As `LDTILECFG` reads it.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// The calling thread's tiles, sixteen rows of 64 bytes each; given back when dropped.
pub(super) struct Tiles(PhantomData<*const ()>);

impl Tiles {
    /// # Safety
    ///
    /// [`are_there`] has said so.
    pub(super) unsafe fn new() -> Self {
        let mut shapes = Shapes {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        shapes.row_bytes[..8].fill(ROW as u16);
        shapes.rows[..8].fill(LANES as u8);
        // SAFETY: the processor has tiles, as the caller says, and the shapes are as they must be.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, readonly)) };
        Self(PhantomData)
    }

    /// The products of 32 vectors with two groups of rows: [2 * 16 vectors, 16 rows] of each. `codes`: of vectors one after another, `parts`
    /// of each; `rows`: of both groups.
    #[inline(always)]
    fn products(&self, codes: &[Part], parts: usize, rows: &[Quad], products: &mut Products) {
        assert!(parts >= PARTS && parts.is_multiple_of(PARTS));
        assert!(codes.len() == QUERIES * parts && rows.len() == GROUPS * parts);
        let (codes, rows) = (codes.as_ptr(), rows.as_ptr());
        let stride = parts * size_of::<Part>();
        // SAFETY: tiles are shaped, since there is `self`. Those of vectors begin every `PARTS` parts and have 16 rows `stride` apart, those
        // of rows are `PARTS` quads: the slices hold all of them. Four tiles of 1 KiB are what `products` has room for.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm6, [{one} + {row}*1]",
                "tileloadd tmm4, [{upper} + {stride}*1]",
                "tdpbssd tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{other} + {row}*1]",
                "tdpbssd tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{lower} + {stride}*1]",
                "tdpbssd tmm2, tmm5, tmm6",
                "tdpbssd tmm3, tmm5, tmm7",
                "add {upper}, 64",
                "add {lower}, 64",
                "add {one}, 1024",
                "add {other}, 1024",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {row}*1], tmm0",
                "tilestored [{out} + {row}*1 + 1024], tmm1",
                "tilestored [{out} + {row}*1 + 2048], tmm2",
                "tilestored [{out} + {row}*1 + 3072], tmm3",
                upper = inout(reg) codes => _,
                lower = inout(reg) codes.add(LANES * parts) => _,
                one = inout(reg) rows => _,
                other = inout(reg) rows.add(parts) => _,
                steps = inout(reg) parts / PARTS => _,
                stride = in(reg) stride,
                row = in(reg) ROW,
                out = in(reg) products.0.as_mut_ptr(),
                options(nostack),
            );
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: there are tiles, since there is `self`.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Of the upper 16 vectors with one group and the other, then of the lower ones: [4, vectors, rows].
#[repr(C, align(64))]
struct Products([[[i32; LANES]; LANES]; 4]);

/// As [`super::bytes::fill`], of rows whose codes have signs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(super) fn fill(
    tiles: &Tiles,
    rows: &[Quad],
    (lengths, row_factors): (&[Rows], &[Rows]),
    codes: &[Part],
    factors: [f32; QUERIES],
    values: &mut [[Rows; QUERIES]],
) -> [f32; QUERIES] {
    let parts = codes.len() / QUERIES;
    let mut products = Products([[[0; LANES]; LANES]; 4]);
    let mut least = [_mm512_set1_ps(f32::INFINITY); QUERIES];
    for first in (0..lengths.len()).step_by(GROUPS) {
        let groups = &rows[first * parts..(first + GROUPS) * parts];
        tiles.products(codes, parts, groups, &mut products);
        let known: [_; GROUPS] =
            array::from_fn(|g| (load(&lengths[first + g]), load(&row_factors[first + g])));
        for q in 0..QUERIES {
            let query_factor = _mm512_set1_ps(factors[q]);
            for g in 0..GROUPS {
                let sums = &products.0[q / LANES * GROUPS + g][q % LANES];
                // SAFETY: it has the 64 bytes that are read, and begins at a multiple of 64.
                let sums = unsafe { _mm512_load_si512(sums.as_ptr().cast()) };
                let (length, factor) = known[g];
                let factor = _mm512_mul_ps(factor, query_factor);
                let value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), factor, length);
                store(&mut values[first + g][q], value);
                least[q] = _mm512_min_ps(least[q], value);
            }
        }
    }
    least.map(|lanes| _mm512_reduce_min_ps(lanes))
}

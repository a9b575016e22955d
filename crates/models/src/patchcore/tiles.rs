//! Products of vectors as bytes by tiles (AMX): an instruction multiplies a part of sixteen vectors with that of sixteen rows.

use std::{
    arch::{asm, x86_64::*},
    marker::PhantomData,
    ops::Range,
    sync::OnceLock,
};

use super::bytes::{Part, Products, Quad};
use super::nearest::{Asked, GROUPS, LANES};

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
struct Tiles(PhantomData<*const ()>);

impl Tiles {
    /// # Safety
    ///
    /// [`are_there`] has said so.
    unsafe fn new() -> Self {
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
    fn products(&self, codes: &[Part], parts: usize, rows: &[Quad], block: &mut Block) {
        assert!(parts >= PARTS && parts.is_multiple_of(PARTS));
        assert!(codes.len() == QUERIES * parts && rows.len() == GROUPS * parts);
        let (codes, rows) = (codes.as_ptr(), rows.as_ptr());
        let stride = parts * size_of::<Part>();
        // SAFETY: tiles are shaped, since there is `self`. Those of vectors begin every `PARTS` parts and have 16 rows `stride` apart, those
        // of rows are `PARTS` quads: the slices hold all of them. Four tiles of 1 KiB are what `block` has room for.
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
                out = in(reg) block.0.as_mut_ptr(),
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
pub(super) struct Block([[[i32; LANES]; LANES]; 4]);

/// Codes of rows have signs.
pub(super) struct ByTiles<'a> {
    rows: &'a [Quad],
    codes: &'a [Part],
    parts: usize,
    tiles: Tiles,
}

impl<'a> ByTiles<'a> {
    /// `rows`: [groups, parts]; `codes`: [vectors, parts], as many as whole blocks of 32 have.
    ///
    /// # Safety
    ///
    /// [`are_there`] has said so.
    pub(super) unsafe fn new(rows: &'a [Quad], codes: &'a [Part], parts: usize) -> Self {
        Self {
            rows,
            codes,
            parts,
            // SAFETY: as the caller says.
            tiles: unsafe { Tiles::new() },
        }
    }
}

impl Products<QUERIES> for ByTiles<'_> {
    type Block = Block;

    #[inline(always)]
    fn each(
        &self,
        groups: Range<usize>,
        asked: &Asked<QUERIES>,
        mut each: impl FnMut(usize, &Block),
    ) {
        let parts = self.parts;
        let first = asked.at[0];
        let codes = &self.codes[first * parts..(first + QUERIES) * parts];
        let mut block = Block([[[0; LANES]; LANES]; 4]);
        for first in groups.step_by(GROUPS) {
            let rows = &self.rows[first * parts..(first + GROUPS) * parts];
            self.tiles.products(codes, parts, rows, &mut block);
            each(first, &block);
        }
    }

    #[inline(always)]
    fn of(block: &Block, query: usize, group: usize) -> __m512i {
        let products = &block.0[query / LANES * GROUPS + group][query % LANES];
        // SAFETY: processors with tiles have this instruction, too; there are the 64 bytes that are read, at a multiple of 64.
        unsafe { _mm512_load_si512(products.as_ptr().cast()) }
    }
}

//! The synthetic dataset `texture`: categories brick, grass and gravel with known defects and exact masks.
//!
//! Same bits on every machine: counter-based random numbers, and arithmetic whose rounding IEEE 754 fixes
//! (no sine, logarithm or power). The defects are synthetic: say so with every number reported on them.

mod defect;
mod picture;
mod random;
mod view;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};

use defect::{Kind, Other};
use picture::{Photo, write_png};
use random::Random;
use view::{Light, Tint, View};

/// SHA-256 over name and pixels of every picture and mask, in order of writing.
pub const EXPECTED_DIGEST: &str =
    "642f4b891da9e019fa0c02f5cf9c20bd0634407fc693cfb7367ddf1590fae435";

const SEED: u64 = 20_261_124;

struct Category {
    name: &'static str,
    tint: Tint,
    /// The category that foreign pieces come from: its index.
    other: usize,
}

const CATEGORIES: [Category; 3] = [
    Category {
        name: "brick",
        tint: [1.0, 0.88, 0.8],
        other: 2,
    },
    Category {
        name: "grass",
        tint: [0.86, 1.0, 0.74],
        other: 0,
    },
    Category {
        name: "gravel",
        tint: [1.0, 0.98, 0.94],
        other: 1,
    },
];

/// Pictures of a split: name, good ones, defective ones of each kind.
const SPLITS: [(&str, u32, u32); 3] = [("train", 100, 0), ("validation", 20, 5), ("test", 25, 10)];

/// What was written.
pub struct Written {
    pub images: usize,
    pub masks: usize,
    pub digest: String,
}

/// Writes all categories below `out`. A category appears under its name only when it is complete.
pub fn write_dataset(photos: &Path, out: &Path) -> anyhow::Result<Written> {
    let mut digest = Sha256::new();
    let mut written = Written {
        images: 0,
        masks: 0,
        digest: String::new(),
    };
    let read = |category: &Category| Photo::read(&photos.join(format!("{}.png", category.name)));
    let photos = CATEGORIES
        .iter()
        .map(read)
        .collect::<anyhow::Result<Vec<_>>>()?;
    for (category, photo) in CATEGORIES.iter().zip(&photos) {
        let other = Other {
            photo: &photos[category.other],
            tint: CATEGORIES[category.other].tint,
        };
        let unfinished = out.join(format!(".{}.unfinished", category.name));
        let finished = out.join(category.name);
        remove(&unfinished)?;
        for (split, good, each) in SPLITS {
            write_split(
                category,
                photo,
                other,
                split,
                good,
                each,
                &unfinished,
                &mut written,
                &mut digest,
            )?;
        }
        remove(&finished)?;
        fs::rename(&unfinished, &finished).with_context(|| {
            format!(
                "cannot move {} to {}",
                unfinished.display(),
                finished.display()
            )
        })?;
    }
    written.digest = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(written)
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "called once; a struct would only rename them"
)]
fn write_split(
    category: &Category,
    photo: &Photo,
    other: Other<'_>,
    split: &str,
    good: u32,
    each: u32,
    root: &Path,
    written: &mut Written,
    digest: &mut Sha256,
) -> anyhow::Result<()> {
    let kinds =
        std::iter::once((None, good)).chain(Kind::ALL.into_iter().map(|kind| (Some(kind), each)));
    for (kind, count) in kinds.filter(|(_, count)| *count > 0) {
        let label = kind.map_or("good", Kind::name);
        let images = root.join(split).join(label);
        let masks = mask_folder(root, split, label);
        create(&images)?;
        if kind.is_some() {
            create(&masks)?;
        }
        for index in 0..count {
            let name = format!("{}/{split}/{label}/{index:03}", category.name);
            let (pixels, mask) = make(&name, category, photo, other, kind);
            let path = images.join(format!("{index:03}.png"));
            digest.update(&name);
            digest.update(&pixels);
            write_png(&path, png::ColorType::Rgb, &pixels)?;
            written.images += 1;
            if let Some(mask) = mask {
                digest.update(&mask);
                write_png(
                    &masks.join(format!("{index:03}_mask.png")),
                    png::ColorType::Grayscale,
                    &mask,
                )?;
                written.masks += 1;
            }
        }
    }
    Ok(())
}

/// MVTec keeps the masks of `test` in `ground_truth/KIND`; those of `validation` lie in `ground_truth/validation/KIND`.
fn mask_folder(root: &Path, split: &str, label: &str) -> PathBuf {
    let folder = if split == "validation" {
        "ground_truth/validation"
    } else {
        "ground_truth"
    };
    root.join(folder).join(label)
}

fn create(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// One picture, and its mask if it has a defect. Everything about it follows from its name.
fn make(
    name: &str,
    category: &Category,
    photo: &Photo,
    other: Other<'_>,
    kind: Option<Kind>,
) -> (Vec<u8>, Option<Vec<u8>>) {
    let stream = |purpose: &str| Random::new(SEED, &format!("{name}/{purpose}"));
    let view = View::draw(&mut stream("view"), photo);
    let light = Light::draw(&mut stream("light"), category.tint);
    let mut picture = view::see(photo, &view, &light);
    let mask =
        kind.map(|kind| defect::apply(&mut stream("defect"), kind, &mut picture, other).mask());
    view::add_noise(&mut stream("noise"), &mut picture);
    (picture.bytes(), mask)
}

#[cfg(test)]
mod tests;

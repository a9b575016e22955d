//! The MVTec AD folder layout.
//!
//! ```text
//! CATEGORY/train/good/000.png
//! CATEGORY/test/{good,DEFECT}/000.png              CATEGORY/ground_truth/DEFECT/000_mask.png
//! CATEGORY/validation/{good,DEFECT}/000.png (ours) CATEGORY/ground_truth/validation/DEFECT/000_mask.png,
//!                                                  or in ground_truth/DEFECT, if no two names are alike
//! ```
//!
//! Validation masks have a folder of their own because the reference counts those in `ground_truth/DEFECT` against `test`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    DataError, Label, ListedObject, Listing, Purpose, Split,
    layout::{self, IMAGE_EXTENSIONS, Placed},
    mask,
    parameters::{ImageDataset, Task, ValSplitMode},
    split::{Candidate, Folders},
};

const GOOD: &str = "good";

/// Images by kind (the name of their folder).
type Kinds<'a> = BTreeMap<&'a str, Vec<Placed<'a>>>;

pub(crate) fn samples(
    folder: &str,
    shared: &ImageDataset,
    test_split_ratio: f64,
    listing: &[ListedObject],
    purpose: Purpose,
) -> Result<Listing, DataError> {
    let objects = layout::below(listing, folder);
    if objects.is_empty() {
        return Err(DataError::EmptyFolder {
            folder: folder.to_owned(),
            nearest: None,
        });
    }
    let mut warnings = Vec::new();
    let images: Vec<Placed<'_>> = objects
        .iter()
        .copied()
        .filter(|object| object.has_extension(IMAGE_EXTENSIONS))
        .collect();
    let mut train = kinds(&images, &["train"]);
    let test = kinds(&images, &["test"]);
    let mut validation = kinds(&images, &["validation"]);

    for split in ["train", "test", "validation"] {
        warnings.extend(misplaced(&images, folder, split));
    }
    let learned = train.remove(GOOD).unwrap_or_default();
    for (kind, unused) in train {
        warnings.push(format!(
            "{} images in {folder}/train/{kind} are not used: only train/good is trained on",
            unused.len()
        ));
    }
    if shared.val_split_mode != ValSplitMode::FromDir && !validation.is_empty() {
        let unused: usize = validation.values().map(Vec::len).sum();
        warnings.push(format!(
            "{unused} images in {folder}/validation are not used: val_split_mode is not from_dir"
        ));
        validation.clear();
    }

    let mut candidates: Vec<Candidate<'_>> = Vec::with_capacity(images.len());
    let roles = [(Split::Test, &test), (Split::Validation, &validation)];
    candidates.extend(
        learned
            .into_iter()
            .map(|placed| candidate(placed, Split::Train, GOOD)),
    );
    for (split, kinds) in roles {
        for (kind, placed) in kinds {
            candidates.extend(placed.iter().map(|placed| candidate(*placed, split, kind)));
        }
    }
    if shared.task == Task::Segmentation {
        add_masks(
            &mut candidates,
            &images,
            folder,
            shared.val_split_mode == ValSplitMode::FromDir,
        )?;
    }
    let folders = Folders {
        train: format!("{folder}/train/good"),
        validation: format!("{folder}/validation"),
    };
    shared.finish(candidates, test_split_ratio, &folders, purpose, warnings)
}

/// The images at `PREFIX/KIND/NAME`.
fn kinds<'a>(images: &[Placed<'a>], prefix: &[&str]) -> Kinds<'a> {
    let mut kinds = Kinds::new();
    for image in images {
        let parts: Vec<&'a str> = image.parts().collect();
        if parts.len() == prefix.len() + 2 && parts.starts_with(prefix) {
            kinds.entry(parts[prefix.len()]).or_default().push(*image);
        }
    }
    kinds
}

/// What to say about the images of a split that lie too high or too deep to have a kind.
fn misplaced(images: &[Placed<'_>], folder: &str, split: &str) -> Option<String> {
    let of_split = |image: &&Placed<'_>| {
        let mut parts = image.parts();
        parts.next() == Some(split) && parts.count() != 2
    };
    let mut misplaced = images.iter().filter(of_split);
    let first = misplaced.next()?;
    let (count, name) = (1 + misplaced.count(), first.below);
    Some(format!(
        "{count} images in {folder}/{split} are not used, the first of them {name}: only {split}/KIND/NAME is looked for"
    ))
}

fn candidate<'a>(placed: Placed<'a>, split: Split, kind: &str) -> Candidate<'a> {
    let (label, defect_type) = if kind == GOOD {
        (Label::Normal, None)
    } else {
        (Label::Anomalous, Some(kind.to_owned()))
    };
    Candidate {
        placed,
        key: placed.below.to_owned(),
        split,
        label,
        defect_type,
        mask_uri: None,
        synthetic: None,
    }
}

/// Gives every anomalous image its mask, kind by kind.
fn add_masks(
    candidates: &mut [Candidate<'_>],
    images: &[Placed<'_>],
    folder: &str,
    validation_used: bool,
) -> Result<(), DataError> {
    let mut shared = kinds(images, &["ground_truth"]);
    let mut own = kinds(images, &["ground_truth", "validation"]);
    shared.remove(GOOD);
    own.remove(GOOD);
    // Masks of validation images that are not used may lie in the shared folders; they are then no error.
    let mut unused: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    if !validation_used {
        own.clear();
        for (kind, placed) in kinds(images, &["validation"]) {
            unused.insert(kind, placed.iter().map(|image| file_stem(image)).collect());
        }
    }
    let defects: BTreeSet<String> = candidates
        .iter()
        .filter_map(|one| one.defect_type.clone())
        .collect();
    for kind in &defects {
        let own = own.remove(kind.as_str()).unwrap_or_default();
        let mut masks = shared.remove(kind.as_str()).unwrap_or_default();
        let of_kind = |candidates: &[Candidate<'_>],
                       wanted: &dyn Fn(Split) -> bool|
         -> Vec<usize> {
            let matches =
                |one: &Candidate<'_>| one.defect_type.as_deref() == Some(kind) && wanted(one.split);
            candidates
                .iter()
                .enumerate()
                .filter(|(_, one)| matches(one))
                .map(|(index, _)| index)
                .collect()
        };
        let together = own.is_empty();
        let in_shared = of_kind(candidates, &|split| split == Split::Test || together);
        if let Some(skipped) = unused.get(kind.as_str()) {
            let needed: BTreeSet<&str> = in_shared
                .iter()
                .map(|&index| file_stem(&candidates[index].placed))
                .collect();
            masks.retain(|mask| {
                !skipped.contains(mask_stem(mask)) || needed.contains(mask_stem(mask))
            });
        }
        assign(
            candidates,
            &in_shared,
            &masks,
            &format!("{folder}/ground_truth/{kind}"),
        )?;
        if !together {
            let in_own = of_kind(candidates, &|split| split == Split::Validation);
            assign(
                candidates,
                &in_own,
                &own,
                &format!("{folder}/ground_truth/validation/{kind}"),
            )?;
        }
    }
    let stray = shared
        .into_iter()
        .filter(|(kind, _)| !unused.contains_key(kind))
        .chain(own)
        .flat_map(|(_, masks)| masks)
        .next();
    match stray {
        Some(mask) => Err(DataError::MaskWithoutImage {
            mask: mask.object.path.clone(),
        }),
        None => Ok(()),
    }
}

fn assign(
    candidates: &mut [Candidate<'_>],
    images: &[usize],
    masks: &[Placed<'_>],
    folder: &str,
) -> Result<(), DataError> {
    // Names are compared within a kind's folder, so only the file name counts.
    let names = |placed: &Placed<'_>| {
        placed.below.len() - placed.below.rsplit('/').next().map_or(0, str::len)
    };
    fn cut<'a>(placed: &Placed<'a>, at: usize) -> Placed<'a> {
        Placed {
            object: placed.object,
            below: &placed.below[at..],
        }
    }
    let short: Vec<Placed<'_>> = images
        .iter()
        .map(|&index| &candidates[index].placed)
        .map(|one| cut(one, names(one)))
        .collect();
    let masks: Vec<Placed<'_>> = masks.iter().map(|one| cut(one, names(one))).collect();
    let uris: Vec<String> = mask::pair(&short, &masks, folder)?
        .iter()
        .map(|mask| mask.object.uri.clone())
        .collect();
    for (&index, uri) in images.iter().zip(uris) {
        candidates[index].mask_uri = Some(uri);
    }
    Ok(())
}

fn file_stem<'a>(placed: &Placed<'a>) -> &'a str {
    placed.stem().rsplit('/').next().unwrap_or_default()
}

fn mask_stem<'a>(placed: &Placed<'a>) -> &'a str {
    let stem = file_stem(placed);
    stem.strip_suffix("_mask").unwrap_or(stem)
}

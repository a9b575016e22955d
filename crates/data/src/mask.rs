//! Which mask belongs to which image.

use std::collections::{HashMap, HashSet};

use crate::{DataError, layout::Placed, split::Candidate};

/// The mask of each image, in the order of `images`.
///
/// Exact names first: `000.png` or `000_mask.png` for `000.png`, which no sorting rule can mix up (`1_mask` sorts after
/// `10_mask`). Where the names differ in another way, the reference's rule: in sorted order, and the image's name must be
/// contained in the mask's.
pub(crate) fn pair<'a>(
    images: &[Placed<'_>],
    masks: &[Placed<'a>],
    folder: &str,
) -> Result<Vec<Placed<'a>>, DataError> {
    let by_name: HashMap<&str, Placed<'a>> = masks
        .iter()
        .map(|mask| (bare(mask.stem()), *mask))
        .collect();
    let exact: Vec<Option<Placed<'a>>> = images
        .iter()
        .map(|image| by_name.get(image.stem()).copied())
        .collect();
    if images.len() == masks.len() && exact.iter().any(Option::is_none) {
        return in_sorted_order(images, masks);
    }
    let mut paired = Vec::with_capacity(images.len());
    for (image, mask) in images.iter().zip(exact) {
        match mask {
            Some(mask) => paired.push(mask),
            None => {
                return Err(DataError::MaskMissing {
                    image: image.object.path.clone(),
                    masks: folder.to_owned(),
                });
            }
        }
    }
    let used: HashSet<&str> = paired.iter().map(|mask| mask.below).collect();
    match masks.iter().find(|mask| !used.contains(mask.below)) {
        Some(mask) => Err(DataError::MaskWithoutImage {
            mask: mask.object.path.clone(),
        }),
        None => Ok(paired),
    }
}

/// Two images of one name would silently be measured against one mask.
pub(crate) fn one_image_each(candidates: &[Candidate<'_>]) -> Result<(), DataError> {
    let mut image_of: HashMap<&str, &str> = HashMap::new();
    for one in candidates {
        let Some(mask) = &one.mask_uri else { continue };
        let image = one.placed.object.path.as_str();
        if let Some(first) = image_of.insert(mask, image) {
            return Err(DataError::MaskOfTwo {
                mask: mask.clone(),
                first: first.to_owned(),
                second: image.to_owned(),
            });
        }
    }
    Ok(())
}

fn in_sorted_order<'a>(
    images: &[Placed<'_>],
    masks: &[Placed<'a>],
) -> Result<Vec<Placed<'a>>, DataError> {
    let mut order: Vec<usize> = (0..images.len()).collect();
    order.sort_by_key(|&index| images[index].below);
    let mut sorted = masks.to_vec();
    sorted.sort_by_key(|mask| mask.below);
    let mut paired = sorted.clone();
    for (&index, mask) in order.iter().zip(&sorted) {
        if !file_name(mask.stem()).contains(file_name(images[index].stem())) {
            let image = images[index].object.path.clone();
            return Err(DataError::MaskMismatch {
                image,
                mask: mask.object.path.clone(),
            });
        }
        paired[index] = *mask;
    }
    Ok(paired)
}

fn bare(stem: &str) -> &str {
    stem.strip_suffix("_mask").unwrap_or(stem)
}

fn file_name(stem: &str) -> &str {
    stem.rsplit('/').next().unwrap_or(stem)
}

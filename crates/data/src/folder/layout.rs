//! From the user's folders to samples.

use std::collections::HashMap;

use crate::{
    DataError, Label, ListedObject, Listing, Purpose, Split,
    folder::Folder,
    layout::{self, IMAGE_EXTENSIONS, Placed},
    mask,
    split::{Candidate, Folders},
};

pub(crate) fn samples(
    dataset: &Folder,
    listing: &[ListedObject],
    purpose: Purpose,
) -> Result<Listing, DataError> {
    let find = |folder: &String| images(dataset, listing, folder);
    let mut candidates = Vec::new();
    for folder in &dataset.normal_dir {
        let found = find(folder);
        match found {
            Err(error) if purpose == Purpose::Train => return Err(error),
            found => candidates.extend(
                found
                    .into_iter()
                    .flatten()
                    .map(|placed| normal(placed, Split::Train, "normal_dir")),
            ),
        }
    }
    for folder in dataset.normal_test_dir.iter().flatten() {
        candidates.extend(
            find(folder)?
                .into_iter()
                .map(|placed| normal(placed, Split::Test, "normal_test_dir")),
        );
    }
    let masks = dataset
        .mask_dir
        .iter()
        .flatten()
        .map(find)
        .collect::<Result<Vec<_>, _>>()?;
    let abnormal: Vec<(&String, Vec<Placed<'_>>)> = dataset
        .abnormal_dir
        .iter()
        .flatten()
        .map(|folder| Ok((folder, find(folder)?)))
        .collect::<Result<_, DataError>>()?;
    candidates.extend(anomalous(dataset, abnormal, masks)?);
    one_role_each(&candidates)?;

    let folders = Folders {
        train: dataset.normal_dir.join(", "),
        validation: String::new(),
    };
    let ratio = dataset
        .test_split_ratio
        .unwrap_or(dataset.normal_split_ratio);
    dataset
        .shared
        .finish(candidates, ratio, &folders, purpose, Vec::new())
}

fn images<'a>(
    dataset: &Folder,
    listing: &'a [ListedObject],
    folder: &str,
) -> Result<Vec<Placed<'a>>, DataError> {
    let mut found = layout::below(listing, folder);
    found.retain(|placed| match &dataset.extensions {
        Some(extensions) => placed.has_extension(extensions),
        None => placed.has_extension(IMAGE_EXTENSIONS),
    });
    if found.is_empty() {
        return Err(DataError::EmptyFolder {
            folder: folder.to_owned(),
            nearest: None,
        });
    }
    Ok(found)
}

fn normal<'a>(placed: Placed<'a>, split: Split, role: &'static str) -> Candidate<'a> {
    Candidate {
        placed,
        key: format!("{role}/{}", placed.below),
        split,
        label: Label::Normal,
        defect_type: None,
        mask_uri: None,
        synthetic: None,
    }
}

/// Anomalous images with their masks: folder by folder if there are as many, else all together.
fn anomalous<'a>(
    dataset: &Folder,
    images: Vec<(&String, Vec<Placed<'a>>)>,
    masks: Vec<Vec<Placed<'a>>>,
) -> Result<Vec<Candidate<'a>>, DataError> {
    let mut candidates = Vec::new();
    let mask_folders: Vec<&String> = dataset.mask_dir.iter().flatten().collect();
    let one_for_all = masks.len() == 1 && images.len() > 1;
    let mut all = Vec::new();
    for (index, (folder, placed)) in images.into_iter().enumerate() {
        let kind = folder.rsplit('/').next().unwrap_or_default();
        if let (false, Some(masks)) = (one_for_all, masks.get(index)) {
            let paired = mask::pair(&placed, masks, mask_folders[index])?;
            candidates.extend(
                placed
                    .into_iter()
                    .zip(paired)
                    .map(|(placed, mask)| anomaly(placed, kind, Some(mask))),
            );
        } else {
            all.extend(placed.into_iter().map(|placed| (placed, kind)));
        }
    }
    if one_for_all {
        // `KIND/NAME` below the one mask folder, or just `NAME`: whichever the masks have.
        let deep = masks[0].iter().any(|mask| mask.parent().is_some());
        let by_kind: Vec<String> = all
            .iter()
            .map(|(placed, kind)| format!("{kind}/{}", placed.below))
            .collect();
        let named: Vec<Placed<'_>> = all
            .iter()
            .zip(&by_kind)
            .map(|((placed, _), below)| {
                if deep {
                    Placed {
                        object: placed.object,
                        below,
                    }
                } else {
                    *placed
                }
            })
            .collect();
        let paired = mask::pair(&named, &masks[0], mask_folders[0])?;
        candidates.extend(
            all.into_iter()
                .zip(paired)
                .map(|((placed, kind), mask)| anomaly(placed, kind, Some(mask))),
        );
    } else {
        candidates.extend(
            all.into_iter()
                .map(|(placed, kind)| anomaly(placed, kind, None)),
        );
    }
    Ok(candidates)
}

fn anomaly<'a>(placed: Placed<'a>, kind: &str, mask: Option<Placed<'a>>) -> Candidate<'a> {
    Candidate {
        placed,
        key: format!("abnormal_dir/{kind}/{}", placed.below),
        split: Split::Test,
        label: Label::Anomalous,
        defect_type: Some(placed.parent().unwrap_or(kind).to_owned()),
        mask_uri: mask.map(|mask| mask.object.uri.clone()),
        synthetic: None,
    }
}

/// The same image in two folders would be trained on and tested, or count twice.
fn one_role_each(candidates: &[Candidate<'_>]) -> Result<(), DataError> {
    let mut seen: HashMap<&str, &'static str> = HashMap::new();
    for one in candidates {
        let role = match (one.split, one.label) {
            (Split::Train, _) => "normal_dir",
            (_, Label::Normal) => "normal_test_dir",
            (_, Label::Anomalous) => "abnormal_dir",
        };
        if let Some(first) = seen.insert(&one.placed.object.path, role) {
            return Err(DataError::TwoRoles {
                path: one.placed.object.path.clone(),
                first,
                second: role,
            });
        }
    }
    Ok(())
}

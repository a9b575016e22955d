//! Paths of listed objects: what lies below a folder, what is hidden, what is an image by its name.

use crate::ListedObject;

/// What the reference takes for an image. Whether it can be decoded is known when it is read: a row says so, then.
pub(crate) const IMAGE_EXTENSIONS: &[&str] = &[
    ".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp",
];

/// Those of images that nothing here reads.
pub(crate) const UNREAD_EXTENSIONS: &[&str] =
    &[".gif", ".apng", ".avif", ".heic", ".heif", ".jp2", ".jxl"];

/// An object with its place below a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed<'a> {
    pub object: &'a ListedObject,
    /// `/` between its parts; none of them hidden.
    pub below: &'a str,
}

impl<'a> Placed<'a> {
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &'a str> + use<'a> {
        self.below.split('/')
    }

    /// Name of the folder that the object is in; `None` if it is at the top.
    pub fn parent(&self) -> Option<&'a str> {
        self.parts().rev().nth(1)
    }

    /// The place without the extension.
    pub fn stem(&self) -> &'a str {
        let name = self.below.rfind('/').map_or(0, |slash| slash + 1);
        match self.below[name..].rfind('.') {
            Some(dot) if dot > 0 => &self.below[..name + dot],
            _ => self.below,
        }
    }

    pub fn has_extension(&self, extensions: &[impl AsRef<str>]) -> bool {
        ends_with(self.below, extensions)
    }
}

/// Whether a path ends so, whatever the case.
pub(crate) fn ends_with(path: &str, extensions: &[impl AsRef<str>]) -> bool {
    let path = path.as_bytes();
    extensions.iter().any(|extension| {
        let extension = extension.as_ref().as_bytes();
        let end = path.len().checked_sub(extension.len());
        end.is_some_and(|end| path[end..].eq_ignore_ascii_case(extension))
    })
}

/// Whether a part of a path is.
pub fn is_hidden(below: &str) -> bool {
    let mut parts = below.split('/');
    parts.any(|part| part.starts_with('.') || part.is_empty())
}

/// The visible objects below `folder`, sorted by path.
pub(crate) fn below<'a>(listing: &'a [ListedObject], folder: &str) -> Vec<Placed<'a>> {
    let mut found: Vec<Placed<'a>> = listing
        .iter()
        .filter_map(|object| {
            let below = object.path.strip_prefix(folder)?.strip_prefix('/')?;
            (!is_hidden(below)).then_some(Placed { object, below })
        })
        .collect();
    found.sort_by_key(|placed| placed.below);
    found.dedup_by_key(|placed| placed.below);
    found
}

/// `folder` itself if it is absolute or a URI, else its place below `root`; `.` and `..` are worked out.
pub fn join(root: &str, folder: &str) -> String {
    if folder.starts_with('/') || folder.contains("://") {
        return folder.trim_end_matches('/').to_owned();
    }
    let (prefix, path) = match root.find("://") {
        // Nothing climbs above the bucket.
        Some(scheme) => root.split_at(
            root[scheme + 3..]
                .find('/')
                .map_or(root.len(), |slash| scheme + 3 + slash),
        ),
        None => ("", root),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').chain(folder.split('/')) {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let mut joined = prefix.to_owned();
    for part in parts {
        joined.push('/');
        joined.push_str(part);
    }
    joined
}

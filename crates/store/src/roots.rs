//! Local folders that jobs may read and write. A job names its places itself, and whoever may submit one is not
//! necessarily somebody who may read what this machine's account can.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{StoreError, uri::file_uri};

/// Which local paths may be reached. Asked again before each use: a link can be put where a folder was.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    /// What the configuration names; `None`: nothing, which allows everything or, once it is confined, nothing.
    declared: Option<Vec<PathBuf>>,
    confined: AtomicBool,
}

impl Roots {
    pub fn new(declared: Option<Vec<PathBuf>>) -> Self {
        Self {
            declared,
            confined: AtomicBool::new(false),
        }
    }

    /// From now on nothing is allowed that is not declared.
    pub fn confine(&self) {
        self.confined.store(true, Ordering::Relaxed);
    }

    /// The roots, if there are limits at all.
    fn limits(&self) -> Option<&[PathBuf]> {
        match &self.declared {
            Some(roots) => Some(roots),
            None => self.confined.load(Ordering::Relaxed).then_some(&[]),
        }
    }

    pub fn allows(&self, path: &Path) -> bool {
        let Some(roots) = self.limits() else {
            return true;
        };
        let Ok(place) = resolved(path) else {
            return false;
        };
        roots.iter().any(|root| {
            // A root that is not there yet is what its name says.
            let root = root.canonicalize().unwrap_or_else(|_| root.clone());
            place.starts_with(root)
        })
    }

    pub fn check(&self, path: &Path) -> Result<(), StoreError> {
        if self.allows(path) {
            return Ok(());
        }
        let roots = self.limits().unwrap_or_default();
        // Reads as if it lay below a root. Of what lies elsewhere nothing is told, not even that it is there.
        let is_below = roots.iter().any(|root| path.starts_with(root))
            && !path.components().any(|part| part == Component::ParentDir);
        let leads = is_below.then(|| match resolved(path) {
            Ok(place) => format!(", by a link that leads to {},", place.display()),
            Err(_) => ", a link that leads nowhere,".to_owned(),
        });
        let roots: Vec<String> = roots
            .iter()
            .map(|root| root.display().to_string())
            .collect();
        Err(StoreError::Undeclared {
            uri: format!("{}{}", file_uri(path), leads.unwrap_or_default()),
            known: match roots.is_empty() {
                true => "none is declared".to_owned(),
                false => format!("there are {}", roots.join(", ")),
            },
        })
    }
}

/// Where a path leads, links and `..` followed; what does not exist yet counts below the last folder that does.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut missing = Vec::new();
    let mut existing = path;
    let mut place = loop {
        match existing.canonicalize() {
            Ok(place) => break place,
            // What leads nowhere now could lead anywhere once it is written.
            Err(error) if fs::symlink_metadata(existing).is_ok() => return Err(error),
            Err(error) => {
                let (Some(folder), Some(Component::Normal(name))) =
                    (existing.parent(), existing.components().next_back())
                else {
                    return Err(error);
                };
                missing.push(name);
                existing = folder;
            }
        }
    };
    place.extend(missing.iter().rev());
    Ok(place)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn without_a_declaration_everything_is_allowed_until_confined() {
        let roots = Roots::new(None);
        assert!(roots.allows(Path::new("/etc/passwd")));
        roots.confine();
        assert!(!roots.allows(Path::new("/etc/passwd")));
        let error = roots.check(Path::new("/etc/passwd")).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("file:///etc/passwd"), "{said}");
        assert!(said.contains("none is declared"), "{said}");
        assert!(said.contains("`roots`"), "{said}");
        assert_eq!(error.class(), types::FailureClass::InvalidInput);
    }

    #[test]
    fn what_leaves_a_root_by_its_name_a_parent_or_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for made in ["data/a", "database", "linked"] {
            fs::create_dir_all(at(made)).unwrap();
        }
        symlink("/etc", at("data/out")).unwrap();
        symlink(at("data/a"), at("data/in")).unwrap();
        symlink(at("nowhere"), at("data/dangling")).unwrap();
        symlink(at("data"), at("linked/data")).unwrap();
        // The root itself may be a link.
        let roots = Roots::new(Some(vec![at("linked/data"), at("later")]));
        for path in [
            "data",
            "data/a",
            "data/a/new/deep.png",
            "data/in/x",
            "linked/data/a",
            "data/a/../a",
            "database/../data/a",
            "later/new",
        ] {
            assert!(roots.allows(&at(path)), "{path}");
        }
        for path in [
            "",
            "database",
            "data/../database",
            "data/out",
            "data/out/passwd",
            "data/new/../../database",
            "data/dangling",
            "data/dangling/x",
            "laterally",
        ] {
            assert!(!roots.allows(&at(path)), "{path}");
        }
        assert!(Roots::new(Some(vec![PathBuf::from("/")])).allows(&at("database")));
    }

    #[test]
    fn a_link_out_of_a_root_is_told_and_nothing_of_what_lies_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir(at("data")).unwrap();
        symlink("/etc", at("data/out")).unwrap();
        symlink("/etc", at("secret")).unwrap();
        symlink(at("nowhere"), at("data/dangling")).unwrap();
        let roots = Roots::new(Some(vec![at("data")]));
        let said = |path: &str| roots.check(&at(path)).unwrap_err().to_string();
        let link = said("data/out/passwd");
        assert!(
            link.contains("by a link that leads to /etc/passwd, lies below no"),
            "{link}"
        );
        assert!(said("data/dangling").contains("a link that leads nowhere, lies"));
        for path in ["secret/passwd", "data/../secret/passwd"] {
            assert!(said(path).contains("passwd lies below no"), "{path}");
        }
    }
}

//! Where a command puts its files, looked at before the job runs that makes them.

use std::path::{Path, PathBuf};

use tokio::fs::{self, File};

use crate::{Error, output};

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path: PathBuf = path.to_owned();
    move |source| Error::Write { path, source }
}

/// Fails where [`output::new_file`] would.
pub async fn check_new_file(path: &Path) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        check_is_folder(folder)?;
    }
    output::new_file(path, "")?;
    fs::remove_file(path).await.map_err(failed(path))
}

/// Fails where a file is in the place of the folder, or of one that it is to lie in.
pub fn check_is_folder(folder: &Path) -> Result<(), Error> {
    match folder.ancestors().find(|there| there.exists()) {
        Some(there) if !there.is_dir() => Err(Error::Usage(format!(
            "the folder cannot be {}: {} is no folder; name another (--to)",
            folder.display(),
            there.display()
        ))),
        _ => Ok(()),
    }
}

/// Fails where no file can be put into the folder. One that was not there is gone again until there are files.
pub async fn check_folder(folder: &Path) -> Result<(), Error> {
    check_is_folder(folder)?;
    let was_there = folder.exists();
    fs::create_dir_all(folder).await.map_err(failed(folder))?;
    let part = folder.join(".nightshift.part");
    File::create(&part).await.map_err(failed(&part))?;
    fs::remove_file(&part).await.map_err(failed(&part))?;
    match was_there {
        true => Ok(()),
        false => fs::remove_dir(folder).await.map_err(failed(folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_place_of_a_folder_is_wrong_usage() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        for wanted in [file.clone(), file.join("below/it")] {
            let error = check_is_folder(&wanted).unwrap_err();
            assert_eq!(error.exit_code(), crate::error::USAGE);
            let said = format!(
                "the folder cannot be {}: {} is no folder",
                wanted.display(),
                file.display()
            );
            assert!(error.to_string().starts_with(&said), "{error}");
        }
        check_is_folder(folder.path()).unwrap();
        check_is_folder(&folder.path().join("new/one")).unwrap();
        check_is_folder(Path::new("new")).unwrap();
    }
}

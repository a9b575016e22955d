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
    output::new_file(path, "")?;
    fs::remove_file(path).await.map_err(failed(path))
}

/// Fails where no file can be put into the folder. One that was not there is gone again until there are files.
pub async fn check_folder(folder: &Path) -> Result<(), Error> {
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

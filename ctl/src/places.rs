//! Where things are on this machine: state folder, programs, weights, native libraries.

use std::env;
use std::path::{Path, PathBuf};

use proto::Place;

use crate::{Common, Error};

/// Longest path of a Unix socket on Linux, without its final zero.
const SOCKET_PATH_MAX: usize = 107;

/// Where the coordinator of this command is.
pub fn coordinator(common: &Common) -> Result<Place, Error> {
    match common.reach.place()? {
        Place::State(folder) => usable(folder).map(Place::State),
        remote => Ok(remote),
    }
}

/// The folder, if it is one or can become one.
fn usable(folder: PathBuf) -> Result<PathBuf, Error> {
    // The nearest thing that is there must be a folder: the rest is made when needed.
    match folder.ancestors().find(|there| there.exists()) {
        Some(there) if !there.is_dir() => Err(Error::Usage(format!(
            "the state folder cannot be {}: {} is a file; choose a folder with --state DIR",
            folder.display(),
            there.display()
        ))),
        _ => Ok(folder),
    }
}

/// The state folder of this machine, which need not exist, wherever the coordinator is.
pub fn state_folder(common: &Common) -> Result<PathBuf, Error> {
    usable(common.reach.state_folder()?)
}

/// Path of the socket in a state folder; an error if the system cannot take a path that long.
pub fn socket(state: &Path) -> Result<PathBuf, Error> {
    let socket = state.join(proto::local::SOCKET);
    let length = socket.as_os_str().len();
    if length > SOCKET_PATH_MAX {
        return Err(Error::Usage(format!(
            "the state folder's path is too long: {} has {length} bytes, a socket's path may have {SOCKET_PATH_MAX}; choose a shorter one with --state",
            socket.display()
        )));
    }
    Ok(socket)
}

/// An XDG base folder.
fn base(variable: &str, below_home: &str) -> Result<PathBuf, Error> {
    if let Some(folder) = env::var_os(variable)
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
    {
        return Ok(folder);
    }
    match env::var_os("HOME").filter(|home| !home.is_empty()) {
        Some(home) => Ok(PathBuf::from(home).join(below_home)),
        None => Err(Error::cannot_run(format!(
            "neither HOME nor {variable} is set; say where to keep the state with --state DIR"
        ))),
    }
}

/// Folder of the running program.
pub fn program_folder() -> Result<PathBuf, Error> {
    let program = env::current_exe().map_err(|source| {
        Error::cannot_run_because("cannot find the running program's folder", source)
    })?;
    Ok(program.parent().unwrap_or(Path::new("/")).to_owned())
}

/// Another of our programs: beside this one.
pub fn program(name: &str) -> Result<PathBuf, Error> {
    let folder = program_folder()?;
    let path = folder.join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(Error::cannot_run(format!(
            "the program {name} is missing beside ctl in {}; `make build` makes all of them",
            folder.display()
        )))
    }
}

/// Where weights are looked for and put.
pub fn weights_folder() -> Result<PathBuf, Error> {
    if let Some(folder) = env::var_os("NIGHTSHIFT_WEIGHTS").filter(|folder| !folder.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    if let Some(parent) = program_folder()?.parent() {
        let beside = parent.join("weights");
        if beside.is_dir() {
            return Ok(beside);
        }
    }
    Ok(base("XDG_DATA_HOME", ".local/share")?.join("nightshift/weights"))
}

/// Where the native libraries are, if they are where the programs look first.
pub fn native_folder() -> Option<PathBuf> {
    match env::var_os("NIGHTSHIFT_NATIVE_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => Some(PathBuf::from(folder)),
        None => program_folder()
            .ok()
            .map(|folder| folder.join("lib"))
            .filter(|folder| folder.is_dir()),
    }
}

//! Where native libraries lie.

use std::path::{Path, PathBuf};

use crate::EngineError;

/// The folders that may hold native libraries, in order: `NIGHTSHIFT_NATIVE_DIR` alone if it is set, else `lib`
/// beside the program, and `native/lib` in one of the folders above it (a source tree: programs lie in `bin/`,
/// test programs in `target/*/deps/`).
pub(crate) fn folders() -> Vec<PathBuf> {
    let named = std::env::var_os("NIGHTSHIFT_NATIVE_DIR").map(PathBuf::from);
    let program = std::env::current_exe().ok();
    // cargo gives this to tests, whose target folder may lie anywhere.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    search(named.as_deref(), program.as_deref(), package.as_deref())
}

fn search(named: Option<&Path>, program: Option<&Path>, package: Option<&Path>) -> Vec<PathBuf> {
    if let Some(named) = named {
        return vec![named.to_owned(), named.join("lib")];
    }
    let mut folders = Vec::new();
    if let Some(folder) = program.and_then(Path::parent) {
        folders.push(folder.join("lib"));
        folders.extend(folder.ancestors().take(4).map(|f| f.join("native/lib")));
    }
    if let Some(package) = package {
        folders.extend(
            package
                .ancestors()
                .skip(1)
                .take(2)
                .map(|f| f.join("native/lib")),
        );
    }
    folders
}

/// The first of `folders` with `file`.
pub(crate) fn find(engine: &'static str, file: &'static str) -> Result<PathBuf, EngineError> {
    find_in(engine, file, folders())
}

fn find_in(
    engine: &'static str,
    file: &'static str,
    folders: Vec<PathBuf>,
) -> Result<PathBuf, EngineError> {
    let candidates = folders.iter().map(|folder| folder.join(file));
    match candidates.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => Err(EngineError::NotFound {
            engine,
            file,
            looked_in: folders,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_folder_is_the_only_one() {
        let found = search(
            Some(Path::new("/opt/n")),
            Some(Path::new("/bin/executor")),
            None,
        );
        assert_eq!(
            found,
            [PathBuf::from("/opt/n"), PathBuf::from("/opt/n/lib")]
        );
    }

    #[test]
    fn a_program_looks_beside_itself_first() {
        let found = search(None, Some(Path::new("/src/bin/executor")), None);
        assert_eq!(found[0], Path::new("/src/bin/lib"));
        assert!(found.contains(&PathBuf::from("/src/native/lib")));
    }

    #[test]
    fn the_error_names_the_file_the_folders_and_the_way_out() {
        let error = find_in("openvino", "libabsent.so", vec!["/nowhere/lib".into()]).unwrap_err();
        let message = error.to_string();
        for part in [
            "openvino",
            "libabsent.so",
            "/nowhere/lib",
            "make setup",
            "NIGHTSHIFT_NATIVE_DIR",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
}

//! Lets this crate's engine tests find libtorch without `LD_LIBRARY_PATH`.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rustc-link-arg-tests=-Wl,-rpath,$ORIGIN/../../../native/lib");
    if let Some(lib) = linked_folder() {
        println!("cargo:rustc-link-arg-tests=-Wl,-rpath,{}", lib.display());
    }
}

/// The folder that was linked against, for a target folder outside of the source tree.
fn linked_folder() -> Option<PathBuf> {
    let named = env::var_os("LIBTORCH").map(PathBuf::from)?;
    let root = Path::new(&env::var_os("CARGO_MANIFEST_DIR")?)
        .parent()?
        .parent()?
        .to_owned();
    root.join(named).join("lib").canonicalize().ok()
}

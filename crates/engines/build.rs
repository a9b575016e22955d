//! Lets this crate's test programs find libtorch without `LD_LIBRARY_PATH`.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    // Beside an installed program; above a test program in target/*/deps of the source tree.
    for place in [
        "$ORIGIN/lib",
        "$ORIGIN/../lib",
        "$ORIGIN/../../native/lib",
        "$ORIGIN/../../../native/lib",
    ] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{place}");
    }
    // A target folder outside of the source tree: the folder that was linked against.
    if let Some(lib) = linked_folder() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
}

fn linked_folder() -> Option<PathBuf> {
    let named = env::var_os("LIBTORCH").map(PathBuf::from)?;
    let root = Path::new(&env::var_os("CARGO_MANIFEST_DIR")?)
        .parent()?
        .parent()?
        .to_owned();
    root.join(named).join("lib").canonicalize().ok()
}

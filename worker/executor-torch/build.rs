//! Lets the executor find libtorch beside itself or in the source tree, without `LD_LIBRARY_PATH`.

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    // Beside an installed program; above a program in target/*/ of the source tree.
    for place in [
        "$ORIGIN/lib",
        "$ORIGIN/../lib",
        "$ORIGIN/../../native/lib",
        "$ORIGIN/../../../native/lib",
    ] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{place}");
    }
    // A target folder outside of the source tree: the folder that was linked against.
    let root = env::var_os("CARGO_MANIFEST_DIR").map(|folder| Path::new(&folder).join("../.."));
    let linked = env::var_os("LIBTORCH")
        .zip(root)
        .and_then(|(named, root)| root.join(named).join("lib").canonicalize().ok());
    if let Some(lib) = linked {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
}

//! Lets the executor find libtorch beside itself or in the source tree, without `LD_LIBRARY_PATH`: by relative paths only, so
//! that a copied program never reaches into the tree that it was built in.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Beside an installed program; above a program in target/*/ of the source tree.
    for place in [
        "$ORIGIN/lib",
        "$ORIGIN/../lib",
        "$ORIGIN/../../native/lib",
        "$ORIGIN/../../../native/lib",
    ] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{place}");
    }
}

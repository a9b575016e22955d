//! Compiles the C++ half against OpenVINO's headers, which `scripts/setup_native.py` puts beside libtorch's, and links its library.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/save.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let native = env::var_os("LIBTORCH")
        .map(PathBuf::from)
        .filter(|native| native.join("include/openvino").is_dir());
    let Some(native) = native else {
        println!(
            "cargo::error=no OpenVINO headers in $LIBTORCH/include: run `make setup`, and build with make or with LIBTORCH set to its folder `native`"
        );
        return;
    };
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .include(native.join("include"))
        .file("src/save.cpp")
        .warnings(false)
        .compile("save");
    let library = native.join("lib");
    println!("cargo:rustc-link-search=native={}", library.display());
    println!("cargo:rustc-link-lib=dylib=openvino");
    // What OpenVINO itself needs lies beside it and is found when the program starts.
    println!("cargo:rustc-link-arg=-Wl,--allow-shlib-undefined");
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

//! Compiles what the bindings of libtorch lack, against the headers that they are compiled against.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/bindings.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Some(native) = env::var_os("LIBTORCH").map(PathBuf::from) else {
        println!(
            "cargo::error=LIBTORCH is not set: build with make, or set it to the folder `native`"
        );
        return;
    };
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .include(native.join("include"))
        .include(native.join("include/torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .file("src/bindings.cpp")
        .warnings(false)
        .compile("bindings");
}

//! Program `texture`: writes the synthetic dataset `texture` from three photographs.
//!
//! `texture PHOTOS OUT`: reads `PHOTOS/{brick,grass,gravel}.png`, writes `OUT/{brick,grass,gravel}` in MVTec's layout
//! with a folder `validation` beside `test`, and prints the digest of all pixels.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use texture::{EXPECTED_DIGEST, write_dataset};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("texture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [photos, out] = arguments.as_slice() else {
        bail!("expected two arguments: texture PHOTOS OUT");
    };
    let (photos, out) = (Path::new(photos), Path::new(out));
    let written = write_dataset(photos, out)
        .with_context(|| format!("cannot make the textures of {}", out.display()))?;
    if written.digest != EXPECTED_DIGEST {
        bail!(
            "the pixels made have the digest {}, expected {EXPECTED_DIGEST}: this build computes differently",
            written.digest
        );
    }
    println!(
        "texture: {} images with {} masks in {}",
        written.images,
        written.masks,
        out.display()
    );
    Ok(())
}

//! What comes with a model: `package.json`, `metadata.json`, and an ONNX file's list of the files beside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::{FileMetadata, PackageManifest, SIDES};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = PackageManifest::from_json(bytes) {
        // What was read can be written and read again.
        let text = manifest.to_json().expect("it was read");
        let again = PackageManifest::from_json(text.as_bytes()).expect("it was written");
        assert_eq!(again, manifest);
    }
    if let Ok(metadata) = FileMetadata::from_json(bytes) {
        let numbers = [
            metadata.image_threshold,
            metadata.pixel_threshold,
            metadata.min,
            metadata.max,
        ];
        assert!(numbers.into_iter().flatten().all(f32::is_finite));
        if let Some(ours) = metadata.nightshift {
            assert!(
                ours.preprocessing
                    .resize
                    .iter()
                    .all(|side| SIDES.contains(side))
            );
        }
    }
    let _ = graph::onnx::external_files(bytes);
});

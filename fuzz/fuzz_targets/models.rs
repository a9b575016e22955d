//! What comes with a model: `package.json`, and an ONNX file's list of the files beside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use package::PackageManifest;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = PackageManifest::from_json(bytes) {
        // What was read can be written and read again.
        let text = manifest.to_json().expect("it was read");
        let again = PackageManifest::from_json(text.as_bytes()).expect("it was written");
        assert_eq!(again, manifest);
    }
    let _ = graph::onnx::external_files(bytes);
});

//! Job files, ours and Anomalib's: read, or refused with a place in the file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let context = job::ReadContext {
        current_dir: "/jobs".as_ref(),
        now: job::Timestamp::UNIX_EPOCH,
    };
    match job::read(text, "job.yaml", &[], &context) {
        Ok(_) => {}
        Err(diagnostics) => assert!(!diagnostics.is_empty(), "refused without a word"),
    }
});

//! Archives: every entry of a listing can be read or is refused, and nothing is asked for beyond the end.
#![no_main]

use std::convert::Infallible;

use archive::{Format, Limits, Object, TarGz, list, read};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

struct Memory(Bytes);

impl Object for Memory {
    type Error = Infallible;

    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, Infallible> {
        let offset = offset as usize;
        assert!(length <= self.0.len() - offset, "asked beyond the end");
        Ok(self.0.slice(offset..offset + length))
    }
}

fuzz_target!(|bytes: &[u8]| {
    // What a few kilobytes may unpack to, so that a bomb is refused and not found slow.
    let limits = Limits {
        entry_bytes: 1 << 20,
        ratio_from: 1 << 16,
        stream_ratio_from: 1 << 20,
        ..Limits::default()
    };
    let object = Memory(Bytes::copy_from_slice(bytes));
    for format in [Format::Tar, Format::Zip] {
        let Ok(listing) = list("archive", &object, format, &limits) else {
            continue;
        };
        for entry in listing.entries.iter().take(32) {
            let parts = entry.name.split('/');
            assert!(
                parts.clone().all(|part| !matches!(part, "" | "." | "..")),
                "{entry:?}"
            );
            if let Ok(contents) = read("archive", &object, entry, &limits) {
                assert_eq!(contents.len() as u64, entry.size);
            }
        }
    }
    for file in TarGz::new("archive", bytes, limits).take(32) {
        if let Ok(Ok(file)) = file {
            assert!(file.bytes.len() as u64 <= limits.entry_bytes);
        }
    }
});

//! Lists of images: texts with their places in order, or refused; and what their addresses name.
#![no_main]

use bytes::Bytes;
use data::ListedAddress;
use libfuzzer_sys::fuzz_target;
use std::panic;
use tables::{Text, TextPlace, TextsError};

fn check(texts: impl Iterator<Item = Result<Text, TextsError>>) {
    let mut before = 0;
    for item in texts {
        let Ok(Text { text, place }) = item else {
            break;
        };
        assert_eq!(text, text.trim());
        let (TextPlace::Line(at) | TextPlace::Row(at)) = place;
        assert!(at >= before, "{at} after {before}");
        before = at;
        let address = data::join("s3://bucket/lists", &text);
        if let ListedAddress::Archived { archive, entry } = data::listed_address(&address) {
            assert!(data::is_archive(&archive) && !entry.is_empty());
            assert_eq!(format!("{archive}!/{entry}"), address);
        }
    }
}

/// A panic ends the run only where nobody contains it, as `tables` does those of Parquet's reader.
fn contain() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or("", |place| place.file());
        if !place.contains(".cargo/registry") {
            eprintln!("{panic}");
        }
    }));
}

fuzz_target!(init: contain(), |bytes: &[u8]| {
    check(tables::lines(bytes));
    if let Ok(texts) = tables::csv_column(bytes, "uri") {
        check(texts);
    }
    if let Ok(texts) = tables::parquet_column(Bytes::copy_from_slice(bytes), "uri") {
        check(texts);
    }
});

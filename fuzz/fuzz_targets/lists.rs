//! Lists of images: texts with their places in order, or refused; and what their addresses name.
#![no_main]

use bytes::Bytes;
use data::ListedAddress;
use libfuzzer_sys::fuzz_target;
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

fuzz_target!(|bytes: &[u8]| {
    check(tables::lines(bytes));
    if let Ok(texts) = tables::csv_column(bytes, "uri") {
        check(texts);
    }
    if let Ok(texts) = tables::parquet_column(Bytes::copy_from_slice(bytes), "uri") {
        check(texts);
    }
});

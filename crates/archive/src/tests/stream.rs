use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::{tar::builder, *};

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn sample() -> Vec<u8> {
    let long = "long/".repeat(40) + "name.png";
    let mut builder = builder(&[("one.png", &noise(70_000, 3)), (&long, b"two")]);
    let mut link = ::tar::Header::new_gnu();
    link.set_entry_type(::tar::EntryType::Symlink);
    link.set_size(0);
    builder
        .append_link(&mut link, "link.png", "one.png")
        .unwrap();
    builder.into_inner().unwrap()
}

fn all(bytes: &[u8], limits: Limits) -> Vec<Result<Result<File, Problem>, ArchiveError>> {
    TarGz::new(ARCHIVE, bytes, limits).collect()
}

fn error(bytes: &[u8], limits: Limits) -> ArchiveError {
    let error = all(bytes, limits).pop().unwrap().unwrap_err();
    assert!(error.to_string().contains(ARCHIVE), "{error}");
    error
}

#[test]
fn a_stream_gives_what_a_listing_finds() {
    let plain = sample();
    let object = Memory::new(plain.clone());
    let listing = list(ARCHIVE, &object, Format::Tar, &Limits::default()).unwrap();
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    // Two members in one file are one stream, as parallel packers write it.
    let halves = plain.split_at(40_000);
    let bytes = [packed(halves.0), packed(halves.1)].concat();
    for item in all(&bytes, Limits::default()) {
        match item.unwrap() {
            Ok(file) => files.push(file),
            Err(problem) => problems.push(problem),
        }
    }
    assert_eq!(problems, listing.problems);
    assert_eq!(files.len(), listing.entries.len());
    for (file, entry) in files.iter().zip(&listing.entries) {
        assert_eq!((&file.name, file.modified), (&entry.name, entry.modified));
        assert!(file.bytes == read(ARCHIVE, &object, entry, &Limits::default()).unwrap());
    }
}

#[test]
fn zeros_behind_a_stream_are_passed_over_as_gzip_does() {
    let plain = sample();
    let halves = plain.split_at(40_000);
    let (first, second) = (packed(halves.0), packed(halves.1));
    let whole = all(&packed(&plain), Limits::default());
    // More than a buffer holds.
    let zeros = vec![0; 20_480];
    for bytes in [
        [&packed(&plain), &zeros[..]].concat(),
        [&first, &zeros[..7], &second, &zeros].concat(),
    ] {
        let items = all(&bytes, Limits::default());
        assert_eq!(format!("{items:?}"), format!("{whole:?}"));
    }
    let more = [&packed(&plain), &zeros[..], b"more"].concat();
    assert_eq!(error(&more, Limits::default()).word(), "archive_error");
}

#[test]
fn a_bomb_ends_a_stream_before_memory_does() {
    let bytes = packed(
        &builder(&[("zeros.png", &vec![0; 20 << 20])])
            .into_inner()
            .unwrap(),
    );
    let limits = Limits {
        stream_ratio_from: 1 << 20,
        ..Limits::default()
    };
    assert_eq!(error(&bytes, limits).word(), "too_large");

    let limits = Limits {
        entry_bytes: 69_999,
        ..Limits::default()
    };
    let items = all(&packed(&sample()), limits);
    let refusal = items[0].as_ref().unwrap().as_ref().unwrap_err();
    assert_eq!(refusal.refusal.word(), "too_large");
    assert!(items[1].as_ref().unwrap().is_ok(), "the next file comes");

    let limits = Limits {
        entries: 1,
        ..Limits::default()
    };
    assert!(matches!(
        error(&packed(&sample()), limits),
        ArchiveError::TooManyEntries { .. }
    ));
}

#[test]
fn a_file_that_shrinks_like_a_bomb_is_left_out_as_a_zip_has_it() {
    let blank = vec![0; 2 << 20];
    let files = [("blank.bmp", &blank[..]), ("one.png", &noise(70_000, 3))];
    let bytes = packed(&builder(&files).into_inner().unwrap());
    let limits = Limits {
        ratio_from: 1 << 20,
        ..Limits::default()
    };
    let items = all(&bytes, limits);
    assert_eq!(items.len(), 2);
    let refused = items[0].as_ref().unwrap().as_ref().unwrap_err();
    assert_eq!(refused.entry, "blank.bmp");
    assert!(
        matches!(refused.refusal, Refusal::Bomb { stored, size: 2_097_152, ratio: 200 } if stored < 10_485),
        "{refused:?}"
    );
    assert_eq!(items[1].as_ref().unwrap().as_ref().unwrap().name, "one.png");
    // No more than those of which zip would take each.
    assert!(
        all(&bytes, Limits::default())
            .iter()
            .all(|item| item.as_ref().unwrap().is_ok())
    );
}

#[test]
fn what_is_no_archive_says_so() {
    let word = |bytes: &[u8]| error(bytes, Limits::default()).word();
    assert_eq!(word(b"no archive"), "not_an_archive");
    assert_eq!(word(&packed(&[b'x'; 5000])), "not_an_archive");
    assert_eq!(word(b""), "archive_error");
    let twice = [sample(), sample()].concat();
    assert_eq!(word(&packed(&twice)), "archive_error");
    // The checksum is the last thing but the length.
    let mut wrong = packed(&sample());
    let at = wrong.len() - 8;
    wrong[at] ^= 1;
    assert_eq!(word(&wrong), "archive_error");
    assert!(
        all(&wrong, Limits::default()).len() > 3,
        "files came before"
    );
}

proptest! {
    #[test]
    fn a_cut_stream_is_an_error(keep: prop::sample::Index) {
        let bytes = packed(&sample());
        let kept = &bytes[..keep.index(bytes.len())];
        prop_assert_eq!(error(kept, Limits::default()).word(), "archive_error");
    }

    #[test]
    fn changed_streams_never_panic(changes in changes()) {
        let limits = Limits { entry_bytes: 1 << 20, ..Limits::default() };
        for item in all(&changed(packed(&sample()), &changes), limits) {
            if let Err(error) = item {
                prop_assert!(error.to_string().contains(ARCHIVE));
            }
        }
    }
}

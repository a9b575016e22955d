use ::tar::{Builder, EntryType, Header};
use proptest::prelude::*;

use super::*;
use crate::tar::BLOCK;

/// A header of a kind and size, with no name yet.
fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mtime(1_700_000_000);
    header.set_mode(0o644);
    header
}

/// An entry with a name that no writer would take.
fn raw(kind: EntryType, name: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut header = header(kind, bytes.len() as u64);
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_cksum();
    let mut block = header.as_bytes().to_vec();
    block.extend(bytes);
    block.resize(block.len().next_multiple_of(BLOCK), 0);
    block
}

fn ended(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 2 * BLOCK]].concat()
}

pub(crate) fn builder(files: &[(&str, &[u8])]) -> Builder<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = header(EntryType::Regular, bytes.len() as u64);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder
}

fn problems(bytes: &[u8]) -> Vec<(String, Refusal)> {
    let problems = listed(bytes, Format::Tar).problems.into_iter();
    problems.map(|one| (one.entry, one.refusal)).collect()
}

#[test]
fn files_are_listed_and_read_without_reading_the_others() {
    let (one, two) = (noise(100_000, 1), noise(300_000, 2));
    let long = format!("{}/{}.png", "folder".repeat(30), "x".repeat(120));
    let mut builder = builder(&[("./a/one.png", &one), (&long, &two), ("a/empty.png", b"")]);
    builder
        .append_dir("a/folder", std::env::temp_dir())
        .unwrap();
    let bytes = builder.into_inner().unwrap();
    let object = Memory::new(bytes);
    let limits = Limits {
        block: 2048,
        ..Limits::default()
    };
    let listing = list(ARCHIVE, &object, Format::Tar, &limits).unwrap();
    assert_eq!(listing.problems, []);
    assert!(object.asked.get() < 12_000, "{}", object.asked.get());
    let names: Vec<&str> = listing.entries.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["a/one.png", &*long, "a/empty.png"]);
    assert_eq!(listing.entries[0].modified, Some(1_700_000_000));

    object.requests.set(0);
    for (entry, expected) in listing.entries.iter().zip([&one[..], &two, &[]]) {
        let bytes = read(ARCHIVE, &object, entry, &limits).unwrap();
        assert!(bytes == expected, "{}", entry.name);
    }
    assert_eq!(
        object.requests.get(),
        2,
        "nothing is asked for the empty one"
    );
}

#[test]
fn small_files_share_requests() {
    let files: Vec<String> = (0..1000).map(|at| format!("{at}.png")).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|name| (&**name, &b"x"[..])).collect();
    let object = Memory::new(builder(&files).into_inner().unwrap());
    let listing = list(ARCHIVE, &object, Format::Tar, &Limits::default()).unwrap();
    assert_eq!(listing.entries.len(), 1000);
    assert!(object.requests.get() < 20, "{}", object.requests.get());
}

#[test]
fn posix_names_and_sizes_are_read() {
    let mut builder = Builder::new(Vec::new());
    let mut ustar = Header::new_ustar();
    let long = format!("{}/{}.png", "p".repeat(90), "n".repeat(80));
    ustar.set_path(&long).unwrap();
    ustar.set_size(3);
    ustar.set_cksum();
    builder.append(&ustar, &b"abc"[..]).unwrap();

    let described = [
        ("path", "ü/described.png".as_bytes()),
        ("mtime", b"12345.678"),
        ("comment", b"1=2"),
        ("size", b"5"),
    ];
    builder.append_pax_extensions(described).unwrap();
    let mut plain = Header::new_ustar();
    plain.set_path("ignored.png").unwrap();
    // The header's own size is too small for what large files need.
    plain.set_size(0);
    plain.set_cksum();
    builder.append(&plain, &b"12345"[..]).unwrap();
    let mut last = Header::new_ustar();
    last.set_path("last.png").unwrap();
    last.set_size(0);
    last.set_mtime(7);
    last.set_cksum();
    builder.append(&last, &b""[..]).unwrap();
    let bytes = builder.into_inner().unwrap();

    let found = contents(&bytes, Format::Tar);
    let expected = [
        (&*long, &b"abc"[..]),
        ("ü/described.png", b"12345"),
        ("last.png", b""),
    ];
    for ((name, bytes), (expected, contents)) in found.iter().zip(expected) {
        assert_eq!((&**name, &bytes[..]), (expected, contents));
    }
    let times: Vec<_> = (listed(&bytes, Format::Tar).entries.iter())
        .map(|entry| entry.modified)
        .collect();
    assert_eq!(times, [Some(0), Some(12_345), Some(7)]);
}

#[test]
fn sizes_beyond_octal_digits_are_read() {
    let mut block = raw(EntryType::Regular, b"huge.png", b"");
    // 8 GiB in GNU's form, and a checksum again.
    block[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    let mut header = Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&block);
    header.set_cksum();
    let error = failed(header.as_bytes(), Format::Tar);
    let message = error.to_string();
    assert!(
        message.contains("huge.png reaches to byte 8589935104 of 512"),
        "{message}"
    );
}

#[test]
fn what_is_no_plain_file_is_a_problem_by_name() {
    let sparse = |extended: u8| {
        let mut block = raw(EntryType::GNUSparse, b"holes.png", b"");
        block[482] = extended;
        let mut header = Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&block);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let mut more = vec![0; 2 * BLOCK];
    more[504] = 1;
    let mut pax = Builder::new(Vec::new());
    let holes = [("GNU.sparse.major", &b"1"[..])];
    pax.append_pax_extensions(holes).unwrap();
    // Without the end that the builder adds.
    let pax = pax.into_inner().unwrap()[..2 * BLOCK].to_vec();

    let bytes = ended(&[
        raw(EntryType::Regular, b"/etc/passwd", b"root"),
        raw(EntryType::Regular, b"../up.png", b"1"),
        raw(EntryType::Regular, b"\xff.png", b"1"),
        raw(EntryType::Symlink, b"symbolic.png", b""),
        raw(EntryType::Link, b"hard.png", b""),
        raw(EntryType::Fifo, b"fifo", b""),
        raw(EntryType::new(b'M'), b"part", b"12"),
        sparse(0),
        sparse(1),
        more,
        pax,
        raw(EntryType::Regular, b"holes2.png", b"1234"),
        raw(EntryType::Regular, b"twice.png", b"1"),
        raw(EntryType::Regular, b"./twice.png", b"2"),
        raw(EntryType::Directory, b"../folder", b""),
        raw(EntryType::Regular, b"good.png", b"good"),
    ]);
    let expected = [
        ("/etc/passwd", Refusal::NameAbsolute),
        ("../up.png", Refusal::NameClimbs),
        ("\u{fffd}.png", Refusal::NameNotUtf8),
        ("symbolic.png", Refusal::Link),
        ("hard.png", Refusal::Link),
        ("fifo", Refusal::NotAFile('6')),
        ("part", Refusal::NotAFile('M')),
        ("holes.png", Refusal::Sparse),
        ("holes.png", Refusal::Sparse),
        ("holes2.png", Refusal::Sparse),
        ("twice.png", Refusal::Duplicate),
        ("twice.png", Refusal::Duplicate),
    ]
    .map(|(entry, refusal)| (entry.to_owned(), refusal));
    assert_eq!(problems(&bytes), expected);
    let entries = listed(&bytes, Format::Tar).entries;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].name, "good.png");
}

#[test]
fn a_file_over_the_limit_is_a_problem_and_the_others_are_not() {
    let files: [(&str, &[u8]); 2] = [("large.png", &[7; 3000]), ("small.png", b"x")];
    let object = Memory::new(builder(&files).into_inner().unwrap());
    let limits = Limits {
        entry_bytes: 2999,
        ..Limits::default()
    };
    let listing = list(ARCHIVE, &object, Format::Tar, &limits).unwrap();
    assert_eq!(listing.entries.len(), 1);
    assert_eq!(listing.problems[0].refusal.word(), "too_large");
    let whole = list(ARCHIVE, &object, Format::Tar, &Limits::default()).unwrap();
    let error = read(ARCHIVE, &object, &whole.entries[0], &limits).unwrap_err();
    assert!(error.to_string().contains("large.png"), "{error}");

    let limits = Limits {
        entries: 1,
        ..Limits::default()
    };
    let error = list(ARCHIVE, &object, Format::Tar, &limits).unwrap_err();
    assert!(matches!(error, ArchiveError::TooManyEntries { .. }));
}

#[test]
fn damage_names_the_file_before_it() {
    let good = || raw(EntryType::Regular, b"good.png", &[1; 600]);
    let mut second = good();
    second[0] = b'G';
    let error = failed(&ended(&[good(), second]), Format::Tar).to_string();
    assert!(
        error.contains("byte 1536") && error.contains("after good.png"),
        "{error}"
    );

    let hole = failed(&ended(&[good(), vec![0; 3 * BLOCK], good()]), Format::Tar);
    assert!(
        hole.to_string().contains("more follows (after good.png)"),
        "{hole}"
    );
    let two = [ended(&[good()]), ended(&[good()])].concat();
    assert!(matches!(
        failed(&two, Format::Tar),
        ArchiveError::Damaged { .. }
    ));

    let unended = failed(&good(), Format::Tar);
    assert!(
        unended.to_string().contains("end marker (after good.png)"),
        "{unended}"
    );
    assert_eq!(failed(b"", Format::Tar).word(), "archive_error");
    assert_eq!(failed(&[b'x'; 2000], Format::Tar).word(), "not_an_archive");
    assert_eq!(listed(&[0; 1024], Format::Tar), Listing::default());

    let malformed = raw(EntryType::XHeader, b"pax", b"9 path=a\n99 x=y\n");
    let error = failed(&ended(&[good(), malformed, good()]), Format::Tar);
    assert!(error.to_string().contains("pax"), "{error}");
    let global = raw(EntryType::XGlobalHeader, b"pax", b"9 path=a\n");
    let error = failed(&ended(&[good(), global, good()]), Format::Tar);
    assert!(error.to_string().contains("all files"), "{error}");
}

fn sample() -> Vec<u8> {
    let long = "long/".repeat(40) + "name.png";
    let mut builder = builder(&[("one.png", &noise(700, 3)), (&long, b"two")]);
    builder
        .append_pax_extensions([("path", &b"three.png"[..])])
        .unwrap();
    let mut header = header(EntryType::Regular, 5);
    header.set_cksum();
    builder.append(&header, &b"three"[..]).unwrap();
    builder.into_inner().unwrap()
}

proptest! {
    #[test]
    fn changed_archives_never_panic(changes in changes()) {
        use_all(changed(sample(), &changes), Format::Tar)?;
    }

    /// Bytes of headers that add up again, so that what they say is believed.
    #[test]
    fn changed_headers_never_panic(changes in proptest::collection::vec((0..BLOCK, any::<u8>()), 1..6)) {
        let mut bytes = sample();
        let mut block = Header::new_gnu();
        block.as_mut_bytes().copy_from_slice(&bytes[..BLOCK]);
        for (at, value) in changes {
            block.as_mut_bytes()[at] = value;
        }
        block.set_cksum();
        bytes[..BLOCK].copy_from_slice(block.as_bytes());
        use_all(bytes, Format::Tar)?;
    }

    /// Whatever is cut, files never get lost without a word.
    #[test]
    fn a_cut_archive_is_an_error(keep: prop::sample::Index) {
        let bytes = sample();
        let kept = &bytes[..keep.index(bytes.len())];
        match list(ARCHIVE, &Memory::new(kept.to_vec()), Format::Tar, &Limits::default()) {
            Ok(listing) => prop_assert_eq!(listing, listed(&bytes, Format::Tar)),
            Err(error) => prop_assert_eq!(error.word(), "archive_error"),
        }
    }
}

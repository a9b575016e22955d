//! Archives that others' writers made, archives made by hand to break things, and changed ones of both.

mod stream;
mod tar;
mod zip;

use std::{
    cell::Cell,
    io::{Error, ErrorKind},
};

use bytes::Bytes;
use proptest::prelude::*;

use crate::*;

/// An archive in memory that counts what is asked of it.
pub(crate) struct Memory {
    bytes: Bytes,
    requests: Cell<usize>,
    asked: Cell<usize>,
}

impl Memory {
    pub(crate) fn new(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            requests: Cell::new(0),
            asked: Cell::new(0),
        }
    }
}

impl Object for Memory {
    type Error = Error;

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, Error> {
        self.requests.set(self.requests.get() + 1);
        self.asked.set(self.asked.get() + length);
        let offset = offset as usize;
        assert!(offset + length <= self.bytes.len(), "asked beyond the end");
        Ok(self.bytes.slice(offset..offset + length))
    }
}

pub(crate) const ARCHIVE: &str = "s3://bucket/night";

pub(crate) fn listed(bytes: &[u8], format: Format) -> Listing {
    list(
        ARCHIVE,
        &Memory::new(bytes.to_vec()),
        format,
        &Limits::default(),
    )
    .unwrap()
}

pub(crate) fn failed(bytes: &[u8], format: Format) -> ArchiveError {
    let object = Memory::new(bytes.to_vec());
    let error = list(ARCHIVE, &object, format, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains(ARCHIVE), "{error}");
    error
}

/// Names and contents of all entries.
pub(crate) fn contents(bytes: &[u8], format: Format) -> Vec<(String, Bytes)> {
    let object = Memory::new(bytes.to_vec());
    let limits = Limits::default();
    let listing = list(ARCHIVE, &object, format, &limits).unwrap();
    assert_eq!(listing.problems, []);
    let file = |entry: Entry| {
        let bytes = read(ARCHIVE, &object, &entry, &limits).unwrap();
        (entry.name, bytes)
    };
    listing.entries.into_iter().map(file).collect()
}

/// Bytes that look like an image's: they do not shrink.
pub(crate) fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Lists and reads whatever can be: nothing may panic, and nothing may be more than it says.
pub(crate) fn use_all(bytes: Vec<u8>, format: Format) -> Result<(), TestCaseError> {
    let limits = Limits {
        entry_bytes: 1 << 20,
        ..Limits::default()
    };
    let object = Memory::new(bytes);
    match list(ARCHIVE, &object, format, &limits) {
        Ok(listing) => {
            for entry in &listing.entries {
                prop_assert!(
                    !entry
                        .name
                        .split('/')
                        .any(|part| matches!(part, "" | "." | ".."))
                );
                if let Ok(bytes) = read(ARCHIVE, &object, entry, &limits) {
                    prop_assert_eq!(bytes.len() as u64, entry.size);
                }
            }
        }
        Err(error) => prop_assert!(error.to_string().contains(ARCHIVE)),
    }
    Ok(())
}

/// Changes of single bytes, of which some hit the ends, where archives describe themselves.
pub(crate) fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
}

pub(crate) fn changed(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    for (at, value) in changes {
        let at = at.index(bytes.len());
        bytes[at] ^= value;
    }
    bytes
}

struct Broken(ErrorKind);

impl Object for Broken {
    type Error = Error;

    fn size(&self) -> u64 {
        4096
    }

    fn read_at(&self, _: u64, length: usize) -> Result<Bytes, Error> {
        match self.0 {
            ErrorKind::UnexpectedEof => Ok(vec![0; length - 1].into()),
            kind => Err(kind.into()),
        }
    }
}

#[test]
fn what_cannot_be_read_names_the_archive_and_the_place() {
    for kind in [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof] {
        for format in [Format::Tar, Format::Zip] {
            let error = list(ARCHIVE, &Broken(kind), format, &Limits::default()).unwrap_err();
            assert_eq!(error.word(), "read_error");
            assert!(error.to_string().contains(ARCHIVE), "{error}");
        }
    }
}

#[test]
fn the_kind_is_told_by_the_name() {
    assert_eq!(Kind::of_name("a/B.TAR"), Some(Kind::InPlace(Format::Tar)));
    assert_eq!(Kind::of_name("b.zip"), Some(Kind::InPlace(Format::Zip)));
    assert_eq!(Kind::of_name("b.tar.gz"), Some(Kind::Stream));
    assert_eq!(Kind::of_name("b.tgz"), Some(Kind::Stream));
    assert_eq!(Kind::of_name("tar"), None);
    assert_eq!(Kind::of_name("b.gz"), None);
}

#[test]
fn names_are_where_they_are_put() {
    for (raw, name) in [
        ("a.png", "a.png"),
        ("./a//b/./c.png", "a/b/c.png"),
        ("a..b/...", "a..b/..."),
    ] {
        assert_eq!(name::checked(raw.as_bytes()), Ok(name.to_owned()));
    }
    for (raw, refusal) in [
        (&b""[..], Refusal::NameEmpty),
        (b"./", Refusal::NameEmpty),
        (b"/etc/passwd", Refusal::NameAbsolute),
        (b"\\\\host\\share", Refusal::NameAbsolute),
        (b"C:\\a.png", Refusal::NameAbsolute),
        (b"a/../b", Refusal::NameClimbs),
        (b"a\\..\\b", Refusal::NameClimbs),
        (b"./\\a", Refusal::NameAbsolute),
        (b"..", Refusal::NameClimbs),
        (b"a\0.png", Refusal::NameWithZero),
        (b"\xff.png", Refusal::NameNotUtf8),
    ] {
        assert_eq!(name::checked(raw), Err(refusal));
    }
    assert_eq!(name::checked(&[b'a'; 5000]).unwrap_err().word(), "bad_name");
}

proptest! {
    #[test]
    fn no_name_leads_out(raw in proptest::collection::vec(
        prop_oneof![Just(b'.'), Just(b'/'), Just(b'\\'), Just(b'a'), any::<u8>()], 0..12,
    )) {
        if let Ok(name) = name::checked(&raw) {
            prop_assert!(!name.starts_with('/') && !name.is_empty());
            prop_assert!(!name.split(['/', '\\']).any(|part| part == ".."));
            prop_assert_eq!(name::checked(name.as_bytes()), Ok(name.clone()));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        use_all(bytes.clone(), Format::Tar)?;
        use_all(bytes.clone(), Format::Zip)?;
        for item in TarGz::new(ARCHIVE, &bytes[..], Limits::default()) {
            let _ = item;
        }
    }
}

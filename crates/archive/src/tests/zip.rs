use std::io::{Cursor, Write};

use ::zip::{CompressionMethod, ZipWriter, write::FileOptions};
use proptest::prelude::*;

use super::*;

/// A file as an archive describes it, twice, and its contents: each can be made to lie.
#[derive(Clone)]
struct Made {
    name: Vec<u8>,
    local_name: Vec<u8>,
    flags: u16,
    method: u16,
    local_method: u16,
    crc: u32,
    packed: Vec<u8>,
    stored: u32,
    size: u32,
    /// Instead of where it is.
    header: Option<u32>,
    extra: Vec<u8>,
    local_extra: Vec<u8>,
    mode: u32,
    /// After the contents.
    descriptor: Vec<u8>,
}

fn made(name: &str, bytes: &[u8]) -> Made {
    Made {
        name: name.into(),
        local_name: name.into(),
        flags: 0,
        method: 0,
        local_method: 0,
        crc: crc32fast::hash(bytes),
        packed: bytes.to_vec(),
        stored: bytes.len() as u32,
        size: bytes.len() as u32,
        header: None,
        extra: Vec::new(),
        local_extra: Vec::new(),
        mode: 0o100_644,
        descriptor: Vec::new(),
    }
}

fn deflated(name: &str, bytes: &[u8]) -> Made {
    let packed = Vec::new();
    let mut encoder = flate2::write::DeflateEncoder::new(packed, flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    let packed = encoder.finish().unwrap();
    Made {
        method: 8,
        local_method: 8,
        stored: packed.len() as u32,
        packed,
        ..made(name, bytes)
    }
}

/// The files, their directory, and where that begins.
fn parts(files: &[Made]) -> (Vec<u8>, Vec<u8>) {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for file in files {
        let at = bytes.len() as u32;
        // 2024-02-29 12:30:10.
        let time = [0x45, 0x63, 0x5d, 0x58];
        let later = file.flags & 8 != 0;
        let known = |number: u32| if later { [0; 4] } else { number.to_le_bytes() };
        bytes.extend(b"PK\x03\x04\x14\0");
        bytes.extend(file.flags.to_le_bytes());
        bytes.extend(file.local_method.to_le_bytes());
        bytes.extend(time);
        bytes.extend([file.crc, file.stored, file.size].map(known).concat());
        bytes.extend((file.local_name.len() as u16).to_le_bytes());
        bytes.extend((file.local_extra.len() as u16).to_le_bytes());
        bytes.extend([&file.local_name[..], &file.local_extra].concat());
        bytes.extend([&file.packed[..], &file.descriptor].concat());

        directory.extend(b"PK\x01\x02\x14\x03\x14\0");
        directory.extend(file.flags.to_le_bytes());
        directory.extend(file.method.to_le_bytes());
        directory.extend(time);
        let numbers = [file.crc, file.stored, file.size].map(u32::to_le_bytes);
        directory.extend(numbers.concat());
        directory.extend((file.name.len() as u16).to_le_bytes());
        directory.extend((file.extra.len() as u16).to_le_bytes());
        directory.extend([0; 6]);
        directory.extend((file.mode << 16).to_le_bytes());
        directory.extend(file.header.unwrap_or(at).to_le_bytes());
        directory.extend([&file.name[..], &file.extra].concat());
    }
    (bytes, directory)
}

fn end(entries: u16, size: u32, offset: u32) -> Vec<u8> {
    let mut bytes = b"PK\x05\x06\0\0\0\0".to_vec();
    bytes.extend([entries, entries].map(u16::to_le_bytes).concat());
    bytes.extend([size, offset].map(u32::to_le_bytes).concat());
    bytes.extend([0; 2]);
    bytes
}

fn zip(files: &[Made]) -> Vec<u8> {
    let (bytes, directory) = parts(files);
    let end = end(
        files.len() as u16,
        directory.len() as u32,
        bytes.len() as u32,
    );
    [bytes, directory, end].concat()
}

fn written(files: &[(&str, &[u8])], options: FileOptions) -> ZipWriter<Cursor<Vec<u8>>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer
}

fn refusals(files: &[Made]) -> Vec<Refusal> {
    let problems = listed(&zip(files), Format::Zip).problems.into_iter();
    problems.map(|one| one.refusal).collect()
}

/// Lists one file without a problem; reading it fails.
fn unreadable(file: Made) -> String {
    let object = Memory::new(zip(&[made("before.png", b"1"), file]));
    let limits = Limits::default();
    let listing = list(ARCHIVE, &object, Format::Zip, &limits).unwrap();
    assert_eq!(listing.problems, []);
    let error = read(ARCHIVE, &object, &listing.entries[1], &limits).unwrap_err();
    let message = error.to_string();
    assert!(message.contains(ARCHIVE) && message.contains(&listing.entries[1].name));
    message
}

#[test]
fn what_another_writer_wrote_is_listed_and_read() {
    let (one, two) = (noise(100_000, 1), vec![5; 300_000]);
    let files: [(&str, &[u8]); 3] = [("a/one.png", &one), ("ü.bmp", &two), ("empty.png", b"")];
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        for large in [false, true] {
            let options = FileOptions::default()
                .compression_method(method)
                .large_file(large);
            let mut writer = written(&files, options);
            writer.add_directory("folder", options).unwrap();
            writer.set_comment("PK\x05\x06 is no end");
            let bytes = writer.finish().unwrap().into_inner();
            let found = contents(&bytes, Format::Zip);
            assert_eq!(found.len(), 3);
            for ((name, bytes), (expected, contents)) in found.iter().zip(files) {
                assert!(name == expected && bytes == contents, "{name}");
            }
        }
    }
}

#[test]
fn a_listing_takes_few_requests_and_a_file_takes_one() {
    let files: Vec<(String, Vec<u8>)> = (0..500)
        .map(|at| (format!("{at}.png"), noise(5000, at)))
        .collect();
    let files: Vec<(&str, &[u8])> = (files.iter())
        .map(|(name, bytes)| (&**name, &bytes[..]))
        .collect();
    let mut writer = written(&files, FileOptions::default());
    let object = Memory::new(writer.finish().unwrap().into_inner());
    let limits = Limits::default();
    let listing = list(ARCHIVE, &object, Format::Zip, &limits).unwrap();
    assert_eq!(listing.entries.len(), 500);
    assert!(object.requests.get() <= 3, "{}", object.requests.get());
    object.requests.set(0);
    let bytes = read(ARCHIVE, &object, &listing.entries[77], &limits).unwrap();
    assert_eq!(bytes, files[77].1);
    assert_eq!(object.requests.get(), 1);
}

#[test]
fn sizes_may_follow_the_contents() {
    let bytes = noise(1000, 9);
    let mut file = deflated("streamed.png", &bytes);
    file.flags = 8;
    file.descriptor = vec![0x50; 16];
    let archive = zip(&[file, made("next.png", b"next")]);
    let found = contents(&archive, Format::Zip);
    assert_eq!(found[0].1, bytes);
    assert_eq!(found[1].1, &b"next"[..]);
}

#[test]
fn a_header_with_much_in_it_takes_a_second_request() {
    let mut file = made("a.png", b"abc");
    file.local_extra = vec![0; 5000];
    assert_eq!(contents(&zip(&[file]), Format::Zip)[0].1, &b"abc"[..]);
}

#[test]
fn times_are_read() {
    let plain = made("a.png", b"");
    let mut exact = made("b.png", b"");
    exact.extra = [&[0x55, 0x54, 5, 0, 1][..], &1_234_567_890_i32.to_le_bytes()].concat();
    let entries = listed(&zip(&[plain, exact]), Format::Zip).entries;
    // date -u -d '2024-02-29 12:26:10' +%s
    assert_eq!(entries[0].modified, Some(1_709_209_570));
    assert_eq!(entries[1].modified, Some(1_234_567_890));
}

/// Numbers as a field of a large archive's entry has them.
fn wide(numbers: &[u64]) -> Vec<u8> {
    let content = numbers.iter().flat_map(|number| number.to_le_bytes());
    let content: Vec<u8> = content.collect();
    [&[1, 0, content.len() as u8, 0][..], &content].concat()
}

/// With `more` in what describes its directory.
fn large(file: &Made, more: &[u8]) -> Vec<u8> {
    let (bytes, directory) = parts(std::slice::from_ref(file));
    let at = bytes.len() + directory.len();
    let mut large = b"PK\x06\x06".to_vec();
    large.extend((44 + more.len() as u64).to_le_bytes());
    large.extend([0; 12]);
    for number in [1, 1, directory.len() as u64, bytes.len() as u64] {
        large.extend(number.to_le_bytes());
    }
    large.extend(more);
    let mut locator = b"PK\x06\x07\0\0\0\0".to_vec();
    locator.extend((at as u64).to_le_bytes());
    locator.extend(1_u32.to_le_bytes());
    let end = end(u16::MAX, u32::MAX, u32::MAX);
    [bytes, directory, large, locator, end].concat()
}

/// Numbers that do not fit stand elsewhere.
#[test]
fn large_archives_are_read() {
    let mut file = made("a.png", b"abc");
    (file.size, file.stored, file.header) = (u32::MAX, u32::MAX, Some(u32::MAX));
    file.extra = wide(&[3, 3, 0]);
    for more in [&b""[..], &[7; 10]] {
        let whole = large(&file, more);
        assert_eq!(contents(&whole, Format::Zip)[0].1, &b"abc"[..]);
    }
    let whole = [PROGRAM, &large(&file, b""), &[0; 512]].concat();
    assert_eq!(contents(&whole, Format::Zip)[0].1, &b"abc"[..]);

    file.extra = wide(&[3]);
    let problem = &refusals(&[file])[0];
    assert!(problem.to_string().contains("missing"), "{problem}");
}

/// What unpacks an archive that it stands before.
const PROGRAM: &[u8] = b"#!/bin/sh\nexec unzip \"$0\"\n";

#[test]
fn a_program_may_stand_before_an_archive() {
    let sample = sample();
    let expected = contents(&sample, Format::Zip);
    assert_eq!(expected.len(), 3);
    for program in [PROGRAM, &noise(200_000, 3), b"\0"] {
        // As two files are put together.
        let whole = [program, &sample].concat();
        assert_eq!(contents(&whole, Format::Zip), expected);
        // As `zip --adjust-sfx` leaves it: what counts is where it lies in the file.
        let at = program.len() as u32;
        let mut file = made("a.png", b"abc");
        file.header = Some(at);
        let (bytes, directory) = parts(&[file]);
        let end = end(1, directory.len() as u32, at + bytes.len() as u32);
        let whole = [program, &bytes, &directory, &end].concat();
        assert_eq!(contents(&whole, Format::Zip)[0].1, &b"abc"[..]);
    }
    // One without files is one all the same.
    let empty = [PROGRAM, &zip(&[])].concat();
    assert_eq!(listed(&empty, Format::Zip), Listing::default());
}

#[test]
fn what_somebody_has_put_behind_an_archive_is_passed_over() {
    let mut commented = sample();
    let at = commented.len() - 2;
    commented[at..].copy_from_slice(&9_u16.to_le_bytes());
    commented.extend(b"a comment");
    let expected = contents(&sample(), Format::Zip);
    for whole in [sample(), commented.clone()] {
        for behind in [&[0; 65_535][..], &[0; 1], b"\n", &noise(5000, 8)] {
            // The longest comment takes as much.
            let most = 65_535.min(sample().len() + 65_535 - whole.len());
            let behind = &behind[..behind.len().min(most)];
            let whole = [&whole, behind].concat();
            assert_eq!(contents(&whole, Format::Zip), expected);
        }
    }
    // What a comment lacks is no file.
    commented.truncate(commented.len() - 4);
    assert_eq!(contents(&commented, Format::Zip), expected);

    let more = failed(&[&sample()[..], &[0; 65_536]].concat(), Format::Zip);
    assert!(
        more.to_string().contains("more than that is behind it"),
        "{more}"
    );
}

/// Of two archives in one file only the last would be read, and nobody would miss the other's files.
#[test]
fn archives_one_behind_the_other_are_refused() {
    let (first, second) = (zip(&[made("first.png", b"1")]), sample());
    let both = [&first[..], &second].concat();
    let said = failed(&both, Format::Zip);
    let expected = format!(
        "an archive (from byte {} on) with another one before it",
        first.len()
    );
    assert_eq!(said.word(), "unsupported");
    assert!(said.to_string().contains(&expected), "{said}");
    // Of the same layout: the place of the second one's directory is that of the first one's.
    let said = failed(&[&first[..], &first].concat(), Format::Zip);
    assert!(said.to_string().contains(&expected), "{said}");

    // Something stands before both.
    for before in [PROGRAM, b"\n", &[0; 512], b"PK00"] {
        let said = failed(&[before, &first, &second].concat(), Format::Zip);
        let expected = format!(
            "an archive (from byte {} on) with another one before it",
            before.len() + first.len()
        );
        assert!(said.to_string().contains(&expected), "{said}");
    }

    // The second one is cut off.
    for length in [4, 40, second.len() - 22] {
        let said = failed(&[&first[..], &second[..length]].concat(), Format::Zip);
        let expected = format!("another one behind it (from byte {} on)", first.len());
        assert!(said.to_string().contains(&expected), "{said}");
    }

    // An archive as a file of one that is cut off.
    let outer = zip(&[made("inner.zip", &second), made("last.png", b"last")]);
    for cut in [30 + 9, 30 + 9 + 20] {
        let said = failed(&outer[..cut + second.len()], Format::Zip);
        assert!(
            matches!(said.word(), "unsupported" | "archive_error"),
            "{said}"
        );
    }
    let found = contents(&outer, Format::Zip);
    assert_eq!(found[0].1, second);
}

#[test]
fn something_may_stand_between_the_directory_and_what_describes_it() {
    let (bytes, directory) = parts(&[made("a.png", b"abc")]);
    let end = end(1, directory.len() as u32, bytes.len() as u32);
    let signature = b"PK\x05\x05\x04\0sign";
    let whole = [&bytes[..], &directory, signature, &end].concat();
    assert_eq!(contents(&whole, Format::Zip)[0].1, &b"abc"[..]);
}

#[test]
fn what_cannot_be_read_is_a_problem_by_name() {
    let with = |change: fn(&mut Made)| {
        let mut file = made("a.png", b"abc");
        change(&mut file);
        refusals(&[file, made("good.png", b"good")])
    };
    assert_eq!(with(|file| file.flags = 1), [Refusal::Encrypted]);
    assert_eq!(with(|file| file.method = 12), [Refusal::Method(12)]);
    assert_eq!(with(|file| file.mode = 0o120_777), [Refusal::Link]);
    assert_eq!(
        with(|file| file.name = b"../a".into()),
        [Refusal::NameClimbs]
    );
    assert_eq!(
        with(|file| file.name = b"a\0b".into()),
        [Refusal::NameWithZero]
    );
    assert_eq!(
        with(|file| file.name = b"\x80".into()),
        [Refusal::NameNotUtf8]
    );
    let twice = with(|file| {
        file.name = b"good.png".into();
        file.local_name = file.name.clone();
    });
    assert_eq!(twice, [Refusal::Duplicate, Refusal::Duplicate]);
    assert_eq!(with(|file| file.header = Some(9999)), [Refusal::Overlaps]);
    assert_eq!(with(|file| file.size = 4)[0].word(), "archive_error");
    assert_eq!(
        with(|file| file.name = b"a/".into())[0].word(),
        "archive_error"
    );
    let bomb = Refusal::Bomb {
        stored: 3,
        size: 900 << 20,
        ratio: 200,
    };
    let change = |file: &mut Made| (file.method, file.size) = (8, 900 << 20);
    assert_eq!(with(change), [bomb]);
    let change = |file: &mut Made| (file.method, file.size) = (8, 2 << 30);
    assert_eq!(with(change)[0].word(), "too_large");
}

#[test]
fn files_that_share_bytes_are_refused() {
    let mut second = made("second.png", &[1; 100]);
    second.header = Some(40);
    let files = [
        made("first.png", &[1; 100]),
        second,
        made("third.png", b"3"),
    ];
    assert_eq!(refusals(&files), [Refusal::Overlaps, Refusal::Overlaps]);
    let entries = listed(&zip(&files), Format::Zip).entries;
    assert_eq!(entries[0].name, "third.png");
}

#[test]
fn contents_are_what_the_directory_says() {
    let bytes = vec![3; 10_000];
    let with = |change: fn(&mut Made)| {
        let mut file = deflated("file.png", &vec![3; 10_000]);
        change(&mut file);
        unreadable(file)
    };
    assert!(with(|file| file.size = 9_999).contains("not the 9999 bytes"));
    assert!(with(|file| file.size = 10_001).contains("not the 10001 bytes"));
    assert!(with(|file| file.crc ^= 1).contains("checksum"));
    assert!(with(|file| file.local_name = b"else.png".into()).contains("names it \"else.png\""));
    assert!(with(|file| file.local_method = 0).contains("another compression"));
    assert!(with(|file| file.packed = vec![0xff; file.packed.len()]).contains("unpacked"));
    let more = with(|file| {
        file.packed.push(0);
        file.stored += 1;
    });
    assert!(more.contains("not the 10000 bytes"), "{more}");
    let moved = with(|file| {
        file.local_extra = vec![0; 10];
        file.header = Some(42);
    });
    assert!(moved.contains("its header is not where"), "{moved}");

    let good = zip(&[deflated("file.png", &bytes)]);
    assert_eq!(contents(&good, Format::Zip)[0].1, bytes);
}

#[test]
fn an_archive_that_is_none_or_not_whole_says_so() {
    assert_eq!(failed(b"", Format::Zip).word(), "not_an_archive");
    assert_eq!(failed(&[7; 100_000], Format::Zip).word(), "not_an_archive");
    let whole = zip(&[made("a.png", b"abc")]);
    let cut = failed(&whole[..whole.len() - 5], Format::Zip);
    assert!(cut.to_string().contains("it is cut"), "{cut}");
    // Its beginning is missing: nothing is where it says.
    assert_eq!(failed(&whole[10..], Format::Zip).word(), "archive_error");

    let (bytes, directory) = parts(&[made("a.png", b"abc")]);
    let size = directory.len() as u32;
    let with = |entries, size, offset| {
        let end = end(entries, size, offset);
        failed(&[&bytes[..], &directory, &end].concat(), Format::Zip).to_string()
    };
    let offset = bytes.len() as u32;
    assert!(with(60_000, size, offset).contains("60000 entries do not fit"));
    assert!(with(0, size, offset).contains("more than it counts"));
    assert!(with(1, size - 1, offset).contains("entry 0"));
    assert!(with(1, size, offset - 1).contains("its first file is not where"));
    assert!(with(1, size, u32::MAX - 1).contains("beyond"));

    let mut parted = whole.clone();
    let at = parted.len() - 18;
    parted[at] = 1;
    assert_eq!(failed(&parted, Format::Zip).word(), "unsupported");

    let limits = Limits {
        entries: 0,
        ..Limits::default()
    };
    let error = list(ARCHIVE, &Memory::new(whole), Format::Zip, &limits).unwrap_err();
    assert_eq!(error.word(), "too_large");
}

fn sample() -> Vec<u8> {
    let text = b"once and once and once more ".repeat(20);
    let mut streamed = deflated("streamed.png", &text);
    streamed.flags = 8;
    streamed.descriptor = vec![0; 12];
    zip(&[
        made("one.png", &noise(100, 4)),
        streamed,
        deflated("three.png", &text),
    ])
}

proptest! {
    #[test]
    fn changed_archives_never_panic(changes in changes()) {
        use_all(changed(sample(), &changes), Format::Zip)?;
    }

    #[test]
    fn changed_archives_with_more_around_them_never_panic(changes in changes()) {
        let whole = [PROGRAM, &sample(), &[0; 99]].concat();
        use_all(changed(whole, &changes), Format::Zip)?;
    }

    /// Whatever it is, if it is no archive.
    #[test]
    fn what_is_around_an_archive_changes_nothing_in_it(
        front in proptest::collection::vec(any::<u8>(), 0..300),
        back in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        prop_assume!(![&front, &back].iter().any(|bytes| bytes.windows(2).any(|two| two == b"PK")));
        let whole = [&front[..], &sample(), &back].concat();
        prop_assert_eq!(contents(&whole, Format::Zip), contents(&sample(), Format::Zip));
    }

    #[test]
    fn a_cut_archive_is_an_error(keep: prop::sample::Index) {
        let bytes = sample();
        let kept = &bytes[..keep.index(bytes.len())];
        let error = failed(kept, Format::Zip);
        prop_assert!(matches!(error.word(), "archive_error" | "not_an_archive"));
    }

    /// A byte of contents that changed is never given out.
    #[test]
    fn changed_contents_are_an_error(at in 0..100_usize, by in 1..=255_u8) {
        let mut bytes = sample();
        let from = 30 + "one.png".len();
        bytes[from + at] ^= by;
        let object = Memory::new(bytes);
        let listing = list(ARCHIVE, &object, Format::Zip, &Limits::default()).unwrap();
        let error = read(ARCHIVE, &object, &listing.entries[0], &Limits::default()).unwrap_err();
        prop_assert!(error.to_string().contains("checksum"));
    }
}

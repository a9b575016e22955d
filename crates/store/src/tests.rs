//! The store: one contract for files and memory, addresses, rights and failure classes.

use std::{
    fs,
    io::Write,
    ops::ControlFlow,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::Path,
    process::Command,
};

use bytes::Bytes;
use futures::FutureExt;
use types::FailureClass;

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

#[test]
fn files_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(&file_uri(&folder.path().join("new folder"))).unwrap();
    runtime().block_on(contract::suite(&store));
    // Nothing is left of uploads.
    let leftovers = runtime().block_on(store.list("")).unwrap();
    assert!(
        leftovers.iter().all(|info| !info.path.ends_with("#1")),
        "{leftovers:?}"
    );
}

#[test]
fn memory_keeps_the_contract() {
    runtime().block_on(contract::suite(&Store::in_memory()));
}

#[test]
fn a_created_folder_is_opened_once_and_made_anew_when_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    let (stores, uri) = (Stores::default(), file_uri(&here));
    let first = stores.create(&uri).unwrap();
    assert!(std::sync::Arc::ptr_eq(
        &first.inner,
        &stores.create(&uri).unwrap().inner
    ));
    fs::remove_dir_all(&here).unwrap();
    stores.create(&uri).unwrap();
    assert!(here.is_dir());
    // Another folder has taken its place.
    fs::rename(&here, &there).unwrap();
    symlink(&there, &here).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    stores.create(&uri).unwrap();
    fs::remove_file(&here).unwrap();
    symlink(&elsewhere, &here).unwrap();
    let put = stores.create(&uri).unwrap();
    runtime().block_on(put.put("a", Bytes::new())).unwrap();
    assert!(elsewhere.join("a").is_file());
}

#[test]
fn a_large_local_file_goes_up_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 251) as u8).collect();
    let source = folder.path().join("source");
    fs::write(&source, &content).unwrap();
    for store in [
        Store::create(&file_uri(&folder.path().join("store"))).unwrap(),
        Store::in_memory(),
    ] {
        let writer = AttemptWriter::new(store.clone(), "attempt");
        let object = runtime()
            .block_on(writer.put_file("big", &source, None))
            .unwrap();
        let bytes = runtime().block_on(store.get("attempt/big", None)).unwrap();
        assert!(bytes == content);
        let again = runtime()
            .block_on(writer.put("small", bytes, None))
            .unwrap();
        assert_eq!(
            (object.size, &object.sha256),
            (content.len() as u64, &again.sha256)
        );
    }
}

#[test]
fn addresses_are_read_and_refused() {
    let parse = |uri: &str| Location::parse(uri).map(|location| location.local());
    assert_eq!(parse("file:///a/b%20c/").unwrap(), Path::new("/a/b c"));
    assert_eq!(parse("/a//b").unwrap(), Path::new("/a/b"));
    assert_eq!(parse("file:///").unwrap(), Path::new("/"));
    assert_eq!(
        parse(&file_uri(Path::new("/50%/x#1 ä?"))).unwrap(),
        Path::new("/50%/x#1 ä?")
    );
    // What is in an archive stands behind `!/`: no folder's name does.
    assert_eq!(file_uri(Path::new("/a!b/x.tar!")), "file:///a!b/x.tar%21");
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("x.tar!");
    let store = Store::create(&file_uri(&below)).unwrap();
    assert_eq!(
        store.uri("b!/c!.png"),
        format!("{}/b%21/c!.png", file_uri(&below))
    );
    assert_eq!(
        parse(&store.uri("b!/c!.png")).unwrap(),
        below.join("b!/c!.png")
    );
    assert!(matches!(
        parse("file://host/a"),
        Err(StoreError::InvalidUri { .. })
    ));
    assert!(matches!(
        parse("relative/a"),
        Err(StoreError::InvalidUri { .. })
    ));
    let remote = Location::parse("s3://lab/mv%20tec//x/").unwrap();
    assert_eq!(
        (remote.root.as_str(), remote.path.as_str()),
        ("s3://lab", "mv tec/x")
    );
    for bad in ["s3://", "s3://user:secret@lab/x", "s3://lab/../other"] {
        let error = Location::parse(bad).unwrap_err();
        assert!(matches!(error, StoreError::InvalidUri { .. }), "{error:?}");
    }
    // What a terminal would obey.
    let files = Store::create("/").unwrap();
    for error in [
        runtime()
            .block_on(files.head("a\u{1b}[31m\u{7}\0\u{9b}b"))
            .unwrap_err(),
        Location::parse("\u{1b}]0;x\u{7}://\u{1b}").unwrap_err(),
    ] {
        let said = error.to_string();
        assert!(!said.contains(char::is_control), "{said:?}");
        assert!(said.contains("\\u{1b}"), "{said}");
    }
    let error = parse("ftp://lab/mvtec").unwrap_err();
    assert!(
        matches!(error, StoreError::UnknownScheme { .. }) && error.to_string().contains("s3://"),
        "{error}"
    );
}

#[test]
fn an_address_belongs_to_the_store_with_the_longest_prefix() {
    let store = |url: &str| {
        format!(
            "{{url: {url}, endpoint: 'http://127.0.0.1:1', allow_http: true, credentials: anonymous}}"
        )
    };
    let text = format!(
        "stores: {{wide: {}, narrow: {}, other: {}}}",
        store("s3://lab"),
        store("s3://lab/a/b"),
        store("s3://elsewhere/x")
    );
    let stores = Stores::new(StoresConfig::parse(&text, "c.yaml").unwrap());
    let located = |uri: &str| {
        let (store, path) = stores.locate(uri).unwrap();
        (store.root().to_owned(), path)
    };
    let pair = |root: &str, path: &str| (root.to_owned(), path.to_owned());
    assert_eq!(
        located("s3://lab/a/b/c d.png"),
        pair("s3://lab/a/b", "c d.png")
    );
    assert_eq!(located("s3://lab/a/bc"), pair("s3://lab", "a/bc"));
    assert_eq!(located("s3://lab/a/b"), pair("s3://lab/a/b", ""));
    assert_eq!(located("/data/x"), pair("file:///", "data/x"));
    let store = stores.open("s3://lab/a/b/results").unwrap();
    assert_eq!(store.uri("jobs/1"), "s3://lab/a/b/results/jobs/1");
    let error = stores.open("s3://elsewhere/xy").unwrap_err();
    assert!(
        matches!(error, StoreError::Unconfigured { .. }),
        "{error:?}"
    );
    for word in [
        "s3://elsewhere/xy",
        "narrow = s3://lab/a/b",
        "other",
        "--config",
    ] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(stores.check("s3://lab").is_ok() && stores.check("gs://lab").is_err());
}

#[test]
fn failures_have_the_class_that_decides() {
    let folder = tempfile::tempdir().unwrap();
    let error = Store::open(&file_uri(&folder.path().join("missing"))).unwrap_err();
    assert_eq!(
        (error.class(), error.word()),
        (FailureClass::InvalidInput, "not_found")
    );
    let file = folder.path().join("file");
    fs::File::create(&file).unwrap().write_all(b"x").unwrap();
    assert!(matches!(
        Store::open(&file_uri(&file)),
        Err(StoreError::InvalidUri { .. })
    ));
}

#[test]
fn a_full_disk_is_told_from_an_outage() {
    let full = |error| StoreError::from_io("write", "file:///x".to_owned(), error);
    assert_eq!(
        full(std::io::Error::from_raw_os_error(libc::ENOSPC)).class(),
        FailureClass::DiskFull
    );
    assert_eq!(
        full(std::io::Error::from_raw_os_error(libc::EROFS)).word(),
        "read_only"
    );
    assert_eq!(
        full(std::io::Error::from_raw_os_error(libc::EIO)).class(),
        FailureClass::Unavailable
    );
    assert_eq!(
        full(std::io::Error::from_raw_os_error(libc::EACCES)).word(),
        "denied"
    );
}

#[test]
fn rights_are_told_with_the_place() {
    unprivileged(|| {
        let folder = tempfile::tempdir().unwrap();
        let locked = folder.path().join("data/locked");
        fs::create_dir_all(&locked).unwrap();
        let store = Store::create(&file_uri(folder.path())).unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
        let listing = runtime().block_on(store.list("data"));
        let writing = runtime().block_on(store.put("data/locked/new", Bytes::from_static(b"x")));
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
        let error = listing.unwrap_err();
        assert_eq!(error.word(), "denied", "{error:?}");
        assert!(format!("{error:?}").contains("locked"), "{error:?}");
        assert_eq!(writing.unwrap_err().word(), "denied");
    });
}

#[test]
fn what_is_no_file_is_named_and_never_opened() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("folder")).unwrap();
    let made = Command::new("mkfifo").arg(at("pipe")).status().unwrap();
    assert!(made.success());
    symlink("pipe", at("link")).unwrap();
    symlink("/dev/null", at("device")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let store = Store::open(&file_uri(folder.path())).unwrap();
    for (name, what) in [
        ("folder", NoFile::Folder),
        ("pipe", NoFile::Pipe),
        ("link", NoFile::Pipe),
        ("device", NoFile::Device),
        ("socket", NoFile::Socket),
    ] {
        // Opened to be read, a pipe to which nobody writes would keep this test for ever.
        let inside = runtime();
        let found = [
            inside.block_on(store.head(name)).map(drop),
            inside.block_on(store.get(name, None)).map(drop),
            inside.block_on(store.get_range(name, 0..1, None)).map(drop),
            store.get(name, None).now_or_never().unwrap().map(drop),
        ];
        for error in found.map(Result::unwrap_err) {
            assert!(
                matches!(error, StoreError::NotAFile { what: said, .. } if said == what),
                "{error:?}"
            );
            assert_eq!(error.class(), FailureClass::InvalidInput);
            let said = format!("{} is {what}, not a file", store.uri(name));
            assert_eq!(error.to_string(), said);
        }
    }
    let listed = runtime().block_on(store.list("")).unwrap();
    assert_eq!(listed, []);
    let error = Store::open(&file_uri(&at("pipe"))).unwrap_err().to_string();
    assert!(
        error.contains("it is a named pipe, not a folder"),
        "{error}"
    );
}

/// What listing a folder in which something was spoilt says, which must be no reason to try again.
fn listing_error(spoil: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("images")).unwrap();
    fs::write(data.join("images/a.png"), "a").unwrap();
    spoil(&data);
    let store = Store::open(&file_uri(folder.path())).unwrap();
    let error = runtime().block_on(store.list("data")).unwrap_err();
    assert_eq!(error.class(), FailureClass::InvalidInput, "{error:?}");
    error.to_string()
}

#[track_caller]
fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn files_that_may_not_be_looked_at_are_an_error() {
    unprivileged(|| {
        let error = listing_error(|data| {
            // Its names may be read, the files may not be reached.
            fs::set_permissions(data.join("images"), fs::Permissions::from_mode(0o644)).unwrap();
        });
        says(&error, &["no permission", "images/a.png"]);
    });
}

#[test]
fn links_are_followed_unless_they_lead_nowhere_or_round() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("images")).unwrap();
    fs::write(data.join("images/a.png"), "a").unwrap();
    symlink("images", data.join("twice")).unwrap();
    symlink("images/a.png", data.join("b.png")).unwrap();
    let store = Store::open(&file_uri(folder.path())).unwrap();
    let listed = runtime().block_on(store.list("data")).unwrap();
    let paths: Vec<_> = listed.iter().map(|info| info.path.as_str()).collect();
    assert_eq!(
        paths,
        ["data/b.png", "data/images/a.png", "data/twice/a.png"]
    );
    for info in &listed {
        let head = runtime().block_on(store.head(&info.path)).unwrap();
        assert_eq!(head, *info);
    }
    let folders = runtime().block_on(store.folders("data")).unwrap();
    assert_eq!(folders, ["images", "twice"]);

    let error = listing_error(|data| symlink("gone.png", data.join("images/b.png")).unwrap());
    says(&error, &["images/b.png", "\"gone.png\"", "not there"]);
    let error = listing_error(|data| symlink("..", data.join("images/up")).unwrap());
    says(&error, &["images/up", "\"..\"", "for ever"]);
    let error = listing_error(|data| {
        fs::create_dir_all(data.join("images/a/b")).unwrap();
        symlink(data.join("images/a"), data.join("images/a/b/c")).unwrap();
    });
    says(&error, &["images/a/b/c", "for ever"]);
    let error = listing_error(|data| symlink("itself", data.join("itself")).unwrap());
    says(&error, &["data/itself", "for ever"]);
}

#[test]
fn a_walk_goes_on_past_what_is_not_usable_and_enters_what_it_is_to() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("a/b")).unwrap();
    fs::create_dir(data.join("other")).unwrap();
    for name in ["a/1.png", "a/b/2.png", "other/3.png"] {
        fs::write(data.join(name), "x").unwrap();
    }
    symlink("gone", data.join("a/today.png")).unwrap();
    symlink("..", data.join("a/up")).unwrap();
    symlink("..", data.join("other/up")).unwrap();
    fs::write(data.join(std::ffi::OsStr::from_bytes(b"b\xff.png")), "x").unwrap();
    let store = Store::open(&file_uri(folder.path())).unwrap();
    let (mut objects, mut unusable) = (Vec::new(), Vec::new());
    let each = |batch: Vec<Found>| {
        for found in batch {
            match found {
                Found::Object(info) => objects.push(info.path),
                Found::Unusable(one) => unusable.push((one.path, one.error.word())),
                other => panic!("{other:?}"),
            }
        }
        ControlFlow::Continue(())
    };
    let enters = |below: &str| below.starts_with('a');
    runtime()
        .block_on(store.walk("data", enters, each))
        .unwrap();
    objects.sort();
    unusable.sort();
    assert_eq!(objects, ["data/a/1.png", "data/a/b/2.png"]);
    let path = |path: &str| Some(path.to_owned());
    assert_eq!(
        unusable,
        [
            (None, "invalid_uri"),
            (path("data/a/today.png"), "not_found"),
            (path("data/a/up"), "invalid_uri"),
        ]
    );
}

#[test]
fn a_name_that_no_address_can_hold_is_named() {
    let error = listing_error(|data| fs::write(data.join("images/b\tc\n.png"), "b").unwrap());
    says(&error, &["/images holds \"b\\tc\\n.png\"", "rename"]);
    let error = listing_error(|data| {
        let name = std::ffi::OsStr::from_bytes(b"b\xff.png");
        fs::write(data.join(name), "b").unwrap();
    });
    says(&error, &["/data holds \"b\\xFF.png\"", "UTF-8", "rename"]);
    let error = listing_error(|data| fs::create_dir(data.join("b\rc")).unwrap());
    says(&error, &["\"b\\rc\""]);
}

#[test]
fn unfinished_uploads_stay_hidden() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.png", "a.png#12", "a#b.png", "c#"] {
        fs::write(folder.path().join(name), "a").unwrap();
    }
    // A folder may be called so.
    fs::create_dir(folder.path().join("d#1")).unwrap();
    fs::write(folder.path().join("d#1/a.png"), "a").unwrap();
    let store = Store::open(&file_uri(folder.path())).unwrap();
    let listed = runtime().block_on(store.list("")).unwrap();
    let paths: Vec<_> = listed.iter().map(|info| info.path.as_str()).collect();
    assert_eq!(paths, ["a#b.png", "a.png", "c#", "d#1/a.png"]);
}

/// Runs a test body as somebody who may be refused something, which root is not: on Linux a thread may give up what makes the
/// difference, for itself and for those that it starts.
fn unprivileged(body: fn()) {
    /// As capget(2) and capset(2) have them.
    #[repr(C)]
    struct Whose {
        version: u32,
        thread: i32,
    }
    #[repr(C)]
    #[derive(Debug, Clone, Copy, Default, PartialEq)]
    struct Capabilities {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    /// CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
    const ANY_FILE: u32 = 1 << 1 | 1 << 2;

    let as_anybody = move || {
        let mut whose = Whose {
            version: 0x2008_0522,
            thread: 0,
        };
        // Of version 3: 64 bits in two halves.
        let mut own = [Capabilities::default(); 2];
        let (whose, sets) = (&raw mut whose, own.as_mut_ptr());
        assert_eq!(unsafe { libc::syscall(libc::SYS_capget, whose, sets) }, 0);
        own[0].effective &= !ANY_FILE;
        let sets = own.as_ptr();
        assert_eq!(unsafe { libc::syscall(libc::SYS_capset, whose, sets) }, 0);
        body();
    };
    if let Err(panic) = std::thread::spawn(as_anybody).join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn stores_of_files_reach_what_their_roots_allow_and_links_lead_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    for made in ["root/inner", "outside"] {
        fs::create_dir_all(at(made)).unwrap();
    }
    for file in ["root/a.png", "outside/b.png"] {
        fs::write(at(file), "image").unwrap();
    }
    let config = format!("files: {{roots: [{}]}}\n", at("root").display());
    let stores = Stores::new(StoresConfig::parse(&config, "c.yaml").unwrap());
    let uri = |path: &str| file_uri(&at(path));
    let undeclared = |result: Result<(), StoreError>, what: &str| {
        assert!(
            matches!(result, Err(StoreError::Undeclared { .. })),
            "{what}: {result:?}"
        );
    };
    let runtime = runtime();
    let root = stores.create(&uri("root")).unwrap();
    assert_eq!(runtime.block_on(root.list("")).unwrap().len(), 1);
    for path in ["outside", "root/../outside", "new/deep"] {
        undeclared(stores.check(&uri(path)), path);
        undeclared(stores.open(&uri(path)).map(drop), path);
        undeclared(stores.create(&uri(path)).map(drop), path);
    }
    assert!(!at("new").exists());
    let (files, inside) = stores.locate(&uri("root/a.png")).unwrap();
    assert_eq!(runtime.block_on(files.get(&inside, None)).unwrap(), "image");
    assert!(files.local_path(&inside).is_some());
    let (files, outside) = stores.locate(&uri("outside/b.png")).unwrap();
    undeclared(runtime.block_on(files.get(&outside, None)).map(drop), "get");
    assert_eq!(files.local_path(&outside), None);

    symlink(at("outside"), at("root/link")).unwrap();
    symlink(at("outside/b.png"), at("root/inner/b.png")).unwrap();
    undeclared(runtime.block_on(root.list("")).map(drop), "list");
    undeclared(runtime.block_on(root.list("inner")).map(drop), "list inner");
    undeclared(runtime.block_on(root.folders("link")).map(drop), "folders");
    // A walk says where these are and goes on, as who walks knows what of it is wanted.
    let (mut objects, mut unreached) = (Vec::new(), Vec::new());
    let each = |batch: Vec<Found>| {
        for found in batch {
            match found {
                Found::Object(info) => objects.push(info.path),
                Found::Unreached(one) => {
                    unreached.push(one.path);
                    undeclared(Err(one.error), "walk");
                }
                other => panic!("{other:?}"),
            }
        }
        ControlFlow::Continue(())
    };
    runtime.block_on(root.walk("", |_| true, each)).unwrap();
    unreached.sort();
    assert_eq!(objects, ["a.png"]);
    let links = ["inner/b.png", "link"].map(|path| Some(path.to_owned()));
    assert_eq!(unreached, links);
    undeclared(runtime.block_on(root.head("inner/b.png")).map(drop), "head");
    for path in ["link/c", "link/new/c"] {
        let put = runtime.block_on(root.put(path, "x".into()));
        undeclared(put, path);
        let put = runtime.block_on(root.put_deferred(path, vec!["x".into()]));
        undeclared(put, path);
        undeclared(runtime.block_on(root.copy("a.png", path)), path);
    }
    undeclared(
        runtime.block_on(root.delete_below("link", &[])).map(drop),
        "delete",
    );
    assert_eq!(fs::read_dir(at("outside")).unwrap().count(), 1);

    // Nothing is declared: everything, until a coordinator says that others than this machine's users submit jobs.
    let stores = Stores::default();
    let open = stores.open(&uri("outside")).unwrap();
    runtime.block_on(open.head("b.png")).unwrap();
    stores.clone().confine();
    undeclared(runtime.block_on(open.head("b.png")).map(drop), "confined");
    undeclared(stores.check(&uri("root")), "confined");
}

/// Answers one request after the other with these lines; what was asked comes over the channel, without the body.
fn server(answer: &'static str) -> (u16, std::sync::mpsc::Receiver<String>) {
    use std::io::{BufRead, BufReader, Read};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heads) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            head.make_ascii_lowercase();
            let length = head
                .split_once("content-length: ")
                .map_or("0", |(_, rest)| rest.split_once("\r\n").unwrap().0);
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            // Before the caller can ask for it.
            if sender.send(head).is_err() {
                return;
            }
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    (port, heads)
}

/// A runtime as programs have it: the client of remote stores needs sockets and clocks.
fn with_network() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn anonymous_bucket(port: u16) -> Store {
    let text = format!(
        "stores: {{open: {{url: gs://open, endpoint: 'http://127.0.0.1:{port}', allow_http: true, credentials: anonymous, retries: 5}}}}"
    );
    let stores = Stores::new(StoresConfig::parse(&text, "c.yaml").unwrap());
    stores.open("gs://open").unwrap()
}

#[test]
fn anonymous_writes_and_reads_of_a_gs_bucket_carry_no_token_and_ask_nobody_for_one() {
    const WRITTEN: &str = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: Tue, 15 Nov 1994 12:45:26 GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (port, heads) = server(WRITTEN);
    let store = anonymous_bucket(port);
    let runtime = with_network();
    runtime.block_on(store.put("a", "text".into())).unwrap();
    runtime.block_on(store.get("a", None)).unwrap();
    let heads: Vec<String> = heads.try_iter().collect();
    let first_lines: Vec<&str> = heads
        .iter()
        .map(|head| head.lines().next().unwrap())
        .collect();
    assert_eq!(
        first_lines,
        ["put /open/a http/1.1", "get /open/a http/1.1"]
    );
    assert!(!heads.concat().contains("authorization"), "{heads:?}");
}

#[test]
fn an_anonymous_write_that_a_gs_bucket_refuses_is_denied_at_once() {
    let (port, heads) =
        server("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let store = anonymous_bucket(port);
    let error = with_network()
        .block_on(store.put("a", "text".into()))
        .unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    assert_eq!(error.class(), FailureClass::InvalidInput);
    assert_eq!(heads.try_iter().count(), 1);
}

//! The store on a real S3 server: its contract, its failures in words, and commits whose answers get lost.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not take for tests"
)]

mod azure;
mod certificates;

use std::{collections::BTreeSet, ops::ControlFlow, path::Path, sync::LazyLock};

use bytes::Bytes;
use objects::{Fault, Proxy, READER, Seaweed, WRITER, config};
use store::{AttemptWriter, Found, Put, Store, StoreError, Stores, StoresConfig, contract, layout};
use types::{FailureClass, chain};

/// One server for all tests; each has a prefix of its own.
static SERVER: LazyLock<Seaweed> = LazyLock::new(|| Seaweed::start(&["lab"]));

fn stores(url: &str, endpoint: &str, user: (&str, &str), folder: &Path) -> Stores {
    let text = config(url, endpoint, user, folder);
    Stores::new(StoresConfig::parse(&text, "config.yaml").unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn s3_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores(
        "s3://lab/contract",
        &SERVER.endpoint(),
        WRITER,
        folder.path(),
    );
    let store = stores.open("s3://lab/contract/suite").unwrap();
    runtime().block_on(async {
        contract::suite(&store).await;
        assert!(store.conditional().await.unwrap());
        // The wider store sees the same objects under longer paths.
        let (wide, path) = stores.locate("s3://lab/contract/suite/list/a").unwrap();
        assert_eq!(path, "suite/list/a");
        assert_eq!(wide.get(&path, None).await.unwrap(), "list/a");
        assert!(
            store
                .list("")
                .await
                .unwrap()
                .iter()
                .all(|info| !info.path.contains("probe"))
        );
    });
}

#[test]
fn large_objects_go_up_in_pieces_and_come_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::before(SERVER.port());
    // Every fifth answer is lost: pieces and the last word of an upload among them.
    proxy.set(|_, number| {
        if number % 5 == 4 {
            Fault::DropReply
        } else {
            Fault::Pass
        }
    });
    let stores = stores("s3://lab/large", &proxy.endpoint(), WRITER, folder.path());
    let store = stores.open("s3://lab/large").unwrap();
    let content: Vec<u8> = (0..40_000_000_u32).map(|i| (i % 251) as u8).collect();
    let file = folder.path().join("big");
    std::fs::write(&file, &content).unwrap();
    let content = Bytes::from(content);
    runtime().block_on(async {
        let writer = AttemptWriter::new(store.clone(), "attempt");
        let object = writer.put_file("file", &file, None).await.unwrap();
        let halves = vec![content.slice(..19_000_000), content.slice(19_000_000..)];
        let again = writer.put_parts("memory", halves, None).await.unwrap();
        assert_eq!((object.size, object.sha256), (again.size, again.sha256));
        for name in ["attempt/file", "attempt/memory"] {
            assert!(store.get(name, None).await.unwrap() == content, "{name}");
        }
    });
    assert!(proxy.faults() > 2);
}

/// Commits of attempts and pointers while answers get lost, the server stumbles and connections break: 10,000 of them with
/// NIGHTSHIFT_CHAOS=1 (`make chaos`), else what fits in a test run.
#[test]
fn commits_survive_lost_answers() {
    let commits: u64 = match std::env::var_os("NIGHTSHIFT_CHAOS") {
        Some(_) => 10_000,
        None => 200,
    };
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::before(SERVER.port());
    let url = "s3://lab/commits".to_owned();
    // Three of ten requests fail: with so many tries not one of all gives up.
    let text =
        config(&url, &proxy.endpoint(), WRITER, folder.path()).replace("retries: 6", "retries: 15");
    let patient = Stores::new(StoresConfig::parse(&text, "config.yaml").unwrap());
    let store = patient.open(&url).unwrap();
    let runtime = runtime();
    // The probe takes one quiet moment of the server, as at a program's start; a storm would only repeat it.
    assert!(runtime.block_on(store.conditional()).unwrap());
    proxy.set(|line, number| match number % 20 {
        // What is lost first is the answer to a write that succeeded.
        1 | 6 if line.starts_with("PUT") => Fault::DropReply,
        3 if line.starts_with("PUT") => Fault::ResetReply,
        4 => Fault::Answer(
            "503 Service Unavailable",
            "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
        ),
        8 => Fault::Reset,
        9 => Fault::Answer("500 Internal Server Error", ""),
        _ => Fault::Pass,
    });
    let mut created = 0;
    runtime.block_on(async {
        let mut commits = (0..commits).map(|n| tokio::spawn(commit(store.clone(), n)));
        loop {
            let some: Vec<_> = commits.by_ref().take(16).collect();
            if some.is_empty() {
                break;
            }
            for commit in some {
                created += u64::from(commit.await.unwrap());
            }
        }
    });
    // Looked at without the proxy: what is really there.
    let store = stores(&url, &SERVER.endpoint(), WRITER, folder.path())
        .open(&url)
        .unwrap();
    runtime.block_on(all_committed(&store, commits));
    println!(
        "{commits} commits, {} requests, {} faults, {created} told at once that they created",
        proxy.requests(),
        proxy.faults()
    );
    assert!(proxy.faults() > commits / 2);
}

/// Each object of so many commits is there once, with its content, and nothing else.
async fn all_committed(store: &Store, commits: u64) {
    let listed = store.list("").await.unwrap();
    let found: BTreeSet<_> = listed
        .into_iter()
        .map(|info| info.path)
        .filter(|path| !path.starts_with(".nightshift-probe"))
        .collect();
    let expected: BTreeSet<_> = (0..commits)
        .flat_map(|n| {
            [
                format!("attempts/{n}/rows"),
                format!("attempts/{n}/{}", layout::OUTPUTS),
                format!("pointers/{n:06}"),
            ]
        })
        .collect();
    assert_eq!(found, expected);
    for n in 0..commits {
        let pointer = store.get(&format!("pointers/{n:06}"), None).await.unwrap();
        assert_eq!(pointer, format!("pointer {n}"));
    }
}

/// What an attempt and the coordinator's outbox do; true if the pointer's writer heard at once that it created it.
async fn commit(store: Store, n: u64) -> bool {
    let writer = AttemptWriter::new(store.clone(), format!("attempts/{n}"));
    writer
        .put("rows", Bytes::from(format!("rows of {n}")), None)
        .await
        .unwrap();
    writer.finish().await.unwrap();
    let pointer = Bytes::from(format!("pointer {n}"));
    let path = format!("pointers/{n:06}");
    let put = loop {
        match store.put_if_absent(&path, pointer.clone()).await {
            Ok(put) => break put,
            // The outbox comes again.
            Err(error) => assert_eq!(error.class(), FailureClass::Unavailable, "{error:?}"),
        }
    };
    // A rival finds it taken, whatever its writer heard.
    loop {
        match store
            .put_if_absent(&path, Bytes::from_static(b"rival"))
            .await
        {
            Err(StoreError::Conflict { .. }) => break,
            Err(error) => assert_eq!(error.class(), FailureClass::Unavailable, "{error:?}"),
            Ok(put) => panic!("the rival got {put:?}"),
        }
    }
    put == Put::Created
}

#[test]
fn a_server_that_lets_several_win_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::before(SERVER.port());
    // Tells two of the writers that they created what was there already.
    proxy.set(|line, number| match number {
        2 | 5 if line.starts_with("PUT") => Fault::Answer("200 OK", ""),
        _ => Fault::Pass,
    });
    let url = "s3://lab/unproved";
    let store = stores(url, &proxy.endpoint(), WRITER, folder.path())
        .open(url)
        .unwrap();
    runtime().block_on(async {
        assert!(!store.conditional().await.unwrap());
        let put = |text: &'static str| {
            store.put_if_absent("pointer", Bytes::from_static(text.as_bytes()))
        };
        assert_eq!(put("one").await.unwrap(), Put::Created);
        assert_eq!(put("one").await.unwrap(), Put::SameContent);
        assert!(matches!(put("two").await, Err(StoreError::Conflict { .. })));
        assert_eq!(store.get("pointer", None).await.unwrap(), "one");
    });
}

/// Each failure: what is done, the class, and words of the message.
#[test]
fn failures_say_what_is_wrong_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::before(SERVER.port());
    let runtime = runtime();
    let told = |error: StoreError, url: &str| {
        let text = chain(&error);
        assert!(
            !text.contains("wrong-secret") && text.contains(url),
            "{text}"
        );
        println!("{} {}: {text}", error.class().as_str(), error.word());
        (error.class(), error.word(), text)
    };
    let open = |url: &str, endpoint: &str, user| {
        stores(url, endpoint, user, folder.path())
            .open(url)
            .unwrap()
    };
    let write = |url: &str, endpoint: &str, user| {
        let store = open(url, endpoint, user);
        let put = runtime.block_on(store.put("x", Bytes::from_static(b"x")));
        told(put.unwrap_err(), url)
    };
    // This server makes a missing bucket for those who may; a read says that there is none.
    let read = |url: &str, endpoint: &str, user| {
        let list = runtime.block_on(open(url, endpoint, user).list(""));
        told(list.unwrap_err(), url)
    };
    let server = SERVER.endpoint();
    let cases = [
        (
            read("s3://no-such-bucket", &server, WRITER),
            FailureClass::InvalidInput,
            "not_found",
            "create it",
        ),
        (
            write("s3://lab/r", &server, READER),
            FailureClass::InvalidInput,
            "denied",
            "lack this right",
        ),
        (
            write("s3://lab/w", &server, (WRITER.0, "wrong-secret")),
            FailureClass::InvalidInput,
            "denied",
            "secret does not belong",
        ),
        (
            write("s3://lab/k", &server, ("nobody", "x")),
            FailureClass::InvalidInput,
            "denied",
            "key is unknown",
        ),
    ];
    for ((class, word, text), wanted_class, wanted_word, way_out) in cases {
        assert_eq!((class, word), (wanted_class, wanted_word), "{text}");
        assert!(text.contains(way_out), "{text}");
    }
    // What a reader may do, it does.
    let reader = stores("s3://lab/r", &server, READER, folder.path())
        .open("s3://lab/r")
        .unwrap();
    assert!(runtime.block_on(reader.list("")).unwrap().is_empty());

    // What it says of a clock that is an hour off; a clock that is so, against the server itself: `tests/system/clock.rs`.
    proxy.set(|_, _| {
        Fault::Answer(
            "403 Forbidden",
            "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is too large.</Message></Error>",
        )
    });
    let (class, word, text) = write("s3://lab/c", &proxy.endpoint(), WRITER);
    assert_eq!(
        (class, word),
        (FailureClass::Unavailable, "clock"),
        "{text}"
    );
    assert!(text.contains("set the clock"), "{text}");
}

#[test]
fn keys_that_no_address_can_hold_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let url = "s3://lab/odd";
    let stores = stores(url, &SERVER.endpoint(), WRITER, folder.path());
    let (store, runtime) = (stores.open(url).unwrap(), runtime());
    // This server tells `x/z` before `x-z`, though `-` comes before `/`.
    for path in ["x/a.png", "x/c.png", "x/z/a.png", "x/z-z/a.png"] {
        let put = store.put(path, Bytes::from_static(b"x"));
        runtime.block_on(put).unwrap();
    }
    for name in ["b%09.png", "b%7F.png", "d%0A.png", "z/b%09.png"] {
        SERVER.put_beside_s3("lab", &format!("odd/x/{name}"));
    }
    let (mut objects, mut errors) = (Vec::new(), Vec::new());
    let each = |page: Vec<Found>| {
        for found in page {
            match found {
                Found::Object(info) => objects.push(info.path),
                Found::Unusable(one) | Found::Unreached(one) => errors.push(chain(&one.error)),
            }
        }
        ControlFlow::Continue(())
    };
    runtime.block_on(store.walk("x", |_| true, each)).unwrap();
    objects.sort_unstable();
    assert_eq!(objects, ["x/a.png", "x/c.png", "x/z-z/a.png", "x/z/a.png"]);
    assert_eq!(errors.len(), 4, "{errors:?}");
    let named = r#""odd/x/b\t.png", a name that no address can hold"#;
    assert!(errors[0].contains(named), "{errors:?}");
    // Whoever wants all objects hears that there are others.
    let error = runtime.block_on(store.list("x")).unwrap_err();
    assert_eq!(error.word(), "invalid_uri");
}

#[test]
fn an_endpoint_where_nobody_listens_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let text = config(
        "s3://lab",
        &format!("http://127.0.0.1:{port}"),
        WRITER,
        folder.path(),
    )
    .replace("retries: 6", "retries: 1");
    let stores = Stores::new(StoresConfig::parse(&text, "config.yaml").unwrap());
    let store = stores.open("s3://lab").unwrap();
    let error = runtime().block_on(store.get("x", None)).unwrap_err();
    let text = chain(&error);
    assert_eq!(error.class(), FailureClass::Unavailable, "{text}");
    assert!(
        text.contains("nobody listens") && text.contains(&port.to_string()),
        "{text}"
    );
}

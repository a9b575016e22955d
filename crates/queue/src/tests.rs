//! What needs no broker: the message, the URL, the waits.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::{BrokerUrl, DecodeError, WakeUp, queue_name};

fn wake_up() -> WakeUp {
    WakeUp {
        pool: "cpu".parse().expect("pool"),
        number: u64::MAX,
        hint: Some("7k2m9x4c-0012".parse().expect("task")),
        trace: None,
    }
}

#[test]
fn a_wake_up_keeps_its_form() {
    let text = r#"{"v":1,"pool":"cpu","number":18446744073709551615,"hint":"7k2m9x4c-0012"}"#;
    assert_eq!(String::from_utf8(wake_up().encode()).expect("text"), text);
    let decoded = WakeUp::decode(text.as_bytes(), None);
    assert_eq!(decoded, Ok(wake_up()));
    assert_eq!(queue_name(&wake_up().pool), "nightshift.v1.cpu");
}

#[test]
fn fields_may_be_added_and_a_hint_may_be_missing() {
    let text = br#"{"v":1,"pool":"cpu","number":3,"colour":"blue"}"#;
    let decoded = WakeUp::decode(text, None).expect("decoded");
    assert_eq!((decoded.number, decoded.hint), (3, None));
}

#[test]
fn what_is_no_wake_up_is_said_and_nothing_panics() {
    let decode = |body: &[u8]| WakeUp::decode(body, None);
    for body in [
        b"".as_slice(),
        b"\x00\xff",
        b"[]",
        b"{}",
        br#"{"v":1}"#,
        br#"{"v":1,"pool":"../x","number":1}"#,
        br#"{"v":1,"pool":"cpu","number":-1}"#,
        br#"{"v":1,"pool":"cpu","number":1,"hint":"x"}"#,
    ] {
        let error = decode(body).expect_err("refused");
        assert!(matches!(error, DecodeError::Malformed { .. }), "{error}");
    }
    let newer = decode(br#"{"v":2,"who":"cpu"}"#);
    assert_eq!(newer, Err(DecodeError::UnknownVersion { found: 2 }));
    let large = decode(&[b' '; 5000]);
    assert_eq!(large, Err(DecodeError::TooLarge { bytes: 5000 }));
}

#[test]
fn urls_are_read_and_shown_without_the_password() {
    let cases = [
        ("amqp://host", "amqp://guest@host:5672/%2F"),
        ("amqp://host/", "amqp://guest@host:5672/%2F"),
        ("amqp://u:p%40%2Fss@host:1/jobs", "amqp://u@host:1/jobs"),
        ("amqps://u:p@10.0.0.1/%2F", "amqps://u@10.0.0.1:5671/%2F"),
        ("amqp://u:p@[::1]:9", "amqp://u@[::1]:9/%2F"),
        ("amqp://u:a+b@h/x%20y", "amqp://u@h:5672/x y"),
    ];
    for (text, shown) in cases {
        let url: BrokerUrl = text.parse().expect(text);
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), shown);
    }
    let url: BrokerUrl = "amqp://u:p%40%2Fss+@host:1/jobs".parse().expect("url");
    assert_eq!((url.user.as_str(), url.password.as_str()), ("u", "p@/ss+"));
    assert_eq!(url.with_password("other").password, "other");
}

#[test]
fn bad_urls_are_refused_without_repeating_them() {
    for text in [
        "",
        "host:5672",
        "http://u:s3cret@host",
        "amqp://u:s3cret@",
        "amqp://u:s3cret@host:99999",
        "amqp://u:s3cret#x@host",
        "amqp:s3cret",
        "amqp://u:s3cret@host/x?heartbeat=1",
        "amqp://u:%ff@host",
    ] {
        let error = text.parse::<BrokerUrl>().expect_err(text);
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[test]
fn waits_double_up_to_the_longest_with_jitter() {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let waits: Vec<u128> = (0..8).map(|_| backoff.next(u32::MAX).as_millis()).collect();
    assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    for _ in 0..100_000 {
        assert!(backoff.next(0) == Duration::from_millis(2500));
    }
    backoff.reset();
    assert_eq!(backoff.next(0), Duration::from_millis(50));
}

//! Configuration files: what they mean, and every mistake named at its place.

use super::*;

const RIGHT: &str = "
stores:
  lab:
    url: s3://lab/nightshift/
    endpoint: https://s3.example.org:9000
    access_key: {env: LAB_KEY}
    secret_key: {file: /run/secrets/lab}
  archive:
    url: az://archive
    account: store
    access_key: {env: ARCHIVE_KEY}
  public: {url: gs://public-data/x, credentials: anonymous}
cache: {limit_mib: 100}
";

fn problems(text: &str) -> Vec<String> {
    match StoresConfig::parse(text, "c.yaml") {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(ConfigError::Invalid { problems }) => {
            problems.iter().map(ToString::to_string).collect()
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_file_reads_with_its_defaults() {
    let config = StoresConfig::parse(RIGHT, "c.yaml").unwrap();
    let lab = &config.stores["lab"];
    assert_eq!(lab.root(), "s3://lab/nightshift");
    assert_eq!(
        (
            lab.region.as_str(),
            lab.retries,
            lab.timeout_s,
            lab.allow_http
        ),
        ("us-east-1", 8, 30, false)
    );
    assert_eq!(
        lab.access_key,
        Some(SecretSource::Env("LAB_KEY".to_owned()))
    );
    assert_eq!(config.stores["public"].credentials, Credentials::Anonymous);
    assert_eq!(config.cache.limit_mib, 100);
    assert_eq!(
        StoresConfig::parse("", "c.yaml").unwrap(),
        StoresConfig::default()
    );
}

#[test]
fn every_mistake_is_reported_at_its_place() {
    assert_eq!(
        problems(
            "stores:
  lab:
    url: s3://lab
    endpiont: x
    endpoint: http://lab:9000
    access_key: {env: KEY}
    account: a
  other:
    url: ftp://x
  twin:
    url: s3://lab/
    credentials: anonymous
    retries: 1000
cashe: {}
"
        ),
        [
            "c.yaml:2:3: stores.lab.secret_key: missing: {env: NAME} or {file: /path}; or say credentials: ambient or anonymous",
            "c.yaml:4:5: stores.lab.endpiont: unknown key \"endpiont\"; did you mean \"endpoint\"?",
            "c.yaml:5:5: stores.lab.endpoint: http:// is not encrypted; say allow_http: true if that is meant",
            "c.yaml:7:5: stores.lab.account: a store of s3:// has no such key",
            "c.yaml:9:5: stores.other.url: \"ftp://x\" is no store's address; expected s3://bucket/prefix, az://container/prefix or gs://bucket/prefix",
            "c.yaml:11:5: stores.twin.url: s3://lab is the store lab's, too",
            "c.yaml:13:5: stores.twin.retries: expected 0 to 100",
            "c.yaml:14:1: cashe: unknown key \"cashe\"; did you mean \"cache\"?",
        ]
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    let found =
        problems("stores: {lab: {url: s3://lab, access_key: AKIA123, secret_key: {env: X}}}");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("secrets do not stand in this file"));
    assert!(!found[0].contains("AKIA123"), "{found:?}");
}

#[test]
fn what_is_not_yaml_is_told_by_its_place() {
    for (text, start) in [
        ("stores: [", "c.yaml:"),
        (
            "stores: {a: 1, a: 2}",
            "c.yaml:1:16: the key \"a\" is given twice",
        ),
        ("a: &x 1", "c.yaml:1:4: anchors and tags"),
        ("a: 1\n---\nb: 1", "c.yaml:2:1: a second document"),
        ("stores: 3", "c.yaml:1:1: stores: expected keys"),
    ] {
        let found = problems(text);
        assert!(found[0].starts_with(start), "{found:?}");
    }
    let deep = "[".repeat(100);
    assert!(problems(&deep)[0].contains("nested deeper"));
}

#[test]
fn secrets_are_read_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "  abc\n").unwrap();
    let secret = SecretSource::File(file.clone()).read().unwrap();
    assert_eq!(secret.expose(), "abc");
    assert!(!format!("{secret:?}").contains("abc"));
    std::fs::write(&file, "\n").unwrap();
    assert!(
        SecretSource::File(file)
            .read()
            .unwrap_err()
            .contains("empty")
    );
    let missing = SecretSource::Env("NIGHTSHIFT_NO_SUCH_VARIABLE".to_owned());
    assert!(missing.read().unwrap_err().contains("is not set"));
}

#[test]
fn what_is_shown_is_a_file_that_gives_the_same_and_says_what_is_default() {
    let text = "\
stores:
  lab:
    url: s3://lab/night
    endpoint: https://s3.example.org:9000
    access_key: {env: LAB_KEY}
    secret_key: {file: /run/secrets/lab}
  \"on: paper\": {url: \"gs://paper\", credentials: anonymous}
cache: {limit_mib: 100}
";
    let config = StoresConfig::parse(text, "x.yaml").unwrap();
    let shown = config.shown();
    for line in [
        "    url: \"s3://lab/night\"  # file\n",
        "    region: \"us-east-1\"  # default\n",
        "    access_key: {\"env\":\"LAB_KEY\"}  # file\n",
        "    session_token: null  # default\n",
        "  limit_mib: 100  # file\n",
        "  folder: null  # default\n",
    ] {
        assert!(shown.contains(line), "{line} is missing in:\n{shown}");
    }
    let again = StoresConfig::parse(&shown, "shown.yaml").unwrap();
    assert_eq!((again.stores, again.cache), (config.stores, config.cache));

    let nothing = StoresConfig::default().shown();
    let again = StoresConfig::parse(&nothing, "shown.yaml").unwrap();
    assert_eq!(again.stores, StoresConfig::default().stores);
    assert_eq!(again.cache, StoresConfig::default().cache);
}

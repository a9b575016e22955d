//! An endpoint whose certificate nobody vouches for, and one that the configuration vouches for.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
};

use objects::{WRITER, config};
use rustls::{
    ServerConfig, ServerConnection, Stream,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use store::{StoreError, Stores, StoresConfig};
use types::FailureClass;

use crate::runtime;

const ABSENT: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Answers every request that gets through the handshake with 404; its address and its certificate.
fn server() -> (SocketAddr, String) {
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, config) = (socket.unwrap(), Arc::clone(&config));
            thread::spawn(move || {
                let mut tls = ServerConnection::new(config).unwrap();
                let mut stream = Stream::new(&mut tls, &mut socket);
                // Whoever does not trust the certificate hangs up here.
                if stream.read(&mut [0; 4096]).is_ok() {
                    let _ = stream.write_all(ABSENT);
                }
            });
        }
    });
    (address, own.cert.pem())
}

fn failure(text: &str) -> StoreError {
    let stores = Stores::new(StoresConfig::parse(text, "config.yaml").unwrap());
    match stores.open("s3://lab") {
        Ok(store) => runtime().block_on(store.get("x", None)).unwrap_err(),
        Err(error) => error,
    }
}

#[test]
fn an_untrusted_certificate_is_said_with_the_key_that_helps() {
    let (address, certificate) = server();
    let folder = tempfile::tempdir().unwrap();
    let endpoint = format!("https://{address}");
    let text =
        config("s3://lab", &endpoint, WRITER, folder.path()).replace("retries: 6", "retries: 1");

    let error = failure(&text);
    assert_eq!(
        (error.class(), error.word()),
        (FailureClass::InvalidInput, "certificate"),
        "{}",
        types::chain(&error)
    );
    let said = types::chain(&error);
    for word in [
        "is not trusted",
        "`ca_certificate` of the store lab",
        &endpoint,
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }

    let file = folder.path().join("authority.pem");
    std::fs::write(&file, certificate).unwrap();
    let vouched = format!("    ca_certificate: {}\n", file.display());
    let error = failure(&text.replace("    retries: 1\n", &format!("    retries: 1\n{vouched}")));
    assert_eq!(error.word(), "not_found", "{}", types::chain(&error));
    // Its authority is known, but it is for the number only.
    let by_name = text.replace("127.0.0.1", "localhost");
    let error =
        failure(&by_name.replace("    retries: 1\n", &format!("    retries: 1\n{vouched}")));
    assert_eq!(error.word(), "certificate", "{}", types::chain(&error));
    assert!(types::chain(&error).contains("a host that it is for by `endpoint`"));

    std::fs::write(&file, "no certificate").unwrap();
    let error = failure(&text.replace("    retries: 1\n", &format!("    retries: 1\n{vouched}")));
    let said = types::chain(&error);
    assert!(said.contains("holds no PEM certificate"), "{said}");
}

#[test]
fn a_server_without_tls_is_told_from_one_that_is_not_trusted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let text =
        config("s3://lab", &endpoint, WRITER, folder.path()).replace("retries: 6", "retries: 0");
    let error = failure(&text);
    let said = types::chain(&error);
    assert_eq!(error.word(), "unavailable", "{said}");
    assert!(
        said.contains("does not speak TLS") && said.contains("`allow_http: true`"),
        "{said}"
    );
}

//! The store on an Azure blob server. Azurite needs Node: `make azure` installs both and runs this.

use bytes::Bytes;
use objects::{ACCOUNT, Azurite, Fault, KEY, Proxy};
use store::{AttemptWriter, Stores, StoresConfig, contract};

fn stores(endpoint: &str, folder: &std::path::Path) -> Stores {
    std::fs::write(folder.join("key"), KEY).unwrap();
    let folder = folder.display();
    let text = format!(
        "stores:
  lab:
    url: az://lab
    endpoint: {endpoint}/{ACCOUNT}
    allow_http: true
    account: {ACCOUNT}
    access_key: {{file: {folder}/key}}
    retries: 12
cache: {{folder: {folder}/cache}}
"
    );
    Stores::new(StoresConfig::parse(&text, "config.yaml").unwrap())
}

#[test]
#[ignore = "needs Azurite: `make azure`"]
fn azure_keeps_the_contract() {
    let server = Azurite::start("lab");
    let folder = tempfile::tempdir().unwrap();
    let store = stores(&server.endpoint(), folder.path())
        .open("az://lab/suite")
        .unwrap();
    crate::runtime().block_on(async {
        contract::suite(&store).await;
        assert!(store.conditional().await.unwrap());
    });
}

#[test]
#[ignore = "needs Azurite: `make azure`"]
fn commits_survive_lost_answers_of_azure() {
    const COMMITS: u64 = 50;
    let server = Azurite::start("lab");
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::before(server.port());
    let behind_proxy = stores(&proxy.endpoint(), folder.path());
    let store = behind_proxy.open("az://lab/commits").unwrap();
    let large = behind_proxy.open("az://lab/large").unwrap();
    let runtime = crate::runtime();
    // The probe takes one quiet moment of the server, as at a program's start.
    assert!(runtime.block_on(store.conditional()).unwrap());
    proxy.set(|line, number| match number % 10 {
        1 if line.starts_with("PUT") => Fault::DropReply,
        4 => Fault::Answer("503 Service Unavailable", ""),
        7 => Fault::Reset,
        _ => Fault::Pass,
    });
    let content: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 251) as u8).collect();
    let content = Bytes::from(content);
    runtime.block_on(async {
        let writer = AttemptWriter::new(large, "attempt");
        let parts = vec![content.clone()];
        writer.put_parts("object", parts, None).await.unwrap();
        for n in 0..COMMITS {
            crate::commit(store.clone(), n).await;
        }
    });
    assert!(proxy.faults() > COMMITS / 2);
    // Looked at without the proxy: what is really there.
    let plain = stores(&server.endpoint(), folder.path());
    runtime.block_on(async {
        let store = plain.open("az://lab/commits").unwrap();
        crate::all_committed(&store, COMMITS).await;
        let large = plain.open("az://lab/large").unwrap();
        assert!(large.get("attempt/object", None).await.unwrap() == content);
    });
}

//! Azurite as an Azure blob server on a free port, killed when dropped.

use std::{
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::child::{free_ports, spawn};

/// The emulator's public account and its key.
pub const ACCOUNT: &str = "devstoreaccount1";
pub const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A start takes 2 s on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A running server.
pub struct Azurite {
    child: Child,
    port: u16,
}

impl Azurite {
    /// Starts a server with one container.
    pub fn start(container: &str) -> Self {
        let [port] = free_ports();
        let mut command = Command::new("node");
        command
            .arg(program())
            .args(["--silent", "--inMemoryPersistence", "--disableTelemetry"])
            // What the client speaks may be newer than the emulator.
            .args(["--skipApiVersionCheck", "--blobHost", "127.0.0.1"])
            .args(["--blobPort", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut server = Self {
            child: spawn(command),
            port,
        };
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(
                Instant::now() < deadline && server.child.try_wait().unwrap().is_none(),
                "Azurite did not start"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        let made = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("azurite/container.mjs"))
            .args([&port.to_string(), container])
            .status()
            .unwrap();
        assert!(made.success(), "no container was made");
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../.cache/azurite/node_modules/azurite/dist/src/blob/main.js");
    assert!(
        program.is_file(),
        "{} is missing: `make azure` fetches it",
        program.display()
    );
    program
}

//! SeaweedFS as an S3 server on free ports, killed when dropped.

use std::{
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::child::{free_ports, spawn};

/// Key and secret of a user who may do everything.
pub const WRITER: (&str, &str) = ("writerkey", "writersecret");
/// Key and secret of a user who may read and list.
pub const READER: (&str, &str) = ("readerkey", "readersecret");

/// A start takes 3 s on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(90);
/// Ports can be taken between their choice and the server's start.
const STARTS: u32 = 3;

const IDENTITIES: &str = r#"{"identities": [
 {"name": "writer", "credentials": [{"accessKey": "writerkey", "secretKey": "writersecret"}], "actions": ["Admin", "Read", "List", "Tagging", "Write"]},
 {"name": "reader", "credentials": [{"accessKey": "readerkey", "secretKey": "readersecret"}], "actions": ["Read", "List"]}
]}"#;

/// A running server.
pub struct Seaweed {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Seaweed {
    /// Starts a server with the named buckets.
    pub fn start(buckets: &[&str]) -> Self {
        let program = program();
        for _ in 1..STARTS {
            if let Some(server) = Self::try_start(&program) {
                return server.with(buckets);
            }
        }
        let server = Self::try_start(&program);
        server
            .expect("SeaweedFS did not start; its log is above")
            .with(buckets)
    }

    fn try_start(program: &Path) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let identities = folder.path().join("s3.json");
        std::fs::write(&identities, IDENTITIES).unwrap();
        std::fs::create_dir(folder.path().join("m")).unwrap();
        let log = folder.path().join("log");
        let ports = free_ports::<9>();
        let mut command = Command::new(program);
        command
            .args([
                "-logtostderr=true",
                "server",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
            ])
            .args([
                "-filer",
                "-s3",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-s3.iam=false",
            ])
            .args([
                "-volume.preStopSeconds=0",
                "-volume.max=0",
                "-master.volumeSizeLimitMB=64",
            ])
            .args(["-master.telemetry=false", "-master.electionTimeout=1s"])
            .arg(format!("-dir={}", folder.path().display()))
            .arg(format!("-master.dir={}/m", folder.path().display()))
            .arg(format!("-s3.config={}", identities.display()))
            .args(
                [
                    "s3.port",
                    "master.port",
                    "master.port.grpc",
                    "volume.port",
                    "volume.port.grpc",
                    "filer.port",
                    "filer.port.grpc",
                    "s3.port.grpc",
                    "metricsPort",
                ]
                .iter()
                .zip(ports)
                .map(|(name, port)| format!("-{name}={port}")),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let mut server = Self {
            child: spawn(command),
            port: ports[0],
            _folder: folder,
        };
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if server.is_ready() {
                return Some(server);
            }
            if server.child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("{}", std::fs::read_to_string(log).unwrap_or_default());
        None
    }

    fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else {
            return false;
        };
        let mut answer = [0; 12];
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .and_then(|()| stream.read_exact(&mut answer))
            .is_ok_and(|()| &answer == b"HTTP/1.1 200")
    }

    /// Makes buckets. By the server's own shell: no S3 client here makes any.
    fn with(self, buckets: &[&str]) -> Self {
        for bucket in buckets {
            let master = self.master();
            let mut shell = Command::new(program())
                .args(["shell", &format!("-master={master}")])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let text = format!("s3.bucket.create -name {bucket}\nexit\n");
            shell
                .stdin
                .take()
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
            assert!(shell.wait().unwrap().success(), "no bucket {bucket}");
        }
        self
    }

    /// Makes an object of one byte by the server's own way to its files: keys that no S3 client here holds. `path`: percent-encoded.
    pub fn put_beside_s3(&self, bucket: &str, path: &str) {
        let filer = self.of_start("-filer.port=").parse().unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, filer)).unwrap();
        write!(
            stream,
            "PUT /buckets/{bucket}/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    fn master(&self) -> String {
        format!(
            "127.0.0.1:{}.{}",
            self.of_start("-master.port="),
            self.of_start("-master.port.grpc=")
        )
    }

    /// What stands behind this word where the server was started.
    fn of_start(&self, name: &str) -> String {
        let line = std::fs::read(format!("/proc/{}/cmdline", self.child.id())).unwrap();
        let text = String::from_utf8_lossy(&line);
        let mut words = text.split('\0');
        words
            .find_map(|word| word.strip_prefix(name))
            .unwrap()
            .to_owned()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/servers/weed");
    assert!(
        program.is_file(),
        "{} is missing: `python3 scripts/fetch_parts.py servers` fetches it",
        program.display()
    );
    program
}

//! A real OpenTelemetry collector (rotel) that prints what it is told, and what it printed as spans.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::processes::{Process, Signal, until};
use crate::sandbox::LIMIT;

/// Ports can be taken between their choice and the start.
const STARTS: u32 = 3;

pub struct Collector {
    child: Child,
    port: u16,
    printed: PathBuf,
    _folder: TempDir,
}

/// A span as the collector got it. Ids are hexadecimal.
#[derive(Debug, Clone, Default)]
pub struct Span {
    pub service: String,
    pub name: String,
    pub kind: String,
    pub trace: String,
    pub id: String,
    /// Empty: the first of its trace.
    pub parent: String,
    pub start_ns: u64,
    pub end_ns: u64,
    /// It did not succeed; why.
    pub error: Option<String>,
    pub attributes: BTreeMap<String, String>,
}

impl Collector {
    pub fn start() -> Self {
        let started = (0..STARTS).find_map(|_| Self::try_start());
        started.expect("the collector did not start; what it printed is above")
    }

    fn try_start() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let printed = folder.path().join("printed");
        let [grpc, http] = objects::free_ports();
        let file = File::create(&printed).unwrap();
        let mut command = Command::new(program());
        command
            .arg("start")
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--exporter", "blackhole", "--debug-log", "traces"])
            .args(["--debug-log-verbosity", "detailed"])
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let mut collector = Self {
            child: objects::spawn(command),
            port: grpc,
            printed,
            _folder: folder,
        };
        let answers = until("the collector to listen", LIMIT, || {
            let ended = collector.child.try_wait().unwrap().is_some();
            let listens = TcpStream::connect((Ipv4Addr::LOCALHOST, grpc)).is_ok();
            (ended || listens).then_some(listens)
        });
        if !answers {
            eprintln!("{}", fs::read_to_string(&collector.printed).unwrap());
        }
        answers.then_some(collector)
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All that it has been told so far.
    pub fn spans(&self) -> Vec<Span> {
        read(&fs::read_to_string(&self.printed).unwrap())
    }

    /// Waits until it has been told so many of this name.
    #[track_caller]
    pub fn wait_for(&self, name: &str, count: usize) -> Vec<Span> {
        until(&format!("{count} spans {name:?}"), LIMIT, || {
            let mut found = self.spans();
            found.retain(|span| span.name == name);
            (found.len() >= count).then_some(found)
        })
    }
}

impl Collector {
    /// Ends it, and what it was told: nothing is half printed then.
    #[track_caller]
    pub fn end(mut self, names: &[&str]) -> Vec<Span> {
        for name in names {
            self.wait_for(name, 1);
        }
        Process::of(self.child.id()).unwrap().signal(Signal::TERM);
        until("the collector to end", LIMIT, || {
            self.child.try_wait().unwrap()
        });
        self.spans()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/servers/rotel-agent");
    assert!(
        program.is_file(),
        "{} is missing: `python3 scripts/fetch_parts.py servers` fetches it",
        program.display()
    );
    program
}

/// The collector prints resources, their attributes, and below them the spans, one property a line.
fn read(printed: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let (mut service, mut in_resource) = (String::new(), false);
    for line in printed.lines() {
        if line.starts_with("ResourceSpans #") {
            (service, in_resource) = (String::new(), true);
        } else if line.starts_with("Span #") {
            in_resource = false;
            spans.push(Span {
                service: service.clone(),
                ..Span::default()
            });
        } else if let Some(attribute) = line.trim().strip_prefix("-> ") {
            let (key, value) = attribute.split_once(": ").unwrap();
            let value = value.split_once('(').map_or(value, |(_, value)| value);
            let value = value.strip_suffix(')').unwrap_or(value);
            match spans.last_mut().filter(|_| !in_resource) {
                Some(span) => drop(span.attributes.insert(key.to_owned(), value.to_owned())),
                None if key == "service.name" => service = value.to_owned(),
                None => {}
            }
        } else if let (Some((key, value)), Some(span)) = (line.split_once(':'), spans.last_mut()) {
            let value = value.trim().to_owned();
            match key.trim() {
                "Trace ID" => span.trace = value,
                "Parent ID" => span.parent = value,
                "ID" => span.id = value,
                "Name" => span.name = value,
                "Kind" => span.kind = value,
                "Start time" => span.start_ns = value.parse().unwrap(),
                "End time" => span.end_ns = value.parse().unwrap(),
                "Status code" if value == "STATUS_CODE_ERROR" => span.error = Some(String::new()),
                "Status message" => {
                    if let Some(error) = &mut span.error {
                        *error = value;
                    }
                }
                _ => {}
            }
        }
    }
    // The last one may be half printed.
    spans.retain(|span| span.end_ns > 0);
    spans
}

//! A RabbitMQ node of its own: own ports, own folder, own epmd, no rights of root needed.
//!
//! Debian's wrapper scripts insist on one system user and fixed folders, so the package's inner ones are run. The
//! node is kept small: two schedulers that do not spin, a small write-ahead log, no plugins.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::process::{Guarded, until};

const LIBRARY: &str = "/usr/lib/rabbitmq/lib";
const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How long a delivery may stay un-acked; the broker's default is half an hour.
    pub consumer_timeout: Option<Duration>,
    /// Also listens with TLS, its certificate (for `localhost`) signed by `ca_file`.
    pub tls: bool,
}

/// Killed with all its helpers when dropped.
#[derive(Debug)]
pub struct Broker {
    // In the order in which they go: the node, its name server, its folder.
    node: Option<Guarded>,
    _epmd: Guarded,
    folder: tempfile::TempDir,
    scripts: PathBuf,
    ports: Ports,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    amqps: u16,
    epmd: u16,
    distribution: u16,
}

impl Broker {
    /// Starts a node and waits until it speaks AMQP.
    pub fn start(options: &Options) -> io::Result<Self> {
        let scripts = scripts()?;
        let folder = tempfile::tempdir()?;
        let ports = Ports::free()?;
        write_files(folder.path(), options, ports)?;
        let mut epmd = Command::new("epmd");
        epmd.args(["-address", "127.0.0.1", "-port", &ports.epmd.to_string()]);
        epmd.env("PATH", path());
        let mut broker = Self {
            node: None,
            _epmd: Guarded::start(&epmd, Some(folder.path()))?,
            folder,
            scripts,
            ports,
        };
        broker.start_again()?;
        Ok(broker)
    }

    /// After `kill` or `stop`: the same node, with what it had on disk.
    pub fn start_again(&mut self) -> io::Result<()> {
        let epmd = self.ports.epmd;
        until(START_LIMIT, "epmd", || {
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, epmd)).is_ok())
        })?;
        let mut node = Guarded::start(&self.command("rabbitmq-server"), None)?;
        let address = self.address();
        let started = until(START_LIMIT, "the broker to start", || {
            if node.has_ended()? {
                return Err(io::Error::other("the broker ended while starting"));
            }
            Ok(speaks_amqp(address))
        });
        self.node = Some(node);
        started.map_err(|error| io::Error::other(format!("{error}; its log:\n{}", self.log_tail())))
    }

    /// SIGKILL, to the node and whatever it started.
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut node) = self.node.take() {
            node.kill();
        }
        self.wait_gone()
    }

    /// In an orderly way.
    pub fn stop(&mut self) -> io::Result<()> {
        self.ctl(&["stop"])?;
        if let Some(mut node) = self.node.take() {
            node.wait(STOP_LIMIT)?;
        }
        self.wait_gone()
    }

    fn wait_gone(&self) -> io::Result<()> {
        let address = self.address();
        until(STOP_LIMIT, "the broker's port to close", || {
            Ok(TcpStream::connect(address).is_err())
        })
    }

    /// `rabbitmqctl`, its output.
    pub fn ctl(&self, arguments: &[&str]) -> io::Result<String> {
        let output = self
            .command("rabbitmqctl")
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            return Err(io::Error::other(format!(
                "rabbitmqctl {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            )));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.amqp).into()
    }

    pub fn tls_port(&self) -> u16 {
        self.ports.amqps
    }

    /// The authority of the TLS certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn log_tail(&self) -> String {
        let log = self
            .folder
            .path()
            .join("log")
            .join(format!("{}.log", self.node_name()));
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn node_name(&self) -> String {
        format!("t{}@localhost", self.ports.amqp)
    }

    fn command(&self, script: &str) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new(self.scripts.join(script));
        command.env_clear();
        for (name, value) in [
            ("PATH", path()),
            ("HOME", folder.display().to_string()),
            ("LANG", "C.UTF-8".to_owned()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", self.ports.epmd.to_string()),
            ("RABBITMQ_NODENAME", self.node_name()),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", self.ports.amqp.to_string()),
            ("RABBITMQ_DIST_PORT", self.ports.distribution.to_string()),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            // A command whose broker goes away would leave one where the tests are run.
            ("ERL_CRASH_DUMP_BYTES", "0".to_owned()),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
                    .to_owned(),
            ),
        ] {
            command.env(name, value);
        }
        for (name, below) in [
            ("RABBITMQ_MNESIA_BASE", "mnesia"),
            ("RABBITMQ_LOG_BASE", "log"),
            ("RABBITMQ_GENERATED_CONFIG_DIR", "generated"),
            ("RABBITMQ_PID_FILE", "rabbit.pid"),
            ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", "advanced.config"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "enabled_plugins"),
        ] {
            command.env(name, folder.join(below));
        }
        command
    }
}

impl Ports {
    /// Free a moment ago. All are held until all are found, so that they differ.
    fn free() -> io::Result<Self> {
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let held = [listen()?, listen()?, listen()?, listen()?];
        let port = |i: usize| held[i].local_addr().map(|a| a.port());
        Ok(Self {
            amqp: port(0)?,
            amqps: port(1)?,
            epmd: port(2)?,
            distribution: port(3)?,
        })
    }
}

/// The folder of the package's inner scripts.
fn scripts() -> io::Result<PathBuf> {
    let missing = || {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!(
                "no RabbitMQ below {LIBRARY}: apt-get install rabbitmq-server (its service need not run)"
            ),
        )
    };
    let entries = fs::read_dir(LIBRARY).map_err(|_| missing())?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path().join("sbin")))
        .find(|sbin| sbin.join("rabbitmq-server").is_file())
        .ok_or_else(missing)
}

fn path() -> String {
    let inherited = std::env::var("PATH").unwrap_or_default();
    format!("{inherited}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
}

fn write_files(folder: &Path, options: &Options, ports: Ports) -> io::Result<()> {
    for below in ["mnesia", "log", "generated"] {
        fs::create_dir(folder.join(below))?;
    }
    let cookie = folder.join(".erlang.cookie");
    let mut random = [0_u8; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&cookie, secret)?;
    fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400))?;
    fs::write(folder.join("enabled_plugins"), "[].\n")?;
    let mut conf = "disk_free_limit.absolute = 50MB\n\
         vm_memory_high_watermark.absolute = 512MB\n\
         raft.wal_max_size_bytes = 16000000\n\
         log.file.level = info\n"
        .to_owned();
    if options.tls {
        write_certificates(folder)?;
        for (key, value) in [
            ("cacertfile", "ca.pem"),
            ("certfile", "server.pem"),
            ("keyfile", "server.key"),
        ] {
            conf += &format!("ssl_options.{key} = {}\n", folder.join(value).display());
        }
        conf += &format!(
            "listeners.ssl.1 = 127.0.0.1:{}\nssl_options.verify = verify_none\n",
            ports.amqps
        );
    }
    fs::write(folder.join("rabbitmq.conf"), conf)?;
    // Deliveries' age is looked at with each tick, once a minute by default.
    let advanced = match options.consumer_timeout {
        Some(limit) => format!(
            "[{{rabbit, [{{consumer_timeout, {}}}, {{channel_tick_interval, 500}}]}}].\n",
            limit.as_millis()
        ),
        None => "[].\n".to_owned(),
    };
    fs::write(folder.join("advanced.config"), advanced)
}

fn write_certificates(folder: &Path) -> io::Result<()> {
    let other = io::Error::other;
    let ca_key = KeyPair::generate().map_err(other)?;
    let mut ca = CertificateParams::new(Vec::new()).map_err(other)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name
        .push(DnType::CommonName, "authority of a test");
    fs::write(
        folder.join("ca.pem"),
        ca.self_signed(&ca_key).map_err(other)?.pem(),
    )?;
    let key = KeyPair::generate().map_err(other)?;
    let server = CertificateParams::new(vec!["localhost".to_owned()]).map_err(other)?;
    let server = server
        .signed_by(&key, &Issuer::new(ca, ca_key))
        .map_err(other)?;
    fs::write(folder.join("server.pem"), server.pem())?;
    fs::write(folder.join("server.key"), key.serialize_pem())
}

/// A node accepts connections before it serves them; its first frame says that it does.
fn speaks_amqp(address: SocketAddr) -> bool {
    let asked = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        let mut first = [0_u8; 1];
        stream.read_exact(&mut first)?;
        Ok::<bool, io::Error>(first[0] == 1)
    };
    asked().unwrap_or(false)
}

//! A TCP proxy that cuts, freezes, delays or refuses connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    Down,
}

/// Ends with all its connections when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    rules: watch::Sender<Rules>,
    /// Bytes that may still pass in a direction before everything is cut.
    budget: Mutex<Option<(Direction, u64)>>,
    passed: Mutex<[u64; 2]>,
}

#[derive(Debug, Clone, Default)]
struct Rules {
    /// Rises with each cut; connections of a lower one end.
    cuts: u64,
    frozen: bool,
    refusing: bool,
    delay: Duration,
}

impl Proxy {
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            rules: watch::Sender::default(),
            budget: Mutex::default(),
            passed: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection of now.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Lets so many bytes pass in a direction, over all connections, then cuts them all.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        *lock(&self.shared.budget) = Some((direction, bytes));
    }

    /// Whether what `cut_after` asked for is done, if it was asked.
    pub fn has_cut(&self) -> bool {
        lock(&self.shared.budget).is_none()
    }

    /// Forgets `cut_after`; true where it has cut already.
    pub fn disarm(&self) -> bool {
        lock(&self.shared.budget).take().is_none()
    }

    /// Nothing passes any more, and nobody is told; new connections are accepted into the same silence.
    pub fn freeze(&self, frozen: bool) {
        self.shared.rules.send_modify(|rules| rules.frozen = frozen);
    }

    pub fn delay(&self, delay: Duration) {
        self.shared.rules.send_modify(|rules| rules.delay = delay);
    }

    /// Ends new connections at once.
    pub fn refuse(&self, refusing: bool) {
        self.shared
            .rules
            .send_modify(|rules| rules.refusing = refusing);
    }

    /// Bytes that have passed in a direction since the start.
    pub fn passed(&self, direction: Direction) -> u64 {
        lock(&self.shared.passed)[direction as usize]
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.cut();
    }
}

impl Shared {
    fn cut(&self) {
        self.rules.send_modify(|rules| rules.cuts += 1);
    }

    /// How many of these bytes may pass, and whether the cut comes after them.
    fn allow(&self, direction: Direction, bytes: usize) -> (usize, bool) {
        let mut budget = lock(&self.budget);
        let allowed = match *budget {
            Some((of, left)) if of == direction && left <= bytes as u64 => {
                *budget = None;
                (left as usize, true)
            }
            Some((of, left)) if of == direction => {
                *budget = Some((of, left - bytes as u64));
                (bytes, false)
            }
            _ => (bytes, false),
        };
        lock(&self.passed)[direction as usize] += allowed.0 as u64;
        allowed
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // An error of accept is of one connection, or of the test's end.
    while let Ok((client, _)) = listener.accept().await {
        let rules = shared.rules.subscribe();
        if rules.borrow().refusing {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let cuts = rules.borrow().cuts;
            let Ok(server) = TcpStream::connect(shared.upstream).await else {
                return;
            };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (client_read, client_write) = client.into_split();
            let (server_read, server_write) = server.into_split();
            let up = relay(&shared, Direction::Up, client_read, server_write);
            let down = relay(&shared, Direction::Down, server_read, client_write);
            let mut rules = rules.clone();
            // One side's end, or a cut, ends both.
            tokio::select! {
                _ = up => {}
                _ = down => {}
                _ = rules.wait_for(|rules| rules.cuts > cuts) => {}
            }
        });
    }
}

async fn relay(
    shared: &Shared,
    direction: Direction,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
) -> io::Result<()> {
    let mut rules = shared.rules.subscribe();
    let mut buffer = vec![0_u8; 16 * 1024];
    loop {
        let bytes = from.read(&mut buffer).await?;
        if bytes == 0 {
            return Ok(());
        }
        // An error means that the proxy is gone.
        let _ = rules.wait_for(|rules| !rules.frozen).await;
        let delay = rules.borrow().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let (allowed, cut) = shared.allow(direction, bytes);
        to.write_all(&buffer[..allowed]).await?;
        if cut {
            shared.cut();
            return Ok(());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

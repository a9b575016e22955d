//! A proxy before an HTTP server that understands just enough to misbehave at a request's boundaries.
//!
//! One request a connection: it asks the server to close after each, so that every answer ends with its connection.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    Pass,
    /// The server does it; the client hears nothing but the end of the connection.
    DropReply,
    /// The server does it; the client gets a reset in the middle of the answer.
    ResetReply,
    /// The server never hears of it.
    Reset,
    /// Answered here, with this status line's rest and body.
    Answer(&'static str, &'static str),
    /// Passed on after a pause.
    Delay(Duration),
}

/// Decides from the request's line (`PUT /bucket/key HTTP/1.1`) and its number, from 0.
type Rule = Box<dyn Fn(&str, u64) -> Fault + Send>;

/// Listens until it is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: u16,
    rule: Mutex<Rule>,
    requests: AtomicU64,
    faults: AtomicU64,
    ended: AtomicBool,
}

impl Proxy {
    /// A proxy before `target` that passes everything on.
    pub fn before(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            target,
            rule: Mutex::new(Box::new(|_, _| Fault::Pass)),
            requests: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let of_thread = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.ended.load(Ordering::Relaxed) {
                    return;
                }
                let shared = of_thread.clone();
                thread::spawn(move || {
                    // A connection that breaks is what this is for.
                    let _ = shared.serve(client);
                });
            }
        });
        Self { port, shared }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on.
    pub fn set(&self, rule: impl Fn(&str, u64) -> Fault + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    /// Requests that did not simply pass.
    pub fn faults(&self) -> u64 {
        self.shared.faults.load(Ordering::Relaxed)
    }

    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the listener's thread.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let Some((head, mut body)) = read_head(&mut client)? else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(&head).into_owned();
        let (line, headers) = text.split_once("\r\n").unwrap_or((&text, ""));
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let fault = (self.rule.lock().unwrap())(line, number);
        if fault != Fault::Pass {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
        read_body(&mut client, headers, &mut body)?;
        match &fault {
            Fault::Reset => return reset(client),
            Fault::Answer(status, content) => {
                let length = content.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nETag: \"proxy\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{content}"
                );
                return client.write_all(answer.as_bytes());
            }
            Fault::Delay(pause) => thread::sleep(*pause),
            Fault::Pass | Fault::DropReply | Fault::ResetReply => {}
        }
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.target))?;
        server.set_nodelay(true)?;
        let kept = headers
            .split("\r\n")
            .filter(|header| !header.is_empty() && !is(header, "connection"));
        let mut request = format!("{line}\r\nConnection: close\r\n");
        kept.for_each(|header| request.extend([header, "\r\n"]));
        request.push_str("\r\n");
        server.write_all(request.as_bytes())?;
        server.write_all(&body)?;
        match fault {
            Fault::DropReply => {
                io::copy(&mut server, &mut io::sink())?;
                client.shutdown(Shutdown::Both)
            }
            Fault::ResetReply => {
                let mut answer = Vec::new();
                server.read_to_end(&mut answer)?;
                client.write_all(&answer[..answer.len() / 2])?;
                reset(client)
            }
            _ => io::copy(&mut server, &mut client).map(drop),
        }
    }
}

fn is(header: &str, name: &str) -> bool {
    header
        .split_once(':')
        .is_some_and(|(found, _)| found.trim().eq_ignore_ascii_case(name))
}

/// The request's head without the empty line, and what came of its body with it.
fn read_head(client: &mut TcpStream) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 16 << 10]);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            bytes.truncate(end);
            return Ok(Some((bytes, body)));
        }
        match client.read(&mut piece)? {
            0 => return Ok(None),
            read => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

/// The clients here always say the length.
fn read_body(client: &mut TcpStream, headers: &str, body: &mut Vec<u8>) -> io::Result<()> {
    let length = headers
        .split("\r\n")
        .find(|header| is(header, "content-length"))
        .and_then(|header| header.split_once(':')?.1.trim().parse::<usize>().ok())
        .unwrap_or(0);
    let missing = length.saturating_sub(body.len()) as u64;
    client.take(missing).read_to_end(body).map(drop)
}

/// Closes with a reset instead of an orderly end.
fn reset(client: TcpStream) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the pointer is to a value of the type that the option takes, with its size.
    let set = unsafe {
        libc::setsockopt(
            std::os::fd::AsRawFd::as_raw_fd(&client),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

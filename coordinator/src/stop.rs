//! What asks the coordinator to end.

use std::io::{self, Read};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// What may ask, watched from its making on.
#[derive(Debug)]
pub struct Requests {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    with_stdin: bool,
}

impl Requests {
    /// To be made before anybody can know that the process is there: until then a signal kills it.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn watch(with_stdin: bool) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            with_stdin,
        })
    }

    /// Returns when somebody asks, with who did.
    pub async fn asked(mut self) -> &'static str {
        let stdin = async {
            if self.with_stdin {
                end_of_stdin().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => "SIGHUP",
            () = stdin => "standard input was closed",
        }
    }
}

/// The parent holds the other end: it is closed when the parent has gone, however it went.
async fn end_of_stdin() {
    let (closed, wait) = oneshot::channel();
    // A thread of its own: a read of the runtime's would keep the process from ending.
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok(read) = std::io::stdin().read(&mut buffer) {
            if read == 0 {
                break;
            }
        }
        let _ = closed.send(());
    });
    let _ = wait.await;
}

//! What asks the coordinator to end.

use std::io::Read;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// Returns when somebody asks, with who did.
pub async fn asked(with_stdin: bool) -> &'static str {
    let stdin = async {
        if with_stdin {
            end_of_stdin().await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = on(SignalKind::terminate()) => "SIGTERM",
        () = on(SignalKind::interrupt()) => "SIGINT",
        () = on(SignalKind::hangup()) => "SIGHUP",
        () = stdin => "standard input was closed",
    }
}

async fn on(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signal) => _ = signal.recv().await,
        Err(error) => {
            tracing::warn!(%error, "cannot watch for signals");
            std::future::pending::<()>().await;
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

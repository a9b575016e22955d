//! Connections that say nothing.

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::following::free_address;
use crate::processes::until;
use crate::quiet::{Work, expect_the_quiet_results};
use crate::sandbox::{LIMIT, programs};

/// Of the coordinator, which keeps most of them for other things.
const DESCRIPTORS: u32 = 300;
/// More than it has places for connections.
const SILENT: usize = 60;

#[test]
fn silent_connections_that_come_again_and_again_keep_no_worker_out() {
    let sandbox = Work::ThreeRuns.sandbox();
    let address = free_address();
    let limited = format!("ulimit -n {DESCRIPTORS} && exec \"$0\" --listen {address}");
    let coordinator = programs().join("coordinator").display().to_string();
    let mut coordinator = sandbox.start("/bin/sh", &["-c", &limited, &coordinator]);
    until("a coordinator on the network", LIMIT, || {
        TcpStream::connect(&address).ok()
    });
    let over = Arc::new(AtomicBool::new(false));
    let silent = (0..SILENT).map(|_| {
        let (address, over) = (address.clone(), Arc::clone(&over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed)
                && let Ok(mut silent) = TcpStream::connect(&address)
            {
                // Until it is cut off.
                let _ = silent.read(&mut [0]);
            }
        })
    });
    let silent: Vec<_> = silent.collect();
    coordinator.wait_for_word("as many connections as there may be");

    let url = format!("http://{address}");
    let worker = sandbox.start("worker", &["--coordinator", &url, "--name", "box"]);
    sandbox.ctl(&["submit", "job.yaml"]).expect(0);
    expect_the_quiet_results(&sandbox, Work::ThreeRuns.quiet());
    over.store(true, Ordering::Relaxed);
    worker.end();
    coordinator.end();
    for thread in silent {
        thread.join().unwrap();
    }
}

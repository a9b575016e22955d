//! Servers as child processes that do not outlive the test.

use std::{
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    process::{Child, Command},
};

/// Starts a program that the kernel kills when this process ends, however it ends.
pub fn spawn(mut command: Command) -> Child {
    let parent = std::process::id();
    // SAFETY: the closure makes system calls only.
    unsafe {
        command.pre_exec(move || {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // The parent may have gone before the wish was known.
            if libc::getppid() as u32 != parent {
                libc::_exit(1);
            }
            Ok(())
        });
    }
    // The signal comes when the spawning *thread* ends, which in tests is the test's: so a thread that stays.
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        send.send(command.spawn()).unwrap();
        loop {
            std::thread::park();
        }
    });
    receive.recv().unwrap().unwrap()
}

/// Ports that were free a moment ago, all different.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

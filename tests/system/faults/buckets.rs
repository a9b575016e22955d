//! A bucket's server that stumbles, and a coordinator that is killed while it writes there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use objects::{Fault, Proxy};

use crate::faults::{Chance, Site, with_seeds};
use crate::hangs::wait_for_state;
use crate::processes::Signal;
use crate::queues::{Queue, on_both_queues};
use crate::quiet::Work;
use crate::remote::{bucket, server};
use crate::sandbox::LIMIT;

on_both_queues!(
    a_server_that_stumbles_all_the_time_loses_and_doubles_nothing,
    a_coordinator_killed_while_it_publishes_publishes_after_its_restart,
);

/// A site whose images and results lie in a bucket behind the proxy.
fn site(proxy: &Proxy, queue: Queue) -> Site {
    let mut sandbox = Work::ThreeRuns.sandbox().on(queue);
    // A third of all requests fail: with so many tries not one of all gives up.
    let patient = |text: &str| text.replace("retries: 6", "retries: 15");
    let bucket = bucket(&sandbox, &proxy.endpoint(), patient);
    sandbox.write("job.yaml", &bucket.job);
    let config = sandbox.path("config.yaml").display().to_string();
    sandbox.set("NIGHTSHIFT_CONFIG", &config);
    Site::of(sandbox, Work::ThreeRuns, &[])
}

/// Errors of all kinds, slow answers, resets, and answers that are lost after the server has done what was asked.
const STUMBLES: [(&str, Fault); 6] = [
    ("500", Fault::Answer("500 Internal Server Error", "")),
    (
        "503",
        Fault::Answer(
            "503 Service Unavailable",
            "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
        ),
    ),
    ("slow", Fault::Delay(Duration::from_millis(300))),
    ("reset", Fault::Reset),
    ("reset within the answer", Fault::ResetReply),
    ("answer lost", Fault::DropReply),
];

fn a_server_that_stumbles_all_the_time_loses_and_doubles_nothing(queue: Queue) {
    with_seeds(|_, chance| {
        let proxy = Proxy::before(server().port());
        let site = site(&proxy, queue);
        let worker = site.worker("box", &[]);
        let base = chance.next();
        let stumbled = Arc::new(Mutex::new(BTreeMap::new()));
        let of_rule = Arc::clone(&stumbled);
        proxy.set(move |_, number| {
            let drawn = Chance(base ^ number).below(3 * STUMBLES.len());
            let Some((word, fault)) = STUMBLES.get(drawn) else {
                return Fault::Pass;
            };
            *of_rule.lock().unwrap().entry(*word).or_insert(0) += 1;
            fault.clone()
        });
        site.submit();
        wait_for_state(&site.sandbox, "succeeded");
        proxy.set(|_, _| Fault::Pass);
        let stumbled = stumbled.lock().unwrap().clone();
        eprintln!("{} requests, {stumbled:?}", proxy.requests());
        assert_eq!(stumbled.len(), STUMBLES.len(), "{stumbled:?}");
        site.end([worker]);
    });
}

/// Objects that the coordinator writes for a job: its file and plan, the tables, the manifest.
const PUBLISHED: [&str; 4] = ["/spec.yaml", "/plan.json", "/results/", "/manifest/"];

fn a_coordinator_killed_while_it_publishes_publishes_after_its_restart(queue: Queue) {
    with_seeds(|seed, chance| {
        let proxy = Proxy::before(server().port());
        let mut site = site(&proxy, queue);
        let worker = site.worker("box", &[]);
        let victim = site.coordinator.process();
        let nth = match seed % 2 {
            // The job is accepted, or its last task is: nothing of it stands in the bucket yet.
            0 => 2 * chance.below(2),
            _ => 3 + chance.below(2),
        };
        // The server hears of it or not.
        let fault = match chance.below(2) {
            0 => Fault::Reset,
            _ => Fault::DropReply,
        };
        eprintln!("at object {nth}: {fault:?}");
        let (send, killed) = channel();
        let count = AtomicUsize::new(0);
        proxy.set(move |line, _| {
            let publishes =
                line.starts_with("PUT") && PUBLISHED.iter().any(|part| line.contains(part));
            if !publishes || count.fetch_add(1, Ordering::Relaxed) != nth {
                return Fault::Pass;
            }
            victim.signal(Signal::KILL);
            send.send(()).unwrap();
            fault.clone()
        });
        site.submit();
        killed.recv_timeout(LIMIT).unwrap();
        site.replace_killed_coordinator();
        site.end([worker]);
    });
}

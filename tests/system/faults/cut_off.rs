//! A worker that is cut off for longer than its lease lives, computes on, and then completes.

use proto::v1::complete_reply::Verdict;

use crate::faults::calls::Step;
use crate::faults::site::{SHORT_LEASE, Site};
use crate::hangs::executor_at_fit;
use crate::processes::until;
use crate::queues::{Queue, on_both_queues};
use crate::quiet::Work;
use crate::sandbox::{LIMIT, Running, files};

on_both_queues!(
    who_completes_after_another_completes_in_vain,
    who_completes_before_another_is_accepted_although_its_lease_was_over,
);

/// A worker, cut off while it computes `fit`.
fn cut_off(queue: Queue) -> (Site, Running) {
    let site = Site::new(Work::Long, queue, SHORT_LEASE);
    let worker = site.worker("cut-off", &[]);
    site.submit();
    executor_at_fit(&site.sandbox, &worker, 1);
    site.calls.connections.freeze(true);
    (site, worker)
}

/// Waits until so many attempts at `fit` have written everything, and only have to say so.
fn wait_for_written(site: &Site, attempts: usize) {
    until("an attempt to be written", LIMIT, || {
        let files = files(&site.sandbox.path("out"));
        let statistics = files
            .iter()
            .filter(|path| path.ends_with("statistics.safetensors"));
        let whole = statistics.filter(|path| path.with_file_name("_outputs.json").exists());
        (whole.count() == attempts).then_some(())
    });
}

fn reconnect(site: &Site) {
    site.calls.connections.cut();
    site.calls.connections.freeze(false);
}

/// Waits until the first lease's completion has been answered.
fn wait_for_the_verdict(site: &Site) -> Verdict {
    let fit = &site.sandbox.tasks("fit")[0];
    let lease = fit["attempts"][0]["lease"].as_u64().unwrap();
    until("the late completion", LIMIT, || {
        site.calls
            .answered()
            .into_iter()
            .find_map(|step| match step {
                Step::Completed(request, reply) if request.lease == lease => Some(reply.verdict()),
                _ => None,
            })
    })
}

/// How the attempts at `fit` ended, and whose they were.
fn attempts(site: &Site) -> Vec<(String, String)> {
    let fit = &site.sandbox.tasks("fit")[0];
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let attempts = fit["attempts"].as_array().unwrap().iter();
    attempts
        .map(|attempt| (text(&attempt["outcome"]), text(&attempt["worker"])))
        .collect()
}

fn who_completes_after_another_completes_in_vain(queue: Queue) {
    let (site, cut_off) = cut_off(queue);
    let other = site.undisturbed_worker("other");
    // The other one gets the task when the lease has run out.
    site.expect_the_quiet_results();
    wait_for_written(&site, 2);
    let before = attempts(&site);
    reconnect(&site);
    assert_eq!(wait_for_the_verdict(&site), Verdict::Superseded);
    let after = attempts(&site);
    assert_eq!(after, before);
    // Without a heartbeat nobody knows that it had begun.
    assert!(["lost", "never_started"].contains(&after[0].0.as_str()));
    assert_eq!(after[1..], [("accepted".to_owned(), "other".to_owned())]);
    // It is a worker like any other again.
    other.end();
    site.submit();
    site.end([cut_off]);
}

fn who_completes_before_another_is_accepted_although_its_lease_was_over(queue: Queue) {
    let (site, cut_off) = cut_off(queue);
    until("the lease to run out", LIMIT, || {
        (attempts(&site)[0].0 != "running").then_some(())
    });
    wait_for_written(&site, 1);
    reconnect(&site);
    assert_eq!(wait_for_the_verdict(&site), Verdict::Accepted);
    site.expect_the_quiet_results();
    let attempts = attempts(&site);
    assert_eq!(attempts[0], ("accepted".to_owned(), "cut-off".to_owned()));
    // Its claim may have come before its completion, and got the task anew, in vain.
    let in_vain = |(outcome, _): &(String, String)| outcome != "accepted";
    assert!(attempts[1..].iter().all(in_vain), "{attempts:?}");
    site.end([cut_off]);
}

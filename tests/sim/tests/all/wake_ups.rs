//! The coordinator's wake-ups, event by event.

use coordinator_core::*;

use crate::{
    desk::{Desk, job},
    placement::{needing, register},
};

const TTL_MS: u64 = 60_000;

fn desk() -> Desk {
    Desk::with(Settings {
        wake_up_ttl_ms: Some(TTL_MS),
        ..Settings::default()
    })
}

fn published(effects: &[Effect]) -> Vec<WakeUp> {
    let published = effects.iter().filter_map(|effect| match effect {
        Effect::Publish(wake_up) => Some(wake_up.clone()),
        _ => None,
    });
    published.collect()
}

/// A job whose fit is done: so many score tasks are ready.
fn with_ready(desk: &mut Desk, from: &Sender, tasks: u64) {
    desk.submit(job("job0", "s", None, tasks));
    for id in ["list", "fit"] {
        let assignment = desk.granted(from, id);
        desk.complete(from, &assignment);
    }
}

fn claim(from: &Sender, id: &str, free_slots: u32, wake_up: Option<u64>) -> Claim {
    Claim {
        from: from.clone(),
        id: id.parse().unwrap(),
        free_slots,
        wake_up,
        nonce: 7,
    }
}

#[test]
fn a_few_wake_ups_go_out_for_the_first_task_and_name_it() {
    let mut desk = desk();
    let submit = Box::new(job("job0", "s", None, 1));
    let first = published(&desk.apply(|to| Event::SubmitRequested { to, submit }));
    assert_eq!(first.len(), 4);
    assert_eq!(first[0].hint, Some("job0-0000".parse().unwrap()));
    assert!(first.windows(2).all(|two| two[0].number < two[1].number));
    // They are on their way: nothing is added.
    assert_eq!(published(&desk.apply(|_| Event::Ticked)), []);
}

#[test]
fn the_window_is_twice_the_free_slots() {
    let mut desk = desk();
    let workers: Vec<Sender> = (0..10)
        .map(|n| desk.register(&format!("w{n}"), 1))
        .collect();
    with_ready(&mut desk, &workers[0], 50);
    let mut unsettled: Vec<WakeUp> = desk.published.drain(..).collect();
    assert_eq!(unsettled.len(), 20);
    // A grant takes a slot: one has come back, and the window is smaller by two.
    let number = Some(unsettled.remove(0).number);
    let woken = claim(&workers[0], "c", 1, number);
    let effects = desk.apply(|to| Event::ClaimRequested { to, claim: woken });
    assert_eq!(published(&effects), []);
    // The slot is free again.
    let assignment = desk.granted(&workers[0], "c");
    desk.complete(&workers[0], &assignment);
    assert_eq!(desk.published.len(), 1);
}

#[test]
fn who_takes_nothing_was_woken_in_vain_and_another_wake_up_follows_with_the_tick() {
    let mut desk = desk();
    let busy = desk.register("busy", 1);
    desk.submit(job("job0", "s", None, 1));
    let number = desk.published[0].number;
    let vain = claim(&busy, "c", 0, Some(number));
    let effects = desk.apply(|to| Event::ClaimRequested {
        to,
        claim: vain.clone(),
    });
    assert_eq!(published(&effects), []);
    assert_eq!(published(&desk.apply(|_| Event::Ticked)).len(), 1);
    // The same claim again brings no other one.
    desk.apply(|to| Event::ClaimRequested { to, claim: vain });
    assert_eq!(published(&desk.apply(|_| Event::Ticked)), []);
}

#[test]
fn what_the_broker_did_not_take_is_published_again_with_the_tick() {
    let mut desk = desk();
    desk.submit(job("job0", "s", None, 1));
    for wake_up in std::mem::take(&mut desk.published) {
        let number = wake_up.number;
        let effects = desk.apply(|_| Event::PublishFailed { number });
        assert_eq!(published(&effects), []);
    }
    assert_eq!(published(&desk.apply(|_| Event::Ticked)).len(), 4);
}

#[test]
fn what_comes_back_within_its_ttl_from_nobody_is_lost_and_published_again() {
    let mut desk = desk();
    desk.submit(job("job0", "s", None, 1));
    desk.published.clear();
    desk.wait(TTL_MS - 1_000);
    assert_eq!(desk.published, []);
    desk.wait(1_000);
    assert_eq!(desk.published.len(), 4);
}

/// A job for workers with this label.
fn labelled(id: &str) -> Submit {
    needing(id, "auto", "zone=b")
}

/// A worker with it.
fn able(desk: &mut Desk, name: &str) -> Sender {
    register(desk, name, "openvino", "zone=b", 8)
}

/// Asks with the wake-up; what is published then.
fn woken(desk: &mut Desk, from: &Sender, wake_up: &WakeUp) -> Vec<WakeUp> {
    let number = wake_up.number;
    let claim = claim(from, &format!("w{number}"), 1, Some(number));
    let before = desk.published.len();
    desk.apply(|to| Event::ClaimRequested { to, claim });
    desk.published[before..].to_vec()
}

/// These workers take every wake-up, those that follow, too, and time passes; how many there were in it.
fn eaten(desk: &mut Desk, workers: &[&Sender], ms: u64) -> usize {
    let mut all = 0;
    for second in 0..=ms / 1_000 {
        if second > 0 {
            desk.wait(1_000);
            workers.iter().for_each(|from| _ = desk.beat(from, &[]));
        }
        while let Some(wake_up) = desk.published.pop() {
            woken(desk, workers[all % workers.len()], &wake_up);
            all += 1;
        }
    }
    all
}

#[test]
fn a_task_that_suits_nobody_does_not_send_wake_ups_round_and_round() {
    let mut desk = desk();
    let (a, b) = (desk.register("a", 1), desk.register("b", 1));
    desk.submit(labelled("job0"));
    assert_eq!(eaten(&mut desk, &[&a, &b], 600_000), 4);
    // It suits somebody who is busy: that one asks by itself when it is not.
    let suited = able(&mut desk, "able");
    desk.granted(&suited, "c");
    desk.submit(labelled("job1"));
    assert_eq!(eaten(&mut desk, &[&a, &b], 1_000), 4);
}

#[test]
fn a_wake_up_that_missed_whom_it_suits_is_followed_by_one_for_each_who_is_idle() {
    let mut desk = desk();
    let plain: Vec<Sender> = (0..10)
        .map(|n| desk.register(&format!("w{n}"), 1))
        .collect();
    let suited = able(&mut desk, "able");
    desk.submit(labelled("job0"));
    let first: Vec<WakeUp> = desk.published.drain(..).collect();
    assert_eq!(first.len(), 4);
    // Three are on their way.
    let more = woken(&mut desk, &plain[0], &first[0]);
    assert_eq!(more.len(), 11 - 3);
    assert_eq!(more[0].hint, first[0].hint);
    for wake_up in first[1..].iter().chain(&more[..7]) {
        assert_eq!(woken(&mut desk, &plain[1], wake_up), []);
    }
    woken(&mut desk, &suited, &more[7]);
    assert_eq!(desk.state("job0"), types::JobState::Running);
    // Those on their way when it was granted have nothing to miss.
    desk.wait(5_000);
    assert_eq!(desk.published.len(), more.len());
}

#[test]
fn whom_it_suits_but_who_does_not_listen_is_called_once_a_second_until_it_is_gone() {
    let mut desk = desk();
    let (a, b) = (desk.register("a", 1), desk.register("b", 1));
    able(&mut desk, "deaf");
    desk.submit(labelled("job0"));
    // Four at first, another when the first had missed it, and four with each tick.
    assert_eq!(eaten(&mut desk, &[&a, &b], 0), 5);
    assert_eq!(eaten(&mut desk, &[&a, &b], 10_000), 4 * 10);
    let until_gone = eaten(&mut desk, &[&a, &b], 60_000);
    assert!(until_gone <= 4 * 60, "{until_gone}");
    assert_eq!(desk.worker_state("deaf"), Some(WorkerState::Gone));
    assert_eq!(eaten(&mut desk, &[&a, &b], 600_000), 0);
}

#[test]
fn a_coordinator_that_was_started_again_wakes_the_pools_anew_under_other_numbers() {
    let mut desk = desk();
    desk.submit(job("job0", "s", None, 1));
    let last = desk.published.pop().unwrap().number;
    desk.published.clear();
    desk.restart();
    desk.wait(1_000);
    assert_eq!(desk.published.len(), 4);
    assert!(desk.published.iter().all(|wake_up| wake_up.number > last));
}

#[test]
fn without_a_broker_there_are_no_wake_ups() {
    let mut desk = Desk::new();
    desk.submit(job("job0", "s", None, 1));
    desk.wait(2_000);
    assert_eq!(desk.published, []);
}

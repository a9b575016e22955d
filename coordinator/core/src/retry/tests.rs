//! Retry decisions as tables: which class is tried again, where, how often, how long after.

use FailureClass::*;

use super::*;

fn name(text: &str) -> WorkerName {
    text.parse().unwrap()
}

/// The decision after these failures, each `(class, worker)`, with `live` workers and the default of two retries.
fn after(failures: &[(FailureClass, &str)], live: usize) -> NextRetry {
    let workers: Vec<WorkerName> = failures.iter().map(|(_, w)| name(w)).collect();
    let tried: Vec<Tried<'_>> = failures
        .iter()
        .zip(&workers)
        .map(|((class, _), worker)| Tried {
            class: *class,
            worker,
            ran_ms: 1_000,
            delay_ms: 0,
        })
        .collect();
    decide(&tried, live, 0)
}

fn decide(tried: &[Tried<'_>], live_workers: usize, pauses: u32) -> NextRetry {
    let job: JobId = "abcd".parse().unwrap();
    let site = Site {
        job: &job,
        task: TaskIndex(3),
        crashed_retries: 2,
        live_workers,
        pauses,
        memory_bytes: 8 << 30,
    };
    next_retry(&Policy::default(), tried, &site)
}

fn is_again(next: &NextRetry) -> bool {
    matches!(next, NextRetry::Again { .. })
}

#[test]
fn every_class_keeps_its_bound() {
    // (class, attempts that are tried again on one worker, how it ends)
    let table = [
        (InvalidInput, 0, NextRetry::Failed),
        (Internal, 0, NextRetry::Failed),
        (Lost, 5, NextRetry::Dead),
        (Crashed, 2, NextRetry::Dead),
        (Stalled, 1, NextRetry::Dead),
        (OutOfMemory, 1, NextRetry::Dead),
        (DiskFull, 1, NextRetry::Dead),
        (TimedOut, 0, NextRetry::Failed),
    ];
    for (class, again, end) in table {
        for n in 1..=again {
            assert!(is_again(&after(&vec![(class, "a"); n], 1)), "{class} {n}");
        }
        assert_eq!(after(&vec![(class, "a"); again + 1], 1), end, "{class}");
    }
}

#[test]
fn what_was_not_the_tasks_fault_is_uncounted_and_unbounded() {
    for class in [Released, NeverStarted] {
        let next = after(&vec![(class, "a"); 1_000], 1);
        assert!(
            matches!(
                next,
                NextRetry::Again {
                    delay_ms: 0,
                    counted: false,
                    ..
                }
            ),
            "{class}: {next:?}"
        );
    }
}

#[test]
fn a_crash_on_two_workers_is_the_tasks_fault() {
    assert_eq!(after(&[(Crashed, "a"), (Crashed, "b")], 2), NextRetry::Dead);
    assert!(is_again(&after(&[(Crashed, "a"), (Crashed, "a")], 2)));
    assert!(is_again(&after(&[(Crashed, "a"), (Lost, "b")], 2)));
}

#[test]
fn long_work_does_not_count_as_an_outage() {
    let worker = name("a");
    let after = |minutes: u64| Tried {
        class: Unavailable,
        worker: &worker,
        ran_ms: minutes * 60_000,
        delay_ms: 1_000,
    };
    let next = |tried: &[Tried<'_>]| decide(tried, 1, 0);
    // A fit of more than an hour meets one storage error; so it does again.
    assert!(is_again(&next(&[after(61)])));
    assert!(is_again(&next(&[after(61), after(70)])));
    // What was spent on an earlier outage is forgiven by an attempt that got on.
    let mut tried = vec![after(9); 6];
    assert!(is_again(&next(&tried)));
    tried.push(after(9));
    assert_eq!(next(&tried), NextRetry::Dead);
    tried.push(after(61));
    assert!(is_again(&next(&tried)));
    // But not for ever.
    assert!(is_again(&next(&[after(61); 5])));
    assert_eq!(next(&[after(61); 6]), NextRetry::Dead);
}

#[test]
fn unavailable_is_bounded_in_time_not_in_number() {
    let worker = name("a");
    let tried = |n| {
        vec![
            Tried {
                class: Unavailable,
                worker: &worker,
                ran_ms: 40_000,
                delay_ms: 20_000
            };
            n
        ]
    };
    assert!(is_again(&decide(&tried(59), 1, 3)));
    assert_eq!(decide(&tried(60), 1, 3), NextRetry::Dead);
}

#[test]
fn backoff_doubles_to_a_minute_within_its_jitter() {
    for n in 1..=5 {
        let NextRetry::Again { delay_ms, .. } = after(&vec![(Lost, "a"); n], 1) else {
            panic!("{n} lost attempts end the task")
        };
        let full = (1_000u64 << (n - 1)).min(60_000);
        assert!((full / 2..=full).contains(&delay_ms), "{n}: {delay_ms}");
    }
}

#[test]
fn elsewhere_and_more_memory_are_asked_for() {
    let avoid = |next| match next {
        NextRetry::Again { avoid, .. } => avoid,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        avoid(after(&[(Lost, "a")], 2)),
        Some(Avoid::Worker(name("a")))
    );
    assert_eq!(
        avoid(after(&[(OutOfMemory, "a")], 2)),
        Some(Avoid::MemoryUpTo(8 << 30))
    );
    assert_eq!(avoid(after(&[(Stalled, "a")], 2)), None);
}

use std::sync::OnceLock;

use types::{Devices, Incarnation};

use super::*;

static ALL_KINDS: OnceLock<BTreeSet<TaskKind>> = OnceLock::new();

fn worker(name: &str, engines: &[&str], labels: &str, gib: u64) -> WorkerRow {
    WorkerRow {
        worker: name.parse().unwrap(),
        incarnation: Incarnation(1),
        pool: "cpu".parse().unwrap(),
        slots: 2,
        version: "1".to_owned(),
        engines: engines.iter().map(|e| (*e).to_owned()).collect(),
        devices: Devices::default(),
        kinds: BTreeSet::from_iter(TaskKind::ALL.iter().copied()),
        labels: labels.parse().unwrap(),
        memory_bytes: gib << 30,
        draining: false,
        quarantine: None,
        left: false,
        temporary: false,
    }
}

fn idle(row: &WorkerRow) -> Offer<'_> {
    Offer {
        row,
        state: WorkerState::Live,
        busy: 0,
        held_bytes: 0,
    }
}

fn needs<'a>(engines: &'static [EngineChoice], labels: &'a Labels, gib: u64) -> Needs<'a> {
    Needs {
        pool: "cpu",
        device: DeviceChoice::Auto,
        kinds: ALL_KINDS.get_or_init(|| TaskKind::ALL.iter().copied().collect()),
        engines,
        labels,
        memory_bytes: gib << 30,
    }
}

#[track_caller]
fn nobody(placement: Placement) -> String {
    match placement {
        Placement::Nobody(lack) => lack.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_need_that_nobody_meets_is_named() {
    let none = Labels::default();
    let zone: Labels = "zone=b".parse().unwrap();
    let both: Labels = "disk=nvme,zone=b".parse().unwrap();
    let rows = [
        worker("a", &["openvino", "torch-cpu"], "zone=b", 8),
        worker("b", &["onnxruntime"], "disk=nvme", 20),
    ];
    let offers: Vec<Offer<'_>> = rows.iter().map(idle).collect();
    let cases = [
        (
            needs(&[EngineChoice::TorchCuda], &none, 0),
            "no live worker in pool cpu has the engine torch-cuda (there: onnxruntime, openvino, torch-cpu)",
        ),
        (
            needs(&[], &none, 24),
            "no live worker in pool cpu has 24 GiB of memory (the largest has 20 GiB)",
        ),
        (
            needs(&[], &zone, 20),
            "no live worker in pool cpu labelled zone=b has 20 GiB of memory (the largest has 8 GiB)",
        ),
        (
            needs(&[EngineChoice::Openvino], &none, 20),
            "no live worker in pool cpu with the engine openvino has 20 GiB of memory (the largest has 8 GiB)",
        ),
        (
            needs(&[EngineChoice::Onnxruntime], &zone, 0),
            "no live worker in pool cpu with the engine onnxruntime is labelled zone=b",
        ),
        (
            needs(&[], &both, 0),
            "no live worker in pool cpu is labelled disk=nvme,zone=b",
        ),
    ];
    for (needs, text) in cases {
        assert_eq!(nobody(place(&needs, &offers)), text);
        assert!(!rows.iter().any(|row| needs.are_met_by(row)), "{text}");
    }
    let met = needs(&[EngineChoice::Openvino], &zone, 8);
    assert_eq!(place(&met, &offers), Placement::Slots { free: 2, all: 2 });
}

/// The statement is about workers that have what it says they have, and that none of these has the rest.
#[test]
fn every_need_that_no_worker_meets_beside_the_others_is_named() {
    let none = Labels::default();
    let zone: Labels = "zone=b".parse().unwrap();
    let mut rows = [
        worker("a", &["openvino"], "", 8),
        worker("b", &["onnxruntime"], "zone=b", 20),
        worker("c", &["openvino"], "", 64),
        worker("d", &["onnxruntime"], "", 4),
    ];
    rows[0].devices = "cuda:0,cuda:1".parse().unwrap();
    rows[3].devices = "cuda:0".parse().unwrap();
    rows[2].kinds.remove(&TaskKind::Score);
    let offers: Vec<Offer<'_>> = rows.iter().map(idle).collect();
    let with = |device, needs| Needs { device, ..needs };
    let gpu = DeviceChoice::Gpu;
    let of_release = "no live worker in pool cpu of a release that knows its tasks";
    for (needs, words, said) in [
        (
            with(gpu, needs(&[EngineChoice::Onnxruntime], &zone, 24)),
            "labels,memory",
            " with a GPU and the engine onnxruntime is labelled zone=b, none has 24 GiB of memory (the largest has 4 GiB)",
        ),
        (
            with(gpu, needs(&[EngineChoice::Openvino], &zone, 1)),
            "labels",
            " with a GPU and the engine openvino is labelled zone=b",
        ),
        (
            with(
                DeviceChoice::Cpu,
                needs(&[EngineChoice::Openvino], &none, 24),
            ),
            "engine,memory",
            " without GPUs has the engine openvino (there: onnxruntime), none has 24 GiB of memory (the largest has 20 GiB)",
        ),
    ] {
        let placement = place(&needs, &offers);
        let Placement::Nobody(nobody) = &placement else {
            panic!("{placement:?}")
        };
        assert_eq!(nobody.words().join(","), words);
        assert_eq!(nobody.to_string(), format!("{of_release}{said}"));
        assert!(!rows.iter().any(|row| needs.are_met_by(row)), "{said}");
    }
    let met = with(gpu, needs(&[EngineChoice::Openvino], &none, 8));
    assert_eq!(place(&met, &offers), Placement::Slots { free: 2, all: 2 });
}

#[test]
fn who_is_there_but_takes_nothing_is_counted() {
    let none = Labels::default();
    let row = worker("a", &[], "", 8);
    let in_state = |state| Offer {
        state,
        ..idle(&row)
    };
    let all = needs(&[], &none, 0);
    for (states, text) in [
        (vec![], "no live worker is in pool cpu"),
        (vec![WorkerState::Gone], "no live worker is in pool cpu"),
        (
            vec![
                WorkerState::Quarantined,
                WorkerState::Draining,
                WorkerState::Draining,
                WorkerState::Unheard,
            ],
            "no live worker is in pool cpu: 1 in quarantine, 2 draining, 1 not heard of since the coordinator's start",
        ),
    ] {
        let offers: Vec<Offer<'_>> = states.into_iter().map(in_state).collect();
        assert_eq!(nobody(place(&all, &offers)), text);
    }
}

#[test]
fn busy_slots_and_memory_that_is_taken_are_different_things() {
    let none = Labels::default();
    let row = worker("a", &[], "", 8);
    let busy = |busy, held_gib: u64| Offer {
        busy,
        held_bytes: held_gib << 30,
        ..idle(&row)
    };
    let small = needs(&[], &none, 3);
    assert_eq!(
        place(&small, &[busy(2, 2)]),
        Placement::Slots { free: 0, all: 2 }
    );
    assert_eq!(
        place(&small, &[busy(1, 6), busy(2, 2)]),
        Placement::NoRoom {
            needed_bytes: 3 << 30,
            free_bytes: 2 << 30
        }
    );
    assert_eq!(
        place(&small, &[busy(1, 6), busy(1, 2)]),
        Placement::Slots { free: 1, all: 4 }
    );
}

/// Grants by the rule itself, one after the other; the number of the one that is ours.
fn played_through(own: Standing, before: u64, others: &[Standing]) -> u64 {
    let mut all = others.to_vec();
    all.push(own);
    let mut granted = 0;
    for grant in 1.. {
        let best = all
            .iter_mut()
            .filter(|s| s.ready > 0)
            .min_by_key(|s| (std::cmp::Reverse(s.priority), s.running, s.number))
            .unwrap();
        best.ready -= 1;
        best.running += 1;
        if best.number == own.number {
            if granted == before {
                return grant;
            }
            granted += 1;
        }
    }
    unreachable!("every ready task is granted")
}

#[test]
fn positions_are_those_of_the_grants_to_come() {
    let standing = |priority, running, number, ready| Standing {
        priority,
        running,
        number,
        ready,
    };
    let own = standing(0, 1, 5, 6);
    let others = [
        standing(1, 9, 9, 2),
        standing(-1, 0, 1, 50),
        standing(0, 0, 4, 3),
        standing(0, 4, 3, 10),
        standing(0, 2, 7, 10),
    ];
    for count in 0..=others.len() {
        for before in 0..own.ready {
            let some = &others[..count];
            assert_eq!(
                position(&own, before, some.iter().copied()),
                played_through(own, before, some),
                "{count} others, {before} before"
            );
        }
    }
    assert_eq!(position(&own, 0, std::iter::empty()), 1);
}

#[test]
fn sizes_never_say_more_than_there_is() {
    for (bytes, text) in [
        (8 << 30, "8 GiB"),
        ((8 << 30) - 1, "7.9 GiB"),
        (1536 << 20, "1.5 GiB"),
        (64 << 20, "64 MiB"),
        (3 << 40, "3 TiB"),
        (17, "17 bytes"),
    ] {
        assert_eq!(size(bytes), text);
    }
}

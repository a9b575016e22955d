//! The suite that any state store has to pass: what was committed reads back, whatever happened to the process.

use std::{path::Path, sync::Arc};

use coordinator_core::{
    AttemptRow, Avoid, Change, Counters, Deadline, Deletion, ExpansionRow, JobProgressRow, JobRow,
    ModelRow, Notice, Outage, OutboxId, OutboxItem, OutboxRow, Outcome, Quarantine, RequestAnswer,
    RequestRow, RethresholdRow, Rows, Scored, Stop, SubmitOutcome, Sweep, TaskRow, TimeLimit,
    UnderWay, Verdict, WorkerRow,
};
use job::{
    Rethreshold,
    resolved::{JobKind, ThresholdSpec},
};
use plan::PublishedTable;
use tempfile::TempDir;
use types::{
    Epoch, FailureClass, Incarnation, JobId, JobState, LeaseNumber, TaskIndex, TaskKind, TaskState,
    TraceContext,
};

use super::{Origin, StateStore, StateStoreError, schema::MIGRATIONS};

const NEW: Origin = Origin::Own { last_epoch: None };

fn open(dir: &TempDir) -> StateStore {
    StateStore::open(&dir.path().join("nightshift.db"), NEW).unwrap()
}

fn job() -> JobId {
    "abcd1234".parse().unwrap()
}

fn task(index: u32, state: TaskState) -> TaskRow {
    TaskRow {
        job: job(),
        index: TaskIndex(index),
        state,
        generation: 0,
        accepts_from: 0,
        backoff: None,
        avoid: None,
        because: None,
        accepted: None,
    }
}

fn attempt(lease: u64, outcome: Outcome) -> AttemptRow {
    AttemptRow {
        lease: LeaseNumber(lease),
        job: job(),
        task: TaskIndex(3),
        generation: 2,
        number: 4,
        nonce: u32::MAX,
        claim: "claim-1".parse().unwrap(),
        worker: "box-1".parse().unwrap(),
        incarnation: Incarnation(u64::MAX - 5),
        granted_ms: 1_700_000_000_000,
        started: true,
        ended_ms: None,
        outcome,
        counted: true,
        message: None,
        verdict: None,
        ran_ms: 17,
        delay_ms: 1_000,
        result_json: None,
        outputs_json: None,
        sweep: None,
    }
}

fn trace() -> TraceContext {
    TraceContext::from_headers(
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        Some("vendor=1"),
    )
    .unwrap()
}

fn outbox(id: u64, item: OutboxItem) -> OutboxRow {
    OutboxRow {
        id: OutboxId(id),
        job: job(),
        store: "file:///data/a b%20c".to_owned(),
        item,
    }
}

fn notice() -> Notice {
    Notice {
        delivery: "abcd1234-1-4".to_owned(),
        name: "line 3".to_owned(),
        key: Some("nightly 'quoted'".to_owned()),
        kind: JobKind::Predict,
        state: JobState::Failed,
        created_ms: 1_700_000_000_123,
        finished_ms: 1_700_000_000_124,
        runs: 1,
        scored: Some(Scored {
            images: u64::MAX,
            anomalous: Some(1),
            errors: 0,
            reused: 2,
        }),
        results: 1,
        failures: vec!["abcd1234-0001: crashed: killed by signal 9".to_owned()],
    }
}

/// At least one row of each kind, with every optional field once there and once not, and every word of every enum.
fn one_of_everything() -> Vec<Change> {
    let deadline = Deadline {
        set_wall_ms: -5,
        duration_ms: u64::MAX,
    };
    let mut changes = vec![
        Change::Job(Arc::new(JobRow {
            id: job(),
            number: 1,
            key: Some("nightly 'quoted' \u{1F319}".to_owned()),
            digest: "ab".repeat(32),
            resolved_json: "{}".to_owned(),
            source_yaml: "kind: train\n# \u{0} ends no text\n".to_owned(),
            plan_json: "{\"runs\":[]}".to_owned(),
            created_ms: 1_700_000_000_123,
            trace: Some(trace()),
        })),
        Change::Job(Arc::new(JobRow {
            id: "zzzz".parse().unwrap(),
            number: u64::MAX,
            key: None,
            digest: String::new(),
            resolved_json: String::new(),
            source_yaml: String::new(),
            plan_json: String::new(),
            created_ms: i64::MIN,
            trace: None,
        })),
        Change::Expansion(ExpansionRow {
            job: job(),
            by: TaskIndex(0),
            expansion_json: "{\"tasks\":[]}".into(),
        }),
        Change::Task(TaskRow {
            generation: 3,
            accepts_from: 2,
            backoff: Some(deadline),
            avoid: Some(Avoid::Worker("box-1".parse().unwrap())),
            because: Some(TaskIndex(7)),
            accepted: Some(LeaseNumber(u64::MAX)),
            ..task(1_000, TaskState::Skipped)
        }),
        Change::Task(TaskRow {
            avoid: Some(Avoid::MemoryUpTo(1 << 40)),
            ..task(1_001, TaskState::Ready)
        }),
        Change::Attempt(AttemptRow {
            ended_ms: Some(5),
            started: false,
            counted: false,
            message: Some("out of luck".into()),
            verdict: Some(Verdict::Accepted),
            result_json: Some("{}".into()),
            outputs_json: Some("[]".into()),
            ..attempt(1_000, Outcome::Accepted)
        }),
        Change::Attempt(AttemptRow {
            verdict: Some(Verdict::Superseded),
            sweep: Some(Sweep {
                at_ms: 1_700_000_000_000,
                objects: 7,
                again: true,
            }),
            ..attempt(1_001, Outcome::Superseded)
        }),
        Change::Attempt(AttemptRow {
            verdict: Some(Verdict::Cancelled),
            ..attempt(1_002, Outcome::Cancelled)
        }),
        Change::Attempt(attempt(1_003, Outcome::Running)),
        Change::Outbox(outbox(1, OutboxItem::Spec)),
        Change::Outbox(outbox(
            2,
            OutboxItem::Results {
                generation: 4,
                prefix: "jobs/abcd1234/tasks/abcd1234-0003/9-0000000a".to_owned(),
                tables: vec![PublishedTable {
                    name: "scores.parquet".to_owned(),
                    path: "t/scores.parquet".to_owned(),
                }],
                manifest: "manifest.parquet".to_owned(),
                index: Some("index/p-auto/i".to_owned()),
                merged: vec![
                    "jobs/abcd1234/tasks/abcd1234-0000/1-0000000b/merged-0.parquet".to_owned(),
                ],
            },
        )),
        Change::Outbox(outbox(
            3,
            OutboxItem::Model {
                name: "m".to_owned(),
                run: 1,
                package: "jobs/x/package.json".to_owned(),
                sha256: "00".to_owned(),
            },
        )),
        Change::Outbox(outbox(4, OutboxItem::Notice(Box::new(notice())))),
        Change::Worker(WorkerRow {
            worker: "box-1".parse().unwrap(),
            incarnation: Incarnation(u64::MAX),
            pool: "cpu".parse().unwrap(),
            slots: 2,
            version: "0.1.0".to_owned(),
            engines: vec!["openvino 2026.0".to_owned(), "torch".to_owned()],
            devices: "cuda:1,cuda:0".parse().unwrap(),
            kinds: [TaskKind::List, TaskKind::Reduce].into(),
            labels: "disk=nvme,zone=b".parse().unwrap(),
            memory_bytes: 8 << 30,
            draining: true,
            quarantine: Some(Quarantine {
                since_ms: 7,
                reason: "3 attempts in a row failed".to_owned(),
            }),
            left: true,
            temporary: true,
        }),
        Change::Model(ModelRow {
            name: "brick".to_owned(),
            version: 12,
            job: job(),
            run: 0,
            package: "file:///data/package.json".to_owned(),
            sha256: "cd".repeat(32),
            created_ms: 9,
        }),
        Change::Counters(Counters {
            lease: 1 << 40,
            job: 2,
            outbox: 3,
            restored: 4,
        }),
    ];
    let stops = [
        None,
        Some(Stop::User),
        Some(Stop::TooManyFailures),
        Some(Stop::Deadline),
    ];
    for (index, stop) in stops.into_iter().enumerate() {
        changes.push(Change::JobProgress(JobProgressRow {
            job: format!("stop{index}").parse().unwrap(),
            stop,
            finished_ms: stop.map(|_| 77),
            results_planned: 2,
            results_published: 1,
            outage: stop.map(|_| Outage {
                pauses: 3,
                pause: deadline,
            }),
            limit: stop.map(|stop| TimeLimit {
                deadline,
                last: stop == Stop::Deadline,
            }),
            deletion: match stop {
                None => None,
                Some(Stop::User) => Some(Deletion::Ordered),
                Some(Stop::TooManyFailures) => Some(Deletion::RemovedOnce { at_ms: 5 }),
                Some(Stop::Deadline) => Some(Deletion::Removed),
            },
        }));
    }
    let threshold = |image| Rethreshold {
        image: Some(image),
        pixel: None,
    };
    let thresholds = [
        threshold(ThresholdSpec::F1Adaptive),
        threshold(ThresholdSpec::Manual { value: -0.1 }),
        threshold(ThresholdSpec::FalsePositiveRate { rate: 0.001 }),
    ];
    for (index, under_way) in [false, true].into_iter().enumerate() {
        changes.push(Change::Rethreshold(RethresholdRow {
            job: format!("anew{index}").parse().unwrap(),
            thresholds: (0..).zip(thresholds).collect(),
            under_way: under_way.then(|| UnderWay {
                kept: [(TaskIndex(3), LeaseNumber(u64::MAX))].into(),
                before: (0..).zip(thresholds).skip(1).collect(),
            }),
            failure: (!under_way).then(|| "a part is gone".to_owned()),
            ended_ms: under_way.then_some(-7),
        }));
    }
    for (index, state) in (0..).zip(TaskState::ALL) {
        changes.push(Change::Task(task(index, *state)));
    }
    for (lease, class) in (1..).zip(FailureClass::ALL) {
        changes.push(Change::Attempt(attempt(lease, Outcome::Failed(class))));
    }
    let submitted = [
        SubmitOutcome::Created,
        SubmitOutcome::Attached,
        SubmitOutcome::Retried,
        SubmitOutcome::Done,
    ];
    let answers = submitted
        .map(RequestAnswer::Submitted)
        .into_iter()
        .chain(
            JobState::ALL
                .iter()
                .map(|state| RequestAnswer::Cancelled(*state)),
        )
        .chain([
            RequestAnswer::Retried { tasks: 8 },
            RequestAnswer::Rethresholded {
                tasks: 9,
                before: 1,
            },
        ]);
    for (number, answer) in answers.enumerate() {
        changes.push(Change::Request(RequestRow {
            id: format!("request-{number}").parse().unwrap(),
            job: job(),
            answer,
        }));
    }
    changes
}

fn in_memory(changes: &[Change]) -> Rows {
    let mut rows = Rows::default();
    for change in changes {
        rows.put(change.clone());
    }
    rows
}

/// What a power cut would leave: the files as they are, without the orderly end of a connection.
fn crash_and_reopen(from: &Path, to: &Path) -> StateStore {
    for name in ["nightshift.db", "nightshift.db-wal"] {
        let source = from.join(name);
        if source.exists() {
            std::fs::copy(source, to.join(name)).unwrap();
        }
    }
    StateStore::open(&to.join("nightshift.db"), NEW).unwrap()
}

#[test]
fn every_row_reads_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let changes = one_of_everything();
    let mut store = open(&dir);
    store.commit(&changes).unwrap();
    assert_eq!(store.load().unwrap(), in_memory(&changes));
    drop(store);
    assert_eq!(open(&dir).load().unwrap(), in_memory(&changes));
}

#[test]
fn a_new_database_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(open(&dir).load().unwrap(), Rows::default());
}

#[test]
fn the_last_change_of_a_key_counts_and_done_outbox_rows_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let changes = [
        Change::Task(task(1, TaskState::Ready)),
        Change::Task(task(1, TaskState::Running)),
        Change::Outbox(outbox(1, OutboxItem::Spec)),
        Change::Outbox(outbox(2, OutboxItem::Spec)),
        Change::OutboxDone(OutboxId(1)),
        Change::Attempt(attempt(1, Outcome::Running)),
    ];
    store.commit(&changes).unwrap();
    store
        .commit(&[Change::Attempt(attempt(1, Outcome::Accepted))])
        .unwrap();
    let rows = store.load().unwrap();
    assert_eq!(rows.tasks[&(job(), TaskIndex(1))].state, TaskState::Running);
    assert_eq!(rows.outbox.keys().collect::<Vec<_>>(), [&OutboxId(2)]);
    assert_eq!(rows.attempts[&LeaseNumber(1)].outcome, Outcome::Accepted);
}

#[test]
fn what_was_committed_survives_a_crash() {
    let (dir, later) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let changes = one_of_everything();
    let mut store = open(&dir);
    store.commit(&changes).unwrap();
    let reopened = crash_and_reopen(dir.path(), later.path());
    assert_eq!(reopened.load().unwrap(), in_memory(&changes));
    assert_eq!(reopened.epoch(), Epoch(2));
}

#[test]
fn a_batch_is_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let everything = one_of_everything();
    store.commit(&everything).unwrap();
    // The job is there already: an id that comes twice is refused, with all that stood before it.
    let batch = [
        Change::Task(task(500, TaskState::Ready)),
        everything[0].clone(),
    ];
    assert!(matches!(
        store.commit(&batch),
        Err(StateStoreError::Sql { .. })
    ));
    assert_eq!(store.load().unwrap(), in_memory(&everything));
}

#[test]
fn each_start_raises_the_epoch() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(open(&dir).epoch(), Epoch(1));
    assert_eq!(open(&dir).epoch(), Epoch(2));
}

#[test]
fn an_older_epoch_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    // What a coordinator that took over would have done.
    store
        .connection
        .execute("UPDATE meta SET epoch = epoch + 1", [])
        .unwrap();
    let error = store
        .commit(&[Change::Task(task(1, TaskState::Ready))])
        .unwrap_err();
    assert!(
        matches!(error, StateStoreError::StaleEpoch { mine: 1, found: 2 }),
        "{error}"
    );
    assert_eq!(store.load().unwrap(), Rows::default());
}

#[test]
fn a_restored_backup_jumps_over_everything_that_may_have_been_handed_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nightshift.db");
    let own = |epoch| Origin::Own {
        last_epoch: Some(Epoch(epoch)),
    };
    let mut store = StateStore::open(&path, NEW).unwrap();
    store.commit(&one_of_everything()).unwrap();
    let before = store.load().unwrap();
    drop(store);
    let same = StateStore::open(&path, own(1)).unwrap();
    assert_eq!((same.epoch(), same.load().unwrap()), (Epoch(2), before));
    drop(same);
    // The folder remembers a later epoch; then its operator says it of a folder that was restored as a whole.
    for (origin, jumps) in [(own(9), 1), (Origin::Restored, 2)] {
        let restored = StateStore::open(&path, origin).unwrap();
        let lease = (1 << 40) + (jumps << 32);
        let rows = restored.load().unwrap();
        assert_eq!(restored.epoch(), Epoch(2 + jumps + (jumps << 32)));
        assert_eq!(
            (rows.counters.lease, rows.counters.restored),
            (lease, lease)
        );
        for row in rows.job_progress.values() {
            assert_eq!(row.results_planned, 2 + 1_000 * jumps);
            assert_eq!(row.results_published, 1);
        }
    }
    let after = StateStore::open(&path, own(3 + (1 << 32))).unwrap();
    assert_eq!(after.epoch(), Epoch(5 + (2 << 32)));
}

#[test]
fn a_second_connection_cannot_open_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let error = StateStore::open(&dir.path().join("nightshift.db"), NEW).unwrap_err();
    assert!(
        matches!(
            error,
            StateStoreError::Open { .. } | StateStoreError::Migrate { .. }
        ),
        "{error}"
    );
    drop(store);
}

#[test]
fn a_full_disk_is_an_error_of_its_own_and_leaves_the_last_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store
        .commit(&[Change::Task(task(1, TaskState::Ready))])
        .unwrap();
    let pages: i64 = store
        .connection
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    store
        .connection
        .pragma_update(None, "max_page_count", pages)
        .unwrap();
    let large = AttemptRow {
        result_json: Some("x".repeat(1 << 20).into()),
        ..attempt(1, Outcome::Accepted)
    };
    let error = store
        .commit(&[
            Change::Task(task(2, TaskState::Ready)),
            Change::Attempt(large),
        ])
        .unwrap_err();
    assert!(matches!(error, StateStoreError::DiskFull { .. }), "{error}");
    let rows = store.load().unwrap();
    assert_eq!((rows.tasks.len(), rows.attempts.len()), (1, 0));
}

#[test]
fn a_newer_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    store
        .connection
        .execute("INSERT INTO migrations VALUES (99, 0)", [])
        .unwrap();
    drop(store);
    let error = StateStore::open(&dir.path().join("nightshift.db"), NEW).unwrap_err();
    assert!(
        matches!(error, StateStoreError::TooNew { found: 99, known } if known as usize == MIGRATIONS.len()),
        "{error}"
    );
}

#[test]
fn a_failed_migration_leaves_the_version_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let next = MIGRATIONS.len() + 1;
    let with = |step| [MIGRATIONS, &[step]].concat();
    let broken = with("CREATE TABLE extra (a); CREATE TABLE jobs (a);");
    assert!(matches!(
        store.migrate(&broken),
        Err(StateStoreError::Migrate { version, .. }) if version as usize == next
    ));
    store.migrate(&with("CREATE TABLE extra (a)")).unwrap();
    assert!(matches!(
        store.migrate(MIGRATIONS),
        Err(StateStoreError::TooNew { found, .. }) if found as usize == next
    ));
}

#[test]
fn a_forgotten_worker_has_no_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&one_of_everything()).unwrap();
    let names: Vec<_> = store.load().unwrap().workers.into_keys().collect();
    assert!(!names.is_empty());
    let forgotten: Vec<_> = names.into_iter().map(Change::WorkerForgotten).collect();
    store.commit(&forgotten).unwrap();
    assert!(store.load().unwrap().workers.is_empty());
}

#[test]
fn a_forgotten_job_has_no_row_and_its_models_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&one_of_everything()).unwrap();
    let mut rows = store.load().unwrap();
    let jobs: Vec<_> = rows.jobs.keys().cloned().collect();
    assert!(!jobs.is_empty() && !rows.attempts.is_empty() && !rows.models.is_empty());
    for job in jobs {
        let forgotten = Change::JobForgotten(job);
        store.commit(std::slice::from_ref(&forgotten)).unwrap();
        rows.put(forgotten);
        assert_eq!(store.load().unwrap(), rows);
    }
    assert!(rows.tasks.is_empty() && rows.attempts.is_empty());
}

#[test]
fn a_damaged_row_is_named_by_table_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&one_of_everything()).unwrap();
    store
        .connection
        .execute("UPDATE tasks SET state = 'dreaming' WHERE task = 1", [])
        .unwrap();
    let error = store.load().unwrap_err().to_string();
    assert!(
        error.contains("tasks") && error.contains("state") && error.contains("dreaming"),
        "{error}"
    );
}

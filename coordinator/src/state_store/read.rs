//! Rows read back, each checked on the way in.

use std::sync::Arc;

use coordinator_core::{
    AttemptRow, Change, Counters, ExpansionRow, JobProgressRow, JobRow, ModelRow, OutboxId,
    OutboxRow, Outcome, RequestRow, RethresholdRow, Rows, TaskRow, WorkerRow,
};
use rusqlite::{Connection, Row, types::FromSql};
use serde::de::DeserializeOwned;
use types::{Incarnation, LeaseNumber, TaskIndex, TaskState};

use super::StateStoreError;

pub fn rows(connection: &Connection) -> Result<Rows, StateStoreError> {
    let mut rows = Rows::default();
    for (table, read) in TABLES {
        let mut select = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .map_err(StateStoreError::sql("read"))?;
        let mut found = select.query([]).map_err(StateStoreError::sql("read"))?;
        while let Some(row) = found.next().map_err(StateStoreError::sql("read"))? {
            rows.put(read(&Columns { table, row })?);
        }
    }
    Ok(rows)
}

type Read = fn(&Columns<'_>) -> Result<Change, StateStoreError>;

const TABLES: [(&str, Read); 11] = [
    ("meta", counters),
    ("jobs", job),
    ("job_progress", job_progress),
    ("rethresholds", rethreshold),
    ("expansions", expansion),
    ("tasks", task),
    ("attempts", attempt),
    ("requests", request),
    ("outbox", outbox),
    ("workers", worker),
    ("models", model),
];

/// One row, with its table's name for messages.
struct Columns<'a> {
    table: &'static str,
    row: &'a Row<'a>,
}

impl Columns<'_> {
    fn bad(&self, column: &str, what: impl std::fmt::Display) -> StateStoreError {
        StateStoreError::BadRow {
            table: self.table,
            what: format!("column {column}: {what}"),
        }
    }

    fn get<T: FromSql>(&self, column: &str) -> Result<T, StateStoreError> {
        self.row
            .get(column)
            .map_err(|error| self.bad(column, error))
    }

    fn unsigned(&self, column: &str) -> Result<u64, StateStoreError> {
        Ok(self.get::<i64>(column)?.cast_unsigned())
    }

    /// A text with a form of its own, such as an id.
    fn parse<T: TryFrom<String, Error: std::fmt::Display>>(
        &self,
        column: &str,
    ) -> Result<T, StateStoreError> {
        T::try_from(self.get::<String>(column)?).map_err(|error| self.bad(column, error))
    }

    fn word<T>(&self, column: &str, parse: fn(&str) -> Option<T>) -> Result<T, StateStoreError> {
        let text: String = self.get(column)?;
        parse(&text).ok_or_else(|| self.bad(column, format!("unknown word {text:?}")))
    }

    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StateStoreError> {
        let text: String = self.get(column)?;
        serde_json::from_str(&text).map_err(|error| self.bad(column, error))
    }

    fn optional_json<T: DeserializeOwned>(
        &self,
        column: &str,
    ) -> Result<Option<T>, StateStoreError> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| self.bad(column, error)))
            .transpose()
    }
}

fn counters(row: &Columns<'_>) -> Result<Change, StateStoreError> {
    Ok(Change::Counters(Counters {
        lease: row.unsigned("lease")?,
        job: row.unsigned("job")?,
        outbox: row.unsigned("outbox")?,
        restored: row.unsigned("restored")?,
    }))
}

fn job(row: &Columns<'_>) -> Result<Change, StateStoreError> {
    Ok(Change::Job(Arc::new(JobRow {
        id: row.parse("id")?,
        number: row.unsigned("number")?,
        key: row.get("key")?,
        digest: row.get("digest")?,
        resolved_json: row.get("resolved_json")?,
        source_yaml: row.get("source_yaml")?,
        plan_json: row.get("plan_json")?,
        created_ms: row.get("created_ms")?,
        trace: row.optional_json("trace_json")?,
    })))
}

fn job_progress(row: &Columns<'_>) -> Result<Change, StateStoreError> {
    Ok(Change::JobProgress(JobProgressRow {
        job: row.parse("job")?,
        stop: row.optional_json("stop_json")?,
        finished_ms: row.get("finished_ms")?,
        results_planned: row.unsigned("results_planned")?,
        results_published: row.unsigned("results_published")?,
        outage: row.optional_json("outage_json")?,
        limit: row.optional_json("limit_json")?,
        deletion: row.optional_json("deletion_json")?,
    }))
}

fn rethreshold(row: &Columns<'_>) -> Result<Change, StateStoreError> {
    Ok(Change::Rethreshold(RethresholdRow {
        job: row.parse("job")?,
        thresholds: row.json("thresholds_json")?,
        under_way: row.optional_json("under_way_json")?,
        failure: row.get("failure")?,
        ended_ms: row.get("ended_ms")?,
    }))
}

fn expansion(row: &Columns<'_>) -> Result<Change, StateStoreError> {
    Ok(Change::Expansion(ExpansionRow {
        job: row.parse("job")?,
        by: TaskIndex(row.get("by_task")?),
        expansion_json: row.get("expansion_json")?,
    }))
}

fn task(row: &Columns<'_>) -> Result<Change, StateStoreError> {
    Ok(Change::Task(TaskRow {
        job: row.parse("job")?,
        index: TaskIndex(row.get("task")?),
        state: row.word("state", TaskState::parse)?,
        generation: row.get("generation")?,
        accepts_from: row.get("accepts_from")?,
        backoff: row.optional_json("backoff_json")?,
        avoid: row.optional_json("avoid_json")?,
        because: row.get::<Option<u32>>("because")?.map(TaskIndex),
        accepted: row
            .get::<Option<i64>>("accepted")?
            .map(|lease| LeaseNumber(lease.cast_unsigned())),
    }))
}

fn attempt(row: &Columns<'_>) -> Result<Change, StateStoreError> {
    Ok(Change::Attempt(AttemptRow {
        lease: LeaseNumber(row.unsigned("lease")?),
        job: row.parse("job")?,
        task: TaskIndex(row.get("task")?),
        generation: row.get("generation")?,
        number: row.get("number")?,
        nonce: row.get("nonce")?,
        claim: row.parse("claim")?,
        worker: row.parse("worker")?,
        incarnation: Incarnation(row.unsigned("incarnation")?),
        granted_ms: row.get("granted_ms")?,
        started: row.get("started")?,
        ended_ms: row.get("ended_ms")?,
        outcome: row.word("outcome", Outcome::parse)?,
        counted: row.get("counted")?,
        message: row.get("message")?,
        verdict: row.optional_json("verdict_json")?,
        ran_ms: row.unsigned("ran_ms")?,
        delay_ms: row.unsigned("delay_ms")?,
        result_json: row.get("result_json")?,
        outputs_json: row.get("outputs_json")?,
        sweep: row.optional_json("sweep_json")?,
    }))
}

fn request(row: &Columns<'_>) -> Result<Change, StateStoreError> {
    Ok(Change::Request(RequestRow {
        id: row.parse("id")?,
        job: row.parse("job")?,
        answer: row.json("answer_json")?,
    }))
}

fn outbox(row: &Columns<'_>) -> Result<Change, StateStoreError> {
    Ok(Change::Outbox(OutboxRow {
        id: OutboxId(row.unsigned("id")?),
        job: row.parse("job")?,
        store: row.get("store")?,
        item: row.json("item_json")?,
    }))
}

fn worker(row: &Columns<'_>) -> Result<Change, StateStoreError> {
    Ok(Change::Worker(WorkerRow {
        worker: row.parse("worker")?,
        incarnation: Incarnation(row.unsigned("incarnation")?),
        pool: row.parse("pool")?,
        slots: row.get("slots")?,
        version: row.get("version")?,
        engines: row.json("engines_json")?,
        devices: row.json("devices_json")?,
        kinds: row.json("kinds_json")?,
        labels: row.json("labels_json")?,
        memory_bytes: row.unsigned("memory_bytes")?,
        draining: row.get("draining")?,
        quarantine: row.optional_json("quarantine_json")?,
        left: row.get("has_left")?,
        temporary: row.get("temporary")?,
    }))
}

fn model(row: &Columns<'_>) -> Result<Change, StateStoreError> {
    Ok(Change::Model(ModelRow {
        name: row.get("name")?,
        version: row.get("version")?,
        job: row.parse("job")?,
        run: row.get("run")?,
        package: row.get("package")?,
        sha256: row.get("sha256")?,
        created_ms: row.get("created_ms")?,
    }))
}

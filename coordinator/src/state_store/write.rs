//! Changes to rows: one upsert a kind.

use coordinator_core::{
    AttemptRow, Change, Counters, ExpansionRow, JobProgressRow, JobRow, ModelRow, OutboxRow,
    RequestRow, RethresholdRow, TaskRow, WorkerRow,
};
use rusqlite::{Params, Transaction, params};
use serde::Serialize;
use types::JobId;

use super::StateStoreError;

pub fn change(transaction: &Transaction<'_>, change: &Change) -> Result<(), StateStoreError> {
    match change {
        Change::Job(row) => job(transaction, row),
        Change::JobProgress(row) => job_progress(transaction, row),
        Change::Rethreshold(row) => rethreshold(transaction, row),
        Change::JobForgotten(job) => forget(transaction, job),
        Change::Expansion(row) => expansion(transaction, row),
        Change::Task(row) => task(transaction, row),
        Change::Attempt(row) => attempt(transaction, row),
        Change::Request(row) => request(transaction, row),
        Change::Outbox(row) => outbox(transaction, row),
        Change::OutboxDone(id) => run(
            transaction,
            "DELETE FROM outbox WHERE id = ?1",
            [id.0.cast_signed()],
        ),
        Change::Worker(row) => worker(transaction, row),
        Change::WorkerForgotten(worker) => run(
            transaction,
            "DELETE FROM workers WHERE worker = ?1",
            [worker.as_str()],
        ),
        Change::Model(row) => model(transaction, row),
        Change::Counters(row) => counters(transaction, row),
    }
}

fn run(
    transaction: &Transaction<'_>,
    sql: &str,
    params: impl Params,
) -> Result<(), StateStoreError> {
    let mut statement = transaction
        .prepare_cached(sql)
        .map_err(StateStoreError::sql("write to"))?;
    statement
        .execute(params)
        .map_err(StateStoreError::sql("write to"))?;
    Ok(())
}

fn json(table: &'static str, value: &impl Serialize) -> Result<String, StateStoreError> {
    serde_json::to_string(value).map_err(|error| StateStoreError::BadRow {
        table,
        what: error.to_string(),
    })
}

fn optional_json(
    table: &'static str,
    value: Option<&impl Serialize>,
) -> Result<Option<String>, StateStoreError> {
    value.map(|value| json(table, value)).transpose()
}

// Written once: a plain insert, so that an id that came twice is an error and not a replacement.
fn job(transaction: &Transaction<'_>, row: &JobRow) -> Result<(), StateStoreError> {
    run(
        transaction,
        "INSERT INTO jobs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            row.id.as_str(),
            row.number.cast_signed(),
            row.key,
            row.digest,
            row.resolved_json,
            row.source_yaml,
            row.plan_json,
            row.created_ms,
            optional_json("jobs", row.trace.as_ref())?
        ],
    )
}

fn job_progress(
    transaction: &Transaction<'_>,
    row: &JobProgressRow,
) -> Result<(), StateStoreError> {
    run(
        transaction,
        "INSERT OR REPLACE INTO job_progress VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            row.job.as_str(),
            optional_json("job_progress", row.stop.as_ref())?,
            row.finished_ms,
            row.results_planned.cast_signed(),
            row.results_published.cast_signed(),
            optional_json("job_progress", row.outage.as_ref())?,
            optional_json("job_progress", row.limit.as_ref())?,
            optional_json("job_progress", row.deletion.as_ref())?
        ],
    )
}

fn rethreshold(transaction: &Transaction<'_>, row: &RethresholdRow) -> Result<(), StateStoreError> {
    run(
        transaction,
        "INSERT OR REPLACE INTO rethresholds VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            row.job.as_str(),
            json("rethresholds", &row.thresholds)?,
            optional_json("rethresholds", row.under_way.as_ref())?,
            row.failure,
            row.ended_ms
        ],
    )
}

fn forget(transaction: &Transaction<'_>, job: &JobId) -> Result<(), StateStoreError> {
    for sql in [
        "DELETE FROM jobs WHERE id = ?1",
        "DELETE FROM job_progress WHERE job = ?1",
        "DELETE FROM rethresholds WHERE job = ?1",
        "DELETE FROM expansions WHERE job = ?1",
        "DELETE FROM tasks WHERE job = ?1",
        "DELETE FROM attempts WHERE job = ?1",
        "DELETE FROM requests WHERE job = ?1",
    ] {
        run(transaction, sql, [job.as_str()])?;
    }
    Ok(())
}

fn expansion(transaction: &Transaction<'_>, row: &ExpansionRow) -> Result<(), StateStoreError> {
    run(
        transaction,
        "INSERT OR REPLACE INTO expansions VALUES (?1, ?2, ?3)",
        params![row.job.as_str(), row.by.0, row.expansion_json],
    )
}

fn task(transaction: &Transaction<'_>, row: &TaskRow) -> Result<(), StateStoreError> {
    run(
        transaction,
        "INSERT OR REPLACE INTO tasks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            row.job.as_str(),
            row.index.0,
            row.state.as_str(),
            row.generation,
            row.accepts_from,
            optional_json("tasks", row.backoff.as_ref())?,
            optional_json("tasks", row.avoid.as_ref())?,
            row.because.map(|index| index.0),
            row.accepted.map(|lease| lease.0.cast_signed())
        ],
    )
}

fn attempt(transaction: &Transaction<'_>, row: &AttemptRow) -> Result<(), StateStoreError> {
    run(
        transaction,
        "INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
        params![
            row.lease.0.cast_signed(),
            row.job.as_str(),
            row.task.0,
            row.generation,
            row.number,
            row.nonce,
            row.claim.as_str(),
            row.worker.as_str(),
            row.incarnation.0.cast_signed(),
            row.granted_ms,
            row.started,
            row.ended_ms,
            row.outcome.as_str(),
            row.counted,
            row.message,
            optional_json("attempts", row.verdict.as_ref())?,
            row.ran_ms.cast_signed(),
            row.delay_ms.cast_signed(),
            row.result_json,
            row.outputs_json,
            optional_json("attempts", row.sweep.as_ref())?
        ],
    )
}

fn request(transaction: &Transaction<'_>, row: &RequestRow) -> Result<(), StateStoreError> {
    run(
        transaction,
        "INSERT OR REPLACE INTO requests VALUES (?1, ?2, ?3)",
        params![
            row.id.as_str(),
            row.job.as_str(),
            json("requests", &row.answer)?
        ],
    )
}

fn outbox(transaction: &Transaction<'_>, row: &OutboxRow) -> Result<(), StateStoreError> {
    run(
        transaction,
        "INSERT OR REPLACE INTO outbox VALUES (?1, ?2, ?3, ?4)",
        params![
            row.id.0.cast_signed(),
            row.job.as_str(),
            row.store,
            json("outbox", &row.item)?
        ],
    )
}

fn worker(transaction: &Transaction<'_>, row: &WorkerRow) -> Result<(), StateStoreError> {
    run(
        transaction,
        "INSERT OR REPLACE INTO workers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        params![
            row.worker.as_str(),
            row.incarnation.0.cast_signed(),
            row.pool.as_str(),
            row.slots,
            row.version,
            json("workers", &row.engines)?,
            row.memory_bytes.cast_signed(),
            row.draining,
            row.left,
            row.temporary,
            optional_json("workers", row.quarantine.as_ref())?,
            json("workers", &row.labels)?,
            json("workers", &row.kinds)?,
            json("workers", &row.devices)?
        ],
    )
}

fn model(transaction: &Transaction<'_>, row: &ModelRow) -> Result<(), StateStoreError> {
    run(
        transaction,
        "INSERT OR REPLACE INTO models VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            row.name,
            row.version,
            row.job.as_str(),
            row.run,
            row.package,
            row.sha256,
            row.created_ms
        ],
    )
}

fn counters(transaction: &Transaction<'_>, row: &Counters) -> Result<(), StateStoreError> {
    run(
        transaction,
        "UPDATE meta SET lease = ?1, job = ?2, outbox = ?3, restored = ?4",
        params![
            row.lease.cast_signed(),
            row.job.cast_signed(),
            row.outbox.cast_signed(),
            row.restored.cast_signed()
        ],
    )
}

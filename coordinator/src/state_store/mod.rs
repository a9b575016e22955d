//! The coordinator's database: every word of SQL is here.

mod read;
mod schema;
#[cfg(test)]
mod tests;
mod write;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use coordinator_core::{Change, RESTORED_JUMP, Rows};
use monitoring::Histogram;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use types::Epoch;

#[derive(Debug, thiserror::Error)]
pub enum StateStoreError {
    #[error("cannot open the database {}", path.display())]
    Open {
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error(
        "the database is of version {found}, made by a newer release; this one knows up to {known}"
    )]
    TooNew { found: u32, known: u32 },
    #[error("cannot bring the database to version {version}")]
    Migrate {
        version: u32,
        source: rusqlite::Error,
    },
    #[error(
        "the database belongs to epoch {found} now, this coordinator to epoch {mine}: another one has taken over"
    )]
    StaleEpoch { mine: u64, found: u64 },
    #[error("no space left for the database")]
    DiskFull { source: rusqlite::Error },
    #[error("cannot {action} the database")]
    Sql {
        action: &'static str,
        source: rusqlite::Error,
    },
    #[error("the database holds a row of {table} that cannot be read: {what}")]
    BadRow { table: &'static str, what: String },
}

impl StateStoreError {
    fn sql(action: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        Self::unless_full(move |source| Self::Sql { action, source })
    }

    /// A full disk is an error of its own, whatever was being done.
    fn unless_full(
        other: impl FnOnce(rusqlite::Error) -> Self,
    ) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { source },
            _ => other(source),
        }
    }
}

/// Where a database comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From this folder, which remembers the last epoch. A database that knows only an older one was restored all the same.
    Own { last_epoch: Option<Epoch> },
    /// From a backup: its operator says so.
    Restored,
}

/// The open database, at an epoch of its own.
#[derive(Debug)]
pub struct StateStore {
    connection: Connection,
    epoch: Epoch,
    commit_times: Histogram,
}

impl StateStore {
    /// Opens or makes the database, brings it to this release's version, and raises its epoch.
    ///
    /// Where `origin` says that the database was restored from a backup, epoch and lease numbers jump by 2^32, so that
    /// nothing handed out after the backup was made is handed out again.
    pub fn open(path: &Path, origin: Origin) -> Result<Self, StateStoreError> {
        let failed = || {
            StateStoreError::unless_full(|source| StateStoreError::Open {
                path: path.to_owned(),
                source,
            })
        };
        let connection = Connection::open(path).map_err(failed())?;
        connection
            .busy_timeout(Duration::from_secs(2))
            .map_err(failed())?;
        // Exclusive before WAL: then the index of the log lives in memory and no `-shm` file is made.
        connection
            .pragma_update(None, "locking_mode", "EXCLUSIVE")
            .map_err(failed())?;
        connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
            .map_err(failed())?;
        connection
            .pragma_update(None, "synchronous", "FULL")
            .map_err(failed())?;
        connection.set_prepared_statement_cache_capacity(32);
        let mut store = Self {
            connection,
            epoch: Epoch(0),
            commit_times: Histogram::default(),
        };
        store.migrate(schema::MIGRATIONS)?;
        store.raise_epoch(origin)?;
        Ok(store)
    }

    fn migrate(&mut self, steps: &[&str]) -> Result<(), StateStoreError> {
        let failed = |version| {
            StateStoreError::unless_full(move |source| StateStoreError::Migrate { version, source })
        };
        self.connection
            .execute_batch("CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL)")
            .map_err(failed(0))?;
        let found: u32 = self
            .connection
            .query_row(
                "SELECT coalesce(max(version), 0) FROM migrations",
                [],
                |row| row.get(0),
            )
            .map_err(failed(0))?;
        let steps = (1_u32..).zip(steps);
        let known = steps
            .clone()
            .map(|(version, _)| version)
            .last()
            .unwrap_or(0);
        if found > known {
            return Err(StateStoreError::TooNew { found, known });
        }
        for (version, step) in steps.filter(|(version, _)| *version > found) {
            let transaction = self.connection.transaction().map_err(failed(version))?;
            transaction.execute_batch(step).map_err(failed(version))?;
            transaction
                .execute("INSERT INTO migrations VALUES (?1, CAST(unixepoch('subsec') * 1000 AS INTEGER))", [version])
                .map_err(failed(version))?;
            transaction.commit().map_err(failed(version))?;
        }
        Ok(())
    }

    fn raise_epoch(&mut self, origin: Origin) -> Result<(), StateStoreError> {
        let failed = || StateStoreError::sql("take over");
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed())?;
        let found: i64 = transaction
            .query_row("SELECT epoch FROM meta", [], |row| row.get(0))
            .map_err(failed())?;
        let found = found.cast_unsigned();
        let restored = match origin {
            Origin::Own { last_epoch } => last_epoch.is_some_and(|last| last.0 > found),
            Origin::Restored => true,
        };
        let mut epoch = found + 1;
        if restored {
            epoch = epoch.saturating_add(RESTORED_JUMP);
            // In the transaction that raises the epoch: half of it would look like a database that nothing happened to.
            for change in read::rows(&transaction)?.restored() {
                write::change(&transaction, &change)?;
            }
        }
        transaction
            .execute("UPDATE meta SET epoch = ?1", [epoch.cast_signed()])
            .map_err(failed())?;
        transaction.commit().map_err(failed())?;
        if restored {
            tracing::warn!(
                epoch,
                "the database was restored from a backup: epoch, lease numbers and generations of results jump ahead; what ran when the backup was made is done again"
            );
        }
        self.epoch = Epoch(epoch);
        Ok(())
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How long commits took, also those that are to come.
    pub fn commit_times(&self) -> Histogram {
        self.commit_times.clone()
    }

    /// Writes a batch: all of it or nothing, and nothing if another coordinator has taken over.
    ///
    /// After an error the caller's view and the database differ: it must end and be rebuilt from rows.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), StateStoreError> {
        let begun = Instant::now();
        let failed = || StateStoreError::sql("write to");
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed())?;
        let found: i64 = transaction
            .prepare_cached("SELECT epoch FROM meta")
            .and_then(|mut select| select.query_row([], |row| row.get(0)))
            .map_err(failed())?;
        if found.cast_unsigned() != self.epoch.0 {
            return Err(StateStoreError::StaleEpoch {
                mine: self.epoch.0,
                found: found.cast_unsigned(),
            });
        }
        let is_counters = |change: &Change| matches!(change, Change::Counters(_));
        // Every grant brings them, and only the last ones count.
        let counters = changes.iter().rposition(is_counters);
        for (place, change) in changes.iter().enumerate() {
            if !is_counters(change) || counters == Some(place) {
                write::change(&transaction, change)?;
            }
        }
        transaction.commit().map_err(failed())?;
        self.commit_times.note(begun.elapsed());
        Ok(())
    }

    /// Everything there is, to rebuild the core from.
    pub fn load(&self) -> Result<Rows, StateStoreError> {
        read::rows(&self.connection)
    }
}

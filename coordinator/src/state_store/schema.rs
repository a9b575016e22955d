//! The database's tables, as the list of steps that led to them.

/// Version `n` of the database is what the first `n` steps make. A released step is never edited.
pub const MIGRATIONS: &[&str] = &[V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12, V13];

/// Numbers without a sign are stored by their bits. Columns named `*_json` hold the serde form of the row's field.
const V1: &str = "
CREATE TABLE meta (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    epoch    INTEGER NOT NULL,
    lease    INTEGER NOT NULL,
    job      INTEGER NOT NULL,
    outbox   INTEGER NOT NULL
);
INSERT INTO meta VALUES (1, 0, 0, 0, 0);

CREATE TABLE jobs (
    id             TEXT PRIMARY KEY,
    number         INTEGER NOT NULL UNIQUE,
    key            TEXT,
    digest         TEXT NOT NULL,
    resolved_json  TEXT NOT NULL,
    source_yaml    TEXT NOT NULL,
    plan_json      TEXT NOT NULL,
    created_ms     INTEGER NOT NULL
);

CREATE TABLE job_progress (
    job                TEXT PRIMARY KEY,
    stop_json          TEXT,
    finished_ms        INTEGER,
    results_planned    INTEGER NOT NULL,
    results_published  INTEGER NOT NULL,
    outage_json        TEXT
) WITHOUT ROWID;

CREATE TABLE expansions (
    job             TEXT NOT NULL,
    by_task         INTEGER NOT NULL,
    expansion_json  TEXT NOT NULL,
    PRIMARY KEY (job, by_task)
);

CREATE TABLE tasks (
    job           TEXT NOT NULL,
    task          INTEGER NOT NULL,
    state         TEXT NOT NULL,
    generation    INTEGER NOT NULL,
    accepts_from  INTEGER NOT NULL,
    backoff_json  TEXT,
    avoid_json    TEXT,
    because       INTEGER,
    accepted      INTEGER,
    PRIMARY KEY (job, task)
) WITHOUT ROWID;

CREATE TABLE attempts (
    lease         INTEGER PRIMARY KEY,
    job           TEXT NOT NULL,
    task          INTEGER NOT NULL,
    generation    INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    nonce         INTEGER NOT NULL,
    claim         TEXT NOT NULL,
    worker        TEXT NOT NULL,
    incarnation   INTEGER NOT NULL,
    granted_ms    INTEGER NOT NULL,
    started       INTEGER NOT NULL,
    ended_ms      INTEGER,
    outcome       TEXT NOT NULL,
    counted       INTEGER NOT NULL,
    message       TEXT,
    verdict_json  TEXT,
    ran_ms        INTEGER NOT NULL,
    delay_ms      INTEGER NOT NULL,
    result_json   TEXT,
    outputs_json  TEXT
);

CREATE TABLE requests (
    id           TEXT PRIMARY KEY,
    job          TEXT NOT NULL,
    answer_json  TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY,
    job        TEXT NOT NULL,
    store      TEXT NOT NULL,
    item_json  TEXT NOT NULL
);

CREATE TABLE workers (
    worker        TEXT PRIMARY KEY,
    incarnation   INTEGER NOT NULL,
    pool          TEXT NOT NULL,
    slots         INTEGER NOT NULL,
    version       TEXT NOT NULL,
    engines_json  TEXT NOT NULL,
    memory_bytes  INTEGER NOT NULL,
    draining      INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE models (
    name        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    job         TEXT NOT NULL,
    run         INTEGER NOT NULL,
    package     TEXT NOT NULL,
    sha256      TEXT NOT NULL,
    created_ms  INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;
";

/// Workers say when they end.
const V2: &str = "
ALTER TABLE workers ADD COLUMN has_left INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN temporary INTEGER NOT NULL DEFAULT 0;
";

/// Workers that fail whatever they get are taken out.
const V3: &str = "
ALTER TABLE workers ADD COLUMN quarantine_json TEXT;
";

/// Labels that operators give to workers.
const V4: &str = "
ALTER TABLE workers ADD COLUMN labels_json TEXT NOT NULL DEFAULT '{}';
";

/// Jobs with a deadline.
const V5: &str = "
ALTER TABLE job_progress ADD COLUMN limit_json TEXT;
";

/// Versions of a model are counted by each store.
const V6: &str = "
CREATE TABLE models_by_package (
    name        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    job         TEXT NOT NULL,
    run         INTEGER NOT NULL,
    package     TEXT NOT NULL,
    sha256      TEXT NOT NULL,
    created_ms  INTEGER NOT NULL,
    PRIMARY KEY (name, version, package)
) WITHOUT ROWID;
INSERT INTO models_by_package SELECT name, version, job, run, package, sha256, created_ms FROM models;
DROP TABLE models;
ALTER TABLE models_by_package RENAME TO models;
";

/// What attempts that do not count wrote is swept; databases that were restored from a backup remember it.
const V7: &str = "
ALTER TABLE attempts ADD COLUMN sweep_json TEXT;
ALTER TABLE meta ADD COLUMN restored INTEGER NOT NULL DEFAULT 0;
";

/// Workers say which kinds of tasks they know; those that never did know the first ones.
const V8: &str = "
ALTER TABLE workers ADD COLUMN kinds_json TEXT NOT NULL DEFAULT '[\"list\",\"fit\",\"score\",\"evaluate\",\"reduce\"]';
";

/// Jobs whose spans somebody looks at.
const V9: &str = "
ALTER TABLE jobs ADD COLUMN trace_json TEXT;
";

/// Workers say what they compute on; those that never did have processors only.
const V10: &str = "
ALTER TABLE workers ADD COLUMN devices_json TEXT NOT NULL DEFAULT '[\"cpu\"]';
";

/// New thresholds for jobs that have ended.
const V11: &str = "
CREATE TABLE rethresholds (
    job              TEXT PRIMARY KEY,
    thresholds_json  TEXT NOT NULL,
    under_way_json   TEXT,
    failure          TEXT
) WITHOUT ROWID;
";

/// Jobs that their user deleted.
const V12: &str = "
ALTER TABLE job_progress ADD COLUMN deletion_json TEXT;
";

/// A new threshold does not change when its job has ended.
const V13: &str = "
ALTER TABLE rethresholds ADD COLUMN ended_ms INTEGER;
";

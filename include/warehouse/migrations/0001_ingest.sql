-- The ledger of the ingest: one row a run, one a chunk, one a rejected row.
CREATE SCHEMA IF NOT EXISTS millrace_staging;

COMMENT ON SCHEMA millrace_staging IS 'Tables of runs under way. Nothing here outlives its run.';

CREATE TABLE millrace.ingest_run (
    run_id uuid PRIMARY KEY,
    dataset text NOT NULL,
    target text NOT NULL,
    airflow_run text,
    status text NOT NULL CHECK (status IN ('planned', 'done', 'failed', 'skipped')),
    reason text,
    confirms uuid,
    file text NOT NULL,
    bytes bigint NOT NULL,
    fingerprint text NOT NULL,
    dataset_fingerprint text NOT NULL,
    version timestamptz NOT NULL,
    forced boolean NOT NULL DEFAULT false,
    chunks integer NOT NULL,
    plan jsonb,
    read bigint,
    inserted bigint,
    updated bigint,
    unchanged bigint,
    superseded bigint,
    stale bigint,
    rejected bigint,
    deleted bigint,
    target_oid oid,
    written_by xid8[],
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    CHECK (
        status <> 'done'
        OR read = inserted + updated + unchanged + superseded + rejected
    )
);

COMMENT ON COLUMN millrace.ingest_run.version IS
'Logical date of the run. A row of an older version never overwrites a newer one.';
COMMENT ON COLUMN millrace.ingest_run.confirms IS
'The earlier run of the same content, when this run found it still in place and loaded nothing.';
COMMENT ON COLUMN millrace.ingest_run.superseded IS
'Rows that lost to a later row of the same key in the file, or to a newer version in the target.';
COMMENT ON COLUMN millrace.ingest_run.stale IS
'Those of superseded that lost to a newer version in the target.';
COMMENT ON COLUMN millrace.ingest_run.written_by IS
'Transactions that wrote this run''s rows: a target row with such an xmin is as this run left it.';

CREATE INDEX ingest_run_by_file ON millrace.ingest_run (target, fingerprint) WHERE status = 'done';
CREATE INDEX ingest_run_by_start ON millrace.ingest_run (dataset, started_at DESC);

CREATE TABLE millrace.ingest_chunk (
    run_id uuid NOT NULL REFERENCES millrace.ingest_run ON DELETE CASCADE,
    chunk integer NOT NULL,
    byte_offset bigint NOT NULL,
    bytes bigint NOT NULL,
    first_line bigint NOT NULL,
    read bigint NOT NULL,
    rejected bigint NOT NULL,
    written_by xid8 NOT NULL,
    seconds double precision NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, chunk)
);

CREATE TABLE millrace.ingest_key (
    run_id uuid NOT NULL REFERENCES millrace.ingest_run ON DELETE CASCADE,
    chunk integer NOT NULL,
    hashes bytea NOT NULL,
    PRIMARY KEY (run_id, chunk)
);

ALTER TABLE millrace.ingest_key ALTER COLUMN hashes SET STORAGE EXTERNAL;

COMMENT ON TABLE millrace.ingest_key IS
'64-bit hashes of the keys of runs that left rows unchanged, so that an older file that comes later knows them.';

CREATE TABLE millrace.rejected_row (
    run_id uuid NOT NULL REFERENCES millrace.ingest_run ON DELETE CASCADE,
    file text NOT NULL,
    line_number bigint NOT NULL,
    byte_offset bigint NOT NULL,
    column_name text,
    value text,
    rule text NOT NULL,
    reason text NOT NULL,
    raw text NOT NULL,
    chunk integer NOT NULL,
    PRIMARY KEY (run_id, byte_offset)
);

COMMENT ON COLUMN millrace.rejected_row.line_number IS
'Physical line of the record''s first character; 1 is the first line of the file.';

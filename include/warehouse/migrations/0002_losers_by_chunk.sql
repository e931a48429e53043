-- Repeated keys are settled when a file is planned: which records lose, and how many of them a chunk left out.
CREATE TABLE millrace.ingest_loser (
    run_id uuid NOT NULL REFERENCES millrace.ingest_run ON DELETE CASCADE,
    chunk integer NOT NULL,
    offsets bytea NOT NULL,
    first_lines bytea NOT NULL,
    PRIMARY KEY (run_id, chunk)
);

COMMENT ON TABLE millrace.ingest_loser IS
'Records that lose to another one of the same key: int64 offsets in the file, and lines where the keys stand first.';

ALTER TABLE millrace.ingest_chunk ADD COLUMN superseded bigint NOT NULL DEFAULT 0;

ALTER TABLE millrace.ingest_run
ADD COLUMN plan_seconds double precision,
ADD COLUMN merge_seconds double precision;

COMMENT ON COLUMN millrace.ingest_run.plan_seconds IS
'Wall time of the plan, from its first look at the file; without the scan that proves a forced run.';

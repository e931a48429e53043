-- What a target is known to hold, by version: facts that outlive the runs which found them.
CREATE TABLE millrace.ingest_target (
    target text PRIMARY KEY,
    secret bytea NOT NULL
);

COMMENT ON TABLE millrace.ingest_target IS
'A secret of each target, which seeds the hashes of its keys.';

CREATE TABLE millrace.held_version (
    target_oid oid PRIMARY KEY,
    target text NOT NULL,
    newest timestamptz NOT NULL
);

COMMENT ON TABLE millrace.held_version IS
'The greatest version of any run that completed on a table. Clearing that run does not take it back.';

CREATE TABLE millrace.held_key (
    target_oid oid NOT NULL REFERENCES millrace.held_version ON UPDATE CASCADE ON DELETE CASCADE,
    version timestamptz NOT NULL,
    part integer NOT NULL,
    key_shape text NOT NULL,
    hashes bytea NOT NULL,
    PRIMARY KEY (target_oid, version, part)
);

ALTER TABLE millrace.held_key ALTER COLUMN hashes SET STORAGE EXTERNAL;

COMMENT ON TABLE millrace.held_key IS
'Keys that a file of this version held in rows that it left as they were: keys of 8 bytes, or keyed hashes of 16.';

CREATE TABLE millrace.appended_file (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid NOT NULL,
    target_oid oid NOT NULL REFERENCES millrace.held_version ON UPDATE CASCADE ON DELETE CASCADE,
    file text NOT NULL,
    fingerprint text NOT NULL,
    dataset_fingerprint text NOT NULL,
    target_shape text NOT NULL,
    inserted bigint NOT NULL,
    written_by xid8[] NOT NULL
);

CREATE INDEX appended_file_by_content ON millrace.appended_file (target_oid, fingerprint);
CREATE INDEX appended_file_by_run ON millrace.appended_file (run_id);

COMMENT ON TABLE millrace.appended_file IS
'What runs in mode append have added to a table, also runs that were cleared and forced since.';

CREATE TABLE millrace.ingest_stamp (
    run_id uuid PRIMARY KEY REFERENCES millrace.ingest_run ON DELETE CASCADE
);

COMMENT ON TABLE millrace.ingest_stamp IS
'Written by the transaction that merged a run, and by no other: restored from a dump, it is another''s (its xmin tells).';

INSERT INTO millrace.held_version
SELECT
    target_oid,
    min(target),
    max(version)
FROM millrace.ingest_run
WHERE status IN ('done', 'skipped') AND target_oid IS NOT NULL
GROUP BY target_oid;

-- Hashes of 64 bits can't decide any more. Their shape fits none, so a file older than they are is refused.
INSERT INTO millrace.held_key
SELECT
    r.target_oid,
    r.version,
    row_number() OVER (PARTITION BY r.target_oid, r.version ORDER BY r.run_id, k.chunk),
    'unknown',
    ''::bytea
FROM millrace.ingest_key AS k
INNER JOIN millrace.ingest_run AS r USING (run_id)
WHERE r.target_oid IS NOT NULL;

DROP TABLE millrace.ingest_key;

UPDATE millrace.ingest_run AS r
SET target_oid = earlier.target_oid
FROM millrace.ingest_run AS earlier
WHERE r.target_oid IS NULL AND earlier.run_id = r.confirms;

-- A file is compared with the last one: a record that both hold needs no load while its row is untouched.
ALTER TABLE millrace.ingest_run
ADD COLUMN target_rows bigint,
ADD COLUMN target_shape text,
ADD COLUMN seen pg_snapshot;

COMMENT ON COLUMN millrace.ingest_run.target_rows IS
'Rows of the target when the run ended; null where the next run could not build on it.';
COMMENT ON COLUMN millrace.ingest_run.target_shape IS
'A digest of the target''s columns when the run ended: one that was dropped and added anew has lost its values.';
COMMENT ON COLUMN millrace.ingest_run.seen IS
'What was committed when the run ended. A target row of a later transaction was touched since.';

ALTER TABLE millrace.ingest_chunk ADD COLUMN known bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN millrace.ingest_chunk.known IS
'Records that stand unchanged in the last file and were not loaded: part of the run''s unchanged rows.';

-- A run is in the ledger from its first look for its file on: waiting, before it is planned.
ALTER TABLE millrace.ingest_run
DROP CONSTRAINT ingest_run_status_check,
ADD CONSTRAINT ingest_run_status_check CHECK (status IN ('waiting', 'planned', 'done', 'failed', 'skipped')),
ALTER COLUMN bytes DROP NOT NULL,
ALTER COLUMN fingerprint DROP NOT NULL,
ALTER COLUMN dataset_fingerprint DROP NOT NULL,
ALTER COLUMN chunks DROP NOT NULL,
ADD CONSTRAINT ingest_run_seen_check CHECK (
    status IN ('waiting', 'failed')
    OR num_nulls(bytes, fingerprint, dataset_fingerprint, chunks) = 0
),
ADD COLUMN earlier jsonb;

COMMENT ON COLUMN millrace.ingest_run.status IS
'waiting (for its file, or while that is looked at), planned, then done, skipped or failed.';
COMMENT ON COLUMN millrace.ingest_run.file IS
'Path or URL that the run takes or waits for; the dataset''s source as it stands, where that could not be filled in.';
COMMENT ON COLUMN millrace.ingest_run.reason IS
'Why the run failed or was skipped, or what is odd about one that is done.';
COMMENT ON COLUMN millrace.ingest_run.version IS
'Start of the data interval of the run''s logical date. A row of an older version never overwrites a newer one.';
COMMENT ON COLUMN millrace.ingest_run.earlier IS
'What an attempt came to that was done or skipped before the run was cleared and now waits or has failed.';

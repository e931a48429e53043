-- What Prometheus asks for every few seconds is looked up, however long the ledger is.
ALTER TABLE millrace.ingest_run ADD COLUMN mistyped boolean NOT NULL DEFAULT FALSE;

COMMENT ON COLUMN millrace.ingest_run.mistyped IS
'Whether it failed as the path that a person gave is not there, or may not be read: no fault of the dataset.';

CREATE INDEX ingest_run_good ON millrace.ingest_run (dataset, finished_at)
WHERE status IN ('done', 'skipped') AND replay_of IS NULL;
CREATE INDEX ingest_run_good_version ON millrace.ingest_run (dataset, version)
WHERE status IN ('done', 'skipped') AND replay_of IS NULL;
CREATE INDEX ingest_run_failed ON millrace.ingest_run (dataset, finished_at)
WHERE status = 'failed' AND replay_of IS NULL AND NOT mistyped;
CREATE INDEX ingest_run_finished ON millrace.ingest_run (finished_at);

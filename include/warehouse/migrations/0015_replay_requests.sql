-- Replays are asked for on the page Ingest: what somebody asked for, before a task does it.
CREATE TABLE millrace.replay_request (
    id uuid PRIMARY KEY,
    dataset text NOT NULL,
    run_id uuid,
    ids bigint[],
    rule text,
    column_name text,
    corrected boolean NOT NULL,
    last_id bigint NOT NULL,
    who text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    began_at timestamptz,
    finished_at timestamptz,
    reason text,
    CHECK (reason IS NULL OR finished_at IS NOT NULL)
);

CREATE INDEX replay_request_newest ON millrace.replay_request (dataset, asked_at DESC, id DESC);

COMMENT ON TABLE millrace.replay_request IS
'Replays that were asked for on the page Ingest. Each is a run of the DAG replay_rejected, and a run of the ledger for
each run whose rows it replays.';
COMMENT ON COLUMN millrace.replay_request.id IS 'Whoever asks makes it up, so that to ask twice is to ask once.';
COMMENT ON COLUMN millrace.replay_request.run_id IS 'The run whose rows are meant; null for all runs of the dataset.';
COMMENT ON COLUMN millrace.replay_request.ids IS 'The rows that are meant; null for all.';
COMMENT ON COLUMN millrace.replay_request.rule IS 'The rule that they broke; null for any.';
COMMENT ON COLUMN millrace.replay_request.column_name IS
'The column that is at fault; empty where the whole record is; null for any.';
COMMENT ON COLUMN millrace.replay_request.corrected IS 'Whether only rows are meant that somebody has corrected.';
COMMENT ON COLUMN millrace.replay_request.last_id IS
'The newest rejected row when it was asked for: later ones are not meant.';
COMMENT ON COLUMN millrace.replay_request.who IS 'The name of the user in Airflow.';
COMMENT ON COLUMN millrace.replay_request.began_at IS 'When a task took it up.';
COMMENT ON COLUMN millrace.replay_request.finished_at IS 'When it was done, or given up.';
COMMENT ON COLUMN millrace.replay_request.reason IS 'Why it failed, as a whole or for one of the runs.';

ALTER TABLE millrace.ingest_run ADD COLUMN replay_request uuid;
COMMENT ON COLUMN millrace.ingest_run.replay_request IS
'Of a replay that was asked for on the page Ingest: which one.';
CREATE INDEX ingest_run_by_request ON millrace.ingest_run (replay_request) WHERE replay_request IS NOT NULL;

ALTER TABLE millrace.rejected_row_change
DROP CONSTRAINT rejected_row_change_action_check,
ADD CHECK (action IN ('corrected', 'restored', 'dismissed', 'reopened'));
COMMENT ON TABLE millrace.rejected_row_change IS
'Who corrected, restored, dismissed or reopened a rejected row, and when. Goes with its row.';
COMMENT ON COLUMN millrace.rejected_row_change.before IS 'The record before a correction, or before it was taken back.';

-- Counts by rule, column and state, and a page of any of these, are ranges of this index.
DROP INDEX millrace.rejected_row_by_column;
CREATE INDEX rejected_row_by_column ON millrace.rejected_row (run_id, rule, column_name, state, (id + 0));
-- Those that somebody has corrected and nobody has replayed yet: few of a million.
CREATE INDEX rejected_row_corrected ON millrace.rejected_row (run_id, (id + 0))
WHERE state = 'open' AND corrected IS NOT NULL;

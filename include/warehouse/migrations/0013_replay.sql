-- Rejected rows can be corrected and replayed: each has an id, a state, and what it takes to have its bytes again.
ALTER TABLE millrace.ingest_run
ADD COLUMN replay_of uuid,
ADD COLUMN asked_by text;

COMMENT ON COLUMN millrace.ingest_run.replay_of IS
'The run whose rejected rows this run replays; null for a run of files.';
COMMENT ON COLUMN millrace.ingest_run.asked_by IS 'Who asked for the replay.';

CREATE INDEX ingest_run_newest ON millrace.ingest_run (started_at DESC, run_id DESC);
CREATE INDEX ingest_run_replays ON millrace.ingest_run (replay_of) WHERE replay_of IS NOT NULL;

ALTER TABLE millrace.rejected_row
ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY,
ADD COLUMN state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'dismissed')),
ADD COLUMN record bytea,
ADD COLUMN whole boolean,
ADD COLUMN corrected text,
ADD COLUMN corrected_record bytea,
ADD COLUMN edited boolean NOT NULL DEFAULT FALSE,
ADD COLUMN replay_run uuid,
ADD COLUMN earlier bigint,
ADD CHECK ((corrected IS NULL) = (corrected_record IS NULL)),
ADD CHECK ((state = 'replayed') = (replay_run IS NOT NULL));

CREATE UNIQUE INDEX rejected_row_by_id ON millrace.rejected_row (id);
-- A page of any choice of run, rule and state is the first entries of some ranges of these two. They are of id + 0: for
-- an order by id alone the planner would take the index above, and pass over all rows of other runs.
CREATE INDEX rejected_row_by_state ON millrace.rejected_row (run_id, state, (id + 0));
CREATE INDEX rejected_row_by_rule ON millrace.rejected_row (run_id, rule, state, (id + 0));

COMMENT ON COLUMN millrace.rejected_row.raw IS
'The record in the file''s own encoding, as far as 65,536 characters; bytes that are no text there as \xNN.';
COMMENT ON COLUMN millrace.rejected_row.id IS 'Names the row; they ascend in the order in which rows were rejected.';
COMMENT ON COLUMN millrace.rejected_row.state IS
'open; replayed (by replay_run, which may have rejected it again); or dismissed.';
COMMENT ON COLUMN millrace.rejected_row.record IS 'The record''s bytes, where raw does not give them.';
COMMENT ON COLUMN millrace.rejected_row.whole IS
'False where raw is only the beginning; null where a version before 0013 wrote the row and it is not known.';
COMMENT ON COLUMN millrace.rejected_row.corrected IS 'The record as somebody corrected it; null where nobody has.';
COMMENT ON COLUMN millrace.rejected_row.corrected_record IS 'The bytes of corrected.';
COMMENT ON COLUMN millrace.rejected_row.edited IS
'Whether somebody has edited the record: this one, or the earlier one that it comes from.';
COMMENT ON COLUMN millrace.rejected_row.replay_run IS 'The run that replayed the row.';
COMMENT ON COLUMN millrace.rejected_row.earlier IS
'Id of the row of which this is the replay, rejected again.';

CREATE TABLE millrace.rejected_row_change (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rejected_id bigint NOT NULL REFERENCES millrace.rejected_row (id) ON DELETE CASCADE,
    action text NOT NULL CHECK (action IN ('corrected', 'dismissed', 'reopened')),
    who text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    before text,
    after text,
    why text
);

CREATE INDEX rejected_row_change_by_row ON millrace.rejected_row_change (rejected_id, number);

COMMENT ON TABLE millrace.rejected_row_change IS
'Who corrected, dismissed or reopened a rejected row, and when. Goes with its row.';
COMMENT ON COLUMN millrace.rejected_row_change.who IS 'The name that they were known by.';
COMMENT ON COLUMN millrace.rejected_row_change.before IS 'The record before a correction.';
COMMENT ON COLUMN millrace.rejected_row_change.after IS 'The record after it.';
COMMENT ON COLUMN millrace.rejected_row_change.why IS 'Why the row was dismissed or reopened.';

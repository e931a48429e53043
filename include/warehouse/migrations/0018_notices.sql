-- What somebody was told, so that each is told once.
CREATE TABLE millrace.notice (
    subject text NOT NULL,
    destination text NOT NULL,
    event text NOT NULL CHECK (event IN ('failure', 'warning', 'late')),
    run text NOT NULL,
    told_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (subject, destination, event, run)
);

COMMENT ON TABLE millrace.notice IS
'Who was told of a failed, late or odd run. What was told of failed and late runs goes when a later run succeeds.';
COMMENT ON COLUMN millrace.notice.subject IS 'The DAG.';
COMMENT ON COLUMN millrace.notice.destination IS 'The Connection, or class and arguments of a notifier.';
COMMENT ON COLUMN millrace.notice.run IS 'The run of Airflow.';

-- Memory audit over many hosts: orders for profiles, what each task took, and which release ran.
ALTER TABLE millrace.memory_sample
ADD COLUMN release text,
ADD COLUMN limit_bytes bigint;

COMMENT ON COLUMN millrace.memory_sample.release IS
'Which release of the project the host had at that moment; a change of it is a deploy.';

COMMENT ON COLUMN millrace.memory_sample.limit_bytes IS
'What the process could take at that moment: the chosen limit, or what its control group and its neighbours leave.';

ALTER TABLE millrace.memory_finding ADD COLUMN flagged_by text;

COMMENT ON COLUMN millrace.memory_finding.flagged_by IS
'The DAG run that raised the alert; only that run raises it again when its task is tried again.';

CREATE TABLE millrace.memory_order (
    order_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    host text NOT NULL,
    pid integer NOT NULL,
    start_ticks bigint NOT NULL,
    seconds double precision NOT NULL,
    frames integer NOT NULL,
    ordered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_at timestamptz,
    done_at timestamptz,
    fault text
);

COMMENT ON TABLE millrace.memory_order IS
'Profiles that the audit asks for; the watcher of that host takes the order, and brings the evidence.';
COMMENT ON COLUMN millrace.memory_order.fault IS 'Why there is no evidence.';

CREATE INDEX memory_order_open ON millrace.memory_order (host) WHERE taken_at IS NULL;

CREATE TABLE millrace.memory_task (
    dag_id text NOT NULL,
    run_id text NOT NULL,
    task_id text NOT NULL,
    map_index integer NOT NULL,
    try_number integer NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    start_ticks bigint NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    state text NOT NULL,
    peak_bytes bigint NOT NULL,
    retained_bytes bigint NOT NULL,
    worker_before_bytes bigint,
    worker_after_bytes bigint,
    PRIMARY KEY (dag_id, run_id, task_id, map_index, try_number)
);

COMMENT ON TABLE millrace.memory_task IS
'What a try of a task took. Host, id and start are those of the long-lived worker process that ran it.';
COMMENT ON COLUMN millrace.memory_task.peak_bytes IS 'Highest resident memory of the task process.';
COMMENT ON COLUMN millrace.memory_task.retained_bytes IS
'Anonymous memory of the task process at its end, less that at its start.';
COMMENT ON COLUMN millrace.memory_task.worker_after_bytes IS
'Memory of the worker process (anonymous and swapped) when the task ended; null where it may not be read.';

CREATE INDEX memory_task_worker ON millrace.memory_task (host, pid, start_ticks, started_at);

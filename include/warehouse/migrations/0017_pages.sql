-- What the pages Images and Memory ask for: a deletion that can be undone, the run that made a picture, and what ended.
ALTER TABLE millrace.image
ADD COLUMN deleted_at timestamptz,
ADD COLUMN deletion uuid;

COMMENT ON COLUMN millrace.image.deleted_at IS
'When it was deleted. It is shown no more, and can be restored for ten minutes; then a run removes it.';
COMMENT ON COLUMN millrace.image.deletion IS 'Pictures that were deleted together, and are restored together.';

CREATE INDEX image_deleted_at ON millrace.image (deleted_at) WHERE deleted_at IS NOT NULL;

ALTER TABLE millrace.image_source
ADD COLUMN airflow_run text,
ADD COLUMN map_index integer;

COMMENT ON COLUMN millrace.image_source.airflow_run IS 'The run of resize_images that claimed it last.';
COMMENT ON COLUMN millrace.image_source.map_index IS 'Which of its mapped tasks.';

CREATE TABLE millrace.memory_ended (
    host text NOT NULL,
    pid integer NOT NULL,
    start_ticks bigint NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (host, pid, start_ticks)
);

COMMENT ON TABLE millrace.memory_ended IS
'Processes that their host has no more. One that was seen after that lives: its row is passed over.';
COMMENT ON COLUMN millrace.memory_ended.ended_at IS 'When that was found.';

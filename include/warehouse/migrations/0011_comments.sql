-- What tables and columns mean, for \d+ and for docs/reference/tables.md.
COMMENT ON TABLE millrace.schema_migration IS 'Migrations that were applied.';

COMMENT ON TABLE millrace.ingest_run IS
'The ledger: a row for each run of an ingest, from its first look for its file.';
COMMENT ON COLUMN millrace.ingest_run.target IS 'schema.table that the rows go to.';
COMMENT ON COLUMN millrace.ingest_run.airflow_run IS 'DAG and run id of Airflow, as dag/run; null on the command line.';
COMMENT ON COLUMN millrace.ingest_run.bytes IS 'Size of the plain text.';
COMMENT ON COLUMN millrace.ingest_run.fingerprint IS 'Digest of the file''s content.';
COMMENT ON COLUMN millrace.ingest_run.dataset_fingerprint IS 'Digest of what in the dataset file shapes the rows.';
COMMENT ON COLUMN millrace.ingest_run.forced IS 'Whether the run was to ingest the file even if it had been before.';
COMMENT ON COLUMN millrace.ingest_run.plan IS 'What plan found, for the tasks that follow.';
COMMENT ON COLUMN millrace.ingest_run.read IS 'Records of the file.';
COMMENT ON COLUMN millrace.ingest_run.inserted IS 'Rows that are new in the target.';
COMMENT ON COLUMN millrace.ingest_run.updated IS 'Rows of the target that were changed.';
COMMENT ON COLUMN millrace.ingest_run.unchanged IS 'Rows that the target held already, and that were not written.';
COMMENT ON COLUMN millrace.ingest_run.rejected IS 'Records that are in rejected_row.';
COMMENT ON COLUMN millrace.ingest_run.deleted IS 'Rows of the target that the file does not hold, in mode replace.';
COMMENT ON COLUMN millrace.ingest_run.target_oid IS
'The table that the rows went to: one of the same name may be another.';
COMMENT ON COLUMN millrace.ingest_run.merge_seconds IS 'Wall time of the merge.';

COMMENT ON TABLE millrace.ingest_chunk IS 'A row for each chunk of a run that was loaded.';
COMMENT ON COLUMN millrace.ingest_chunk.byte_offset IS 'Where the chunk begins, in the plain text.';
COMMENT ON COLUMN millrace.ingest_chunk.first_line IS 'Line of the file on which the chunk begins.';
COMMENT ON COLUMN millrace.ingest_chunk.superseded IS 'Records that lost to a later one of the same key in the file.';
COMMENT ON COLUMN millrace.ingest_chunk.written_by IS 'The transaction that loaded it.';
COMMENT ON COLUMN millrace.ingest_chunk.seconds IS 'Wall time of the load.';

COMMENT ON TABLE millrace.rejected_row IS 'Records that could not be loaded, each with its place and the reason.';
COMMENT ON COLUMN millrace.rejected_row.file IS 'Path or URL of the file that holds the record.';
COMMENT ON COLUMN millrace.rejected_row.column_name IS 'The column at fault; null where it is the whole record.';
COMMENT ON COLUMN millrace.rejected_row.value IS 'The cell as it is in the file.';
COMMENT ON COLUMN millrace.rejected_row.rule IS
'The rule that was broken, in a word, such as type, range, min or required.';
COMMENT ON COLUMN millrace.rejected_row.reason IS 'What is wrong, in words.';
COMMENT ON COLUMN millrace.rejected_row.raw IS 'The record as it is in the file.';

COMMENT ON COLUMN millrace.held_key.version IS 'Version of the file that held the keys.';
COMMENT ON COLUMN millrace.held_key.key_shape IS
'Digest of the key''s columns and types: keys of another shape can''t be compared.';
COMMENT ON COLUMN millrace.appended_file.inserted IS 'Rows that were appended.';

COMMENT ON TABLE millrace.image IS 'A row for each upload; several may have the same bytes.';
COMMENT ON COLUMN millrace.image.digest IS 'SHA-256 of the bytes.';
COMMENT ON COLUMN millrace.image.owner IS 'Name of the user who uploaded it.';
COMMENT ON COLUMN millrace.image.callback_attempts IS 'Calls so far.';
COMMENT ON COLUMN millrace.image_source.digest IS 'SHA-256 of the bytes.';
COMMENT ON COLUMN millrace.image_source.code IS 'Why it failed, in a word.';
COMMENT ON COLUMN millrace.image_source.reason IS 'Why it failed, in words.';
COMMENT ON COLUMN millrace.image_source.placeholder IS
'A tiny picture to show until a rendition is loaded, as a data URL.';
COMMENT ON TABLE millrace.image_rendition IS 'A row for each file that was made of a source.';
COMMENT ON COLUMN millrace.image_rendition.name IS 'Name of the recipe.';
COMMENT ON COLUMN millrace.image_rendition.recipe IS 'Digest of the recipe.';
COMMENT ON COLUMN millrace.image_rendition.file IS 'Name of the file in the store.';
COMMENT ON COLUMN millrace.image_rendition.sha256 IS 'Of the file.';
COMMENT ON TABLE millrace.image_swept IS
'Files of folders that were taken in, so that one that is still the same is not read again.';

COMMENT ON COLUMN millrace.memory_sample.role IS 'What the process is, such as scheduler or worker.';
COMMENT ON COLUMN millrace.memory_sample.unique_bytes IS
'Memory that no other process shares; null where it may not be read.';
COMMENT ON COLUMN millrace.memory_sample.proportional_bytes IS
'Shared pages counted by their share; null where it may not be read.';
COMMENT ON COLUMN millrace.memory_finding.verdict IS 'leaking, growing (watch), steady, warming up or not enough data.';
COMMENT ON COLUMN millrace.memory_finding.kind IS 'What grows, such as Python objects or native memory.';
COMMENT ON COLUMN millrace.memory_finding.why IS 'The verdict in words.';
COMMENT ON COLUMN millrace.memory_finding.hours_left IS 'Until the limit is reached at this rate.';
COMMENT ON COLUMN millrace.memory_finding.suspect IS 'Whether it is to be profiled.';
COMMENT ON COLUMN millrace.memory_order.seconds IS 'Window of tracing.';
COMMENT ON COLUMN millrace.memory_order.frames IS 'Frames of a traceback.';
COMMENT ON COLUMN millrace.memory_order.taken_at IS 'When a watcher took it.';
COMMENT ON COLUMN millrace.memory_task.state IS 'Airflow''s: success, failed, skipped, up_for_retry.';
COMMENT ON COLUMN millrace.memory_task.host IS 'Machine of the worker: the long-lived process that forked the task''s.';
COMMENT ON COLUMN millrace.memory_task.worker_before_bytes IS
'Memory of the worker process (anonymous and swapped) when the task began; null where it may not be read.';

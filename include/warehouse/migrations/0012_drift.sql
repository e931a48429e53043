-- What each run's file said of its columns, and the columns that runs added to their targets.
ALTER TABLE millrace.ingest_run
ADD COLUMN header text[],
ADD COLUMN unknown_columns text[],
ADD COLUMN unknown_policy text,
ADD COLUMN missing_columns text[],
ADD COLUMN renamed_columns jsonb,
ADD COLUMN columns_come text[],
ADD COLUMN columns_gone text[],
ADD COLUMN added_columns text[];

COMMENT ON COLUMN millrace.ingest_run.header IS
'Names of the file''s columns, in order; null where it has no header, or was not read yet.';
COMMENT ON COLUMN millrace.ingest_run.unknown_columns IS 'Columns of the file that the dataset does not name.';
COMMENT ON COLUMN millrace.ingest_run.unknown_policy IS
'What became of unknown columns: ignore, warn, add or rescue, as the dataset''s unknown_columns was then.';
COMMENT ON COLUMN millrace.ingest_run.missing_columns IS
'Columns of the dataset that the file lacks: null in its rows, or their default.';
COMMENT ON COLUMN millrace.ingest_run.renamed_columns IS
'Columns that the file holds under another than the first name of their source, each with that name.';
COMMENT ON COLUMN millrace.ingest_run.columns_come IS
'Columns of the file that the file of the dataset''s last done run lacked; null where there is none to compare with.';
COMMENT ON COLUMN millrace.ingest_run.columns_gone IS
'Columns that the file of the dataset''s last done run held and this one lacks; null as for columns_come.';
COMMENT ON COLUMN millrace.ingest_run.added_columns IS 'Columns that the run added to the target.';

CREATE TABLE millrace.added_column (
    target text NOT NULL,
    dataset text NOT NULL,
    column_name text NOT NULL,
    header_name text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (target, dataset, column_name)
);

COMMENT ON TABLE millrace.added_column IS
'Columns of targets that unknown_columns: add has brought: the next file may fill them, or leaves them null.';
COMMENT ON COLUMN millrace.added_column.target IS 'schema.table that has the column.';
COMMENT ON COLUMN millrace.added_column.dataset IS 'The dataset whose file brought it.';
COMMENT ON COLUMN millrace.added_column.column_name IS 'Its name in the table.';
COMMENT ON COLUMN millrace.added_column.header_name IS 'Its name in the file.';
COMMENT ON COLUMN millrace.added_column.added_at IS 'When the run that brought it merged.';

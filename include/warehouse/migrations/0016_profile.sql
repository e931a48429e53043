-- What a file's columns held, by a sample of its records.
CREATE TABLE millrace.ingest_profile (
    run_id uuid NOT NULL REFERENCES millrace.ingest_run ON DELETE CASCADE,
    chunk integer NOT NULL CHECK (chunk >= -1),
    records bigint NOT NULL,
    sampled bigint NOT NULL,
    good bigint NOT NULL,
    columns jsonb NOT NULL,
    PRIMARY KEY (run_id, chunk)
);

COMMENT ON TABLE millrace.ingest_profile IS
'What the columns of a run''s file held, by a random sample of all its records, also of those that needed no load.'
' A row for each chunk until the run is done, then one.';
COMMENT ON COLUMN millrace.ingest_profile.chunk IS 'The chunk; -1: the whole file.';
COMMENT ON COLUMN millrace.ingest_profile.records IS 'Records of the chunk, or of the file.';
COMMENT ON COLUMN millrace.ingest_profile.sampled IS
'How many of them were looked at; where these are all, the figures are exact.';
COMMENT ON COLUMN millrace.ingest_profile.good IS
'How many of those pass the dataset''s checks: the figures are of these, before a clean hook.';
COMMENT ON COLUMN millrace.ingest_profile.columns IS
'Of each column that the file holds: name, type, null_share (0 to 1), distinct (at least so many different values),'
' values (rows by value, estimated for the file; null where there are over 50, or they do not repeat), least and'
' greatest.';

-- What the page Ingest asks for.
-- By rule and column within a run: to count a million rejected rows takes this index alone.
CREATE INDEX rejected_row_by_column ON millrace.rejected_row (run_id, rule, column_name);
-- From a run of Airflow to the ledger's.
CREATE INDEX ingest_run_by_airflow_run ON millrace.ingest_run (airflow_run);
-- What waits or loads now, of which there are few.
CREATE INDEX ingest_run_open ON millrace.ingest_run (dataset, started_at) WHERE status IN ('waiting', 'planned');

-- How far the chunks are that a run loads now. A session that loads one names itself `millrace <run> <chunk> <bytes>`,
-- which is seen before its transaction ends. It runs with the rights of the owner, whose sessions they are: the role
-- `pages` may not see what other roles do.
CREATE FUNCTION millrace.loading_chunk(run uuid)
RETURNS TABLE (chunk integer, loaded_bytes bigint, began_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog
AS $$
    SELECT split_part(application_name, ' ', 3)::integer, split_part(application_name, ' ', 4)::bigint, xact_start
    FROM pg_stat_activity
    WHERE datname = current_database() AND xact_start IS NOT NULL
        AND application_name ~ ('^millrace ' || replace(run::text, '-', '') || ' \d{1,9} \d{1,15}$')
$$;
COMMENT ON FUNCTION millrace.loading_chunk IS
'Chunks that a run loads now: bytes of each that are read, and since when.';

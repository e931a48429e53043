#!/bin/sh
# Runs once, when the container of docker-compose.yaml makes its data folder: what stack/databases.py does locally.
set -eu

psql -v ON_ERROR_STOP=1 -v airflow="$AIRFLOW_DB_PASSWORD" -v ingest="$WAREHOUSE_PASSWORD" \
    --username postgres --dbname postgres <<'SQL'
CREATE ROLE airflow LOGIN PASSWORD :'airflow';
CREATE ROLE ingest LOGIN PASSWORD :'ingest';
CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE warehouse OWNER ingest;
REVOKE ALL ON DATABASE airflow, warehouse, postgres, template1 FROM PUBLIC;
SQL

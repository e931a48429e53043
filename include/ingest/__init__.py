"""Ingest: a large CSV file upserted into PostgreSQL in parallel chunks. Start reading at `run.py`."""

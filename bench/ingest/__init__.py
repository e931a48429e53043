"""The benchmark of the ingest."""

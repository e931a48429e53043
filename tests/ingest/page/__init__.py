"""The page Ingest and its interface."""

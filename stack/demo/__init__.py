"""`./run demo`: a file through the ingest, some pictures, and two workers of which one leaks."""

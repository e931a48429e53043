"""`./run fuzz`: the ingest judged by what is not ours.

PostgreSQL's COPY judges `files`, PostgreSQL's casts judge `values`, and a model of a table, which shares no code with
the ingest, judges `sequences` of runs among other writers.
"""

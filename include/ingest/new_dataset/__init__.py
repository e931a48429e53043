"""From an unknown file to a dataset, in one go: what the DAG `ingest_file` does, without Airflow.

`draft` says what the file would become, `creation` refuses or makes it, `told` has the words for log and note.
"""

"""Turns a wrong dataset file into a DAG import error that names its file, line and field.

It defines no DAG for Airflow. It stands apart from `ingest_csv.py`, so that one wrong dataset file does not take the
DAGs of the others with it.
"""

from __future__ import annotations

from include.ingest.dataset.places import read_datasets
from include.ingest.errors import DatasetError

_, faults = read_datasets()
if faults:
    raise DatasetError("\n".join(str(fault) for fault in faults))

"""Everything Millrace does, usable without Airflow: one package a domain, and `bridge.py` to Airflow."""

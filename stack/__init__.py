"""The local stack: one supervisor that runs PostgreSQL and Airflow on one machine. Not used in production."""

"""Celery's settings: Airflow's own, but that a worker takes no message before it has a free slot for it.

What a worker takes in advance waits behind its long tasks, also while another worker is idle; and if it dies, until
Airflow's `task_queued_timeout`.
"""

from __future__ import annotations

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG

# Who has the password of Redis can write messages and results, and the scheduler reads results: never by pickle, nor
# YAML, whatever `extra_celery_config` says.
PLAIN = {
    "accept_content": ["json"], "result_accept_content": ["json"], "task_serializer": "json",
    "result_serializer": "json", "event_serializer": "json",
}  # fmt: skip
CELERY = {**DEFAULT_CELERY_CONFIG, "worker_disable_prefetch": True, **PLAIN}

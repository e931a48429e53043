"""Celery's settings: Airflow's own, but that a worker takes no message before it has a free slot for it.

What a worker takes in advance waits behind its long tasks, also while another worker is idle; and if it dies, until
Airflow's `task_queued_timeout`.
"""

from __future__ import annotations

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG

CELERY = {**DEFAULT_CELERY_CONFIG, "worker_disable_prefetch": True}

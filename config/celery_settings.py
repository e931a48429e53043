"""Celery's settings: Airflow's own, but that a worker takes no message before it has a free slot for it.

What a worker has taken in advance is lost with it until Airflow gives up the wait in the queue, ten minutes later, and
waits behind a long task while another worker is idle.
"""

from __future__ import annotations

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG

CELERY = {**DEFAULT_CELERY_CONFIG, "worker_disable_prefetch": True}

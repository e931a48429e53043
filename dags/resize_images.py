"""### Make the renditions of uploaded images

An upload only stores the file and a row; this DAG does the work. It is woken within a second of an upload (an asset
watcher listens to PostgreSQL), once for many uploads, and sweeps the folder `images/` of the inbox once a day.

| task | what it does |
| --- | --- |
| `claim` | takes in the folder of the form, or on a daily run the inbox; shares what waits among the tasks to come; removes what was deleted over ten minutes ago, and on a daily run what dead processes left |
| `resize` | one mapped task a batch: in a child process with limits, all renditions of one decode; continues with what comes in meanwhile |
| `account` | calls back who asked for it, counts done, failed and waiting |

**Rerun:** always safe. What is done is not done twice; what a dead task had claimed is claimed again within minutes.

**By hand:** the trigger form takes a folder or a URL as `s3://connection@bucket/prefix`, or `everything`: make the
renditions of all stored pictures by the recipes as they are now, in `include/images/recipes.yaml`. Pictures that were
already made by them, and looked at for colours, camera and so on, are left alone.

**When a picture fails:** it fails alone. Its reason is on the page Images and in `millrace.image_source`, and it can be
tried again from there. A broken picture is not retried; one whose child process was killed is, three times.
"""  # noqa: E501

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, Param, dag, task

from include import bridge, slots
from include.bridge import clock, images, notify, reasons

uploads = Asset("images.uploads", watchers=[AssetWatcher(name="images_waiting", trigger=images.ImagesWaiting())])
resized = Asset("images.resized")


@task(priority_weight=2)
def claim() -> list[dict[str, Any]]:
    with images.warehouse() as connection:
        taken = images.take_in(connection)
        batches = images.share(connection)
    bridge.report("claimed", batches=len(batches), **taken)
    return batches


@task(map_index_template="{{ label }}")
def resize(batch: dict[str, Any]) -> dict[str, Any]:
    from include.images.recipes import load_recipes
    from include.images.work import resize_batch

    bridge.label(f"batch {batch['number']} of {batch['batches']}")
    with images.warehouse() as connection:
        counts = resize_batch(connection, images.store(), load_recipes(), UUID(batch["id"]),
                              lanes_free=batch["batches"] < images.lanes(),
                              task=images.task(batch["number"]))  # fmt: skip
    bridge.report("resized", batch=batch["id"], **counts)
    return counts


@task(trigger_rule="none_failed", outlets=[resized], priority_weight=3)
def account() -> dict[str, int]:
    from include.images import callbacks, inbox

    with images.warehouse() as connection:
        called = callbacks.deliver(connection, images.callbacks(), images.base_url())
        counts = inbox.counts(connection)
        inbox.ring(connection)
    bridge.report("account", **counts, **{f"callbacks_{name}": number for name, number in called.items()})
    bridge.publish(resized, counts)
    notify.well()
    return counts


@dag(
    description="Renditions of uploaded images",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("30 2 * * *", timezone="UTC"), assets=[uploads]),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=2,  # a run whose worker is gone does not hold up the next one until Airflow notices
    tags=["images"],
    default_args={
        **slots.place("images"),
        "on_retry_callback": clock.say_if_ahead,
        "on_failure_callback": [reasons.say, notify.on_failure()],
        "retry_policy": reasons.NoRetry(),
        "owner": "data",
        "retries": 3,
        "retry_delay": timedelta(seconds=5),
        "execution_timeout": timedelta(minutes=30),
    },
    params={
        "path": Param(None, type=["null", "string"], title="Folder",
                      description="Folder of pictures to import, or s3://connection@bucket/prefix. Empty: none"),
        "everything": Param(False, type=["null", "boolean"], title="Everything",
                            description="Also render again all stored pictures that were not rendered as they are now"),
    },
    is_paused_upon_creation=False,
)  # fmt: skip
def resize_images() -> None:
    resize.expand(batch=claim()) >> account()


resize_images()

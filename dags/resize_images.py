"""### Make the renditions of uploaded images

An upload only stores the file and a row; this DAG does the work. It is woken within a second of an upload (an asset
watcher listens to PostgreSQL), once for many uploads, and sweeps the inbox folder `images/` once a day.

| task | what it does |
| --- | --- |
| `take_in` | takes in the folder of the form, or on a daily run the inbox; marks stored pictures for new recipes |
| `claim` | takes what waits, the oldest first, in batches |
| `resize` | one mapped task a batch: each picture in a child process with limits, all renditions of one decode |
| `account` | counts done, failed and waiting |

**Rerun:** always safe. What is done is not done twice; what a dead task had claimed is claimed again.

**By hand:** the trigger form takes a folder, or `everything`: make the renditions of all stored pictures by the recipes
as they are now, in `include/images/recipes.yaml`. Pictures that were made by them already are left alone.

**When a picture fails:** it fails alone. Its reason is on the page Images and in `millrace.image_source`, and it can be
tried again from there. A broken picture is not retried; one whose child process was killed is, three times.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, AssetWatcher, Param, dag, get_current_context, task
from airflow.sdk.definitions.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.trigger import CronTriggerTimetable

from include import bridge
from include.bridge import images

uploads = Asset("images.uploads", watchers=[AssetWatcher(name="images_waiting", trigger=images.ImagesWaiting())])
done = Asset("images.done")


@task
def take_in() -> dict[str, int]:
    from pathlib import Path

    from include.images import inbox, sweep
    from include.images.recipes import load_recipes

    context: dict[str, Any] = dict(get_current_context())
    params = context["params"]
    folder = Path(params["path"]) if params["path"] else images.inbox()
    with images.warehouse() as connection:
        counts = sweep.sweep(connection, images.store(), folder, owner="sweep") if folder.is_dir() else {}
        if params["everything"]:
            counts["remade"] = inbox.remake(connection, load_recipes().identity)
    bridge.report("taken", folder=folder, **counts)
    return counts


@task
def claim() -> list[str]:
    from include.images import inbox

    with images.warehouse() as connection:
        batches = [str(batch) for batch in inbox.claim(connection)]
    bridge.report("claimed", batches=len(batches))
    return batches


@task(max_active_tis_per_dag=2)
def resize(batch: str) -> dict[str, Any]:
    from uuid import UUID

    from include.images.recipes import load_recipes
    from include.images.work import resize_batch

    with images.warehouse() as connection:
        counts = resize_batch(connection, images.store(), load_recipes(), UUID(batch))
    bridge.report("resized", batch=batch, **counts)
    return counts


@task(trigger_rule="all_done", outlets=[done])
def account() -> dict[str, int]:
    from include.images import inbox

    with images.warehouse() as connection:
        counts = inbox.counts(connection)
    bridge.report("account", **counts)
    bridge.publish(done, counts)
    return counts


@dag(
    description="Renditions of uploaded images",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("30 2 * * *", timezone="UTC"), assets=[uploads]),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["images"],
    default_args={
        "owner": "data",
        "retries": 3,
        "retry_delay": timedelta(seconds=5),
        "execution_timeout": timedelta(minutes=30),
    },
    params={
        "path": Param(None, type=["null", "string"], title="Folder",
                      description="Folder of pictures to take in. Empty: the inbox"),
        "everything": Param(False, type="boolean", title="Everything",
                            description="Also make all stored pictures anew whose recipes have changed"),
    },
    is_paused_upon_creation=False,
)  # fmt: skip
def resize_images() -> None:
    batches = claim()
    take_in() >> batches
    resize.expand(batch=batches) >> account()


resize_images()

"""Images on a real Airflow: from upload to renditions, who may do what, and that nothing answered 202 is lost."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import psutil
import psycopg
import pytest

from stack.processes import Register
from tests.dags.conftest import DAILY, Airflow
from tests.images import pictures
from tests.waiting import appeared, until

DAG = "resize_images"
PHOTO = pictures.encoded(pictures.photo(1600, 1200))
ID = "00000000-0000-4000-8000-000000000000"
ROUTES = [
    ("POST", "/images"), ("POST", "/upload"), ("GET", "/images"), ("GET", "/counts"), ("GET", f"/images/{ID}"),
    ("GET", f"/images/{ID}/large.jpg"), ("DELETE", f"/images/{ID}"), ("POST", f"/images/{ID}/retry"),
    ("GET", "/openapi.json"), ("GET", "/docs"), ("GET", "/images.html"), ("GET", "/images.js"), ("GET", "/images.css"),
]  # fmt: skip


@dataclass
class Images:
    """The interface on the API server, as `admin`."""

    airflow: Airflow
    http: httpx.Client
    token: str

    def client(self, **headers: str) -> httpx.Client:
        """Another client, with these headers only."""
        return httpx.Client(base_url=self.http.base_url, headers=headers, timeout=60, trust_env=False)

    def token_of(self, name: str, role: str | None) -> str:
        """A token as the login would give it to a user of that role."""
        claims = jwt.decode(self.token, options={"verify_signature": False})
        return jwt.encode({**claims, "sub": name, "role": role}, self.airflow.settings.secrets.jwt, algorithm="HS512")

    def upload(self, data: bytes, name: str = "photo.jpg") -> str:
        """Upload a picture; returns its id."""
        answer = self.http.post("/images", content=data, headers={"X-File-Name": name})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["images"][0]["id"])

    def state(self, image: str) -> dict[str, Any]:
        return dict(self.http.get(f"/images/{image}").json())

    def _seen(self, image: str) -> str:
        """The state; none while what was killed comes up again."""
        try:
            answer = self.http.get(f"/images/{image}")
        except httpx.TransportError:
            return ""
        return str(answer.json()["state"]) if answer.status_code == 200 else ""

    def until_ended(self, ids: list[str]) -> dict[str, str]:
        """Wait until each is done or failed; their states."""
        states: dict[str, str] = {}

        def ended() -> bool:
            for image in ids:
                if states.get(image) not in ("done", "failed"):
                    states[image] = self._seen(image)
            return all(state in ("done", "failed") for state in states.values())

        until(ended, f"{len(ids)} pictures", every=0.2)
        return states


@pytest.fixture(scope="module")
def images(airflow: Airflow) -> Iterator[Images]:
    appeared(airflow.api, DAG)
    url = f"{airflow.settings.url}/millrace"
    with httpx.Client(timeout=60, trust_env=False) as plain:
        body = {"username": "admin", "password": airflow.settings.secrets.admin}
        token = plain.post(f"{airflow.settings.url}/auth/token", json=body).json()["access_token"]
    with httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
    ) as client:
        yield Images(airflow, client, token)


def test_an_upload_is_resized_without_further_ado(images: Images) -> None:
    image = images.upload(PHOTO, "holiday.jpg")
    assert images.until_ended([image]) == {image: "done"}
    found = images.state(image)
    assert (found["file_name"], found["owner"]) == ("holiday.jpg", "admin")
    assert {one["name"] for one in found["renditions"]} == {"large", "medium", "thumb"}
    root = images.airflow.settings.url
    for one in found["renditions"]:
        file = images.http.get(root + one["url"])
        assert hashlib.sha256(file.content).hexdigest() == file.headers["etag"].strip('"')

    def told() -> bool:
        events = images.airflow.api.get("assets/events", source_dag_id=DAG)["asset_events"]
        return any(event["extra"]["done"] for event in events)

    until(told, "the event")


def test_without_a_login_nothing_is_answered(images: Images) -> None:
    with images.client() as nobody, images.client(Authorization="Bearer nonsense") as liar:
        for method, path in ROUTES:
            assert nobody.request(method, path, content=PHOTO).status_code == 401, (method, path)
            assert liar.request(method, path, content=PHOTO).status_code in (401, 403), (method, path)


@pytest.mark.parametrize("how", ["Authorization", "Cookie"])
def test_who_may_only_see_can_not_change(images: Images, how: str) -> None:
    def headers(role: str | None) -> dict[str, str]:
        token = images.token_of("eve", role)
        site = {"Origin": images.airflow.settings.url}
        return {how: f"Bearer {token}" if how == "Authorization" else f"_token={token}", **site}

    with images.client(**headers("viewer")) as viewer, images.client(**headers(None)) as stranger:
        for method, path in ROUTES:
            seen = viewer.request(method, path, content=PHOTO).status_code
            assert (seen == 403) == (method != "GET"), (method, path, seen)
            assert stranger.request(method, path, content=PHOTO).status_code == 403, (method, path)
    with images.client(**headers("user")) as user:
        answer = user.post("/upload", content=PHOTO)
        assert answer.status_code == 202
        image = answer.json()["images"][0]["id"]
        assert images.state(image)["owner"] == "eve"
        assert user.delete(f"/images/{image}").status_code == 204


def test_another_site_can_not_use_the_cookie(images: Images) -> None:
    with images.client(Cookie=f"_token={images.token}", Origin="https://evil.example") as evil:
        form = evil.post("/upload", files={"f": ("a.jpg", PHOTO, "image/jpeg")})
        assert form.status_code == 403
        assert "another site" in form.json()["detail"]


def test_a_folder_by_the_form(images: Images, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = images.airflow.folder / "pictures"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(pictures.encoded(pictures.photo(300, 200, number + 50), "PNG"))
    (folder / "notes.txt").write_text("no picture")
    run = images.airflow.trigger(DAG, path=str(folder))
    assert images.airflow.outcome(DAG, run) == "success"
    listed = images.http.get("/images", params={"limit": 10}).json()["images"]
    swept = [image for image in listed if image["owner"] == "sweep" and image["file_name"] != DAILY]
    assert sorted(image["file_name"] for image in swept) == ["0.png", "1.png", "2.png"]
    assert set(images.until_ended([image["id"] for image in swept]).values()) == {"done"}
    wrong = images.airflow.trigger(DAG, path=str(folder / "nowhere"))
    assert images.airflow.outcome(DAG, wrong) == "failed"
    assert "there is no folder" in images.airflow.said(DAG, wrong, "claim")


def test_the_daily_run_sweeps_the_inbox(images: Images) -> None:
    def ended() -> list[str]:
        runs = images.airflow.api.get(f"dags/{DAG}/dagRuns", run_type="scheduled")["dag_runs"]
        return [run["state"] for run in runs if run["state"] in ("success", "failed")]

    until(ended, "the daily run")
    assert set(ended()) == {"success"}, "two, where the tests run at half past two"
    (daily,) = [one for one in images.http.get("/images", params={"limit": 100}).json()["images"]
                if one["file_name"] == DAILY]  # fmt: skip
    assert daily["owner"] == "sweep"
    assert images.until_ended([daily["id"]]) == {daily["id"]: "done"}


def test_one_run_makes_a_changed_recipe_of_all_stored_pictures(images: Images) -> None:
    image = images.upload(pictures.encoded(pictures.photo(1400, 900, 77)))
    images.until_ended([image])

    def large() -> dict[str, Any]:
        return next(one for one in images.state(image)["renditions"] if one["url"].split("?")[0].endswith("large.jpg"))

    kept = large()["url"]
    recipes = images.airflow.folder / "include" / "images" / "recipes.yaml"
    before = recipes.read_text()
    recipes.write_text(before.replace("side: 1024", "side: 800"))
    try:
        run = images.airflow.trigger(DAG, everything=True)
        assert images.airflow.outcome(DAG, run) == "success"
        until(lambda: large()["width"] == 800, "the new rendition")
    finally:
        recipes.write_text(before)
    assert large()["url"] != kept, "what a browser keeps for ever must have another URL"
    until(lambda: images.http.get("/counts").json()["accepted"] == 0, "all others")


def kill(airflow: Airflow, name: str) -> None:
    """Kill a component; the supervisor starts it again."""
    found = Register(airflow.settings.state / "processes.json").alive(name)
    if found is not None:
        psutil.Process(found.pid).kill()


def kill_backends(airflow: Airflow) -> None:
    """End every session of the warehouse."""
    with airflow.warehouse() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.faults
@pytest.mark.parametrize("blow", [
    Airflow.kill_tasks, kill_backends, lambda airflow: kill(airflow, "api-server"),
    lambda airflow: kill(airflow, "scheduler"), lambda airflow: kill(airflow, "triggerer"),
    lambda airflow: kill(airflow, "postgres"),
], ids=["tasks", "backends", "api-server", "scheduler", "triggerer", "postgres"])  # fmt: skip
def test_what_was_answered_202_is_never_lost(images: Images, blow: Callable[[Airflow], None]) -> None:
    accepted: list[str] = []
    stop = threading.Event()

    def send(sender: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            data = PHOTO + f"{id(accepted)} {sender} {number}".encode()  # a JPEG may carry more after its end
            try:
                answer = images.http.post("/images", content=data)
            except httpx.HTTPError:
                time.sleep(0.2)
                continue
            if answer.status_code == 202:
                accepted.append(answer.json()["images"][0]["id"])
            time.sleep(0.1)

    senders = [threading.Thread(target=send, args=[number]) for number in range(2)]
    for sender in senders:
        sender.start()
    try:
        until(lambda: len(accepted) >= 8, "uploads", every=0.05)
        blow(images.airflow)
        time.sleep(2)
    finally:
        stop.set()
        for sender in senders:
            sender.join()

    def answers() -> bool:
        try:
            return images.http.get("/counts").status_code == 200
        except httpx.HTTPError:
            return False

    until(answers, "the interface to answer")
    assert set(images.until_ended(accepted).values()) == {"done"}


def test_the_store_holds_what_the_rows_say(images: Images) -> None:
    store = images.airflow.settings.images
    with psycopg.connect(images.airflow.settings.database_url("warehouse")) as connection:
        rows = connection.execute("SELECT digest, recipe, file, bytes, sha256 FROM millrace.image_rendition").fetchall()
    assert len(rows) > 20
    for digest, recipe, file, size, sha256 in rows:
        data = Path(store / "rendition" / digest[:2] / digest / recipe / file).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (size, sha256)

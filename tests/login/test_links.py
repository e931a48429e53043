"""Links and originals on the API server of the compose file, with the role that the guide has for a web app."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from include.images import inbox, work
from include.images.recipes import load_recipes
from include.images.store import FolderStore
from stack.trial import rights
from tests.docs.fences import written_in
from tests.images import pictures
from tests.login.conftest import REPOSITORY, Deployed
from tests.login.test_login import permission

pytestmark = pytest.mark.airflow
PHOTO = pictures.encoded(pictures.photo())
GUIDE = (REPOSITORY / "docs" / "how-to" / "secure.md").read_text()
ROLE = re.compile(r"A role for a program that uploads pictures has (.*?)\. ", re.DOTALL)
PASSWORD = "shows-pictures"


@pytest.fixture
def uploader(deployed: Deployed) -> Iterator[str]:
    """The name of a user whose role is that of the guide."""
    (said,) = ROLE.findall(GUIDE)
    role = {"name": "Uploader", "actions": [permission(one) for one in re.findall(r"`(can [^`]+)`", said)]}
    assert len(role["actions"]) == 4
    user = {
        "username": "uploader", "password": PASSWORD, "email": "uploader@localhost", "first_name": "An",
        "last_name": "Uploader", "roles": [{"name": "Uploader"}],
    }  # fmt: skip
    with rights.client(deployed.url, "admin", deployed.password) as admin:
        admin.post("/auth/fab/v1/roles", json=role).raise_for_status()
        admin.post("/auth/fab/v1/users", json=user).raise_for_status()
        yield "uploader"
        admin.delete("/auth/fab/v1/users/uploader").raise_for_status()
        admin.delete("/auth/fab/v1/roles/Uploader").raise_for_status()


def resize(deployed: Deployed) -> None:
    """What the DAG does, on a worker."""
    store = FolderStore(Path(deployed.api.environment["MILLRACE_IMAGES"]))
    with psycopg.connect(deployed.init.environment["AIRFLOW_CONN_WAREHOUSE"], autocommit=True) as connection:
        for batch in inbox.open_batches(connection, 1):
            assert work.resize_batch(connection, store, load_recipes(), batch)["done"] == 1


def test_a_web_app_shares_pictures_and_has_no_originals(deployed: Deployed, uploader: str) -> None:
    code: dict[str, Any] = {}
    (fence,) = (one for one in written_in("python") if one.page.endswith("use-in-a-web-app.md"))
    exec(fence.text, code)
    with code["login"](deployed.url, uploader, PASSWORD) as millrace:
        image = millrace.post("/images", content=PHOTO).raise_for_status().json()["images"][0]["id"]
        assert millrace.get(f"/images/{image}/original").status_code == 403
        resize(deployed)
        assert code["upload"](millrace, PHOTO) != image, "it has the same renditions, so it is done at once"
        html = code["shown"](millrace, image)
        (link,) = re.findall(r'src="([^"]+)"', html)
        assert link.startswith(f"{deployed.url}/millrace/shared/")
        with httpx.Client(trust_env=False, timeout=60) as anybody:
            answer = anybody.get(link)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
            assert answer.headers["access-control-allow-origin"] == "*"
            assert list(anybody.cookies.jar) == []
            for other in (link.replace("large", "none"), link[:-20], link.replace("/shared/", "/shared/x")):
                assert anybody.get(other).content == b'{"detail":"Not Found"}'
            assert anybody.get(f"{deployed.url}/millrace/images/{image}").status_code == 401
            stale = {"Cookie": "_token=stale"}
            assert anybody.get(link, headers=stale).status_code == 200, "nobody's old login is in the way"
            millrace.delete(f"/images/{image}/links").raise_for_status()
            assert anybody.get(link).status_code == 404
    with rights.client(deployed.url, "admin", deployed.password) as admin:
        assert admin.get(f"/millrace/images/{image}/original").content == PHOTO
        assert admin.delete(f"/millrace/images/{image}").status_code == 204
    log = deployed.log.read_text()
    assert "/millrace/shared/.../" in log
    assert link.split("/")[-2] not in log

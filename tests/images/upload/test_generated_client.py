"""A client that is generated from the interface's own description works."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from include.images import pages
from tests.images.test_api import PHOTO, Here


@pytest.fixture
def here(here: Here) -> Here:
    """The interface with its description."""
    here.app.include_router(pages.router(here.guards))
    return here


@pytest.fixture
def generated(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports the modules of the client."""
    (tmp_path / "openapi.json").write_text(json.dumps(httpx.get(f"{url}/openapi.json").json()))
    tool = Path(sys.executable).with_name("openapi-python-client")
    subprocess.run(
        [tool, "generate", "--path", "openapi.json", "--meta", "none", "--output-path", "generated"],
        cwd=tmp_path, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda name: import_module(f"generated.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "generated"]:
        del sys.modules[name]


def test_from_upload_to_rendition(url: str, here: Here, generated: Callable[[str], Any]) -> None:
    with generated("client").AuthenticatedClient(base_url=url, token="x") as client:
        _use(client, here, generated)


def _use(client: Any, here: Here, generated: Callable[[str], Any]) -> None:
    types, models = generated("types"), generated("models")

    def call(route: str, *arguments: Any, **options: Any) -> Any:
        return generated(f"api.images.{route}").sync(*arguments, client=client, **options)

    taken = call("upload", body=types.File(io.BytesIO(PHOTO)))
    assert [image.state for image in taken.images] == ["accepted"]
    files = [types.File(io.BytesIO(data), f"{number}.png") for number, data in enumerate((PHOTO[:-1], b"no picture"))]
    form = call("upload", body=models.UploadFilesBody(file=files, tags=["sea", "blue"], metadata='{"shoot": 42}'))
    assert ([one.file_name for one in form.images], [one.code for one in form.refused]) == (["0.png"], ["type"])
    refused = call("upload", body=types.File(io.BytesIO(b"no picture")))
    assert (type(refused).__name__, "file type" in refused.detail) == ("Refusal", True)
    elsewhere = call("fetch_image", body=models.Fetch("https://elsewhere.example/a.jpg"))
    assert "its origin is not allowed" in elsewhere.detail
    here.resize()
    image = call("get_image", taken.images[0].id)
    assert (image.state, image.source.width, image.finished_at >= image.created_at) == ("done", 900, True)
    assert [found.id for found in call("list_images", limit=1).images] == [form.images[0].id]
    assert [found.id for found in call("list_images", tag=["sea", "blue"], metadata=["shoot:42"]).images] == [
        form.images[0].id
    ]
    changed = call(
        "change_image", image.id, body=models.ChangeImageBody.from_dict({"tags": ["b"], "metadata": {"k": 1}})
    )
    assert (changed.tags, changed.metadata.to_dict()) == (["b"], {"k": 1})
    assert call("change_image", image.id, body=models.ChangeImageBody(tags=[""])).detail.startswith("tags: ")
    assert (image.facts.transparent, len(image.facts.perceptual_hash)) == (False, 16)
    call("upload", body=types.File(io.BytesIO(PHOTO)))
    (like,) = call("list_similar", image.id).images
    assert (like.source.digest, like.distance) == (image.source.digest, 0)
    assert call("list_similar", form.images[0].id).detail.endswith("only one that is done can be compared")
    counts = call("get_counts")
    assert (counts.done, counts.failed) == (1, 1)
    file = image.renditions[0].url.rpartition("/")[2].partition("?")[0]
    rendition = generated("api.images.get_rendition").sync_detailed(image.id, file, client=client)
    assert len(rendition.content) == image.renditions[0].bytes_
    assert call("retry_image", image.id).detail.endswith("only a failed image can be retried")
    gone = call("delete_image", image.id, undo=True)
    assert call("undo_deletion", gone.undo).images == 1
    assert call("get_image", UUID(int=0)).detail.startswith("there is no image")

"""Own tags and metadata: given with an upload, searched for, changed, told; refused with the field and the limit."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import psycopg
import pytest

from include.images.find.wanted import wanted
from include.images.limits import LIMITS
from tests.images.test_api import PHOTO, Here, failed

BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}


def upload(client: httpx.Client, number: int = 0, **asked: Any) -> str:
    """The id of a picture that was taken in."""
    answer = client.post("/images", content=PHOTO + bytes([number]), params=asked)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["images"][0]["id"])


def labels(client: httpx.Client, image: str) -> tuple[list[str], dict[str, Any]]:
    found = client.get(f"/images/{image}").json()
    return found["tags"], found["metadata"]


def found(client: httpx.Client, **asked: Any) -> list[str]:
    answer = client.get("/images", params=asked)
    assert answer.status_code == 200, answer.text
    return [image["id"] for image in answer.json()["images"]]


def form(*fields: tuple[str, bytes], file: bool = True) -> bytes:
    """A form of these fields, with the photo behind them."""
    parts = [f"--b\r\nContent-Disposition: form-data; name={name}\r\n\r\n".encode() + value for name, value in fields]
    if file:
        parts.append(b"--b\r\nContent-Disposition: form-data; name=f; filename=a.jpg\r\n\r\n" + PHOTO)
    return b"\r\n".join([*parts, b"--b--\r\n"])


def sent(client: httpx.Client, *fields: tuple[str, bytes], **asked: Any) -> httpx.Response:
    return client.post("/images", content=form(*fields), headers=BOUNDARY, params=asked)


def test_with_a_body(client: httpx.Client) -> None:
    image = upload(
        client, tag=["harbour", " evening ", "harbour", "e\u0301te\u0301"], metadata=["shoot:42", "at:10:30"]
    )
    assert labels(client, image) == (["harbour", "evening", "été"], {"shoot": "42", "at": "10:30"})
    assert labels(client, upload(client)) == ([], {})


def test_with_a_form(client: httpx.Client) -> None:
    fields = [
        ("tags", "früh".encode()),
        ("tags", b"a, b"),
        ("metadata", b'{"shoot": 42, "sold": false, "x": "", "f": 1.5}'),
    ]
    answer = sent(client, *fields, ("csrf", b"1"), ("tag", b"typo"), tag="query", metadata=["shoot:1", "by:ann"])
    assert answer.status_code == 202
    assert answer.json()["ignored"] == ["csrf", "tag"]
    assert labels(client, answer.json()["images"][0]["id"]) == (
        ["query", "früh", "a, b"], {"shoot": 42, "by": "ann", "sold": False, "x": "", "f": 1.5},
    )  # fmt: skip
    odd = sent(client, ("x/tags", b"a"), ("Tags", b"b"), ("tags\0", b"c"), *[(f"n{n}", b"") for n in range(30)]).json()
    assert (labels(client, odd["images"][0]["id"])[0], odd["ignored"][:3], len(odd["ignored"])) == (
        [], ["tags", "Tags", "n0"], 20,
    )  # fmt: skip
    files = [("f", ("a.jpg", PHOTO, "image/jpeg")), ("f", ("b.jpg", PHOTO[:-1], "image/jpeg"))]
    both = client.post("/images", files=files, data={"tags": ["one", "two"]}).json()
    assert "ignored" not in both
    assert [labels(client, one["id"])[0] for one in both["images"]] == [["one", "two"]] * 2


def test_the_same_bytes_have_labels_of_their_own(client: httpx.Client, here: Here) -> None:
    first, second = upload(client, tag="a"), upload(client, tag="b", metadata="k:v")
    here.resize()
    assert (labels(client, first), labels(client, second)) == ((["a"], {}), (["b"], {"k": "v"}))


def test_what_is_searched_for_has_all_of_it(client: httpx.Client) -> None:
    one = upload(client, 1, tag=["sea", "blue"], metadata=["shoot:42", "by:ann"])
    two = upload(client, 2, tag=["sea"], metadata=["shoot:43"])
    three = sent(client, ("metadata", b'{"shoot": 42, "sold": true, "by": "true"}')).json()["images"][0]["id"]
    assert found(client, tag="sea") == [two, one]
    assert found(client, tag=["sea", "blue"]) == [one]
    assert found(client, tag="Sea") == found(client, tag="se") == []
    assert found(client, metadata="shoot:42") == [three, one], "the text and the number"
    assert found(client, metadata=["shoot:42", "by:ann"]) == [one]
    assert found(client, metadata="sold:true") == [three]
    assert found(client, metadata="by:true") == [three]
    assert found(client, metadata="shoot:") == found(client, metadata="none:1") == []
    assert found(client, tag="sea", metadata="shoot:43", state="accepted", name="upl") == [two]
    page = client.get("/images", params={"tag": "sea", "limit": 1}).json()
    assert found(client, tag="sea", after=page["next"]) == [one]


def test_all_that_failed_means_those_with_the_tag(client: httpx.Client, here: Here) -> None:
    failed(client, here, river="timeout", lake="timeout")
    (river,) = found(client, name="river")
    client.patch(f"/images/{river}", json={"tags": ["wet"], "metadata": {"k": 1}})
    assert client.delete("/images", params={"state": "failed", "tag": "dry"}).json()["images"] == 0
    assert client.post("/images/retry", params={"tag": "wet", "metadata": "k:2"}).json() == {"again": 0, "left": 0}
    assert client.post("/images/retry", params={"tag": "wet", "metadata": "k:1"}).json() == {"again": 1, "left": 0}
    here.resize()
    assert client.delete("/images", params={"state": "failed", "tag": "wet"}).json()["images"] == 1
    assert len(found(client, name="lake")) == 1


def test_a_merge_patch_changes_them(client: httpx.Client) -> None:
    image = upload(client, tag=["a", "b"], metadata=["k:v", "l:w"])

    def changed(patch: Any) -> tuple[list[str], dict[str, Any]]:
        answer = client.patch(f"/images/{image}", json=patch)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["tags"], answer.json()["metadata"]) == labels(client, image)
        return labels(client, image)

    assert changed({}) == (["a", "b"], {"k": "v", "l": "w"})
    assert changed({"tags": ["c", "c"]}) == (["c"], {"k": "v", "l": "w"})
    assert changed({"metadata": {"k": 5, "l": None, "gone": None, "m": True}}) == (["c"], {"k": 5, "m": True})
    assert changed({"tags": None, "metadata": None}) == ([], {})
    assert client.patch("/images/00000000-0000-0000-0000-000000000000", json={}).status_code == 404
    client.delete(f"/images/{image}", params={"undo": True})
    assert client.patch(f"/images/{image}", json={}).status_code == 404


def test_two_changes_at_once_are_both_kept(client: httpx.Client, here: Here) -> None:
    image = upload(client)
    with psycopg.connect(here.dsn) as other:
        other.execute("UPDATE millrace.image SET metadata = '{\"first\": 1}'")
        late = threading.Thread(
            target=client.patch, args=(f"/images/{image}",), kwargs={"json": {"metadata": {"second": 2}}}
        )
        late.start()
        late.join(0.5)
        assert late.is_alive(), "it waits"
        other.commit()
        late.join()
    assert labels(client, image)[1] == {"first": 1, "second": 2}


MANY = {f"k{number}": 1 for number in range(LIMITS.metadata_keys + 1)}
BAD_METADATA = [
    (b"{", "metadata: is not JSON"), (b"", "metadata: is not JSON"), (b"[]", "metadata: must be a JSON object"),
    (b"5", "metadata: must be a JSON object"), (b"\xff", "metadata: must be in UTF-8"), (b"[" * 7000, "metadata: "),
]  # fmt: skip
BAD_OBJECTS = [
    (b'{"a": [1]}', "must be a text, a number, true or false"), (b'{"a": {}}', "must be a text"),
    (b'{"a": NaN}', "at most 30 digits"), (b'{"a": 1e400}', "at most 30 digits"),
    (b'{"a": -1' + b"0" * 40 + b"}", "at most 30 digits"), (b'{"a": 1' + b"0" * 5000 + b"}", "is not JSON"),
    (b'{"a": "\\u0000"}', "holds a NUL"), (b'{"a": "\\ud800"}', "half a surrogate"), (b'{"\\u0000": 1}', "the key"),
    (b'{"\\udfff": 1}', "the key"), (b'{"a:b": 1}', "colon"), (b'{"": 1}', "0 characters"),
    (b'{"' + b"k" * 101 + b'": 1}', "a key has 1 to 100"), (json.dumps(MANY).encode(), "keys are more than 50"),
    (json.dumps({"a": "x" * 8000}).encode(), "bytes are more than 8,000"),
]  # fmt: skip
BAD_TAGS = [
    (b"", "a tag has 1 to 100"), (b"   ", "a tag has 1 to 100"), (b"x" * 101, "101 characters; a tag has 1 to 100"),
    (b"a\0b", "control character"), (b"a\nb", "control character"), (b"\xed\xa0\x80", "UTF-8"), (b"\xff", "UTF-8"),
    ("a\u2028b".encode(), "control character"),
]  # fmt: skip


def test_a_form_with_a_bad_field_is_refused_whole(client: httpx.Client, here: Here) -> None:
    for field, bad in (
        ("metadata", [*BAD_METADATA, (b'{"a": null}', "must be a text"), *BAD_OBJECTS]),
        ("tags", BAD_TAGS),
    ):
        for value, said in bad:
            answer = sent(client, (field, value))
            assert answer.status_code == 422, value
            assert answer.json()["detail"].startswith(f"{field}: "), value
            assert said in answer.json()["detail"], (value, answer.text)
    assert here.place.stored() == []


BAD_PATCHES = [
    *((b'{"metadata": ' + value + b"}", said) for value, said in BAD_OBJECTS),
    (b"", "body: is not JSON"), (b"\xff\xfe", "body: "), (b"[]", "body: must be a JSON object"),
    (b'{"name": "x"}', "only tags and metadata"), (b'{"\\ud800": "x"}', "only tags and metadata"),
    (b'{"tags": "x"}', "tags: must be a list"), (b'{"tags": [5]}', "must be a text"),
    (b'{"tags": ["\\ud83d"]}', "half a surrogate"), (b'{"tags": ["\\u0000"]}', "control character"),
    (b'{"metadata": []}', "JSON object"), (b'{"metadata": "x"}', "JSON object"),
    (json.dumps({"tags": [str(number) for number in range(51)]}).encode(), "51 are more than 50"),
]  # fmt: skip


def test_a_bad_patch_changes_nothing(client: httpx.Client) -> None:
    image = upload(client, tag="a", metadata="k:v")
    for body, said in BAD_PATCHES:
        answer = client.patch(f"/images/{image}", content=body)
        assert answer.status_code == 422, body
        assert said in answer.json()["detail"], (body, answer.text)
    assert labels(client, image) == (["a"], {"k": "v"})


def test_too_large_a_patch_or_field(client: httpx.Client) -> None:
    image = upload(client)
    assert client.patch(f"/images/{image}", content=b" " * 300_000).status_code == 413
    assert sent(client, ("tags", b"x" * 3_000_000)).status_code == 413
    assert sent(client, ("other", b"x" * 3_000_000)).status_code == 413
    assert sent(client, *[("tags", str(n).encode()) for n in range(51)]).status_code == 422
    assert sent(client, *[("tags", str(n).encode()) for n in range(50)]).status_code == 202
    assert sent(client, *[("tags", str(n).encode()) for n in range(50)], tag="more").status_code == 422
    assert sent(client, ("metadata", b"{}"), ("metadata", b"{}")).status_code == 422


BAD_QUERIES = (
    "tag=", "tag=%00", f"tag={'x' * 101}", "tag=a%0Ab", "metadata=nocolon", "metadata=:v", "metadata=k:%00",
    f"metadata={'k' * 101}:v",
)  # fmt: skip
TOO_MANY = (
    "&".join(f"tag={number}" for number in range(51)), "&".join(f"metadata=k{number}:v" for number in range(51)),
)  # fmt: skip


def test_query_parameters_are_checked_alike(client: httpx.Client, here: Here) -> None:
    for query in (*BAD_QUERIES, *TOO_MANY):
        assert client.post(f"/images?{query}", content=PHOTO).status_code == 422, query
    assert here.place.stored() == []
    for query in BAD_QUERIES:
        for method, path in (("GET", "/images?"), ("DELETE", "/images?state=failed&"), ("POST", "/images/retry?")):
            assert client.request(method, f"{path}{query}").status_code == 422, query
    (image,) = client.post("/images?tag=%ED%A0%80", content=PHOTO).json()["images"]
    assert set(labels(client, image["id"])[0][0]) == {"\ufffd"}, "as the server reads what is no UTF-8"


def test_another_site_can_change_nothing(url: str, client: httpx.Client) -> None:
    image = upload(client)
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        assert httpx.patch(f"{url}/images/{image}", json={"tags": ["x"]}, headers=headers).status_code == 403
    assert httpx.patch(f"{url}/images/{image}", json={"tags": ["x"]}, headers={"Origin": url}).status_code == 200


def test_a_search_uses_the_index(warehouse: psycopg.Connection[Any]) -> None:
    warehouse.execute("INSERT INTO millrace.image_source (digest, bytes) VALUES (repeat('0', 64), 1)")
    warehouse.execute(
        "INSERT INTO millrace.image (image_id, digest, owner, file_name, tags, metadata)"
        " SELECT gen_random_uuid(), repeat('0', 64), 'ann', n || '.jpg', ARRAY['t' || n, 'all'],"
        " jsonb_build_object('n', n, 'k', 'v') FROM generate_series(1, 20000) AS n"
    )
    warehouse.execute("VACUUM ANALYZE millrace.image")
    for asked, index in (
        (wanted(None, ["all", "t77"], []), "image_by_tag"),
        (wanted(None, [], ["n:77"]), "image_by_metadata"),
    ):
        query = f"SELECT image_id FROM millrace.image i WHERE {asked.condition}"
        plan = "\n".join(line for (line,) in warehouse.execute(f"EXPLAIN {query}", asked.values).fetchall())
        assert index in plan, plan
        assert len(warehouse.execute(query, asked.values).fetchall()) == 1


def test_postgresql_agrees_on_what_metadata_is(warehouse: psycopg.Connection[Any]) -> None:
    warehouse.execute("INSERT INTO millrace.image_source (digest, bytes) VALUES (repeat('0', 64), 1)")
    with pytest.raises(psycopg.errors.CheckViolation):
        warehouse.execute(
            "INSERT INTO millrace.image (image_id, digest, owner, file_name, metadata)"
            " VALUES (gen_random_uuid(), repeat('0', 64), 'ann', 'a', '[]')"
        )

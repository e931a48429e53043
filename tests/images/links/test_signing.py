"""A link's token, against a second maker of them that knows its description only."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import time
from uuid import UUID, uuid4

import pytest

from include.images.callbacks import Callbacks
from include.images.errors import SettingError
from include.images.links import keyring
from include.images.links.keyring import Keyring
from include.images.links.signing import Keys, Link
from tests.images.links.outside import KEY, OTHER, token


def test_both_make_the_same_and_ours_reads_theirs() -> None:
    image, mark = str(uuid4()), (1 << 63) - 1
    ends = int(time.time()) + 600
    made = {Keys(KEY).sign(Link(UUID(image), mark, ends + late)) for late in range(5)}
    assert token(image, mark=mark) in made
    found = Keys(KEY).read(token(image, mark=mark))
    assert found is not None
    assert (found.image_id, found.mark, found.ends - ends in range(5)) == (UUID(image), mark, True)


def test_what_was_not_signed_for_a_link_is_none() -> None:
    image = str(uuid4())
    good = token(image)
    assert Keys(KEY).read(good)
    callback = Callbacks(KEY).signature(good.encode(), 1_800_000_000).rpartition("=")[2]
    for bad in (
        token(image, OTHER), token(image, version=0), token(image, version=2), token(image, purpose=b""),
        token(image, purpose=b"something else that it signs"), good[:-1], good + "A", good + "=", f" {good}",
        f"{good}\n", good[:67] + "é", good.replace(good[3], "+", 1), "", "A" * 68, callback, good[:25] + callback[:43],
    ):  # fmt: skip
        assert Keys(KEY).read(bad) is None, bad
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [good[:at] + letter + good[at + 1 :] for at in range(68) for letter in letters if letter != good[at]]
    assert len(others) == 68 * 63
    assert not any(map(Keys(KEY).read, others)), "one spelling only"


def test_a_key_before_this_one_holds_and_signs_nothing() -> None:
    image = uuid4()
    both = Keys(OTHER, KEY)
    assert both.read(token(str(image))) == both.read(token(str(image), OTHER))
    signed = both.sign(Link(image, 0, 1))
    assert Keys(OTHER).read(signed)
    assert Keys(KEY).read(signed) is None


@pytest.mark.parametrize(("keys", "said"), [
    (("",), "the password of the Connection image_links has 0 characters"), (("x" * 31,), "password .* 31 characters"),
    ((KEY, "short"), "`previous` of the Connection image_links has 5 characters"),
])  # fmt: skip
def test_a_short_key_is_refused_with_what_makes_one(keys: tuple[str, ...], said: str) -> None:
    with pytest.raises(SettingError, match=said) as refused:
        Keys(*keys)
    command = str(refused.value).partition(": ")[2].removesuffix(" makes one")
    made = [
        subprocess.run(shlex.split(command), capture_output=True, text=True, check=True).stdout.strip() for _ in "12"
    ]
    assert Keys(*made)
    assert made[0] != made[1]


def test_keys_are_not_shown() -> None:
    assert KEY not in repr(Keys(KEY, OTHER)) + str(Keys(KEY, OTHER))
    assert OTHER not in repr(Keys(KEY, OTHER))


def test_keys_are_asked_for_once_however_many_follow_links(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def ask() -> Keys:
        asked.append(1)
        return Keys(KEY if len(asked) < 3 else "short")

    async def follow() -> list[Keys | None]:
        ring = Keyring(ask)
        found = await asyncio.gather(*(ring.recent() for _ in range(50)))
        monkeypatch.setattr(keyring, "SECONDS", 0.0)
        return [*found, await ring.recent(), await ring.recent()]

    monkeypatch.setattr(keyring, "SECONDS", 1000.0)
    assert asyncio.run(follow()) == [Keys(KEY)] * 51 + [None], "and with a short key, links are off"
    assert len(asked) == 3

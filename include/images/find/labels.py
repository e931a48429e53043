"""The user's own tags and metadata of a picture: what they may be, and how they are read from a request.

Metadata is an object of texts, numbers, true and false: flat, so that every value can be asked for as `key:value`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from include.images.errors import ImageError
from include.images.limits import LIMITS, Limits

Scalar = str | int | float | bool
MOST_NUMBER = 1e30  # PostgreSQL writes every digit of a number
_NEVER = re.compile(r"[\0\ud800-\udfff]")  # PostgreSQL takes them in no text
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Unfit(ImageError):
    """Tags or metadata are not as they should be: the field, and what is wrong with it."""

    code = "labels"
    permanent = True


@dataclass(frozen=True)
class Labels:
    """Tags, each once, and metadata of one picture."""

    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Scalar] = field(default_factory=dict)

    def with_(self, other: Labels, limits: Limits = LIMITS) -> Labels:
        """Both; of a key that both have, the other's value. Raises Unfit when they are too many together."""
        return labels([*self.tags, *other.tags], {**self.metadata, **other.metadata}, limits)

    def changed(self, patch: Mapping[str, Any], limits: Limits = LIMITS) -> Labels:
        """With a JSON merge patch (RFC 7396) applied: `tags` is replaced, a key of `metadata` that is null goes.

        Raises Unfit.
        """
        if unknown := sorted(patch.keys() - {"tags", "metadata"}):
            raise Unfit(f"{_shown(unknown[0])}: only tags and metadata can be changed")
        tags = self.tags if "tags" not in patch else [] if patch["tags"] is None else patch["tags"]
        metadata = patch.get("metadata", {})
        if isinstance(metadata, dict):
            merged = {**self.metadata, **metadata}
            metadata = {key: value for key, value in merged.items() if value is not None}
        return labels(tags, {} if metadata is None else metadata, limits)


def labels(tags: Any, metadata: Any, limits: Limits = LIMITS) -> Labels:
    """Checked tags and metadata. Raises Unfit, which names the field and the limit."""
    if not isinstance(tags, list | tuple):
        raise Unfit("tags: must be a list of texts")
    found = tuple(dict.fromkeys(tag(one, limits) for one in tags))
    if len(found) > limits.tags:
        raise Unfit(f"tags: {len(found)} are more than {limits.tags}")
    if not isinstance(metadata, dict):
        raise Unfit("metadata: must be a JSON object")
    if len(metadata) > limits.metadata_keys:
        raise Unfit(f"metadata: {len(metadata)} keys are more than {limits.metadata_keys}")
    for key, value in metadata.items():
        _check_key(key, limits)
        _check_value(key, value)
    size = len(json.dumps(metadata, ensure_ascii=False).encode())
    if size > limits.metadata_bytes:
        raise Unfit(f"metadata: {size:,} bytes are more than {limits.metadata_bytes:,}")
    return Labels(found, metadata)


def tag(value: Any, limits: Limits = LIMITS) -> str:
    """A tag as it is kept: composed (NFC), without space around it. Raises Unfit."""
    if not isinstance(value, str):
        raise Unfit("tags: a tag must be a text")
    if _CONTROL.search(value):
        raise Unfit(f"tags: {_shown(value)} holds a control character, or half a surrogate pair")
    kept = unicodedata.normalize("NFC", value).strip()
    if not 1 <= len(kept) <= limits.tag_characters:
        raise Unfit(f"tags: {_shown(kept)} has {len(kept)} characters; a tag has 1 to {limits.tag_characters}")
    return kept


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """Metadata of query parameters, `key:value` each. Raises Unfit."""
    found = {}
    for text in texts:
        key, colon, value = text.partition(":")
        if not colon:
            raise Unfit(f"metadata: {_shown(text)} is not key:value")
        _check_key(key, LIMITS)
        _check_value(key, value)
        found[key] = value
    return found


def parsed(text: bytes | str, name: str) -> Any:
    """A JSON value of a field, or of the body. Raises Unfit."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as fault:  # bad UTF-8 and numbers of too many digits are ValueErrors too
        reason = "is nested too deeply" if isinstance(fault, RecursionError) else f"is not JSON: {fault}"
        raise Unfit(f"{name}: {_clean(reason)}") from None


def _check_key(key: str, limits: Limits) -> None:
    if not 1 <= len(key) <= limits.metadata_key_characters:
        most = limits.metadata_key_characters
        raise Unfit(f"metadata: the key {_shown(key)} has {len(key)} characters; a key has 1 to {most}")
    if ":" in key or _CONTROL.search(key):
        raise Unfit(f"metadata: the key {_shown(key)} holds a colon, a control character or half a surrogate pair")


def _check_value(key: str, value: Any) -> None:
    if isinstance(value, str):
        if _NEVER.search(value):
            raise Unfit(f"metadata: the value of {_shown(key)} holds a NUL or half a surrogate pair")
    elif not isinstance(value, bool | int | float):
        raise Unfit(f"metadata: the value of {_shown(key)} must be a text, a number, true or false")
    elif not -MOST_NUMBER < value < MOST_NUMBER:  # nor is NaN
        raise Unfit(f"metadata: the value of {_shown(key)} must be a number of at most 30 digits")


def _shown(text: str) -> str:
    """A text of the request, as an answer can hold it."""
    return repr(_clean(text))


def _clean(text: str) -> str:
    return text[:80].encode("ascii", "backslashreplace").decode() if _CONTROL.search(text) else text[:80]

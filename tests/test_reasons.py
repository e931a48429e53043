"""What a failed task's log ends with."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from include.bridge.reasons import WIDTH, NoRetry, Stopped, readable, say


def test_a_long_path_stands_by_its_name_and_its_folder_at_the_end() -> None:
    assert list(readable("/srv/in/umsatz/over.csv:7: bad")) == ["over.csv:7: bad", "Folder: /srv/in/umsatz/"]
    reason = "s3://landing/2026/more.csv changed, as /in/b.csv did. See a/b.\nAllocated at /srv/a.py:7"
    assert list(readable(reason)) == [
        "more.csv changed, as /in/b.csv did. See a/b.", "Allocated at /srv/a.py:7", "Folder: s3://landing/2026/",
    ]  # fmt: skip
    assert list(readable("there is no folder /in/none: try again")) == ["there is no folder /in/none: try again"]


def test_lines_are_as_wide_as_the_page_and_those_of_a_list_stay() -> None:
    lines = list(readable("one\ntwo: " + "word " * 60 + "\n" + "x" * 300))
    assert lines[0] == "one"
    assert [len(line) <= WIDTH for line in lines] == [True] * (len(lines) - 1) + [False]
    assert lines[-1] == "x" * 300, "what can be copied stays whole"


def test_the_reason_comes_last_and_outside_of_what_is_folded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "millrace")
    say({"exception": Stopped("/in/a.csv:3: bad")})
    assert caplog.messages == ["::endgroup::", "a.csv:3: bad", "Folder: /in/"]
    caplog.clear()
    say({"exception": ValueError("Airflow says this itself")})
    assert caplog.messages == []


@pytest.mark.parametrize(("error", "action"), [(Stopped("x"), RetryAction.FAIL), (OSError(), RetryAction.DEFAULT)])
def test_only_what_was_stopped_is_not_tried_again(error: Any, action: RetryAction) -> None:
    assert NoRetry().evaluate(error, 1, 3).action is action

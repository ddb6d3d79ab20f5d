"""The HTML report as a file: self-contained, small, and harmless. How it looks: test_browser.py."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser

import pytest

from harness import SpecError
from harness.batch_results import BatchEntry, Finding, NotRun
from harness.reports import html
from harness.summaries import LogExcerpt
from tests.unit import made_up

HOSTILE = "</pre></script><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m&<b>'\""
WORDS = """
a article body button code details div footer h1 h2 h3 head header html input label li link main
meta nav output p polyline pre rect script section span style summary svg table tbody td text th
thead title tr ul
"""
TAGS = set(WORDS.split())


class Reader(HTMLParser):
    """Takes down every tag with its attributes, and the text outside of script and style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if not self.tags or self.tags[-1][0] not in ("script", "style"):
            self.words.append(data)


def hostile() -> BatchEntry:
    entry = made_up.entry("bad", "raised", message=HOSTILE, log=HOSTILE)
    finding = Finding(
        kind="budget", measure="prediction_s", holds=False, message=HOSTILE, values=[3], bound=2
    )
    result = entry.result.model_copy(update={"warnings": [HOSTILE], "handler_name": HOSTILE})
    return entry.model_copy(update={"result": result, "findings": [finding], "reproduce": HOSTILE})


def test_hostile_text_is_text() -> None:
    left = [NotRun(handler_name=HOSTILE, reason=HOSTILE)]
    page = html.render(made_up.batch(hostile(), not_run=left, warnings=[HOSTILE]))
    reader = Reader(page)
    assert {tag for tag, _ in reader.tags} <= TAGS
    assert not [name for _, given in reader.tags for name in given if name.startswith("on")]
    assert page.count("<script") == 1
    assert "\x1b" not in page
    assert "alert(1)" in "".join(reader.words)


def test_asks_nothing_of_any_place() -> None:
    page = html.render(made_up.batch(hostile(), made_up.entry()))
    for tag, given in Reader(page).tags:
        assert "src" not in given
        assert (given.get("href") or "#").startswith("#") or tag == "link"
    assert not re.search(r"url\(|@import|fetch\(|https?://", page)
    assert "default-src 'none'" in page


def test_facts_are_there_without_javascript() -> None:
    entry = made_up.entry("fraud", "crashed", log="last words")
    page = html.render(made_up.batch(made_up.entry("churn"), entry))
    words = "".join(Reader(page).words)
    for fact in (
        "1 passed, 1 error",
        "churn",
        "fraud",
        "predict_fn[rows]: predict_fn crashed",
        "handlerproof batch handlers --handler 'fraud'",
        "application/json",
        "text/csv",
        "last words",
        "up to 11 MiB in 60 ms",
    ):
        assert fact in words, fact


def test_thousand_handlers_stay_under_two_megabytes() -> None:
    """At their worst: half of them fail, with long texts and names that have to be escaped."""
    entries = []
    for number in range(1000):
        outcome = "raised" if number % 2 else "passed"
        entry = made_up.entry(f"handler-{number}-{'<&>' * 30}", outcome, message="<é>" * 2000)
        log = LogExcerpt(head="<" * 9000, tail="", total_bytes=9000, dropped_bytes=0)
        row = entry.result.model_fn_result.model_copy(update={"log": log})
        result = entry.result.model_copy(update={"model_fn_result": row})
        entries.append(entry.model_copy(update={"result": result}))
    page = html.render(made_up.batch(*entries))
    assert len(page.encode()) < 2_000_000
    assert re.search(r"\d+ handlers are shown in brief", page)
    assert all(f'id="h{number}"' in page for number in range(1000))


def test_thousand_good_handlers_are_shown_in_full() -> None:
    entries = [made_up.entry(f"handler-{number}") for number in range(1000)]
    page = html.render(made_up.batch(*entries))
    assert len(page.encode()) < 2_000_000
    full = page.count("Content type by accept")
    assert full >= 500, full


def test_without_jinja_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(SpecError, match=r"install handlerproof\[report\]"):
        html.render(made_up.batch(made_up.entry()))

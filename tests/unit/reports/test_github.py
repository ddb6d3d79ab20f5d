"""The step's summary and the annotations of GitHub."""

from __future__ import annotations

import re

from harness.reports import github
from tests.unit import made_up

HOSTILE = "</details><script>x</script>|`a`\n::error::forged\n# title *b* [l](u) @someone \x1b[31m"


def test_worst_come_first() -> None:
    text = github.markdown(
        made_up.batch(
            made_up.entry("good"),
            made_up.entry("odd", earlier_attempts=["crashed"]),
            made_up.entry("wrong", "failed"),
            made_up.entry("dead", "crashed"),
        )
    )
    assert re.findall(r"^\| (\w+) \| \S+ ", text, re.M)[1:] == ["dead", "wrong", "odd", "good"]
    assert text.startswith("## handlerproof: 1 passed, 1 flaky, 1 failed, 1 error\n")


def test_hostile_text_is_text() -> None:
    batch = made_up.batch(made_up.entry("bad", "raised", message=HOSTILE))
    text = github.markdown(batch)
    own = {"<details>", "</details>", "<summary>", "</summary>"}
    assert set(re.findall(r"<[^>]*>", text)) <= own
    assert "\x1b" not in text
    (row,) = (line for line in text.splitlines() if line.startswith("| bad"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 6
    assert not re.search(r"(?<!\\)@", row)


def test_large_batch_stays_under_the_limit_and_says_what_is_left_out() -> None:
    entries = [
        made_up.entry(f"handler-{n}-{'x' * 150}", "raised", message="é" * 500) for n in range(3000)
    ]
    text = github.markdown(made_up.batch(*entries))
    assert len(text.encode()) <= github.MOST_BYTES
    assert re.search(r"\d+ more details are left out", text)


def test_at_most_ten_annotations_of_a_kind() -> None:
    bad = [made_up.entry(f"bad-{n}", "failed") for n in range(20)]
    odd = [made_up.entry(f"odd-{n}", earlier_attempts=["crashed"]) for n in range(3)]
    commands = github.annotations(made_up.batch(*odd, *bad, made_up.entry("dead", "crashed")))
    errors = [line for line in commands if line.startswith("::error ")]
    assert len(errors) == 10
    assert errors[0].startswith("::error title=dead%3A error::")
    assert errors[-1].startswith("::error title=12 more handlers::bad-8, ")
    assert len([line for line in commands if line.startswith("::warning ")]) == 3


def test_ten_are_not_rolled_up() -> None:
    commands = github.annotations(
        made_up.batch(*(made_up.entry(f"bad-{n}", "failed") for n in range(10)))
    )
    assert len(commands) == 10
    assert "more handlers" not in "".join(commands)


def test_handler_cannot_forge_a_command() -> None:
    batch = made_up.batch(made_up.entry("bad", "raised", message="x\r\n::stop-commands::%0A"))
    (command,) = github.annotations(batch)
    assert "\n" not in command
    assert "\r" not in command
    assert "%250A" in command

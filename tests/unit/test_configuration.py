"""Settings: which place wins, and that each is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import SpecError
from harness import configuration as conf
from harness.configuration import COMMAND_LINE, DEFAULT, Settings, settings_of

PLACES = ["default", "project", "handler", "variable", "command line"]


def places(folder: Path) -> dict[str, Settings]:
    (folder / "pyproject.toml").write_text("[tool.handlerproof]\ntimeout_seconds = 2.0\n")
    (folder / "a.handler.toml").write_text("timeout_seconds = 3.0\n")
    return {
        "default": conf.defaults(),
        "project": conf.project(folder),
        "handler": conf.handler_file(folder / "a.handler.toml"),
        "variable": conf.environment({"HANDLERPROOF_TIMEOUT": "4"}),
        "command line": settings_of({"timeout_seconds": 5.0}, COMMAND_LINE),
    }


@pytest.mark.parametrize("count", range(1, 6))
def test_strongest_place_wins_and_is_named(tmp_path: Path, count: int) -> None:
    merged = Settings()
    for name in PLACES[:count]:
        merged = merged.under(places(tmp_path)[name])
    source = merged.sources[("timeout_seconds",)]
    assert merged.fields()["timeout_seconds"] == [300, 2.0, 3.0, 4.0, 5.0][count - 1]
    assert [
        source == DEFAULT,
        source.endswith("pyproject.toml"),
        source.endswith("a.handler.toml"),
        source == "HANDLERPROOF_TIMEOUT",
        source == COMMAND_LINE,
    ].index(True) == count - 1


def test_tables_are_merged_entry_by_entry() -> None:
    below = settings_of({"limits": {"memory_limit_mb": 1, "max_processes": 2}}, "below")
    above = settings_of({"limits": {"memory_limit_mb": 3}}, "above")
    assert below.under(above).fields()["limits"] == {"memory_limit_mb": 3, "max_processes": 2}


def test_project_file_is_the_nearest_above(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.handlerproof]\ntimeout_seconds = 2.0\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert conf.project(tmp_path / "a" / "b").fields() == {"timeout_seconds": 2.0}
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\n")
    assert conf.project(tmp_path / "a" / "b").fields() == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timeout_second = 1", "unknown name 'timeout_second', did you mean 'timeout_seconds'"),
        ("[tool.handlerproof.batch]\njob = 1", "batch: unknown name 'job', did you mean 'jobs'"),
        ('[tool.handlerproof.batch]\njobs = "2"', "batch.jobs must be int, got '2'"),
        ("[tool.handlerproof.batch]\njobs = true", "batch.jobs must be int, got True"),
        (
            "[tool.handlerproof.budgets]\nmax_prediction = 1",
            "budgets: unknown name 'max_prediction', did you mean 'max_prediction_time'",
        ),
        ('handler_name = "a"', r"handler_name is of one handler; put it into its \*.handler.toml"),
        ("limits = 3", "limits must be a table"),
    ],
)
def test_mistake_in_the_project_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.handlerproof]\n{text}\n")
    with pytest.raises(SpecError, match=message):
        conf.project(tmp_path)


def test_project_file_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool")
    with pytest.raises(SpecError, match="cannot be read"):
        conf.project(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "field", "read"),
    [
        ("TIMEOUT", "2.5", "timeout_seconds", 2.5),
        ("MEMORY", "1G", "limits.memory_limit_mb", 1024),
        ("ISOLATION", "process", "isolation", "process"),
        ("NETWORK", "none", "network", False),
        ("JOBS", "3", "batch.jobs", 3),
        ("FAIL_FAST", "yes", "batch.fail_fast", True),
        ("FAIL_FAST", "0", "batch.fail_fast", False),
        ("MAX_FAILURES", "2", "batch.max_failures", 2),
        ("RETRY_CRASHED", "1", "batch.retry_crashed", 1),
        ("STATE", "here", "batch.state", "here"),
    ],
)
def test_variable(name: str, value: str, field: str, read: object) -> None:
    settings = conf.environment({f"HANDLERPROOF_{name}": value})
    assert settings.values[tuple(field.split("."))] == read


@pytest.mark.parametrize(
    ("name", "value"),
    [("TIMEOUT", "soon"), ("MEMORY", "much"), ("NETWORK", "x"), ("JOBS", "a"), ("FAIL_FAST", "x")],
)
def test_variable_that_cannot_be_read(name: str, value: str) -> None:
    with pytest.raises(SpecError, match=f"HANDLERPROOF_{name}={value}: "):
        conf.environment({f"HANDLERPROOF_{name}": value})


def test_variables_of_others_are_left_alone() -> None:
    assert conf.environment({"HANDLERPROOF_LONG": "1", "JOBS": "9"}) == Settings()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("TIMOUT", "did you mean HANDLERPROOF_TIMEOUT?"),
        ("FAILFAST", "did you mean HANDLERPROOF_FAIL_FAST?"),
        ("TOKEN_OF_OURS", "HANDLERPROOF_ goes with TIMEOUT, MEMORY, "),
    ],
)
def test_variable_that_is_no_setting_is_told(name: str, hint: str) -> None:
    (told,) = conf.ignored({f"HANDLERPROOF_{name}": "3", "HANDLERPROOF_JOBS": "2", "TIMOUT": "3"})
    assert told.startswith(f"HANDLERPROOF_{name} is no setting, and is ignored; {hint}")


def test_variables_that_are_used_anywhere_are_not_told() -> None:
    root = Path(__file__).parents[2]
    files = [
        file for place in ("harness", "worker", "scripts") for file in (root / place).rglob("*")
    ]
    texts = [file.read_text(errors="replace") for file in files if file.is_file()]
    texts.append((root / "tests" / "conftest.py").read_text())
    texts += [file.read_text() for file in (root / "tests" / "unit" / "golden").rglob("*.py")]
    used = {name for text in texts for name in re.findall(r"HANDLERPROOF_[A-Z_]+", text)}
    used.discard(conf.PREFIX)
    assert {"HANDLERPROOF_CACHE", "HANDLERPROOF_LONG"} <= used
    assert list(conf.ignored(dict.fromkeys(used, "1"))) == []


def test_every_variable_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "ci.md").read_text()
    for name in conf.VARIABLES:
        assert f"`{conf.PREFIX}{name}`" in text


def test_values_of_environ_vars_are_not_shown() -> None:
    settings = settings_of({"environ_vars": {"TOKEN": "secret"}, "isolation": "auto"}, "a file")
    assert list(settings.shown()) == [
        ("environ_vars.TOKEN", "(not shown)", "a file"),
        ("isolation", '"auto"', "a file"),
    ]


def test_handlers_file_cannot_set_the_batch(tmp_path: Path) -> None:
    (tmp_path / "a.handler.toml").write_text("[batch]\njobs = 2\n")
    with pytest.raises(SpecError, match="batch is of all handlers"):
        conf.handler_file(tmp_path / "a.handler.toml")

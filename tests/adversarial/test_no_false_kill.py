"""What looks like too much memory and is not is never ended, however often it is run.

The memory limits are held by the watchdog alone (`process`), whose sampling could be wrong; a
control group counts exactly.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.adversarial.running import files, run, spec_for
from tests.conftest import MakePackage

RUNS = 200
IMPORTED = [
    name for name in ("numpy", "pandas", "sklearn", "torch") if importlib.util.find_spec(name)
]
# The name of a handler, its variables and its limits.
INNOCENT: Mapping[str, tuple[str, Mapping[str, str], Mapping[str, Any]]] = {
    "20 forks share 400 MiB": ("forks_share", {}, {"memory_limit_mb": 1024}),
    "2 GiB mapped and read": (
        "maps_large_file",
        {"KIND": "sparse", "SIZE_MIB": "2048"},
        {"memory_limit_mb": 512},
    ),
    "imports": ("imports_packages", {"PACKAGES": " ".join(IMPORTED)}, {}),
}


@pytest.mark.long
@pytest.mark.parametrize("name", INNOCENT)
def test_innocent_is_never_ended(
    name: str, package: MakePackage, long_count: Callable[[int], int]
) -> None:
    file, environ, limits = INNOCENT[name]
    spec = spec_for(
        package(files(file)), environ_vars=dict(environ), limits=dict(limits), isolation="process"
    )
    for number in range(long_count(RUNS)):
        result = run(spec)
        assert result.overall_success, (number, result.errors)

"""`handlerproof env`: the environments of handlers, built, listed, cleaned and locked."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from harness.artifacts.package import open_package
from harness.artifacts.workspace import RunDirectory
from harness.cli.progress import progress
from harness.environments import base_sets, provided
from harness.environments.cache import Cache
from harness.environments.places import write
from harness.errors import SpecError
from harness.reports.text import duration, size
from harness.spec_environment import RequirementsEnvironment
from harness.specs import InferenceHandlerSpec

_AGE = re.compile(r"(\d+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

_package = click.argument("package", type=click.Path(path_type=Path))
_python = click.option("--python", metavar="VERSION|PATH", help="The Python to build for.")
_offline = click.option("--offline", is_flag=True, help="Use only what is on this machine.")


@click.group()
def env() -> None:
    """Build, list, clean and lock the environments of handlers.

    They are kept in the user's cache directory; HANDLERPROOF_CACHE names another one.
    """


@env.command()
@_package
@_python
@_offline
def build(package: Path, python: str | None, offline: bool) -> None:
    """Build the environment of a PACKAGE's code/requirements.txt; print where it is."""
    with (
        _planned(package, python, offline) as (chosen, _),
        progress() as shown,
        provided.kept(chosen, exposed=False, note=shown.note) as tree,
    ):
        click.echo(f"{chosen.key} {tree}")


@env.command("list")
def list_() -> None:
    """Show the environments that are kept, the latest used first."""
    table = Table()
    for title in ("key", "python", "by", "size", "last used", "requirements"):
        table.add_column(title)
    for stored in Cache().stored():
        record = stored.record
        ago = duration(max(0.0, time.time() - stored.used)) + " ago"
        names = ", ".join(record.requirements) or "none"
        table.add_row(
            record.key, record.python, record.builder, size(stored.size_bytes), ago, names
        )
    Console(highlight=False).print(table)


@env.command()
@click.option("--older-than", default="0s", metavar="AGE",
              help="Only those not used for so long: 30d, 12h (default: all).")  # fmt: skip
def clean(older_than: str) -> None:
    """Remove environments that nobody uses now, and what is half built."""
    for record in Cache().clean(_age(older_than)):
        click.echo(f"removed {record.key}")


@env.command()
@_package
@_python
@_offline
def lock(package: Path, python: str | None, offline: bool) -> None:
    """Write exact versions with hashes of a PACKAGE's requirements beside it."""
    with _planned(package, python, offline) as (chosen, run), progress() as shown:
        if chosen.asked.file is None:
            raise SpecError(f"{package} has no code/requirements.txt to lock")
        text = provided.lock(chosen, run.make("lock"), shown.note)
    place = package.absolute()
    file = place.with_name(f"{place.name.removesuffix('.tar.gz')}.requirements.lock")
    write(file, text.encode())
    click.echo(str(file))


@contextmanager
def _planned(
    package: Path, python: str | None, offline: bool
) -> Iterator[tuple[provided.Plan, RunDirectory]]:
    """Unpack a package and plan its environment."""
    environment = RequirementsEnvironment(requirements="auto", python=python, offline=offline)
    spec = InferenceHandlerSpec(
        handler_name=package.name or "package",
        packaged_model_path=str(package),
        environment=environment,
    )
    with RunDirectory() as run:
        opened = open_package(spec, run)
        yield provided.plan(environment, opened.code_dir, base_sets.of(spec, opened)), run


def _age(text: str) -> float:
    match = _AGE.fullmatch(text)
    if match is None:
        raise SpecError(f"--older-than {text}: write a number and s, m, h, d or w, such as 30d")
    return float(match[1]) * _SECONDS[match[2]]

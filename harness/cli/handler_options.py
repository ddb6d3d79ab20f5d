"""The options of a command that loads a handler: what it is given, and what holds it."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.cli.environment_options import environment
from harness.errors import SpecError
from harness.specs import parse_memory

NETWORK: dict[str, bool | str] = {"none": False, "loopback": "loopback", "all": True}
USUAL_TIMEOUT = 300

Command = TypeVar("Command", bound=Callable[..., Any])


def loading(timeout: float | None = None) -> Callable[[Command], Command]:
    """Give a command the options that `loading_fields` reads; `timeout` is what --timeout is else.

    None leaves it to the spec.
    """
    return lambda command: reduce(lambda made, option: option(made), _options(timeout), command)


def handler_fields(package: Path, payloads: str | None) -> dict[str, Any]:
    """Give the fields of a spec that a package and its payloads on a command line stand for."""
    return {
        "handler_name": package.name.partition(".")[0] or package.name,
        "packaged_model_path": str(package),
        **({} if payloads is None else {"payload_samples_path": payloads}),
    }


def loading_fields(options: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Put what these options say over the fields of a spec. Raises SpecError."""
    simple = {
        "timeout_seconds": options["timeout"],
        "entry_point": options["entry_point"],
        "isolation": options["isolation"],
        "environment": environment(options, given.get("environment")),
    }
    fields = given | {name: value for name, value in simple.items() if value is not None}
    if options["network"] is not None:
        fields["network"] = NETWORK[options["network"]]
    if options["memory"] is not None:
        limit = parse_memory(options["memory"])
        fields["limits"] = {**_table(given, "limits"), "memory_limit_mb": limit}
    if options["variables"]:
        fields["environ_vars"] = {**_table(given, "environ_vars"), **_variables(options)}
    return fields


def _options(timeout: float | None) -> list[Callable[[Any], Any]]:
    """Make the options, the last of the help first, as decorators are applied."""
    seconds = f"{timeout or USUAL_TIMEOUT:g}"
    return [
        click.option("--network", type=click.Choice(list(NETWORK)),
                     help="What the handler may reach (default none)."),
        click.option("--isolation", type=click.Choice(["auto", "process", "bwrap", "max"]),
                     help="Layers to hold the handler in (default auto; see doctor)."),
        click.option("--entry-point", metavar="NAME",
                     help="The handler's file or module in code/."),
        click.option("--allow-install", is_flag=True,
                     help="Give the handler an environment to install into, thrown away "
                     "after; it needs --network all."),
        click.option("--offline", is_flag=True,
                     help="Build the environment of what is on this machine."),
        click.option("--env-from", metavar="SOURCE",
                     help="The handler's packages: requirements (code/requirements.txt), "
                     "requirements:FILE, venv:PATH or inherit (default)."),
        click.option("--python", metavar="VERSION|PATH",
                     help="The handler's Python, such as 3.10 (default: this one)."),
        click.option("--env", "variables", multiple=True, metavar="K=V",
                     help="A variable for the handler."),
        click.option("--memory", metavar="SIZE",
                     help="Limit of the whole process tree, such as 512M."),
        click.option("--timeout", type=float, default=timeout, metavar="SECONDS",
                     help=f"For each call (default {seconds})."),
    ]  # fmt: skip


def _table(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """Give a field of the spec's file that an option adds to."""
    given = fields.get(name, {})
    if not isinstance(given, dict):
        raise SpecError(f"{name} must be a table of names and values, got {given!r}")
    return given


def _variables(options: dict[str, Any]) -> dict[str, str]:
    pairs = [text.partition("=") for text in options["variables"]]
    for name, sign, _ in pairs:
        if not sign:
            raise SpecError(f"--env {name}: write it as NAME=VALUE")
    return {name: value for name, _, value in pairs}

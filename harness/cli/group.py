"""The `handlerproof` command itself: its help, its version, and what each failure exits with."""

import sys
import traceback
from importlib import import_module
from typing import Any

import click

from harness.cli import ending
from harness.errors import (
    HandlerEnvironmentError,
    HarnessError,
    IsolationUnavailableError,
    SpecError,
)

USAGE, OUR_ERROR, UNAVAILABLE = 2, 3, 4

# Each is in the file of its name, which is loaded when the command is run.
COMMANDS = {
    "batch": "Test many handlers.",
    "doctor": "Say what this machine can hold a handler in.",
    "env": "Build, list, clean and lock the environments of handlers.",
    "explain": "Say what a diagnosis means.",
    "generate": "Make samples for a handler of tables.",
    "lint": "Say what is wrong with a package without running it.",
    "pipeline": "Test a pipeline of scripts and handlers.",
    "run": "Test one handler.",
    "schema": "Print the JSON Schema of results and specs.",
}


class _Commands(click.Group):
    """A group whose errors are one sentence and an exit code, never a traceback of ours."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            command = getattr(import_module(f"harness.cli.{name}"), name)
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with ending.heeded():
                return super().invoke(ctx)
        except SpecError as error:
            _leave(str(error), USAGE)
        except (HandlerEnvironmentError, IsolationUnavailableError) as error:
            _leave(str(error), UNAVAILABLE)
        except KeyboardInterrupt:
            _leave("interrupted", ending.interrupted())
        except (HarnessError, OSError) as error:
            _leave(str(error), OUR_ERROR)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception:
            traceback.print_exc()
            _leave("this is an error of handlerproof itself; please report it", OUR_ERROR)


@click.group(
    cls=_Commands,
    commands=[click.Command(name, short_help=text) for name, text in COMMANDS.items()],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="handlerproof")
def main() -> None:
    """Test SageMaker inference handlers offline, each in a sandboxed worker process.

    Exit codes: 0 all passed, 1 a handler or a node failed, 2 usage or a spec that makes no sense,
    3 an error of handlerproof itself, 4 the environment or isolation could not be had, 5 nothing to
    test, 130 interrupted (129 by SIGHUP, 143 by SIGTERM).
    """


def _leave(message: str, code: int) -> None:
    click.echo(f"handlerproof: {message}", err=True)
    sys.exit(code)

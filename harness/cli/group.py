"""The `handlerproof` command itself: its help, its version, and what each failure exits with."""

import sys
import traceback
from typing import Any

import click

from harness.cli.batch import batch
from harness.cli.doctor import doctor
from harness.cli.env import env
from harness.cli.explain import explain
from harness.cli.generate import generate
from harness.cli.lint import lint
from harness.cli.pipeline import pipeline
from harness.cli.run import run
from harness.cli.schema import schema_command
from harness.errors import (
    HandlerEnvironmentError,
    HarnessError,
    IsolationUnavailableError,
    SpecError,
)

USAGE, OUR_ERROR, UNAVAILABLE, INTERRUPTED = 2, 3, 4, 130


class _Command(click.Group):
    """A group whose errors are one sentence and an exit code, never a traceback of ours."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SpecError as error:
            _leave(str(error), USAGE)
        except (HandlerEnvironmentError, IsolationUnavailableError) as error:
            _leave(str(error), UNAVAILABLE)
        except KeyboardInterrupt:
            _leave("interrupted", INTERRUPTED)
        except (HarnessError, OSError) as error:
            _leave(str(error), OUR_ERROR)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception:
            traceback.print_exc()
            _leave("this is an error of handlerproof itself; please report it", OUR_ERROR)


@click.group(cls=_Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="handlerproof")
def main() -> None:
    """Test SageMaker inference handlers offline, each in a sandboxed worker process.

    Exit codes: 0 all passed, 1 a handler or a node failed, 2 usage or a spec that makes no sense,
    3 an error of handlerproof itself, 4 the environment or isolation could not be had, 5 nothing to
    test, 130 interrupted.
    """


main.add_command(run)
main.add_command(pipeline)
main.add_command(batch)
main.add_command(doctor)
main.add_command(explain)
main.add_command(generate)
main.add_command(lint)
main.add_command(schema_command)
main.add_command(env)


def _leave(message: str, code: int) -> None:
    click.echo(f"handlerproof: {message}", err=True)
    sys.exit(code)

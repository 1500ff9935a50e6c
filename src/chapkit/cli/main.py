"""The command `chapkit`, and the table of its commands."""

import importlib
from typing import Any

import click

from chapkit._version import __version__
from chapkit.cli.errors import CommandLineError
from chapkit.core.errors import ChapkitError

_COMMANDS = {"worker": "chapkit.cli.worker"}
"""Name of a command to the module that has it, under the same name."""


class Refusal(click.ClickException):
    """Shows an error of chapkit."""

    def __init__(self, error: ChapkitError) -> None:
        super().__init__(f"{error.detail} ({error.code})")


class Misuse(Refusal):
    """Shows an error of the command line, with the exit code of such."""

    exit_code = click.UsageError.exit_code


class Commands(click.Group):
    """Imports a command when it is called, so that none pays for the packages of another."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, or `None` if there is no such one."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(_COMMANDS[cmd_name]), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what chapkit can explain is told in one sentence."""
        try:
            return super().invoke(ctx)
        except CommandLineError as error:
            raise Misuse(error) from error
        except ChapkitError as error:
            raise Refusal(error) from error


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="chapkit", message="%(prog)s %(version)s")
def main() -> None:
    """Tools for services made with chapkit."""

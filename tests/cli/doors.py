"""The command line as a reader of commands: what a line that the course shows would set."""

from collections.abc import Sequence
from typing import Any

import typer

from labkit.cli.main import app


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the options that a command line sets, without running it.

    Raises
    ------
    KeyError, typer.BadParameter or its kin
        If there is no such command, or it does not accept that.
    """
    words, command = list(argv), typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    return command.make_context("labkit", words).params

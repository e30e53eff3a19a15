"""The command line: thin doors to the functions that the lessons call.

Knows: which doors there are, exit codes (0 done, 1 the work failed, 2 bad usage) and how a failure
is said. Does not know: how anything is done.
"""

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer import Option

from labkit import __version__
from labkit.cli.bench import bench
from labkit.cli.documents import ask, ingest, search
from labkit.cli.exam import exam, leaderboard
from labkit.cli.finetune import export, finetune
from labkit.cli.machine import doctor, fetch, lab
from labkit.cli.plan import plan

# typer names only this child of the error that stands for every bad usage.
UsageError: Any = typer.BadParameter.__base__
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def _version(asked: bool) -> None:
    if asked:
        print(f"labkit {__version__}")
        raise typer.Exit


@app.callback(help="Make a small language model an expert on your documents, and measure it.")
def _labkit(version: bool = Option(False, "--version", callback=_version, is_eager=True)) -> None:
    pass


for door in (doctor, fetch, ingest, search, ask, exam, leaderboard, finetune, export, plan):
    app.command()(door)
app.add_typer(bench, name="bench")
app.command()(lab)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with typer.main.get_command(app).make_context("labkit", words) as context:
            return context.command.invoke(context) or 0
    except typer.Exit as stop:
        return stop.exit_code
    except UsageError as error:
        error.show()
        return error.exit_code
    except KeyboardInterrupt:
        print("Stopped. Run the same command again to go on.", file=sys.stderr)
    except (ValueError, FloatingPointError, OSError, ModuleNotFoundError, MemoryError) as error:
        print(f"labkit {words[0]}: {error}", file=sys.stderr)
    return 1


def run() -> None:
    """Run as a program: ``labkit …`` or ``python -m labkit …``."""
    if sys.platform == "win32":
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.exit(main())

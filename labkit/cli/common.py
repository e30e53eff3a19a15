"""What the doors of the command line share: types of options, checks of names, printing.

Knows: typer, and which names are models. Does not know: what any command does.
Used by every other file of this folder.
"""

import json
from pathlib import Path

import typer

from labkit import settings
from labkit.catalogue import CATALOGUE


def model_name(text: str) -> str:
    """Accept a catalogue name, ``auto``, or a hub's ``organisation/name``."""
    if text != "auto" and text not in CATALOGUE and "/" not in text:
        known = ", ".join(CATALOGUE)
        raise typer.BadParameter(f"there is no model {text!r}; choose one of {known}")
    return text


def embedder_name(text: str) -> str:
    """Accept an embedding model of the catalogue or of a service, such as ``NAME@512``."""
    from labkit.services.embedding import parse_name

    local = [card.name for card in CATALOGUE.values() if card.task == "embed"]
    try:
        return text if text in local else parse_name(text) and text
    except ValueError as error:
        raise typer.BadParameter(f"{error} On this machine: {', '.join(local)}.") from error


def tuned_folder(text: str) -> Path:
    """Accept a folder of ``finetune``, or ``course`` for the adapter that the course ships."""
    return settings.course_adapter() if text == "course" else Path(text)


JSON = typer.Option(False, "--json", help="print one JSON object instead")
MODEL = typer.Option("auto", parser=model_name, metavar="NAME", help="catalogue name, or org/name")
TUNED = typer.Option(
    None, parser=tuned_folder, metavar="FOLDER", help="a folder of finetune, or: course"
)
PASSAGES = typer.Option(None, "-k", min=1, help="passages shown (default: what suits the model)")


def print_result(text: str, data: object, as_json: bool) -> None:
    """Print a result as text or as one JSON object."""
    typer.echo(json.dumps(data, ensure_ascii=False, default=str) if as_json else text)

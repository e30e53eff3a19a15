"""What the doors of the command line share: arguments and printing.

Knows: argparse. Does not know: what any command does.
Used by ``__main__`` and the ``door_*`` modules.
"""

import argparse
import json


def model_name(text: str) -> str:
    """Accept a catalogue name or ``auto``."""
    from labkit.catalogue import CATALOGUE

    if text != "auto" and text not in CATALOGUE:
        known = ", ".join(CATALOGUE)
        raise argparse.ArgumentTypeError(f"there is no model {text!r}; choose one of {known}")
    return text


def embedder_name(text: str) -> str:
    """Accept an embedding model of the catalogue or of a service, such as ``NAME@512``."""
    from labkit.catalogue import CATALOGUE
    from labkit.services.embed_services import MODELS, is_served, parse_name

    local = [card.name for card in CATALOGUE.values() if card.task == "embed"]
    if text in local:
        return text
    if not is_served(text):
        known = ", ".join([*local, *MODELS])
        raise argparse.ArgumentTypeError(f"no model {text!r} embeds; choose one of {known}")
    try:
        parse_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def positive(text: str) -> int:
    """Accept a whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def json_flag(command: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    command.add_argument("--json", action="store_true", help="print one JSON object instead")


def db_flag(command: argparse.ArgumentParser, default: str = "") -> None:
    """Add ``--db``, required unless there is a default."""
    text = "folder of the database" + (f" (default: {default})" if default else "")
    command.add_argument("--db", required=not default, help=text)


def print_result(text: str, data: object, as_json: bool) -> None:
    """Print a result as text or as one JSON object."""
    print(json.dumps(data, ensure_ascii=False, default=str) if as_json else text)

"""The doors ``doctor``, ``fetch`` and ``lab``: get a machine ready.

Knows: arguments. Does not know: what is looked at (``doctor``), how files come here (``fetch``) or
how JupyterLab starts (``authoring.lab``).
"""

from dataclasses import asdict
from pathlib import Path

from typer import Argument, Option

from labkit.cli.common import JSON, model_name, print_result

WHICH = "catalogue names (default: the two small models, and the course's database)"


def doctor(as_json: bool = JSON) -> int:
    """Say what runs on this machine, and what to fix."""
    from labkit.classroom import doctor

    report = doctor.examine()
    data = asdict(report) | {"healthy": report.healthy}
    print_result(doctor.render(report), data, as_json)
    return 0 if report.healthy else 1


def fetch(
    model: list[str] = Argument(None, parser=model_name, metavar="MODEL", help=WHICH),
    given: Path = Option(None, "--from", help="a folder that holds the file or package"),
    suited: bool = Option(False, "--suited", help="what suits this machine, beside those two"),
    show: bool = Option(False, "--list", help="list the catalogue and stop"),
) -> None:
    """Bring models into the cache and check their hash."""
    from labkit import catalogue, fetch, hardware

    if show:
        for card in catalogue.CATALOGUE.values():
            state = "here" if fetch.is_fetched(card.name) else card.source
            print(f"{card.name:24} {card.n_parameters / 1e6:8.0f} M  {state:9} {card.about}")
        return
    wanted = model or [catalogue.EMBEDDING_MODEL, catalogue.SMALL_MODEL]
    if suited and hardware.detect().ram_bytes >= catalogue.READER_RAM_BYTES:
        wanted = [*wanted, catalogue.READER]
    for name in wanted:
        fetch.fetch(name, given=given)
    if not model:
        from labkit.store import course

        print("course documents: preparing the database", flush=True)
        print(f"course documents: {course.open_course_store().count()} chunks ready")


def lab(port: int = Option(0, help="0 picks a free one")) -> int:
    """Open JupyterLab on lesson 00."""
    from labkit.authoring import lab

    return lab.start(port=port)

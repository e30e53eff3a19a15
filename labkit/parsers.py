"""Parsers: one file in, its raw documents out.

Knows: file formats (md, txt, csv, pdf, docx, xlsx, html) and YAML front matter.
Does not know: folders, document ids (``corpus``) or chunks (``chunking``).
Used by lessons 02, 04 and 12 through ``labkit.corpus``.
"""

import csv
import io
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from labkit.types import Scalar

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
# How a column is read whose cells all look like this; any other column is text.
_CELLS: dict[re.Pattern[str], Callable[[str], Scalar]] = {
    re.compile("(?ai)true|false"): lambda cell: cell.lower() == "true",
    re.compile(r"[+-]?(?:0|[1-9]\d{0,17})"): int,
    re.compile(r"[+-]?(?:0|[1-9]\d{0,17})(?:\.\d{1,17})?(?:[eE][+-]?\d{1,2})?"): float,
}
# markitdown loses a PDF's headings; a short numbered line on its own, such as "3 Cooling", is one.
_PDF_HEADING = re.compile(r"(?<=\n\n)(\d{1,2}(?:\.\d{1,2})*\s[^\n]{1,60}[^\n.,;:!?])(?=\n\n)")
_CONVERTERS = {
    ".pdf": "PdfConverter",
    ".docx": "DocxConverter",
    ".xlsx": "XlsxConverter",
    ".html": "HtmlConverter",
    ".htm": "HtmlConverter",
}
_MAGIC = {".pdf": b"%PDF-", ".docx": b"PK\x03\x04", ".xlsx": b"PK\x03\x04"}
_OLD_OFFICE = bytes.fromhex("d0cf11e0a1b11ae1")

# Every chunk carries title, id and metadata: a megabyte there would be multiplied by the chunks.
LONGEST_NAME = 200
LONGEST_VALUE = 10_000

SUPPORTED = (".md", ".txt", ".csv", *_CONVERTERS)


class CannotRead(ValueError):
    """A file that cannot become a document; the message is the reason."""


@dataclass(frozen=True)
class RawDocument:
    """What one file says about itself, empty where it says nothing; ``row`` names a CSV row."""

    text: str
    row: str = ""
    id: str = ""
    title: str = ""
    kind: str = ""
    date: str | None = None
    metadata: dict[str, Scalar] = field(default_factory=dict)


def read_file(path: Path) -> Iterator[RawDocument]:
    """Yield the documents of one file: one, or for a CSV one for each row.

    Raises
    ------
    CannotRead
        With the reason, if the file is empty, binary, encrypted, broken or of an unknown kind.
    OSError
        If the file cannot be opened.
    """
    ending = path.suffix.lower()
    if ending not in SUPPORTED:
        raise CannotRead(f"ending {ending!r} is not supported; use one of {' '.join(SUPPORTED)}")
    if path.stat().st_size == 0:
        raise CannotRead("empty file")
    if ending == ".csv":
        yield from _read_csv(path)
    elif ending in _CONVERTERS:
        yield _convert(path.read_bytes(), ending)
    else:
        yield _read_text(_decode(path.read_bytes()))


def clean(text: str) -> str:
    """Return ``text`` with Unix line ends and without half characters that no file can hold."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    return lines.encode("utf-8", "replace").decode("utf-8")


def _decode(data: bytes) -> str:
    if b"\0" in data:
        raise CannotRead("binary data, or UTF-16; save it as UTF-8 text")
    try:
        return clean(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise CannotRead(f"not UTF-8 at byte {error.start}; save it as UTF-8") from error


def _read_text(text: str) -> RawDocument:
    match = _FRONT_MATTER.match(text)
    facts = _front_matter(match.group(1)) if match else {}
    body = text[match.end() :] if match else text
    if not body.strip():
        raise CannotRead("no text")
    day = facts.pop("date", None)
    if day is not None and not _is_iso_date(str(day)):
        raise CannotRead(f"front matter date {day!r} is not an ISO date such as 2020-03-18")
    named = {key: " ".join(str(facts.pop(key, "")).split()) for key in ("id", "title", "kind")}
    for key, value in named.items():
        if len(value) > LONGEST_NAME:
            raise CannotRead(f"front matter {key} is longer than {LONGEST_NAME} characters")
    named["title"] = named["title"] or _first_title(body)
    return RawDocument(body, date=str(day)[:10] if day else None, metadata=facts, **named)


def _front_matter(block: str) -> dict[str, Scalar]:
    import yaml

    try:
        facts = yaml.safe_load(block)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first_line = str(error).partition("\n")[0]
        raise CannotRead(f"front matter is not valid YAML: {first_line}") from error
    facts = {} if facts is None else facts
    if not isinstance(facts, dict):
        raise CannotRead("front matter is not a list of 'key: value' lines")
    if any(len(str(key)) > LONGEST_NAME for key in facts):
        raise CannotRead(f"front matter has a key longer than {LONGEST_NAME} characters")
    checked = {clean(str(key)): _scalar(key, value) for key, value in facts.items()}
    return {key: value for key, value in checked.items() if value is not None}


def _scalar(key: object, value: object) -> Scalar | None:
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, str):
        if len(value) > LONGEST_VALUE:
            raise CannotRead(f"front matter key {str(key)!r} holds over {LONGEST_VALUE} characters")
        return clean(value)
    if value is None or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise CannotRead(
        f"front matter key {str(key)!r} holds a {type(value).__name__}; use one text, number, "
        "date, true or false"
    )


def _is_iso_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return re.match(r"\d{4}-\d\d-\d\d", text) is not None


def _first_title(text: str) -> str:
    """Return the first line if it reads like a title: a ``# heading``, or short and no sentence."""
    line = text.strip().partition("\n")[0].strip()
    if len(line) > LONGEST_NAME:
        return ""
    if line.startswith("# "):
        return line[2:].strip()
    looks_like_prose = len(line.split()) > 12 or line[-1:] in set(".,;:!?")
    return "" if looks_like_prose or line[:1] in set("#|-*>`<[") else line


def _convert(data: bytes, ending: str) -> RawDocument:
    """Turn a PDF, Office or HTML file into markdown; markitdown's own guessing is left out.

    Given a broken file, ``MarkItDown().convert`` falls back to reading it as plain text.
    """
    # markitdown brings onnxruntime, which would note the machine in the user's cache folder.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    from markitdown import StreamInfo, converters

    if data.startswith(_OLD_OFFICE):
        raise CannotRead("encrypted, or an old Office format; save it again without a password")
    if _MAGIC.get(ending, b"") not in data[:1024]:
        raise CannotRead(f"not a real {ending[1:]} file, whatever its name says")
    if ending in (".html", ".htm"):
        data = _decode(data).encode()
    converter = getattr(converters, _CONVERTERS[ending])()
    try:
        result = converter.convert(io.BytesIO(data), StreamInfo(extension=ending, charset="utf-8"))
    except Exception as error:  # these parsers raise anything on a broken file
        name = type(error).__name__
        reason = "encrypted; save it without a password" if "Password" in name else "broken file"
        raise CannotRead(f"{reason} ({name} {error})".replace(" )", ")")) from error
    text = clean(result.markdown).replace("\0", "")
    if not text.strip():
        raise CannotRead("no text inside; scanned pages need text recognition first")
    title = clean(result.title or "").strip()[:LONGEST_NAME] or _first_title(text)
    return RawDocument(_PDF_HEADING.sub(r"## \1", text) if ending == ".pdf" else text, title=title)


def _read_csv(path: Path) -> Iterator[RawDocument]:
    """Yield each row as a document; a first pass checks the file and finds the columns' types.

    Types hold for a whole column: one cell that is no number makes the column text.
    """
    header, parsers, unique = _survey(path)
    rows = _rows(path)
    next(rows)
    for number, row in enumerate(rows, 1):
        cells = [(name, " ".join(cell.split())) for name, cell in zip(header, row, strict=False)]
        filled = [(name, cell) for name, cell in cells if cell]
        yield RawDocument(
            text="; ".join(f"{name.replace('_', ' ')}: {cell}" for name, cell in filled),
            row=cells[0][1] if unique else str(number),
            title=path.stem.replace("_", " "),
            kind="table",
            metadata={f"{path.stem}.{name}": parsers[name](cell) for name, cell in filled},
        )


def _survey(path: Path) -> tuple[list[str], dict[str, Callable[[str], Scalar]], bool]:
    rows = _rows(path)
    header = [" ".join(name.split()) for name in next(rows, [])]
    if not all(header) or len(set(header)) < len(header):
        raise CannotRead("the first row must name every column, each differently")
    if max(map(len, header)) > LONGEST_NAME:
        raise CannotRead(f"a column's name is longer than {LONGEST_NAME} characters")
    looks = {name: list(_CELLS) for name in header}
    keys: set[str] = set()
    n_rows = 0
    for n_rows, row in enumerate(rows, 1):
        if any(cell.strip() for cell in row[len(header) :]):
            raise CannotRead(
                f"row {n_rows} has {len(row)} cells for {len(header)} columns; "
                "put quotes around a cell that holds the separator"
            )
        for name, cell in zip(header, map(str.strip, row), strict=False):
            if cell:
                looks[name] = [look for look in looks[name] if look.fullmatch(cell)]
        keys.add(" ".join(row[0].split()))
    if n_rows == 0:
        raise CannotRead("no rows below the first")
    parsers = {name: _CELLS[look[0]] if look else str for name, look in looks.items()}
    are_names = "" not in keys and max(map(len, keys)) <= LONGEST_NAME
    return header, parsers, len(keys) == n_rows and are_names


def _rows(path: Path) -> Iterator[list[str]]:
    """Yield the rows that hold anything; the separator is the one most used in the first line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            separator = max(",;\t|", key=first.count)
            file.seek(0)
            for row in csv.reader(file, delimiter=separator, strict=True):
                if any("\0" in cell for cell in row):
                    raise CannotRead("binary data, or UTF-16; save it as UTF-8 text")
                if any(cell.strip() for cell in row):
                    yield row
    except UnicodeDecodeError as error:
        raise CannotRead(f"not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except csv.Error as error:
        raise CannotRead(f"not valid CSV: {error}") from error

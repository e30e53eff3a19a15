"""The corpus: folders in, documents out, and chunks of them.

Knows: what a document is, how files are found and what their documents are called.
Does not know: file formats (``parsers``), sentences (``chunking``), embeddings or LanceDB.
Used by every lesson from 02 on.
"""

import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

from labkit.chunking import chunk_document, split_sentences
from labkit.parsers import CannotRead, RawDocument, clean, read_file
from labkit.types import AnyPath, Document, Unreadable

__all__ = ["as_paths", "chunk_document", "read_documents", "split_sentences"]


def read_documents(
    paths: Iterable[AnyPath] | AnyPath,
    *,
    unreadable: list[Unreadable],
    on_file: Callable[[int, int], None] | None = None,
) -> Iterator[Document]:
    """Yield the documents of files and folders one by one; only their ids stay in memory.

    An id is the front matter's ``id``, else the file's stem, else (if two files share it) the
    path below the folder; a row adds its first column, or its number if that is not unique.
    Hidden files are skipped; links out of the folder are not followed.

    Parameters
    ----------
    paths
        Files and folders; overlapping ones are read once.
    unreadable
        Filled, while you iterate, with what was left out and why.
    on_file
        Called as ``on_file(done, total)`` after each file.

    Raises
    ------
    FileNotFoundError
        If one of ``paths`` does not exist.
    """
    files = list(_find_files(as_paths(paths), unreadable))
    stems = Counter(_stem(path) for path, _ in files)
    owners: dict[str, str] = {}
    for done, (path, root) in enumerate(files, 1):
        alone = stems[_stem(path)] == 1
        name = clean(path.stem if alone else path.relative_to(root).as_posix())
        for raw in _read(path, unreadable):
            document = _document(raw, path, name)
            owner = owners.setdefault(document.id, document.path)
            if owner != document.path:
                reason = f"its id {document.id!r} is already used by {owner}"
                unreadable.append(Unreadable(document.path, reason))
            else:
                yield document
        if on_file is not None:
            on_file(done, len(files))


def as_paths(paths: Iterable[AnyPath] | AnyPath) -> list[Path]:
    """Return one path or many as a list.

    Raises
    ------
    FileNotFoundError
        If one does not exist.
    """
    several = [paths] if isinstance(paths, str | PurePath) else list(paths)
    found = [Path(path) for path in several]
    for path in found:
        if not path.exists():
            raise FileNotFoundError(f"There is no {str(path)!r}; check the path.")
    return found


def _stem(path: Path) -> tuple[str, bool]:
    """Tables are counted apart: ``torques.csv`` beside ``torques.md`` keeps its ids."""
    return path.stem, path.suffix.lower() == ".csv"


def _find_files(roots: list[Path], unreadable: list[Unreadable]) -> Iterator[tuple[Path, Path]]:
    """Yield each file, and the folder that its name starts from."""
    seen: set[str] = set()
    for root in roots:
        for path in [root] if root.is_file() else _walk(root, unreadable):
            target = os.path.realpath(path)
            if target in seen:
                continue
            seen.add(target)
            if reason := _why_not_a_file(path, target, root):
                unreadable.append(_left_out(path, reason))
            else:
                yield path, root.parent if path == root else root


def _walk(root: Path, unreadable: list[Unreadable]) -> Iterator[Path]:
    def report(error: OSError) -> None:
        unreadable.append(_left_out(Path(error.filename), error.strerror or "cannot be listed"))

    for folder, subfolders, names in os.walk(root, onerror=report):
        visible = sorted(name for name in subfolders if not name.startswith("."))
        for name in visible:
            if os.path.islink(os.path.join(folder, name)):
                unreadable.append(_left_out(Path(folder, name), "a link to a folder"))
        subfolders[:] = visible
        for name in sorted(names):
            if not name.startswith((".", "~$")):
                yield Path(folder, name)


def _why_not_a_file(path: Path, target: str, root: Path) -> str | None:
    if path.is_symlink() and path != root:
        if not Path(target).is_relative_to(os.path.realpath(root)):
            return "a link that leaves the folder"
        if not os.path.exists(target):
            return "a broken link"
    try:
        # Reading a pipe or a device would wait for ever.
        return None if stat.S_ISREG(os.stat(path).st_mode) else "not a regular file"
    except OSError as error:
        return error.strerror or "cannot be opened"


def _read(path: Path, unreadable: list[Unreadable]) -> Iterator[RawDocument]:
    try:
        yield from read_file(path)
    except (CannotRead, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        unreadable.append(_left_out(path, reason))


def _left_out(path: Path, reason: str) -> Unreadable:
    return Unreadable(clean(path.as_posix()), reason)


def _document(raw: RawDocument, path: Path, name: str) -> Document:
    facts: dict[str, Any] = {
        "id": f"{name}:{raw.row}" if raw.row else raw.id or name,
        "title": raw.title or clean(path.stem),
        "kind": raw.kind or clean(path.resolve().parent.name),
        "date": raw.date,
        "text": raw.text,
        "metadata": raw.metadata,
    }
    packed = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(packed.encode()).hexdigest()
    return Document(**facts, path=clean(path.as_posix()), content_hash=digest)

"""The table behind the store: its columns, how it is made, and who may write to it.

Knows: the fixed columns, the embedding model's name kept with them, the writers' lock.
Does not know: what is ingested (``ingest``) or searched (``search``).
Used by every lesson from 02 on through ``open_store``.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from labkit.store.filters import FIXED
from labkit.store.ingest import FTS_COLUMN
from labkit.types import AnyPath, Embedder

TABLE = "chunks"
# LanceDB tells these apart in words only: EFBIG, ENOSPC and EDQUOT; EACCES, EPERM and EROFS.
_FULL = re.compile(r"os error (27|28|122)\b")
_FORBIDDEN = re.compile(r"os error (1|13|30)\b")


def connect(folder: Path) -> Any:
    """Return LanceDB's connection to a local folder."""
    import lancedb

    # Zero: every search sees what another process has committed meanwhile.
    return lancedb.connect(str(folder), read_consistency_interval=timedelta(0))


class StoreError(OSError):
    """A database that cannot be used now: the message names its folder and what to do."""


@contextmanager
def explained(db_dir: AnyPath) -> Iterator[None]:
    """Turn what LanceDB raises over a full disk or damaged files into one sentence.

    Raises
    ------
    StoreError
        If so. Documents are never touched, so that a damaged database costs no more than
        ingesting them again.
    """
    try:
        yield
    except BaseException as error:  # a panic in its Rust code is no Exception
        said = str(error)
        if not _is_lancedbs(error) or "conflict" in said:
            raise
        reason = said.partition(", /")[0].removeprefix("lance error: ")
        if _FULL.search(said):
            raise StoreError(
                f"The disk is full, or a file limit is reached, while writing to {str(db_dir)!r}. "
                "What was committed is whole: free some space and run the same command again."
            ) from error
        forbidden = StoreError(f"The database in {str(db_dir)!r} cannot be used: {reason}.")
        raise (forbidden if _FORBIDDEN.search(said) else _damaged(db_dir, reason)) from error


def _damaged(db_dir: AnyPath, reason: str) -> StoreError:
    return StoreError(
        f"The database in {str(db_dir)!r} is damaged ({reason}). Your documents are not: delete "
        "that folder and ingest them again."
    )


def _is_lancedbs(error: BaseException) -> bool:
    if type(error).__name__ in ("PanicException", "RustPanic"):
        return True
    words = ("lance error", "LanceError", "Lance file", "lancedb", "External error", "panicked")
    kinds = RuntimeError, ValueError, OSError
    ours = isinstance(error, StoreError) or not isinstance(error, kinds)
    return not ours and any(word in str(error) for word in words)


def writer_lock(folder: str) -> Any:
    """Return a lock for one writer at a time, which the system frees when a process dies.

    Two that insert the same new document at once are no conflict to LanceDB: both rows would stay.
    """
    from filelock import FileLock

    return FileLock(Path(folder) / "writer.lock")


def open_or_create(connection: Any, embedder: Embedder) -> Any:
    """Return the table, made with its text index if it is missing or was killed half made."""
    from lancedb.index import FTS

    if not _is_complete(connection):
        with writer_lock(connection.uri):
            if not _is_complete(connection):
                _refuse_data_without_versions(Path(connection.uri))
                schema = _schema(embedder)
                table = connection.create_table(TABLE, schema=schema, exist_ok=True)
                # Made while empty, so that text search works from the first version on.
                table.create_index(FTS_COLUMN, config=FTS())
    return connection.open_table(TABLE)


def _refuse_data_without_versions(folder: Path) -> None:
    """Refuse to begin anew over rows whose list is gone; a killed start leaves no rows."""
    table = folder / f"{TABLE}.lance"
    if any(table.glob("data/*.lance")) and not any(table.glob("_versions/*.manifest")):
        raise _damaged(folder, "its list of versions is gone")


def _is_complete(connection: Any) -> bool:
    """Tell whether table and text index are there; a kill can leave the folder without them."""
    try:
        return len(connection.open_table(TABLE).list_indices()) > 0
    except ValueError:  # LanceDB's answer when there is no such table
        return False


def _schema(embedder: Embedder) -> pa.Schema:
    types = {"position": pa.int64(), "vector": pa.list_(pa.float32(), embedder.dimension)}
    fields = [
        pa.field(name, types.get(name, pa.string()), nullable=name == "date") for name in FIXED
    ]
    return pa.schema(fields, metadata=_signature(embedder))


def _signature(embedder: Embedder) -> dict[str, str]:
    return {"embedder": embedder.name, "dimension": str(embedder.dimension)}


def embedder_of(db_dir: AnyPath) -> str | None:
    """Return the model that the store in a folder was made with; ``None`` without a store."""
    folder = Path(db_dir).resolve()
    if not (folder / f"{TABLE}.lance").is_dir():
        return None
    try:
        with explained(db_dir):
            metadata = connect(folder).open_table(TABLE).schema.metadata or {}
    except ValueError:  # killed half made
        return None
    return metadata.get(b"embedder", b"").decode() or None


def require_same_embedder(table: Any, embedder: Embedder, db_dir: AnyPath) -> None:
    """Refuse a table whose vectors come from another model: their distances would mean nothing.

    Raises
    ------
    ValueError
        Naming both models.
    """
    metadata = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    if metadata != _signature(embedder):
        made_with = f"{metadata.get('embedder')} ({metadata.get('dimension')} dimensions)"
        raise ValueError(
            f"The store in {str(db_dir)!r} was made with {made_with}, not with {embedder.name} "
            f"({embedder.dimension}); open it with that model or ingest into a new folder."
        )

"""Vector indexes in LanceDB: bare tables of ids and vectors, made, indexed and asked.

Knows: LanceDB's kinds of vector index and what each may be told at search time.
Does not know: texts, chunks or the store (``database``), nor how fast anything is.
Used by lesson 03 and ``python -m labkit bench retrieval``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

Kind = Literal["flat", "IVF_FLAT", "IVF_SQ", "IVF_PQ", "IVF_RQ", "IVF_HNSW_SQ"]

NO_HIT = -1
TABLE = "vectors"
_ROWS_A_BATCH = 50_000
# Rows a centroid that k-means learns from. LanceDB's own 256 takes four times as long.
_SAMPLE_RATE = 64


def create_table(folder: Path, vectors: np.ndarray) -> Any:
    """Write ``vectors`` with ids 0 to n - 1 to a new table, batch by batch.

    Parameters
    ----------
    folder
        A local folder, for the whole database; an earlier table there is replaced.
    vectors
        ``(n, d) float32``; may be a memory map, for only one batch is read at a time.

    Raises
    ------
    ValueError
        If ``vectors`` is not a matrix with at least one row.
    """
    import lancedb

    if vectors.ndim != 2 or len(vectors) == 0:
        raise ValueError(f"vectors has the shape {vectors.shape}; give (n, d) with n of 1 or more.")
    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), vectors.shape[1]))])
    reader = pa.RecordBatchReader.from_batches(schema, _batches(vectors, 0, schema))
    return lancedb.connect(str(folder)).create_table(TABLE, reader, mode="overwrite")


def add_vectors(table: Any, vectors: np.ndarray) -> None:
    """Append ``vectors`` ``(m, d)``, with the ids that follow the last one."""
    batches = _batches(vectors, table.count_rows(), table.schema)
    table.add(pa.Table.from_batches(batches, table.schema))


def open_table(folder: Path) -> Any:
    """Open a table that ``create_table`` wrote."""
    import lancedb

    return lancedb.connect(str(folder)).open_table(TABLE)


def build_index(
    table: Any,
    kind: Kind,
    *,
    n_partitions: int | None = None,
    n_subvectors: int = 48,
    n_bits: int = 1,
    n_iterations: int = 25,
) -> None:
    """Build a vector index for the cosine distance, replacing an earlier one.

    Parameters
    ----------
    table
        Of ``create_table``.
    kind
        ``"flat"`` builds none: exact search. ``IVF_*`` looks into some partitions only, and keeps
        the vectors there whole (``FLAT``), in one byte a number (``SQ``), in one byte for several
        numbers (``PQ``), in a few bits a number (``RQ``), or as a graph (``HNSW_SQ``).
    n_partitions
        About the square root of the number of rows unless given; 1 for ``IVF_HNSW_SQ``.
    n_subvectors
        Bytes a vector of ``IVF_PQ``; must divide the dimension.
    n_bits
        Bits a number of ``IVF_RQ``.
    n_iterations
        Of k-means at most.

    Raises
    ------
    ValueError
        If there is no such kind, or ``n_subvectors`` does not divide the dimension.
    """
    from lancedb import index

    if kind not in get_args(Kind):
        raise ValueError(f"There is no kind {kind!r}; use one of {', '.join(get_args(Kind))}.")
    if kind == "flat":
        return
    dimension = table.schema.field("vector").type.list_size
    if kind == "IVF_PQ" and dimension % n_subvectors:
        raise ValueError(f"{n_subvectors} subvectors do not divide {dimension} numbers evenly.")
    kinds = {
        "IVF_FLAT": (index.IvfFlat, {}),
        "IVF_SQ": (index.IvfSq, {}),
        "IVF_PQ": (index.IvfPq, {"num_sub_vectors": n_subvectors}),
        "IVF_RQ": (index.IvfRq, {"num_bits": n_bits}),
        "IVF_HNSW_SQ": (index.HnswSq, {"m": 16, "ef_construction": 100}),
    }
    make, own = kinds[kind]
    config = make(
        distance_type="cosine",
        num_partitions=n_partitions or (1 if "HNSW" in kind else round(table.count_rows() ** 0.5)),
        max_iterations=n_iterations,
        sample_rate=_SAMPLE_RATE,
        **own,
    )
    table.create_index("vector", config=config, name="vector_idx", replace=True)


def search_ids(
    table: Any,
    queries: np.ndarray,
    k: int,
    *,
    where: str | None = None,
    postfilter: bool = False,
    fast_search: bool = False,
    **told: int,
) -> np.ndarray:
    """Return the ids of the nearest ``k`` rows of each query, nearest first.

    All queries go out in one call, which shares the fixed cost of a call among them.

    Parameters
    ----------
    queries
        ``(q, d) float32``.
    k
        Neighbours a query.
    where, postfilter
        A condition, applied before the search or to its ``k`` results.
    fast_search
        Leave out rows that the index does not know yet.
    told
        LanceDB's own settings: ``nprobes``, the partitions to look into; ``refine_factor``, how
        many times ``k`` candidates are ranked by their true vectors; ``ef``, the candidates that
        a graph search keeps.

    Returns
    -------
    numpy.ndarray
        ``(q, k) int64``; ``NO_HIT`` where fewer than ``k`` rows were found.
    """
    search = _search(table, queries, k, told).select(["id", "_distance"])
    if where is not None:
        search = search.where(where, prefilter=not postfilter)
    if fast_search:
        search = search.fast_search()
    found = search.to_arrow()
    ids, distances = found["id"].to_numpy(), found["_distance"].to_numpy()
    return _as_matrix(ids, distances, _query_numbers(found), (len(queries), k))


def search_and_refine(
    table: Any, queries: np.ndarray, k: int, *, n_candidates: int, **told: int
) -> np.ndarray:
    """Return what ``search_ids`` returns, refined for all queries together.

    LanceDB's own ``refine_factor`` reads the true vectors query by query. Here the index gives
    ``n_candidates`` a query, their vectors are read once in one call, and NumPy ranks them by the
    cosine. The trade-off: the candidates' vectors of all queries are in memory at once.

    Parameters
    ----------
    queries, k, told
        As in ``search_ids``; the queries and the stored vectors are unit vectors.
    n_candidates
        Candidates a query, ``k`` or more.

    Raises
    ------
    ValueError
        If ``n_candidates`` is below ``k``.
    """
    if n_candidates < k:
        raise ValueError(f"{n_candidates} candidates are fewer than the {k} neighbours asked for.")
    search = _search(table, queries, n_candidates, told)
    found = search.select(["_distance"]).with_row_id(True).to_arrow()
    numbers = _query_numbers(found)
    row_ids, places = np.unique(found["_rowid"].to_numpy(), return_inverse=True)
    rows = table.take_row_ids(row_ids.tolist()).select(["id", "vector"]).to_arrow()
    vectors = rows["vector"].combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
    scores = np.einsum("nd,nd->n", vectors[places], queries[numbers])
    return _as_matrix(rows["id"].to_numpy()[places], -scores, numbers, (len(queries), k))


def bytes_on_disk(folder: Path) -> dict[str, int]:
    """Return ``{"index_bytes", "data_bytes"}`` of a database folder; old versions count too."""
    sizes = {"index_bytes": 0, "data_bytes": 0}
    for path in folder.rglob("*"):
        if path.is_file():
            part = "index_bytes" if "_indices" in path.parts else "data_bytes"
            sizes[part] += path.stat().st_size
    return sizes


def _search(table: Any, queries: np.ndarray, k: int, told: Mapping[str, int]) -> Any:
    one = queries[0] if len(queries) == 1 else queries  # LanceDB is faster with a plain vector
    # Naming the column saves a call that would look it up in the schema.
    search = table.search(one, vector_column_name="vector").distance_type("cosine").limit(k)
    for setting, value in told.items():
        search = getattr(search, setting)(value)
    return search


def _query_numbers(found: pa.Table) -> np.ndarray:
    if "query_index" in found.column_names:
        return found["query_index"].to_numpy()
    return np.zeros(len(found), np.int64)  # LanceDB leaves the column out for a single query


def _as_matrix(
    ids: np.ndarray, costs: np.ndarray, numbers: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Return the cheapest ids of each query; ``numbers`` says whose each id is."""
    order = np.lexsort((costs, numbers))
    ids, numbers = ids[order], numbers[order]
    matrix = np.full(shape, NO_HIT, np.int64)
    rank = np.arange(len(numbers)) - np.searchsorted(numbers, numbers)
    kept = rank < shape[1]
    matrix[numbers[kept], rank[kept]] = ids[kept]
    return matrix


def _batches(vectors: np.ndarray, first_id: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(vectors), _ROWS_A_BATCH):
        block = np.ascontiguousarray(vectors[start : start + _ROWS_A_BATCH], np.float32)
        ids = pa.array(np.arange(first_id + start, first_id + start + len(block)))
        column = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), block.shape[1])
        yield pa.RecordBatch.from_arrays([ids, column], schema=schema)

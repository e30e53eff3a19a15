"""Filters: metadata as typed columns, and conditions on them built from plain data.

Knows: how a metadata key becomes a column, and LanceDB's expressions.
Does not know: how rows are written (``ingest``) or searched (``search``).
Used by lessons 02 and 05 through ``Store.search``.
"""

import operator
import re
import sys
from collections.abc import Mapping
from functools import reduce
from typing import Any

import pyarrow as pa

from labkit.types import Scalar

FIXED = (
    "chunk_id document_id document_key fingerprint source title heading kind date position text "
    "passage metadata vector"
).split()
# Written by every document; the other fixed columns are the store's own business.
_OFFERED = ("document_id", "title", "heading", "kind", "date")
_RESERVED = {*FIXED, "query_index"}
Where = Mapping[str, Any] | None  # conditions as data; see build_filter
_KINDS = {bool: "true/false", int: "number", float: "number", str: "text"}  # a bool is an int
_ARROW_TYPES = {"number": pa.float64(), "true/false": pa.bool_(), "text": pa.string()}
_OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class LeftOut(ValueError):
    """A document that cannot go into this table."""


def column_name(key: str) -> str:
    """Return the column that holds a metadata key: small letters, digits and ``_`` only.

    No document can name a fixed column: a key that would is set apart by ``meta_``.

    Examples
    --------
    >>> column_name("torques.Torque (Nm)"), column_name("vector")
    ('torques__torque__nm_', 'meta_vector')
    """
    name = re.sub(r"\W", "_", key.lower().replace(".", "__"))
    return f"meta_{name}" if name in _RESERVED or name.startswith("_") or not name else name


def kind_of(value: object) -> str:
    """Return ``"number"``, ``"text"`` or ``"true/false"``, the three kinds a column can have.

    Integers and floats share a kind, so that 3 in one document and 3.5 in the next do not clash;
    beyond 2**53 a filter on a number is therefore approximate.
    """
    kinds = (kind for python, kind in _KINDS.items() if isinstance(value, python))
    return next(kinds, type(value).__name__)


def metadata_values(metadata: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return a document's metadata by column.

    Raises
    ------
    LeftOut
        If two keys lead to the same column.
    """
    values: dict[str, Scalar] = {}
    for key, value in metadata.items():
        name = column_name(key)
        if name in values:
            raise LeftOut(f"two of its metadata keys become the column {name!r}; rename {key!r}")
        values[name] = float(value) if kind_of(value) == "number" else value
    return values


def metadata_columns(schema: pa.Schema) -> dict[str, str]:
    """Return name and kind of the table's metadata columns."""
    kinds = {arrow: kind for kind, arrow in _ARROW_TYPES.items()}
    return {field.name: kinds[field.type] for field in schema if field.name not in FIXED}


def arrow_field(name: str, kind: str) -> pa.Field:
    """Return the Arrow field of a metadata column; it may be null in any row."""
    return pa.field(name, _ARROW_TYPES[kind])


def build_filter(where: Where, schema: pa.Schema) -> Any:
    """Turn plain data into one LanceDB condition; every entry must hold.

    A value asks for equality, a list for any of its values, a tuple names its operator:
    ``{"turbine": "NV-117", "kind": ["bulletin", "manual"], "torques.torque_nm": (">", 500)}``.
    Nothing is pasted into SQL text, so no value can change the meaning of the query. A chunk
    without the column never matches, not even ``!=``.

    Raises
    ------
    ValueError
        If a column or operator is unknown or a value is not of the column's kind.
    """
    if not where:
        return None
    columns = dict.fromkeys(_OFFERED, "text") | metadata_columns(schema)
    parts = []
    for key, wanted in where.items():
        name = key if key in _OFFERED else column_name(key)
        if name not in columns:
            raise ValueError(
                f"There is no column {key!r}; use one of {', '.join(sorted(columns))}."
            )
        parts.append(_condition(name, columns[name], wanted))
    return reduce(operator.and_, parts)


def _condition(name: str, kind: str, wanted: object) -> Any:
    from lancedb.expr import col, lit

    if isinstance(wanted, list | set | frozenset):
        if not wanted:
            raise ValueError(f"The list for {name!r} is empty; name at least one value.")
        return col(name).isin([lit(_checked(name, kind, value)) for value in wanted])
    pair = wanted if isinstance(wanted, tuple) else ("==", wanted)
    if len(pair) != 2 or pair[0] not in list(_OPERATORS):
        allowed = ", ".join(_OPERATORS)
        raise ValueError(f"{wanted!r} for {name!r} is not (operator, value); use one of {allowed}.")
    return _OPERATORS[pair[0]](col(name), lit(_checked(name, kind, pair[1])))


def _checked(name: str, kind: str, value: Any) -> Any:
    if kind_of(value) != kind:
        raise ValueError(f"{name!r} holds {kind}; it cannot be compared with {value!r}.")
    if kind != "number":
        return value
    if not abs(value) <= sys.float_info.max:  # nor is a NaN
        raise ValueError(f"{name!r} cannot be compared with {value!r}; use a finite number.")
    return float(value)

"""Filters: one that is built from any value matches the rows that a plain predicate matches."""

import operator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labkit.store.filters import arrow_field, build_filter, column_name

NASTY = ["x", "' OR 'a'='a", "\\", '"', "%", "_", "--", "NULL", "ÄÖ 🙂", "a\nb", ";DROP TABLE t"]
TEXT = st.sampled_from(NASTY) | st.text(max_size=8)
NUMBER = st.sampled_from([0, 1, -1, 2.5, 2**53]) | st.floats(allow_nan=False) | st.integers()
ORDER = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ROWS: list[dict[str, Any]] = [
    {"document_id": text, "turbine": text if i % 3 else None, "year": year, "spare": spare}
    for i, (text, year, spare) in enumerate(
        zip(
            NASTY,
            [0.0, 1.0, -1.0, 2.5, 2.0**53, None, 1e300, -0.5, 7.0, None, 3.0],
            [True, False, None, True, False, True, True, None, False, False, True],
            strict=True,
        )
    )
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import lancedb
    import pyarrow as pa

    kinds = {"turbine": "text", "year": "number", "spare": "true/false"}
    fields = [pa.field("document_id", pa.string())]
    schema = pa.schema(fields + [arrow_field(name, kind) for name, kind in kinds.items()])
    connection = lancedb.connect(str(tmp_path_factory.mktemp("filters")))
    return connection.create_table("rows", pa.Table.from_pylist(ROWS, schema=schema))


def found(table: Any, where: dict[str, Any]) -> list[str]:
    condition = build_filter(where, table.schema)
    return sorted(row["document_id"] for row in table.search().where(condition).to_list())


def matches(value: Any, wanted: Any) -> bool:
    """Say what a filter means, without a database: a missing value never matches."""
    if value is None:
        return False
    if isinstance(wanted, list):
        return value in wanted
    sign, other = wanted if isinstance(wanted, tuple) else ("==", wanted)
    return ORDER[sign](value, float(other) if isinstance(value, float) else other)


def conditions(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    compared = st.tuples(st.sampled_from(list(ORDER)), values)
    return values | st.lists(values, min_size=1, max_size=3) | compared


WHERES = st.fixed_dictionaries(
    {},
    optional={
        "document_id": conditions(TEXT),
        "turbine": conditions(TEXT),
        "year": conditions(NUMBER.filter(lambda n: abs(n) < 1e308)),
        "spare": st.booleans() | st.lists(st.booleans(), min_size=1),
    },
).filter(bool)


@settings(deadline=None, max_examples=120)
@given(where=WHERES)
@example(where={"turbine": "' OR 'a'='a"})
@example(where={"turbine": ("!=", "x")})
@example(where={"turbine": ["x", "' OR 1=1 --"], "year": (">=", 0)})
def test_a_filter_finds_what_a_plain_predicate_finds(table: Any, where: dict[str, Any]) -> None:
    expected = [
        row["document_id"]
        for row in ROWS
        if all(matches(row[name], wanted) for name, wanted in where.items())
    ]
    assert found(table, where) == sorted(expected)


@pytest.mark.parametrize("sign", ORDER)
def test_every_operator_is_exact_at_every_stored_value(table: Any, sign: str) -> None:
    for name in ("document_id", "year"):
        for value in {row[name] for row in ROWS} - {None}:
            expected = [r["document_id"] for r in ROWS if matches(r[name], (sign, value))]
            assert found(table, {name: (sign, value)}) == sorted(expected), value


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | TEXT
    | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.sets(st.text()),
    max_leaves=4,
)


@settings(deadline=None, max_examples=150)
@given(where=st.dictionaries(st.sampled_from(["turbine", "year", "spare"]) | TEXT, ANYTHING))
def test_whatever_is_asked_it_is_answered_or_refused_in_words(
    table: Any, where: dict[str, Any]
) -> None:
    try:
        condition = build_filter(where, table.schema)
    except ValueError as error:
        assert str(error)
        return
    if condition is not None:
        table.search().where(condition).to_list()


@given(st.text(max_size=30))
def test_a_column_name_holds_no_character_of_any_query_language(key: str) -> None:
    name = column_name(key)
    assert name and not name.startswith("_")
    assert all(letter.isalnum() or letter == "_" for letter in name)
    assert column_name(name) == name

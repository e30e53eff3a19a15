"""Reports: recorded runs as tables and series that a lesson shows; one module a topic.

Knows: the one form of a table of claims. Does not know: how anything was measured.
"""

from collections.abc import Iterable

from labkit import results


def claims_table(rows: Iterable[tuple[str, str, str]]) -> str:
    """Return claims with what was found and where, as markdown; a blank finding is left out.

    The kind is the first word of where: recorded, measured, predicted.
    """
    header = ["claim", "what we found", "hardware and date", "kind"]
    table = [[*row, row[2].split()[0].strip(",;:")] for row in rows if row[1]]
    return results.table(header, table)

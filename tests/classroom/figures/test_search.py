"""The figures of search hold the numbers they were given; pixels are for people to look at."""

from labkit.classroom.figures import search as plots_search


def search(kind: str, recall: float, seconds: float) -> dict:
    return {"kind": kind, "recall": recall, "p50_s": seconds, "batch_s": seconds / 10}


SEARCHES = [
    search("LanceDB IVF_PQ", 0.9, 0.004),
    search("LanceDB IVF_PQ", 0.95, 0.008),
    search("hnswlib", 0.9, 0.0002),
    search("hnswlib", 0.99, 0.0004),
    search("NumPy exact", 1.0, 0.02),
    search("flat", 1.0, 0.2),
]


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    front = plots_search.pareto_front(SEARCHES)
    assert [(one["kind"], one["recall"]) for one in front] == [
        ("hnswlib", 0.9),
        ("hnswlib", 0.99),
        ("NumPy exact", 1.0),
    ]


def test_the_front_keeps_one_of_two_equal_searches() -> None:
    assert len(plots_search.pareto_front([SEARCHES[0], SEARCHES[0]])) == 1
    assert plots_search.pareto_front([]) == []


def test_recall_latency_draws_every_kind_in_milliseconds_and_the_front() -> None:
    ax = plots_search.recall_latency(SEARCHES, title="Graphs win", caption="here, today")
    drawn = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert drawn["LanceDB IVF_PQ"] == [[4.0, 0.9], [8.0, 0.95]]
    assert drawn["Pareto front"] == [[0.2, 0.9], [0.4, 0.99], [20.0, 1.0]]
    assert list(drawn) == ["Pareto front", "LanceDB IVF_PQ", "hnswlib", "NumPy exact", "flat"]
    assert ax.get_xscale() == "log" and "log scale" in ax.get_xlabel()
    hollow = {line.get_label(): line.get_markerfacecolor() == "white" for line in ax.lines[1:]}
    assert not hollow["LanceDB IVF_PQ"] and hollow["hnswlib"]


def test_recall_latency_of_batches_says_so() -> None:
    ax = plots_search.recall_latency(SEARCHES, title="", latency="batch_s")
    assert ax.lines[2].get_xydata().tolist() == [[0.02, 0.9], [0.04, 0.99]]
    assert "in one call" in ax.get_xlabel()

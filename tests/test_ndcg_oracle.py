"""Our nDCG is the library's: sentence-transformers' own evaluator on whole IR collections.

The public collection is scikit-learn's copy of the UCI handwritten digits (it ships in the package
and needs no network): an image asks, and the images of the same digit are relevant. A seeded
collection adds what the digits lack: few relevant documents, and queries that find none.
"""

from collections.abc import Sequence

import numpy as np
import pytest

from labkit.retrieval_metrics import hit_at_k, ndcg_at_k, recall_at_k, reciprocal_rank

KS = (1, 5, 10)


class LookUp:
    """The fake model: a text is the name of a row, and its vector is that row."""

    similarity_fn_name = "cosine"

    def __init__(self, rows: dict[str, np.ndarray]) -> None:
        self._rows = {name: row / np.linalg.norm(row) for name, row in rows.items()}
        self.model_card_data = type("Card", (), {"set_evaluation_metrics": lambda *a, **k: None})()

    def encode(self, texts: Sequence[str], **options: object):
        import torch

        return torch.tensor(np.array([self._rows[text] for text in texts]), dtype=torch.float64)

    encode_query = encode_document = encode

    def similarity(self, a, b):
        return a @ b.T


def digits() -> tuple[dict, dict, dict]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    queries = {f"q{i}": images[i] for i in range(100)}
    documents = {f"d{i}": images[i] for i in range(100, len(images))}
    relevant = {
        f"q{i}": {f"d{j}" for j in range(100, len(images)) if labels[j] == labels[i]}
        for i in range(100)
    }
    return queries, documents, relevant


def generated() -> tuple[dict, dict, dict]:
    pick = np.random.default_rng(0)
    documents = {f"d{i}": pick.normal(size=16) for i in range(300)}
    queries, relevant = {}, {}
    for i in range(60):
        chosen = pick.choice(300, size=pick.integers(1, 8), replace=False)
        noise = pick.normal(size=16) * pick.choice([0.5, 2.0, 20.0])
        queries[f"q{i}"] = sum(documents[f"d{j}"] for j in chosen) + noise
        relevant[f"q{i}"] = {f"d{j}" for j in chosen}
    return queries, documents, relevant


def ours(queries: dict, documents: dict, relevant: dict) -> dict[str, float]:
    """Return our metrics over exact search by cosine, averaged."""
    model = LookUp(queries | documents)
    similar = model.similarity(model.encode(list(queries)), model.encode(list(documents))).numpy()
    names, totals = list(documents), {}
    for row, query in zip(similar, queries, strict=True):
        best = [names[i] for i in np.argsort(-row, kind="stable")[: max(KS)]]
        number = {name: i for i, name in enumerate(sorted(relevant[query]))}
        found = [{number[name]} if name in number else set() for name in best]
        for k in KS:
            of_query = {
                f"ndcg@{k}": ndcg_at_k(found, k, len(number)),
                f"accuracy@{k}": hit_at_k(found, k),
                f"recall@{k}": recall_at_k(found, k, len(number)),
                f"mrr@{k}": reciprocal_rank(found[:k]),
            }
            for name, value in of_query.items():
                totals[name] = totals.get(name, 0.0) + value / len(queries)
    return totals


@pytest.mark.parametrize("collection", [digits, generated], ids=lambda f: f.__name__)
def test_our_metrics_equal_sentence_transformers_own_evaluator(collection) -> None:
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    queries, documents, relevant = collection()
    evaluator = InformationRetrievalEvaluator(
        {name: name for name in queries},
        {name: name for name in documents},
        relevant,
        mrr_at_k=list(KS),
        ndcg_at_k=list(KS),
        accuracy_at_k=list(KS),
        precision_recall_at_k=list(KS),
        map_at_k=[10],
        write_csv=False,
    )
    theirs = evaluator(LookUp(queries | documents))
    for name, value in ours(queries, documents, relevant).items():
        assert value == pytest.approx(theirs[f"cosine_{name}"], abs=1e-6), name
    assert 0.05 < theirs["cosine_ndcg@10"] < 0.99  # neither collection is trivial

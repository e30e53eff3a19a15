"""The thirteen claims and the rules that judge them: each a small pure function of recorded runs.

Knows: which numbers decide the claims about answers, and where the line is drawn; the others come
from ``verdict_training`` and ``verdict_memory``. Does not know: how a verdict is shown
(``verdicts``) or measured. An interval that excludes zero decides; a mean never does.
Used by ``verdicts``.
"""

from collections.abc import Sequence

from labkit.claims.records import (
    BASE,
    BOTH,
    CLOSE,
    DATA_SIZE,
    LORA,
    MARGIN,
    RAG,
    SIDE_EFFECTS,
    listed,
    needs,
)
from labkit.claims.rules_memory import CLAIMS as MEMORY_CLAIMS
from labkit.claims.rules_training import CLAIMS as TRAINING_CLAIMS
from labkit.claims.verdicts import Claim, Outcome, Records, of_parts
from labkit.measure import paired_difference
from labkit.retrieval_metrics import per_question, unpack
from labkit.types import KINDS, Interval

ANSWERABLE: tuple[str, ...] = tuple(kind for kind in KINDS if kind != "unanswerable")
LITTLE = 30  # examples


def outside_data(records: Records) -> Outcome:
    """Judge C1: with passages minus without, by answerable kind; tuned readers once recorded."""
    readers = {"plain reader": (RAG, BASE)}
    if records.matching(BOTH) and records.matching(LORA):
        readers["tuned reader"] = (BOTH, LORA)
    gains = {
        reader: {
            kind: records.difference(*pair, "exact_match", kinds=[kind]) for kind in ANSWERABLE
        }
        for reader, pair in readers.items()
    }
    sure = {
        reader: [kind for kind, gain in of_reader.items() if gain.low > 0]
        for reader, of_reader in gains.items()
    }
    told = (f"{', '.join(kinds) or 'none'} ({reader})" for reader, kinds in sure.items())
    return of_parts(
        {(reader, kind): kind in sure[reader] for reader in readers for kind in ANSWERABLE},
        "; ".join(f"{reader}: {listed(of_reader)}" for reader, of_reader in gains.items()),
        condition=f"the question is of the kind: {'; '.join(told)}",
    )


def house_language(records: Records) -> Outcome:
    """Judge C2: LoRA closed book minus RAG, in house format and in house terms."""
    parts = {
        "the house format": records.difference(LORA, RAG, "house_format"),
        "the house terms": records.difference(LORA, RAG, "house_terms"),
    }
    return of_parts(
        {name: change.low > 0 for name, change in parts.items()},
        listed(parts),
        condition="language means {parts}",
    )


def data_quality(records: Records) -> Outcome:
    """Judge C3: few examples against none, and 20 % noisy labels against clean ones."""
    rows = records.matching(DATA_SIZE)[0]["figures"]["runs"]
    clean = {row["n_examples"]: row for row in rows if not row["noise"]}
    noisy = next(row for row in rows if row["noise"])
    few = max(n for n in clean if 0 < n <= LITTLE)
    parts = {
        f"{few} examples against none": _between(clean[few], clean[0]),
        "noisy against clean labels": _between(noisy, clean[noisy["n_examples"]]),
    }
    little, noise = parts.values()
    return of_parts(
        {"little data": not little.low > 0, "noisy labels": noise.high < 0},
        listed(parts),
        condition="it is about {parts}",
    )


def _between(one: dict, other: dict) -> Interval:
    a, b = ({row["id"]: row["exact_match"] for row in run["answers"]} for run in (one, other))
    shared = sorted(a.keys() & b.keys())
    return paired_difference([a[name] for name in shared], [b[name] for name in shared])


def changing_data(records: Records) -> Outcome:
    """Judge C4: new minus old value in first place, and seconds beside re-training's."""
    figures = records.matching("updates-{model}")[0]["figures"]
    names = {"after": "new facts are only added", "newer wins": "a rule lets the newer win"}
    parts = {}
    for state, name in names.items():
        first = [row["first"] for row in figures["states"][state]["answers"]]
        new, old = ([float(place == value) for place in first] for value in ("new", "old"))
        parts[name] = paired_difference(new, old)
    train_s = records.matching(SIDE_EFFECTS)[0]["figures"]["trained"]["retrain_s"]
    sooner = figures["reingest_s"] < train_s
    told = f"new minus old value first: {listed(parts)}; re-index {figures['reingest_s']:.1f} s, "
    return of_parts(
        {name: sooner and change.low > 0 for name, change in parts.items()},
        f"{told}re-train {train_s:.0f} s",
        condition="{parts}",
    )


def sources(records: Records) -> Outcome:
    """Judge C5: citations, confident errors and refusals, RAG beside closed book."""
    cited = Interval.of(records.matching(RAG)[0]["figures"]["citation_precision"])
    invented = records.difference(RAG, BASE, "wrong_but_confident", kinds=ANSWERABLE)
    refused = records.difference(RAG, BASE, "exact_match", kinds=["unanswerable"])
    return of_parts(
        {
            "sources that are right when cited": cited.low > 0.5,
            "fewer confident errors where an answer exists": invented.high < 0,
            "refusals where none exists": refused.low > 0,
        },
        f"citations right {cited}; wrong but confident {invented.in_points()}; "
        f"refused rightly {refused.in_points()}",
        condition="you ask for {parts}",
    )


def combination(records: Records) -> Outcome:
    """Judge C6: both minus RAG and both minus LoRA, exact match, by kind."""
    parts = {
        kind: [
            records.difference(BOTH, other, "exact_match", kinds=[kind]) for other in (RAG, LORA)
        ]
        for kind in KINDS
    }
    whole = {
        f"minus {name}": records.difference(BOTH, other, "exact_match")
        for name, other in (("RAG", RAG), ("LoRA", LORA))
    }
    told = "; ".join(
        f"{kind} {100 * one.mean:+.0f} and {100 * other.mean:+.0f}"
        for kind, (one, other) in parts.items()
    )
    return of_parts(
        {kind: all(change.low > 0 for change in changes) for kind, changes in parts.items()},
        f"both {listed(whole)}; by kind, minus RAG and minus LoRA: {told}",
        condition="the question is of the kind: {parts}",
    )


def similarity(records: Records) -> Outcome:
    """Judge C7: vector, text and hybrid search, hit@1, on paraphrases (jargon) and on all."""
    figures = records.matching("bench-rag-variants")[0]["figures"]
    kinds = figures["kinds"]
    found = {
        name: per_question(unpack(figures["variants"][name]["ranks"]))["hit_at_1"]
        for name in ("vector", "text", "hybrid")
    }

    def gap(one: str, other: str, wanted: Sequence[str]) -> Interval:
        chosen = [i for i, kind in enumerate(kinds) if kind in wanted]
        return paired_difference([found[one][i] for i in chosen], [found[other][i] for i in chosen])

    parts = {
        "vector minus text, jargon": gap("vector", "text", ["jargon"]),
        "hybrid minus text, all kinds": gap("hybrid", "text", KINDS),
        "vector minus hybrid, all kinds": gap("vector", "hybrid", KINDS),
    }
    paraphrase, added, alone = parts.values()
    return of_parts(
        {
            "beats word search on paraphrases": paraphrase.low > 0,
            "is added to word search": added.low > 0,
            "works alone": alone.low > -MARGIN,
        },
        listed(parts),
        condition="similarity {parts}",
    )


CLAIMS: tuple[Claim, ...] = tuple(
    sorted(
        (
            Claim(
                "C1",
                "When answers need outside data, choose RAG.",
                "with passages minus without, same reader, paired, excludes zero for a kind",
                "05 §4, 09",
                needs(RAG, BASE),
                outside_data,
            ),
            Claim(
                "C2",
                "For stable, exact domain language, fine-tuning is better.",
                "LoRA without passages minus RAG, paired, excludes zero",
                "09",
                needs(LORA, RAG),
                house_language,
            ),
            Claim(
                "C3",
                "Fine-tuning needs a high-quality data set; with little data it changes little.",
                f"at most {LITTLE} examples gain nothing sure, and noisy labels lose surely",
                "09",
                needs(DATA_SIZE),
                data_quality,
            ),
            Claim(
                "C4",
                "When data change often, fine-tuning becomes awkward; RAG is flexible.",
                "after re-indexing the new value stands first more often than the old, surely, "
                "and sooner than after re-training",
                "05 §5, 09",
                needs("updates-{model}", SIDE_EFFECTS),
                changing_data,
            ),
            Claim(
                "C5",
                "RAG lets you find the source and reduces hallucination.",
                "citations surely right more often than not; confident errors surely fewer; "
                "the unanswerable surely refused more often",
                "05 §6, 09",
                needs(RAG, BASE),
                sources,
            ),
            Claim(
                "C6",
                "Combining RAG and fine-tuning is best.",
                "both minus RAG and both minus LoRA exclude zero for a kind",
                "09",
                needs(BOTH, RAG, LORA),
                combination,
            ),
            Claim(
                "C7",
                "A vector database searches by similarity, and that is what makes RAG work.",
                "vector minus text on jargon and hybrid minus text exclude zero; "
                f"vector is {CLOSE} hybrid",
                "05 §3",
                needs("bench-rag-variants"),
                similarity,
            ),
            *TRAINING_CLAIMS,
            *MEMORY_CLAIMS,
        ),
        key=lambda claim: int(claim.name[1:]),
    )
)

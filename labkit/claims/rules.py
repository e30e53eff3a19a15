"""The thirteen claims, and the rules for those about answers: small pure functions of records.

Knows: which numbers decide, and where the line is drawn; the rules about training are in
``rules_training``. Does not know: how a verdict is shown (``verdicts``) or measured.
An interval decides, never a mean; one that holds zero and a difference that matters cannot tell.
"""

from functools import partial

import pandas as pd

from labkit.claims import records as runs
from labkit.claims import rules_training as training
from labkit.claims.outcomes import Claim, Outcome, close, gains, loses, of_parts
from labkit.claims.records import Records, listed
from labkit.measure import paired_difference
from labkit.retrieval_metrics import per_question, unpack
from labkit.types import KINDS, Interval

ANSWERABLE: tuple[str, ...] = tuple(kind for kind in KINDS if kind != "unanswerable")


def outside_data(records: Records) -> Outcome:
    """Judge C1: with passages minus without, by answerable kind; tuned readers once recorded."""
    readers = {"plain reader": (runs.RAG, runs.BASE)}
    if records.matching(runs.BOTH) and records.matching(runs.LORA):
        readers["tuned reader"] = (runs.BOTH, runs.LORA)
    parts = {
        f"{kind} ({reader})": records.difference(*pair, kinds=[kind])
        for reader, pair in readers.items()
        for kind in ANSWERABLE
    }
    return _gains(parts, condition="the question is of the kind: {parts}")


def house_language(records: Records) -> Outcome:
    """Judge C2: LoRA closed book minus RAG, in house format and in house terms."""
    metrics = {"the house format": "house_format", "the house terms": "house_terms"}
    parts = {name: records.difference(runs.LORA, runs.RAG, m) for name, m in metrics.items()}
    return _gains(parts, condition="language means {parts}")


def _gains(parts: dict[str, Interval], *, condition: str) -> Outcome:
    judged = {name: gains(change) for name, change in parts.items()}
    return of_parts(judged, listed(parts), condition=condition)


def changing_data(records: Records) -> Outcome:
    """Judge C4: seconds of an update beside re-training's, and new minus old value found first."""
    figures = records.figures(runs.UPDATES)
    train_s = records.figures(runs.SIDE_EFFECTS)["trained"]["retrain_s"]
    names = {"after": "new facts are only added", "newer wins": "a rule lets the newer win"}
    parts = {}
    for state, name in names.items():
        first = pd.DataFrame(figures["states"][state]["answers"])["first"]
        parts[name] = paired_difference(first == "new", first == "old")
    return of_parts(
        {"the cost of an update": figures["reingest_s"] < train_s}
        | {f"the new value first where {name}": gains(gap) for name, gap in parts.items()},
        f"new minus old value first: {listed(parts)} ({len(first)} questions); "
        f"re-index {figures['reingest_s']:.1f} s, re-train {train_s:.0f} s",
        condition="it is about {parts}",
    )


def sources(records: Records) -> Outcome:
    """Judge C5: citations, confident errors and refusals, RAG beside closed book."""
    cited = Interval.of(records.figures(runs.RAG)["citation_precision"])
    invented = records.difference(runs.RAG, runs.BASE, "wrong_but_confident", kinds=ANSWERABLE)
    refused = records.difference(runs.RAG, runs.BASE, kinds=["unanswerable"])
    return of_parts(
        {
            "sources that are right when cited": cited.low > 0.5,
            "fewer confident errors where an answer exists": loses(invented),
            "refusals where none exists": gains(refused),
        },
        f"citations right {cited}; wrong but confident {invented.in_points()}; "
        f"refused rightly {refused.in_points()}",
        condition="you ask for {parts}",
    )


def combination(records: Records) -> Outcome:
    """Judge C6: both minus RAG and both minus LoRA, exact match, by kind."""
    others = {"minus RAG": runs.RAG, "minus LoRA": runs.LORA}
    whole = {name: records.difference(runs.BOTH, other) for name, other in others.items()}
    parts, told = {}, []
    for kind in KINDS:
        changes = [records.difference(runs.BOTH, other, kinds=[kind]) for other in others.values()]
        parts[kind] = min(map(gains, changes), key=[False, None, True].index)
        told.append(f"{kind} " + " and ".join(f"{100 * one.mean:+.0f}" for one in changes))
    return of_parts(
        parts,
        f"both {listed(whole)}; by kind, minus RAG and minus LoRA: {'; '.join(told)}",
        condition="the question is of the kind: {parts}",
    )


def similarity(records: Records) -> Outcome:
    """Judge C7: vector, text and hybrid search, hit@1, on paraphrases (jargon) and on all."""
    figures = records.figures(runs.VARIANTS)
    vector, text, hybrid = (
        pd.Series(per_question(unpack(figures["variants"][name]["ranks"]))["hit_at_1"])
        for name in ("vector", "text", "hybrid")
    )
    jargon = [kind == "jargon" for kind in figures["kinds"]]
    paraphrase = paired_difference(vector[jargon], text[jargon])
    added, alone = paired_difference(hybrid, text), paired_difference(vector, hybrid)
    told = {
        "vector minus text, jargon": paraphrase,
        "hybrid minus text, all kinds": added,
        "vector minus hybrid, all kinds": alone,
    }
    return of_parts(
        {
            "beats word search on paraphrases": gains(paraphrase),
            "is added to word search": gains(added),
            "works alone": close(alone),
        },
        listed(told),
        condition="similarity {parts}",
    )


CLAIMS = (
    Claim("C1", "When answers need outside data, choose RAG.",
          "05 §4, 09", (runs.RAG, runs.BASE), outside_data,
          "with passages minus without, same reader, paired, excludes zero for a kind"),
    Claim("C2", "For stable, exact domain language, fine-tuning is better.",
          "09", (runs.LORA, runs.RAG), house_language,
          "LoRA without passages minus RAG, paired, excludes zero"),
    Claim("C3", "Fine-tuning needs a high-quality data set; with little data it changes little.",
          "09", (runs.DATA_SIZE,), training.data_quality,
          f"at most {training.LITTLE} examples surely gain nothing that matters, and noisy labels "
          f"lose surely, {training.TAKES}"),
    Claim("C4", "When data change often, fine-tuning becomes awkward; RAG is flexible.",
          "05 §5, 09", (runs.UPDATES, runs.SIDE_EFFECTS), changing_data,
          "re-indexing is sooner than re-training, and after it the new value stands first more "
          "often than the old, surely"),
    Claim("C5", "RAG lets you find the source and reduces hallucination.",
          "05 §6, 09", (runs.RAG, runs.BASE), sources,
          "citations surely right more often than not; confident errors surely fewer; the "
          "unanswerable surely refused more often"),
    Claim("C6", "Combining RAG and fine-tuning is best.",
          "09", (runs.BOTH, runs.RAG, runs.LORA), combination,
          "both minus RAG and both minus LoRA exclude zero for a kind"),
    Claim("C7", "A vector database searches by similarity, and that is what makes RAG work.",
          "05 §3", (runs.VARIANTS,), similarity,
          f"vector minus text on jargon and hybrid minus text exclude zero; vector is {runs.CLOSE} "
          "hybrid"),
    Claim("C8", "LoRA is fast and close to full fine-tuning in quality.",
          "08", (runs.METHODS,), training.lora_quality,
          f"LoRA is {runs.CLOSE} full, at the interval's worse end, {training.TAKES}, and takes "
          "less time"),
    Claim("C9", "LoRA cuts memory by a low-rank update of the weight matrix.",
          "06, 08", (runs.GRID,), partial(training.peaks, heavy="full", light="lora", at_least=1.0),
          "peak of each rehearsed step at most full training's"),
    Claim("C10", "QLoRA stores weights in 4 bits and needs much less memory.",
          "07, 08", (runs.GRID,),
          partial(training.peaks, heavy="lora", light="qlora", at_least=training.MUCH),
          f"peak of each rehearsed step at least {training.MUCH}× below LoRA's"),
    Claim("C11", "QLoRA training is about 30 % slower than LoRA.",
          "08", (runs.CARDS,), training.qlora_speed,
          f"step time {training.SLOWER[0]} to {training.SLOWER[1]} times LoRA's, for each batch "
          "and length"),
    Claim("C12", "QLoRA uses LoRA to repair the quantization error.",
          "08", (runs.METHODS,), training.repaired,
          f"NF4 surely costs exam points, and QLoRA is {runs.CLOSE} LoRA, {training.TAKES}"),
    Claim("C13", "QLoRA fine-tunes a 70B model on 2 GPUs where it would otherwise take 36.",
          "11", (runs.GRID,), training.seventy_billion,
          f"predicted: QLoRA on at most {training.CLAIMED_FEW} cards, full training on "
          f"{training.CLAIMED_MANY} or more"),
)  # fmt: skip

"""Export: a trained adapter as others may have it: in 16 bits, inspected, with its card.

Knows: what an adapter's folder holds, and what a card says, all of it from records.
Does not know: how an adapter was trained (``train``) or examined (``evaluate``).
Used by ``python -m labkit export``.
"""

import json
from pathlib import Path

from labkit import catalogue, results
from labkit.models import ADAPTER_FILE, RESULT_FILE
from labkit.types import Interval

SHARES = ("exact_match", "found", "right_given_found", "abstained_given_found",
          "abstained_given_not_found", "wrong_given_answered")  # fmt: skip


def export_adapter(tuned: Path, out: Path) -> Path:
    """Write a trained LoRA adapter in bfloat16, with its configuration, figures and card.

    Parameters
    ----------
    tuned
        The folder that ``train`` wrote.
    out
        A folder for the adapter alone; what it holds of the same names is replaced.

    Raises
    ------
    FileNotFoundError
        If ``tuned`` holds no adapter.
    ValueError
        If a weight is not finite.
    """
    import torch
    from safetensors.torch import load_file, save_file

    if not (tuned / ADAPTER_FILE).is_file():
        raise FileNotFoundError(f"There is no adapter in {tuned.name!r}; train one with finetune.")
    weights = load_file(tuned / ADAPTER_FILE)
    broken = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if broken:
        raise ValueError(f"{tuned.name!r} holds weights that are not finite, as in {broken[0]}.")
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: w.to(torch.bfloat16) for name, w in weights.items()}, out / ADAPTER_FILE)
    training = json.loads((tuned / RESULT_FILE).read_text("utf-8"))
    adapter = json.loads((tuned / "adapter_config.json").read_text("utf-8"))
    adapter["base_model_name_or_path"] = training["config"]["model"]  # where it lies is private
    for name, content in ((RESULT_FILE, training), ("adapter_config.json", adapter)):
        results.write_atomically(out / name, json.dumps(content, indent=1) + "\n")
    results.write_atomically(out / "README.md", card(training))
    return out


def card(training: dict) -> str:
    """Return the model card of an adapter, from its training's figures and the exams it sat."""
    config = training["config"]
    base = catalogue.card(config["model"])
    sat = [run for run in results.leaderboard() if run["config"].get("training") == config]
    rows = [_row(run) for run in sat]
    head = ["exam", "right", *(name.replace("_", " ") for name in SHARES[1:]), "date"]
    return f"""# An adapter for {base.name}

LoRA weights in bfloat16, {base.licence}, to be put on **{base.name}** and on no other model: on its
official 4-bit file ({base.hub_id or base.package}, sha256 `{base.weight_sha256}`), made 16 bits
again, as `labkit fetch {base.name}` does. It reads passages: it copies the value that answers a
technician's question, cites the passage, and says when none holds the answer. It knows no facts.

- Data: invented companies, CC0, see `data/README.md`; which of them, the command below says.
- Training: {config["method"]}, rank {config["rank"]}, alpha {config["alpha"]}, all linear layers,
  learning rate {config["learning_rate"]}, {config["n_epochs"]} epoch, batches of
  {config["batch_size"]}, seed {config["seed"]}; {training["n_tokens"]:,} tokens,
  {training["n_trainable"]:,} of {training["n_parameters"]:,} parameters.
- Again: `{config["command"]}`

{results.table(head, rows) if rows else "It has sat no recorded exam yet."}

Percent with the bootstrap 95 % interval over questions; records in `data/results`. The sealed exam
is answered once by each frozen system, ropeways are another industry.
"""


def _row(run: dict) -> list[str]:
    figures = run["figures"] | run["figures"]["split"]
    part = {"test": "development", "final": "sealed"}
    shares = [str(Interval.of(figures[name])) if figures.get(name) else "–" for name in SHARES]
    asked = run["config"].get("part", "test")
    return [part.get(asked, asked), *shares, run["date"]]

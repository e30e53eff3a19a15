"""What every benchmark shares: going on after a kill, and a process of its own for a measurement.

Knows: which parts of a run are recorded already under the same configuration, and how a function is
called in a fresh interpreter, whose peak memory is its own.
Does not know: what is measured, or how it is recorded (``results``).
"""

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labkit import evaluate, hardware, results

# glibc keeps freed blocks below 32 MiB for later; with this, those of 1 MiB and more go back at
# once, so that a peak is of what is in use. It costs time, so what is timed runs without it.
RETURNING = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}


def recorded(name: str, config: Mapping, *, folder: Path | None = None) -> dict:
    """Return the figures recorded under this name and configuration, empty if there are none.

    Parameters
    ----------
    name, config, folder
        As ``results.record`` will be given them; another configuration is another run.
    """
    run = results.load(name, folder=folder)
    same = run is not None and run["config"] == json.loads(json.dumps(config))
    return run["figures"] if run and same else {}


def slug(text: str) -> str:
    """Return a card's name as a record's name may hold it.

    Examples
    --------
    >>> slug("NVIDIA A100-SXM4-40GB")
    'nvidia-a100-sxm4-40gb'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def here(name: str) -> str:
    """Return a record's name on this machine: ``NAME``, or with a card ``NAME-tesla-t4``."""
    card = hardware.detect().gpu_name
    return f"{name}-{slug(card)}" if card else name


def record(
    name: str, figures: dict, *, config: Mapping, folder: Path | None = None, asks: bool = True
) -> None:
    """Record figures that rest on the course's corpus and exam, so that staleness shows later.

    Parameters
    ----------
    name, figures, config, folder
        As ``results.record`` takes them.
    asks
        Whether a model was asked with the course's own prompts.
    """
    marks = evaluate.rests_on(prompt=asks)
    results.record(name, figures, config=dict(config), folder=folder, rests_on=marks)


def each(
    name: str,
    parts: Mapping[str, Callable[[], Any]],
    config: Mapping,
    *,
    folder: Path | None = None,
    asks: bool = True,
) -> dict:
    """Do every part that is not recorded yet, record after each one, and return the figures.

    Parameters
    ----------
    name, config, folder, asks
        As ``record`` takes them; another configuration starts anew.
    parts
        What to call for each figure, in this order.
    """
    figures = recorded(name, config, folder=folder)
    for part, work in parts.items():
        if part not in figures:
            figures[part] = work()
            record(name, figures, config=config, folder=folder, asks=asks)
    return figures


def in_own_process(
    function: str, *arguments: Any, environment: Mapping[str, str] | None = None
) -> Any:
    """Call a function in a fresh interpreter and return its result.

    Parameters
    ----------
    function
        ``"module:function"``.
    arguments
        What JSON can hold; so must be the result.
    environment
        Variables on top of this process's.

    Raises
    ------
    RuntimeError
        If it fails; the message ends with what the process said.
    """
    done = subprocess.run(
        [sys.executable, "-m", "labkit.bench.runner", function],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        env=os.environ | dict(environment or {}),
    )
    if done.returncode:
        raise RuntimeError(f"{function} failed: {done.stderr.strip()[-1500:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    module, _, wanted = sys.argv[1].partition(":")
    print(json.dumps(getattr(importlib.import_module(module), wanted)(*json.load(sys.stdin))))

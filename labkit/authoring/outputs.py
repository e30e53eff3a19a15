"""Outputs of a notebook: run it in a fresh kernel, clean what came out, name what may not stay.

Knows: how to start this interpreter's own kernel without an installed kernel specification, what
differs from build to build and is dropped, and which texts may not stand in a saved notebook.
Does not know: where lessons live or how they are written (``source``, ``rules``).
Used by ``notebooks`` and the tests that run every lesson; no lesson calls it.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbconvert.filters import strip_ansi
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from labkit.authoring.source import code_cells, notebook_metadata

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_DIRT = {
    "a traceback": re.compile(r"Traceback \(most recent call last\)"),
    "a warning": re.compile(r"\b[A-Z]\w+Warning: "),
    "an unfinished progress bar": re.compile(r"(?<!\d)\d{1,2}%\|"),
    "an object's address": re.compile(r"\bat 0x[0-9A-Fa-f]{6,}"),
    "an absolute path": re.compile(
        r"(?<![\w.:/])/(?:root|home/\w|Users/\w|tmp/\w|var/folders/|content/)|\b[A-Z]:\\\w"
    ),
    "an unfinished widget": re.compile(r"\b(?:HBox|VBox|IntProgress|FloatProgress)\("),
}


class CellError(RuntimeError):
    """A cell failed or took too long."""


class KernelError(RuntimeError):
    """The kernel died while a cell ran."""


def execute(notebook: Any, cwd: Path, *, fast: bool = False, timeout_s: int = 3600) -> None:
    """Run all cells in a fresh kernel of this interpreter; outputs land in `notebook`.

    Figures stand in for widgets (``LABKIT_STATIC=1``). The kernel keeps its connection file,
    history and figure cache in a temporary folder, not in the user's home.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        Changed in place.
    cwd : Path
        The kernel's working directory.
    fast : bool
        Run with ``LABKIT_FAST=1``.
    timeout_s : int
        Seconds that one cell may take.

    Raises
    ------
    CellError
        If a cell fails or takes too long; the message shows the cell and its error.
    KernelError
        If the kernel dies, for example out of memory.
    KeyboardInterrupt
        If Ctrl-C or a signal ended the kernel.
    """
    with tempfile.TemporaryDirectory(prefix="labkit-kernel-") as scratch:
        client = NotebookClient(
            notebook,
            km=_kernel_manager(scratch),
            timeout=timeout_s,
            record_timing=False,
            store_widget_state=False,
            resources={"metadata": {"path": str(cwd)}},
        )
        try:
            client.execute(env=_environment(scratch, fast=fast), cleanup_kc=True)
        except CellControlSignal as error:
            raise CellError(strip_ansi(str(error))) from None
        except (DeadKernelError, AssertionError) as error:
            if isinstance(error, AssertionError) and client.km is not None:
                raise  # nbclient asserts that there is a kernel after it ended it on Ctrl-C
            # nbclient's handler of SIGINT and SIGTERM leaves this behind, and nothing else does
            asked = getattr(client, "_async_cleanup_kernel_future", None) is not None
            kind = KeyboardInterrupt if asked else KernelError
            raise kind("The kernel died: out of memory, or stopped by Ctrl-C.") from None


def clean(notebook: Any) -> None:
    """Drop what differs from build to build or breaks on GitHub; changes `notebook` in place.

    The kernel's own metadata and widget views go; pieces of one stream are joined, colour codes
    stripped, and what a carriage return overwrote is dropped.
    """
    notebook.metadata = notebook_metadata()
    for cell in code_cells(notebook):
        cell.outputs = [out for out in cell.outputs if WIDGET_VIEW not in out.get("data", {})]
        for output in cell.outputs:
            output.get("metadata", {}).clear()
            if output.output_type == "stream":
                output.text = strip_ansi(output.text)
    CoalesceStreamsPreprocessor(enabled=True)(notebook, {})


def dirt(notebook: Any) -> list[str]:
    """Return one sentence for everything in the outputs that may not be saved."""
    return [
        f"Cell {number} shows {what}."
        for number, cell in enumerate(notebook.cells, start=1)
        for output in cell.get("outputs", [])
        for what in _dirt_of(output)
    ]


def texts(output: Any) -> Iterator[str]:
    """Yield the readable texts of an output; pictures are left out."""
    if output.output_type == "stream":
        yield output.text
    for kind, value in output.get("data", {}).items():
        if isinstance(value, str) and (kind.startswith("text/") or kind == "image/svg+xml"):
            yield value


def _dirt_of(output: Any) -> Iterator[str]:
    if output.output_type == "error":
        yield f"the error {output.ename}: {output.evalue}"
    if output.output_type == "stream" and output.name == "stderr":
        yield f"text on the error stream: {_shortened(output.text)}"
    if WIDGET_VIEW in output.get("data", {}):
        yield "a widget, which is empty when it is read without a kernel"
    for text in texts(output):
        for what, pattern in _DIRT.items():
            if match := pattern.search(text):
                yield f"{what}: {_shortened(text[max(0, match.start() - 20) :])}"
        if any(place in text for place in _places_of_this_machine()):
            yield "a path of this machine"


def _places_of_this_machine() -> list[str]:
    """Return folders whose names must not leave this machine; "/" alone would match anything."""
    places = {str(Path.home()), sys.prefix, str(Path(__file__).resolve().parents[2])}
    return [place for place in places if len(Path(place).parts) > 2]


def _kernel_manager(scratch: str) -> Any:
    """Return a manager of this interpreter's kernel that talks through files where that works."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    return AsyncKernelManager(
        kernel_name="python3",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
        connection_file=f"{scratch}/kernel.json",
        **({"transport": "ipc", "ip": f"{scratch}/kernel"} if os.name == "posix" else {}),
    )


def _environment(scratch: str, *, fast: bool) -> dict[str, str]:
    modes = {"LABKIT_STATIC": "1", "LABKIT_FAST": "1" if fast else "0"}
    quiet = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "ORT_DISABLE_TELEMETRY": "1"}
    folders = {"IPYTHONDIR": f"{scratch}/ipython", "MPLCONFIGDIR": f"{scratch}/matplotlib"}
    return os.environ | modes | quiet | folders


def _shortened(text: str, *, limit: int = 60) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= limit else flat[: limit - 1] + "…")

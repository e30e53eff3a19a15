"""Looking at a machine never fails, however odd the machine."""

import builtins
import importlib.metadata
import io
import json
import os
import sys
import types

import pytest

from labkit import hardware
from labkit.hardware import GIB, Hardware

MACHINE = Hardware("Fast CPU", 8, 16 * GIB, True)


def replace_file(monkeypatch, path: str, content: bytes | OSError) -> None:
    """Make ``open(path)`` show ``content``; other files stay."""
    true_open = builtins.open

    def fake_open(file, *args, **kwargs):
        if str(file) != path:
            return true_open(file, *args, **kwargs)
        if isinstance(content, OSError):
            raise content
        return io.TextIOWrapper(io.BytesIO(content), **kwargs)

    monkeypatch.setattr(builtins, "open", fake_open)


def fake_torch(monkeypatch, **cuda) -> None:
    """Put a torch in place whose ``torch.cuda`` holds these functions."""
    torch = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(**cuda)
    monkeypatch.setitem(sys.modules, "torch", torch)


def test_this_machine_has_cores_memory_and_a_name() -> None:
    machine = hardware.detect()
    assert machine.n_cores >= 1
    assert machine.ram_bytes > GIB / 2
    assert machine.cpu_name
    assert machine.python == ".".join(map(str, sys.version_info[:3]))
    assert json.loads(json.dumps(machine.as_dict()))["n_cores"] == machine.n_cores


@pytest.mark.parametrize(
    "content", [FileNotFoundError(2, "gone"), PermissionError(13, "no"), b"", b"\xff\xfe:\x80\n"]
)
def test_an_unreadable_cpuinfo_leaves_the_machine_described(monkeypatch, content) -> None:
    replace_file(monkeypatch, "/proc/cpuinfo", content)
    machine = hardware.detect()
    assert machine.cpu_name
    assert machine.cpu_bf16 is False


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx512f", False)],
)
def test_bf16_is_read_from_the_processor_flags(monkeypatch, flags: str, expected: bool) -> None:
    text = f"model name\t: Some CPU\nflags\t\t: {flags}\n"
    replace_file(monkeypatch, "/proc/cpuinfo", text.encode())
    machine = hardware.detect()
    assert (machine.cpu_name, machine.cpu_bf16) == ("Some CPU", expected)


@pytest.mark.parametrize(
    "content", [b"max\n", b"", b"odd\n", b"9223372036854771712\n", FileNotFoundError(2, "gone")]
)
def test_a_container_without_a_limit_shows_the_whole_memory(monkeypatch, content) -> None:
    import psutil

    replace_file(monkeypatch, "/sys/fs/cgroup/memory.max", content)
    assert hardware.detect().ram_bytes == psutil.virtual_memory().total


def test_a_container_limit_caps_the_memory(monkeypatch) -> None:
    replace_file(monkeypatch, "/sys/fs/cgroup/memory.max", b"268435456\n")
    assert hardware.detect().ram_bytes == 268435456


def test_cores_are_counted_where_affinity_is_unknown(monkeypatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert hardware.detect().n_cores == 1


def test_torch_that_cannot_be_imported_means_no_gpu(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert hardware.detect().gpu_name is None


@pytest.mark.parametrize("error", [RuntimeError, OSError, AssertionError, AttributeError])
def test_a_broken_driver_means_no_gpu(monkeypatch, error: type[Exception]) -> None:
    def broken() -> bool:
        raise error("driver")

    fake_torch(monkeypatch, is_available=broken)
    machine = hardware.detect()
    assert (machine.gpu_name, machine.n_gpus, machine.gpu_bytes) == (None, 0, 0)


@pytest.mark.parametrize(
    ("name", "major", "bf16"), [("Tesla T4", 7, False), ("NVIDIA A100", 8, True)]
)
def test_gpu_facts_come_from_the_first_card(monkeypatch, name: str, major: int, bf16: bool) -> None:
    card = types.SimpleNamespace(name=name, major=major, total_memory=15 * GIB)
    fake_torch(
        monkeypatch,
        is_available=lambda: True,
        device_count=lambda: 2,
        get_device_properties=lambda index: card,
    )
    machine = hardware.detect()
    assert (machine.gpu_name, machine.n_gpus) == (name, 2)
    assert (machine.gpu_bytes, machine.gpu_bf16) == (15 * GIB, bf16)


def test_colab_is_recognised_by_its_release_tag(monkeypatch) -> None:
    assert hardware.detect().colab is ("COLAB_RELEASE_TAG" in os.environ)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-1")
    assert hardware.detect().colab


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (MACHINE, "Fast CPU, 8 CPU cores, 16 GiB RAM, no GPU"),
        (Hardware("Old", 1, 0, False), "Old, 1 CPU core, RAM unknown, no GPU"),
        (
            Hardware("C", 2, 12 * GIB, False, "Tesla T4", 1, 15 * GIB, False),
            "C, 2 CPU cores, 12 GiB RAM, Tesla T4 15 GiB (fp16)",
        ),
        (
            Hardware("C", 96, 900 * GIB, True, "H100", 2, 80 * GIB, True),
            "C, 96 CPU cores, 900 GiB RAM, 2 × H100 80 GiB (bf16)",
        ),
    ],
)
def test_a_machine_is_described_in_one_line(machine: Hardware, expected: str) -> None:
    assert hardware.describe(machine) == expected


def test_versions_name_every_reported_package_even_if_missing(monkeypatch) -> None:
    def version(name: str) -> str:
        if name == "lancedb":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = hardware.versions()
    assert set(found) == {"python", *hardware.REPORTED_PACKAGES}
    assert (found["lancedb"], found["torch"]) == ("not installed", "1.2.3")

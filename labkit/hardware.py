"""What machine this is: processor, memory, GPU, number formats, versions.

Knows: how to ask the machine. Does not know: models or lessons (see ``doctor`` and ``catalogue``).
Asking never fails: what cannot be found out is ``None`` or 0.
Used by every lesson's setup cell and by every recorded run.
"""

import importlib.metadata
import os
import platform
from dataclasses import asdict, dataclass
from typing import Any

from labkit import settings

GIB = 2**30
# What PyTorch can use of a card, in GiB; the nominal size is more.
CARDS_GIB = {
    "t4": 14.7,
    "l4": 22.5,
    "3090": 23.6,
    "4090": 23.5,
    "a100-40": 39.4,
    "a100": 79.1,
    "h100": 79.1,
}
REPORTED_PACKAGES = (
    "labkit torch transformers peft bitsandbytes sentence-transformers lancedb pyarrow numpy "
    "datasets"
).split()


@dataclass(frozen=True)
class Hardware:
    """One machine; bytes are bytes, a missing GPU is ``gpu_name=None``."""

    cpu_name: str
    n_cores: int
    ram_bytes: int
    cpu_bf16: bool
    gpu_name: str | None = None
    n_gpus: int = 0
    gpu_bytes: int = 0
    gpu_bf16: bool = False
    colab: bool = False
    system: str = ""
    python: str = ""

    def as_dict(self) -> dict:
        """Return the fields as a plain dict, for JSON."""
        return asdict(self)


def detect() -> Hardware:
    """Look at this machine; loads torch if it is installed, and never raises.

    Returns
    -------
    Hardware
        Cores are the ones this process may use, RAM is what the container may use.
    """
    processor = _processor()
    flags = processor.get("flags", "").split()
    return Hardware(
        cpu_name=processor.get("model name") or platform.processor() or platform.machine(),
        n_cores=_n_cores(),
        ram_bytes=_ram_bytes(),
        cpu_bf16="avx512_bf16" in flags or "amx_bf16" in flags,
        colab=settings.on_colab(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        **_gpu(),
    )


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that decide a result."""
    found = {"python": platform.python_version()}
    for name in REPORTED_PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def describe(hardware: Hardware) -> str:
    """Return the machine in one line, as every setup cell prints it."""
    cores = f"{hardware.n_cores} CPU core{'s' if hardware.n_cores != 1 else ''}"
    ram = f"{hardware.ram_bytes / GIB:.0f} GiB RAM" if hardware.ram_bytes else "RAM unknown"
    if hardware.gpu_name is None:
        return f"{hardware.cpu_name}, {cores}, {ram}, no GPU"
    count = f"{hardware.n_gpus} × " if hardware.n_gpus > 1 else ""
    gpu = f"{count}{hardware.gpu_name} {hardware.gpu_bytes / GIB:.0f} GiB"
    return f"{hardware.cpu_name}, {cores}, {ram}, {gpu} ({'bf16' if hardware.gpu_bf16 else 'fp16'})"


def _gpu() -> dict[str, Any]:
    """Return the fields of ``Hardware`` that speak of the GPU; empty if there is none."""
    try:
        import torch

        if not torch.cuda.is_available():
            return {}
        card = torch.cuda.get_device_properties(0)
        return {
            "gpu_name": card.name,
            "n_gpus": torch.cuda.device_count(),
            "gpu_bytes": card.total_memory,
            "gpu_bf16": card.major >= 8,
        }
    except Exception:  # broken drivers raise anything, and describing a machine must not fail
        return {}


def _n_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _ram_bytes() -> int:
    import psutil

    total = psutil.virtual_memory().total
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            return min(total, int(file.read()))
    except (OSError, ValueError):
        return total


def _processor() -> dict[str, str]:
    """Return what Linux says of its last core; empty elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = [line.partition(":") for line in file]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in lines}

"""The doctor never fails, and every problem comes with what to type."""

import importlib.metadata
import json
import os
import shutil
import types
from dataclasses import asdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from labkit import catalogue, fetch, hardware, results
from labkit.classroom import doctor
from labkit.classroom.doctor import Finding, Report
from labkit.hardware import GIB, Hardware


@pytest.fixture(autouse=True)
def quick_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    machine = Hardware("CPU", 2, 16 * GIB, cpu_bf16=False)
    monkeypatch.setattr(hardware, "detect", lambda: machine)
    monkeypatch.setattr(results, "load", lambda name: None)


def findings(topic: str) -> list[Finding]:
    return [finding for finding in doctor.examine().findings if finding.topic == topic]


def put_models(cache: Path, *names: str) -> None:
    for name in names:
        (cache / "models" / name).mkdir(parents=True)
        (cache / "models" / name / fetch.MARKER).write_text("{}")


def test_a_machine_with_everything_is_ready(tmp_path: Path) -> None:
    put_models(tmp_path, catalogue.SMALL_MODEL, catalogue.EMBEDDING_MODEL)
    report = doctor.examine()
    assert report.healthy
    assert {finding.level for finding in report.findings} <= {"ok", "warning"}
    assert doctor.render(report).endswith("This machine is ready.")


def test_missing_models_are_named_with_the_command_to_type() -> None:
    report = doctor.examine()
    assert not report.healthy
    text = doctor.render(report)
    for name in (catalogue.SMALL_MODEL, catalogue.EMBEDDING_MODEL):
        assert f"✗ model: {name} is not fetched" in text
        assert f"→ python -m labkit fetch {name}   (" in text
    assert text.endswith("Fix the lines marked ✗, then go on.")


def test_the_optional_gpu_model_is_only_a_warning(monkeypatch) -> None:
    card = Hardware("CPU", 2, 16 * GIB, False, "A100", 1, 40 * GIB, True)
    monkeypatch.setattr(hardware, "detect", lambda: card)
    monkeypatch.setattr(doctor.Device, "free_bytes", lambda self: 39 * GIB)
    levels = {finding.text.split()[0]: finding.level for finding in findings("model")}
    assert levels[catalogue.GPU_MODEL] == "warning"
    assert levels[catalogue.SMALL_MODEL] == "problem"


@pytest.mark.parametrize(("free_gib", "level"), [(39, "ok"), (12, "warning")])
def test_a_card_in_use_by_others_is_said(monkeypatch, free_gib: int, level: str) -> None:
    card = Hardware("CPU", 2, 16 * GIB, False, "A100", 1, 40 * GIB, True)
    monkeypatch.setattr(hardware, "detect", lambda: card)
    monkeypatch.setattr(doctor.Device, "free_bytes", lambda self: free_gib * GIB)
    (finding,) = findings("card")
    assert finding.level == level and f"{free_gib}.0 of 40.0 GiB free" in finding.text


def test_a_card_that_the_driver_keeps_from_pytorch_is_said(monkeypatch, tmp_path: Path) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'Tesla T4, 418.40'\n")
    smi.chmod(0o755)
    assert findings("card") == [], "there is no card here"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (finding,) = findings("card")
    assert finding.level == "warning" and "Tesla T4, 418.40 is there, but" in finding.text
    assert "update the NVIDIA driver" in finding.fix


def replace_version(monkeypatch: pytest.MonkeyPatch, package: str, version: str | None) -> None:
    true_version = importlib.metadata.version

    def fake(name: str) -> str:
        if name == package and version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return str(version) if name == package else true_version(name)

    monkeypatch.setattr(importlib.metadata, "version", fake)


@pytest.mark.parametrize("package", doctor.OLDEST)
def test_a_missing_package_is_named_with_the_command_to_type(monkeypatch, package: str) -> None:
    replace_version(monkeypatch, package, None)
    (finding,) = findings(package)
    assert (finding.level, finding.text) == ("problem", "not installed")
    assert finding.fix.startswith("pip install")
    assert f"'{package}>=" in finding.fix


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("1.13.1", "problem"),
        ("2.3", "problem"),
        ("2.4", "ok"),
        ("2.4.0+cu121", "ok"),
        ("2.10.0", "ok"),
        ("3.0rc1", "ok"),
        ("2.5a0+git123", "ok"),
        ("odd", "warning"),
    ],
)
def test_versions_are_compared_as_numbers(monkeypatch, version: str, level: str) -> None:
    replace_version(monkeypatch, "torch", version)
    (finding,) = findings("torch")
    assert finding.level == level
    assert version in finding.text


def test_the_oldest_versions_are_those_of_pyproject(root: Path) -> None:
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    bounds = {Requirement(text).name: text for text in project["dependencies"]}
    for name, oldest in doctor.OLDEST.items():
        assert bounds[name] == f"{name}>={'.'.join(map(str, oldest))}"


def test_little_memory_and_little_disk_are_warned_about(monkeypatch) -> None:
    small = Hardware("CPU", 1, 2 * GIB, cpu_bf16=False)
    monkeypatch.setattr(hardware, "detect", lambda: small)
    usage = types.SimpleNamespace(total=GIB, used=0, free=GIB // 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    for topic in ("machine", "disk"):
        (finding,) = findings(topic)
        assert finding.level == "warning"
        assert finding.fix


def test_unknown_memory_is_no_reason_to_warn(monkeypatch) -> None:
    odd = Hardware("", 0, 0, cpu_bf16=False)
    monkeypatch.setattr(hardware, "detect", lambda: odd)
    assert findings("machine")[0].level == "ok"


def test_a_cache_that_cannot_be_made_is_a_finding_not_a_crash(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "file" / "cache"))
    report = doctor.examine()
    assert not report.healthy
    assert "LABKIT_CACHE" in doctor.render(report)


@pytest.mark.parametrize("name", ["exam-rag-m", "exam-rag-m-k5-finder"])
def test_the_recorded_pace_of_a_model_is_told(monkeypatch, name: str) -> None:
    run = {"figures": {"wall_s": 600.0}, "config": {"n_questions": 300}}
    monkeypatch.setattr(results, "load", {name: run}.get)
    assert doctor._answer_seconds("M") == 2.0 and doctor._answer_seconds("other") is None


def test_lesson_times_are_carried_over_by_speed(monkeypatch) -> None:
    run = {"figures": {"matmul_gflops": 100.0, "lesson_s": {"00": 30.0, "01": 600.0}}}
    monkeypatch.setattr(results, "load", {doctor.LESSON_TIMES: run}.get)
    monkeypatch.setattr(doctor, "matmul_gflops", lambda: 50.0)
    report = doctor.examine()
    assert report.lesson_s == {"00": 60.0, "01": 1200.0}
    text = doctor.render(report)
    assert "lesson 00: about 60 s here" in text
    assert "lesson 01: about 20 min here" in text


def test_without_recorded_times_the_report_says_so(monkeypatch) -> None:
    assert "lesson times: not measured yet" in doctor.render(doctor.examine())

    def no_course(name: str) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(results, "load", no_course)
    assert doctor.examine().lesson_s == {}


def test_the_report_survives_json() -> None:
    report = asdict(doctor.examine())
    assert json.loads(json.dumps(report)) == report
    assert set(report) == {"hardware", "versions", "choice", "findings", "lesson_s"}


def test_only_problems_make_a_machine_unhealthy() -> None:
    warned = Report({}, {}, {}, [Finding("ok", "a", "b"), Finding("warning", "a", "b", "c")])
    assert warned.healthy
    assert not Report({}, {}, {}, [Finding("problem", "a", "b", "c")]).healthy


def test_matrix_speed_is_a_positive_number() -> None:
    assert doctor.matmul_gflops() > 0


def test_lesson_times_are_added_and_the_last_one_counts(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.undo()
    for lesson, wall_s in (("02_b", 9.0), ("00_a", 5.0), ("02_b", 7.0)):
        doctor.record_lesson_time(lesson, wall_s, folder=tmp_path)
    figures = results.load(doctor.LESSON_TIMES, folder=tmp_path)["figures"]
    assert figures["lesson_s"] == {"00_a": 5.0, "02_b": 7.0}
    assert figures["matmul_gflops"] > 0

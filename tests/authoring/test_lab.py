"""How JupyterLab is started: ports, folders and options. The real server is in tests/browser."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from labkit.authoring import lab


@pytest.fixture
def busy_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_port_asked_for_is_taken(monkeypatch, busy_port: int) -> None:
    monkeypatch.delenv("PORT", raising=False)
    free = lab.choose_port(0)
    monkeypatch.setenv("PORT", str(free))
    assert lab.choose_port(0) == free
    assert lab.choose_port(free) == free


def test_busy_port_is_refused_when_asked_for(busy_port: int) -> None:
    with pytest.raises(ValueError, match=f"Port {busy_port} is in use; choose another"):
        lab.choose_port(busy_port)


def test_busy_usual_port_is_replaced_by_a_free_one(monkeypatch, busy_port: int) -> None:
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.setattr(lab, "USUAL_PORT", busy_port)
    assert lab.choose_port(0) not in (0, busy_port)


@pytest.mark.parametrize("text", ["http", "-1", "70000", "88.5"])
def test_nonsense_port_is_named(monkeypatch, text: str) -> None:
    monkeypatch.setenv("PORT", text)
    with pytest.raises(ValueError, match=f"'{text}' is not a number from 1 to 65535"):
        lab.choose_port(0)


def test_server_listens_on_loopback_only_and_keeps_its_files_together(tmp_path: Path) -> None:
    options = lab.server_options(tmp_path / "course", 9999, tmp_path / "state")
    assert "--ServerApp.ip=127.0.0.1" in options
    assert f"--LabApp.open_browser={lab.has_display()}" in options
    assert not [option for option in options if "token" in option or "password" in option]
    folders = [o.split("=", 1)[1] for o in options if "_dir=" in o and "root_dir" not in o]
    folders += lab.folders(tmp_path / "state").values()
    assert all(Path(folder).is_relative_to(tmp_path / "state") for folder in folders)


def test_news_and_update_checks_are_off(tmp_path: Path) -> None:
    lab.server_options(tmp_path, 9999, tmp_path)
    overrides = json.loads((tmp_path / "app-settings" / "overrides.json").read_text())
    notification = overrides["@jupyterlab/apputils-extension:notification"]
    assert notification == {"fetchNews": "false", "checkForUpdates": False}


def test_no_display_means_no_browser(monkeypatch) -> None:
    monkeypatch.setattr(lab.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not lab.has_display()
    monkeypatch.setenv("DISPLAY", ":0")
    assert lab.has_display()


def children(process: psutil.Process) -> list[psutil.Process]:
    return process.children(recursive=True)


def test_command_serves_with_a_token_and_stops_cleanly_on_ctrl_c(root: Path, tmp_path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {k: v for k, v in os.environ.items() if k not in {"PORT", "DISPLAY", "WAYLAND_DISPLAY"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "labkit", "lab"],
        cwd=root,
        env=env | {"HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = iter(process.stdout.readline, "")
    url = next(line.strip() for line in lines if line.strip().startswith("http://127.0.0.1:"))
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url.split("/lab")[0] + "/api/contents")
    with urllib.request.urlopen(f"{url.split('/lab')[0]}/api/contents?{url.split('?')[1]}") as page:
        names = {entry["name"] for entry in json.load(page)["content"]}
    assert {"notebooks", "labkit", "README.md"} & names
    kernels = f"{url.split('/lab')[0]}/api/kernels?{url.split('?')[1]}"
    urllib.request.urlopen(kernels, data=b'{"name": "python3"}').close()
    started = children(psutil.Process(process.pid))
    process.send_signal(signal.SIGINT)
    assert "have stopped" in process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert started and not psutil.wait_procs(started, timeout=10)[1]
    assert list(home.rglob("*")) == []

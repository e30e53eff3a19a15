"""Start JupyterLab on lesson 00: on this machine only, with a token, and stop it cleanly.

Knows: which options and folders the server gets, so that nothing is written to the user's home, no
news are fetched and Ctrl-C ends the kernels too.
Does not know: what the lessons do.
Used by ``make lab`` and ``python -m labkit lab``; no lesson calls it.
"""

import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from labkit import settings

FIRST_LESSON = "notebooks/00_start_here.ipynb"
USUAL_PORT = 8888
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}


def start(*, port: int = 0, root: Path | None = None, options: Sequence[str] = ()) -> int:
    """Serve the course until Ctrl-C; print the address, and open it where there is a display.

    Parameters
    ----------
    port : int
        0 takes ``PORT`` from the environment, else 8888 or, when that is busy, any free one.
    root : Path, optional
        The folder that is served, the course's own by default; lesson 00 opens if it is there.
    options : sequence of str
        More options for the server.

    Returns
    -------
    int
        0, after Ctrl-C or when the server was shut down from its own menu.

    Raises
    ------
    ValueError
        If the chosen port is not a free one.
    """
    from jupyterlab.labapp import LabApp

    root, port, state = root or settings.course_dir(), choose_port(port), state_dir()
    token = secrets.token_hex(24)  # not an option: those show in the list of processes
    os.environ.update(folders(state) | {"JUPYTER_TOKEN": token, "ORT_DISABLE_TELEMETRY": "1"})
    server = LabApp.initialize_server([*server_options(root, port, state), *options])
    for name in {"SIGINT", "SIGHUP"} & set(dir(signal)):  # a closed terminal too
        signal.signal(getattr(signal, name), signal.getsignal(signal.SIGTERM))  # ends kernels
    url = f"http://127.0.0.1:{port}{server.default_url}?token={token}"
    said = f"JupyterLab runs here, for this machine only:\n\n  {url}\n\nCtrl-C stops it."
    server.io_loop.add_callback(print, said, flush=True)  # once it listens
    server.start()
    print("\nJupyterLab and its kernels have stopped.", flush=True)
    return 0


def server_options(root: Path, port: int, state: Path) -> list[str]:
    """Return the command-line options of the server, and write the settings they point to."""
    app_settings = state / "app-settings"
    app_settings.mkdir(parents=True, exist_ok=True)
    overrides = json.dumps({"@jupyterlab/apputils-extension:notification": NO_NEWS})
    (app_settings / "overrides.json").write_text(overrides, encoding="utf-8")
    page = f"/lab/tree/{FIRST_LESSON}" if (root / FIRST_LESSON).is_file() else "/lab"
    return [
        "--allow-root",  # in a container
        f"--LabApp.default_url={page}",
        f"--LabApp.open_browser={has_display()}",
        "--ServerApp.use_redirect_file=False",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}",
        f"--LabApp.app_settings_dir={app_settings}",
        f"--LabApp.user_settings_dir={state / 'user-settings'}",
        f"--LabApp.workspaces_dir={state / 'workspaces'}",
        "--LanguageServerManager.autodetect=False",  # it would run npm, which writes to the home
        "--Application.log_level=ERROR",
    ]


def folders(state: Path) -> dict[str, str]:
    """Return the environment that keeps Jupyter's own files under `state`, not in the home."""
    own = {f"JUPYTER_{name.upper()}_DIR": name for name in ("config", "data", "runtime")}
    others = {"IPYTHONDIR": "ipython", "MPLCONFIGDIR": "matplotlib"}
    return {name: str(state / folder) for name, folder in (own | others).items()}


def state_dir() -> Path:
    """Return the folder for Jupyter's files: in the virtual environment, else in the cache."""
    inside_venv = sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK)
    path = Path(sys.prefix) / "var" / "jupyter" if inside_venv else settings.cache_dir() / "jupyter"
    path.mkdir(parents=True, exist_ok=True)
    return path


def choose_port(wanted: int) -> int:
    """Return `wanted` or ``PORT`` if given and free, else 8888 or any free port.

    Raises
    ------
    ValueError
        If the port asked for is not a number, not a port, or busy.
    """
    text = str(wanted) if wanted else os.environ.get("PORT", "0").strip() or "0"
    if not text.isdigit() or int(text) > 65535:
        raise ValueError(f"The port {text!r} is not a number from 1 to 65535.")
    for port in [int(text)] if int(text) else [USUAL_PORT, 0]:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as probe:
            return int(probe.getsockname()[1])
    raise ValueError(f"Port {text} is in use; choose another, or none to get a free one.")


def has_display() -> bool:
    """Tell whether a browser can open a window here."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return "SSH_CONNECTION" not in os.environ

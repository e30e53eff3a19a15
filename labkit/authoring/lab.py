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
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import settings

FIRST_LESSON = "notebooks/00_start_here.ipynb"
USUAL_PORT = 8888
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}


@dataclass(frozen=True)
class Server:
    """A running JupyterLab and the address that opens it (which holds the token)."""

    process: subprocess.Popen[bytes]
    url: str

    def stop(self, *, patience_s: float = 15.0) -> None:
        """Let the server end its kernels and itself; end it by force after `patience_s`."""
        if self.process.poll() is None:
            try:
                self.request("api/shutdown", method="POST").close()
            except OSError:  # it does not answer yet, or not any more
                self.process.terminate()
        try:
            self.process.wait(patience_s)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C means: now
            self.process.kill()
            self.process.wait()

    def request(self, path: str, *, method: str = "GET") -> Any:
        """Send the server a request with the token; return the open answer.

        Raises
        ------
        OSError
            If the server does not answer or refuses.
        """
        base, token = self.url.split("/lab", 1)[0], self.url.rsplit("token=", 1)[1]
        request = urllib.request.Request(
            f"{base}/{path}", headers={"Authorization": f"token {token}"}, method=method
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(request, timeout=5)


def start(*, port: int = 0) -> int:
    """Serve the course until Ctrl-C; print the address, and open it where there is a display.

    Parameters
    ----------
    port : int
        0 takes ``PORT`` from the environment, else 8888 or, when that is busy, any free one.

    Returns
    -------
    int
        0 after Ctrl-C, 1 when the server ended by itself.
    """
    server = launch(settings.course_dir(), port=port)
    for name in {"SIGINT", "SIGTERM", "SIGHUP"} & set(dir(signal)):  # a closed terminal too
        signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        wait_until_ready(server)
        print(f"JupyterLab runs here, for this machine only:\n\n  {server.url}\n", flush=True)
        print("Ctrl-C stops it.", flush=True)
        if has_display():
            webbrowser.open(server.url)
        server.process.wait()
        print("JupyterLab ended by itself; its messages stand above.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopping JupyterLab and its kernels …", flush=True)
        return 0
    finally:
        server.stop()


def launch(root: Path, *, port: int = 0, options: Sequence[str] = ()) -> Server:
    """Start JupyterLab on the course under `root` and return at once.

    The token goes through the environment, so that it does not show in the list of processes.

    Parameters
    ----------
    root : Path
        The folder that is served; lesson 00 opens if it is there.
    port : int
        See `choose_port`.
    options : sequence of str
        More options for the server.

    Raises
    ------
    ValueError
        If the chosen port is not a free one.
    """
    port, token, state = choose_port(port), secrets.token_hex(24), state_dir()
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *server_options(root, port, state), *options],
        env=os.environ | folders(state) | {"JUPYTER_TOKEN": token, "ORT_DISABLE_TELEMETRY": "1"},
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches us alone, and we stop the server in order.
    )
    page = f"lab/tree/{FIRST_LESSON}" if (root / FIRST_LESSON).is_file() else "lab"
    return Server(process=process, url=f"http://127.0.0.1:{port}/{page}?token={token}")


def server_options(root: Path, port: int, state: Path) -> list[str]:
    """Return the command-line options of the server, and write the settings they point to."""
    app_settings = state / "app-settings"
    app_settings.mkdir(parents=True, exist_ok=True)
    overrides = json.dumps({"@jupyterlab/apputils-extension:notification": NO_NEWS})
    (app_settings / "overrides.json").write_text(overrides, encoding="utf-8")
    return [
        "--no-browser",
        "--allow-root",  # in a container
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


def wait_until_ready(server: Server, *, patience_s: float = 120.0) -> None:
    """Return when the server answers.

    Raises
    ------
    OSError
        If it ended, or does not answer within `patience_s` seconds.
    """
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise OSError("JupyterLab did not start; its messages stand above.")
        try:
            server.request("api/status").close()
            return
        except OSError:
            time.sleep(0.2)
    raise OSError(f"JupyterLab did not answer within {patience_s:.0f} s.")


def has_display() -> bool:
    """Tell whether a browser can open a window here."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return "SSH_CONNECTION" not in os.environ

"""JupyterLab as a learner sees it: open a lesson in Chromium, Run All, look at the outputs."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest

from labkit.authoring import lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TOY = {
    "toy": ["import ipywidgets\nipywidgets.IntSlider().add_class('t-slider')", "print(6 * 7)"],
    "broken": ["print('before')", "1 / 0", "print('after')"],
    "boxes": [
        "from labkit import catalogue, models\n"
        "from labkit.claims import verdicts\n"
        "from labkit.classroom import widgets\n"
        "from labkit.store.course import open_course_store\n"
        "store, records = open_course_store(), verdicts.load_records()",
        "widgets.search_box(store)",
        "widgets.ask_box(store, models.load_language_model(catalogue.SMALL_MODEL))",
        "widgets.decision_box(records)",
        "widgets.bets_box(verdicts.judge_all(records))",
    ],
}
IS_IDLE = "() => document.querySelector('.jp-StatusBar-Left')?.innerText.includes('| Idle')"
RUN_ALL = "async () => { await window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
SERVE = """
import sys
from pathlib import Path
from labkit.authoring import lab

options = ["--LabApp.expose_app_in_browser=True"]
lab.start(port=int(sys.argv[1]), root=Path(sys.argv[2]), options=options)
"""
CONTENT = "() => window.jupyterapp.shell.currentWidget.context.model.toJSON()"


def a_free_port() -> int:
    """Return a port no test running beside this one asks for; 8888 is the first that all try."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve copies: JupyterLab saves what it runs, and the committed notebooks must stay."""
    root = tmp_path_factory.mktemp("course")
    (root / "notebooks").mkdir()
    for name, cells in TOY.items():
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")
    if (ROOT / lab.FIRST_LESSON).is_file():
        shutil.copy(ROOT / lab.FIRST_LESSON, root / lab.FIRST_LESSON)
    unwanted = ("LABKIT_STATIC", "DISPLAY", "WAYLAND_DISPLAY")  # no window of its own
    env = {name: value for name, value in os.environ.items() if name not in unwanted}
    env |= {"LABKIT_FAST": "1", "LABKIT_STATE": str(root / "state")}
    command = [sys.executable, "-c", SERVE, str(a_free_port()), str(root)]
    running = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    try:
        lines = iter(running.stdout.readline, "")
        yield next(line.strip() for line in lines if line.strip().startswith("http://127.0.0.1:"))
    finally:
        running.terminate()
        running.communicate(timeout=60)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser) -> Iterator:
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    yield tab
    tab.close()


def run_all(page, url: str, notebook: str) -> dict:
    """Open a notebook, run all its cells, wait for the idle kernel and return its content."""
    base, token = url.split("/lab", 1)[0], url.rsplit("=", 1)[1]
    page.goto(f"{base}/lab/tree/{quote(notebook)}?reset&token={token}")
    page.wait_for_function(IS_IDLE, timeout=120_000)
    page.evaluate(RUN_ALL)
    page.wait_for_function(IS_IDLE, timeout=120_000)
    return page.evaluate(CONTENT)


def faults(content: dict) -> list[str]:
    """Name the code cells that did not run or show an error."""
    found = []
    for number, cell in enumerate(content["cells"], start=1):
        if cell["cell_type"] != "code":
            continue
        if cell["execution_count"] is None:
            found.append(f"cell {number} did not run")
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                found.append(f"cell {number}: {output['ename']}: {output['evalue']}")
    return found


def test_run_all_runs_every_cell_and_shows_live_widgets(page, url: str) -> None:
    content = run_all(page, url, "notebooks/toy.ipynb")
    assert faults(content) == []
    assert content["cells"][1]["outputs"][0]["text"] in ("42\n", ["42\n"])
    page.wait_for_selector(".t-slider", timeout=20_000)


def test_boxes_answer_what_is_typed_and_clicked(page, url: str) -> None:
    assert faults(run_all(page, url, "notebooks/boxes.ipynb")) == []

    page.locator(".t-search-query input").fill("oil of the <b>NV-117</b> kettle")
    page.locator(".t-search-go").click()
    page.wait_for_selector(".t-search-hits >> text=SM-117-HYD", timeout=60_000)

    page.locator(".t-ask-question input").fill("What kind of hydraulic oil does the NV-117 need?")
    page.locator(".t-ask-go").click()
    page.wait_for_selector(".t-ask-answer >> text=Passages shown to the model", timeout=60_000)

    page.locator(".t-decide-changes select").select_option("never")
    page.wait_for_function(
        "() => !document.querySelector('.t-decide-advice').innerText.includes('the facts change')",
        timeout=60_000,
    )

    page.locator(".t-bets-go").click()
    page.wait_for_selector(".t-bets-said >> text=Kept", timeout=60_000)


def test_no_news_popup_asks_for_attention(page, url: str) -> None:
    run_all(page, url, "notebooks/toy.ipynb")
    assert page.locator(".Toastify__toast").count() == 0


def test_failing_cell_is_found(page, url: str) -> None:
    assert faults(run_all(page, url, "notebooks/broken.ipynb")) == [
        "cell 2: ZeroDivisionError: division by zero",
        "cell 3 did not run",
    ]


def test_first_lesson_runs_from_top_to_bottom(page, url: str) -> None:
    if not (ROOT / lab.FIRST_LESSON).is_file():
        pytest.skip(f"{lab.FIRST_LESSON} is not built yet")
    assert url.split("?")[0].endswith(f"/lab/tree/{lab.FIRST_LESSON}")
    assert faults(run_all(page, url, lab.FIRST_LESSON)) == []


def test_page_needs_the_token(page, url: str) -> None:
    page.goto(url.split("?")[0])
    assert "/login" in page.url

"""The command line: thin doors, exit codes 0 / 1 / 2, JSON where a result comes back."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cli.doors import parse

from labkit import __version__, catalogue, evaluate, fetch, models
from labkit.classroom import doctor
from labkit.cli import documents
from labkit.cli.main import UsageError, main
from labkit.models import LanguageModel
from labkit.store import IngestReport
from labkit.types import Generation, Hit

COMMANDS = "doctor fetch ingest search ask exam leaderboard finetune export plan bench lab".split()
SAID = "Each pitch bearing takes 1.6 kg of grease. [SB-1]"
RUN_WITHOUT_NETWORK = """
import json, socket, sys
def refuse(self, address):
    if self.family != getattr(socket, "AF_UNIX", None):
        raise OSError(101, f"this test allows no network: {address}")
socket.socket.connect = socket.socket.connect_ex = refuse
def resolve(*args, **kwargs):
    raise OSError(101, f"this test allows no network: {args}")
socket.getaddrinfo = resolve
from labkit.cli.main import main
sys.exit(max(main(command) for command in json.loads(sys.argv[1])))
"""


class Scripted(LanguageModel):
    """Always says the same."""

    def generate(self, messages: Any, *, on_text: Any = None, **options: Any) -> Generation:
        if on_text:
            on_text(SAID)
        return Generation(SAID, 1, 1)


@dataclass
class FakeStore:
    """Remembers how it was opened and filled."""

    hits: list[Hit]
    embedder_name: str = "fake"
    opened: list[tuple] = field(default_factory=list)
    asked: tuple = ()

    def search(
        self, query: str, *, k: int = 5, mode: str = "hybrid", where: dict | None = None
    ) -> list[Hit]:
        self.asked = (mode, where)
        return self.hits[:k]

    def ingest(self, paths: Sequence[str], *, max_words: int, on_progress: Any) -> IngestReport:
        from labkit.types import Unreadable

        self.opened.append((list(paths), max_words))
        on_progress(1, 2)
        on_progress(2, 2)
        return IngestReport(3, 2, 1, 4, 9, [Unreadable("a b.pdf", "broken file")], 1.5, 7)

    def count(self) -> int:
        return 42


@pytest.fixture
def store(make_hit: Any, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    hits = [make_hit("takes 1.6 kg", document_id="SB-1"), make_hit("other", document_id="SM-1")]
    fake = FakeStore(hits)

    def open_store(db: str, *, create: bool, embedder: str | None = None) -> FakeStore:
        fake.opened.append((db, create))
        return fake

    monkeypatch.setattr(documents, "_open_store", open_store)

    def open_course(industry: str = "") -> FakeStore:
        return open_store(industry or "the course", create=True)

    monkeypatch.setattr("labkit.finder.open_finder", lambda store: store)
    monkeypatch.setattr("labkit.finder.open_course_finder", open_course)
    monkeypatch.setattr("labkit.store.course.open_course_store", open_course)
    return fake


@pytest.fixture
def llm(tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = Scripted("tiny", tiny_llm.model, tiny_llm.tokenizer)
    monkeypatch.setattr(models, "load_language_model", lambda name, tuned: scripted)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys) -> None:
    assert main([command, "--help"]) == 0
    assert f"Usage: labkit {command}" in capsys.readouterr().out


def test_help_lists_every_command_and_the_version_is_the_packages(capsys) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"\n  {command}\s", text) for command in COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"labkit {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["ask"],
        ["ask", "one?", "two?"],
        ["ask", "?", "-k", "many"],
        ["ask", "?", "-k", "0"],
        ["ask", "?", "--model", "gpt"],
        ["fetch", "gpt"],
        ["ingest", "folder", "--db", "x", "--max-words", "-3"],
        ["exam", "--limit", "0"],
        ["ingest", "folder"],
        ["ingest", "--db", "x"],
        ["exam", "--system", "oracle"],
        ["exam", "--limit", "x"],
        ["doctor", "--colour"],
        ["lab", "--port", "x"],
    ],
    ids=" ".join,
)
def test_bad_usage_exits_with_2_and_shows_the_usage(arguments: list[str], capsys) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert "Usage: labkit" in said.err and "Error: " in said.err and said.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("the value"), 1),
        (FileNotFoundError("the file"), 1),
        (ModuleNotFoundError("the module"), 1),
        (KeyboardInterrupt(), 1),
    ],
)
def test_failed_work_is_one_line_on_stderr_and_exit_code_1(monkeypatch, capsys, error, code):
    def fail() -> None:
        raise error

    monkeypatch.setattr(doctor, "examine", fail)
    assert main(["doctor", "--json"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert (str(error) or "Stopped") in said.err


@pytest.mark.parametrize("words", [["plan", "--batch", "0"], ["bench", "nothing"]])
def test_a_command_that_the_doors_do_not_accept_does_not_parse(words: list[str]) -> None:
    with pytest.raises((KeyError, UsageError)):
        parse(words)


def test_options_are_parsed_without_running_anything() -> None:
    options = parse("bench retrieval --sizes 10 20 30 --json".split())
    assert [*options["sizes"], *options["more"], options["as_json"]] == [10, 20, 30, True]


def test_help_is_plain_and_loads_nothing_heavy(root: Path) -> None:
    code = "import sys; from labkit.cli.main import main; main(['--help']); print(*sys.modules)"
    said = run_python("-c", code, cwd=root)
    assert said.returncode == 0 and "\x1b" not in said.stdout and "─" not in said.stdout
    assert not {"torch", "numpy", "rich", "lancedb", "openai"} & set(said.stdout.split())


def test_a_programming_error_is_not_hidden(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("warning", 0), ("problem", 1)])
def test_doctor_reports_in_words_and_in_json(monkeypatch, capsys, level, code) -> None:
    finding = doctor.Finding(level, "disk", "Høgås", "do this")
    report = doctor.Report({"n_cores": 2}, {"torch": "2"}, {"model": "m"}, [finding])
    monkeypatch.setattr(doctor, "examine", lambda: report)
    assert main(["doctor"]) == code
    assert "→ do this" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == code
    parsed = json.loads(capsys.readouterr().out)
    assert parsed["healthy"] is (code == 0)
    assert parsed["findings"][0]["text"] == "Høgås"


def test_fetch_lists_the_catalogue_without_fetching(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(fetch, "fetch", lambda name: pytest.fail("it fetched"))
    assert main(["fetch", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(catalogue.CATALOGUE)


def test_fetch_brings_the_two_small_models_unless_told_otherwise(monkeypatch, store) -> None:
    asked: list[str] = []
    monkeypatch.setattr(fetch, "fetch", lambda name, *, given: asked.append(name))
    assert main(["fetch"]) == 0
    assert sorted(asked) == sorted([catalogue.SMALL_MODEL, catalogue.EMBEDDING_MODEL])
    assert store.opened == [("the course", True)]
    asked.clear()
    store.opened.clear()
    assert main(["fetch", catalogue.GPU_MODEL]) == 0
    assert (asked, store.opened) == ([catalogue.GPU_MODEL], [])


@pytest.mark.parametrize(("gib", "more"), [(4, []), (8, [catalogue.READER])])
def test_what_suits_a_machine_is_fetched_too(monkeypatch, store, gib: int, more: list) -> None:
    from labkit import hardware

    asked: list[str] = []
    monkeypatch.setattr(fetch, "fetch", lambda name, *, given: asked.append(name))
    laptop = hardware.Hardware("CPU", 2, gib * hardware.GIB, False)
    monkeypatch.setattr(hardware, "detect", lambda: laptop)
    assert main(["fetch", "--suited"]) == 0
    assert asked == [catalogue.EMBEDDING_MODEL, catalogue.SMALL_MODEL, *more]


def test_fetching_an_unknown_model_names_the_known_ones(capsys) -> None:
    assert main(["fetch", "gpt"]) == 2
    assert catalogue.SMALL_MODEL in capsys.readouterr().err


def test_ingest_counts_and_names_what_it_could_not_read(store, capsys) -> None:
    assert main(["ingest", "a", "b", "--db", "my-db", "--max-words", "30"]) == 0
    assert store.opened == [("my-db", True), (["a", "b"], 30)]
    said = capsys.readouterr().out
    assert "3 added, 2 changed, 1 unchanged, 4 removed; 9 chunks embedded in 1.5 s" in said
    assert "could not read 'a b.pdf': broken file" in said
    assert "--db my-db" in said


def test_ingest_speaks_json_alone_on_stdout(store, capsys) -> None:
    assert main(["ingest", "a", "--db", "x", "--json"]) == 0
    parsed = json.loads(capsys.readouterr().out)
    assert (parsed["added"], parsed["version"]) == (3, 7)
    assert parsed["unreadable"] == [{"path": "a b.pdf", "reason": "broken file"}]


def test_search_shows_hits_without_a_model_and_hands_conditions_on(store, capsys) -> None:
    assert main(["search", "How much?", "--db", "my-db", "-k", "1"]) == 0
    said = capsys.readouterr().out
    assert "[SB-1]" in said and "takes 1.6 kg" in said and "SM-1" not in said
    told = ["--where", "kind=bulletin", "--where", "torque=5", "--mode", "text", "--json"]
    assert main(["search", "How much?", *told]) == 0
    assert store.asked == ("text", {"kind": "bulletin", "torque": 5.0})
    assert [hit["document_id"] for hit in json.loads(capsys.readouterr().out)] == ["SB-1", "SM-1"]
    assert main(["search", "How much?", "--where", "kind"]) == 2
    assert "'kind' is no condition; write COLUMN=VALUE" in capsys.readouterr().err


def test_ask_prints_the_answer_with_its_sources(store, llm, capsys) -> None:
    assert main(["ask", "How much?", "--db", "my-db", "-k", "1"]) == 0
    assert store.opened == [("my-db", False)]
    said = capsys.readouterr().out
    assert said.startswith(f"{SAID}\nSources:\n  [SB-1] Manual (cited by the model)\n")
    assert said.count(SAID) == 1


def test_ask_speaks_json_alone_on_stdout(store, llm, capsys) -> None:
    assert main(["ask", "How much?", "--json"]) == 0
    parsed = json.loads(capsys.readouterr().out)
    assert store.opened == [("the course", True)]
    assert parsed["text"] == SAID
    assert parsed["citations"] == [
        {"document_id": "SB-1", "chunk_id": "SB-1#0", "origin": "written"}
    ]
    assert [hit["document_id"] for hit in parsed["hits"]] == ["SB-1", "SM-1"]
    assert set(parsed["seconds"]) == {"retrieve", "prompt", "generate"}


def test_ask_hands_on_the_model_and_its_tuning(store, llm, monkeypatch, capsys) -> None:
    scripted = models.load_language_model("auto", tuned=None)
    asked: list[tuple] = []

    def load(name: str, tuned: Path) -> LanguageModel:
        asked.append((name, tuned))
        return scripted

    monkeypatch.setattr(models, "load_language_model", load)
    assert main(["ask", "How much?", "--tuned", "my-adapter"]) == 0
    assert asked == [("auto", Path("my-adapter"))]


def test_ask_refuses_an_empty_question(store, llm, capsys) -> None:
    assert main(["ask", " "]) == 1
    assert "question is empty" in capsys.readouterr().err


def test_ask_without_a_store_says_how_to_make_one(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("labkit.embed.load_embedder", lambda name: None)
    assert main(["ask", "How much?", "--db", str(tmp_path / "none")]) == 1
    assert "labkit ingest" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("system", ["base", "rag"])
def test_exam_passes_its_options_on(monkeypatch, store, capsys, system: str) -> None:
    asked: dict[str, Any] = {}

    def sit(name: str, **options: Any) -> dict:
        asked.update(options, system=name)
        return {"figures": {}, "config": {"system": name}}

    monkeypatch.setattr(evaluate, "sit", sit)
    monkeypatch.setattr(evaluate, "render", lambda run: "the table")
    written: list[str] = []
    monkeypatch.setattr("labkit.claims.leaderboard.write", lambda: written.append("page"))
    arguments = ["exam", "--system", system, "--model", "auto", "-k", "2", "--limit", "5"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "the table\n"
    shown = {"store": store} if system == "rag" else {}
    assert asked == shown | {
        "system": system,
        "part": "test",
        "model": "auto",
        "tuned": None,
        "k": 2,
        "limit": 5,
        "scorer": None,
        "label": "",
        "progress": True,
    }
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"] == {"system": system}
    assert asked["progress"] is False
    monkeypatch.setattr("labkit.rerank.course_scorer", lambda: "a scorer")
    assert main([*arguments, "--rerank"]) == 0
    assert asked["scorer"] == "a scorer"
    assert written == [], "a part of the exam is not recorded"
    assert main(arguments[:-2]) == 0
    assert written == ["page"]


def test_a_fast_exam_is_refused_in_one_sentence(monkeypatch, store, capsys, root: Path) -> None:
    monkeypatch.setenv("LABKIT_FAST", "1")
    monkeypatch.setattr(evaluate, "sit", lambda *a, **k: pytest.fail("the exam began"))
    assert main(["exam"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert "never recorded in data/results; unset LABKIT_FAST" in said.err


def test_only_a_whole_exam_joins_the_leaderboard(monkeypatch, store, capsys) -> None:
    written: list[str] = []
    monkeypatch.setattr(evaluate, "sit", lambda name, **options: {"config": {}, "figures": {}})
    monkeypatch.setattr(evaluate, "render", lambda run: "")
    monkeypatch.setattr("labkit.claims.leaderboard.write", lambda: written.append("page"))
    assert main(["exam", "--limit", "5"]) == 0
    assert written == []
    assert main(["exam"]) == 0
    assert written == ["page"]


def test_the_exams_limit_says_which_questions_it_leaves(capsys) -> None:
    assert main(["exam", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "N questions spread evenly over the exam; not recorded" in said


def test_lab_passes_the_port_and_the_exit_code_on(monkeypatch) -> None:
    monkeypatch.setattr("labkit.authoring.lab.start", lambda *, port: 7 if port == 8899 else 0)
    assert main(["lab", "--port", "8899"]) == 7
    assert main(["lab"]) == 0


def test_the_module_runs_as_a_command(root: Path) -> None:
    result = run_python("-m", "labkit", "fetch", "Llama-3.1-70B", cwd=root)
    assert result.returncode == 1
    assert "Llama-3.1-70B is for planning only" in result.stderr
    assert "Traceback" not in result.stderr


def run_python(*arguments: str, cwd: Path, offline: bool = False) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    if offline and can_unshare():
        command = ["unshare", "-n", *command]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8")


def can_unshare() -> bool:
    """Tell whether a process without any network device can be started (root on Linux)."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        return False
    return subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0


def test_documents_become_an_answer_with_sources_without_any_network(
    root: Path, tmp_path: Path
) -> None:
    for name in (catalogue.SMALL_MODEL, catalogue.EMBEDDING_MODEL):
        if not fetch.is_fetched(name):
            pytest.skip(f"{name} is not fetched; run: python -m labkit fetch")
    text = "# Pitch manual\n\nEach pitch bearing of the NV-90 takes 1.6 kg of Norlub grease.\n"
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "PIT.md").write_text(text, encoding="utf-8")
    db = str(tmp_path / "db")
    question = "How much grease does a pitch bearing of the NV-90 take?"
    commands = [
        ["ingest", str(tmp_path / "docs"), "--db", db, "--json"],
        ["ask", question, "--db", db, "--json", "--model", catalogue.SMALL_MODEL],
    ]
    result = run_python("-c", RUN_WITHOUT_NETWORK, json.dumps(commands), cwd=root, offline=True)
    assert result.returncode == 0, result.stderr
    report, answer = map(json.loads, result.stdout.splitlines())
    assert report["added"] == 1
    assert answer["text"]
    assert [hit["document_id"] for hit in answer["hits"]] == ["PIT"]
    assert "1.6 kg" in answer["prompt"]

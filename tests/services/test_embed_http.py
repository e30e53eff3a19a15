"""Embedding services, held against a loopback server that speaks their protocol."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from labkit.cli.main import main
from labkit.embed import load_embedder
from labkit.services import embed_http, embed_services
from labkit.services.embed_http import HttpEmbedder
from labkit.store import open_store

KEY = "sk-secret-0123456789"
SMALL = "text-embedding-3-small"
Reply = tuple[int, bytes | dict, dict[str, str]]


def vector_of(text: str, dimension: int) -> list[float]:
    """Return a vector that tells its text: its length in the first place, 3 in the second."""
    return [float(len(text)), 3.0, *[0.0] * (dimension - 2)]


def good(request: dict) -> dict:
    """Answer as the services do, the last text first, for only ``index`` tells the order."""
    dimension = request.get("dimensions") or embed_services.MODELS[request["model"]].dimension
    data = [
        {"object": "embedding", "index": i, "embedding": vector_of(text, dimension)}
        for i, text in enumerate(request["input"])
    ]
    return {"object": "list", "data": data[::-1], "usage": {"total_tokens": 10}}


class Server(ThreadingHTTPServer):
    """Remembers the requests; answers from a list of replies first, then as a service does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict] = []
        self.headers: list[Any] = []
        self.replies: list[Callable[[dict], Reply]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def reply_with(self, *replies: Reply | Callable[[dict], Reply]) -> None:
        self.replies = [r if callable(r) else lambda _, r=r: r for r in replies]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request | {"path": self.path})
        self.server.headers.append(self.headers)
        replies = self.server.replies
        status, body, headers = replies.pop(0)(request) if replies else (200, good(request), {})
        packed = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(packed))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(packed)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        for name in ("OPENAI", "JINA"):
            monkeypatch.setenv(f"{name}_BASE_URL", server.url)
            monkeypatch.setenv(f"{name}_API_KEY", KEY)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def small(server: Server, waits: list[float]) -> HttpEmbedder:
    return HttpEmbedder(SMALL, sleep=waits.append)


def failure(embedder: HttpEmbedder, texts: list[str]) -> str:
    """Return the message of a failed call, which never holds the key."""
    with pytest.raises(ConnectionError) as caught:
        embedder.encode_documents(texts)
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in str(error) and KEY not in repr(error)
        error = error.__cause__ or error.__context__
    return str(caught.value)


def test_vectors_come_in_the_order_of_the_texts_and_have_length_one(
    small: HttpEmbedder, server: Server
) -> None:
    vectors = small.encode_documents(["a", "bbbb"])
    assert vectors.shape == (2, 1536) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[:, :2], [[0.1**0.5, 0.9**0.5], [0.8, 0.6]], atol=1e-6)
    assert server.requests == [{"model": SMALL, "input": ["a", "bbbb"], "path": "/v1/embeddings"}]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert small.tokens_spent == 10


def test_no_texts_send_nothing(small: HttpEmbedder, server: Server) -> None:
    assert small.encode_queries([]).shape == (0, 1536)
    assert server.requests == []


def test_a_shorter_dimension_is_asked_for_and_part_of_the_name(server: Server) -> None:
    embedder = load_embedder(f"{SMALL}@256")
    assert (embedder.name, embedder.dimension) == (f"{SMALL}@256", 256)
    assert embedder.encode_queries(["a"]).shape == (1, 256)
    assert server.requests[0]["dimensions"] == 256
    assert load_embedder(f"{SMALL}@1536").name == SMALL


def test_jina_is_told_which_side_a_text_is_on(server: Server) -> None:
    jina = load_embedder("jina-embeddings-v3")
    jina.encode_documents(["passage"])
    jina.encode_queries(["question"])
    assert [r["task"] for r in server.requests] == ["retrieval.passage", "retrieval.query"]
    assert jina.dimension == 1024


def test_batches_keep_both_limits_and_the_order(
    small: HttpEmbedder, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_http, "BATCH_TEXTS", 3)
    monkeypatch.setattr(embed_http, "BATCH_CHARACTERS", 10)
    texts = ["a" * n for n in (1, 2, 3, 4, 6, 11, 2, 8, 1, 1)]
    vectors = small.encode_documents(texts)
    sent = [request["input"] for request in server.requests]
    assert [len(batch) for batch in sent] == [3, 2, 1, 2, 2]
    assert sum(sent, []) == texts
    expected = [n / (n * n + 9) ** 0.5 for n in map(len, texts)]
    np.testing.assert_allclose(vectors[:, 0], expected, atol=1e-6)
    assert small.tokens_spent == 50


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_busy_service_is_asked_again_after_longer_and_longer(
    small: HttpEmbedder, server: Server, waits: list[float], status: int
) -> None:
    server.reply_with(*[(status, b"busy", {})] * 4)
    assert small.encode_documents(["a"]).shape == (1, 1536)
    assert len(server.requests) == 5
    assert all(0.5 * 2**n <= wait <= 2**n for n, wait in enumerate(waits))
    assert len(waits) == 4


def test_retry_after_is_honoured_as_seconds_and_as_a_date(
    small: HttpEmbedder, server: Server, waits: list[float]
) -> None:
    date = formatdate(time.time() + 40, usegmt=True)
    asked = ["17", date, "soon", "-3", "nan", ""]
    server.reply_with(*[(429, b"", {"Retry-After": value}) for value in asked[:5]])
    small.encode_documents(["a"])
    assert waits[0] == 17 and 30 < waits[1] <= 40
    assert [wait < 17 for wait in waits[2:]] == [True] * 3


@pytest.mark.parametrize("value", ["3600", "inf"])
def test_a_service_that_wants_an_hour_is_not_waited_for(
    small: HttpEmbedder, server: Server, waits: list[float], value: str
) -> None:
    server.reply_with((429, b"", {"Retry-After": value}))
    assert "try again later" in failure(small, ["a"])
    assert waits == []


def test_a_service_that_stays_busy_is_given_up_with_its_last_answer(
    small: HttpEmbedder, server: Server, waits: list[float]
) -> None:
    server.reply_with(*[(503, b"", {})] * 9)
    assert "6 attempts failed, the last one because it answered 503" in failure(small, ["a"])
    assert (len(server.requests), len(waits)) == (6, 5)


def test_a_service_out_of_reach_is_given_up(
    small: HttpEmbedder, server: Server, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    embedder = HttpEmbedder(SMALL, sleep=waits.append)
    assert "at 127.0.0.1 could not embed: 6 attempts" in failure(embedder, ["a"])
    assert len(waits) == 5


def test_a_reply_that_breaks_off_is_asked_for_again(small: HttpEmbedder, server: Server) -> None:
    server.reply_with((200, b'{"data": [', {"Content-Length": "5000", "Connection": "close"}))
    assert small.encode_documents(["a"]).shape == (1, 1536)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, f"Incorrect API key provided: {KEY}", "it refused the key in OPENAI_API_KEY"),
        (403, "no", "it refused the key in OPENAI_API_KEY"),
        (402, "", "no credit left"),
        (429, '{"error": {"code": "insufficient_quota"}}', "no credit left"),
        (400, f"too long, {KEY}", "it answered 400: too long, …"),
        (400, "x" * 190 + KEY, "it answered 400: xxx"),
        (302, "", "it answered 302"),
    ],
)
def test_what_cannot_get_better_is_not_asked_again(
    small: HttpEmbedder, server: Server, status: int, body: str, words: str
) -> None:
    server.reply_with((status, body.encode(), {"Location": "http://example.org"}))
    said = failure(small, ["a"])
    assert words in said and KEY[:6] not in said
    assert len(server.requests) == 1


def malformed(change: Callable[[dict], Any]) -> Callable[[dict], Reply]:
    def reply(request: dict) -> Reply:
        body = good(request)
        changed = change(body)
        packed = changed if isinstance(changed, bytes) else json.dumps(changed or body).encode()
        return 200, packed, {}

    return reply


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body: b"<html>", "not JSON"),
        (lambda body: b"", "not JSON"),
        (lambda body: b"\xff\xfe", "not JSON"),
        (lambda body: [1], "does not hold the 2 vectors"),
        (lambda body: {"error": "x"}, "does not hold the 2 vectors"),
        (lambda body: {"data": None}, "does not hold the 2 vectors"),
        (lambda body: body["data"].pop() and None, "does not hold the 2 vectors"),
        (lambda body: body["data"][0].update(index=1 - body["data"][0]["index"]), "does not hold"),
        (lambda body: body["data"].append({"index": 2, "embedding": [1.0]}), "holds 3 vectors"),
        (lambda body: body["data"][0]["embedding"].pop() and None, "does not hold"),
        (lambda body: [d["embedding"].pop() for d in body["data"]] and None, "shape (1535,)"),
        (lambda body: [d.update(embedding="AAAA") for d in body["data"]] and None, "does not hold"),
        (lambda body: body["data"][1]["embedding"].__setitem__(7, float("nan")), "no numbers"),
        (lambda body: body["data"][1]["embedding"].__setitem__(7, 1e400), "no numbers"),
        (lambda body: body["data"][1].update(embedding=[0.0] * 1536), "a vector of zeros"),
        (lambda body: body.update(usage=[]), None),
        (lambda body: body.pop("usage") and None, None),
    ],
)
def test_a_malformed_reply_is_named_and_never_stored(
    small: HttpEmbedder, server: Server, change: Callable, words: str | None
) -> None:
    server.reply_with(malformed(change))
    if words is None:
        assert small.encode_documents(["a", "bb"]).shape == (2, 1536)
    else:
        assert words in failure(small, ["a", "bb"])
    assert len(server.requests) == 1


def test_a_failure_names_no_key_and_neither_does_the_object(small: HttpEmbedder) -> None:
    assert KEY not in repr(small) and KEY not in repr(vars(small))


@pytest.mark.parametrize("key", [None, "", "  ", "sk-\nx", "ключ"])
def test_without_a_usable_key_one_sentence_says_so(
    server: Server, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    monkeypatch.delenv("JINA_API_KEY")
    if key is not None:
        monkeypatch.setenv("JINA_API_KEY", key)
    with pytest.raises(ValueError, match="Set JINA_API_KEY to your key, in the shell"):
        load_embedder("jina-embeddings-v3")


def test_without_httpx_one_sentence_says_so(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ModuleNotFoundError, match=r"labkit\[providers\]"):
        load_embedder(SMALL)


@pytest.mark.parametrize("url", ["http://example.org/v1", "ftp://127.0.0.1", "example.org", "//"])
def test_a_key_never_travels_unencrypted(
    server: Server, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(ValueError, match="OPENAI_BASE_URL must be an https:// address"):
        load_embedder(SMALL)


@pytest.mark.parametrize("name", [f"{SMALL}@0", f"{SMALL}@1537", f"{SMALL}@", f"{SMALL}@2.5"])
def test_an_impossible_dimension_is_refused(server: Server, name: str) -> None:
    with pytest.raises(ValueError, match="has 1 to 1536 dimensions"):
        load_embedder(name)


def test_cost_is_characters_over_four_times_the_price() -> None:
    estimate = embed_services.estimate_cost("text-embedding-3-large@256", ["x" * 4000] * 1000)
    assert (estimate.n_texts, estimate.n_tokens) == (1000, 1_000_000)
    assert estimate.usd == pytest.approx(0.13)
    assert str(estimate) == "1000 texts, about 1000000 tokens, about 0.1300 USD"
    assert embed_services.estimate_cost("jina-embeddings-v3", ["abcde"]).usd is None
    assert embed_services.estimate_cost("jina-embeddings-v3", ["abcde"]).n_tokens == 2
    with pytest.raises(ValueError, match="No service has a model 'gpt'"):
        embed_services.estimate_cost("gpt", [])


def test_ingesting_with_a_service_tells_the_price_and_finds_by_its_vectors(
    server: Server, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    docs, db = tmp_path / "docs", str(tmp_path / "db")
    docs.mkdir()
    (docs / "a.md").write_text("Grease the bearing.", encoding="utf-8")
    command = ["ingest", str(docs), "--db", db, "--json"]
    assert main([*command, "--embedder", f"{SMALL}@8"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["chunks_embedded"] == 1
    assert f"{SMALL}@8: 1 texts, about 6 tokens" in said.err
    assert open_store(db, load_embedder(f"{SMALL}@8")).search("bearing")[0].document_id == "a"

    server.requests.clear()
    assert main(command) == 0, "the model of the database is the default"
    assert "0 texts, about 0 tokens" in capsys.readouterr().err
    assert server.requests == []


def test_a_large_run_needs_a_yes(
    server: Server, tmp_path: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(embed_services, "TOKENS_WITHOUT_YES", 2)
    (tmp_path / "a.md").write_text("Grease the bearing.", encoding="utf-8")
    command = ["ingest", str(tmp_path / "a.md"), "--db", str(tmp_path / "db"), "--embedder", SMALL]
    assert main(command) == 1
    assert "with --yes" in capsys.readouterr().err
    assert server.requests == []
    assert main([*command, "--yes"]) == 0
    assert len(server.requests) == 1


def test_another_model_on_the_same_database_is_refused_at_the_door(
    server: Server, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.md").write_text("Grease the bearing.", encoding="utf-8")
    command = ["ingest", str(tmp_path / "a.md"), "--db", str(tmp_path / "db"), "--embedder"]
    assert main([*command, f"{SMALL}@8"]) == 0
    sent = len(server.requests)
    capsys.readouterr()
    for other in (SMALL, f"{SMALL}@16", "jina-embeddings-v3@8"):
        assert main([*command, other]) == 1
        said = capsys.readouterr().err
        assert f"was made with {SMALL}@8 (8 dimensions), not with {other}" in said
        assert said.count("\n") == 1
    assert len(server.requests) == sent


@pytest.mark.parametrize("name", ["gpt", f"{SMALL}@9999", "SmolLM2-135M-Instruct"])
def test_a_name_that_cannot_embed_is_bad_usage(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["ingest", "x", "--db", "y", "--embedder", name])
    assert stop.value.code == 2
    assert "usage: python -m labkit ingest" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["jina-embeddings-v2-base-en", "jinaai/jina-reranker-v2"])
def test_a_model_that_needs_its_authors_code_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="runs code of its authors"):
        load_embedder(name)


def test_a_model_that_writes_is_no_embedder() -> None:
    with pytest.raises(ValueError, match="writes text"):
        load_embedder("SmolLM2-135M-Instruct")

"""Embedding services, held against a loopback server that speaks their protocol."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from labkit.cli.main import main
from labkit.services import embedding
from labkit.services.embedding import ServiceEmbedder, load_embedder
from labkit.store import open_store

KEY = "sk-secret-0123456789"
SMALL = "text-embedding-3-small"
Reply = tuple[int, bytes | dict, dict[str, str]]


def vector_of(text: str, dimension: int) -> list[float]:
    """Return a vector that tells its text: its length in the first place, 3 in the second."""
    return [float(len(text)), 3.0, *[0.0] * (dimension - 2)]


def good(request: dict) -> dict:
    """Answer as the services do, the last text first, for only ``index`` tells the order."""
    dimension = request.get("dimensions") or embedding.MODELS[request["model"]].dimension
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
        for name, value in (
            {"Content-Length": str(len(packed)), "Content-Type": "application/json"} | headers
        ).items():
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
def small(server: Server, monkeypatch: pytest.MonkeyPatch) -> ServiceEmbedder:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return ServiceEmbedder(SMALL)


def failure(embedder: ServiceEmbedder, texts: list[str]) -> str:
    """Return the message of a failed call, which never holds the key."""
    with pytest.raises(ConnectionError) as caught:
        embedder.encode_documents(texts)
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in str(error) and KEY not in repr(error)
        error = error.__cause__ or error.__context__
    return str(caught.value)


def test_vectors_come_in_the_order_of_the_texts_and_have_length_one(
    small: ServiceEmbedder, server: Server
) -> None:
    vectors = small.encode_documents(["a", "bbbb"])
    assert vectors.shape == (2, 1536) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[:, :2], [[0.1**0.5, 0.9**0.5], [0.8, 0.6]], atol=1e-6)
    (request,) = server.requests
    assert (request["model"], request["input"]) == (SMALL, ["a", "bbbb"])
    assert request["path"] == "/v1/embeddings" and "dimensions" not in request
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}" and "task" not in request


def test_no_texts_send_nothing(small: ServiceEmbedder, server: Server) -> None:
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


def test_batches_keep_the_limit_and_the_order(
    small: ServiceEmbedder, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "BATCH_TEXTS", 3)
    texts = ["a" * n for n in (1, 2, 3, 4, 6, 11, 2)]
    vectors = small.encode_documents(texts)
    assert [len(request["input"]) for request in server.requests] == [3, 3, 1]
    expected = [n / (n * n + 9) ** 0.5 for n in map(len, texts)]
    np.testing.assert_allclose(vectors[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_busy_service_is_asked_again(small: ServiceEmbedder, server: Server, status: int) -> None:
    server.reply_with(*[(status, b"busy", {})] * embedding.MAX_RETRIES)
    assert small.encode_documents(["a"]).shape == (1, 1536)
    assert len(server.requests) == 1 + embedding.MAX_RETRIES


def test_a_service_that_stays_busy_is_given_up_with_its_last_answer(
    small: ServiceEmbedder, server: Server
) -> None:
    server.reply_with(*[(503, b"maintenance", {})] * 9)
    assert "503" in failure(small, ["a"])
    assert len(server.requests) == 1 + embedding.MAX_RETRIES


def test_a_service_out_of_reach_is_given_up(
    small: ServiceEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert "at 127.0.0.1 could not embed: APIConnectionError" in failure(small, ["a"])


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, f"Incorrect API key provided: {KEY}", "it refused the key in OPENAI_API_KEY"),
        (403, "no", "it refused the key in OPENAI_API_KEY"),
        (402, "no credit left", "no credit left"),
        (400, f"too long, {KEY}", "too long, …"),
        (400, "x" * 190 + KEY, "xxx"),
    ],
)
def test_what_cannot_get_better_is_not_asked_again(
    small: ServiceEmbedder, server: Server, status: int, body: str, words: str
) -> None:
    server.reply_with((status, {"error": {"message": body}}, {}))
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
    "change",
    [
        lambda body: b"<html>",
        lambda body: b"",
        lambda body: b"\xff\xfe",
        lambda body: [1],
        lambda body: {"error": "x"},
        lambda body: {"data": None},
        lambda body: body["data"].pop() and None,
        lambda body: body["data"][0].update(index=1 - body["data"][0]["index"]),
        lambda body: body["data"].append({"index": 2, "embedding": [1.0]}),
        lambda body: body["data"].append(body["data"][0] | {"index": 2}),
        lambda body: body["data"][0]["embedding"].pop() and None,
        lambda body: [d["embedding"].pop() for d in body["data"]] and None,
        lambda body: [d.update(embedding="AAAA") for d in body["data"]] and None,
        lambda body: body["data"][1]["embedding"].__setitem__(7, float("nan")),
        lambda body: body["data"][1]["embedding"].__setitem__(7, 1e400),
        lambda body: body["data"][1].update(embedding=[0.0] * 1536),
    ],
)
def test_a_malformed_reply_is_named_and_never_stored(
    small: ServiceEmbedder, server: Server, change: Callable
) -> None:
    server.reply_with(malformed(change))
    assert "could not embed" in failure(small, ["a", "bb"])
    assert len(server.requests) == 1


def test_a_failure_names_no_key_and_neither_does_the_object(small: ServiceEmbedder) -> None:
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


def test_without_the_client_one_sentence_says_so(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e \"\.\[providers\]\""):
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
    n_tokens, words = embedding.estimate_cost("text-embedding-3-large@256", ["x" * 4000] * 1000)
    assert (n_tokens, words) == (
        1_000_000,
        "1000 texts, about 1000000 tokens, about 0.1300 USD",
    )
    n_tokens, words = embedding.estimate_cost("jina-embeddings-v3", ["abcde"])
    assert n_tokens == 2 and words.endswith("price not published")
    with pytest.raises(ValueError, match="No service has a model 'gpt'"):
        embedding.estimate_cost("gpt", [])


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
    monkeypatch.setattr(embedding, "TOKENS_WITHOUT_YES", 2)
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
    assert main(["ingest", "x", "--db", "y", "--embedder", name]) == 2
    assert "Usage: labkit ingest" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["jina-embeddings-v2-base-en", "jinaai/jina-reranker-v2"])
def test_a_model_that_needs_its_authors_code_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="runs code of its authors"):
        load_embedder(name)


def test_a_model_that_writes_is_no_embedder() -> None:
    with pytest.raises(ValueError, match="writes text"):
        load_embedder("SmolLM2-135M-Instruct")

"""The application as a client meets it, over ASGI."""

import asyncio
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
testclient = pytest.importorskip("starlette.testclient")

from qdllm.serve import TextModel  # noqa: E402
from qdllm.serve.app import Limits, create_app  # noqa: E402
from qdllm.serve.watching import JsonLines  # noqa: E402

CLASSES = ("<b>", "سوق")
SECRET = "do not log me"


def share_of_a(texts):
    """A model that can be checked: the share of letters a is the probability of the first class."""
    share = np.array([text.count("a") / len(text) for text in texts])
    return np.stack([share, 1 - share], axis=1)


class Slow:
    """Answers when it is allowed to, and counts how often it was asked about how many texts."""

    def __init__(self):
        self.go, self.asked = threading.Event(), []

    def __call__(self, texts):
        self.asked.append(len(texts))
        self.go.wait(10)
        return share_of_a(texts)


def client_of(model=share_of_a, *, limits=None, token=None):
    models = {"student": TextModel("student", CLASSES, model)}
    return testclient.TestClient(create_app(models, name="run", limits=limits, token=token))


@pytest.fixture
def client():
    with client_of() as found:
        yield found


def ask(client, *texts, **extra):
    return client.post("/predict", json={"texts": list(texts), **extra})


def test_texts_get_probabilities_in_order(client):
    found = ask(client, "aab", "b", "سوق aaa a 🎉").json()
    assert found["model"] == "student"
    assert [p["label"] for p in found["predictions"]] == ["<b>", "سوق", "سوق"]
    assert found["predictions"][0]["proba"] == pytest.approx({"<b>": 2 / 3, "سوق": 1 / 3})
    assert found["milliseconds"] > 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"texts": []},
        {"texts": "a"},
        {"texts": [""]},
        {"texts": ["a", " \n"]},
        {"texts": ["a\0b"]},
        {"texts": [1]},
        {"texts": ["a"], "unknown": 1},
        {"texts": ["a"] * 257},
        {"texts": ["a" * 100_001]},
        ["a"],
        None,
    ],
)
def test_what_cannot_be_answered_is_refused(client, body):
    answer = client.post("/predict", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert len(answer.content) < 1000  # the texts are not sent back


def test_a_model_that_is_not_served_is_not_found(client):
    answer = ask(client, "a", model="teacher")
    assert answer.status_code == 404
    assert "student" in answer.json()["detail"]


NO_JSON = [b"", b"{", b"\xff\xfe", b'{"texts": ["\\ud800"]}', b'{"texts": [' + b"[" * 5000]


@pytest.mark.parametrize("body", NO_JSON)
def test_what_is_no_json_is_refused(client, body):
    answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)


def test_a_large_body_is_refused_with_and_without_a_length():
    with client_of(limits=Limits(n_bytes=1000)) as client:
        assert ask(client, "a" * 2000).status_code == 413
        chunks = (b"x" * 100 for _ in range(100))
        assert client.post("/predict", content=chunks).status_code == 413
        assert ask(client, "a").status_code == 200


def test_a_body_that_does_not_arrive_is_given_up():
    """Over a socket: a client that says how much it will send, and sends less."""
    models = {"student": TextModel("student", CLASSES, share_of_a)}
    app = create_app(models, name="run", limits=Limits(seconds=0.3))
    sent = []

    async def ask_slowly():
        async def receive():
            await asyncio.sleep(0 if not sent else 5)
            return {"type": "http.request", "body": b"{", "more_body": True}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [], "query_string": b""}
        await app(scope, receive, send)

    asyncio.run(asyncio.wait_for(ask_slowly(), 5))
    assert sent[0]["status"] == 408


def test_more_requests_than_may_wait_are_told_to_come_again():
    slow = Slow()
    with client_of(slow, limits=Limits(waiting=2)) as client, ThreadPoolExecutor(8) as threads:
        first = threads.submit(ask, client, "a")
        while not slow.asked:
            time.sleep(0.01)
        waiting = [threads.submit(ask, client, "a") for _ in range(2)]
        while b'waiting_requests{model="student"} 2.0' not in client.get("/metrics").content:
            time.sleep(0.01)
        refused = ask(client, "a")
        slow.go.set()
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert [one.result().status_code for one in (first, *waiting)] == [200, 200, 200]


def test_requests_that_wait_together_are_one_batch_each_with_its_own_answer():
    slow = Slow()
    with client_of(slow) as client, ThreadPoolExecutor(8) as threads:
        first = threads.submit(ask, client, "a")
        while not slow.asked:
            time.sleep(0.01)
        waiting = [threads.submit(ask, client, *["a" * i + "b"] * i) for i in range(1, 5)]
        while b'waiting_requests{model="student"} 4.0' not in client.get("/metrics").content:
            time.sleep(0.01)
        slow.go.set()
        first.result()
        for i, one in enumerate(waiting, start=1):
            predictions = one.result().json()["predictions"]
            assert [p["proba"]["<b>"] for p in predictions] == [pytest.approx(i / (i + 1))] * i
        assert slow.asked == [1, 10]


def test_a_model_that_takes_too_long_is_given_up_and_asked_no_more():
    slow = Slow()
    with client_of(slow, limits=Limits(seconds=0.2)) as client:
        assert ask(client, "a").status_code == 504
        assert ask(client, "aa").status_code == 504
        slow.go.set()
        assert ask(client, "a").status_code == 200
        assert slow.asked == [1, 1]  # the second had given up before its turn came


def test_a_model_that_fails_fails_the_request_alone():
    def broken(texts):
        if "fail" in texts:
            raise RuntimeError(SECRET)
        return share_of_a(texts)

    models = {"student": TextModel("student", CLASSES, broken)}
    app = create_app(models, name="run")
    with testclient.TestClient(app, raise_server_exceptions=False) as client:
        answer = ask(client, "fail")
        assert answer.status_code == 500
        assert SECRET not in answer.text
        assert ask(client, "a").status_code == 200


def test_a_token_is_asked_for_where_one_is_set():
    with client_of(token="s3cret") as client:
        assert ask(client, "a").status_code == 401
        assert ask(client, "a").headers["www-authenticate"] == "Bearer"
        assert client.get("/metrics").status_code == 401
        for wrong in ("s3cre", "é", ""):
            sent = {"Authorization": f"Bearer {wrong}".encode()}
            assert client.post("/predict", json={"texts": ["a"]}, headers=sent).status_code == 401
        right = {"Authorization": "Bearer s3cret"}
        assert client.post("/predict", json={"texts": ["a"]}, headers=right).status_code == 200
        assert client.get("/health").status_code == 200


def test_no_other_site_may_ask(client):
    answer = client.options(
        "/predict", headers={"Origin": "http://example.org", "Access-Control-Request-Method": "POST"}
    )
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_health_and_metrics_tell_what_happened(client):
    assert client.get("/health").json()["models"] == {"student": list(CLASSES)}
    ask(client, "a", "b")
    client.get("/nowhere")
    told = client.get("/metrics").text
    assert 'qdllm_texts_total{model="student"} 2.0' in told
    assert 'qdllm_requests_total{path="/predict",status="200"} 1.0' in told
    assert 'qdllm_requests_total{path="other",status="404"} 1.0' in told
    assert "process_resident_memory_bytes" in told


def test_logs_are_json_and_hold_no_text(client, caplog):
    with caplog.at_level(logging.INFO, "qdllm.serve"):
        answer = ask(client, SECRET)
        client.get(f"/{SECRET}?q={SECRET}")
    records = [record for record in caplog.records if record.name == "qdllm.serve"]
    lines = [json.loads(JsonLines().format(record)) for record in records]
    assert [line["status"] for line in lines] == [200, 404]
    assert lines[0]["request"] == answer.headers["x-request-id"]
    assert SECRET not in json.dumps(lines)


def test_an_error_is_logged_without_its_message():
    try:
        raise RuntimeError(SECRET)
    except RuntimeError as error:
        raised = (type(error), error, error.__traceback__)
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", None, raised)
    line = json.loads(JsonLines().format(record))
    assert line["error"] == "RuntimeError"
    assert "test_app.py:" in line["where"][-1]
    assert SECRET not in json.dumps(line)


@pytest.mark.parametrize(
    ("query", "header", "language", "says"),
    [
        ("", "", "en", "Classify"),
        ("", "ja,en;q=0.8", "ja", "分類する"),
        ("?lang=ja", "en", "ja", "分類する"),
        ("?lang=xx", "", "en", "Classify"),
    ],
)
def test_the_page_speaks_the_readers_language(client, query, header, language, says):
    answer = client.get(f"/{query}", headers={"Accept-Language": header})
    assert f'<html lang="{language}">' in answer.text
    assert says in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    for name in ("page.js", "page.css", "icon.svg"):
        assert f"static/{name}" in answer.text
        assert client.get(f"/static/{name}").status_code == 200


def test_openapi_tells_every_refusal(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert paths.keys() == {"/predict", "/health", "/metrics"}
    told = paths["/predict"]["post"]["responses"]
    assert sorted(told) == ["200", "400", "401", "404", "408", "413", "422", "503", "504"]

"""Endpoint teachers against a server with faults: right answers, nothing paid twice, no budget passed."""

import logging
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from qdllm.data import Split, TextDataset
from qdllm.errors import BudgetError, ConfigError, DataError, EndpointError
from qdllm.teachers import EndpointSettings, EndpointTeacher, label_dataset, make_teacher
from qdllm.teachers.endpoints.budget import Budget, Ledger, Usage

KEY = "a-key-that-nobody-may-see"


def teacher(server: Any, cache: Path, *, shots: int = 0, **options: Any) -> EndpointTeacher:
    settings = EndpointSettings(**{"timeout": 30, **options})
    return EndpointTeacher(
        server.url, endpoint=settings, shots=shots, batch_calibration=False, cache=cache, quiet=True
    )


def test_an_endpoint_labels_a_dataset(
    server: Any, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    asked = teacher(server, tmp_path, shots=2)
    labels = asked.fit(reviews, split).soft_labels(reviews, split)
    truth = np.array([reviews.classes.index(label or "") for label in reviews.labels or ()])
    assert (labels.probabilities.argmax(axis=1) == truth).all()
    assert len(np.unique(labels.probabilities[:, 0])) > 10  # its confidence came through
    assert labels.meta["model"] == "tiny" and labels.meta["mode"] == "few-shot"
    assert labels.meta["spent"]["prompt"] + labels.meta["spent"]["answer"] == server.tokens
    roles = [message["role"] for message in server.asked[-1]["messages"]]
    assert roles in (["system"] + ["user", "assistant"] * n + ["user"] for n in (3, 4))
    # every text once, the first one more to see whether there are logprobs
    counts = sorted(server.texts.values())
    assert counts[:-1] == [1] * (len(reviews) - 1) and counts[-1] <= 2


def test_probabilities_are_those_of_the_tokens(
    server: Any, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    text = "a joy"
    fitted = teacher(server, tmp_path).fit(reviews, split)
    fitted.temperature = 1.0
    sure = 0.7 + 0.2 * (len(f"Text: {text}\nCategory:") % 7) / 7
    np.testing.assert_allclose(fitted.predict_proba([text]), [[sure, 1 - sure]], rtol=1e-5)


@pytest.mark.parametrize("logprobs", ["left out", "refused"])
def test_a_server_without_logprobs_is_sampled(
    server: Any, reviews: TextDataset, split: Split, tmp_path: Path, logprobs: str
) -> None:
    server.logprobs = logprobs
    labels = label_dataset(teacher(server, tmp_path, samples=3), reviews, split)
    assert {body.get("seed") for body in server.asked if "seed" in body} == {0, 1, 2}
    assert set(server.texts.values()) <= {3, 3 + 3}  # the first text served to find out
    truth = np.array([reviews.classes.index(label or "") for label in reviews.labels or ()])
    assert (labels.probabilities.argmax(axis=1) == truth).all()
    asked = len(server.asked)
    other = teacher(server, tmp_path, samples=3).fit(reviews, split)
    other.predict_proba(reviews.texts)
    assert len(server.asked) == asked  # what was found out is remembered


@pytest.mark.parametrize(
    "fault", ["429", "500", "503", "slow", "cut", "wrong JSON", "other JSON", "no logprobs"]
)
def test_a_fault_that_passes_changes_nothing(
    server: Any, reviews: TextDataset, split: Split, tmp_path: Path, fault: str
) -> None:
    few = reviews.take(range(12))
    plain = (
        teacher(server, tmp_path / "plain", scoring="logprobs").fit(reviews, split).predict_proba(few.texts)
    )
    begun = len(server.asked)
    server.fault = lambda number: fault if (number - begun) % 3 == 2 else None
    options = {"scoring": "logprobs", "timeout": 0.3, "concurrency": 4}
    faulty = teacher(server, tmp_path / "faulty", **options)
    faulty.classes = few.classes
    faulty._scoring = "logprobs"
    np.testing.assert_array_equal(faulty.predict_proba(few.texts).argmax(axis=1), plain.argmax(axis=1))
    assert len(server.asked) - begun > len(few)


def test_after_too_many_faults_one_line_says_so_and_the_rest_is_kept(
    server: Any, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    server.fault = lambda number: "500" if number > 20 else None
    asked = teacher(server, tmp_path, retries=2, concurrency=2)
    with pytest.raises(EndpointError, match=r"no answer in 3 tries \(the last: status 500: not now\)"):
        asked.fit(reviews, split)
    assert 3 <= len(server.asked) - 20 <= 9  # a third text may have begun
    kept = sum(server.texts.values())
    server.fault = lambda number: None
    labels = label_dataset(teacher(server, tmp_path, concurrency=2), reviews, split)
    assert len(labels) == len(reviews) and kept >= 19
    assert max(server.texts.values()) <= 2 and sorted(server.texts.values())[-2] == 1


@pytest.mark.parametrize("limit", [{"budget_tokens": 1500}, {"budget": 0.003, "price_in": 2, "price_out": 1}])
def test_a_budget_is_never_passed_and_counts_earlier_runs(
    server: Any, reviews: TextDataset, split: Split, tmp_path: Path, limit: dict[str, float]
) -> None:
    for _ in range(3):
        with pytest.raises(BudgetError, match="used up"):
            label_dataset(teacher(server, tmp_path, concurrency=8, **limit), reviews, split)
        assert 1000 < server.tokens <= 1500
    raised = {name: 1000 * value if "budget" in name else value for name, value in limit.items()}
    labels = label_dataset(teacher(server, tmp_path, **raised), reviews, split)
    assert labels.meta["spent"]["prompt"] + labels.meta["spent"]["answer"] == server.tokens
    assert sorted(server.texts.values())[-2] == 1


def test_many_threads_never_set_more_aside_than_there_is(tmp_path: Path) -> None:
    budget = Budget(EndpointSettings(budget_tokens=1000), Ledger(tmp_path / "ledger"))
    most, used = Usage(90, 10), Usage(30, 5)
    refused = []

    def work() -> None:
        try:
            while True:  # a loaded machine may let one thread spend nearly all
                budget.reserve(most)
                assert (budget.spent + budget._aside).tokens <= 1000
                time.sleep(0.0002)
                budget.settle(most, used)
        except BudgetError as error:
            refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(refused) == 8 and 900 < budget.spent.tokens <= 1000
    assert Ledger(tmp_path / "ledger").total() == budget.spent


@pytest.mark.parametrize("scoring", ["logprobs", "samples"])
def test_an_interruption_pays_nothing_twice(
    server: Any, reviews: TextDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scoring: str
) -> None:
    times = 2 if scoring == "samples" else 1
    server.seconds = 0.05
    few = reviews.texts[:40]
    first = teacher(server, tmp_path, concurrency=4, scoring=scoring, samples=times)
    first.classes = reviews.classes
    calls = iter(range(100))

    def interrupt(*arguments: Any, **options: Any) -> Any:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return wait(*arguments, **options)

    from qdllm.teachers.endpoints import teacher as module

    wait = module.wait
    monkeypatch.setattr(module, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        first.predict_proba(few)
    answered = sum(server.texts.values())
    assert 0 < answered < times * len(few)
    again = teacher(server, tmp_path, scoring=scoring, samples=times)
    again.classes = reviews.classes
    assert again.predict_proba(few).shape == (40, 2)
    assert set(server.texts.values()) == {times} and len(server.texts) == len(few)


def test_requests_go_out_side_by_side_but_not_faster_than_allowed(
    server: Any, reviews: TextDataset, tmp_path: Path
) -> None:
    server.seconds = 0.05
    asked = teacher(server, tmp_path, concurrency=5)
    asked.classes, asked._scoring = reviews.classes, "logprobs"
    asked.predict_proba(reviews.texts[:30])
    assert server.most_under_way == 5
    paced = teacher(server, tmp_path / "paced", concurrency=5, requests_per_minute=1200)
    paced.classes, paced._scoring = reviews.classes, "logprobs"
    started = time.monotonic()
    paced.predict_proba(reviews.texts[:11])
    assert time.monotonic() - started >= 10 * 60 / 1200


def test_a_key_comes_from_the_environment_and_is_never_shown(
    server: Any, reviews: TextDataset, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key = KEY
    with pytest.raises(ConfigError, match="the key in QDLLM_API_KEY is not set"):
        teacher(server, tmp_path, model="tiny").fit(reviews, split)
    monkeypatch.setenv("QDLLM_API_KEY", "wrong-" + KEY)
    with pytest.raises(ConfigError, match="is not accepted") as refused:
        teacher(server, tmp_path, model="tiny").fit(reviews, split)
    assert KEY not in str(refused.value)
    monkeypatch.setenv("QDLLM_API_KEY", KEY)
    label_dataset(teacher(server, tmp_path, model="tiny"), reviews, split)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert written and not any(KEY.encode() in content for content in written)


def test_a_wrong_model_is_refused_with_the_names_of_the_right_ones(
    server: Any, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    server.models = ["one", "two"]
    with pytest.raises(ConfigError, match="has the models one, two; name one with --model"):
        teacher(server, tmp_path).fit(reviews, split)
    with pytest.raises(ConfigError, match=r"no model three; asked for 'three', its models are one, two"):
        teacher(server, tmp_path, model="three").fit(reviews, split)
    assert len(server.asked) < len(reviews) / 3  # no text is asked about again


def test_a_server_that_is_not_there(reviews: TextDataset, split: Split, tmp_path: Path) -> None:
    pytest.importorskip("urllib3")
    nowhere = EndpointTeacher("http://127.0.0.1:9/v1", cache=tmp_path, quiet=True)
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1:9/v1: cannot be reached \(no connection\)"):
        nowhere.fit(reviews, split)


def test_what_it_costs_is_said_before_and_after(
    server: Any, reviews: TextDataset, split: Split, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "qdllm")
    label_dataset(teacher(server, tmp_path, price_in=100, price_out=100), reviews, split)
    first, *_, last = [record.getMessage() for record in caplog.records]
    assert "120 texts, about " in first and "in money" in first
    assert f"{server.tokens:,} tokens ({server.tokens / 1e4:.4f} in money)" in last


def test_answers_that_name_no_class_are_counted(
    server: Any, reviews: TextDataset, split: Split, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = {"fresh": "yes", "rotten": "no"}
    asked = EndpointTeacher(
        server.url, label_words=words, shots=0, batch_calibration=False, cache=tmp_path, quiet=True
    )
    labels = asked.fit(reviews, split).soft_labels(reviews, split)
    assert (labels.probabilities == 0.5).all()
    assert "120 of 120 answers name no class" in caplog.text


def test_words_that_read_alike_are_refused_before_anything_is_paid(
    server: Any, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    words = {"fresh": "good", "rotten": "Good "}
    with pytest.raises(DataError, match=r"'Good ' reads the same as that of 'fresh'"):
        EndpointTeacher(server.url, label_words=words, cache=tmp_path).fit(reviews, split)
    assert not server.asked


@pytest.mark.parametrize(
    ("url", "said"),
    [("http://", "needs http"), ("http://user:secret@host/v1", "leave name, password and query out")],
)
def test_a_url_that_cannot_be_used(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        make_teacher(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "options", [{"budget": 0}, {"budget_tokens": 0}, {"budget": 1.0}, {"concurrency": 0}]
)
def test_settings_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        EndpointSettings(**options)


def test_an_endpoint_has_no_hidden_states_to_probe() -> None:
    with pytest.raises(ConfigError, match="an endpoint is asked few-shot or zero-shot"):
        make_teacher("http://127.0.0.1:9/v1", mode="probe")

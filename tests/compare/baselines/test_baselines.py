"""The list of baselines: named, light to make, and skipped by name where something is missing."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from qdllm.compare import ComparisonTask, Rows, Workers, compare
from qdllm.compare.baselines import baselines
from qdllm.errors import ConfigError, MissingExtraError, RequestError

LIGHT = {"fasttext", "tfidf-linear"}


def test_every_baseline_of_the_comparison_is_there():
    names = [contender.name for contender in baselines(["minilm", "/a/folder", "minilm"])]
    assert sorted(names) == [
        "bilstm",
        "fasttext",
        "hf:/a/folder",
        "hf:minilm",
        "minillm",
        "minilm",
        "minilm-half",
        "tfidf-linear",
        "tinybert",
    ]


@pytest.mark.parametrize("contender", baselines(), ids=lambda contender: contender.name)
def test_settings_are_as_many_as_asked_for_different_and_always_the_same(contender):
    settings = contender.settings(4)
    assert 1 <= len(settings) <= 4
    assert contender.settings(4) == settings
    assert contender.settings(1) == settings[:1]
    assert len({str(setting) for setting in settings}) == len(settings)
    assert (contender.group, contender.uses) == ("baseline", "texts")


def test_contenders_can_be_sent_to_other_processes():
    again = pickle.loads(pickle.dumps(baselines(["x"])))
    assert [contender.name for contender in again] == [contender.name for contender in baselines(["x"])]


def test_making_them_imports_nothing_optional():
    code = "import sys; from qdllm.compare.baselines import baselines; baselines(['x']); "
    subprocess.run([sys.executable, "-c", code + "assert 'transformers' not in sys.modules"], check=True)


@pytest.mark.parametrize("contender", baselines(["x"]), ids=lambda contender: contender.name)
def test_without_the_extra_each_says_what_it_needs(contender, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    if contender.name in LIGHT:
        contender.check()
        return
    with pytest.raises(MissingExtraError, match=rf"{contender.name}.*qdllm\[llm\]"):
        contender.check()


@pytest.mark.parametrize("contender", baselines(), ids=lambda contender: contender.name)
def test_without_its_model_each_says_how_to_get_it(contender, fresh_cache):
    pytest.importorskip("transformers")
    if contender.name in LIGHT:
        contender.check()
        return
    with pytest.raises(RequestError, match=f"qdllm fetch {contender.model}"):
        contender.check()


def test_a_model_that_is_nowhere_is_skipped_and_does_not_end_the_comparison(monkeypatch, tmp_path):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="someone/something"):
        baselines(["someone/something"])[0].check()


def test_a_fit_is_filed_under_the_content_of_its_model(tiny_bert, tiny_llama, fresh_cache):
    first, again, other = (
        baselines([str(folder)])[0].identity for folder in (tiny_bert, tiny_bert, tiny_llama)
    )
    assert first == again
    assert first["model"] != other["model"]


def test_they_stand_in_a_comparison_with_what_they_cost(lesson, unseen, tiny_bert, tmp_path):
    pytest.importorskip("transformers")
    parts = [lesson.train, lesson.validation, unseen]
    rows = Rows(
        tuple(text for part in parts for text in part.texts),
        np.concatenate([part.x for part in parts]),
        np.concatenate([lesson.train.y, lesson.validation.y, np.full(len(unseen), -1)]),
        np.concatenate([part.soft for part in parts]),
    )
    part = np.repeat(["train", "validation", "test"], [len(one) for one in parts])
    truth = np.where(part == "test", np.concatenate([one.y for one in parts]), -1)
    ComparisonTask(0, lesson.classes, rows, part, truth, {}).write(tmp_path / "task")
    some = [one for one in baselines([str(tiny_bert)]) if one.name in {f"hf:{tiny_bert}", "tfidf-linear"}]
    with Workers(1) as workers:
        found = compare(
            {0: tmp_path / "task"}, some, budget=1, store=tmp_path / "fits", workers=workers, quiet=True
        )
    assert [row["status"] for row in found["results"]] == ["done", "done"]
    for row in found["results"]:
        costs = row["costs"]
        assert costs["parameters"] == costs["parameters_with_encoder"] >= costs["trained"] > 0
        assert costs["bytes"] > 4 * costs["parameters"]
        assert costs["microseconds_1"] > 0

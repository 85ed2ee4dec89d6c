"""Fine-tuned transformers: which layers, how many rows, what they learn, what they cost, what they lack."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

pytest.importorskip("transformers")

from qdllm.compare.baselines import FineTuned
from qdllm.compare.baselines.transformer import TextClassifier, every_other_layer
from qdllm.models import load_encoder

SETTING = {"alpha": 0.5, "learning_rate": 0.003, "epochs": 12, "max_tokens": 32}
ONCE = {**SETTING, "epochs": 1}


@pytest.mark.parametrize(("depth", "expected"), [(6, [1, 3, 5]), (3, [1, 3]), (1, [1])])
def test_every_other_layer_begins_with_the_first(depth, expected):
    assert every_other_layer(depth) == expected


def test_a_student_of_half_the_layers_begins_with_the_weights_of_those(lesson, tiny_bert):
    model, _ = TextClassifier.load(str(tiny_bert), lesson, SETTING, 0, every_other=True)
    whole, _ = load_encoder(tiny_bert, dtype=torch.float32)
    for mine, theirs in zip(model.base.encoder.layer, (whole.encoder.layer[i] for i in (0, 2)), strict=True):
        for name, value in theirs.state_dict().items():
            assert torch.equal(mine.state_dict()[name], value)


@pytest.mark.parametrize("every_other", [False, True])
@pytest.mark.parametrize("kind", ["lesson", "unlabelled", "untaught"])
def test_it_learns(kind, every_other, request, unseen, tiny_bert):
    contender = FineTuned(str(tiny_bert), "tuned", every_other=every_other)
    fitted = contender.fit(request.getfixturevalue(kind), SETTING, 0)
    assert (fitted.predict_proba(unseen.inputs).argmax(axis=1) == unseen.y).mean() > 0.85


def test_all_of_it_is_trained(lesson, tiny_bert):
    start, _ = TextClassifier.load(str(tiny_bert), lesson, ONCE, 0)
    fitted = FineTuned(str(tiny_bert), "tuned").fit(lesson, ONCE, 0)
    before = start.state_dict()
    unchanged = {
        name for name, value in fitted.model.state_dict().items() if torch.equal(value, before[name])
    }
    assert unchanged <= {"base.embeddings.position_ids", "base.embeddings.token_type_ids"}


def test_its_parameters_and_its_files_are_the_same_numbers(lesson, tiny_bert, tmp_path):
    fitted = FineTuned(str(tiny_bert), "tuned", every_other=True).fit(lesson, ONCE, 0)
    width, inner, vocabulary, positions, layers = 24, 32, fitted.model.base.config.vocab_size, 64, 2
    layer = 4 * (width + 1) * width + (width + 1) * inner + (inner + 1) * width + 4 * width
    expected = (vocabulary + positions + 2) * width + 2 * width + layers * layer + (width + 1) * 2
    assert fitted.n_trained == fitted.n_parameters == expected
    fitted.save(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "numpy") as file:
        assert sum(file.get_tensor(name).size for name in file.keys()) == expected  # noqa: SIM118
    assert (tmp_path / "tokenizer.json").is_file()
    assert json.loads((tmp_path / "model.json").read_text())["base"]["num_hidden_layers"] == 2


def test_a_causal_language_model_is_read_at_its_last_token(lesson, unseen, tiny_llama):
    fitted = FineTuned(str(tiny_llama), f"hf:{tiny_llama}").fit(lesson, ONCE, 0)
    assert fitted.model.pooling == "last"
    alone = [fitted.predict_proba(unseen.take(np.array([row])))[0] for row in range(5)]
    np.testing.assert_allclose(fitted.predict_proba(unseen)[:5], alone, atol=1e-5)


def test_the_seed_decides(lesson, unseen, tiny_bert):
    contender = FineTuned(str(tiny_bert), "tuned")
    first, again, other = (contender.fit(lesson, ONCE, seed).predict_proba(unseen) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("device", "rows", "count", "tokens"), [("cpu", 2000, 2, 128), ("cuda", None, None, 256)]
)
def test_what_the_machine_allows(device, rows, count, tokens, monkeypatch):
    monkeypatch.setattr("qdllm.compare.baselines.transformer.preferred_device", lambda: torch.device(device))
    contender = FineTuned("minilm", "minilm")
    settings = contender.settings(5)
    assert (contender.max_rows, contender.max_settings) == (rows, count)
    assert {setting["max_tokens"] for setting in settings} == {tokens}
    assert len({json.dumps(setting) for setting in settings}) == 5
    assert contender.settings(1) == settings[:1]

"""Hidden states: equal to the full model's, whatever the batch, and no deeper than asked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from qdllm import models
from qdllm.errors import ConfigError

TEXTS = [
    "A joy from the first scene to the last.",
    "dull",
    "two hours of my life are gone " * 9,
    "日本語の映画",
    " ",
]


def full_states(model: Any, tokenizer: Any, text: str) -> tuple[torch.Tensor, ...]:
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model.base_model(input_ids=ids, output_hidden_states=True).hidden_states  # type: ignore[no-any-return]


@pytest.fixture(params=["llama", "bert"])
def loaded(request: pytest.FixtureRequest, tiny_llama: Path, tiny_bert: Path) -> tuple[Any, Any]:
    if request.param == "llama":
        model, tokenizer = models.load_causal_lm(tiny_llama)
    else:
        model, tokenizer = models.load_encoder(tiny_bert)
    return model.float().cpu(), tokenizer


@pytest.mark.parametrize("tokens_per_batch", [1, 100, 4096])
def test_equal_to_the_full_model_one_text_at_a_time(loaded: tuple[Any, Any], tokens_per_batch: int) -> None:
    model, tokenizer = loaded
    depth = models.layer_count(model)
    texts = [text for text in TEXTS if len(tokenizer(text)["input_ids"]) < 60]
    vectors = models.hidden_states(
        model, tokenizer, texts, range(1, depth + 1), "mean+last", tokens_per_batch=tokens_per_batch
    )
    expected = [
        np.concatenate(
            [np.r_[state[0].mean(0), state[0, -1]] for state in full_states(model, tokenizer, text)[1:]]
        )
        for text in texts
    ]
    np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("pooling", "columns"), [("mean", slice(0, 32)), ("last", slice(32, 64))])
def test_poolings_are_the_parts_of_the_joined_one(tiny_llama: Path, pooling: str, columns: slice) -> None:
    model, tokenizer = models.load_causal_lm(tiny_llama)
    joined = models.hidden_states(model, tokenizer, TEXTS, [2])
    np.testing.assert_array_equal(
        models.hidden_states(model, tokenizer, TEXTS, [2], pooling), joined[:, columns]
    )


def test_blocks_behind_the_deepest_layer_are_never_computed(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    depth = models.layer_count(model)
    blocks = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == depth)
    calls: list[int] = []
    for number, block in enumerate(blocks, start=1):
        block.register_forward_hook(lambda *_, number=number: calls.append(number))
    models.hidden_states(model, tokenizer, TEXTS[:1], [2, 1])
    assert calls == [1, 2]
    models.hidden_states(model, tokenizer, TEXTS[:1], [depth])
    assert calls == [1, 2, *range(1, depth + 1)]


def test_a_model_without_a_list_of_blocks_falls_back(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = models.load_causal_lm(tiny_llama)
    expected = models.hidden_states(model, tokenizer, TEXTS, [2, 4])
    monkeypatch.setattr("qdllm.models.hidden._blocks", lambda *_: None)
    np.testing.assert_array_equal(models.hidden_states(model, tokenizer, TEXTS, [2, 4]), expected)


def test_texts_are_cut_at_the_tokens_asked_for_and_at_what_the_model_takes(tiny_bert: Path) -> None:
    model, tokenizer = models.load_encoder(tiny_bert)
    long = "two hours of my life are gone " * 20
    assert models.token_limit(model, tokenizer, 512) == 64
    batches = models.encode_batches(model, tokenizer, [long], max_tokens=512)
    assert [ids.shape for _, ids, _ in batches] == [(1, 64)]
    a, b = models.hidden_states(model, tokenizer, [long, long + "and more"], [3], max_tokens=16)
    np.testing.assert_array_equal(a, b)


def test_no_texts_give_no_rows(tiny_llama: Path) -> None:
    model, tokenizer = models.load_causal_lm(tiny_llama)
    assert models.hidden_states(model, tokenizer, [], [1, 2]).shape == (0, 128)


@pytest.mark.parametrize(("layers", "pooling"), [([], "mean"), ([0], "mean"), ([5], "mean"), ([1], "max")])
def test_layers_and_poolings_that_do_not_exist_are_refused(
    tiny_llama: Path, layers: list[int], pooling: str
) -> None:
    model, tokenizer = models.load_causal_lm(tiny_llama)
    with pytest.raises(ConfigError, match=r"layers|pooling"):
        models.hidden_states(model, tokenizer, TEXTS, layers, pooling)


def test_a_model_of_a_few_layers_is_the_whole_one_without_the_others(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    blocks = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))
    kept = [blocks[0], blocks[2]]
    models.keep_layers(model, [3, 1])
    assert list(blocks) == kept
    assert models.layer_count(model) == 2
    assert len(full_states(model, tokenizer, TEXTS[0])) == 3


def test_the_first_layers_alone_give_the_states_that_they_gave(tiny_llama: Path) -> None:
    model, tokenizer = models.load_causal_lm(tiny_llama)
    expected = full_states(model, tokenizer, TEXTS[0])[2]
    models.keep_layers(model, [1, 2])
    model.base_model.norm = torch.nn.Identity()
    assert torch.equal(full_states(model, tokenizer, TEXTS[0])[2], expected)


@pytest.mark.parametrize("layers", [[], [0], [5]])
def test_layers_that_do_not_exist_cannot_be_kept(tiny_llama: Path, layers: list[int]) -> None:
    model, _ = models.load_causal_lm(tiny_llama)
    with pytest.raises(ConfigError, match="layers 1 to 4"):
        models.keep_layers(model, layers)


def test_a_model_without_a_list_of_blocks_keeps_all_of_them(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = models.load_causal_lm(tiny_llama)
    monkeypatch.setattr("qdllm.models.hidden._blocks", lambda *_: None)
    with pytest.raises(ConfigError, match="no list of blocks"):
        models.keep_layers(model, [1])

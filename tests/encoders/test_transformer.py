import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qdllm import models
from qdllm.encoders import TransformerEncoder, load_encoder, make_encoder
from qdllm.errors import ConfigError, SavedModelError, WorkError

TEXTS = [
    "A joy from the first scene.",
    "Dull.",
    "Two hours of my life, and then the plot: gone, all gone.",
    "金利は上がった。",
]

pytestmark = pytest.mark.usefixtures("fresh_cache", "exact")


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in float32, where two ways to the same number can be compared."""
    monkeypatch.setattr("qdllm.models.loading.preferred_dtype", lambda: torch.float32)


def one_by_one(folder: Path, texts: list[str], *, layer: int = -1, limit: int = 64) -> list[np.ndarray]:
    """Every token's state, shape (t, d) for each text: no batch, no padding, no mask."""
    model, tokenizer = models.load_encoder(folder)
    states = []
    with torch.inference_mode():
        for text in texts:
            ids = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")["input_ids"]
            states.append(model(input_ids=ids, output_hidden_states=True).hidden_states[layer][0].numpy())
    return states


def test_a_plain_model_is_mean_pooled(tiny_bert: Path) -> None:
    expected = np.stack([state.mean(axis=0) for state in one_by_one(tiny_bert, TEXTS)])
    encoder = make_encoder(str(tiny_bert))
    x = encoder.encode(TEXTS)
    assert x.dtype == np.float32
    assert x.shape == (4, encoder.dim) == (4, 24)
    np.testing.assert_allclose(x, expected, atol=2e-6)
    assert np.ptp(np.linalg.norm(x, axis=1)) > 1e-3


def test_a_sentence_transformers_folder_is_obeyed(sentence_folder: Path) -> None:
    states = one_by_one(sentence_folder, ["q: " + text.lower() for text in TEXTS], limit=12)
    first = np.stack([state[0] for state in states])
    expected = first / np.linalg.norm(first, axis=1, keepdims=True)
    encoder = make_encoder(str(sentence_folder))
    assert isinstance(encoder, TransformerEncoder)
    assert (encoder.recipe.pooling, encoder.recipe.max_tokens) == ("cls", 12)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=2e-6)


@pytest.mark.parametrize("pooling", [None, "mean", "mean+last"])
def test_a_layer_of_a_language_model(tiny_llama: Path, pooling: str | None) -> None:
    states = one_by_one(tiny_llama, TEXTS, layer=2)
    mean = np.stack([state.mean(axis=0) for state in states])
    last = np.stack([state[-1] for state in states])
    expected = mean if pooling == "mean" else np.concatenate([mean, last], axis=1)
    encoder = make_encoder(f"{tiny_llama}@2" + (f":{pooling}" if pooling else ""))
    assert encoder.dim == expected.shape[1]
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, rtol=1e-4, atol=1e-4)


def test_neither_order_nor_company_matter(tiny_bert: Path, tmp_path: Path) -> None:
    texts = [f"{text} {i}" * (1 + i % 5) for i, text in enumerate(TEXTS * 10)]
    x = TransformerEncoder(tiny_bert, cache_dir=tmp_path / "a").encode(texts)
    back = TransformerEncoder(tiny_bert, cache_dir=tmp_path / "b").encode(texts[::-1])
    alone = TransformerEncoder(tiny_bert, cache_dir=tmp_path / "c").encode(texts[3:4])
    np.testing.assert_allclose(back[::-1], x, atol=2e-6)
    np.testing.assert_allclose(alone[0], x[3], atol=2e-6)


def test_a_text_is_computed_once(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    hidden_states = models.hidden_states

    def counted(model: Any, tokenizer: Any, texts: list[str], *args: Any, **options: Any) -> Any:
        seen.extend(texts)
        return hidden_states(model, tokenizer, texts, *args, **options)

    monkeypatch.setattr(models, "hidden_states", counted)
    x = make_encoder(str(tiny_bert)).encode([*TEXTS, TEXTS[0]])
    assert sorted(seen) == sorted(TEXTS)
    again = make_encoder(str(tiny_bert))
    monkeypatch.setattr(models, "load_encoder", lambda *_: pytest.fail("the model was loaded again"))
    np.testing.assert_array_equal(again.encode(TEXTS), x[:-1])
    assert len(seen) == len(TEXTS)


def test_without_the_cache_everything_is_computed_again(tiny_bert: Path, tmp_path: Path) -> None:
    encoder = TransformerEncoder(tiny_bert, cache_dir=tmp_path)
    fresh = encoder.encode(TEXTS, cached=False)
    assert not list(tmp_path.rglob("*"))
    np.testing.assert_allclose(encoder.encode(TEXTS), fresh, atol=2e-6)


def test_other_settings_are_never_mixed_in(tiny_bert: Path) -> None:
    whole = TransformerEncoder(tiny_bert)
    cut = TransformerEncoder(tiny_bert, max_tokens=4)
    first = TransformerEncoder(tiny_bert, pooling="cls")
    assert len({whole.fingerprint, cut.fingerprint, first.fingerprint}) == 3
    x = whole.encode(TEXTS)
    assert not np.allclose(cut.encode(TEXTS), x)
    assert not np.allclose(first.encode(TEXTS), x)


def test_moved_and_equal_models_share_their_features(tiny_bert: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bert, tmp_path / "copy")
    assert TransformerEncoder(copy).fingerprint == TransformerEncoder(tiny_bert).fingerprint


def test_only_the_parameters_that_inference_needs_are_counted(tiny_llama: Path) -> None:
    model, _ = models.load_encoder(tiny_llama)
    behind = sum(p.numel() for layer in model.layers[2:] for p in layer.parameters())
    whole = TransformerEncoder(tiny_llama).n_parameters
    assert whole == sum(p.numel() for p in model.parameters())
    part = TransformerEncoder(tiny_llama, layer=2)
    assert part.n_parameters == whole - behind
    assert TransformerEncoder(tiny_llama).n_bytes - part.n_bytes == 4 * behind
    assert 4 * whole < TransformerEncoder(tiny_llama).n_bytes < 4 * whole + 200_000


def test_a_changed_model_is_noticed_on_loading(tiny_bert: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_bert, tmp_path / "copy"))
    make_encoder(str(copy)).save(tmp_path / "saved")
    assert load_encoder(tmp_path / "saved").name == str(copy)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    with pytest.raises(SavedModelError, match="not the one this encoder was saved with"):
        load_encoder(tmp_path / "saved")
    shutil.rmtree(copy)
    with pytest.raises(ConfigError, match="no such file"):
        load_encoder(tmp_path / "saved")


def test_an_encoder_saved_where_another_dtype_is_native_loads(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other_machine:
        for module in ("qdllm.models", "qdllm.models.fingerprint"):
            other_machine.setattr(sys.modules[module], "preferred_dtype", lambda: torch.bfloat16)
        make_encoder(str(tiny_bert)).save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved/config.json").read_text())["options"]["dtype"] == "bfloat16"
    with monkeypatch.context() as this_machine:
        for module in ("qdllm.models", "qdllm.models.fingerprint"):
            this_machine.setattr(sys.modules[module], "preferred_dtype", lambda: torch.float32)
        load_encoder(tmp_path / "saved")


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_what_a_folder_asks_for_and_is_not_supported_is_said(sentence_folder: Path) -> None:
    pooling = sentence_folder / "1_Pooling/config.json"
    edit(pooling, include_prompt=False)
    with pytest.raises(ConfigError, match="prompt"):
        make_encoder(str(sentence_folder))
    edit(pooling, include_prompt=True, pooling_mode_mean_tokens=True)
    with pytest.raises(
        ConfigError, match="pooling_mode_cls_token, pooling_mode_mean_tokens is not supported"
    ):
        make_encoder(str(sentence_folder))
    pooling.write_text(json.dumps({"pooling_mode": "lasttoken"}))
    assert TransformerEncoder(sentence_folder).recipe.pooling == "last"
    (sentence_folder / "modules.json").write_text(json.dumps([{"type": "a.b.Dense", "path": "2_Dense"}]))
    with pytest.raises(ConfigError, match="module Dense is not supported"):
        make_encoder(str(sentence_folder))


def test_bad_options_are_refused(tiny_bert: Path, tiny_llama: Path) -> None:
    for layer in (0, 5):
        with pytest.raises(ConfigError, match="layers 1 to 4"):
            make_encoder(f"{tiny_llama}@{layer}")
    with pytest.raises(ConfigError, match=r"pooling 'middle': not one of"):
        make_encoder(f"{tiny_llama}@2:middle")
    with pytest.raises(ConfigError, match="max_tokens 0"):
        TransformerEncoder(tiny_bert, max_tokens=0)


def test_a_model_that_gives_nan_is_refused(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "hidden_states", lambda *_, **__: np.full((1, 24), np.nan, dtype=np.float32))
    with pytest.raises(WorkError, match="finite"):
        make_encoder(str(tiny_bert)).encode(["text"])

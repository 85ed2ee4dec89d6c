"""Loading models by folder, GGUF and name; bad folders are one clear line."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

from qdllm import models
from qdllm.data import asset_path
from qdllm.errors import ConfigError, NetworkError, RequestError


def test_a_local_model_loads_frozen_silent_and_without_any_network(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a local model was looked up elsewhere")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    model, tokenizer = models.load_causal_lm(tiny_llama)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert next(model.parameters()).dtype == models.preferred_dtype()
    assert tokenizer("x")["input_ids"]
    assert capfd.readouterr() == ("", "")


def test_an_encoder_loads_without_its_pooler_but_a_classifier_not_without_its_head(tiny_bert: Path) -> None:
    model, _ = models.load_encoder(tiny_bert)
    assert models.layer_count(model) == 3
    with pytest.raises(ConfigError, match="not a complete model for AutoModelForSequenceClassification"):
        models.load_classifier(tiny_bert)


def test_what_is_to_be_trained_loads_in_float32(tiny_llama: Path, tiny_bert: Path) -> None:
    for load, folder in ((models.load_causal_lm, tiny_llama), (models.load_encoder, tiny_bert)):
        model, _ = load(folder, dtype=torch.float32)
        assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_what_a_model_was_trained_for_is_told_from_its_config(
    tiny_classifier: Path, tiny_llama: Path, tiny_bert: Path
) -> None:
    assert models.model_kind(tiny_classifier) == "classifier"
    assert models.model_kind(tiny_llama) == "causal-lm"
    assert models.model_kind(tiny_bert) == "encoder"


def test_a_file_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(ConfigError, match="not a model"):
        models.local_folder(tmp_path / "model.bin")


def test_an_empty_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.json and no \.gguf file"):
        models.local_folder(tmp_path)


def test_a_broken_gguf_is_one_clear_line(tmp_path: Path, fresh_cache: Path) -> None:
    pytest.importorskip("accelerate")
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(ConfigError, match="not a GGUF model"):
        models.local_folder(tmp_path)
    assert list((fresh_cache / "models").iterdir()) == []


def test_truncated_weights_are_one_clear_line(tiny_llama: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tiny_llama, tmp_path / "broken"))
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="not a usable model"):
        models.load_causal_lm(broken)


@pytest.mark.parametrize("name", ["no such folder/", "../nowhere", "/nowhere/at/all"])
def test_a_wrong_path_is_not_asked_of_the_hub(name: str) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        models.local_folder(name)


def test_a_hub_name_without_network_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NetworkError, match="someone/something"):
        models.local_folder("someone/something")


def test_an_asset_that_was_not_fetched_says_how(fresh_cache: Path) -> None:
    with pytest.raises(RequestError, match="qdllm fetch smollm2"):
        models.resolve("smollm2")
    assert models.resolve("some/model") == "some/model"


def test_the_fingerprint_follows_content_not_place(
    tiny_llama: Path, tiny_bert: Path, tmp_path: Path, fresh_cache: Path
) -> None:
    name = models.fingerprint(tiny_llama)
    copy = Path(shutil.copytree(tiny_llama, tmp_path / "copy"))
    assert models.fingerprint(copy) == name != models.fingerprint(tiny_bert)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"transformers_version": "0"}))
    assert models.fingerprint(copy) == name
    (copy / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    assert models.fingerprint(copy) != name
    (copy / "config.json").write_text(json.dumps(config))
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert models.fingerprint(copy) != name


def test_a_fingerprint_needs_weights_that_can_be_read_safely(tiny_llama: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_llama, tmp_path / "copy"))
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"no .*safetensors weights"):
        models.fingerprint(copy)


def test_smollm2_is_converted_once() -> None:
    try:
        asset_path("smollm2")
    except RequestError as error:
        pytest.skip(str(error))
    pytest.importorskip("accelerate")
    folder = models.local_folder("smollm2")
    assert models.local_folder("smollm2") == folder
    model, tokenizer = models.load_causal_lm("smollm2")
    assert models.layer_count(model) == 30
    ids = tokenizer("The capital of France is", return_tensors="pt").to(models.preferred_device())
    assert tokenizer.decode(model(**ids).logits[0, -1].argmax()).strip() == "Paris"

"""Labels and features of a corpus are those that the same texts get in a data set."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdllm.data import Corpus
from qdllm.encoders import Features, load_encoder
from qdllm.errors import ConfigError
from qdllm.pipeline import RunConfig, embed_corpus, label_corpus, load_texts
from qdllm.pipeline.sources import encode_texts, encoder_folder, label_texts
from qdllm.teachers import SoftLabels


@pytest.fixture
def config(tmp_path: Path, fresh_cache: Path) -> RunConfig:
    rng = np.random.default_rng(0)
    words = {"sport": "match team goal season player coach", "market": "shares profit bank oil price stock"}
    rows = [
        (f"{' '.join(rng.choice(words[name].split(), 4))} {i}", name) for i in range(60) for name in words
    ]
    pq.write_table(
        pa.table({"text": [r[0] for r in rows], "label": [r[1] for r in rows]}), tmp_path / "d.parquet"
    )
    pq.write_table(pa.table({"text": [r[0] for r in rows[::-1]] + ["goal goal"] * 2}), tmp_path / "c.parquet")
    return RunConfig.from_toml(
        None, {"data": {"path": str(tmp_path / "d.parquet")}, "encoder": {"source": "tfidf"}}
    )


def test_features_of_a_corpus(config: RunConfig, tmp_path: Path) -> None:
    texts = load_texts(config.data, 0)
    out = tmp_path / "x.parquet"
    assert embed_corpus(config, texts, Corpus(tmp_path / "c.parquet", block_rows=50), out, quiet=True) == 122
    features = Features.read(out)
    own = encode_texts(config, texts)
    np.testing.assert_allclose(features.align(texts.dataset.row_ids), own.x, atol=1e-6)
    assert features.meta["fingerprint"] == load_encoder(encoder_folder(out)).fingerprint


def test_labels_of_a_corpus_are_out_of_fold_where_the_teacher_was_fitted(
    config: RunConfig, tmp_path: Path, tiny_llama: Path
) -> None:
    config = RunConfig.from_toml(
        None, {**config.model_dump(), "teacher": {"source": str(tiny_llama), "mode": "probe", "layer": 2}}
    )
    texts = load_texts(config.data, 0)
    out = tmp_path / "labels"
    assert label_corpus(config, texts, Corpus(tmp_path / "c.parquet", block_rows=50), out, quiet=True) == 122
    labels, own = SoftLabels.read(out), label_texts(config, texts)
    assert own is not None and len(labels) == 121  # a text that stands there twice is one row again
    found = labels.align(texts.dataset.row_ids, own.classes)
    np.testing.assert_allclose(found, own.probabilities, atol=0.02)


def test_an_endpoint_is_not_shared_out(config: RunConfig, tmp_path: Path) -> None:
    pytest.importorskip("urllib3")
    asked = {**config.model_dump(), "teacher": {"source": "http://127.0.0.1:9/v1"}}
    with pytest.raises(ConfigError, match="leave --ray out"):
        label_corpus(
            RunConfig.from_toml(None, asked),
            load_texts(config.data, 0),
            Corpus(tmp_path / "c.parquet"),
            tmp_path / "out",
            ray="local",
        )

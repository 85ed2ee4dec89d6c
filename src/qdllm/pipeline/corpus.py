"""`qdllm label --corpus`, `embed --corpus`: what was fitted to some texts, applied to any number of them."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from qdllm.data import Corpus, row_id
from qdllm.encoders import Encoder, Features, load_encoder
from qdllm.errors import ConfigError
from qdllm.pipeline.blocks import run_job
from qdllm.pipeline.config import RunConfig
from qdllm.pipeline.sources import NO_TEACHER, Texts, encoder_folder, encoder_of, teacher_of
from qdllm.teachers import EndpointTeacher, Teacher

__all__ = ["embed_corpus", "label_corpus"]


def label_corpus(
    config: RunConfig,
    texts: Texts,
    corpus: Corpus,
    out: str | Path,
    *,
    ray: str | None = None,
    quiet: bool = False,
) -> int:
    """Fit the teacher to a data set and label a corpus block by block: row_id, `p:CLASS`.

    Returns
    -------
    int
        Rows of the output; a text that the corpus holds twice is there twice.

    Raises
    ------
    ConfigError
        If there is no teacher, or an endpoint is to be asked from several machines.
    """
    if config.teacher.source == NO_TEACHER:
        raise ConfigError("label needs a --teacher")
    teacher = teacher_of(config, texts)
    if ray is not None and isinstance(teacher, EndpointTeacher):
        raise ConfigError(f"{teacher.name}: one process keeps its budget and pace; leave --ray out")
    teacher.fit(texts.dataset, texts.split)
    content = [texts.dataset.row_ids, texts.split.digest, texts.dataset.labels]
    fitted_on = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
    teacher.quiet = True  # the bar of the blocks is enough
    return run_job(_Labelling(teacher, fitted_on), corpus, out, ray=ray, quiet=quiet)


def embed_corpus(
    config: RunConfig,
    texts: Texts,
    corpus: Corpus,
    out: str | Path,
    *,
    ray: str | None = None,
    quiet: bool = False,
) -> int:
    """Fit the encoder to a data set, save it beside `out`, and encode a corpus block by block: row_id, x.

    Returns
    -------
    int
        Rows of the output.
    """
    encoder = encoder_of(config, texts)
    folder = encoder_folder(Path(out))
    encoder.save(folder)
    return run_job(_Embedding(folder, encoder), corpus, out, ray=ray, quiet=quiet)


class _Labelling:
    description = "labelling"

    def __init__(self, teacher: Teacher, fitted_on: str) -> None:
        self._teacher = teacher
        self.identity = f"{teacher.fingerprint}-{fitted_on}"

    def __call__(self, texts: list[str]) -> pa.Table:
        probabilities = self._teacher.label(texts)
        columns: dict[str, Any] = {"row_id": [row_id(text) for text in texts]}
        classes = self._teacher.classes
        return pa.table(columns | {f"p:{name}": probabilities[:, i] for i, name in enumerate(classes)})


class _Embedding:
    description = "encoding"

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self._folder = folder.resolve()
        self.identity = encoder.fingerprint
        self._about = {"encoder": encoder.name, "fingerprint": encoder.fingerprint}

    def __call__(self, texts: list[str]) -> pa.Table:
        x = self._encoder.encode(texts, cached=False)  # a block that is done is kept as it is
        return Features(tuple(map(row_id, texts)), x, self._about).to_table()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_encoder"}

    @cached_property
    def _encoder(self) -> Encoder:
        return load_encoder(self._folder)

"""The costly half of a run: texts and split, soft labels, features. Each from a file, or made and cached."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.data import (
    DuplicateReport,
    Split,
    TextDataset,
    deduplicate,
    load_demo,
    read_dataset,
    split_dataset,
)
from qdllm.encoders import Encoder, Features, TransformerEncoder, make_encoder
from qdllm.errors import DataError
from qdllm.files import read_json
from qdllm.pipeline.config import DataConfig, RunConfig
from qdllm.teachers import TEMPLATE, Lesson, SoftLabels, Teacher, label_dataset, make_teacher

__all__ = [
    "NO_TEACHER",
    "Encoded",
    "Texts",
    "embed_texts",
    "encode_texts",
    "encode_with",
    "encoder_folder",
    "encoder_of",
    "label_texts",
    "load_texts",
    "teacher_of",
]

DEMO = "demo:"
NO_TEACHER = "none"


@dataclass(frozen=True)
class Texts:
    """A data set without duplicates, and its split."""

    dataset: TextDataset
    split: Split
    duplicates: DuplicateReport


@dataclass(frozen=True)
class Encoded:
    """Features of every row, shape (n, d), and what is known of the encoder that made them.

    An encoder may be known by the folder it was saved in alone: a student trained from files needs no
    encoder installed.
    """

    x: NDArray[np.float32]
    about: dict[str, Any]
    encoder: Encoder | None = None
    folder: Path | None = None

    @property
    def name(self) -> str:
        """What the encoder is called."""
        return str(self.about.get("encoder", "not known: the features came from a file"))

    @property
    def n_parameters(self) -> int | None:
        """How many numbers the encoder needs at inference, where that is known."""
        count = self.about.get("n_parameters")
        return None if count is None else int(count)

    @property
    def n_trained(self) -> int:
        """How many of them were trained together with the student."""
        return 0 if self.encoder is None else self.encoder.n_trained

    def save_encoder(self, folder: Path) -> dict[str, Any] | None:
        """Save the encoder for prediction; None where there is none to save."""
        if self.encoder is not None:
            self.encoder.save(folder)
        elif self.folder is not None:
            shutil.copytree(self.folder, folder)
        else:
            return None
        return {"name": self.name, "fingerprint": self.about.get("fingerprint")}


def load_texts(config: DataConfig, seed: int) -> Texts:
    """Read, deduplicate and split.

    Where test rows have a file of their own, a text that stands in both files counts as a test row.

    Parameters
    ----------
    config : DataConfig
    seed : int
        Of the split.
    """
    dataset = _read(config, config.path)
    if config.test is not None:
        return _with_test_file(config, seed, dataset)
    unique, report = deduplicate(dataset)
    split = split_dataset(
        unique,
        seed=seed,
        validation=config.validation_share,
        test=config.test_share,
        labels_per_class=config.labels_per_class,
    )
    return Texts(unique, split, report)


def label_texts(config: RunConfig, texts: Texts) -> SoftLabels | None:
    """Soft labels of every row: from the file of the configuration, or from its teacher.

    Raises
    ------
    DataError
        If the file lacks a row, or its teacher has seen rows that are test rows here.
    """
    if config.teacher.labels is not None:
        labels = SoftLabels.read(config.teacher.labels)
        _refuse_other_classes(labels, texts, config.teacher.labels)
        _refuse_leak(labels, texts, config.teacher.labels)
        _refuse_other_visibility(labels, config, config.teacher.labels)
        return labels
    if config.teacher.source == NO_TEACHER:
        return None
    labels = label_dataset(teacher_of(config, texts), texts.dataset, texts.split)
    return replace(labels, meta={**labels.meta, "labels_per_class": config.data.labels_per_class})


def teacher_of(config: RunConfig, texts: Texts) -> Teacher:
    """Make the teacher of the configuration, not fitted yet.

    Raises
    ------
    DataError
        If it has learned from rows that are test rows here, or saw other labels.
    """
    asked = config.teacher
    teacher = make_teacher(
        asked.source,
        mode=asked.mode,
        seed=config.seed,
        label_words=asked.label_words,
        template=asked.template or TEMPLATE,
        shots=asked.shots,
        layer=asked.layer,
        endpoint=asked.endpoint,
    )
    for lesson in teacher.lessons():
        _refuse_leak(lesson, texts, config.teacher.source)
        _refuse_other_visibility(lesson, config, config.teacher.source)
    return teacher


def encode_texts(config: RunConfig, texts: Texts) -> Encoded:
    """Features of every row: from the file of the configuration, or from its encoder."""
    if config.encoder.features is not None:
        path = Path(config.encoder.features)
        features = Features.read(path)
        folder = encoder_folder(path)
        if features.meta.get("fitted_on", _training_rows(texts)) != _training_rows(texts):
            raise DataError(
                f"{path}: its encoder was fitted on other training rows than this run's; "
                "embed with the same data, --test and --seed"
            )
        if (
            folder.is_dir()
            and read_json(folder / "config.json")["fingerprint"] != features.meta["fingerprint"]
        ):
            raise DataError(f"{folder}: another encoder than the one that made {path}; embed again")
        return Encoded(
            features.align(texts.dataset.row_ids), features.meta, folder=folder if folder.is_dir() else None
        )
    return encode_with(encoder_of(config, texts), texts)


def encoder_of(config: RunConfig, texts: Texts) -> Encoder:
    """Make the encoder of the configuration, fitted on the training rows where it has to be."""
    encoder = make_encoder(config.encoder.source, seed=config.seed)
    return encoder.fit([texts.dataset.texts[i] for i in texts.split.indices("train")])


def encode_with(encoder: Encoder, texts: Texts) -> Encoded:
    """Features of every row, by an encoder fitted on the training rows."""
    about = {
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint,
        "n_parameters": encoder.n_parameters,
    }
    if not isinstance(encoder, TransformerEncoder):
        about["fitted_on"] = _training_rows(texts)
    return Encoded(encoder.encode(texts.dataset.texts), about, encoder)


def embed_texts(config: RunConfig, texts: Texts, out: Path) -> int:
    """`qdllm embed`: write the features of every row into `out`, and the encoder beside it.

    Returns
    -------
    int
        Length of a feature vector.
    """
    encoded = encode_texts(config, texts)
    encoded.save_encoder(encoder_folder(out))
    Features(texts.dataset.row_ids, encoded.x, encoded.about).write(out)
    return int(encoded.x.shape[1])


def _training_rows(texts: Texts) -> str:
    rows = sorted(texts.dataset.row_ids[i] for i in texts.split.indices("train"))
    return sha256("".join(rows).encode()).hexdigest()


def encoder_folder(features: Path) -> Path:
    """Where the encoder of a file of features lies."""
    return features.with_name(f"{features.name}.encoder")


def _read(config: DataConfig, path: str) -> TextDataset:
    if path.startswith(DEMO):
        return load_demo(path.removeprefix(DEMO))
    return read_dataset(
        path, text=config.text, label=config.label, group=config.group, encoding=config.charset
    )


def _with_test_file(config: DataConfig, seed: int, dataset: TextDataset) -> Texts:
    assert config.test is not None  # noqa: S101 - the caller has looked
    test = _read(config, config.test)
    test_ids = set(test.row_ids)
    rest = dataset.take(i for i, row in enumerate(dataset.row_ids) if row not in test_ids)
    if not len(rest):
        raise DataError(
            f"{config.path}: every text stands in {config.test} too; nothing is left to learn from"
        )
    unique, report = deduplicate(_join(rest, test))
    split = split_dataset(
        unique,
        seed=seed,
        validation=config.validation_share,
        labels_per_class=config.labels_per_class,
        test_ids=test_ids & set(unique.row_ids),
    )
    return Texts(unique, split, report)


def _join(first: TextDataset, second: TextDataset) -> TextDataset:
    labels: tuple[str | None, ...] | None = None
    if first.labels is not None or second.labels is not None:
        labels = (first.labels or (None,) * len(first)) + (second.labels or (None,) * len(second))
    groups = None
    if first.groups is not None and second.groups is not None:
        groups = first.groups + second.groups
    return TextDataset(first.texts + second.texts, labels, groups, first.name)


def _refuse_other_classes(labels: SoftLabels, texts: Texts, path: str) -> None:
    if unknown := sorted(set(texts.dataset.classes) - set(labels.classes)):
        raise DataError(
            f"{path}: has the classes {', '.join(labels.classes)}, "
            f"but {texts.dataset.name} has rows of class {unknown[0]!r}"
        )


def _refuse_leak(lesson: Lesson | SoftLabels, texts: Texts, path: str) -> None:
    if lesson.part is None:
        return
    seen = {row for row, part in zip(lesson.row_ids, lesson.part, strict=True) if part != "test"}
    leaked = sum(texts.dataset.row_ids[i] in seen for i in texts.split.indices("test"))
    if leaked:
        raise DataError(
            f"{path}: its teacher has seen {leaked} rows that are test rows here; "
            "label with the same data, --test and --seed as this run"
        )


def _refuse_other_visibility(lesson: Lesson | SoftLabels, config: RunConfig, path: str) -> None:
    wanted = config.data.labels_per_class
    seen = lesson.meta.get("labels_per_class", wanted)
    if seen != wanted:
        raise DataError(
            f"{path}: its teacher saw {seen or 'all'} labels a class, "
            f"this run shows {wanted or 'all'}; label with the same --labels-per-class"
        )
    seed = lesson.meta.get("seed", config.seed)
    if wanted is not None and seed != config.seed:  # as many labels, but others: together twice as many
        raise DataError(
            f"{path}: its teacher saw the labels that seed {seed} shows, this run shows those of seed "
            f"{config.seed}; label with the same --seed"
        )

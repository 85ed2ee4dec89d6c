"""A student that takes texts: encoder and circuit in one classifier, taught by a language model."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from qdllm.data import TextDataset, deduplicate, split_dataset
from qdllm.encoders import Encoder, NgramEncoder, load_encoder, make_encoder
from qdllm.errors import ConfigError, DataError, SavedModelError
from qdllm.files import atomic_folder
from qdllm.student.estimator import Student
from qdllm.student.joint import fit_jointly
from qdllm.student.saving import Provenance, read_config, write_student

if TYPE_CHECKING:
    from qdllm.teachers import Teacher

__all__ = ["ENCODER_FOLDER", "TextStudent"]

ENCODER_FOLDER = "encoder"


class TextStudent(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Texts in, classes out: an encoder, and a `Student` distilled from a language model.

    Parameters
    ----------
    teacher : str, Teacher or None
        A language model (`qdllm.teachers.make_teacher`); None to learn from gold labels alone.
    encoder : str or Encoder
        What turns texts into features (`qdllm.encoders.make_encoder`); "ngrams" is trained together with
        the student.
    student : Student, optional
        The student to train, as it is by default; its options are reachable as ``student__n_qubits`` and
        so on in a grid search.
    validation_fraction : float
        Share of the texts that teacher and student make their choices on, in (0, 1).
    seed : int
        Seeds the validation rows and the teacher.

    Attributes
    ----------
    student_ : Student
    encoder_ : Encoder
    classes_ : ndarray, shape (n_classes,)
        Sorted as strings.

    Examples
    --------
    >>> from qdllm import TextStudent
    >>> student = TextStudent(teacher="smollm2", encoder="minilm")
    >>> student = student.fit(texts, labels)  # doctest: +SKIP
    >>> student.predict_proba(["A film to remember."])  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        teacher: str | Teacher | None = "smollm2",
        encoder: str | Encoder = "minilm",
        student: Student | None = None,
        validation_fraction: float = 0.15,
        seed: int = 0,
    ) -> None:
        self.teacher = teacher
        self.encoder = encoder
        self.student = student
        self.validation_fraction = validation_fraction
        self.seed = seed

    def fit(self, texts: Sequence[str], y: Sequence[Any] | None = None, *, quiet: bool = True) -> Self:
        """Label with the teacher, encode, and train.

        Parameters
        ----------
        texts : sequence of str, length n
            Equal texts count once; a text with two different labels is dropped.
        y : sequence of length n, optional
            Gold labels; None (for one text, or altogether) where they are not known: there the student
            learns from the teacher alone.
        quiet : bool
            Show no progress bars.

        Raises
        ------
        DataError
            If a text or label cannot be used.
        ConfigError
            If there is neither a teacher nor a label.
        """
        from qdllm.teachers import label_dataset, make_teacher

        dataset, _ = deduplicate(TextDataset.from_lists(texts, y, name="texts"))
        split = split_dataset(dataset, seed=self.seed, validation=self.validation_fraction, test=0.0)
        if self.teacher is None and not dataset.classes:
            raise ConfigError("neither a teacher nor a label: give y, or a teacher")
        classes, soft = dataset.classes, None
        if self.teacher is not None:
            teacher = copy.deepcopy(self.teacher)  # fitting must not change a parameter
            if isinstance(teacher, str):
                teacher = make_teacher(teacher, seed=self.seed)
            labels = label_dataset(teacher, dataset, split)
            classes, soft = labels.classes, labels.align(dataset.row_ids, labels.classes)
        encoder = (
            make_encoder(self.encoder, seed=self.seed)
            if isinstance(self.encoder, str)
            else copy.deepcopy(self.encoder)
        )
        student = Student(seed=self.seed) if self.student is None else clone(self.student)
        lesson: dict[str, Any] = {
            "y": None if dataset.labels is None else [label or "" for label in dataset.labels],
            "soft_labels": soft,
            "labelled": split.labelled,
            "validation": split.part == "validation",
            "classes": classes,
            "quiet": quiet,
        }
        self.encoder_ = encoder
        if isinstance(encoder, NgramEncoder):
            self.student_ = fit_jointly(student, encoder, dataset.texts, **lesson)
        else:
            encoder.fit([dataset.texts[i] for i in split.indices("train")])
            self.student_ = student.fit(encoder.encode(dataset.texts), **lesson)
        return self

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes, in the order of the columns of `predict_proba`."""
        return np.asarray(self.student_.classes_)

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Class probabilities, shape (n, n_classes)."""
        check_is_fitted(self, "student_")
        if isinstance(texts, str):
            raise DataError("texts is a single string, not a list of them")
        if not len(texts):
            return np.zeros((0, len(self.classes_)))
        return self.student_.predict_proba(self.encoder_.encode(texts))

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """Most probable class of each text, shape (n,)."""
        chosen = self.predict_proba(texts).argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    def save_pretrained(self, path: str | Path, *, provenance: Provenance | None = None) -> None:
        """Write student and encoder into the folder `path`, replacing what was there as a whole.

        A pretrained encoder is saved by name and fingerprint, a fitted one with its state.
        """
        check_is_fitted(self, "student_")
        source = provenance or Provenance(
            encoder=self.encoder_.name,
            encoder_parameters=self.encoder_.n_parameters,
            encoder_trained=self.encoder_.n_trained,
        )
        with atomic_folder(path) as folder:
            self.encoder_.save(folder / ENCODER_FOLDER)
            about = {"name": self.encoder_.name, "fingerprint": self.encoder_.fingerprint}
            write_student(self.student_, folder, provenance=source, encoder=about)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """Load what `save_pretrained` wrote.

        Raises
        ------
        SavedModelError
            If a file is missing, truncated, altered or of another version, or the student has no encoder.
        """
        folder = Path(path)
        config = read_config(folder)
        if config.encoder is None:
            raise SavedModelError(f"{folder}: this student takes features, not texts; load it with Student")
        loaded = cls(teacher=None, encoder=config.encoder["name"])
        loaded.student_ = Student.from_pretrained(folder)
        loaded.encoder_ = load_encoder(folder / ENCODER_FOLDER)
        return loaded

"""The student as a scikit-learn classifier on features."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from qdllm.circuits import Circuit, make_ansatz, make_encoding, readout_labels
from qdllm.distill import DistillationLoss, OutputNoise, TrainingHistory, TrainingOptions, train
from qdllm.errors import ConfigError, DataError
from qdllm.simulate import StatevectorSimulator
from qdllm.student.model import ProjectedModel, StudentModel
from qdllm.student.targets import Targets, as_mask, check_probabilities, draw_validation, encode_labels

if TYPE_CHECKING:
    from qdllm.student.saving import Provenance

__all__ = ["Student", "training_threads"]

_Module = TypeVar("_Module", bound=nn.Module)

# Rows simulated at once at prediction: 1,024 states of 11 qubits in double precision are 32 MB.
_CHUNK = 1024

# Below so many qubits a training step is shorter than waking a second thread takes on a busy machine: there
# two threads were seen to take fifty times as long as one, and at rest they save little.
_THREADED_QUBITS = 14

# What few rows need to be learned: 16 epochs of 4,000 rows.
_LEAST_STEPS = 1000

# Power of a student's probabilities when it teaches itself: above 1, so that it becomes surer of itself.
_SHARPENING = 2.0


class Student(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of a few qubits: projection → encoding → circuit → ⟨Z⟩ → linear readout.

    Learns from gold labels, from a teacher's probabilities, or from both (`DistillationLoss`). Features
    are standardised with statistics of the training rows, which the projection absorbs afterwards.

    Parameters
    ----------
    n_qubits, n_layers : int
        Size of the ansatz; the paper's student has 11 and 2.
    ansatz : str
        Name of the circuit (`qdllm.circuits.make_ansatz`).
    encoding : {"linear", "tanh", "minmax"}
        How the projection's output becomes angles; "minmax" is the paper's.
    readout : {"z", "zz", "strings"}
        What is measured: ⟨Z⟩ of every qubit as in the paper, also every product of two Zs, or every product.
    alpha : float
        Weight of the teacher against the gold label, in [0, 1].
    temperature : float
        Softening of teacher and student in the KL term, above 0.
    self_training : int
        How often a new student is trained with the last one's probabilities, squared and scaled to sum to 1,
        in the teacher's place: of use where few rows have a label and the teacher is weak.
    epochs : int, optional
        Passes over the training rows, at most. By default 30, or more on few rows: as many as make 1,000
        steps.
    patience : int, optional
        Epochs without a better validation loss before stopping; a third of `epochs` by default.
    batch_size, learning_rate, weight_decay, circuit_decay, epsilon, dropout
        See `qdllm.distill.TrainingOptions`.
    phases : float
        The projection's biases begin uniform between -phases and phases, in radians where the encoding is
        "linear"; at least 0.
    noise : dict, optional
        Options of `qdllm.distill.OutputNoise`: noise on ⟨Z⟩ in training, such as ``{"shots": 8}``.
    validation_fraction : float
        Share of the rows kept for choosing the best epoch, where `fit` is not told which; in (0, 1).
    seed : int
        Seeds initial parameters, the order of rows, dropout and the validation rows.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Sorted; the order of the columns of `predict_proba`.
    n_features_in_ : int
    model_ : StudentModel
        The trained module, in double precision.
    history_ : TrainingHistory
        Losses and validation scores; not saved.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from qdllm import Student
    >>> X, y = load_iris(return_X_y=True)
    >>> Student(n_qubits=3, weight_decay=0.1, dropout=0.0).fit(X, y).score(X, y) > 0.9
    True
    """

    def __init__(
        self,
        *,
        n_qubits: int = 11,
        n_layers: int = 2,
        ansatz: str = "qd_llm",
        encoding: str = "linear",
        readout: str = "z",
        alpha: float = 0.5,
        temperature: float = 2.0,
        self_training: int = 0,
        epochs: int | None = None,
        batch_size: int = 64,
        learning_rate: float = 0.003,
        weight_decay: float = 3.0,
        circuit_decay: float = 0.0,
        epsilon: float = 1e-8,
        phases: float = 0.0,
        dropout: float = 0.4,
        patience: int | None = None,
        noise: dict[str, Any] | None = None,
        validation_fraction: float = 0.15,
        seed: int = 0,
    ) -> None:
        self.n_qubits = n_qubits
        self.n_layers = n_layers
        self.ansatz = ansatz
        self.encoding = encoding
        self.readout = readout
        self.alpha = alpha
        self.temperature = temperature
        self.self_training = self_training
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.circuit_decay = circuit_decay
        self.epsilon = epsilon
        self.phases = phases
        self.dropout = dropout
        self.patience = patience
        self.noise = noise
        self.validation_fraction = validation_fraction
        self.seed = seed

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        soft_labels: ArrayLike | None = None,
        labelled: ArrayLike | None = None,
        validation: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        checkpoint: str | Path | None = None,
        after_epoch: Callable[[TrainingHistory], None] | None = None,
        quiet: bool = True,
    ) -> Self:
        """Train on features.

        Parameters
        ----------
        X : array, shape (n, n_features)
            Finite numbers.
        y : array, shape (n,), optional
            Gold labels. May be left out where `soft_labels` are given.
        soft_labels : array, shape (n, n_classes), optional
            The teacher's probabilities, columns in the order of the sorted classes.
        labelled : array of bool, shape (n,), optional
            Rows whose entry of `y` may be used; all of them by default.
        validation : array of bool, shape (n,), optional
            Rows for choosing the best epoch, not learned from. By default a share
            `validation_fraction`, drawn by `seed`.
        classes : array, shape (n_classes,), optional
            Sorted class names, where `y` does not show them all; 0 … n_classes − 1 without `y`.
        checkpoint : path, optional
            A file for the state after each epoch; an interrupted `fit` goes on from it.
        after_epoch : callable, optional
            Called with the `TrainingHistory` after every epoch; an exception that it raises ends the
            training.
        quiet : bool
            Show no progress bar.

        Raises
        ------
        DataError
            If shapes do not fit, features are not finite, only one class is left, or soft labels are no
            probabilities.
        ConfigError, CircuitError, TooLargeError
            If a parameter of the student is out of range or takes more memory than there is.
        TrainingError
            If the loss diverges.
        """
        self.check_parameters()
        features: NDArray[np.float64] = validate_data(self, X, dtype=np.float64)
        targets = self._targets(len(features), y, soft_labels, labelled, validation, classes)
        mean, scale = _standardisation(features[~targets.held_out])
        model = self._train(
            lambda: self._make_model(features.shape[1], len(self.classes_)),
            torch.as_tensor((features - mean) / scale, dtype=torch.float32),
            targets,
            self._training_options(int((~targets.held_out).sum())),
            checkpoint=checkpoint,
            after_epoch=after_epoch,
            quiet=quiet,
        )
        model.fold_scaling(torch.as_tensor(mean), torch.as_tensor(scale))
        self.model_: Any = model.double().eval()
        return self

    def check_parameters(self) -> None:
        """Refuse parameters that cannot work, before anything costly is done.

        Raises
        ------
        ConfigError, CircuitError, TooLargeError
            If one is out of range, unknown, or takes more memory than this machine has.
        """
        self._training_options(n_rows=1)
        DistillationLoss(self.alpha, self.temperature)
        make_encoding(self.encoding)
        circuit = make_ansatz(self.ansatz, self.n_qubits, self.n_layers)
        observables = readout_labels(self.readout, circuit.n_qubits)
        StatevectorSimulator(circuit, observables)
        OutputNoise(len(observables), **(self.noise or {}))
        if not 0.0 < self.validation_fraction < 1.0:
            raise ConfigError(f"validation_fraction is {self.validation_fraction}: it must be in (0, 1)")
        if not 0.0 <= self.phases < math.inf:
            raise ConfigError(f"phases is {self.phases}: it must be finite and at least 0")
        if not isinstance(self.self_training, int) or self.self_training < 0:
            raise ConfigError(f"self_training is {self.self_training}: it must be 0 or more rounds")

    @torch.no_grad()
    def decision_logits(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logits of every class, shape (n, n_classes), columns in the order of `classes_`."""
        check_is_fitted(self, "model_")
        features = torch.as_tensor(validate_data(self, X, dtype=np.float64, reset=False))
        chunks = torch.split(features, _CHUNK)
        logits = [self.model_(x) for x in chunks]
        return np.asarray(torch.cat(logits).numpy())

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Class probabilities, shape (n, n_classes), columns in the order of `classes_`."""
        logits = self.decision_logits(X)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Most probable class of each row, shape (n,)."""
        chosen = self.decision_logits(X).argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    def parameter_counts(self) -> dict[str, int]:
        """Count the trained numbers: projection, circuit, readout, and their sum."""
        check_is_fitted(self, "model_")
        counts = {
            "projection": sum(p.numel() for p in self.model_.projection.parameters()),
            "circuit": self.model_.theta.numel(),
            "readout": sum(p.numel() for p in self.model_.readout.parameters()),
        }
        return {**counts, "trained": sum(counts.values())}

    def save_pretrained(self, path: str | Path, *, provenance: Provenance | None = None) -> None:
        """Write config.json, model.safetensors and a model card (README.md) into the folder `path`.

        Parameters
        ----------
        path : path
            A folder; one that is there already is replaced as a whole.
        provenance : Provenance, optional
            Data, teacher, encoder and metrics, for the card.
        """
        from qdllm.student.saving import save_student

        check_is_fitted(self, "model_")
        save_student(self, Path(path), provenance=provenance)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """Load a student that `save_pretrained` wrote.

        Raises
        ------
        SavedModelError
            If a file is missing, truncated, altered or of another version.
        """
        from qdllm.student.saving import load_student

        return load_student(cls, Path(path))

    def _make_model(self, n_features: int, n_classes: int) -> ProjectedModel:
        """Make the untrained module; a control is a student with another one, or another circuit."""
        return StudentModel(
            n_features,
            n_classes,
            self._make_circuit(),
            self.encoding,
            self.readout,
            self.seed,
            noise=self.noise,
            phases=self.phases,
        )

    def _make_circuit(self) -> Circuit:
        return make_ansatz(self.ansatz, self.n_qubits, self.n_layers)

    def _train(
        self,
        make: Callable[[], _Module],
        x: torch.Tensor,
        targets: Targets,
        options: TrainingOptions,
        *,
        checkpoint: str | Path | None,
        after_epoch: Callable[[TrainingHistory], None] | None = None,
        quiet: bool,
    ) -> _Module:
        """Train a module, then new ones that it teaches, as `self_training` says; return the last."""
        for number in range(self.self_training + 1):
            module = make()
            training, chosen_by = targets.join(x)
            self.history_ = train(
                module,
                training,
                chosen_by,
                DistillationLoss(self.alpha, self.temperature),
                options,
                checkpoint=None if checkpoint is None else _of_round(Path(checkpoint), number),
                after_epoch=after_epoch,
                threads=training_threads(self.n_qubits),
                quiet=quiet,
            )
            if number < self.self_training:
                targets = replace(targets, soft=_sharpened(module, x))
        return module

    def _training_options(self, n_rows: int) -> TrainingOptions:
        epochs = self.epochs
        if epochs is None:
            epochs = max(30, math.ceil(_LEAST_STEPS * max(self.batch_size, 1) / n_rows))
        return TrainingOptions(
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            circuit_decay=self.circuit_decay,
            epsilon=self.epsilon,
            dropout=self.dropout,
            patience=math.ceil(epochs / 3) if self.patience is None else self.patience,
            seed=self.seed,
        )

    def _targets(
        self,
        n_rows: int,
        y: ArrayLike | None,
        soft_labels: ArrayLike | None,
        labelled: ArrayLike | None,
        validation: ArrayLike | None,
        classes: ArrayLike | None,
    ) -> Targets:
        """Check what `fit` was given beside the features, and set `classes_`."""
        if y is None and soft_labels is None:
            raise DataError("Student requires y to be passed, but the target y is None; or pass soft_labels")
        self.classes_, codes = encode_labels(n_rows, y, labelled, classes, soft_labels)
        soft = None if soft_labels is None else check_probabilities(soft_labels, n_rows, len(self.classes_))
        if validation is None:
            held_out = draw_validation(codes, len(self.classes_), self.validation_fraction, self.seed)
        else:
            held_out = as_mask(validation, n_rows, "validation", default=False)
            if held_out.all():
                raise DataError("validation holds every row: leave some to learn from")
        return Targets(codes, soft, held_out)


def _standardisation(X: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    scale = X.std(axis=0)
    return X.mean(axis=0), np.where(scale > 1e-8 * np.abs(X).max(axis=0, initial=0), scale, 1.0)


@torch.no_grad()
def _sharpened(module: nn.Module, x: torch.Tensor) -> NDArray[np.float64]:
    """Return a module's probabilities, made surer."""
    module.eval()
    logits = torch.cat([module(part) for part in torch.split(x, _CHUNK)])
    return np.asarray((_SHARPENING * logits.double()).softmax(dim=1).numpy())


def _of_round(checkpoint: Path, number: int) -> Path:
    return checkpoint.with_stem(f"{checkpoint.stem}-{number}") if number else checkpoint


def training_threads(n_qubits: int) -> int | None:
    """Return how many threads to train with: one for a small circuit, else None for as many as torch has."""
    return 1 if n_qubits < _THREADED_QUBITS else None

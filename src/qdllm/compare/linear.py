"""Controls without a network: logistic regression, random Fourier features, a support vector machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from qdllm.compare.task import Contender, Fitted, Lesson, Rows, Setting
from qdllm.errors import DataError, TooLargeError
from qdllm.simulate.memory import available_memory
from qdllm.teachers.calibration import fit_temperature, softened

__all__ = ["LogisticRegression", "RandomFourier", "SupportVectors", "fit_path", "fit_softmax", "targets_of"]

Targets = Literal["gold", "both", "teacher"]
Matrix = NDArray[np.float64]

# Inverse regularisation on features of variance 1: from almost none of the data to almost all of it.
_STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
_PATIENCE = 2  # strengths after the best one so far, before the path ends


class LogisticRegression(Contender):
    """Multinomial logistic regression on gold labels, on the teacher's probabilities, or on their mean.

    Its strength is chosen within a fit, along a path, by the loss on validation rows: as a network's epoch
    is.
    """

    name = "logistic-regression"
    group = "control"
    uses = "features"

    def settings(self, budget: int) -> list[Setting]:
        """Targets, and whether each feature is scaled or all alike."""
        kinds: list[Targets] = ["gold", "both", "teacher"]
        found = [{"targets": kind, "scale": "each"} for kind in kinds]
        found += [{"targets": kind, "scale": "all"} for kind in kinds]
        return list(found[:budget])

    def fit(self, lesson: Lesson, setting: Setting, seed: int) -> Fitted:  # noqa: ARG002 - nothing is random
        """See `Contender.fit`."""
        mean, scale = _scaling(lesson.train.x, setting["scale"])
        weights, bias = fit_path(lesson, setting["targets"], lambda rows: (rows.x - mean) / scale)
        weights = weights / scale[:, None]
        return _Linear(weights, bias - mean @ weights)


@dataclass(frozen=True)
class RandomFourier(Contender):
    """Logistic regression on random Fourier features (Rahimi and Recht 2007): a Gaussian kernel, sampled.

    Parameters
    ----------
    n_features : int
        Cosines, at least 1.
    """

    n_features: int = 1024
    name = "random-fourier"
    group = "control"
    uses = "features"

    def settings(self, budget: int) -> list[Setting]:
        """Width of the kernel as a multiple of 1 / (number of features), and targets."""
        grid = [(kind, gamma) for kind in ("gold", "both", "teacher") for gamma in (0.3, 0.1, 1.0)]
        order = [0, 1, 3, 4, 2, 6, 5, 7, 8]  # the middle widths first, on gold labels and on both
        return [{"targets": grid[i][0], "gamma": grid[i][1]} for i in order[:budget]]

    def fit(self, lesson: Lesson, setting: Setting, seed: int) -> Fitted:
        """See `Contender.fit`."""
        rng = np.random.default_rng([seed, 31])
        mean, scale = _scaling(lesson.train.x, "each")
        n_inputs = len(mean)
        spread = np.sqrt(2 * setting["gamma"] / n_inputs)
        frequencies = rng.standard_normal((n_inputs, self.n_features)) * spread / scale[:, None]
        phases = rng.uniform(0, 2 * np.pi, self.n_features) - mean @ frequencies
        cosines = _Cosines(frequencies.astype(np.float32), phases.astype(np.float32))
        return _Linear(*fit_path(lesson, setting["targets"], lambda rows: cosines(rows.x)), cosines)


class SupportVectors(Contender):
    """A support vector machine with a Gaussian or a linear kernel.

    Takes hard labels alone: gold where it is visible, else the teacher's choice. Its decision values become
    probabilities by one temperature, fitted on validation rows, which leaves its choices as they are.
    """

    name = "svm"
    group = "control"
    uses = "features"

    def settings(self, budget: int) -> list[Setting]:
        """Kernel and penalty."""
        grid = [
            ("rbf", 1.0),
            ("linear", 0.001),
            ("rbf", 4.0),
            ("linear", 0.01),
            ("rbf", 0.3),
            ("linear", 0.1),
        ]
        return [{"kernel": kernel, "C": penalty} for kernel, penalty in grid[:budget]]

    def fit(self, lesson: Lesson, setting: Setting, seed: int) -> Fitted:
        """See `Contender.fit`."""
        from sklearn.metrics.pairwise import rbf_kernel
        from sklearn.svm import SVC, LinearSVC

        n_classes = len(lesson.classes)
        mean, scale = _scaling(lesson.train.x, "each")
        usable, targets = targets_of(lesson.train, "gold", n_classes, others=True)
        codes = targets.argmax(axis=1)
        if len(np.unique(codes)) < n_classes:
            raise DataError("a class has no training row with a label or a teacher's choice")
        x = (lesson.train.x[usable] - mean) / scale
        if setting["kernel"] == "linear":
            machine = LinearSVC(C=setting["C"], random_state=seed).fit(x, codes)
            return _Machine(machine, mean, scale, lesson.validation)
        _require_memory(len(x))
        gamma = 1 / (x.shape[1] * float(x.var()))
        # One matrix product: libsvm's own loop over pairs takes many times as long.
        machine = SVC(C=setting["C"], kernel="precomputed").fit(rbf_kernel(x, gamma=gamma), codes)
        kernel = _Gaussian(gamma, x[machine.support_], machine.support_, len(x))
        return _Machine(machine, mean, scale, lesson.validation, kernel)


class _Cosines:
    """sqrt(2) cos(x Ω + b): frozen, its mean square 1."""

    def __init__(self, frequencies: NDArray[np.float32], phases: NDArray[np.float32]) -> None:
        self.frequencies, self.phases = frequencies, phases

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.sqrt(np.float32(2)) * np.cos(x @ self.frequencies + self.phases))


class _Linear(Fitted):
    """Softmax of a linear map, of the features or of cosines of them."""

    def __init__(self, weights: Matrix, bias: Matrix, cosines: _Cosines | None = None) -> None:
        self.weights, self.bias = weights.astype(np.float32), bias.astype(np.float32)
        self.cosines = cosines
        self.n_trained = self.weights.size + self.bias.size
        self.n_parameters = self.n_trained
        if cosines is not None:
            self.n_parameters += cosines.frequencies.size + cosines.phases.size

    def predict_proba(self, rows: Rows) -> Matrix:
        x = rows.x if self.cosines is None else self.cosines(rows.x)
        return np.asarray(softmax((x @ self.weights + self.bias).astype(np.float64), axis=1))

    def save(self, folder: Path) -> None:
        tensors = {"weights": self.weights, "bias": self.bias}
        if self.cosines is not None:
            tensors |= {"frequencies": self.cosines.frequencies, "phases": self.cosines.phases}
        save_file(tensors, folder / "model.safetensors")


@dataclass(frozen=True, eq=False)
class _Gaussian:
    """exp(−γ ‖x − x'‖²) of rows to the training rows.

    It is 0 to those that are no support vectors, which have no weight.
    """

    gamma: float
    vectors: Matrix
    places: NDArray[np.int32]
    n_rows: int

    def __call__(self, x: Matrix) -> Matrix:
        from sklearn.metrics.pairwise import rbf_kernel

        values = np.zeros((len(x), self.n_rows))
        values[:, self.places] = rbf_kernel(x, self.vectors, gamma=self.gamma)
        return values


class _Machine(Fitted):
    """A support vector machine from scikit-learn, and the temperature of its decision values."""

    def __init__(
        self, machine: Any, mean: Matrix, scale: Matrix, validation: Rows, kernel: _Gaussian | None = None
    ) -> None:
        self.machine, self.mean, self.scale, self.kernel = machine, mean, scale, kernel
        self._weights = machine.coef_ if kernel is None else machine.dual_coef_
        self.n_trained = int(self._weights.size + machine.intercept_.size)
        self.n_parameters = self.n_trained + mean.size + scale.size
        if kernel is not None:
            self.n_parameters += kernel.vectors.size
        known = np.flatnonzero(validation.y >= 0)
        self.temperature = (
            fit_temperature(self._logits(validation.take(known)), validation.y[known]) if len(known) else 1.0
        )

    def predict_proba(self, rows: Rows) -> Matrix:
        return softened(self._logits(rows), self.temperature)

    def save(self, folder: Path) -> None:
        tensors = {"weights": np.ascontiguousarray(self._weights), "intercept": self.machine.intercept_}
        if self.kernel is not None:
            tensors |= {"support_vectors": self.kernel.vectors, "n_support": self.machine.n_support_}
        tensors |= {"mean": self.mean, "scale": self.scale, "temperature": np.array([self.temperature])}
        small = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in tensors.items()}
        save_file(small, folder / "model.safetensors")

    def _logits(self, rows: Rows) -> Matrix:
        x = (rows.x - self.mean) / self.scale
        scores = np.asarray(self.machine.decision_function(x if self.kernel is None else self.kernel(x)))
        return np.stack([np.zeros(len(scores)), scores], axis=1) if scores.ndim == 1 else scores


def targets_of(
    rows: Rows, kind: Targets, n_classes: int, *, others: bool = False
) -> tuple[NDArray[np.int64], Matrix]:
    """Return the rows that can be learned from, by index, and a distribution over classes for each.

    Parameters
    ----------
    rows : Rows
    kind : {"gold", "both", "teacher"}
        The visible label, the mean of label and teacher, or the teacher. Without a teacher all are gold.
    n_classes : int
    others : bool
        With "gold": rows without a visible label count too, with the teacher's probabilities. So they do
        where there is no label at all, and with "both".
    """
    labelled = rows.y >= 0
    gold = np.eye(n_classes)[rows.y]
    if rows.soft is None:
        usable = np.flatnonzero(labelled)
        return usable, gold[usable]
    if kind == "gold" and labelled.any() and not others:
        usable = np.flatnonzero(labelled)
        return usable, gold[usable]
    weight = {"gold": 0.0, "both": 0.5, "teacher": 1.0}[kind] * np.ones(len(rows))
    weight[~labelled] = 1.0
    return np.arange(len(rows)), (1 - weight[:, None]) * gold + weight[:, None] * rows.soft


def fit_softmax(x: Any, targets: Matrix, strength: float, start: Matrix | None = None) -> Matrix:
    """Multinomial logistic regression on distributions over classes.

    Minimises Σ cross-entropy(target, prediction) + ‖weights‖² / (2 strength), as scikit-learn's does with
    C = strength, the bias left free; by L-BFGS.

    Parameters
    ----------
    x : array or sparse matrix, shape (n, d)
    targets : array, shape (n, C)
        Rows sum to 1.
    strength : float
        Inverse regularisation, above 0.
    start : array, shape (d + 1, C), optional
        Where to begin; 0 by default.

    Returns
    -------
    array, shape (d + 1, C)
        Weights, and the bias in the last row.
    """
    shape = (x.shape[1] + 1, targets.shape[1])
    n = x.shape[0]
    penalty = 1 / (strength * n)

    def loss(flat: Matrix) -> tuple[float, Matrix]:
        weights, bias = flat.reshape(shape)[:-1], flat.reshape(shape)[-1]
        log_p = log_softmax(x @ weights + bias, axis=1)
        value = -(targets * log_p).sum() / n + penalty / 2 * (weights**2).sum()
        residual = (np.exp(log_p) - targets) / n
        gradient = np.vstack([x.T @ residual + penalty * weights, residual.sum(axis=0)])
        return float(value), gradient.ravel()

    begin = np.zeros(shape) if start is None else start
    found = minimize(
        loss,
        begin.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 2000, "gtol": 1e-4, "ftol": 1e-10},
    )
    return np.asarray(found.x.reshape(shape))


def fit_path(
    lesson: Lesson,
    kind: Targets,
    features: Callable[[Rows], Any],
    strengths: Sequence[float] = _STRENGTHS,
) -> tuple[Matrix, Matrix]:
    """Multinomial logistic regression of the strength with the lowest loss on validation rows.

    Parameters
    ----------
    lesson : Lesson
    kind : {"gold", "both", "teacher"}
        See `targets_of`.
    features : callable
        From n rows to an array or sparse matrix, shape (n, d).
    strengths : sequence of float
        Rising; the path ends where it has become worse twice.

    Returns
    -------
    weights : ndarray, shape (d, C)
    bias : ndarray, shape (C,)

    Raises
    ------
    DataError
        If a class is nowhere in the training rows.
    """
    n_classes = len(lesson.classes)
    usable, targets = targets_of(lesson.train, kind, n_classes)
    if not len(usable) or (targets.sum(axis=0) == 0).any():
        raise DataError("a class has no training row with a label or a teacher's probability")
    x = features(lesson.train.take(usable)).astype(np.float64)
    judges, wanted = targets_of(lesson.validation, "gold", n_classes)
    judging = features(lesson.validation.take(judges)).astype(np.float64)
    losses: list[float] = []
    path: list[Matrix] = []
    for strength in strengths:
        path.append(fit_softmax(x, targets, strength, path[-1] if path else None))
        logits = judging @ path[-1][:-1] + path[-1][-1]
        losses.append(float(-(wanted * log_softmax(logits, axis=1)).sum()))
        if len(losses) - 1 - int(np.argmin(losses)) >= _PATIENCE:
            break
    best = path[int(np.argmin(losses))]
    return best[:-1], best[-1]


def _require_memory(n: int) -> None:
    """Refuse a kernel matrix that does not fit: it would end the process."""
    needed, free = 8 * n * n, available_memory()
    if needed > free:
        raise TooLargeError(
            f"the kernel matrix of {n:,} rows needs {needed / 1e9:,.1f} GB, {free / 1e9:,.1f} are free: "
            "train on fewer --rows"
        )


def _scaling(x: NDArray[np.float32], kind: str) -> tuple[Matrix, Matrix]:
    mean, scale = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    if kind == "all":
        scale = np.full_like(scale, np.sqrt((scale**2).mean()))
    return mean, np.where(scale > 1e-8, scale, 1.0)

"""Models that stand beside every student, trained on the same features, labels and rows."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy.sparse import csr_matrix, issparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from qdllm.circuits import Circuit, make_encoding, readout_labels
from qdllm.compare.linear import LogisticRegression, RandomFourier, SupportVectors
from qdllm.compare.task import Contender, Fitted, Group, Lesson, Rows, Setting
from qdllm.distill import TrainingHistory
from qdllm.errors import DataError
from qdllm.files import write_json
from qdllm.student import ProjectedModel, Student, StudentModel

__all__ = [
    "FrozenCircuit",
    "Mlp",
    "NoCircuit",
    "NoEntanglement",
    "NoTeacher",
    "PaperDesign",
    "StudentContender",
    "controls",
    "fit_logistic_regression",
    "fit_student",
]


# What a setting may change: the weight of the teacher, and dropout with weight decay. Where labels are all
# known a teacher that is no better than they are is in the way.
_LESS_LED = 0.1
_LESS_REGULARISED = (0.2, 0.1)
_ALL = 8  # settings there are

# Training as it is by default: a student that learns from other targets, or in another shape, must not be
# held back by steps and regularisation that were chosen for this one.
_USUAL = {name: Student().get_params()[name] for name in ("epsilon", "phases", "dropout", "weight_decay")}


class StudentContender(Contender):
    """The student itself; a subclass puts another module in the place of its circuit, and nothing else.

    Loss, training loop, options and settings are the same for all of them.

    Parameters
    ----------
    parameters : mapping
        Of `qdllm.Student`, where they are not its defaults: the first setting. `seed` is overruled.
    """

    name = "student"
    group: Group = "student"
    uses = "features"
    estimator: ClassVar[type[Student]] = Student
    encodings: ClassVar[tuple[str, ...]] = ("linear", "tanh")

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.parameters = dict(parameters)

    @property
    def identity(self) -> dict[str, Any]:
        """See `Contender.identity`."""
        return {"name": self.name, "parameters": self.parameters}

    def settings(self, budget: int) -> list[Setting]:
        """As configured; led less by the teacher; regularised less; with another encoding; then mixtures."""
        base = Student(**self.parameters).get_params()
        first = base["encoding"] if base["encoding"] in self.encodings else self.encodings[0]
        encodings = (first, next(name for name in self.encodings if name != first))
        alphas = (base["alpha"], _LESS_LED)
        regularisations = ((base["dropout"], base["weight_decay"]), _LESS_REGULARISED)
        order = sorted(product((0, 1), repeat=3), key=sum)  # first what differs in one thing alone
        grid = [
            {
                "encoding": encodings[encoding],
                "dropout": regularisations[less][0],
                "weight_decay": regularisations[less][1],
                "alpha": alphas[led],
            }
            for encoding, less, led in order
        ]
        return _distinct(grid)[:budget]

    def fit(self, lesson: Lesson, setting: Setting, seed: int) -> Fitted:
        """See `Contender.fit`."""
        student = self.estimator(**{**self.parameters, **setting, "seed": seed})
        return _FittedStudent(fit_student(student, lesson))


def fit_student(
    student: Student, lesson: Lesson, after_epoch: Callable[[TrainingHistory], None] | None = None
) -> Student:
    """Train a student on a lesson's training rows; its validation rows choose the epoch.

    Parameters
    ----------
    student : Student
        Trained in place.
    lesson : Lesson
    after_epoch : callable, optional
        See `Student.fit`.

    Returns
    -------
    Student
        The one given.

    Raises
    ------
    TrainingError
        If the loss diverges.
    """
    both = (lesson.train, lesson.validation)
    codes = np.concatenate([rows.y for rows in both])
    soft = [rows.soft for rows in both if rows.soft is not None]
    return student.fit(
        np.concatenate([rows.x for rows in both]),
        codes.clip(0),
        labelled=codes >= 0,
        soft_labels=np.concatenate(soft) if soft else None,
        validation=np.arange(len(codes)) >= len(lesson.train),
        classes=np.arange(len(lesson.classes)),
        after_epoch=after_epoch,
    )


class PaperDesign(StudentContender):
    """The student of the QD-LLM paper: 11 qubits, 2 layers, angles scaled to [0, 10], every Z read out.

    It is trained with the usual ε, as in the paper, and with the dropout that goes with it here.
    """

    name = "paper"
    group = "control"
    design: ClassVar[Mapping[str, Any]] = {
        "ansatz": "qd_llm",
        "n_qubits": 11,
        "n_layers": 2,
        "encoding": "minmax",
        "readout": "z",
        "circuit_decay": 0.0,
        "noise": None,
        "phases": _USUAL["phases"],
        "epsilon": _USUAL["epsilon"],
        "dropout": _USUAL["dropout"],
    }

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__({**parameters, **self.design})

    def settings(self, budget: int) -> list[Setting]:
        """As configured; led less by the teacher; regularised less; both."""
        base = Student(**self.parameters).get_params()
        grid = [
            {"dropout": dropout, "weight_decay": decay, "alpha": alpha}
            for dropout, decay in ((base["dropout"], base["weight_decay"]), _LESS_REGULARISED)
            for alpha in (base["alpha"], _LESS_LED)
        ]
        return _distinct(grid)[:budget]


class NoCircuit(StudentContender):
    """The student with its circuit taken out: projection, encoding, readout."""

    name = "no-circuit"
    group = "control"

    class estimator(Student):  # noqa: N801 - an attribute of the class
        """Reads the angles out."""

        def _make_model(self, n_features: int, n_classes: int) -> ProjectedModel:
            width = self._make_circuit().n_inputs
            return _TwoLayers(n_features, width, n_classes, make_encoding(self.encoding), self.seed)


class NoEntanglement(StudentContender):
    """The student with its entanglement taken out: its circuit without two-qubit gates, read out alike."""

    name = "no-entanglement"
    group = "control"

    class estimator(Student):  # noqa: N801 - an attribute of the class
        """Runs every qubit for itself."""

        def _make_circuit(self) -> Circuit:
            whole = super()._make_circuit()
            gates = [gate for gate in whole.gates if len(gate.qubits) == 1]
            return Circuit(whole.n_qubits, gates, name=f"{whole.name}, not entangled")


class FrozenCircuit(StudentContender):
    """The student with its circuit random and frozen: angles uniform in ±π, never trained."""

    name = "frozen-circuit"
    group = "control"

    class estimator(Student):  # noqa: N801 - an attribute of the class
        """Trains projection and readout alone."""

        def _make_model(self, n_features: int, n_classes: int) -> ProjectedModel:
            model = super()._make_model(n_features, n_classes)
            assert isinstance(model, StudentModel)  # noqa: S101 - for the type checker
            generator = torch.Generator().manual_seed(self.seed)
            with torch.no_grad():
                model.theta.uniform_(-math.pi, math.pi, generator=generator)
            model.theta.requires_grad = False
            return model


class NoTeacher(StudentContender):
    """The student without its teacher: trained on the rows with a visible label alone."""

    name = "no-teacher"
    group = "control"

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__({**parameters, "self_training": 0})

    def settings(self, budget: int) -> list[Setting]:
        """As the student's, trained as by default second, without those that weigh the teacher alone."""
        configured, *others = super().settings(_ALL)
        base = Student(**self.parameters).get_params()
        usual = {name: value for name, value in _USUAL.items() if base[name] != value}
        grid = [configured, {**configured, **usual}, *others]
        return _distinct([{**setting, "alpha": 0.0} for setting in grid])[:budget]

    def fit(self, lesson: Lesson, setting: Setting, seed: int) -> Fitted:
        """See `Contender.fit`.

        Raises
        ------
        DataError
            If no training row has a visible label.
        """
        train, validation = (_labelled(rows) for rows in (lesson.train, lesson.validation))
        if not len(train):
            raise DataError("no training row has a visible label, and without its teacher it has no other")
        if not len(validation):
            validation = train
        return super().fit(Lesson(lesson.classes, train, validation), setting, seed)


def _distinct(settings: Sequence[Setting]) -> list[Setting]:
    return [setting for i, setting in enumerate(settings) if setting not in settings[:i]]


def _labelled(rows: Rows) -> Rows:
    known = rows.take(np.flatnonzero(rows.y >= 0))
    return Rows(known.texts, known.x, known.y)


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "tanh": torch.tanh}


class Mlp(StudentContender):
    """A network of one hidden layer with the fewest units that give it as many parameters as the student."""

    name = "mlp"
    group = "control"
    encodings = ("relu", "tanh")

    class estimator(Student):  # noqa: N801 - an attribute of the class
        """Takes the name of an activation for that of an encoding."""

        def _make_model(self, n_features: int, n_classes: int) -> ProjectedModel:
            circuit = self._make_circuit()
            wanted = (n_features + 1) * circuit.n_inputs + circuit.n_parameters
            wanted += (len(readout_labels(self.readout, circuit.n_qubits)) + 1) * n_classes
            width = math.ceil((wanted - n_classes) / (n_features + 1 + n_classes))
            return _TwoLayers(n_features, width, n_classes, _ACTIVATIONS[self.encoding], self.seed)

        def check_parameters(self) -> None:
            """Check all but the encoding, which is an activation here."""
            Student(**{**self.get_params(), "encoding": "linear"}).check_parameters()


def controls(parameters: Mapping[str, Any]) -> list[Contender]:
    """Return the student of these parameters and every control, those that take longest first."""
    kinds = (StudentContender, PaperDesign, FrozenCircuit, NoEntanglement, NoCircuit, NoTeacher, Mlp)
    trained = [kind(parameters) for kind in kinds]
    return [*trained, SupportVectors(), RandomFourier(), LogisticRegression()]


class _TwoLayers(ProjectedModel):
    """Two linear maps and what stands between them, begun as the student's are."""

    def __init__(
        self,
        n_features: int,
        width: int,
        n_classes: int,
        between: Callable[[Tensor], Tensor],
        seed: int,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.projection = nn.Linear(n_features, width)
        self.between = between
        self.readout = nn.Linear(width, n_classes)
        for layer in (self.projection, self.readout):
            nn.init.normal_(layer.weight, std=1 / math.sqrt(layer.in_features), generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.readout(self.between(self.projection(x)))
        return logits


class _FittedStudent(Fitted):
    def __init__(self, student: Student) -> None:
        self.student = student
        parameters = list(student.model_.parameters())
        self.n_parameters = sum(p.numel() for p in parameters)
        self.n_trained = sum(p.numel() for p in parameters if p.requires_grad)

    def predict_proba(self, rows: Rows) -> NDArray[np.float64]:
        return self.student.predict_proba(rows.x)

    def save(self, folder: Path) -> None:
        weights = {name: t.float().contiguous() for name, t in self.student.model_.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        write_json(folder / "config.json", self.student.get_params())


# Inverse regularisation on standardised features: from almost none of the data to almost all of it.
_STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)


def fit_logistic_regression(
    X: NDArray[np.floating[Any]] | csr_matrix, y: NDArray[Any], held_out: NDArray[np.bool_]
) -> Any:
    """Logistic regression on standardised features, its strength chosen on the held-out rows.

    Parameters
    ----------
    X : array or sparse matrix, shape (n, n_features)
        A sparse one is taken as it is: how rare an n-gram is says how it counts.
    y : array, shape (n,)
    held_out : array of bool, shape (n,)
        Rows to choose by, not learned from. Where there are none (few labels), cross-validation on all
        rows chooses, and all are learned from; the middle strength is taken where a class has one row.

    Returns
    -------
    Pipeline or LogisticRegression
        A fitted scikit-learn classifier.
    """
    models = [_logistic_regression(strength, scaled=not issparse(X)) for strength in _STRENGTHS]
    fitted = [clone(model).fit(X[~held_out], y[~held_out]) for model in models]
    fewest = int(np.unique(y, return_counts=True)[1].min())
    if held_out.any():
        accuracies = [model.score(X[held_out], y[held_out]) for model in fitted]
    elif fewest < 2:
        return fitted[len(fitted) // 2]
    else:
        folds = StratifiedKFold(min(5, fewest))
        accuracies = [cross_val_score(model, X, y, cv=folds).mean() for model in models]
    return fitted[int(np.argmax(accuracies))]


def _logistic_regression(strength: float, *, scaled: bool) -> Any:
    model = SklearnLogisticRegression(C=strength, max_iter=2000)
    return make_pipeline(StandardScaler(), model) if scaled else model

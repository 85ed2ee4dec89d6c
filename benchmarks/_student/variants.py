"""What is tried on a student: options that the package has, and techniques that it does not have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from _student.natural import GradientDescent, NaturalGradient
from _student.techniques import Average, Hint, LowRank, Mixup, Relational, Schedule, UniformAngles
from _student.training import Technique, taught_by
from qdllm.circuits import ANSATZE
from qdllm.compare import Fitted, Lesson
from qdllm.compare.controls import StudentContender
from qdllm.student import Student

__all__ = ["BASELINE", "KINDS", "VARIANTS", "Variant", "differs", "fit"]

KINDS = ("encoding", "circuit", "readout", "loss", "distillation", "regularisation", "optimiser")
"""In the order of the page."""


@dataclass(frozen=True)
class Variant:
    """One change of a student.

    Attributes
    ----------
    name : str
        On the command line and in the table.
    kind : str
        One of `KINDS`.
    options : mapping
        Of `qdllm.Student`, laid over the run's.
    technique : callable, optional
        Makes a technique for one training.
    about : str
        What a technique does, and its source, for the page.
    needs_teacher : bool
        Whether it changes nothing without one.
    """

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    technique: Callable[[], Technique] | None = None
    about: str = ""
    needs_teacher: bool = False

    @property
    def change(self) -> dict[str, Any]:
        """All that is changed, as JSON: figures of another change are not of this variant."""
        found: dict[str, Any] = {"options": dict(self.options)}
        if self.technique is not None:
            technique = self.technique()
            found |= {"technique": type(technique).__name__, "settings": vars(technique)}
        return dict(json.loads(json.dumps(found)))


def differs(variant: Variant, parameters: Mapping[str, Any], *, taught: bool) -> bool:
    """Return whether a variant is another student than the run's own.

    Parameters
    ----------
    variant : Variant
    parameters : mapping
        Of the run's student.
    taught : bool
        Whether the run has a teacher.
    """
    if variant.needs_teacher and not taught:
        return False
    changed = any(parameters[name] != value for name, value in variant.options.items())
    return changed or variant.technique is not None


def fit(variant: Variant, parameters: Mapping[str, Any], lesson: Lesson, seed: int) -> Fitted:
    """Train the student of these parameters with a variant's change.

    Raises
    ------
    TrainingError
        If the loss diverges.
    """
    kind = Student if variant.technique is None else taught_by(variant.technique)

    class Changed(StudentContender):
        estimator = kind

    return Changed({**parameters, **variant.options}).fit(lesson, {}, seed)


def _option(kind: str, name: str, *values: Any) -> list[Variant]:
    needs_teacher = name in ("alpha", "temperature")
    return [Variant(f"{name}={value}", kind, {name: value}, needs_teacher=needs_teacher) for value in values]


def _technique(kind: str, name: str, make: Callable[[], Technique], about: str) -> Variant:
    return Variant(name, kind, {}, make, about, needs_teacher=kind in ("loss", "distillation"))


_FITNETS = "[Romero et al. 2015](https://arxiv.org/abs/1412.6550)"
_RELATIONAL = (
    "distances between rows as in the teacher's logits, weight {}; "
    "[Park et al. 2019](https://arxiv.org/abs/1904.05068)"
)
_MIXUP = "rows mixed by Beta({0}, {0}); [Zhang et al. 2018](https://arxiv.org/abs/1710.09412)"
_NATURAL = (
    "the circuit's angles by quantum natural gradient, the metric anew every 50 steps; "
    "[Stokes et al. 2020](https://arxiv.org/abs/1909.02108)"
)

BASELINE = Variant("baseline", "")
"""The run's own student."""

VARIANTS: tuple[Variant, ...] = (
    *_option("encoding", "encoding", "linear", "tanh", "minmax"),
    *(
        _technique(
            "encoding", f"low-rank={rank}", partial(LowRank, rank), f"the projection held to rank {rank}"
        )
        for rank in (2, 4)
    ),
    *_option("circuit", "ansatz", *sorted(ANSATZE)),
    *_option("circuit", "n_layers", 1, 3),
    *_option("circuit", "n_qubits", 6),
    _technique(
        "circuit",
        "uniform-angles",
        UniformAngles,
        "angles begin uniform in ±π; [McClean et al. 2018](https://arxiv.org/abs/1803.11173)",
    ),
    *_option("readout", "readout", "zz"),
    # More qubits have too many strings; n_qubits=6 tells what the strings do.
    Variant("readout=strings+n_qubits=6", "readout", {"readout": "strings", "n_qubits": 6}),
    *_option("loss", "alpha", 0.0, 0.1, 0.9, 1.0),
    *_option("loss", "temperature", 1.0, 4.0),
    _technique(
        "loss",
        "teacher-first",
        lambda: Schedule(alpha=(1.0, 0.0)),
        "α falls from 1 to 0; [Clark et al. 2019](https://arxiv.org/abs/1907.04829)",
    ),
    _technique(
        "loss", "labels-first", lambda: Schedule(alpha=(0.0, 1.0)), "α rises from 0 to 1: the reverse"
    ),
    _technique(
        "loss",
        "cooling",
        lambda: Schedule(temperature=(4.0, 1.0)),
        "temperature falls from 4 to 1; [Jafari et al. 2021](https://arxiv.org/abs/2104.07163)",
    ),
    _technique("distillation", "relational=1", lambda: Relational(1.0), _RELATIONAL.format(1)),
    _technique("distillation", "relational=10", lambda: Relational(10.0), _RELATIONAL.format(10)),
    Variant(
        "hint-features",
        "distillation",
        technique=lambda: Hint("features", 1.0),
        about=f"features to be told from ⟨Z⟩ by a linear map; {_FITNETS}",
    ),
    _technique(
        "distillation",
        "hint-teacher",
        lambda: Hint("teacher", 1.0),
        f"the teacher's logits to be told from ⟨Z⟩ by another linear map; {_FITNETS}",
    ),
    *_option("distillation", "self_training", 2),
    *_option("regularisation", "dropout", 0.0, 0.2, 0.6),
    *_option("regularisation", "weight_decay", 0.1, 1.0, 10.0),
    *_option("regularisation", "circuit_decay", 0.0),
    Variant("noise.shots=64", "regularisation", {"noise": {"shots": 64}}),
    Variant("noise.shots=16", "regularisation", {"noise": {"shots": 16}}),
    Variant("mixup=0.2", "regularisation", technique=lambda: Mixup(0.2), about=_MIXUP.format("0.2")),
    Variant("mixup=1", "regularisation", technique=lambda: Mixup(1.0), about=_MIXUP.format("1")),
    *_option("optimiser", "batch_size", 64, 256),
    *_option("optimiser", "learning_rate", 0.003, 0.02),
    *_option("optimiser", "epsilon", 1e-8, 0.001, 0.01),
    *_option("optimiser", "phases", 0.0, 1.57, 3.14),
    Variant(
        "epsilon=0.01+phases=1.57+dropout=0",
        "optimiser",
        {"epsilon": 0.01, "phases": 1.57, "dropout": 0.0},
    ),
    _technique(
        "optimiser",
        "average",
        lambda: Average(0.99),
        "weights averaged, 0.99 kept a step; [Tarvainen and Valpola 2017](https://arxiv.org/abs/1703.01780)",
    ),
    _technique("optimiser", "natural-gradient", lambda: NaturalGradient(1.0), _NATURAL),
    _technique(
        "optimiser",
        "gradient-descent",
        lambda: GradientDescent(1.0),
        "the angles by plain gradient descent, to compare the last one with",
    ),
)
"""All that is tried."""

"""Forms evaluated in the compiled kernel where it is built, and in NumPy where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.simulate.kernel import instruction_sets, load_kernel
from qdllm.surrogate.forms import Form, SparseForm, TrainForm

__all__ = ["Evaluator"]

_TILE = 4  # outputs that the kernel sums at once


class Evaluator:
    """Angles to logits.

    Parameters
    ----------
    form : SparseForm or TrainForm
    engine : {"auto", "kernel", "numpy"}
        ``"auto"``: the kernel where it is built.
    instruction_set : str, optional
        One of `qdllm.simulate.kernel.instruction_sets`; default: the best.

    Attributes
    ----------
    engine : str
        ``"kernel"`` or ``"numpy"``.
    """

    def __init__(self, form: Form, engine: str = "auto", instruction_set: str | None = None) -> None:
        sets = instruction_sets() if engine != "numpy" else ()
        self.form = form
        self.engine = "kernel" if sets else "numpy"
        self._instruction_set = instruction_set or (sets[0] if sets else "")
        self._programs: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_programs": {}}  # made again where they are needed

    def __call__(self, angles: NDArray[Any]) -> NDArray[Any]:
        """Evaluate at angles (n, n_variables) of float32 or float64: (n, n_outputs) of the same type."""
        if self.engine == "numpy":
            return self.form(angles.astype(np.float64, copy=False)).astype(angles.dtype, copy=False)
        program = self._programs.get(angles.dtype.char)
        if program is None:
            program = self._programs[angles.dtype.char] = self._build(angles.dtype)
        values = np.empty((len(angles), self.form.n_outputs), dtype=angles.dtype)
        program.evaluate(np.ascontiguousarray(angles), values)
        return values

    def _build(self, dtype: np.dtype[Any]) -> Any:
        kernel, form = load_kernel(), self.form
        program = (kernel.Formula32 if dtype == np.float32 else kernel.Formula64)(self._instruction_set)
        if isinstance(form, TrainForm):
            program.set_train(form.n_outputs, form.ranks, form.numbers.tolist())
        else:
            program.set_terms(form.n_variables, form.n_outputs, *_products(form))
        return program


def _products(
    form: SparseForm,
) -> tuple[list[tuple[int, int]], list[tuple[int, int]], list[tuple[int, int]], list[float]]:
    """Return products over two halves of the variables, the terms as pairs of them, and coefficients."""
    polynomial, half = form.polynomial, form.n_variables // 2
    halves = (range(half), range(half, form.n_variables))
    trees: list[dict[tuple[int, ...], int]] = [{(): 0}, {(): 0}]
    plans: list[list[tuple[int, int]]] = [[], []]
    terms = []
    for sine, cosine in zip(polynomial.sines.tolist(), polynomial.cosines.tolist(), strict=True):
        ends = []
        for tree, plan, part in zip(trees, plans, halves, strict=True):
            path: tuple[int, ...] = ()
            for j in part:
                if not (sine | cosine) >> j & 1:
                    continue
                factor = 2 * j + (cosine >> j & 1)
                longer = (*path, factor)
                if longer not in tree:
                    plan.append((tree[path], factor))
                    tree[longer] = len(plan)
                path = longer
            ends.append(tree[path])
        terms.append((ends[0], ends[1]))
    padded = np.zeros((len(terms), -(-form.n_outputs // _TILE) * _TILE))
    padded[:, : form.n_outputs] = polynomial.coefficients
    tiles = padded.reshape(len(terms), -1, _TILE).transpose(1, 0, 2)
    return plans[0], plans[1], terms, tiles.ravel().tolist()

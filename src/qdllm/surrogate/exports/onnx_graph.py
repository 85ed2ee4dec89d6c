"""A surrogate as an ONNX graph in real arithmetic: features in, logits and probabilities out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qdllm.extras import require
from qdllm.surrogate.forms import SparseForm, TrainForm

if TYPE_CHECKING:
    from qdllm.surrogate.surrogate import Surrogate

__all__ = ["IR_VERSION", "OPSET", "to_onnx"]

OPSET, IR_VERSION = 18, 10


def to_onnx(surrogate: Surrogate) -> Any:
    """Return the ONNX model: ``features`` (n, n_features) to ``logits`` and ``probabilities`` (n, n_classes).

    All of it is float32. The classes stand in the model's metadata, as ``classes``.

    Raises
    ------
    MissingExtraError
        If the package onnx is not installed.
    """
    require("onnx", "onnx", "an ONNX export")
    from onnx import TensorProto, checker, helper

    graph = _Graph()
    angles = _encode(graph, surrogate)
    variables = graph.add(
        "Add",
        graph.add("MatMul", angles, graph.constant(surrogate.matrix.T)),
        graph.constant(surrogate.offset),
    )
    waves = graph.add("Concat", graph.add("Sin", variables), graph.add("Cos", variables), axis=1)
    # A column of ones before the sines and cosines: what a product takes for variables it does not hold.
    basis = graph.add("Pad", waves, graph.constant([0, 1, 0, 0], np.int64), graph.constant(1.0))
    form = surrogate.form
    found = _train(graph, form, basis) if isinstance(form, TrainForm) else _terms(graph, form, basis)
    graph.nodes.append(helper.make_node("Identity", [found], ["logits"]))
    graph.nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))

    def describe(name: str, width: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])

    n_classes = len(surrogate.classes_)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "qdllm_surrogate",
            [describe("features", surrogate.n_features_in_)],
            [describe("logits", n_classes), describe("probabilities", n_classes)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="qdllm",
    )
    helper.set_model_props(model, {"classes": "\n".join(map(str, surrogate.classes_))})
    checker.check_model(model, full_check=True)
    return model


class _Graph:
    """Nodes and constants, each output named by a number."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"q{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name


def _encode(graph: _Graph, surrogate: Surrogate) -> str:
    """Features to angles."""
    u = graph.add(
        "Add",
        graph.add("MatMul", "features", graph.constant(surrogate.weight.T)),
        graph.constant(surrogate.bias),
    )
    if surrogate.encoding == "linear":
        return graph.add("Add", u, graph.constant(math.pi / 2))
    one = graph.constant(1.0)
    if surrogate.encoding == "tanh":
        return graph.add("Mul", graph.add("Add", graph.add("Tanh", u), one), graph.constant(math.pi / 2))
    axis = graph.constant([1], np.int64)
    shifted = graph.add("Sub", u, graph.add("ReduceMin", u, axis, keepdims=1))
    span = graph.add("ReduceMax", shifted, axis, keepdims=1)
    # A span of 0 means that all is 0: it may be divided by 1.
    safe = graph.add("Where", graph.add("Equal", span, graph.constant(0.0)), one, span)
    return graph.add("Mul", graph.add("Div", shifted, safe), graph.constant(10.0))


def _terms(graph: _Graph, form: SparseForm, basis: str) -> str:
    """Gather every term's factors, padded with ones, multiply them, and weigh the products."""
    polynomial, n = form.polynomial, form.n_variables
    factors: NDArray[np.int64] = np.zeros((len(polynomial), max(int(polynomial.orders.max()), 1)), np.int64)
    for row, (sines, cosines) in enumerate(
        zip(polynomial.sines.tolist(), polynomial.cosines.tolist(), strict=True)
    ):
        held = [1 + j + n * (cosines >> j & 1) for j in range(n) if (sines | cosines) >> j & 1]
        factors[row, : len(held)] = held
    gathered = graph.add("Gather", basis, graph.constant(factors, np.int64), axis=1)
    products = graph.add("ReduceProd", gathered, graph.constant([2], np.int64), keepdims=0)
    return graph.add("MatMul", products, graph.constant(polynomial.coefficients))


def _train(graph: _Graph, form: TrainForm, basis: str) -> str:
    """Contract the train from its end."""
    vector = graph.add("Gather", basis, graph.constant([0], np.int64), axis=1)
    for j, core in reversed(list(enumerate(form.cores))):
        rank, _, right = core.shape
        parts = graph.add("MatMul", vector, graph.constant(core.reshape(-1, right).T))
        parts = graph.add("Reshape", parts, graph.constant([-1, rank, 3], np.int64))
        columns = graph.constant([0, 1 + j, 1 + form.n_variables + j], np.int64)
        factors = graph.add(
            "Unsqueeze", graph.add("Gather", basis, columns, axis=1), graph.constant([1], np.int64)
        )
        vector = graph.add(
            "ReduceSum", graph.add("Mul", parts, factors), graph.constant([2], np.int64), keepdims=0
        )
    return graph.add("MatMul", vector, graph.constant(form.lead.T))

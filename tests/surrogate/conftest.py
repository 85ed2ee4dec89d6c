"""Small students with trained-looking parameters, and what stands for exact simulation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from qdllm import Student
from qdllm.surrogate import TrainForm, bounds, compile_student, tensor_train


@pytest.fixture(scope="session", autouse=True)
def _little_work():
    """Bounds on coarser grids, which hold as well and take no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "_WORK", 1 << 16)
        yield


@pytest.fixture(scope="session")
def make_student():
    """Return a student as if trained: its parameters drawn, its projection of 6 features."""

    def make(scale=0.5, n_classes=3, n_features=6, classes=None, **options):
        student = Student(**{"n_qubits": 4, "n_layers": 2, **options})
        model = student._make_model(n_features, n_classes).double().eval()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            model.theta.normal_(std=scale, generator=generator)
            model.readout.bias.normal_(generator=generator)
            model.projection.bias.normal_(generator=generator)
        student.model_, student.n_features_in_ = model, n_features
        student.classes_ = np.array(classes or [f"class {i}" for i in range(n_classes)])
        return student

    return make


@pytest.fixture(scope="session")
def features():
    return np.random.default_rng(0).normal(size=(200, 6))


@pytest.fixture(scope="session", params=["sparse", "train"])
def surrogate(request, make_student):
    """One of each form, with another encoding each."""
    if request.param == "sparse":
        found = compile_student(make_student(0.1, encoding="tanh"), 0.02)
        assert found.form.kind == "sparse"
        return found
    found = compile_student(make_student(encoding="minmax"), 0.02)
    train = TrainForm(*tensor_train(found.form.polynomial, 1e-3), "float32")
    return replace(found, form=train)

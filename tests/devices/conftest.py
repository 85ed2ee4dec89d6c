"""A trained student."""

import pytest
import torch
from sklearn.datasets import load_iris

from qdllm import Student


@pytest.fixture(scope="session")
def trained():
    """A small student, the circuit's inputs of all rows, and their classes."""
    x, y = load_iris(return_X_y=True)
    student = Student(n_qubits=4, weight_decay=0.1, dropout=0.0, epochs=40).fit(x, y)
    with torch.no_grad():
        angles = student.model_.angles(torch.as_tensor(x)).numpy()
    return student, angles, y


@pytest.fixture(scope="session")
def trained_model(trained):
    """The student's model, and the circuit's inputs of some rows."""
    student, angles, _ = trained
    return student.model_, angles[::15]

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from qdllm.distill import DistillationLoss, teacher_logits
from qdllm.errors import ConfigError


def _reference(logits, label, soft, alpha, temperature):
    """The paper's loss for one row, from SciPy's own entropies."""
    teacher = np.log(np.maximum(soft, 1e-6))
    kl = entropy(softmax(teacher / temperature), softmax(logits / temperature))
    js = jensenshannon(softmax(teacher), softmax(logits)) ** 2
    if label < 0:
        alpha = 1.0
    cross_entropy = 0.0 if label < 0 else -log_softmax(logits)[label]
    return (1 - alpha) * cross_entropy + alpha * (temperature**2 * kl + js)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    alpha=st.floats(0, 1),
    temperature=st.floats(0.5, 10),
    classes=st.integers(2, 6),
)
def test_loss_equals_scipy_row_by_row(seed, alpha, temperature, classes):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(5, classes))
    soft = rng.dirichlet(np.ones(classes), size=5)
    labels = rng.integers(-1, classes, size=5)
    loss = DistillationLoss(alpha, temperature)(
        torch.tensor(logits), torch.tensor(labels), torch.tensor(soft)
    ).item()
    rows = [_reference(*row, alpha, temperature) for row in zip(logits, labels, soft, strict=True)]
    assert loss == pytest.approx(np.mean(rows), abs=1e-8)


def test_without_a_teacher_the_loss_is_cross_entropy_over_the_labelled_rows():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([2, -1, 0, -1])
    expected = torch.nn.functional.cross_entropy(logits[[0, 2]], labels[[0, 2]])
    assert torch.isclose(DistillationLoss()(logits, labels, None), expected)


def test_a_student_that_equals_its_teacher_has_no_loss_on_unlabelled_rows():
    soft = torch.tensor([[0.7, 0.3], [0.999999, 0.000001]], dtype=torch.float64)
    loss = DistillationLoss()(teacher_logits(soft), torch.tensor([-1, -1]), soft)
    assert abs(loss.item()) < 1e-12


def test_a_certain_teacher_gives_finite_gradients():
    logits = torch.zeros(2, 2, requires_grad=True)
    DistillationLoss()(logits, torch.tensor([0, -1]), torch.eye(2)).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("wrong", [{"alpha": -0.1}, {"alpha": 1.1}, {"alpha": float("nan")}])
def test_alpha_out_of_range_is_refused(wrong):
    with pytest.raises(ConfigError, match="alpha"):
        DistillationLoss(**wrong)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_temperature_out_of_range_is_refused(temperature):
    with pytest.raises(ConfigError, match="temperature"):
        DistillationLoss(temperature=temperature)

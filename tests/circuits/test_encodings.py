import math

import pytest
import torch

from qdllm.circuits import ENCODINGS, make_encoding
from qdllm.errors import ConfigError


def test_encodings_give_their_formulas():
    u = torch.tensor([[-1.0, 0.0, 3.0]])
    torch.testing.assert_close(make_encoding("minmax")(u), torch.tensor([[0.0, 2.5, 10.0]]))
    torch.testing.assert_close(make_encoding("linear")(u), u + math.pi / 2)
    torch.testing.assert_close(make_encoding("tanh")(u), math.pi / 2 * (1 + torch.tanh(u)))


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_encodings_are_differentiable(name):
    u = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(make_encoding(name), u)


def test_minmax_of_a_constant_sample_is_zero_with_a_finite_gradient():
    u = torch.full((1, 4), 2.5, requires_grad=True)
    angles = make_encoding("minmax")(u)
    angles.sum().backward()
    assert torch.equal(angles, torch.zeros(1, 4))
    assert torch.isfinite(u.grad).all()


def test_an_unknown_encoding_is_refused():
    with pytest.raises(ConfigError, match="unknown encoding"):
        make_encoding("basis")

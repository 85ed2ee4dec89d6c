import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from qdllm import Student
from qdllm.distill import OutputNoise
from qdllm.errors import ConfigError


def test_noise_has_the_mean_and_the_spread_that_it_says():
    noise = OutputNoise(2, shots=16, scale=[0.5, 1.0], offset=0.1, spread=[0.0, 0.2])
    z = torch.tensor([[0.6, 0.0]]).expand(50_000, 2)
    assert noise(z) is z  # nobody trains
    noise.generator = torch.Generator().manual_seed(0)
    found = noise(z)
    assert found.mean(dim=0).numpy() == pytest.approx([0.4, 0.1], abs=0.01)
    squares = [(1 - 0.4**2) / 16, 0.2**2 + (1 - 0.1**2 - 0.2**2) / 16]
    assert found.var(dim=0).numpy() == pytest.approx(squares, rel=0.05)
    assert noise.eval()(z) is z


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shots": 0}, r"noise.shots is 0"),
        ({"scale": [1.0]}, r"noise.scale has 1 numbers, the readout 2"),
        ({"spread": -1.0}, r"noise.spread must be finite, at least 0"),
        ({"offset": float("nan")}, r"noise.offset must be finite"),
    ],
)
def test_noise_that_cannot_be_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        OutputNoise(2, **options)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3))
    return x, (x[:, 0] + 0.3 * rng.normal(size=120) > 0).astype(int)


def test_noise_changes_training_and_one_seed_repeats_it(rows, tmp_path):
    x, y = rows
    quiet = Student(n_qubits=3, epochs=4, weight_decay=0.1, dropout=0.0)
    noisy = clone(quiet).set_params(noise={"shots": 8})
    first, again = noisy.fit(x, y).decision_logits(x), clone(noisy).fit(x, y).decision_logits(x)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - quiet.fit(x, y).decision_logits(x)).max() > 1e-3
    np.testing.assert_array_equal(noisy.decision_logits(x), first)  # no noise at prediction
    pickle.dumps(noisy)
    noisy.save_pretrained(tmp_path / "student")
    assert Student.from_pretrained(tmp_path / "student").noise == {"shots": 8}


def test_interrupted_noisy_training_resumes_bit_for_bit(rows, tmp_path):
    x, y = rows
    student = Student(n_qubits=3, epochs=6, weight_decay=0.1, dropout=0.2, noise={"shots": 8, "spread": 0.1})

    def stop(history):
        if len(history.loss) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clone(student).fit(x, y, checkpoint=tmp_path / "state", after_epoch=stop)
    resumed = clone(student).fit(x, y, checkpoint=tmp_path / "state")
    np.testing.assert_array_equal(resumed.decision_logits(x), student.fit(x, y).decision_logits(x))

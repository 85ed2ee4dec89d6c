"""The BiLSTM: its loss by hand, its start, its size, and that it learns."""

import math

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from qdllm.compare.baselines import BiLstm
from qdllm.compare.baselines.bilstm import LogitRegression, _Network
from qdllm.models import load_encoder

SETTING = {"alpha": 0.5, "learning_rate": 0.003, "epochs": 12, "max_tokens": 32}


def test_the_loss_of_three_rows_by_hand():
    logits = torch.tensor([[1.0, -1.0], [0.5, 0.0], [0.0, 2.0]])
    soft = torch.tensor([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]])
    labels = torch.tensor([0, 1, -1])
    half = [(math.log(p) - math.log(q)) / 2 for p, q in soft.tolist()]
    squares = [(a - h) ** 2 + (b + h) ** 2 for (a, b), h in zip(logits.tolist(), half, strict=True)]
    entropies = [math.log1p(math.exp(-2)), math.log1p(math.exp(0.5))]
    expected = (
        0.7 * entropies[0] + 0.3 * squares[0] + 0.7 * entropies[1] + 0.3 * squares[1] + squares[2]
    ) / 3
    assert LogitRegression(0.3)(logits, labels, soft).item() == pytest.approx(expected, rel=1e-5)
    assert LogitRegression(0.3)(logits, labels, None).item() == pytest.approx(sum(entropies) / 2, rel=1e-5)


def test_the_vectors_begin_as_the_encoder_s(tiny_bert):
    base, _ = load_encoder(tiny_bert, dtype=torch.float32)
    vectors = base.get_input_embeddings().weight
    assert torch.equal(_Network(vectors, 2, 0).vectors.weight, vectors)


@pytest.mark.parametrize("kind", ["lesson", "unlabelled", "untaught"])
def test_it_learns(kind, request, unseen, tiny_bert, tmp_path):
    fitted = BiLstm(str(tiny_bert)).fit(request.getfixturevalue(kind), SETTING, 0)
    assert (fitted.predict_proba(unseen.inputs).argmax(axis=1) == unseen.y).mean() > 0.9
    width, hidden = 24, 150
    direction = 4 * hidden * (width + hidden + 2)
    vectors = load_encoder(tiny_bert)[0].config.vocab_size * width
    assert fitted.n_parameters == vectors + 2 * direction + (2 * hidden + 1) * 200 + 201 * 2


def test_padding_changes_nothing(lesson, unseen, tiny_bert):
    fitted = BiLstm(str(tiny_bert)).fit(lesson, {**SETTING, "epochs": 1}, 0)
    alone = [fitted.predict_proba(unseen.take(np.array([row])))[0] for row in range(5)]
    np.testing.assert_allclose(fitted.predict_proba(unseen)[:5], alone, atol=1e-6)


def test_the_seed_decides(lesson, unseen, tiny_bert):
    setting = {**SETTING, "epochs": 1}
    first, again, other = (
        BiLstm(str(tiny_bert)).fit(lesson, setting, seed).predict_proba(unseen) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)

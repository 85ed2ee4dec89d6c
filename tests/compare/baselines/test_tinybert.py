"""TinyBERT: what it sees of an encoder, its distances by hand, and that the layers do come nearer."""

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from qdllm.compare.baselines import TinyBert
from qdllm.compare.baselines.tinybert import (
    attention_distance,
    hidden_distance,
    layer_map,
    matching,
    observe,
)
from qdllm.compare.baselines.training import TextBatch, TrainingPlan, train_on_texts
from qdllm.compare.baselines.transformer import TextClassifier
from qdllm.errors import ConfigError
from qdllm.models import load_causal_lm, load_encoder

SETTING = {"alpha": 0.5, "learning_rate": 0.003, "epochs": 12, "max_tokens": 32}
IDS = torch.tensor([[5, 60, 7, 200], [9, 300, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
BATCH = TextBatch(IDS, MASK, torch.zeros(2, dtype=torch.int64), None)


@pytest.mark.parametrize(
    ("n_student", "n_teacher", "expected"),
    [(3, 6, [(1, 2), (2, 4), (3, 6)]), (4, 12, [(1, 3), (2, 6), (3, 9), (4, 12)]), (2, 3, [(1, 2), (2, 3)])],
)
def test_layers_are_mapped_at_even_steps_and_last_to_last(n_student, n_teacher, expected):
    assert layer_map(n_student, n_teacher) == expected


def test_what_is_observed_is_what_the_encoder_computes(tiny_bert):
    import transformers

    encoder, _ = load_encoder(tiny_bert, dtype=torch.float32)
    eager = transformers.AutoModel.from_pretrained(tiny_bert, attn_implementation="eager").eval()
    seen = observe(encoder.cpu(), IDS, MASK)
    reference = eager(input_ids=IDS, attention_mask=MASK, output_attentions=True, output_hidden_states=True)
    for scores, attention in zip(seen.scores, reference.attentions, strict=True):
        masked = scores.masked_fill(MASK[:, None, None] == 0, -torch.inf)
        torch.testing.assert_close(masked.softmax(dim=-1), attention, atol=1e-5, rtol=1e-4)
    for mine, theirs in zip(seen.states, reference.hidden_states, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_distances_by_hand():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 2, 4, 3))
    hidden = np.mean([(a[i, t] - b[i, t]) ** 2 for i, n in enumerate((4, 2)) for t in range(n)])
    assert hidden_distance(torch.tensor(a), torch.tensor(b), MASK).item() == pytest.approx(hidden)
    c, d = rng.standard_normal((2, 2, 5, 4, 4))
    attention = np.mean(
        [
            (c[i, :, s, t] - d[i, :, s, t]) ** 2
            for i, n in enumerate((4, 2))
            for s in range(n)
            for t in range(n)
        ]
    )
    assert attention_distance(torch.tensor(c), torch.tensor(d), MASK).item() == pytest.approx(attention)


def test_an_encoder_matches_itself(tiny_bert):
    encoder, _ = load_encoder(tiny_bert, dtype=torch.float32)
    other, _ = load_encoder(tiny_bert, dtype=torch.float32)
    assert matching(encoder, encoder)(BATCH).item() == 0
    with torch.no_grad():
        other.encoder.layer[-1].attention.self.query.weight.mul_(1.5)
    seen, distance = observe(encoder, IDS, MASK), matching(other, encoder)(BATCH).item()
    moved = observe(other, IDS, MASK)
    expected = hidden_distance(moved.states[-1], seen.states[-1], MASK)
    expected = expected + attention_distance(moved.scores[-1], seen.scores[-1], MASK)
    assert distance == pytest.approx(expected.item(), rel=1e-5)


def test_the_first_stage_brings_the_layers_nearer_and_leaves_the_teacher(lesson, tiny_bert):
    teacher, tokens = TextClassifier.load(str(tiny_bert), lesson, SETTING, 0)
    student, _ = TextClassifier.load(str(tiny_bert), lesson, SETTING, 0, every_other=True)
    objective, before = matching(student.base, teacher.eval().base), teacher.state_dict()
    kept = {name: value.clone() for name, value in before.items()}
    student.eval()
    far = objective(BATCH).item()
    train_on_texts(student, objective, lesson, tokens, TrainingPlan(3, 0.003), seed=0, name="layers")
    student.eval()
    assert objective(BATCH).item() < 0.7 * far
    assert all(torch.equal(value, kept[name]) for name, value in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())


def test_it_learns_and_is_as_small_as_its_layers(lesson, unseen, tiny_bert):
    fitted = TinyBert(str(tiny_bert)).fit(lesson, SETTING, 0)
    assert (fitted.predict_proba(unseen.inputs).argmax(axis=1) == unseen.y).mean() > 0.85
    student, _ = TextClassifier.load(str(tiny_bert), lesson, SETTING, 0, every_other=True)
    assert fitted.n_parameters == sum(p.numel() for p in student.parameters())


def test_attention_of_another_kind_is_one_clear_line(tiny_llama):
    model, _ = load_causal_lm(tiny_llama, dtype=torch.float32)
    with pytest.raises(ConfigError, match="no attention like BERT's"):
        observe(model.base_model, IDS, MASK)

"""MiniLLM: its divergence and gradient by hand, the tokens that stand for classes, and that it learns."""

import math

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from qdllm.compare import Rows
from qdllm.compare.baselines import MiniLlm
from qdllm.compare.baselines.minillm import ReverseKl, _NextToken, _Prompts, class_tokens
from qdllm.errors import ConfigError
from qdllm.models import keep_layers, load_causal_lm

SETTING = {"alpha": 0.5, "learning_rate": 0.01, "epochs": 8, "max_tokens": 64}


def test_the_loss_of_three_rows_by_hand():
    logits = torch.tensor([[1.0, -1.0], [0.5, 0.0], [0.0, 2.0]])
    soft = torch.tensor([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]])
    labels = torch.tensor([0, 1, -1])
    student = logits.softmax(dim=1).tolist()
    divergences = [
        sum(q * math.log(q / p) for q, p in zip(q_row, p_row, strict=True))
        for q_row, p_row in zip(student, soft.tolist(), strict=True)
    ]
    entropies = [-math.log(student[0][0]), -math.log(student[1][1])]
    expected = (
        sum(0.7 * e + 0.3 * d for e, d in zip(entropies, divergences[:2], strict=True)) + divergences[2]
    )
    assert ReverseKl(0.3)(logits, labels, soft).item() == pytest.approx(expected / 3, rel=1e-5)
    assert ReverseKl(0.3)(logits, labels, None).item() == pytest.approx(sum(entropies) / 2, rel=1e-5)


def test_its_gradient_is_minillm_s_policy_gradient_in_expectation():
    """−E[(R − 1) ∇ log q(y)], R = log(p(y) / q(y)), the expectation over y from q taken as a sum."""
    logits = torch.tensor([[0.3, -1.2, 0.8]], dtype=torch.float64, requires_grad=True)
    p = torch.tensor([[0.2, 0.7, 0.1]], dtype=torch.float64)
    ReverseKl(1.0)(logits, torch.tensor([-1]), p).backward()
    log_q = logits.detach().log_softmax(dim=1)
    expected = torch.zeros(1, 3, dtype=torch.float64)
    for y in range(3):
        of_log_q = torch.eye(3, dtype=torch.float64)[y] - log_q.exp()
        expected -= log_q[0, y].exp() * (p[0, y].log() - log_q[0, y] - 1) * of_log_q
    torch.testing.assert_close(logits.grad, expected)


def test_classes_are_named_by_tokens_that_differ(tiny_tokenizer):
    first = [tiny_tokenizer(f" {name}")["input_ids"][0] for name in ("joy", "dull")]
    assert class_tokens(tiny_tokenizer, ["joy", "dull"]) == first
    with_space = class_tokens(_Words(), ["0", "1", "2"])
    assert with_space == [ord("A"), ord("B"), ord("C")]
    with pytest.raises(ConfigError, match="30 classes"):
        class_tokens(_Words(), [str(i) for i in range(30)])


class _Words:
    """A space of its own before a digit, as many tokenizers have it; letters up to Z."""

    def __call__(self, text, **options):
        character = text[1]
        return {
            "input_ids": [ord(character)]
            if character.isalpha() and character <= "Z"
            else [32, ord(character)]
        }


def test_a_long_text_is_cut_and_the_prompt_is_not(tiny_tokenizer):
    prompts = _Prompts(tiny_tokenizer, 40)
    short, long = prompts(["dull", "dull " * 99])
    assert tiny_tokenizer.decode(short) == "Text: dull\nCategory:"
    assert len(long) == 40
    assert long[-len(prompts.tail) :] == prompts.tail == short[-len(prompts.tail) :]
    assert tiny_tokenizer.decode(prompts([""])[0]).startswith("Text:")


def test_it_begins_as_the_language_model_cut_to_its_first_layers(lesson, tiny_llama):
    whole, tokenizer = load_causal_lm(tiny_llama, dtype=torch.float32)
    keep_layers(whole, [1, 2])
    tokens = class_tokens(tokenizer, ["joy", "dull"])
    ids = _Prompts(tokenizer, 64)(lesson.train.texts[:1])
    expected = whole(input_ids=torch.tensor(ids)).logits[:, -1, tokens]
    padded = torch.tensor([ids[0] + [0, 0]])
    mask = torch.tensor([[1] * len(ids[0]) + [0, 0]])
    torch.testing.assert_close(_NextToken(whole, tokens)(padded, mask), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kind", "alpha"), [("lesson", 0.5), ("unlabelled", 1.0), ("untaught", 0.5)])
def test_it_learns(kind, alpha, request, unseen, tiny_llama, tmp_path):
    contender = MiniLlm(str(tiny_llama), n_layers=2)
    fitted = contender.fit(request.getfixturevalue(kind), {**SETTING, "alpha": alpha}, 0)
    assert (fitted.predict_proba(unseen.inputs).argmax(axis=1) == unseen.y).mean() > 0.85
    width, inner, layers = 32, 48, 2
    layer = width * width * 2 + 2 * width * 16 + 3 * width * inner + 2 * width
    vocabulary = fitted.model.base.config.vocab_size * width
    assert fitted.n_trained == fitted.n_parameters == vocabulary + layers * layer + width + 2 * width
    fitted.save(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size > 4 * fitted.n_parameters


def test_the_seed_decides(lesson, tiny_llama):
    rows = Rows(("the plot is dull", "a joy"), np.zeros((2, 1), dtype=np.float32), np.full(2, -1))
    contender, setting = MiniLlm(str(tiny_llama), n_layers=1), {**SETTING, "epochs": 1}
    first, again, other = (contender.fit(lesson, setting, seed).predict_proba(rows) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)

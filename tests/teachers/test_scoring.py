"""Label scoring: equal to a plain forward pass over every text and label, one by one, without any cache."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("transformers")

from qdllm.models import load_causal_lm
from qdllm.teachers.scoring import AnswerScorer, prefix_free

TEXTS = ["A joy.", "two hours of my life are gone, and the plot is dull " * 3, "日本語", "x", ""]


@pytest.fixture(scope="module")
def loaded(tiny_llama: Path) -> tuple[Any, Any]:
    model, tokenizer = load_causal_lm(tiny_llama)
    return model.float().cpu(), tokenizer


def plainly(model: Any, prompt: list[int], answer: list[int]) -> float:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0]
    log_p = torch.log_softmax(logits.double(), dim=-1)
    return sum(float(log_p[len(prompt) - 1 + i, token]) for i, token in enumerate(answer))


@pytest.mark.parametrize("tokens_per_batch", [1, 64, 4096])
def test_equal_to_one_full_forward_pass_for_each_text_and_label(
    loaded: tuple[Any, Any], tokens_per_batch: int
) -> None:
    model, tokenizer = loaded

    def tokens(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    prefix, suffix = tokens("Label each text.\n\nText: very good\nLabel: fresh\n\nText: "), tokens("\nLabel:")
    answers = [tokens(" rotten to the core"), tokens(" very old"), [7]]
    assert [len(answer) > 1 for answer in answers] == [True, True, False]
    scorer = AnswerScorer(model, tokenizer, prefix, suffix, answers, 20, tokens_per_batch)
    expected = [[plainly(model, prefix + tokens(t)[:20] + suffix, a) for a in answers] for t in TEXTS]
    np.testing.assert_allclose(scorer(TEXTS), expected, atol=1e-4)
    np.testing.assert_allclose(
        scorer(TEXTS[::-1]), expected[::-1], atol=1e-4
    )  # the prefix's cache is as it was


def test_prefix_free_answers_share_at_most_all_probability(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    answers = [[token] for token in range(len(tokenizer))]
    scores = AnswerScorer(model, tokenizer, [5, 6], [8], answers, 20)(TEXTS[:2])
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, atol=1e-4)


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=3), min_size=1, max_size=5))
def test_prefix_free_means_that_no_answer_begins_with_another(answers: list[list[int]]) -> None:
    text = [",".join(map(str, answer)) + "," for answer in answers]
    clash = any(i != j and b.startswith(a) for i, a in enumerate(text) for j, b in enumerate(text))
    assert prefix_free(answers) is not clash

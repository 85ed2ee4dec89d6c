"""Scores of classes from tokens and from sampled answers."""

import math

import numpy as np
import pytest

from qdllm.teachers.endpoints.choices import score_logprobs, score_votes, vote


def position(**chances: float) -> tuple[bytes, dict[bytes, float]]:
    """The first is the one that was written."""
    tokens = {name.replace("_", " ").encode(): math.log(p) for name, p in chances.items()}
    return next(iter(tokens)), tokens


def proba(scores: np.ndarray) -> list[float]:
    return (np.exp(scores) / np.exp(scores).sum()).round(6).tolist()


def test_tokens_count_for_the_words_they_begin_whatever_their_case_and_spaces() -> None:
    scores = score_logprobs([position(_Sp=0.5, sport=0.1, biz=0.3, the=0.1)], ["sport", "bizarre"])
    np.testing.assert_allclose(np.exp(scores), [0.6, 0.3])


def test_words_that_begin_alike_are_told_apart_by_the_next_token() -> None:
    answer = [position(not_=0.8, yes=0.2), position(spam=0.75, ham=0.25)]
    scores = score_logprobs(answer, ["not ham", "not spam", "yes"])
    np.testing.assert_allclose(np.exp(scores), [0.2, 0.6, 0.2])


def test_an_alternative_that_leads_to_several_words_is_shared_among_them() -> None:
    scores = score_logprobs([position(yes=0.6, not_=0.4)], ["not ham", "not spam", "yes"])
    np.testing.assert_allclose(np.exp(scores), [0.2, 0.2, 0.6])


@pytest.mark.parametrize(("after", "expected"), [("_film", [0.9, 0.1]), ("_enough", [0.1, 0.9])])
def test_a_word_that_begins_another_waits_for_what_follows(after: str, expected: list[float]) -> None:
    other = "_enough" if after == "_film" else "_film"
    scores = score_logprobs(
        [position(good=1.0), position(**{after: 0.9, other: 0.1})], ["good", "good enough"]
    )
    np.testing.assert_allclose(np.exp(scores), expected)


def test_an_answer_that_ends_with_a_word_is_that_word() -> None:
    scores = score_logprobs([position(good=0.9, bad=0.1)], ["bad", "good", "good enough"])
    np.testing.assert_allclose(np.exp(scores), [0.1, 0.9, 0.1])  # the last: the least that was given


def test_tokens_may_end_inside_a_character() -> None:
    yes, no = "肯定".encode(), "否定".encode()
    answer = [(yes[:2], {yes[:2]: math.log(0.9), no: math.log(0.1)}), (yes[2:], {yes[2:]: 0.0})]
    np.testing.assert_allclose(np.exp(score_logprobs(answer, ["否定", "肯定"])), [0.1, 0.9])


@pytest.mark.parametrize("answer", [[], [position(perhaps=0.9, maybe=0.1)]])
def test_an_answer_without_a_class_prefers_none(answer: list) -> None:
    assert score_logprobs(answer, ["no", "yes"]).tolist() == [0, 0]


def test_samples_are_counted_with_half_an_answer_ahead() -> None:
    answers = ["Yes.", "yes", '"no"', "The answer is yes!", "yes or no?", "I do not know", "nothing"]
    votes = sum(vote(answer, ["no", "yes"]) for answer in answers)
    assert proba(score_votes(votes)) == [round(1.5 / 6, 6), round(4.5 / 6, 6)]

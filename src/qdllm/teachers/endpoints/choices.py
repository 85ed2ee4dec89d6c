"""From what a model answered to a score for each class.

The answer is constrained to the classes on this side, so that no server needs an extension of its own: a
token counts for the classes whose words it begins, everything else is left out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Position", "score_logprobs", "score_votes", "vote"]

Position = tuple[bytes, Mapping[bytes, float]]
"""The token that was written, and the log-probabilities of it and of its alternatives; a token may end inside
a character."""

_PSEUDO_COUNT = (
    0.5  # of each class: Krichevsky and Trofimov's, so that no class is impossible after few samples
)
_QUOTES = " \t\r\n\"'`*"


def score_logprobs(positions: Sequence[Position], words: Sequence[str]) -> NDArray[np.float64]:
    """Return the log-probability that the answer is each of the words.

    The written tokens are one path through the answers; at each position an alternative leaves it. Words that
    still begin alike there share the alternative's probability; words that begin like the written token are
    told apart by the next position.

    Parameters
    ----------
    positions : sequence of Position
        From the answer's first token.
    words : sequence of str, length C
        No two equal but for case.

    Returns
    -------
    ndarray, shape (C,)
        Up to a constant; a word that no token begins has the least log-probability that was given. All equal
        where the answer names no class.
    """
    spelled = [word.casefold() for word in words]
    scores = np.full(len(words), -np.inf)
    path, log_path = b"", 0.0
    for written, alternatives in positions:
        for token, log_p in alternatives.items():
            begun = _clean(path + token)
            if begun and token != written:
                _share(scores, _fitting(begun, spelled), log_path + log_p)
        path, log_path = path + written, log_path + alternatives.get(written, 0.0)
        if len(_fitting(_clean(path), spelled)) < 2:
            break
    if answer := _clean(path):
        whole = [i for i, word in enumerate(spelled) if word == answer]
        _share(scores, whole or _fitting(answer, spelled), log_path)
    if not np.isfinite(scores).any():
        return np.zeros(len(words))
    known = [log_p for _, alternatives in positions for log_p in alternatives.values()]
    floor = min(*known, scores[np.isfinite(scores)].min())
    return np.where(np.isfinite(scores), scores, floor).astype(np.float64)


def vote(answer: str, words: Sequence[str]) -> NDArray[np.float64]:
    """Return which of the words a sampled answer names: 1 there and 0 elsewhere, shape (C,).

    All 0 where it names none, or more than one.
    """
    named = _named(answer, [word.casefold() for word in words])
    return np.array([float(i == named) for i in range(len(words))])


def score_votes(votes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log of each word's share of the votes, each word half a vote ahead.

    Parameters
    ----------
    votes : ndarray, shape (…, C)
        How often each word was named.

    Returns
    -------
    ndarray, shape (…, C)
    """
    counts = votes + _PSEUDO_COUNT
    return np.asarray(np.log(counts / counts.sum(axis=-1, keepdims=True)))


def _clean(answer: bytes) -> str:
    """Return an answer so far in small letters, without quotes and spaces before it."""
    return answer.decode(errors="ignore").casefold().lstrip(_QUOTES)


def _fitting(begun: str, spelled: Sequence[str]) -> list[int]:
    """Return the words that the beginning of an answer may become, or has become."""
    longer = [i for i, word in enumerate(spelled) if word.startswith(begun)]
    if longer:
        return longer
    ended = [i for i, word in enumerate(spelled) if _begins(begun, word)]
    return [max(ended, key=lambda i: len(spelled[i]))] if ended else []


def _begins(text: str, word: str) -> bool:
    return text.startswith(word) and not text[len(word) : len(word) + 1].isalnum()


def _named(answer: str, spelled: Sequence[str]) -> int | None:
    """Return the one word that an answer begins with, or else the only one that it holds."""
    text = _clean(answer.encode())
    ended = [i for i, word in enumerate(spelled) if _begins(text, word)]
    if ended:
        return max(ended, key=lambda i: len(spelled[i]))
    held = [i for i, word in enumerate(spelled) if _holds(text, word)]
    return held[0] if len(held) == 1 else None


def _holds(text: str, word: str) -> bool:
    place = text.find(word)
    while place >= 0:
        if not text[place - 1 : place].isalnum() and _begins(text[place:], word):
            return True
        place = text.find(word, place + 1)
    return False


def _share(scores: NDArray[np.float64], fitting: Sequence[int], log_p: float) -> None:
    """Add a probability to the words that it may belong to, in equal parts."""
    for i in fitting:
        scores[i] = np.logaddexp(scores[i], log_p - np.log(len(fitting)))

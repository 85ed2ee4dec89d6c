"""The n-grams of texts as 64-bit hashes: whole batches at a time, the same on every machine.

A text is normalised, cut into tokens, and every n-gram of tokens becomes one number. No vocabulary is
needed, and nothing depends on Python's own `hash`, on the byte order or on a library's version beyond
Unicode's tables of lower case and compatibility forms.

A token is a run of letters and digits, one punctuation mark or symbol, or one character of a script that is
written without spaces, so that pairs and triples of tokens are character n-grams there. A text is

- each token,
- each pair and each triple of neighbours, where the text's two ends count as tokens,
- each pair with any one token between them,
- the first five characters of each longer word, for its inflections.
"""

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.encoders.tfidf import normalise_text
from qdllm.simulate.kernel import load_kernel

__all__ = ["Hashes", "constants", "count_slots", "hash_ngrams", "place"]

Hashes = NDArray[np.uint64]

_PREFIX = 5  # letters that stand for a longer word too
_CHUNK = 1 << 16  # characters hashed at once: what is made of them stays in the processor's cache

_SPACE, _WORD, _SINGLE = 0, 1, 2
# Code points that are no part of a word, NFKC and lower case taken for granted; the last ones are all that
# lies beyond the basic plane: rare ideographs and pictographs.
_SINGLES = (
    *((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E), (0xA1, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7)),
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF)),  # Thai, Lao, Myanmar, Khmer
    *((0x2010, 0x2027), (0x2030, 0x205E), (0x2070, 0x2BFF), (0x2E00, 0x2E7F)),  # punctuation, symbols
    *((0x2E80, 0x2FFF), (0x3001, 0xA4CF), (0xF900, 0xFAFF), (0xFE30, 0xFFEF), (0xFFFF, 0xFFFF)),  # CJK
)
_SPACES = ((0x00, 0x20), (0x7F, 0xA0), (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F), (0x3000, 0x3000))

# Odd numbers without structure: the base of the polynomial of a token, and what tells kinds of n-grams apart.
_BASE = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0x9FB21C651E98DF25), np.uint64(0xA24BAED4963EE407)
_AROUND, _BEGINS = np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_START, _END = np.uint64(0x27D4EB2F165667C5), np.uint64(0x85EBCA77C2B2AE63)
_NUMBERS = {
    "base": int(_BASE),
    "first": int(_FIRST),
    "second": int(_SECOND),
    "around": int(_AROUND),
    "begins": int(_BEGINS),
    "start": int(_START),
    "end": int(_END),
}


def hash_ngrams(texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], Hashes]]:
    """Yield the n-grams of texts, several texts at a time.

    Parameters
    ----------
    texts : sequence of str

    Yields
    ------
    rows : ndarray of int64, shape (m,)
        Which text each n-gram is of. All n-grams of a text come together, in no order of note.
    hashes : ndarray of uint64, shape (m,)
        Equal for equal n-grams; an n-gram that a text holds twice is there twice.
    """
    for start, characters, lengths in _chunks(texts):
        rows, hashes = _hash_chunk(characters, lengths)
        yield rows + start, hashes


def place(hashes: Hashes, bits: int) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Return each n-gram's slot, its hash's first bits, and its signature, the last 16, but never 0."""
    slots = (hashes >> np.uint64(64 - bits)).astype(np.int64)
    return slots, np.maximum(hashes.astype(np.uint16), 1)


def count_slots(
    texts: Sequence[str], signatures: NDArray[np.uint16], *, compiled: bool = True
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Count the n-grams of texts that have a slot: a sparse matrix by rows.

    Parameters
    ----------
    texts : sequence of str, length n
    signatures : ndarray of uint16, shape (2 ** bits,)
        Of the n-gram that owns a slot; 0 where none does.
    compiled : bool
        Count in the kernel where it is built, not in NumPy.

    Returns
    -------
    ends : ndarray of int, shape (n + 1,)
        The entries of text i stand from ``ends[i]`` to ``ends[i + 1]``.
    slots : ndarray of int, shape (ends[-1],)
        Ascending within a text.
    counts : ndarray of int, shape (ends[-1],)
        At least 1.
    """
    counter = _counter() if compiled else None
    ends: list[NDArray[Any]] = [np.zeros(1, np.int64)]
    slots: list[NDArray[Any]] = [np.zeros(0, np.int32)]
    counts: list[NDArray[Any]] = [np.zeros(0, np.int32)]
    for _, characters, lengths in _chunks(texts):
        found = (
            _count(characters, lengths, signatures)
            if counter is None
            else counter.count(characters, lengths, signatures)
        )
        ends.append(found[0][1:] + ends[-1][-1])
        slots.append(found[1])
        counts.append(found[2])
    return np.concatenate(ends), np.concatenate(slots), np.concatenate(counts)


def constants() -> dict[str, Any]:
    """Return as JSON values what another program needs to make the same hashes."""
    return {
        **_NUMBERS,
        "prefix": _PREFIX,
        "ranges": {str(_SINGLE): _SINGLES, str(_SPACE): _SPACES},
    }


def _chunks(texts: Sequence[str]) -> Iterator[tuple[int, NDArray[np.uint32], NDArray[np.int64]]]:
    """Yield which text comes first, the characters of some texts, a space behind each, and their lengths."""
    start = 0
    while start < len(texts):
        end, size = start, 0
        while end < len(texts) and size < _CHUNK:
            size += len(texts[end])
            end += 1
        written = [normalise_text(text) for text in texts[start:end]]
        characters = np.frombuffer(" ".join([*written, ""]).encode("utf-32-le"), dtype="<u4")
        lengths = np.fromiter((len(text) + 1 for text in written), dtype=np.int64, count=len(written))
        yield start, characters, lengths
        start = end


@cache
def _counter() -> Any:
    """Return what counts in the kernel, or None where it is not built."""
    kernel = load_kernel()
    if kernel is None:
        return None
    return kernel.NgramCounter(_KINDS.tolist(), prefix=_PREFIX, **_NUMBERS)


def _count(
    characters: NDArray[np.uint32], lengths: NDArray[np.int64], signatures: NDArray[np.uint16]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count as the kernel does."""
    bits = len(signatures).bit_length() - 1
    rows, hashes = _hash_chunk(characters, lengths)
    slots, signs = place(hashes, bits)
    known = signatures[slots] == signs
    keys, counts = np.unique((rows[known] << bits) + slots[known], return_counts=True)
    ends = np.searchsorted(keys, np.arange(len(lengths) + 1) << bits)
    return ends, keys & (len(signatures) - 1), counts


def _hash_chunk(
    characters: NDArray[np.uint32], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Hashes]:
    starts, ends, words = _tokens(characters)
    span = _Polynomial(characters)
    tokens = _mix(span(starts, ends))
    rows = np.searchsorted(np.cumsum(lengths), starts, side="right")

    # The same tokens with two more a text, its ends, which belong to no single but to pairs and triples.
    counts = np.bincount(rows, minlength=len(lengths)) + 2
    framed = np.empty(counts.sum(), dtype=np.uint64)
    framed[np.arange(len(tokens)) + 2 * rows + 1] = tokens
    last = np.cumsum(counts) - 1
    framed[last - counts + 1], framed[last] = _START, _END
    owner = np.repeat(np.arange(len(lengths)), counts)
    twos = np.flatnonzero(owner[1:] == owner[:-1])
    threes = np.flatnonzero(owner[2:] == owner[:-2])

    pairs = framed[:-1] * _FIRST + framed[1:]
    triples = pairs[:-1] * _SECOND + framed[2:]
    around = framed[:-2] * _AROUND + framed[2:]
    long = np.flatnonzero(words & (ends - starts > _PREFIX))
    prefixes = span(starts[long], starts[long] + _PREFIX) * _BEGINS
    hashes = _mix(np.concatenate([pairs[twos], triples[threes], around[threes], prefixes]))
    return (
        np.concatenate([rows, owner[twos], owner[threes], owner[threes], rows[long]]),
        np.concatenate([tokens, hashes]),
    )


def _tokens(
    characters: NDArray[np.uint32],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return where each token starts and ends, and which are words; the last character is a space."""
    kind = _KINDS[np.minimum(characters, 0xFFFF)]
    word = kind == _WORD
    begins = word.copy()
    begins[1:] &= ~word[:-1]
    starts = np.flatnonzero(begins | (kind == _SINGLE))
    words = word[starts]
    ends = starts + 1
    ends[words] = np.flatnonzero(word[:-1] & ~word[1:]) + 1
    return starts, ends, words


class _Polynomial:
    """Σ cᵢ bⁱ mod 2⁶⁴ of any span of characters, i counted from its start, by prefix sums."""

    def __init__(self, characters: NDArray[np.uint32]) -> None:
        powers, self._shift = _powers(len(characters))
        self._sums = np.zeros(len(characters) + 1, dtype=np.uint64)
        np.cumsum(characters * powers, out=self._sums[1:])

    def __call__(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Hashes:
        return (self._sums[ends] - self._sums[starts]) * self._shift[starts]


def _powers(count: int) -> tuple[Hashes, Hashes]:
    """Return bⁱ and b⁻ⁱ mod 2⁶⁴ for i below `count`."""
    powers, inverses = _more_powers(max(count, 2 * _CHUNK).bit_length())
    return powers[:count], inverses[:count]


@lru_cache(maxsize=2)
def _more_powers(bits: int) -> tuple[Hashes, Hashes]:
    factors = np.empty((2, 2**bits), dtype=np.uint64)
    factors[0], factors[1] = _BASE, pow(int(_BASE), -1, 2**64)
    factors[:, 0] = 1
    powers, inverses = np.cumprod(factors, axis=1)
    return powers, inverses


def _mix(values: Hashes) -> Hashes:
    """Spread every bit over all bits: the end of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _kinds() -> NDArray[np.uint8]:
    kinds = np.full(0x10000, _WORD, dtype=np.uint8)
    for ranges, kind in ((_SINGLES, _SINGLE), (_SPACES, _SPACE)):
        for first, last in ranges:
            kinds[first : last + 1] = kind
    return kinds


_KINDS = _kinds()

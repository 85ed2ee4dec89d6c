import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdllm.encoders import normalise_text
from qdllm.encoders.hashing import count_slots, hash_ngrams, place
from qdllm.simulate.kernel import load_kernel

TEXTS = ["Good films!", "日本の film", "naïve full\u3000width", "?", "🙂🙂 a"]
PRINT = """
import sys
from qdllm.encoders.hashing import hash_ngrams
for rows, hashes in hash_ngrams(sys.argv[1:]):
    print(sorted(zip(rows.tolist(), hashes.tolist())))
"""

ALPHABET = st.sampled_from("abcdeéßжΩ019 \n\t.,!?_-'’“\u3000。日本かカ한ไท🙂")
ANY = st.characters(exclude_categories=["Cs"])


def bags(texts):
    found = [Counter() for _ in texts]
    for rows, hashes in hash_ngrams(texts):
        for row, value in zip(rows.tolist(), hashes.tolist(), strict=True):
            found[row][value] += 1
    return found


def mix(value):
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) % 2**64
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) % 2**64
    return value ^ value >> 31


def polynomial(word):
    return sum(ord(c) * pow(0x9E3779B97F4A7C15, i, 2**64) for i, c in enumerate(word)) % 2**64


def n_grams_by_definition(words):
    """The hashes of a text of these words, one whole number at a time."""
    ones = [mix(polynomial(word)) for word in words]
    framed = [0x27D4EB2F165667C5, *ones, 0x85EBCA77C2B2AE63]
    pairs = [(a * 0x9FB21C651E98DF25 + b) % 2**64 for a, b in pairwise(framed)]
    triples = [p * 0xA24BAED4963EE407 + c for p, c in zip(pairs, framed[2:], strict=False)]
    around = [a * 0xC2B2AE3D27D4EB4F + c for a, c in zip(framed, framed[2:], strict=False)]
    begins = [polynomial(word[:5]) * 0x165667B19E3779F9 for word in words if len(word) > 5]
    return Counter(ones + [mix(value % 2**64) for value in [*pairs, *triples, *around, *begins]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Good films!", ["good", "films", "!"]),
        ("don't re-do it_2", ["don", "'", "t", "re", "-", "do", "it", "_", "2"]),
        ("“quoted”—so", ["“", "quoted", "”", "—", "so"]),
        ("日本語のfilm。", ["日", "本", "語", "の", "film", "。"]),
        ("\uff26\uff55ll\u3000ｶﾞｿﾘﾝ", ["full", "ガ", "ソ", "リ", "ン"]),
        ("ÉTÉ naïve straße", ["été", "naïve", "straße"]),
        ("한국어 영화", ["한국어", "영화"]),
        ("ไทย", ["ไ", "ท", "ย"]),
        ("tab\there\nand\u2028there", ["tab", "here", "and", "there"]),
        ("ok🙂🙂 𠮷", ["ok", "🙂", "🙂", "𠮷"]),
        ("a\u200bb", ["a", "b"]),
    ],
)
def test_a_text_is_the_n_grams_of_its_words(text, words):
    assert bags([text]) == [n_grams_by_definition(words)]


@given(st.lists(st.text(st.sampled_from("abcdeféж0"), min_size=1, max_size=9), max_size=12))
def test_n_grams_are_those_of_the_definition(words):
    assert bags([" ".join(words)]) == [n_grams_by_definition(words)]


@given(st.lists(st.text(ALPHABET | ANY, max_size=40), max_size=8))
def test_a_text_has_the_same_n_grams_in_any_company(texts):
    assert bags(texts) == [bags([text])[0] for text in texts]


@given(st.text(ALPHABET | ANY, max_size=40))
def test_case_and_compatibility_forms_say_nothing(text):
    normal = normalise_text(text)
    if normalise_text(normal) == normal:  # a few characters are only settled by the second time
        assert bags([text]) == bags([normal])


def test_many_long_texts_are_taken_several_at_a_time():
    texts = [f"{'word ' * 5000}{i}" for i in range(20)]
    assert len(list(hash_ngrams(texts))) > 1
    assert bags(texts)[7] == bags([texts[7]])[0]
    assert list(hash_ngrams([])) == []


def test_another_process_with_another_hash_seed_gives_the_same():
    """And so does any machine: the numbers are in files that were saved."""
    said = []
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", PRINT, *TEXTS]
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        said.append(run.stdout)
    assert said[0] == said[1]
    here = [(row, value) for row, bag in enumerate(bags(TEXTS)) for value in bag.elements()]
    assert said[0].strip() == str(sorted(here))


def owned(texts, bits):
    """The table in which some n-gram of these texts owns each slot, and which hash that is."""
    hashes = np.unique(np.concatenate([np.zeros(0, np.uint64), *(found for _, found in hash_ngrams(texts))]))
    slots, signatures = place(hashes, bits)
    table = np.zeros(2**bits, np.uint16)
    table[slots] = signatures
    return table


@pytest.mark.parametrize("compiled", [pytest.param(True, id="kernel"), pytest.param(False, id="numpy")])
@given(
    texts=st.lists(st.text(ALPHABET | ANY, max_size=60) | st.just("a few words. " * 40), max_size=6),
    known=st.lists(st.text(ALPHABET, max_size=60), max_size=6),
    bits=st.integers(1, 17),
)
def test_slots_are_counted_by_definition(compiled, texts, known, bits):
    if compiled and load_kernel() is None:
        pytest.skip("the kernel is not built")
    table = owned([*texts[::2], *known], bits)
    ends, slots, counts = count_slots(texts, table, compiled=compiled)
    assert len(ends) == len(texts) + 1
    for row, bag in enumerate(bags(texts)):
        expected = Counter()
        for value, times in bag.items():
            slot, signature = value >> (64 - bits), max(value & 0xFFFF, 1)
            if table[slot] == signature:
                expected[slot] += times
        part = slice(ends[row], ends[row + 1])
        assert list(zip(slots[part].tolist(), counts[part].tolist(), strict=True)) == sorted(expected.items())

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from qdllm.encoders import NgramEncoder, load_encoder, make_encoder
from qdllm.encoders.hashing import hash_ngrams
from qdllm.errors import ConfigError, DataError, SavedModelError

TEXTS = [
    "a good film, a good film",
    "a good play",
    "the bad film",
    "the bad play of the year",
    "the year of film",
]


def fitted(texts=TEXTS, **options):
    return NgramEncoder(**options).fit(texts)


def trained(dim=3, seed=0):
    encoder = fitted()
    table = np.random.default_rng(seed).normal(size=(encoder.n_slots, dim)).astype(np.float32)
    encoder.take(table)
    return encoder, table


def test_a_bag_holds_every_n_gram_that_has_a_slot_once_with_its_frequency():
    encoder = fitted()
    counts = [np.unique(hashes, return_counts=True) for text in TEXTS for _, hashes in hash_ngrams([text])]
    everywhere = np.concatenate([hashes for hashes, _ in counts])
    assert encoder.n_slots == 64
    for row, (hashes, tf) in zip(encoder.bags(TEXTS).toarray(), counts, strict=True):
        known = {}
        for value, n in zip(hashes, tf, strict=True):
            slot = int(value) >> 58
            if encoder._signatures[slot] == int(value) % 2**16:
                assert (everywhere == value).sum() > 1
                known[slot] = 1 + np.log(n)
        assert len(known) > 5
        expected = np.zeros(64)
        expected[list(known)] = np.array(list(known.values())) / np.sqrt(len(known))
        np.testing.assert_allclose(row, expected, rtol=1e-6)


def test_what_training_has_not_seen_says_nothing():
    encoder, _ = trained()
    assert not encoder.encode(["全く 別の 文章", "!!", "unheard words"]).any()
    alone = encoder.encode(["good"])
    assert alone.any()
    np.testing.assert_array_equal(encoder.bags(["good zebra"]).indices, encoder.bags(["good"]).indices)


def test_a_slot_belongs_to_its_most_frequent_n_gram():
    texts = [f"common rare{i % 3} word{i % 5} other{i % 7} thing{i % 11}" for i in range(60)]
    small, large = fitted(texts, max_bits=3), fitted(texts)
    assert small.n_slots == 8 < large.n_slots
    frequency = {}
    for rows, hashes in hash_ngrams(texts):
        for value in np.unique(hashes):
            frequency[int(value)] = len(np.unique(rows[hashes == value]))
    for slot in range(8):
        there = {h: n for h, n in frequency.items() if h >> 61 == slot and n > 1}
        owner = int(small._signatures[slot])
        assert max(there.values()) == max((n for h, n in there.items() if h % 2**16 == owner), default=0)


def test_what_stands_in_fewer_texts_weighs_more():
    texts = [f"common {'seldom' if i % 10 == 0 else ''}" for i in range(40)]
    encoder = fitted(texts)
    ratio = encoder.weighted_bags(texts).data / encoder.bags(texts).data
    assert ratio.min() == pytest.approx(1 + np.log(41 / 41))
    assert ratio.max() == pytest.approx(1 + np.log(41 / 5))


def test_eight_bits_are_near_what_was_trained():
    encoder, table = trained()
    exact = np.asarray(encoder.bags(TEXTS) @ table)
    assert np.abs(encoder.encode(TEXTS) - exact).max() < 0.02
    assert encoder.dim == 3
    assert encoder.n_parameters == encoder.n_slots * 4 + 3
    assert 0 < encoder.n_trained <= encoder.n_slots * 3


def test_a_column_of_zeros_stays_so():
    encoder, table = trained()
    table[:, 1] = 0
    encoder.take(table)
    assert not encoder.encode(TEXTS)[:, 1].any()


@given(st.lists(st.text(st.sampled_from("abc de.日"), max_size=30), min_size=1, max_size=9))
def test_features_of_a_text_do_not_depend_on_the_others(texts):
    encoder, _ = trained()
    texts = [f"good {text}" for text in texts]
    together = encoder.encode(texts)
    apart = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_array_equal(together, apart)


def test_fitting_and_training_again_forgets():
    encoder, _ = trained()
    before = encoder.fingerprint
    encoder.fit(["other texts", "other texts too"])
    with pytest.raises(ConfigError, match="together with a student"):
        encoder.encode(["other"])
    again, _ = trained()
    assert again.fingerprint == before
    assert trained(seed=1)[0].fingerprint != before


def test_a_single_text_can_be_fitted_on():
    encoder = fitted(["one text"])
    assert encoder.bags(["one text"]).nnz > 3


def test_it_has_no_features_before_it_is_trained(tmp_path):
    encoder = make_encoder("ngrams")
    with pytest.raises(ConfigError, match="not fitted"):
        encoder.bags(TEXTS)
    encoder.fit(TEXTS)
    for use in (lambda: encoder.encode(TEXTS), lambda: encoder.dim, lambda: encoder.save(tmp_path / "e")):
        with pytest.raises(ConfigError, match=r"qdllm distill.*TextStudent"):
            use()
    assert not list(tmp_path.iterdir())


def test_a_loaded_one_cannot_be_trained_on(tmp_path):
    encoder, _ = trained()
    encoder.save(tmp_path / "e")
    with pytest.raises(ConfigError, match="not fitted here"):
        load_encoder(tmp_path / "e").weighted_bags(TEXTS)


@pytest.mark.parametrize("bits", [0, 25])
def test_a_table_has_its_limits(bits):
    with pytest.raises(ConfigError, match="2\\^1 to 2\\^24"):
        NgramEncoder(max_bits=bits)


def test_texts_are_checked():
    encoder, _ = trained()
    with pytest.raises(DataError):
        encoder.encode("one text")
    with pytest.raises(DataError):
        fitted([])


def test_saved_and_loaded_without_torch_it_gives_the_same(tmp_path):
    encoder, _ = trained()
    encoder.save(tmp_path / "e")
    assert {file.name for file in (tmp_path / "e").iterdir()} == {"config.json", "weights.safetensors"}
    code = (
        "import sys, numpy as np; from qdllm.encoders import load_encoder\n"
        "encoder = load_encoder(sys.argv[1]); np.save(sys.argv[2], encoder.encode(sys.argv[3:]))\n"
        "print(encoder.name, encoder.fingerprint, 'torch' in sys.modules or 'transformers' in sys.modules)"
    )
    command = [sys.executable, "-c", code, tmp_path / "e", tmp_path / "x.npy", *TEXTS]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["ngrams", encoder.fingerprint, "False"]
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), encoder.encode(TEXTS))


def _altered(file):
    weights = load_file(file)
    weights["vectors"][3, 0] += 1
    save_file(weights, file)


def _shorter(file):
    weights = load_file(file)
    save_file({**weights, "signatures": weights["signatures"][:-2]}, file)


def _without_scale(file):
    weights = load_file(file)
    save_file({"signatures": weights["signatures"], "vectors": weights["vectors"]}, file)


@pytest.mark.parametrize(
    "harm", [_altered, _shorter, _without_scale, Path.unlink, lambda file: file.write_bytes(b"x")]
)
def test_a_damaged_one_is_refused(harm: Callable[[Path], object], tmp_path):
    trained()[0].save(tmp_path / "e")
    harm(tmp_path / "e" / "weights.safetensors")
    with pytest.raises(SavedModelError, match="save it again"):
        load_encoder(tmp_path / "e")


def test_altered_settings_are_refused(tmp_path):
    trained()[0].save(tmp_path / "e")
    config = json.loads((tmp_path / "e" / "config.json").read_text())
    for options in ({"max_bits": 12}, {"max_bits": 99}, {"other": 1}):
        (tmp_path / "e" / "config.json").write_text(json.dumps({**config, "options": options}))
        with pytest.raises(SavedModelError, match="save it again"):
            load_encoder(tmp_path / "e")

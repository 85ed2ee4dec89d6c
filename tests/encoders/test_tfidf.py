import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression

from qdllm.data import read_dataset
from qdllm.encoders import TfidfEncoder, load_encoder, normalise_text
from qdllm.errors import ConfigError, DataError, SavedModelError

TEXTS = [
    "The bank raised its rates and shares fell.",
    "A late goal won the match.",
    "Profit rose; the bank's shares followed.",
    "The coach praised the team after the match.",
]
FINANCE = [
    "日本銀行は政策金利を据え置いた。",
    "円安が進み、輸出企業の株価が上がった。",
    "東京株式市場で日経平均株価は続落した。",
    "銀行は住宅ローンの金利を引き上げる。",
    "国債の利回りが上昇し、円相場は下落した。",
    "決算発表を受けて株価は急落した。",
    "政府は景気対策として減税を検討している。",
    "外国為替市場で円が買われた。",
    "企業の設備投資は三期連続で増加した。",
    "金融政策決定会合で利上げが見送られた。",
    "投資家は米国の金利動向を注視している。",
    "株式相場は反発し、売買代金も増えた。",
]
BASEBALL = [
    "投手は九回を無失点に抑えて勝利した。",
    "四番打者が逆転の本塁打を放った。",
    "甲子園の決勝で延長の末に優勝した。",
    "監督は先発投手の交代を告げた。",
    "チームは三連敗で首位から陥落した。",
    "内野手の失策で試合の流れが変わった。",
    "新人の打者が初安打を記録した。",
    "試合は雨のため七回で打ち切られた。",
    "捕手が盗塁を刺してピンチを脱した。",
    "球団は外国人投手の獲得を発表した。",
    "打線がつながり、五点を奪って逆転勝ちした。",
    "優勝を決めた選手たちが監督を胴上げした。",
]


def test_rows_have_length_one() -> None:
    encoder = TfidfEncoder(dim=3).fit(TEXTS)
    x = encoder.encode([*TEXTS, "Ωψ"])
    assert x.dtype == np.float32
    assert x.shape == (5, encoder.dim) == (5, 3)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)


def test_the_seed_and_the_texts_decide_everything() -> None:
    first, second = (TfidfEncoder(dim=3, seed=5).fit(TEXTS) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(first.encode(TEXTS), second.encode(TEXTS))
    assert TfidfEncoder(dim=3, seed=5).fit(TEXTS[:3]).fingerprint != first.fingerprint


def test_only_fitted_texts_give_features() -> None:
    """What is encoded leaves no trace: validation and test rows cannot leak in."""
    encoder = TfidfEncoder(dim=3).fit(TEXTS)
    before = encoder.fingerprint
    encoder.encode(["an unseen text about nothing at all"])
    assert encoder.fingerprint == before


def test_each_text_is_encoded_on_its_own() -> None:
    encoder = TfidfEncoder(dim=4).fit(TEXTS)
    together = encoder.encode(TEXTS)
    for i, text in enumerate(TEXTS):
        np.testing.assert_array_equal(encoder.encode([text])[0], together[i])


def test_dimensions_that_no_text_spans_are_left_out() -> None:
    encoder = TfidfEncoder(dim=256).fit(["same words", "words, other", "same words"])
    assert encoder.dim == 2


def test_texts_without_a_letter_can_be_fitted() -> None:
    x = TfidfEncoder().fit(["!!", "??", "!?"]).encode(["!!", "??"])
    assert np.isfinite(x).all()
    assert not np.allclose(x[0], x[1])


def test_full_width_half_width_and_case_are_one() -> None:
    encoder = TfidfEncoder(dim=4).fit([*TEXTS, "ガソリンの値段", "ABC 123"])
    for a, b in [("ガソリン", "ガソリン"), ("ABC 123", "abc 123")]:
        np.testing.assert_array_equal(encoder.encode([a]), encoder.encode([b]))


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise_text(text)
    assert unicodedata.normalize("NFKC", once.lower()) == normalise_text(once)


def test_japanese_topics_are_told_apart(tmp_path: Path) -> None:
    """Read from a cp932 file, as such data often comes; no spaces between words."""
    rows = [*[(text, "finance") for text in FINANCE], *[(text, "baseball") for text in BASEBALL]]
    file = tmp_path / "topics.csv"
    file.write_text("text,label\n" + "".join(f"{t},{y}\n" for t, y in rows), encoding="cp932")
    data = read_dataset(file, encoding="cp932")
    labels = np.array(data.labels)
    held_back = np.arange(len(data)) % 4 == 3
    train = [t for t, out in zip(data.texts, held_back, strict=True) if not out]
    encoder = TfidfEncoder().fit(train)
    x = encoder.encode(data.texts)
    accuracy = (
        LogisticRegression().fit(x[~held_back], labels[~held_back]).score(x[held_back], labels[held_back])
    )
    assert accuracy == 1.0


def test_an_unfitted_encoder_says_what_to_do(tmp_path: Path) -> None:
    encoder = TfidfEncoder()
    for use in (lambda: encoder.encode(TEXTS), lambda: encoder.dim, lambda: encoder.save(tmp_path / "e")):
        with pytest.raises(ConfigError, match="call fit with the training texts"):
            use()
    assert not (tmp_path / "e").exists()


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 feature"):
        TfidfEncoder(dim=0)
    with pytest.raises(DataError, match="no texts to fit on"):
        TfidfEncoder().fit([])
    with pytest.raises(DataError, match="texts: row 2"):
        TfidfEncoder().fit(["good", "  "])
    with pytest.raises(DataError, match="single string"):
        TfidfEncoder().fit(TEXTS).encode("a text")


def test_nothing_in_gives_nothing_out() -> None:
    assert TfidfEncoder(dim=2).fit(TEXTS).encode([]).shape == (0, 2)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    TfidfEncoder(dim=3).fit(TEXTS).save(tmp_path / "encoder")
    return tmp_path / "encoder"


def test_a_changed_number_is_noticed(saved: Path) -> None:
    weights = load_file(saved / "weights.safetensors")
    weights["projection"][0, 0] += 1e-6
    save_file(weights, saved / "weights.safetensors")
    with pytest.raises(SavedModelError, match="altered"):
        load_encoder(saved)


def test_a_truncated_file_is_noticed(saved: Path) -> None:
    content = (saved / "weights.safetensors").read_bytes()
    (saved / "weights.safetensors").write_bytes(content[:-10])
    with pytest.raises(SavedModelError, match="cannot be read"):
        load_encoder(saved)


@pytest.mark.parametrize("file", ["config.json", "vocabulary.json", "weights.safetensors"])
def test_a_missing_file_is_noticed(saved: Path, file: str) -> None:
    (saved / file).unlink()
    with pytest.raises(SavedModelError):
        load_encoder(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda vocabulary: {},
        lambda vocabulary: [],
        lambda vocabulary: {"words": vocabulary["words"]},
        lambda vocabulary: vocabulary | {"characters": vocabulary["characters"][:-1]},
        lambda vocabulary: vocabulary | {"characters": [1, *vocabulary["characters"][1:]]},
        lambda vocabulary: {"other": vocabulary["words"], "characters": vocabulary["characters"]},
    ],
)
def test_a_changed_vocabulary_is_noticed(saved: Path, change) -> None:  # type: ignore[no-untyped-def]
    file = saved / "vocabulary.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(SavedModelError):
        load_encoder(saved)


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=60))
def test_no_config_leads_to_another_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("encoder")
    (folder / "config.json").write_bytes(content)
    with pytest.raises(SavedModelError):
        load_encoder(folder)

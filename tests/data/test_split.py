from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qdllm.data import Split, TextDataset, split_dataset
from qdllm.errors import ConfigError, DataError

PARTS = ("train", "validation", "test")


def make(labels: list[str | None], groups: list[str] | None = None) -> TextDataset:
    return TextDataset.from_lists([f"text {i}" for i in range(len(labels))], labels, groups)


def count(data: TextDataset, split: Split, part: str) -> Counter[str | None]:
    return Counter((data.labels or ())[i] for i in split.indices(part))  # type: ignore[arg-type]


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(2, 60), min_size=2), st.integers(0, 2**32))
def test_each_class_has_its_share_to_a_row(sizes: dict[str, int], seed: int) -> None:
    data = make([label for label, n in sizes.items() for _ in range(n)])
    assume(len(data) >= 10)
    split = split_dataset(data, seed=seed)
    for part, share in zip(PARTS, (0.65, 0.15, 0.2), strict=True):
        held = count(data, split, part)
        for label, n in sizes.items():
            assert abs(held[label] - share * n) <= 1
            assert held[label] > 0 or n < 3


@given(
    st.lists(st.tuples(st.sampled_from(["x", "y", None]), st.integers(0, 12)), min_size=12, max_size=80),
    st.integers(0, 99),
    st.randoms(),
)
def test_groups_stay_whole_and_row_order_does_not_matter(rows, seed: int, random) -> None:
    data = make([label for label, _ in rows], [f"g{group}" for _, group in rows])
    try:
        split = split_dataset(data, seed=seed)
    except DataError:
        assume(False)
    for group in set(data.groups or ()):
        assert len({split.part[i] for i, other in enumerate(data.groups or ()) if other == group}) == 1
    assert all(len(split.indices(part)) for part in PARTS)  # type: ignore[arg-type]

    order = list(range(len(data)))
    random.shuffle(order)
    again = split_dataset(data.take(order), seed=seed)
    assert (again.part == split.part[order]).all()


def test_groups_are_stratified() -> None:
    rng = np.random.default_rng(0)
    film = rng.integers(0, 300, size=5000)
    labels = np.where(
        rng.random(5000) < rng.random(300)[film], "fresh", "rotten"
    )  # films differ in how good they are
    data = make(labels.tolist(), film.tolist())
    split = split_dataset(data, seed=1)
    overall = (labels == "fresh").mean()
    for part, share in zip(PARTS, (0.65, 0.15, 0.2), strict=True):
        rows = split.indices(part)  # type: ignore[arg-type]
        assert abs(len(rows) / 5000 - share) < 0.005
        assert abs((labels[rows] == "fresh").mean() - overall) < 0.01
        assert abs(len(set(film[rows])) / 300 - share) < 0.1


def test_seed_decides() -> None:
    data = make(["x", "y"] * 50)
    assert split_dataset(data, seed=3).digest == split_dataset(data, seed=3).digest
    assert split_dataset(data, seed=3).digest != split_dataset(data, seed=4).digest


def test_digest_tells_masks_apart() -> None:
    part = np.array(["train", "test"])
    assert Split(part, np.array([True, True])).digest != Split(part, np.array([True, False])).digest


@pytest.mark.parametrize("grouped", [False, True])
def test_labels_per_class_hides_all_but_k_in_train(grouped: bool) -> None:
    data = make(["x"] * 60 + ["y"] * 30 + ["z"] * 10, [str(i // 2) for i in range(100)] if grouped else None)
    split = split_dataset(data, seed=0, labels_per_class=8)
    visible = split.indices("train")[split.labelled[split.indices("train")]]
    train = count(data, split, "train")
    assert Counter(data.labels[i] for i in visible) == {"x": 8, "y": 8, "z": min(8, train["z"])}
    assert not split.labelled[split.indices("validation")].any()
    assert split.labelled[split.indices("test")].all()
    assert (split.part == split_dataset(data, seed=0).part).all()


def test_unlabelled_rows_never_become_test_rows_beside_labelled_ones() -> None:
    data = make(["x", "y", None, None] * 25)
    split = split_dataset(data, seed=0)
    assert count(data, split, "test")[None] == 0
    assert count(data, split, "validation")[None] > 0
    assert (split.labelled == np.array([label is not None for label in data.labels or ()])).all()


def test_without_labels_rows_are_shared_out_all_the_same() -> None:
    data = TextDataset.from_lists([f"text {i}" for i in range(100)])
    split = split_dataset(data, seed=0)
    assert [len(split.indices(part)) for part in PARTS] == [65, 15, 20]
    assert not split.labelled.any()


def test_given_test_rows_are_the_test_part() -> None:
    data = make(["x", "y"] * 50)
    chosen = data.row_ids[:30]
    split = split_dataset(data, seed=0, test_ids=chosen)
    assert split.indices("test").tolist() == list(range(30))
    assert len(split.indices("validation")) == pytest.approx(0.15 * 70, abs=1)
    assert len(split.indices("train", "validation")) == 70
    assert len(split_dataset(data, seed=0, test=0.0).indices("test")) == 0
    with pytest.raises(DataError, match="1 of 2 test rows are not there"):
        split_dataset(data, seed=0, test_ids=[data.row_ids[0], "0" * 64])
    with pytest.raises(DataError, match="group '0' is among the test rows and among the others"):
        split_dataset(make(["x", "y"] * 50, [str(i // 50) for i in range(100)]), seed=0, test_ids=chosen)


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        (["x"] * 9 + ["rare"], None, "class 'rare' has one row"),
        (["x"] * 9, None, "one class only, 'x'"),
        (["x"] * 9 + [None], None, "one class only, 'x'"),
        (["x", "y"] * 10, [str(i // 10) for i in range(20)], "2 groups are too few for train, validation"),
        (["x"] * 8 + ["y"] * 2, ["a", "b", "c", "d"] * 2 + ["e", "e"], None),
    ],
)  # fmt: skip
def test_too_few_classes_rows_or_groups(labels, groups, message: str | None) -> None:
    data = make(labels, groups)
    if message is None:  # a class in one group: it must be where it can be learned
        assert split_dataset(data, seed=0).part[-1] == "train"
        return
    with pytest.raises(DataError, match=message) as caught:
        split_dataset(data, seed=0)
    assert "\n" not in str(caught.value)


def test_equal_texts_are_refused() -> None:
    data = TextDataset.from_lists(["a", "が", "b", "か\u3099"], ["x", "y", "x", "y"])
    with pytest.raises(DataError, match="rows 2 and 4 are the same text; drop duplicates first"):
        split_dataset(data, seed=0)


@pytest.mark.parametrize(
    "options",
    [
        {"validation": 0.0}, {"validation": float("nan")}, {"test": -0.1}, {"validation": 0.5, "test": 0.5},
        {"labels_per_class": 0},
    ],
)  # fmt: skip
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        split_dataset(make(["x", "y"] * 10), seed=0, **options)  # type: ignore[arg-type]


def test_a_split_of_unknown_parts_is_refused() -> None:
    with pytest.raises(DataError, match="unknown part 'dev'"):
        Split(np.array(["train", "dev"]), np.array([True, True]))
    with pytest.raises(DataError, match="differ in shape"):
        Split(np.array(["train"]), np.array([True, True]))

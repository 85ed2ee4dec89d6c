import hashlib
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdllm.data import MAX_TEXT_CHARS, TextDataset, deduplicate, row_id
from qdllm.errors import DataError


def test_from_lists_makes_strings_of_labels_and_none_of_gaps() -> None:
    labels = [1, 2.0, "  x ", None, float("nan"), "", np.int64(3), True]
    data = TextDataset.from_lists([f"t{i}" for i in range(8)], labels)
    assert data.labels == ("1", "2", "x", None, None, None, "3", "True")
    assert data.classes == ("1", "2", "3", "True", "x")


def test_labels_of_which_none_is_known_are_no_labels() -> None:
    assert TextDataset.from_lists(["a", "b"], [None, ""]).labels is None


def test_take_keeps_rows_together_in_the_order_asked_for() -> None:
    data = TextDataset.from_lists(["a", "b", "c"], ["x", "y", None], ["g", "h", "i"], name="n")
    part = data.take(np.array([2, 0]))
    assert part == TextDataset(("c", "a"), (None, "x"), ("i", "g"), "n")
    assert part.row_ids == (data.row_ids[2], data.row_ids[0])


def test_row_id_is_the_sha256_of_the_composed_text() -> None:
    composed, decomposed = "ガラス", unicodedata.normalize("NFD", "ガラス")
    assert composed != decomposed
    assert row_id(composed) == row_id(decomposed) == hashlib.sha256(composed.encode()).hexdigest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "row 2: the text is empty"),
        (" \n\u3000", "row 2: the text is empty"),
        ("a\0b", "row 2: the text has a NUL character at position 2"),
        ("x" * (MAX_TEXT_CHARS + 1), "row 2: the text has 100,001 characters, at most 100,000"),
        ("\ud800", "row 2: the text has half a surrogate pair"),
        (7, "row 2: the text is not a string but int"),
        (None, "row 2: the text is not a string but NoneType"),
    ],
)
def test_a_text_that_cannot_be_used_is_named_by_its_row(text: object, message: str) -> None:
    with pytest.raises(DataError, match=f"^things: {message}") as caught:
        TextDataset.from_lists(["fine", text], name="things")  # type: ignore[list-item]
    assert "\n" not in str(caught.value)


def test_the_longest_text_is_taken() -> None:
    assert len(TextDataset.from_lists(["x" * MAX_TEXT_CHARS])) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": "one string"}, "single string"),
        ({"texts": ["a", "b"], "labels": ["x"]}, "2 texts but 1 labels"),
        ({"texts": ["a"], "labels": [["x"]]}, "row 1: the label is a list"),
        ({"texts": ["a"], "labels": ["x\0"]}, "row 1: the label has a NUL"),
        ({"texts": ["a", "b"], "groups": ["g", None]}, "row 2: no group"),
    ],
)
def test_lists_that_do_not_fit_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TextDataset.from_lists(**arguments)  # type: ignore[arg-type]


def test_deduplicate_prefers_the_labelled_copy_and_drops_contradictions() -> None:
    data = TextDataset.from_lists(
        ["a", "b", "a", "c", "c", "が", "か\u3099"], [None, "x", "y", "x", "y", "x", "x"], list("1234567")
    )
    unique, report = deduplicate(data)
    assert unique.texts == ("b", "a", "が")
    assert unique.labels == ("x", "y", "x")
    assert unique.groups == ("2", "3", "6")
    assert (report.kept, report.repeated, report.contradictory) == (3, 2, 2)


def test_deduplicate_refuses_to_leave_nothing() -> None:
    with pytest.raises(DataError, match="no row is left"):
        deduplicate(TextDataset.from_lists(["a", "a"], ["x", "y"]))


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["x", "y", None])), min_size=1))
def test_deduplicate_is_idempotent_and_accounts_for_every_row(rows: list[tuple[str, str | None]]) -> None:
    data = TextDataset.from_lists([text for text, _ in rows], [label for _, label in rows])
    seen: dict[str, set[str]] = {}
    for text, label in rows:
        seen.setdefault(text, set()).update({label} - {None})
    expected = {text for text, labels in seen.items() if len(labels) < 2}
    if not expected:
        with pytest.raises(DataError):
            deduplicate(data)
        return
    unique, report = deduplicate(data)
    assert set(unique.texts) == expected
    assert report.kept + report.repeated + report.contradictory == len(data)
    assert deduplicate(unique)[0] == unique


def test_from_datasets_names_classes_and_hidden_labels() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    table = datasets.Dataset.from_dict({"sentence": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    data = TextDataset.from_datasets(table, text="sentence", name="sst")
    assert data.labels == ("pos", "neg", None)
    with pytest.raises(DataError, match="sst: no column 'text'; the columns are 'sentence', 'label'"):
        TextDataset.from_datasets(table, name="sst")
    with pytest.raises(DataError, match="splits 'train'"):
        TextDataset.from_datasets(datasets.DatasetDict({"train": table}))
    with pytest.raises(DataError, match=r"list is no datasets\.Dataset"):
        TextDataset.from_datasets([1])

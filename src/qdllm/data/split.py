"""Training, validation and test rows: stratified by class, never tearing a group apart."""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from qdllm.data.dataset import TextDataset
from qdllm.errors import ConfigError, DataError

__all__ = ["Part", "Split", "split_dataset"]

Part = Literal["train", "validation", "test"]
_PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, eq=False)
class Split:
    """Which part each row belongs to, and whose label may be used.

    Parameters
    ----------
    part : ndarray of str, shape (n,)
        "train", "validation" or "test".
    labelled : ndarray of bool, shape (n,)
        False where a label is not known or is hidden (`labels_per_class`). Labels of test rows are never
        hidden: they only ever score.
    """

    part: NDArray[np.str_]
    labelled: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.part.ndim != 1 or self.part.shape != self.labelled.shape:
            raise DataError(
                f"split: part {self.part.shape} and labelled {self.labelled.shape} differ in shape"
            )
        if unknown := sorted(set(self.part.tolist()) - set(_PARTS)):
            raise DataError(f"split: unknown part {unknown[0]!r}; the parts are {', '.join(_PARTS)}")

    def __len__(self) -> int:
        return len(self.part)

    def indices(self, *parts: Part) -> NDArray[np.int64]:
        """Return the ascending positions of the rows in these parts."""
        return np.flatnonzero(np.isin(self.part, parts))

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all parts and masks in row order, to name what was made from this split."""
        rows = "".join(
            f"{part[:2]}{int(label)}" for part, label in zip(self.part, self.labelled, strict=True)
        )
        return hashlib.sha256(rows.encode()).hexdigest()


def split_dataset(
    dataset: TextDataset,
    *,
    seed: int,
    validation: float = 0.15,
    test: float = 0.2,
    labels_per_class: int | None = None,
    test_ids: Collection[str] | None = None,
) -> Split:
    """Divide rows into training, validation and test.

    Each class is shared out in the same proportions, exactly to a row without groups and as nearly as the
    groups allow with them; no group is in two parts. Rows without a label go to train and validation where
    other rows have one. The outcome depends on the texts and the seed, not on the order of rows.

    Parameters
    ----------
    dataset : TextDataset
        Each text once (`deduplicate` first).
    seed : int
        Of the shuffle.
    validation, test : float
        Shares of the rows: 0 < validation, 0 <= test, validation + test < 1. 0 for test where the test
        rows are kept in a dataset of their own.
    labels_per_class : int, optional
        Hide all but so many labels of each class in train and validation together. The visible ones are in
        train; a class that has fewer there shows all of them.
    test_ids : collection of str, optional
        The `row_id` of each test row, where the user has chosen them; `test` is ignored, and `validation`
        is a share of the other rows.

    Raises
    ------
    DataError
        If a text stands there twice; if there are labels but of one class only, or a class has one row; if
        there are too few rows or groups for all parts; if test rows are missing or share a group with others.
    ConfigError
        If a share or `labels_per_class` is out of range.

    Notes
    -----
    Greedy, after scikit-learn's ``StratifiedGroupKFold``: groups in random order, large ones first, each to
    the part that is emptiest of its classes, measured against its share.

    Examples
    --------
    >>> data = TextDataset.from_lists([f"text {i}" for i in range(40)], ["a", "b"] * 20)
    >>> split = split_dataset(data, seed=0)
    >>> [len(split.indices(part)) for part in ("train", "validation", "test")]
    [26, 6, 8]
    """
    _check_options(validation, test, labels_per_class)
    _check_unique(dataset)
    _check_classes(dataset)
    labels = dataset.labels or (None,) * len(dataset)
    part = np.full(len(dataset), "train", dtype="<U10")
    rest = list(range(len(dataset)))
    if test_ids is not None:
        chosen = _chosen_rows(dataset, set(test_ids))
        part[chosen] = "test"
        taken = set(chosen)
        rest = [i for i in rest if i not in taken]
        test = 0.0
    shares: dict[Part, float] = {"train": 1 - validation - test, "validation": validation, "test": test}
    shares = {name: share for name, share in shares.items() if share > 0}
    for name, rows in _share_out(dataset, rest, shares, seed).items():
        part[rows] = name
    labelled = np.array([label is not None for label in labels], dtype=bool)
    for label in dataset.classes:
        if not any(labels[i] == label and part[i] == "train" for i in rest):
            raise DataError(
                f"{dataset.name}: no row of class {label!r} is left to train on; it needs more rows"
            )
    if labels_per_class is not None:
        labelled &= (part == "test") | _visible(dataset, part, labels_per_class, seed)
    return Split(part, labelled)


def _check_options(validation: float, test: float, labels_per_class: int | None) -> None:
    if not (validation > 0 and test >= 0 and validation + test < 1):
        raise ConfigError(
            f"validation {validation}, test {test}: as shares of the rows, validation must be above 0, test "
            "0 or more, and both together less than 1"
        )
    if labels_per_class is not None and labels_per_class < 1:
        raise ConfigError(f"labels_per_class {labels_per_class}: at least 1")


def _check_unique(dataset: TextDataset) -> None:
    first: dict[str, int] = {}
    for row, key in enumerate(dataset.row_ids, start=1):
        if key in first:
            raise DataError(
                f"{dataset.name}: rows {first[key]} and {row} are the same text; drop duplicates first"
            )
        first[key] = row


def _check_classes(dataset: TextDataset) -> None:
    if not dataset.classes:
        return
    if len(dataset.classes) == 1:
        raise DataError(f"{dataset.name}: one class only, {dataset.classes[0]!r}; at least two are needed")
    counts = Counter(dataset.labels)
    for name in dataset.classes:
        if counts[name] == 1:
            raise DataError(
                f"{dataset.name}: class {name!r} has one row, and at least two are needed; "
                "add rows, or remove the class"
            )


def _chosen_rows(dataset: TextDataset, test_ids: set[str]) -> list[int]:
    rows = [i for i, key in enumerate(dataset.row_ids) if key in test_ids]
    if len(rows) < len(test_ids):
        raise DataError(
            f"{dataset.name}: {len(test_ids) - len(rows)} of {len(test_ids)} test rows are not there"
        )
    if dataset.groups is not None:
        inside = {dataset.groups[i] for i in rows}
        taken = set(rows)
        for i, group in enumerate(dataset.groups):
            if group in inside and i not in taken:
                raise DataError(
                    f"{dataset.name}: group {group!r} is among the test rows and among the others"
                )
    return rows


def _share_out(
    dataset: TextDataset, rows: Sequence[int], shares: dict[Part, float], seed: int
) -> dict[Part, list[int]]:
    """Assign `rows`, group by group, so that each part has its share of each class."""
    labels = dataset.labels or (None,) * len(dataset)
    groups: dict[str, list[int]] = {}
    keys = dataset.row_ids if dataset.groups is None else dataset.groups
    for i in sorted(rows, key=lambda i: dataset.row_ids[i]):
        groups.setdefault(keys[i], []).append(i)
    if len(groups) < len(shares):
        what = "rows" if dataset.groups is None else "groups"
        raise DataError(f"{dataset.name}: {len(groups)} {what} are too few for {', '.join(shares)}")

    units = sorted(groups.items(), key=lambda unit: unit[0])
    order = np.random.default_rng(seed).permutation(len(units))
    members = sorted((units[i][1] for i in order), key=len, reverse=True)
    # The labels that a group holds; unlabelled rows count only where they are alone, else they go along.
    contents = [
        Counter(labels[i] for i in unit if labels[i] is not None) or Counter({None: len(unit)})
        for unit in members
    ]

    totals: Counter[str | None] = Counter()
    for content in contents:
        totals.update(content)
    wanted = {name: _targets(totals, name, shares) for name in shares}
    empty = {label: {name for name in shares if wanted[name][label] > 0} for label in totals}
    left = Counter(label for content in contents for label in content)  # groups that hold the class
    held: dict[Part, Counter[str | None]] = {name: Counter() for name in shares}
    assigned: dict[Part, list[int]] = {name: [] for name in shares}
    for number, (unit, content) in enumerate(zip(members, contents, strict=True)):
        candidates = list(shares)
        for label in sorted(content, key=lambda label: left[label]):
            if 0 < len(empty[label]) >= left[label]:  # the last chance of a part to see the class
                candidates = [name for name in shares if name in empty[label]]
                break
        vacant = [name for name in shares if not assigned[name]]
        if len(members) - number <= len(vacant):
            candidates = vacant
        best = min(candidates, key=lambda name: _fullness(content, held[name], wanted[name]))
        assigned[best] += unit
        held[best] += content
        left -= Counter(dict.fromkeys(content, 1))
        for label in content:
            empty[label].discard(best)
    return assigned


def _targets(totals: Counter[str | None], part: Part, shares: dict[Part, float]) -> dict[str | None, float]:
    """Return the rows of each class that a part should have."""
    targets = {label: shares[part] * n for label, n in totals.items()}
    if None in totals and len(totals) > 1:  # a test row without a label could not be scored
        targets[None] = 0.0 if part == "test" else targets[None] / (1 - shares.get("test", 0.0))
    return targets


def _fullness(
    content: Counter[str | None], held: Counter[str | None], wanted: dict[str | None, float]
) -> float:
    """Say how full a part would be half-way through taking a group, over the classes of the group.

    Half-way is the Webster rule of apportionment: of up to three parts, none ends a whole row off its share.
    """
    return sum(n * (held[label] + n / 2) / max(wanted[label], 1e-9) for label, n in content.items())


def _visible(dataset: TextDataset, part: NDArray[np.str_], per_class: int, seed: int) -> NDArray[np.bool_]:
    """Choose `per_class` training rows of each class at random."""
    labels = dataset.labels or ()
    visible = np.zeros(len(dataset), dtype=bool)
    rng = np.random.default_rng([seed, 1])
    for name in dataset.classes:
        rows = [i for i, label in enumerate(labels) if label == name and part[i] == "train"]
        rows.sort(key=lambda i: dataset.row_ids[i])
        visible[rng.permutation(rows)[:per_class]] = True
    return visible

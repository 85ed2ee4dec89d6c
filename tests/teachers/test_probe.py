"""Probes: the choice on validation rows, honest soft labels for fitted rows, little work done twice."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import qdllm.teachers.probe as module
from qdllm.data import Split, TextDataset, VectorCache, split_dataset
from qdllm.errors import ConfigError, DataError
from qdllm.teachers import ProbeTeacher
from qdllm.teachers.probe import folds_of, out_of_fold


def test_a_probe_learns_and_says_what_it_chose(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    teacher = ProbeTeacher(tiny_llama, cache=tmp_path).fit(reviews, split)
    labels = teacher.soft_labels(reviews, split)
    test = split.indices("test")
    truth = np.array([reviews.classes.index(reviews.labels[row]) for row in test])  # type: ignore[index,arg-type]
    assert (labels.probabilities[test].argmax(axis=1) == truth).mean() > 0.65
    assert labels.meta["layer"] in range(1, 5) and labels.meta["pooling"] in {"mean", "last", "mean+last"}
    assert labels.meta["out_of_fold_rows"] == len(split.indices("train"))
    assert labels.meta["validation"]["source"] == "validation"


def test_a_soft_label_does_not_depend_on_the_rows_own_label() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    codes = (x[:, 0] + 0.3 * rng.normal(size=60) > 0).astype(np.int64)
    folds = folds_of(codes, None, seed=0)
    before = out_of_fold(x, codes, folds, 0.1, 2)
    for row in (0, 17, 59):
        flipped = codes.copy()
        flipped[row] = 1 - flipped[row]
        after = out_of_fold(x, flipped, folds, 0.1, 2)
        np.testing.assert_array_equal(after[row], before[row])
        assert (after != before).any()


def test_folds_keep_groups_together_where_they_can() -> None:
    codes = np.tile([0, 1], 30)
    groups = [str(i // 4) for i in range(60)]
    for fitted, predicted in folds_of(codes, groups, seed=0):
        assert not {groups[i] for i in fitted} & {groups[i] for i in predicted}
    by_class = ["ab"[code] for code in codes]  # a fold would leave its class without training rows
    assert all(len(set(codes[fitted])) == 2 for fitted, _ in folds_of(codes, by_class, seed=0))


def test_fitted_rows_are_predicted_out_of_fold(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    teacher = ProbeTeacher(tiny_llama, cache=tmp_path).fit(reviews, split)
    labels, seen = teacher.soft_labels(reviews, split), teacher.predict_proba(reviews.texts)
    train, test = split.indices("train"), split.indices("test")
    np.testing.assert_allclose(labels.probabilities[test], seen[test])
    assert (abs(labels.probabilities[train] - seen[train]) > 1e-9).any(axis=1).all()


def test_test_labels_change_nothing(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    other = {"fresh": "rotten", "rotten": "fresh"}
    changed = [
        other[label] if part == "test" else label  # type: ignore[index]
        for label, part in zip(reviews.labels or (), split.part, strict=True)
    ]
    tampered = TextDataset.from_lists(reviews.texts, changed)
    a = ProbeTeacher(tiny_llama, cache=tmp_path).fit(reviews, split).soft_labels(reviews, split)
    b = ProbeTeacher(tiny_llama, cache=tmp_path).fit(tampered, split).soft_labels(tampered, split)
    np.testing.assert_array_equal(a.probabilities, b.probabilities)


def test_few_labels_choose_and_calibrate_out_of_fold(
    tiny_llama: Path, reviews: TextDataset, tmp_path: Path
) -> None:
    split = split_dataset(reviews, seed=0, labels_per_class=8)
    teacher = ProbeTeacher(tiny_llama, cache=tmp_path).fit(reviews, split)
    assert teacher.validation is not None
    assert (teacher.validation.rows, teacher.validation.source) == (16, "held-out")
    assert len(teacher._held_out) == 16
    shown = [
        label if seen else None for label, seen in zip(reviews.labels or (), split.labelled, strict=True)
    ]
    hidden = TextDataset.from_lists(reviews.texts, shown)
    again = ProbeTeacher(tiny_llama, cache=tmp_path).fit(hidden, split)
    np.testing.assert_array_equal(teacher.predict_proba(reviews.texts), again.predict_proba(reviews.texts))


def test_a_class_with_one_visible_label_is_refused(tiny_llama: Path, reviews: TextDataset) -> None:
    split = split_dataset(reviews, seed=0, labels_per_class=1)
    with pytest.raises(DataError, match="class 'fresh': a probe needs two"):
        ProbeTeacher(tiny_llama).fit(reviews, split)


def test_layers_that_do_not_exist_are_refused(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="layers 1 to 4"):
        ProbeTeacher(tiny_llama, layers=[2, 5], cache=tmp_path).fit(reviews, split)


def test_an_encoder_can_be_probed(
    tiny_bert: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    teacher = ProbeTeacher(tiny_bert, cache=tmp_path).fit(reviews, split)
    assert teacher.choice.layer in (1, 2, 3)


def test_the_chosen_layer_is_computed_alone_and_nothing_twice(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[tuple[tuple[int, ...], str]] = []
    real = module.hidden_states

    def counted(
        model: Any, tokenizer: Any, texts: list[str], layers: list[int], *args: Any, **options: Any
    ) -> Any:
        computed.extend((tuple(layers), text) for text in texts)
        return real(model, tokenizer, texts, layers, *args, **options)

    monkeypatch.setattr(module, "hidden_states", counted)
    monkeypatch.setattr(module, "_SELECTION_ROWS", 20)
    teacher = ProbeTeacher(tiny_llama, cache=tmp_path).fit(reviews, split)
    teacher.soft_labels(reviews, split)
    assert sorted(text for _, text in computed) == sorted(reviews.texts)
    assert {layers for layers, _ in computed} == {(1, 2, 3, 4), (teacher.choice.layer,)}
    computed.clear()
    ProbeTeacher(tiny_llama, cache=tmp_path).fit(reviews, split).soft_labels(reviews, split)
    assert computed == []


def test_settings_are_never_mixed(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    short = ProbeTeacher(tiny_llama, layers=[2], max_tokens=4, cache=tmp_path).fit(reviews, split)
    full = ProbeTeacher(tiny_llama, layers=[2], cache=tmp_path).fit(reviews, split)
    assert short.fingerprint != full.fingerprint
    alone = ProbeTeacher(tiny_llama, layers=[2], cache=tmp_path / "own").fit(reviews, split)
    np.testing.assert_array_equal(full.predict_proba(reviews.texts), alone.predict_proba(reviews.texts))
    assert (short.predict_proba(reviews.texts) != full.predict_proba(reviews.texts)).any()


def test_a_killed_run_is_continued(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"""
        import os, signal
        import qdllm.teachers.probe as module
        from qdllm.teachers import ProbeTeacher
        real, calls = module.hidden_states, []
        def killed(*args, **options):
            calls.append(1)
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)
        module.hidden_states, module._BATCH = killed, 25
        texts = {list(reviews.texts)!r}
        ProbeTeacher({str(tiny_llama)!r}, layers=[2], cache={str(tmp_path)!r})._layered(texts, [2])
    """
    finished = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert finished.returncode == -9
    teacher = ProbeTeacher(tiny_llama, layers=[2], cache=tmp_path)
    assert len(teacher._store([2])) == 50
    left: list[str] = []
    real = module.hidden_states

    def counted(model: Any, tokenizer: Any, texts: list[str], *args: Any, **options: Any) -> Any:
        left.extend(texts)
        return real(model, tokenizer, texts, *args, **options)

    monkeypatch.setattr(module, "hidden_states", counted)
    states = teacher._layered(reviews.texts, [2])
    assert len(left) == 70
    whole = ProbeTeacher(tiny_llama, layers=[2], cache=tmp_path / "own")._layered(reviews.texts, [2])
    # bfloat16 rounds differently in another batch
    np.testing.assert_allclose(states, whole, rtol=0.1, atol=0.2)


def test_the_store_says_what_it_is(tiny_llama: Path, tmp_path: Path) -> None:
    store = ProbeTeacher(tiny_llama, cache=tmp_path)._store([3])
    assert isinstance(store, VectorCache) and store.path.parent == tmp_path

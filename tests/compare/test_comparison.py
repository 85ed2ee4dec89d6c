"""The comparison itself: who is chosen by what, what is kept, what fails and how that is said."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import ttest_rel

from qdllm.compare import Workers, as_markdown, compare, holm, select, verdict, write_comparison
from qdllm.compare.fitting import Fit, FitStore, best_fit
from qdllm.compare.report import pareto_front
from qdllm.errors import ConfigError, DataError, TrainingError

from .contenders import Failing, Missing, Threshold, make_task

TIMES = ("cpu_seconds", "microseconds", "megabytes")


def _write(folder, tasks):
    paths = {}
    for task in tasks:
        paths[task.seed] = folder / f"{task.seed}.parquet"
        task.write(paths[task.seed])
    return paths


def _compare(folder, contenders, tasks=None, budget=3, **options):
    tasks = _write(folder, tasks or [make_task(seed=seed) for seed in range(3)])
    with Workers(1) as workers:
        found = compare(
            tasks, contenders, budget=budget, store=folder / "fits", workers=workers, quiet=True, **options
        )
    return json.loads(json.dumps(found, allow_nan=False))


def timeless(found):
    """Without what is another at every measurement."""
    if isinstance(found, dict):
        return {k: timeless(v) for k, v in found.items() if not any(word in k for word in TIMES)}
    return [timeless(value) for value in found] if isinstance(found, list) else found


def test_every_contender_stands_on_every_split(tmp_path):
    found = _compare(tmp_path, [Threshold(), Threshold("other", (2.0,))])
    assert [(row["contender"], row["seed"]) for row in found["results"]] == [
        (name, seed) for name in ("student", "other") for seed in range(3)
    ]
    assert found["schema"] == {"name": "qdllm.compare", "version": 1}
    for row in found["results"]:
        assert row["status"] == "done"
        assert row["costs"]["bytes"] == len(str(row["setting"]["threshold"]))
        assert {"accuracy", "f1_weighted", "agreement_with_teacher", "kl_to_teacher"} <= set(row["measures"])
        assert row["costs"]["microseconds_1"] > 0


def test_the_setting_is_chosen_by_validation_rows_alone(tmp_path):
    """Test rows are turned upside down: what is chosen stays, and only the test scores fall."""
    plain = make_task()
    test = plain.part == "test"
    twisted_x = np.where(test[:, None], -plain.rows.x, plain.rows.x)
    twisted = make_task()
    twisted = type(plain)(
        plain.seed,
        plain.classes,
        type(plain.rows)(plain.rows.texts, twisted_x, plain.rows.y, plain.rows.soft),
        plain.part,
        plain.truth,
    )
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    contenders = [Threshold("student", (-1.0, 0.0, 1.0))]
    one = _compare(tmp_path / "a", contenders, [plain])["results"][0]
    other = _compare(tmp_path / "b", contenders, [twisted])["results"][0]
    assert one["setting"] == other["setting"] == {"threshold": 0.0}
    assert one["tried"] == other["tried"]
    assert one["measures"]["accuracy"] > 0.9
    assert other["measures"]["accuracy"] < 0.1


def test_ties_on_validation_accuracy_are_settled_by_loss_then_by_order():
    fits = {
        i: Fit(a, loss, None, np.zeros((1, 2)))
        for i, (a, loss) in enumerate([(0.8, 0.5), (0.9, 0.4), (0.9, 0.3)])
    }
    assert best_fit(fits) == 2
    fits[3] = fits[2]
    assert best_fit(fits) == 2


def test_without_a_visible_validation_label_the_teacher_judges(tmp_path):
    task = make_task()
    rows = type(task.rows)(
        task.rows.texts, task.rows.x, np.where(task.part == "train", task.rows.y, -1), task.rows.soft
    )
    hidden = type(task)(task.seed, task.classes, rows, task.part, task.truth)
    row = _compare(tmp_path, [Threshold("student", (2.0, 0.0))], [hidden])["results"][0]
    assert row["setting"] == {"threshold": 0.0}
    assert row["measures"]["validation_accuracy"] > 0.9


def test_no_more_settings_than_the_budget(tmp_path):
    found = _compare(tmp_path, [Threshold(), Threshold("other", (0.1,))], budget=2)
    assert [len(row["tried"]) for row in found["results"]] == [2] * 3 + [1] * 3
    assert found["contenders"]["other"]["settings"] == 1


def test_nothing_is_done_twice(tmp_path):
    log = tmp_path / "log"
    first = _compare(tmp_path, [Threshold(log=log)])
    assert len(log.read_text().splitlines()) == 9
    again = _compare(tmp_path, [Threshold(log=log), Threshold("other", log=log)])
    assert len(log.read_text().splitlines()) == 18
    assert [row for row in again["results"] if row["contender"] == "student"] == first["results"]


def test_a_lost_or_damaged_fit_is_made_again_and_the_outcome_is_the_same(tmp_path):
    log = tmp_path / "log"
    whole = _compare(tmp_path, [Threshold(log=log)])
    one, two, *_ = sorted((tmp_path / "fits").iterdir())
    one.unlink()
    two.write_bytes(two.read_bytes()[:40])
    assert timeless(_compare(tmp_path, [Threshold(log=log)])) == timeless(whole)
    assert len(log.read_text().splitlines()) == 11


def test_an_interrupted_comparison_goes_on_from_what_is_done(tmp_path):
    class Stopped(Threshold):
        def fit(self, lesson, setting, seed):
            if len(log.read_text().splitlines() if log.exists() else []) == 4:
                raise KeyboardInterrupt
            return super().fit(lesson, setting, seed)

    log = tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        _compare(tmp_path, [Stopped(log=log)])
    resumed = _compare(tmp_path, [Threshold(log=log)])
    assert len(log.read_text().splitlines()) == 9
    (tmp_path / "straight").mkdir()
    assert timeless(resumed) == timeless(_compare(tmp_path / "straight", [Threshold()]))


def test_other_data_or_another_contender_are_never_mixed_in(tmp_path):
    keys = set()
    for n, thresholds in ((120, (0.0,)), (126, (0.0,)), (120, (0.0, 9.0))):
        _compare(tmp_path, [Threshold("student", thresholds)], [make_task(n)])
        keys.add(len(list((tmp_path / "fits").iterdir())))
    assert keys == {1, 2, 4}


@pytest.mark.parametrize("error", [TrainingError, ValueError, MemoryError])
def test_a_failed_seed_is_a_failed_row(tmp_path, error):
    found = _compare(tmp_path, [Threshold(), Failing("unlucky", seed=1, error=error)])
    rows = {row["seed"]: row for row in found["results"] if row["contender"] == "unlucky"}
    assert [rows[seed]["status"] for seed in range(3)] == ["done", "failed", "done"]
    assert "the loss is no longer finite" in rows[1]["reason"]
    assert "\n" not in rows[1]["reason"]
    assert [entry["seed"] for entry in found["differences"][0]["splits"]] == [0, 2]
    page = as_markdown(found, title="plane")
    assert f"- unlucky, seed 1: {rows[1]['reason']}" in page


def test_a_failed_setting_leaves_the_others(tmp_path):
    found = _compare(tmp_path, [Threshold(), Failing("picky", threshold=0.0)])
    row = next(row for row in found["results"] if row["contender"] == "picky")
    assert row["status"] == "done"
    assert row["setting"] != {"threshold": 0.0}
    assert [bool(tried["failed"]) for tried in row["tried"]] == [False, True, False]
    assert "picky, seed 0, threshold=0.0: the loss" in as_markdown(found, title="plane")


def test_one_that_always_fails_is_in_the_table_as_failed(tmp_path):
    class Hopeless(Failing):
        def settings(self, budget):
            return [{"threshold": 0.0}]

    found = _compare(tmp_path, [Threshold(), Hopeless("hopeless", threshold=0.0)])
    assert found["contenders"]["hopeless"]["summary"] == {}
    assert "| hopeless | failed |" in as_markdown(found, title="plane")
    assert [entry["minus"] for entry in found["differences"]] == []


def test_what_fails_is_tried_again_by_the_next_call(tmp_path):
    _compare(tmp_path, [Failing("student", seed=1)])
    found = _compare(tmp_path, [Threshold("student")])
    assert all(row["status"] == "done" for row in found["results"])


def test_a_missing_extra_is_skipped_by_name(tmp_path):
    found = _compare(tmp_path, [Threshold(), Missing("leaves")])
    assert found["skipped"][0]["contender"] == "leaves"
    page = as_markdown(found, title="plane")
    assert "| leaves | skipped |" in page
    assert "- leaves: tea leaves need the package 'leaves': pip install 'qdllm[tea]'" in page


def test_a_split_that_cannot_be_made_is_a_failed_row_of_all(tmp_path):
    tasks = {**_write(tmp_path, [make_task()]), 1: "its teacher saw other labels"}
    with Workers(1) as workers:
        found = compare(
            tasks,
            [Threshold(), Threshold("other")],
            budget=1,
            store=tmp_path / "f",
            workers=workers,
            quiet=True,
        )
    assert [row["reason"] for row in found["results"] if row["seed"] == 1] == [
        "its teacher saw other labels"
    ] * 2


def test_probabilities_of_a_wrong_shape_are_a_failure_not_a_score(tmp_path):
    class Lopsided(Threshold):
        def fit(self, lesson, setting, seed):
            fitted = super().fit(lesson, setting, seed)
            fitted.predict_proba = lambda rows: np.ones((len(rows), 3))
            return fitted

    found = _compare(tmp_path, [Threshold(), Lopsided("lopsided")])
    assert "shape (20, 3)" in next(
        row["reason"] for row in found["results"] if row["contender"] == "lopsided"
    )


def test_without_labels_on_test_rows_there_is_nothing_to_compare_by(tmp_path):
    task = make_task()
    blind = type(task)(task.seed, task.classes, task.rows, task.part, np.full(len(task.part), -1))
    with pytest.raises(DataError, match="no test row has a gold label"):
        _compare(tmp_path, [Threshold()], [blind])


def test_differences_are_paired_and_corrected_where_test_rows_are_redrawn(tmp_path):
    tasks = [make_task(n=240, seed=seed, spread=0.6) for seed in range(4)]
    found = _compare(tmp_path, [Threshold(), Threshold("a", (0.7,)), Threshold("b", (-0.8,))], tasks)
    assert found["test_rows_redrawn"]
    accuracy = {
        name: np.array([r["measures"]["accuracy"] for r in found["results"] if r["contender"] == name])
        for name in ("student", "a", "b")
    }
    for entry in found["differences"]:
        other = accuracy[entry["minus"]]
        assert entry["difference"] == pytest.approx((accuracy["student"] - other).mean())
        assert entry["p"] > ttest_rel(accuracy["student"], other).pvalue
        assert entry["p_holm"] >= entry["p"]
        for split, difference in zip(entry["splits"], accuracy["student"] - other, strict=True):
            assert split["difference"] == pytest.approx(difference)
            assert (split["only_student_right"] - split["only_other_right"]) / 40 == pytest.approx(difference)


def test_mcnemars_tests_are_adjusted_over_the_models_of_a_split_and_counted(tmp_path):
    """The worse model is beaten on every split, the equal one on none."""
    tasks = [make_task(n=600, seed=seed, spread=0.6) for seed in range(3)]
    others = [Threshold("same", (0.0,)), Threshold("worse", (-0.8,)), Failing("unlucky", seed=1)]
    found = _compare(tmp_path, [Threshold(thresholds=(0.0,)), *others], tasks)
    by_seed = {}
    for entry in found["differences"]:
        for split in entry["splits"]:
            by_seed.setdefault(split["seed"], []).append(split)
    assert {seed: len(splits) for seed, splits in by_seed.items()} == {0: 3, 1: 2, 2: 3}
    for splits in by_seed.values():
        adjusted = holm([split["p_mcnemar"] for split in splits])
        assert [split["p_mcnemar_holm"] for split in splits] == pytest.approx(adjusted)
    page = as_markdown(found, title="plane").splitlines()
    counts = {
        line.split(" | ")[0].strip("| "): line.rstrip("| ").rsplit("| ", 1)[-1]
        for line in page
        if " of " in line
    }
    assert counts["same"] == "+0 −0 of 3"
    assert counts["worse"] == "+3 −0 of 3"
    assert counts["unlucky"].endswith("of 2")


def test_differences_are_over_rows_where_test_rows_stay(tmp_path):
    base = make_task(n=600, spread=0.6)
    rng = np.random.default_rng(0)
    tasks = []
    for seed in range(3):
        part = base.part.copy()
        part[part != "test"] = rng.permutation(part[part != "test"])
        tasks.append(type(base)(seed, base.classes, base.rows, part, base.truth))
    found = _compare(tmp_path, [Threshold(), Threshold("a", (0.9,))], tasks)
    assert not found["test_rows_redrawn"]
    entry = found["differences"][0]
    assert entry["low"] < entry["difference"] < entry["high"]
    assert entry["p"] < 0.05
    assert found["contenders"]["student"]["summary"]["accuracy"]["low"] < 1
    assert "intervals and p values are over test rows" in as_markdown(found, title="plane")


def test_the_encoder_is_counted_where_features_are_used(tmp_path):
    class Reader(Threshold):
        uses = "texts"

    encoder = {"n_parameters": 1000, "n_bytes": 5000, "microseconds": {"1": 70.0, "256": 20.0}}
    found = _compare(tmp_path, [Threshold(), Reader("reader")], encoder=encoder)
    costs = {row["contender"]: row["costs"] for row in found["results"]}
    assert costs["student"]["parameters_with_encoder"] == 1001
    assert costs["student"]["bytes_with_encoder"] == 5000 + costs["student"]["bytes"]
    assert costs["student"]["microseconds_256_with_encoder"] == 20.0 + costs["student"]["microseconds_256"]
    assert costs["reader"]["parameters_with_encoder"] == 1
    unknown = _compare(tmp_path, [Threshold()])["results"][0]["costs"]
    assert unknown["bytes_with_encoder"] is None


def test_the_verdict_says_who_wins_and_by_how_much(tmp_path):
    tasks = [make_task(n=600, seed=seed, spread=0.6) for seed in range(4)]
    worse = [
        Threshold("student", (0.5,)),
        Threshold("no-circuit", (0.0,)),
        Threshold("no-entanglement", (2.0,)),
    ]
    found = _compare(tmp_path, worse, tasks)
    words = verdict(found)
    assert words.startswith("no-circuit has the highest mean accuracy, ")
    assert "points behind [" in words
    assert "The circuit does harm" in words
    assert "Its entanglement earned its place" in words
    better = verdict(
        _compare(tmp_path, [Threshold("student", (0.0,)), Threshold("no-circuit", (0.02,))], tasks)
    )
    assert better.startswith("The student has the highest mean accuracy") or "not shown to differ" in better
    assert "The circuit has not been shown to earn its place" in better


def test_the_files_hold_the_same_figures(tmp_path):
    found = _compare(tmp_path, [Threshold(), Failing("unlucky", seed=1), Missing("leaves")])
    files = {path.name for path in write_comparison(found, tmp_path, title="plane")}
    assert files >= {"compare.json", "compare.md", "compare.parquet"}
    assert json.loads((tmp_path / "compare.json").read_text()) == found
    table = pq.read_table(tmp_path / "compare.parquet").to_pylist()
    assert [(row["contender"], row["seed"], row["status"]) for row in table] == [
        (row["contender"], row["seed"], row["status"]) for row in found["results"]
    ]
    assert table[0]["accuracy"] == found["results"][0]["measures"]["accuracy"]
    assert table[4]["accuracy"] is None
    assert table[4]["reason"] == "the loss is no longer finite and more"


class Hurried(Threshold):
    """Is given less than the others, and its settings say so."""

    def settings(self, budget):
        return [{"threshold": 0.1, "max_tokens": 128}]


def test_the_page_says_who_was_given_less(tmp_path):
    found = _compare(tmp_path, [Threshold(), Hurried("hurried")])
    said = next(line for line in as_markdown(found, title="plane").splitlines() if "Not alike" in line)
    assert "texts cut after so many tokens: hurried (128)" in said
    assert "fewer settings to try: hurried (1)" in said
    assert "student" not in said
    alike = _compare(tmp_path, [Threshold(), Threshold("other")])
    assert "Not alike" not in as_markdown(alike, title="plane")


def test_plots_are_drawn_where_matplotlib_is(tmp_path):
    pytest.importorskip("matplotlib")
    encoder = {"n_parameters": 10, "n_bytes": 50, "microseconds": {"1": 7.0, "256": 2.0}}
    found = _compare(tmp_path, [Threshold(), Threshold("other")], encoder=encoder)
    files = {path.name: path for path in write_comparison(found, tmp_path, title="plane")}
    for name in ("compare-bytes.png", "compare-time.png"):
        assert files[name].read_bytes()[:4] == b"\x89PNG"
        assert f"({name})" in (tmp_path / "compare.md").read_text()


def test_the_pareto_front_is_what_nothing_beats():
    rng = np.random.default_rng(0)
    points = [tuple(point) for point in rng.random((60, 2))]
    front = pareto_front(points)
    for cost, accuracy in points:
        beaten = any(c <= cost and a >= accuracy and (c, a) != (cost, accuracy) for c, a in points)
        assert ((cost, accuracy) in front) == (not beaten)


def test_selection_by_name_keeps_the_student():
    contenders = [Threshold(), Threshold("a"), Threshold("b")]
    assert [one.name for one in select(contenders, ["b"])] == ["student", "b"]
    with pytest.raises(ConfigError, match="no contender 'c'; there are a, b, student"):
        select(contenders, ["c"])


def test_a_store_gives_back_what_it_was_given(tmp_path):
    _compare(tmp_path, [Threshold()])
    store = FitStore(tmp_path / "fits")
    path = next((tmp_path / "fits").iterdir())
    fit = store.read(path.stem)
    assert fit.test.shape == (20, 2)
    assert fit.test.dtype == np.float64
    assert set(fit.costs.microseconds) == {"1", "256"}
    assert store.read("nothing") is None

"""The page: every number has its field, nothing comes from elsewhere, and anybody can read it."""

import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from qdllm.pages import Catalogue
from qdllm.report import PRICES, TEXTS, Predictions, Prices, make_figures, render
from qdllm.report.numbers import resolve

from .conftest import CLASSES
from .pages import Page

LANGUAGES = ("en", "ja")
SCALE = {"percent": 100, "points": 100}  # how a number of this form is written; all others as they are


def figures_of(evidence, student):
    prices = Prices.read(PRICES)
    return make_figures(evidence, student, prices, assumed_prices=True, version="1.2", date="2026-01-31")


@pytest.fixture(scope="module")
def found(evidence, student):
    return figures_of(evidence, student)


@pytest.fixture(scope="module")
def full(evidence, student):
    """With all that a run can have, as the readers of devices and surrogates return it."""
    accuracy = {"value": 0.91, "low": 0.88, "high": 0.94}
    ways = {"exact": accuracy, "sampled": accuracy, "raw": accuracy, "mitigated": None}
    run = {
        "shots": 1024,
        "rows": 60,
        "calibration": "<c1>",
        "date": "2026-01-30",
        "loss": 0.005,
        "accuracy": ways,
    }
    devices = [
        {"backend": "noisy:baihua", "kind": "noisy", "jobs": "", "accuracy": ways, **run},
        {"backend": "quafu:Baihua", "kind": "chip", "jobs": "<7>", "accuracy": ways, **run},
    ]
    surrogate = {
        "form": "sparse",
        "size": "97 terms, 11 variables",
        "bytes": 5120,
        "max_error": 0.05,
        "agreement": 0.998,
        "certified": 0.9,
    }
    return figures_of(replace(evidence, devices=devices, surrogate=surrogate), student)


def write(found, student, language="en"):
    return render(found, student.model_.circuit, language)


@pytest.fixture(params=[(which, language) for which in ("found", "full") for language in LANGUAGES])
def written(request, student):
    which, language = request.param
    document = request.getfixturevalue(which)
    return json.loads(json.dumps(document)), Page(write(document, student, language)), language


def test_every_number_is_that_of_its_field(written):
    document, page, _ = written
    numbers = page.every("data")
    assert len(numbers) > 100
    shown = iter([data for data, around in page.texts if around[-1][0] == "data"])
    for attributes in numbers:
        value = resolve(document, attributes["data-from"])
        assert json.loads(attributes["value"]) == value
        text = next(shown).replace("−", "-").replace(",", "")
        if text.startswith("<"):
            assert value < float(text[1:])
            continue
        if attributes["data-as"] == "significant":
            assert float(text) == pytest.approx(value, rel=0.005)
            continue
        expected = value * SCALE.get(attributes["data-as"], 1)
        digits = len(text.partition(".")[2])
        assert float(text) == pytest.approx(expected, abs=0.500001 * 10.0**-digits)


def test_every_word_that_a_run_brings_is_that_of_its_field(written):
    document, page, _ = written
    words = [(data, around[-1][1]["data-from"]) for data, around in page.texts if around[-1][0] == "bdi"]
    assert words
    for data, pointer in words:
        assert data == resolve(document, pointer)


def test_no_number_stands_there_without_a_field(written):
    """But for the axes of charts, and what the catalogue itself says: "95 %", "F1"."""
    _, page, language = written
    catalogue = " ".join(Catalogue(TEXTS, language).texts.values())
    known = set(re.findall(r"\d+", catalogue))
    for data, around in page.texts:
        inside = {tag for tag, _ in around}
        if inside & {"svg", "style"} or any("data-from" in attributes for _, attributes in around):
            continue
        if "title" in inside:  # of the document: it takes no elements
            continue
        assert set(re.findall(r"\d+", data)) <= known, data


def test_the_marks_of_charts_name_their_fields(written):
    document, page, _ = written
    marks = [a for a in page.every("circle") if "mark" in a["class"]]
    assert marks
    for mark in marks:
        for pointer in mark["data-from"].split():
            assert isinstance(resolve(document, pointer), float)


def test_charts_hold_nothing_that_svg_does_not_know(written):
    _, page, _ = written
    known = {"title", "g", "line", "circle", "rect", "path", "polyline", "text"}
    for _, around in page.texts:
        tags = [tag for tag, _ in around]
        if "svg" in tags:
            assert set(tags[tags.index("svg") + 1 :]) <= known


def test_nothing_comes_from_elsewhere(written):
    _, page, _ = written
    assert not page.every("script", "img", "iframe", "link", "object", "embed")
    for _, attributes in page.elements:
        assert not attributes.keys() & {"src", "srcset", "onclick", "onload", "style"}
        assert attributes.get("href", "#").startswith("#")


def test_it_can_be_read_by_all(written):
    _, page, language = written
    assert page.every("html") == [{"lang": language}]
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    assert len(page.every("table")) == len(page.every("caption"))
    titles = [around for _, around in page.texts if around[-1][0] == "title" and around[-2][0] == "svg"]
    assert len(titles) == len(page.every("svg"))
    names = [a["aria-label"] for a in page.every("div") if a.get("role") == "region"]
    assert len(set(names)) == len(names)
    targets = {a["id"] for _, a in page.elements if "id" in a}
    assert {a["href"][1:] for a in page.every("a")} <= targets


def test_class_names_are_text_whatever_they_hold(found, student):
    source = write(found, student)
    said = Page(source).said()
    for name in CLASSES:
        assert name in said
    assert "<b>" not in source
    assert "<i>" not in source


def test_what_was_not_run_is_not_measured(found, student):
    said = Page(write(found, student)).said()
    assert "Noise: not measured" in said
    assert "Real chip: not measured" in said
    assert "no surrogate was compiled" in said


def test_what_was_run_is_told(full, student):
    said = Page(write(full, student)).said()
    assert "Real chip: not measured" not in said
    assert "simulated chip" in said
    assert "real chip" in said
    assert "97 terms" in said


def test_a_report_is_small_and_the_same_twice(evidence, student, found):
    again = figures_of(evidence, student)
    assert write(again, student) == write(found, student)
    assert len(write(found, student).encode()) < 3_000_000


def test_a_bare_run_can_be_told_too(evidence, student):
    """No teacher, no control, no labels on test rows, no texts, no comparison, no times."""
    rows = evidence.predictions
    hidden = [None if part == "test" else label for part, label in zip(rows.part, rows.labels, strict=True)]
    metrics = {
        **evidence.metrics,
        "teacher": None,
        "controls": {"logistic_regression": None},
        "student": {**evidence.metrics["student"], "test": None},
        "students": {name: {"validation": None, "test": None} for name in evidence.metrics["students"]},
        "parameters": {**evidence.metrics["parameters"], "encoder": None, "inference": None},
    }
    bare = replace(
        evidence,
        metrics=metrics,
        predictions=replace(rows, labels=hidden, teacher=None),
        texts=None,
        duplicates=None,
        compare=None,
        timing=None,
    )
    found = figures_of(bare, student)
    assert found["verdict"]["decision"] == "simulation"
    for language in LANGUAGES:
        Page(write(found, student, language))
    said = Page(write(found, student)).said()
    assert "No test row has a label" in said
    assert "accuracy (no labelled test row), a teacher, controls on repeated splits, noise" in said


def test_two_hundred_classes_fit(evidence, student):
    rng = np.random.default_rng(0)
    classes = tuple(sorted(f"class {i:03d} <x>" for i in range(200)))
    codes = rng.integers(200, size=2000)
    proba = rng.dirichlet(np.full(200, 0.05), 2000)
    rows = Predictions(
        classes,
        [f"{i:064d}" for i in range(2000)],
        np.where(np.arange(2000) < 800, "test", "train"),
        [classes[code] for code in codes],
        proba,
        proba[::-1],
    )
    wide = replace(evidence, predictions=rows, texts=dict.fromkeys(rows.row_ids, "text"))
    found = figures_of(wide, student)
    assert found["data"]["n_classes"] == 200
    source = write(found, student)
    assert "And 176 more classes" in Page(source).said()
    assert len(source) < 400_000
    pairs = found["confusion"]["student"]["pairs"]
    truth, chosen = codes[:800], proba[:800].argmax(axis=1)
    for pair in pairs:
        gold, other = classes.index(pair["label"]), classes.index(pair["chosen"])
        assert pair["rows"] == np.sum((truth == gold) & (chosen == other))
        assert gold != other


@pytest.mark.parametrize("folder", ["report", "serve"])
def test_the_catalogues_say_the_same_things(folder):
    texts = TEXTS.parents[1] / folder / "texts"
    english, japanese = (Catalogue(texts, language).texts for language in LANGUAGES)
    assert english.keys() == japanese.keys()
    for key, text in english.items():
        places = set(re.findall(r"{(\w+)}", text))
        assert set(re.findall(r"{(\w+)}", japanese[key])) == places, key
        assert japanese[key], key

"""`qdllm report` as a user calls it, on runs that are whole, unfinished or damaged."""

import json
import shutil

import pytest

from .test_cli import _write_csv, qdllm, refused


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reported")
    data = _write_csv(folder / "data.csv", 200, 1)
    options = ("--teacher", "none", "--encoder", "tfidf", "--qubits", 3, "--epochs", 20, "--quiet")
    qdllm("distill", data, "--out", folder / "run", *options)
    return folder / "run"


@pytest.fixture
def copy(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def test_a_report_is_a_page_and_its_figures(run, tmp_path):
    page = tmp_path / "report.html"
    said = qdllm("report", run, "--out", page, "--quiet").stdout
    found = json.loads(page.with_suffix(".json").read_text())
    assert said == f"{page}: {found['verdict']['decision']}\n"
    assert page.read_text().startswith("<!DOCTYPE html>")
    shown = json.loads(qdllm("report", run, "--out", page, "--lang", "ja", "--json", "--quiet").stdout)
    assert shown == found
    assert '<html lang="ja">' in page.read_text()


def test_two_reports_of_one_run_are_the_same(run, tmp_path):
    for name in ("a", "b"):
        qdllm("report", run, "--out", tmp_path / f"{name}.html", "--quiet")
    for kind in ("html", "json"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_times_are_measured_once_and_say_why_they_are_missing(copy, tmp_path):
    (copy / "timing.json").unlink(missing_ok=True)
    qdllm("report", copy, "--out", tmp_path / "r.html", "--quiet")
    timed = json.loads((copy / "timing.json").read_text())
    assert timed["schema"] == {"name": "qdllm.timing", "version": 1}
    assert timed["models"]["student"]["microseconds"] > 0
    assert "no teacher" in timed["models"]["teacher"]["reason"]
    timed["models"]["student"]["microseconds"] = 123.0
    (copy / "timing.json").write_text(json.dumps(timed))
    found = json.loads(qdllm("report", copy, "--out", tmp_path / "r.html", "--json", "--quiet").stdout)
    assert found["costs"]["models"]["student"]["microseconds"] == 123.0


def test_own_prices_are_called_so(run, tmp_path):
    prices = tmp_path / "prices.toml"
    prices.write_text('currency = "円"\ncore_hour = 10\n')
    options = ("--prices", prices, "--json", "--quiet")
    found = json.loads(qdllm("report", run, "--out", tmp_path / "r.html", *options).stdout)
    assert not found["costs"]["assumed"]
    assert "prices" not in found["not_measured"]
    source = (tmp_path / "r.html").read_text()
    assert "円" in source
    assert "no price given" in source


def test_texts_that_are_gone_leave_a_gap(copy, tmp_path):
    config = copy / "config.toml"
    config.write_text(config.read_text().replace("data.csv", "gone.csv"))
    found = json.loads(qdllm("report", copy, "--out", tmp_path / "r.html", "--json", "--quiet").stdout)
    assert found["examples"] is found["data"]["duplicates"] is None
    assert "texts" in found["not_measured"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda run: (run / "metrics.json").unlink(), "not a finished run"),
        (lambda run: (run / "predictions.parquet").unlink(), "predictions.parquet"),
        (lambda run: (run / "predictions.parquet").write_bytes(b"PAR1"), "predictions.parquet"),
        (lambda run: (run / "config.toml").unlink(), "config.toml"),
        (lambda run: shutil.rmtree(run / "student"), "student"),
        (lambda run: (run / "compare.json").write_text("{"), "compare.json"),
        (lambda run: (run / "compare.json").write_text('{"schema": "old"}'), "qdllm.compare, version 1"),
        (lambda run: (run / "timing.json").write_text("[]"), "timing.json"),
        (lambda run: ((run / "devices").mkdir(), (run / "devices/x.json").write_text("{}")), "x.json"),
    ],
)
def test_a_damaged_run_is_refused_in_one_line(copy, tmp_path, damage, says):
    damage(copy)
    assert says in refused("report", copy, "--out", tmp_path / "r.html", "--quiet")
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--lang", "fr"), "en, ja"),
        (("--out", "r.json"), "r.json"),
        (("--prices", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_wrong_options_are_refused_in_one_line(run, options, says):
    assert says in refused("report", run, *options, "--quiet")


def test_a_negative_price_is_refused_by_name(run, tmp_path):
    prices = tmp_path / "prices.toml"
    prices.write_text("core_hour = -0.05\n")
    assert "core_hour" in refused("report", run, "--prices", prices, "--out", tmp_path / "r.html", "--quiet")

"""The benchmark of the report: what it makes of what a browser saw."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "report.py"
SPEC = importlib.util.spec_from_file_location("report_benchmark", PATH)
benchmark = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(benchmark)


def results(**changed):
    view = {"language": "en", "width": 390, "scheme": "dark", "console": 0, "requests": 0, "fits": True}
    file = {"bytes": 70_000, "made_twice_alike": True}
    return {
        "command": "qdllm bench report --run runs/x",
        "machine": {"date": "2026-01-01", "qdllm": "0"},
        "chromium": "150",
        "files": {"en": {name: changed.get(name, value) for name, value in file.items()}},
        "views": [{**view, "violations": {"minor": 1}, **changed}],
    }


@pytest.mark.parametrize(
    ("changed", "bar"),
    [
        ({"bytes": 3_000_001}, "under 3 MB"),
        ({"made_twice_alike": False}, "made twice"),
        ({"requests": 1}, "no request"),
        ({"console": 1}, "console"),
        ({"fits": False}, "wider"),
        ({"violations": {"critical": 1}}, "serious"),
        ({"violations": {"serious": 2, "minor": 1}}, "serious"),
    ],
)
def test_what_misses_a_bar_is_told(changed, bar):
    assert all(good for _, good in benchmark.judge(results()))
    missed = [name for name, good in benchmark.judge(results(**changed)) if not good]
    assert len(missed) == 1
    assert bar in missed[0]
    assert f"| {missed[0]} | missed |" in benchmark.as_markdown(results(**changed))


def test_the_page_names_every_view():
    page = benchmark.as_markdown(results())
    assert "| en | 390 | dark | 0 | 0 | yes | 1 minor |" in page
    assert "| en | 70,000 |" in page


def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, PATH, "--run", tmp_path], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.startswith("qdllm: ")
    assert done.stderr.count("\n") == 1

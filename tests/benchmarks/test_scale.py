"""The benchmark of scale: its page follows from its numbers, its server and its counting are right."""

import sys
from pathlib import Path

import pyarrow as pa
import pytest

from qdllm.files import read_json

pytest.importorskip("urllib3")
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        import scale

        yield scale
        for name in ("scale", "_scale", "_scale.measures", "_scale.tuned"):
            sys.modules.pop(name, None)


def test_the_published_page_is_what_the_published_numbers_say(bench):
    assert bench.as_markdown(read_json(RESULTS / "scale.json")) == (RESULTS / "scale.md").read_text("utf-8")


def test_bars_are_marked_by_the_numbers(bench):
    parts = {
        "endpoint": {"found": {"share": 0.89, "server_answers_per_second": 100.0}},
        "processes": {"found": {"rows": 10, "lost": 0, "doubled": 1, "kills": 3}},
        "ray": {"found": {"times": 1.71}},
    }
    assert [met for _, _, met in bench.bars(parts)] == [False, False, True, None, None]


def test_rows_lost_and_doubled_are_counted(bench):
    from _scale.measures import _compared

    assert _compared(["a", "b", "c"], pa.array(["a", "c", "c", "c"])) == {"rows": 3, "lost": 1, "doubled": 2}


def test_labelling_is_timed_beside_a_bare_load(bench):
    from _scale.measures import endpoint

    found = endpoint(24, slots=4, seconds=0.005)
    assert found["share"] == found["labels_per_second"] / found["server_answers_per_second"] > 0

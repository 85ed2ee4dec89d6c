"""The benchmark of chips: its judgement and page on made-up figures, and its kills for real."""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("qiskit")
ROOT = Path(__file__).parents[2] / "benchmarks"
_TRAINED = ("8 shots", "8 shots on the chip", "8 shots on the chip, few gates")


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(ROOT))
    try:
        spec = importlib.util.spec_from_file_location("bench_chips", ROOT / "chips.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(ROOT))


@pytest.fixture
def results():
    def at(value):
        mitigated = [value, value - 0.001]
        ways = {"sampled": [value] * 2, "raw": [value - 0.02] * 2, "mitigated": mitigated}
        return {**ways, "agreement": [value + 0.08] * 2}

    machine = dict.fromkeys(("date", "cpu", "cores", "python", "torch", "qiskit", "qdllm"), "1")
    task = {
        "about": {
            "rows": 100,
            "ansatz": "qd_llm",
            "two_qubit_gates": 40,
            "exact": 0.9,
            "qasm_round_trips": True,
        },
        "machines": {"about": machine, "shots": machine},
        "shots": {"8": at(0.85), "64": at(0.895), "256": at(0.9), "1024": at(0.9)},
        "adaptive": {"0.99": {"mean_shots": 60.0, "accuracy": 0.899, "agreement": 0.978}},
        "least_gain": {"1.0": {"mean_shots": 20.0, "accuracy": 0.896, "agreement": 0.975}},
        "few_shots_adaptive": {"mean_shots": 7.5, "accuracy": 0.895, "agreement": 0.97, "least_gain": 20.0},
        "drift": {name: [0.89, 0.9] for name in ("raw", "corrected_before", "corrected_anew")},
        "few_shots": {
            name: {"exact": 0.9, "validation": [0.8 + 0.01 * place] * 2, **at(0.895)}
            for place, name in enumerate(_TRAINED)
        },
    }
    return {
        "command": "qdllm bench chips",
        "calibration": {"id": "Baihua-x", "source": "reconstructed, not measured"},
        "tasks": {"news": task},
        "engine": {
            "machine": {**machine, "cpu": "another"},
            "gates": {"lowered": 40, "median_routed": 80.5},
            "aer": {
                "values": 200,
                "mean": 0.01,
                "standard_deviation": 1.02,
                "largest": 3.0,
                "twirl_rmse": 0.001,
            },
            "speed": {
                "shots": 1024,
                "times_as_fast": 100.0,
                "cpu_seconds": {"ours": 0.01, "aer_density_matrix": 2.0, "aer_trajectories": 1.0},
            },
            "seconds_of_64_inputs": 0.5,
            "kills": {"kills": 200, "jobs": 900, "lost": 0, "paid_twice": 0},
        },
    }


def test_every_bar_is_judged(bench, results):
    assert [met for _, _, met in bench.judge(results)] == [True] * 12
    results["tasks"]["news"]["shots"]["1024"]["mitigated"] = [0.89, 0.89]
    results["engine"]["gates"]["lowered"] = 41
    results["engine"]["kills"]["paid_twice"] = 1
    missed = [wanted for wanted, _, met in bench.judge(results) if not met]
    assert [wanted.split()[0] for wanted in missed] == ["mitigated", "at", "200"]


def test_shots_to_stop_at_are_held_against_fixed_ones_that_are_as_accurate(bench, results):
    (found,) = [found for wanted, found, _ in bench.judge(results) if wanted.endswith("same accuracy")]
    assert found == "news 8 %"  # 20 of 256: 64 are 0.15 points less accurate
    results["tasks"]["news"]["least_gain"]["1.0"]["accuracy"] = 0.89
    (found,) = [found for wanted, found, _ in bench.judge(results) if wanted.endswith("same accuracy")]
    assert found == "news –"  # half a point behind the most accurate


def test_validation_rows_choose_the_student_for_few_shots(bench, results):
    students = results["tasks"]["news"]["few_shots"]
    students[_TRAINED[0]]["mitigated"] = [0.95, 0.95]  # on test rows, which choose nothing
    students[_TRAINED[1]] |= {"validation": [0.99, 0.99], "mitigated": [0.7, 0.7]}
    (found,) = [found for wanted, found, _ in bench.judge(results) if "for 8 shots" in wanted]
    assert found == "-20.00 points"
    assert "70.0 ± 0.0 [90.0] ←" in bench.as_markdown(results)


def test_the_page_names_the_simulated_chip_and_every_task(bench, results):
    page = bench.as_markdown(results)
    assert "The chip is simulated" in page
    assert "| news | 100 | qd_llm | 40 | 90.0 |" in page


def test_the_page_says_what_was_measured_where(bench, results):
    page = bench.as_markdown(results)
    assert "- news: 1: 1, 1 cores, Python 1, torch 1, qiskit 1, qdllm 1" in page
    assert "- the simulator: 1: another" in page
    results["tasks"]["news"]["machines"]["few_shots"] = results["engine"]["machine"]
    page = bench.as_markdown(results)
    assert "- news (about, shots): 1: 1," in page
    assert "- news (few shots), the simulator: 1: another" in page


def test_a_part_that_is_kept_is_not_measured_again(bench):
    every = bench.parts(Path("runs/news"), "baihua", 100, 2)
    task = {}
    for place, part in enumerate(reversed(every)):
        assert not bench.is_complete(task)
        assert not part.is_in(task)
        part.put(place, task, {})
        assert part.is_in(task)
    assert bench.is_complete(task)
    assert [*task["shots"]] == ["8", "16", "32", "64", "128", "256", "512", "1024"]


def test_figures_of_another_student_are_not_kept(bench, tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    tasks = {}
    bench.begin_task(tasks, "news", weights)
    tasks["news"]["drift"] = {}
    bench.begin_task(tasks, "news", weights)
    assert "drift" in tasks["news"]
    weights.write_bytes(b"two")
    bench.begin_task(tasks, "news", weights)
    assert "drift" not in tasks["news"]


def test_a_runner_that_is_killed_loses_and_pays_twice_for_nothing(bench):
    found = bench.run_kills(4, seed=3, batches=2)
    assert (found["kills"], found["lost"], found["paid_twice"]) == (4, 0, 0)
    assert found["jobs"] > 0

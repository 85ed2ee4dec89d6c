import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from qdllm.circuits import Circuit, compile_circuit, input_symbol, parameter

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so(tmp_path):
    command = [sys.executable, BENCHMARKS / "gpu.py", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("qdllm: no CUDA device is here")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_operations_are_counted_by_stage(gpu):
    circuit = Circuit(2).ry(input_symbol("x"), 0).ry(input_symbol("y"), 1)
    product = gpu.count_work(compile_circuit(circuit))
    # 4 amplitudes: the product state 2, |amplitude|^2 3, a Walsh transform of 2 bits 2; back 4 + 2, 4 each.
    assert product["forward"].flops == 4 * (2 + 3 + 2)
    assert product["step"].flops == product["forward"].flops + 4 * (4 + 2 + 2 * 4)
    deeper = circuit.rzz(parameter("a"), 0, 1).ry(parameter("b"), 0)
    more = gpu.count_work(compile_circuit(deeper))
    assert more["forward"].flops - product["forward"].flops == 4 * (6 + 6)
    assert more["step"].flops - more["forward"].flops == 4 * (4 + 2 + 2 * 4 + 15 + 2 + 16)


def test_the_limit_is_the_lower_of_two(gpu):
    work = gpu.Work(flops=10, bytes=2)
    assert work.limit(gpu.Chip("", 1000.0, 1e9)) == 100
    assert work.limit(gpu.Chip("", 1e9, 1000.0)) == 500


def test_a_run_is_checked_timed_and_shown(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "_SECONDS", 0.0)
    monkeypatch.setattr(gpu, "_READINGS", 1)
    results = gpu.measure("cpu", gpu.Chip("A chip", 1e12, 1e11), (1, 3))
    assert [row["batch"] for row in results["batches"]] == [1, 3]
    assert all(
        row[name][kind] > 0 for row in results["batches"] for name in gpu.ENGINES for kind in row[name]
    )
    results["batches"][1]["torch"] = None
    machine = dict.fromkeys(("date", "cpu", "python", "torch", "triton", "qdllm"), "such")
    page = gpu.as_markdown({"command": "qdllm bench gpu", "machine": machine, **results})
    assert "A chip" in page
    assert page.count("does not fit") == 2
    assert "| 1 | " in page


def test_a_wrong_engine_is_not_timed(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "TOLERANCE", {"values": 1e-12, "gradients": 1e-4})
    with pytest.raises(gpu.WorkError, match="the engine torch on cpu is wrong"):
        gpu.check("cpu", "torch")

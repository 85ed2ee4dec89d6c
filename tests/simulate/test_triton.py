"""The Triton engine, on a GPU or in Triton's interpreter; and its kernels compiled without a GPU."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdllm.circuits import Circuit, compile_circuit, input_symbol, parameter, parse_observables, qd_llm
from qdllm.simulate.torch_engine import TorchEngine
from qdllm.simulate.triton_engine import TritonEngine

from .random_circuits import any_circuit, largest, pauli_sums, random_values

pytest.importorskip("triton", reason="triton is not installed: pip install 'qdllm[gpu]'")

DEVICE = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def both(circuit, observables=None, *, dtype, batch):
    """Values and gradients by Triton and by torch."""
    compiled = compile_circuit(circuit, parse_observables(observables, circuit.n_qubits))
    results = []
    for engine in (TritonEngine(compiled), TorchEngine(compiled)):
        arguments = [t.to(DEVICE).requires_grad_() for t in random_values(circuit, batch, dtype)]
        z = engine.expectations(*arguments)
        weights = torch.randn(z.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        gradients = torch.autograd.grad((z * weights.to(DEVICE, dtype)).sum(), arguments, allow_unused=True)
        zeros = (torch.zeros_like(t) for t in arguments)
        results.append((z.detach(), *(z if g is None else g for g, z in zip(gradients, zeros, strict=True))))
    return results


def many_stages():
    """Phases of each sample's own, numberings that change, and a rotation of every kind."""
    x, y, a = input_symbol("x"), input_symbol("y"), parameter("a")
    return (
        qd_llm(4, 2)
        + Circuit(4).rzz(x * 0.5 + a, 0, 2).rx(y, 1).cnot(1, 3).rxx(a - 1, 0, 3).ry(parameter("b"), 2)
        + Circuit(4).rz(y, 2).ryy(x, 1, 2).h(3).cnot(0, 1)
    )


@settings(max_examples=15, deadline=None)
@given(circuit=any_circuit(), data=st.data())
def test_any_circuit_has_the_same_values_and_gradients_by_triton_and_torch(circuit, data):
    observables = data.draw(st.none() | pauli_sums(circuit.n_qubits))
    ours, theirs = both(circuit, observables, dtype=torch.float64, batch=data.draw(st.integers(1, 40)))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("circuit", [qd_llm(), qd_llm(13, 1), many_stages()], ids=["paper", "13", "stages"])
def test_single_precision_is_as_good_as_promised(circuit):
    observables = [
        "Z" * circuit.n_qubits,
        "X" + "I" * (circuit.n_qubits - 2) + "Y",
        {"Z" * circuit.n_qubits: 0.5},
    ]
    ours, theirs = both(circuit, observables, dtype=torch.float32, batch=2)
    assert largest(observables) == 1
    torch.testing.assert_close(ours[0], theirs[0], atol=1e-5, rtol=0)
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_a_program_of_many_samples_and_one_that_is_not_full():
    ours, theirs = both(many_stages(), dtype=torch.float64, batch=37)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_gradients_equal_finite_differences():
    circuit = many_stages()
    engine = TritonEngine(compile_circuit(circuit, parse_observables(["ZIII", "XYIZ"], 4)))
    arguments = tuple(t.to(DEVICE).requires_grad_() for t in random_values(circuit, 2, torch.float64))
    fast = torch.autograd.gradcheck(engine.expectations, arguments, atol=1e-6, fast_mode=True)
    assert fast


def test_a_second_backward_pass_gives_the_same_gradient():
    circuit = many_stages()
    engine = TritonEngine(compile_circuit(circuit))
    arguments = [t.to(DEVICE).requires_grad_() for t in random_values(circuit, 3, torch.float64)]
    z = engine.expectations(*arguments).sum()
    first = torch.autograd.grad(z, arguments, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(first, torch.autograd.grad(z, arguments), strict=True))


def test_nothing_to_rotate_and_nothing_to_read():
    for circuit, observables in ((Circuit(2).x(1), ["ZI", "IZ", "II"]), (qd_llm(2, 1), [{"ZI": 0.0}])):
        ours, theirs = both(circuit, observables, dtype=torch.float64, batch=3)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_a_used_engine_can_be_copied():
    circuit = qd_llm(3, 1)
    engine = TritonEngine(compile_circuit(circuit))
    arguments = [t.to(DEVICE) for t in random_values(circuit, 2, torch.float32)]
    z = engine.expectations(*arguments)
    assert torch.equal(copy.deepcopy(engine).expectations(*arguments), z)


@pytest.mark.parametrize("wanted", ["4,float64,own", "11,float32,shared"])
def test_the_kernels_compile_for_hopper(wanted, tmp_path):
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    environment.pop("TRITON_INTERPRET", None)
    script = Path(__file__).with_name("compile_triton.py")
    command = [sys.executable, "-W", "error", script, wanted]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    kernels = [json.loads(line) for line in found.stdout.splitlines()]
    assert [kernel["kernel"] for kernel in kernels] == ["backward", "forward", "tabulate"]
    for kernel in kernels:
        assert kernel["reg"] <= 128
        assert kernel["stack"] <= 1024  # a state that lies in memory takes more
        assert kernel["shared"] <= 48 * 1024

import contextlib
import copy
import shutil
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdllm.circuits import (
    Circuit,
    compile_circuit,
    input_symbol,
    light_cones,
    parameter,
    parse_observables,
    qd_llm,
)
from qdllm.errors import CircuitError, InstallError
from qdllm.simulate import StatevectorSimulator, kernel
from qdllm.simulate.cone import ConeSimulator
from qdllm.simulate.kernel import instruction_sets
from qdllm.simulate.kernel_engine import KernelEngine
from qdllm.simulate.torch_engine import TorchEngine
from qdllm.simulate.triton_engine import TritonEngine

from .random_circuits import any_circuit, largest, pauli_sums, qiskit_expectations, random_values

needs_kernel = pytest.mark.skipif(not instruction_sets(), reason="the compiled kernel is not built")


@contextlib.contextmanager
def threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def both(circuit, observables=None, *, dtype, batch, instruction_set=None):
    """Values and gradients by the kernel and by torch."""
    compiled = compile_circuit(circuit, parse_observables(observables, circuit.n_qubits))
    results = []
    for engine in (KernelEngine(compiled, instruction_set), TorchEngine(compiled)):
        inputs, parameters = (t.requires_grad_() for t in random_values(circuit, batch, dtype))
        z = engine.expectations(inputs, parameters)
        weights = torch.randn(z.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        gradients = torch.autograd.grad(
            (z * weights.to(dtype)).sum(), (inputs, parameters), allow_unused=True
        )
        zeros = (torch.zeros_like(inputs), torch.zeros_like(parameters))
        results.append((z.detach(), *(z if g is None else g for g, z in zip(gradients, zeros, strict=True))))
    return results


def central_differences(function, inputs, parameters, step=1e-5):
    """Gradients of the sum of function (batch,): each sample depends on its own inputs alone."""
    with torch.no_grad():
        of_inputs, of_parameters = torch.zeros_like(inputs), torch.zeros_like(parameters)
        for j in range(inputs.shape[1]):
            change = torch.zeros_like(inputs)
            change[:, j] = step
            of_inputs[:, j] = function(inputs + change, parameters) - function(inputs - change, parameters)
        for j in range(len(parameters)):
            change = torch.zeros_like(parameters)
            change[j] = step
            of_parameters[j] = (
                function(inputs, parameters + change) - function(inputs, parameters - change)
            ).sum()
    return of_inputs / (2 * step), of_parameters / (2 * step)


@needs_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("instruction_set", instruction_sets())
def test_every_instruction_set_equals_torch(instruction_set, dtype):
    for n_qubits, n_layers, batch in ((11, 2, 37), (5, 3, 4), (2, 2, 1), (1, 1, 3)):
        kernel, plain = both(
            qd_llm(n_qubits, n_layers), dtype=dtype, batch=batch, instruction_set=instruction_set
        )
        tolerance = 2e-5 if dtype == torch.float32 else 1e-12
        for ours, theirs in zip(kernel, plain, strict=True):
            torch.testing.assert_close(ours, theirs, atol=tolerance * batch, rtol=0)


@needs_kernel
@settings(max_examples=100, deadline=None)
@given(circuit=any_circuit(max_qubits=8, max_gates=40), data=st.data())
def test_any_circuit_has_the_same_values_and_gradients_by_kernel_and_torch(circuit, data):
    observables = data.draw(st.none() | pauli_sums(circuit.n_qubits))
    batch = data.draw(st.integers(1, 21))
    instruction_set = data.draw(st.sampled_from(instruction_sets()))
    with threads(data.draw(st.integers(1, 3))):
        kernel, plain = both(
            circuit, observables, dtype=torch.float64, batch=batch, instruction_set=instruction_set
        )
    for ours, theirs in zip(kernel, plain, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)


@needs_kernel
@settings(max_examples=60, deadline=None)
@given(circuit=any_circuit(), data=st.data())
def test_any_circuit_is_as_precise_as_promised(circuit, data):
    observables = data.draw(st.none() | pauli_sums(circuit.n_qubits))
    compiled = compile_circuit(circuit, parse_observables(observables, circuit.n_qubits))
    engine = KernelEngine(compiled, data.draw(st.sampled_from(instruction_sets())))
    batch, scale = data.draw(st.integers(1, 19)), largest(observables)
    single = random_values(circuit, batch, torch.float32)
    double = tuple(t.double().requires_grad_() for t in single)
    with threads(data.draw(st.integers(1, 2))):
        z = engine.expectations(*single)
        expected = qiskit_expectations(circuit, *single, observables)
        torch.testing.assert_close(z.double(), expected, atol=1e-5 * scale, rtol=0)
        weights = torch.randn(len(compiled.observables), generator=torch.Generator().manual_seed(1))
        steps = central_differences(lambda *t: engine.expectations(*t) @ weights.double(), *double)
        for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-6)):
            arguments = tuple(t.detach().to(dtype).requires_grad_() for t in double)
            total = (engine.expectations(*arguments) @ weights.to(dtype)).sum()
            for ours, theirs in zip(torch.autograd.grad(total, arguments), steps, strict=True):
                torch.testing.assert_close(ours.double(), theirs, atol=tolerance * scale, rtol=tolerance)


@needs_kernel
@pytest.mark.parametrize(
    "observables",
    [
        None,
        ["IIZ", "ZII", "ZIZ", {"ZZZ": 0.5, "III": 2.0}],
        ["XII", "IYI", "YYX", "YYY"],
        ["ZXZ", {"XXZ": 0.5, "ZZI": -1.0, "YIY": 2.0, "YIZ": 0.7, "III": 1.0}, "IZI"],
        [a + b + c for a in "IXYZ" for b in "IXYZ" for c in "IXYZ"],
    ],
)
def test_the_kernels_gradients_equal_finite_differences(observables):
    x, a = input_symbol("x"), parameter("a")
    circuit = qd_llm(3, 2) + Circuit(3).rzz(x * 0.5 + a, 0, 1).rx(2 * x, 1).rxx(a - 1, 0, 2).ry(
        parameter("b"), 0
    )
    simulator = StatevectorSimulator(circuit, observables, engine="kernel")
    arguments = tuple(t.requires_grad_() for t in random_values(circuit, 3, torch.float64))
    assert torch.autograd.gradcheck(simulator, arguments, atol=1e-7)


@needs_kernel
def test_a_second_backward_pass_gives_the_same_gradient():
    circuit = qd_llm(4, 2)
    inputs, parameters = (t.requires_grad_() for t in random_values(circuit, 5, torch.float64))
    z = StatevectorSimulator(circuit, engine="kernel")(inputs, parameters).sum()
    first = torch.autograd.grad(z, (inputs, parameters), retain_graph=True)
    assert all(
        torch.equal(a, b) for a, b in zip(first, torch.autograd.grad(z, (inputs, parameters)), strict=True)
    )


@needs_kernel
def test_threads_do_not_change_the_result():
    circuit = qd_llm(6, 2)
    results = []
    for count in (1, 3):
        with threads(count):
            inputs, parameters = (t.requires_grad_() for t in random_values(circuit, 100, torch.float64))
            z = StatevectorSimulator(circuit, engine="kernel")(inputs, parameters)
            results.append((z, *torch.autograd.grad(z.sum(), (inputs, parameters))))
    for one, three in zip(*results, strict=True):
        torch.testing.assert_close(one, three, atol=1e-12, rtol=0)


@needs_kernel
def test_calls_from_several_python_threads_do_not_disturb_each_other():
    circuit = qd_llm(6, 1)
    simulator = StatevectorSimulator(circuit, engine="kernel")
    arguments = [random_values(circuit, 60 + i, torch.float64, seed=i) for i in range(6)]
    with threads(2):
        expected = [simulator(*values) for values in arguments]
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda values: simulator(*values), arguments * 20))
    assert all(map(torch.equal, found, expected * 20))


@needs_kernel
def test_huge_angles_stay_finite_and_right():
    circuit = Circuit(1).rx(input_symbol("x"), 0).rz(parameter("a"), 0).rx(parameter("a"), 0)
    inputs = torch.tensor([[1e9], [1e30]], dtype=torch.float64)
    parameters = torch.tensor([12345.678], dtype=torch.float64)
    ours = StatevectorSimulator(circuit, engine="kernel")(inputs, parameters)
    theirs = StatevectorSimulator(circuit, engine="torch")(inputs, parameters)
    torch.testing.assert_close(ours[0], theirs[0], atol=1e-6, rtol=0)
    assert ours.abs().max() <= 1 + 1e-9


@needs_kernel
def test_the_engine_is_chosen_and_named():
    circuit = qd_llm(3, 1)
    assert StatevectorSimulator(circuit).engine == f"kernel ({instruction_sets()[0]})"
    assert StatevectorSimulator(circuit, engine="torch").engine == "torch"
    assert StatevectorSimulator(circuit, ["XIY"]).engine == f"kernel ({instruction_sets()[0]})"


def test_on_a_gpu_triton_runs_what_fits_its_chip(monkeypatch):
    monkeypatch.setattr("qdllm.simulate.triton_engine._drives", lambda device: True)
    gpu = torch.device("cuda", 0)

    def runs(device, engine="auto"):
        return type(ConeSimulator(light_cones(qd_llm(3, 1))[0], engine).choose(1, torch.float32, device))

    assert runs(gpu) is TritonEngine
    assert runs(gpu, "torch") is TorchEngine
    assert runs(torch.device("cpu")) is not TritonEngine
    for largest_size, dtype in ((13, torch.float32), (12, torch.float64)):
        assert TritonEngine.serves(largest_size, dtype, gpu)
        assert not TritonEngine.serves(largest_size + 1, dtype, gpu)
    monkeypatch.setattr("qdllm.simulate.triton_engine._drives", lambda device: False)
    assert runs(gpu) is TorchEngine


def test_an_unknown_engine_is_refused():
    with pytest.raises(CircuitError, match="unknown engine"):
        StatevectorSimulator(Circuit(1), engine="gpu")


def test_a_used_simulator_can_be_copied():
    circuit = qd_llm(3, 1)
    simulator = StatevectorSimulator(circuit)
    arguments = random_values(circuit, 2, torch.float32)
    z = simulator(*arguments)
    assert torch.equal(copy.deepcopy(simulator)(*arguments), z)


@pytest.fixture
def reload_kernel():
    """Forget the loaded kernel, before the test and after it."""
    forget = kernel.load_kernel.cache_clear, kernel.say_that_torch_serves.cache_clear
    for clear in forget:
        clear()
    yield
    for clear in forget:
        clear()


def test_the_kernel_is_built_where_there_is_a_compiler():
    if not any(map(shutil.which, ("g++", "clang++"))):
        pytest.skip("no compiler is installed")
    assert instruction_sets()


def test_without_the_kernel_torch_serves_and_it_is_said_once(monkeypatch, reload_kernel, caplog):
    monkeypatch.setitem(sys.modules, "qdllm.simulate._kernel", None)  # as if it were not there
    assert instruction_sets() == ()
    assert StatevectorSimulator(qd_llm(2, 1)).engine == "torch"
    assert StatevectorSimulator(qd_llm(3, 1)).engine == "torch"
    (record,) = caplog.records
    assert "circuits run in torch" in record.getMessage()
    with pytest.raises(CircuitError, match="not built"):
        StatevectorSimulator(qd_llm(2, 1), engine="kernel")


def test_a_kernel_of_another_version_is_refused_in_one_line(monkeypatch, reload_kernel):
    stale = types.ModuleType("_kernel")
    stale.interface = kernel._INTERFACE - 1
    for module in (stale, types.ModuleType("_kernel")):
        monkeypatch.setitem(sys.modules, "qdllm.simulate._kernel", module)
        with pytest.raises(InstallError, match=r"another version.*pip install --no-deps -e ") as caught:
            StatevectorSimulator(qd_llm(2, 1))
        assert "\n" not in str(caught.value)
    assert StatevectorSimulator(qd_llm(2, 1), engine="torch").engine == "torch"


def test_a_kernel_that_does_not_load_is_refused_in_one_line(monkeypatch, reload_kernel, tmp_path):
    (tmp_path / f"_kernel{EXTENSION_SUFFIXES[0]}").write_bytes(b"no library\n")
    monkeypatch.setattr("qdllm.simulate.__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "qdllm.simulate._kernel", raising=False)
    monkeypatch.setattr(sys, "meta_path", [PathFinder])
    with pytest.raises(InstallError, match=r"cannot be loaded .*pip install --no-deps -e ") as caught:
        StatevectorSimulator(qd_llm(2, 1))
    assert "\n" not in str(caught.value)


@needs_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_half_turns_and_long_circuits_keep_their_precision(dtype):
    circuit = qd_llm(4, 40)
    inputs, parameters = random_values(circuit, 3, dtype)
    parameters[::7] = torch.pi  # where a rotation's tangent is unbounded
    inputs[0] = torch.pi
    results = []
    for engine in ("kernel", "torch"):
        x, p = inputs.clone().requires_grad_(), parameters.clone().requires_grad_()
        z = StatevectorSimulator(circuit, engine=engine)(x, p)
        results.append((z, *torch.autograd.grad(z.sum(), (x, p))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4 if dtype == torch.float32 else 1e-12, rtol=0)

"""Run a spread of circuits in a kernel given by its file, and compare with torch; for a sanitized build."""

import importlib.util
import os
import random
import signal
import sys

import torch


def load(path):
    specification = importlib.util.spec_from_file_location("qdllm.simulate._kernel", path)
    module = importlib.util.module_from_spec(specification)
    sys.modules["qdllm.simulate._kernel"] = module
    specification.loader.exec_module(module)


def random_circuit(rng, n_qubits, n_gates):
    from qdllm.circuits import GATES, Circuit, Gate, input_symbol, parameter

    symbols = [input_symbol("x"), input_symbol("y"), parameter("a"), parameter("b"), parameter("c")]
    names = sorted(name for name, (arity, _) in GATES.items() if arity <= n_qubits)
    gates = []
    for _ in range(n_gates):
        arity, n_angles = GATES[name := rng.choice(names)]
        angles = [rng.choice(symbols) * rng.choice([1.0, -0.5]) + rng.random() for _ in range(n_angles)]
        gates.append(Gate(name, tuple(rng.sample(range(n_qubits), arity)), angles))
    return Circuit(n_qubits, gates)


def run(engine, inputs, parameters):
    inputs, parameters = inputs.clone().requires_grad_(), parameters.clone().requires_grad_()
    z = engine.expectations(inputs, parameters)
    gradients = torch.autograd.grad((z**2).sum(), (inputs, parameters), materialize_grads=True)
    return z, *gradients


def check(rng, circuit, labels, instruction_sets):
    from qdllm.circuits import compile_circuit, parse_observables
    from qdllm.simulate.kernel_engine import KernelEngine
    from qdllm.simulate.torch_engine import TorchEngine

    compiled = compile_circuit(circuit, parse_observables(labels, circuit.n_qubits))
    for name in instruction_sets:
        for dtype, tolerance in ((torch.float32, 1e-3), (torch.float64, 1e-9)):
            torch.set_num_threads(rng.randint(1, 3))
            inputs = torch.rand(rng.choice([1, 5, 17, 40]), circuit.n_inputs).to(dtype)
            parameters = torch.rand(circuit.n_parameters).to(dtype)
            ours = run(KernelEngine(compiled, name), inputs, parameters)
            theirs = run(TorchEngine(compiled), inputs, parameters)
            for a, b in zip(ours, theirs, strict=True):
                torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)
            with torch.no_grad():  # a forward run that keeps nothing
                assert torch.equal(KernelEngine(compiled, name).expectations(inputs, parameters), ours[0])


def check_fork(name):
    """A forked process has none of the kernel's threads."""
    from qdllm.circuits import compile_circuit, qd_llm
    from qdllm.simulate.kernel_engine import KernelEngine

    circuit = qd_llm(5, 1)
    engine = KernelEngine(compile_circuit(circuit), name)
    arguments = torch.rand(40, 5), torch.rand(circuit.n_parameters)
    torch.set_num_threads(2)
    before = engine.expectations(*arguments)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(not torch.equal(engine.expectations(*arguments), before))
    assert os.waitpid(child, 0)[1] == 0


def main(path):
    load(path)
    from qdllm.circuits import qd_llm
    from qdllm.simulate.kernel import instruction_sets

    rng = random.Random(0)
    names = instruction_sets()
    check(rng, qd_llm(11, 2), None, names)
    for n_qubits in range(1, 10):
        paulis = ["".join(rng.choices("IXYZ", k=n_qubits)) for _ in range(6)]
        strings = ["".join(rng.choices("IZ", k=n_qubits)) for _ in range(2 * n_qubits)]
        for labels in (None, paulis, strings, [dict.fromkeys(paulis + strings, 0.5)]):
            check(rng, random_circuit(rng, n_qubits, rng.randint(0, 40)), labels, names)
    check_fork(names[0])
    print("done", *names)


main(sys.argv[1])

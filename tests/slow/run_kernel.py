"""Run a spread of circuits, formulas and texts in a kernel given by its file, and compare with torch, NumPy.

For a sanitized build.
"""

import importlib.util
import itertools
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


def check_formulas(rng, instruction_sets):
    """Sparse forms and trains of few and many variables, outputs and samples."""
    import numpy as np

    from qdllm.surrogate.evaluation import Evaluator
    from qdllm.surrogate.forms import SparseForm, TrainForm
    from qdllm.surrogate.polynomial import Polynomial

    draw = np.random.default_rng(rng.randrange(1000))
    for n_variables, n_outputs in ((1, 1), (2, 3), (5, 4), (11, 2), (12, 9), (64, 5)):
        n_terms = rng.choice([1, 7, 300])
        held, kinds = draw.random((2, n_terms, n_variables)) < 0.4
        bits = np.uint64(1) << np.arange(n_variables, dtype=np.uint64)
        sines, cosines = (((held & kind) * bits).sum(axis=1, dtype=np.uint64) for kind in (kinds, ~kinds))
        weights = draw.normal(size=(n_terms, n_outputs))
        ranks = [*draw.integers(1, 6, n_variables).tolist(), 1]
        cores = [draw.normal(size=(a, 3, b)) / (a * b) for a, b in itertools.pairwise(ranks)]
        forms = (
            SparseForm(Polynomial(n_variables, sines, cosines, weights), "float64"),
            TrainForm(draw.normal(size=(n_outputs, ranks[0])), cores, "float64"),
        )
        for form in forms:
            for name in instruction_sets:
                for rows in (1, 5, 33):
                    angles = draw.uniform(-7, 7, (rows, n_variables))
                    exact = form(angles)
                    np.testing.assert_allclose(Evaluator(form, "kernel", name)(angles), exact, atol=1e-9)
                    single = Evaluator(form, "kernel", name)(angles.astype(np.float32))
                    np.testing.assert_allclose(single, exact, atol=1e-3, rtol=1e-3)


def check_ngrams(rng):
    """Texts of every kind of character, empty ones and long words among them."""
    import numpy as np

    from qdllm.encoders.hashing import count_slots, hash_ngrams, place

    alphabet = "ab Z9.,!?\n\tßéあ漢🙂\u200d\ufffd"
    texts = ["", " ", "x" * 5000, *("".join(rng.choices(alphabet, k=rng.randrange(200))) for _ in range(200))]
    for bits in (1, 4, 12):
        signatures = np.zeros(2**bits, dtype=np.uint16)
        for _, hashes in hash_ngrams(texts[::2]):  # the other texts' are mostly unknown
            slots, signs = place(hashes, bits)
            signatures[slots] = signs
        for few in (texts, texts[:1], []):
            for ours, theirs in zip(
                count_slots(few, signatures), count_slots(few, signatures, compiled=False), strict=True
            ):
                np.testing.assert_array_equal(ours, theirs)


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
    check_formulas(rng, names)
    check_ngrams(rng)
    check_fork(names[0])
    print("done", *names)


main(sys.argv[1])

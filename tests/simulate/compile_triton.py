"""Compile the Triton kernels for an H100 or H200 (sm_90), no GPU needed, and print what ptxas made of them.

    python compile_triton.py N_QUBITS,DTYPE,own|shared...

One JSON line a kernel: registers a thread, bytes of stack a thread (what registers could not hold) and of
shared memory a program. `own`: a diagonal's phases are each sample's own.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from qdllm.circuits import Circuit, compile_circuit, input_symbol, qd_llm
from qdllm.simulate.triton_engine import TritonEngine


def main():
    from qdllm.simulate import triton_kernels

    for wanted in sys.argv[1:]:
        n_qubits, dtype, phases = wanted.split(",")
        circuit = qd_llm(int(n_qubits), 2)
        if phases == "own":
            circuit += Circuit(circuit.n_qubits).rzz(input_symbol("x"), 0, 1).ry(1.0, 0)
        program = TritonEngine(compile_circuit(circuit)).program(torch.device("cpu"), getattr(torch, dtype))
        for name in triton_kernels.__all__:
            found = compile_kernel(getattr(triton_kernels, name), program)
            print(json.dumps({"kernel": name, "dtype": dtype, **program.shape, **program.options, **found}))


def compile_kernel(kernel, program):
    """Compile one kernel as a launch would."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from qdllm.simulate import triton_kernels

    number = "*fp32" if program.constants.dtype == torch.float32 else "*fp64"
    kinds = {
        **dict.fromkeys(triton_kernels._NUMBERS, number),
        **dict.fromkeys(triton_kernels._TABLES, "*i32"),
        **dict.fromkeys(triton_kernels._COUNTS, "i32"),
    }
    signature = {p.name: "constexpr" if p.is_constexpr else kinds[p.name] for p in kernel.params}
    assert all(p.is_constexpr or p.do_not_specialize for p in kernel.params)
    constants = {name: program.shape[name] for name, kind in signature.items() if kind == "constexpr"}
    compiled = triton.compile(
        ASTSource(kernel, signature, constants), target=GPUTarget("cuda", 90, 32), options=program.options
    )
    return {**resources(compiled.asm["cubin"]), "shared": compiled.metadata.shared}


def resources(cubin):
    """What the assembler's notes in a compiled kernel say."""
    from triton.backends import nvidia

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        tool = Path(nvidia.__file__).parent / "bin" / "cuobjdump"
        notes = subprocess.run(
            [tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    return {name: int(re.search(rf"{name.upper()}:(\d+)", notes)[1]) for name in ("reg", "stack")}


if __name__ == "__main__":
    main()

"""The circuit engine on a GPU: samples a second by Triton and by torch, and the share of the chip's limit.

    qdllm bench gpu [--json] [--out FOLDER]

The paper's circuit in float32, forward and with all gradients, at batches of 64 to 65,536. Needs an NVIDIA
GPU and a build of torch for CUDA. Writes gpu.json and gpu.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from _circuit.page import table
from _circuit.problems import Step, paper_problem

from qdllm.circuits import CompiledCircuit, light_cones
from qdllm.circuits.compiled import Diagonal
from qdllm.cli.printing import errors_in_one_line
from qdllm.errors import ConfigError, TooLargeError, WorkError
from qdllm.extras import require
from qdllm.files import write_json, write_text
from qdllm.machine import describe_machine
from qdllm.progress import progress

BATCHES = (64, 256, 1024, 4096, 16384, 65536)
ENGINES = {"triton": "auto", "torch": "torch"}
TOLERANCE = {"values": 1e-5, "gradients": 1e-4}
_READINGS, _SECONDS = 7, 0.2  # of one reading, at least


@dataclass(frozen=True)
class Chip:
    """A GPU and what it can do at most.

    Parameters
    ----------
    name : str
        As the driver says.
    flops : float
        Single-precision operations a second: multiprocessors x lanes x 2 x the highest clock.
    bandwidth : float
        Bytes a second that a copy within its memory reads and writes.
    """

    name: str
    flops: float
    bandwidth: float


@dataclass(frozen=True)
class Work:
    """What one sample takes: single-precision operations, and bytes to and from the GPU's memory."""

    flops: int
    bytes: int

    def limit(self, chip: Chip) -> float:
        """Return the samples a second that neither arithmetic nor memory would let a chip exceed."""
        return min(chip.flops / self.flops, chip.bandwidth / self.bytes)


def main() -> None:
    """Measure, print the page, and write gpu.json and gpu.md."""
    parser = argparse.ArgumentParser(prog="qdllm bench gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    with errors_in_one_line():
        if not torch.cuda.is_available():
            raise ConfigError(
                "no CUDA device is here: run this on one with NVIDIA's driver and torch for CUDA"
            )
        require("triton", "gpu", "the engine that this measures")
        results = {
            "schema": {"name": "qdllm.gpu", "version": 1},
            "command": "qdllm bench gpu",
            "machine": describe_machine("torch", "triton"),
            **measure("cuda", find_chip(), BATCHES),
        }
        write_json(options.out / "gpu.json", results)
        write_text(options.out / "gpu.md", as_markdown(results))
        print(json.dumps(results, indent=2) if options.json else as_markdown(results))


def find_chip() -> Chip:
    """Return the current CUDA device; its clock from nvidia-smi, its bandwidth measured."""
    device = torch.cuda.current_device()
    properties = torch.cuda.get_device_properties(device)
    lanes = 64 if (properties.major, properties.minor) == (8, 0) else 128
    query = [
        "nvidia-smi",
        f"--id={properties.uuid}",
        "--query-gpu=clocks.max.sm",
        "--format=csv,noheader,nounits",
    ]
    clock = 1e6 * float(subprocess.run(query, capture_output=True, text=True, check=True).stdout)
    source = torch.empty(2**28, device=device)
    target = torch.empty_like(source)
    seconds = time_call(lambda: target.copy_(source), "cuda")
    return Chip(
        properties.name,
        properties.multi_processor_count * lanes * 2 * clock,
        2 * source.nbytes / seconds,
    )


def count_work(compiled: CompiledCircuit) -> dict[str, Work]:
    """Count what the stages take in float32, on the engine's way: a state once through registers.

    An addition or a multiplication is one operation. By amplitude, forward and back: the product state 2 and
    4 a rotation (its derivative alone); a rotation 6 and 16 (undone on the state and on the loss's derivative
    by it, 12, and its own derivative, 4); a diagonal 6 and 15 + n (n: a Walsh transform gives all its angles'
    derivatives); a readout's pass 3 + n and 4 + n. Phases that samples share are not counted. Through memory
    go inputs, values, the angles with their cosines and sines, and with gradients the state, written by one
    kernel and read by the other, and the derivatives by all of these.
    """
    n, size, width = compiled.n_qubits, 2**compiled.n_qubits, len(compiled.angles)
    passes = len({string.x for observable in compiled.observables for string, _ in observable})
    forward, back = 2 + passes * (3 + n), passes * (4 + n)
    for position, stage in enumerate(compiled.stages):
        if isinstance(stage, Diagonal):
            forward, back = forward + 6, back + 15 + n
        elif position == 0:
            back += 4 * len(stage.rotations)
        else:
            forward, back = forward + 6 * len(stage.rotations), back + 16 * len(stage.rotations)
    ends = compiled.circuit.n_inputs + len(compiled.observables)
    return {
        "forward": Work(forward * size, 4 * (ends + 4 * width)),
        "step": Work((forward + back) * size, 4 * (2 * ends + 8 * width + 4 * size)),
    }


def time_call(run: Callable[[], object], device: str) -> float:
    """Return the median of the seconds of one call, queued one after another as in training."""
    for _ in range(3):
        run()
    calls = 1
    readings: list[float] = []
    while len(readings) < _READINGS:
        _wait(device)
        started = time.perf_counter()
        for _ in range(calls):
            run()
        _wait(device)
        elapsed = time.perf_counter() - started
        if elapsed < _SECONDS:
            calls = max(2 * calls, int(1.2 * calls * _SECONDS / elapsed))
        else:
            readings.append(elapsed / calls)
    return median(readings)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def check(device: str, engine: str) -> dict[str, float]:
    """Return an engine's largest errors on 256 samples, against torch in float64 on the CPU.

    Raises
    ------
    WorkError
        If one of them is too large.
    """
    right = Step(paper_problem(), 256, torch.float64, "torch")
    ours = Step(paper_problem(), 256, torch.float32, engine, device)
    errors = {"values": float((right.step() - ours.step().cpu()).detach().abs().max())}
    pairs = ((getattr(right, name).grad, getattr(ours, name).grad) for name in ("inputs", "parameters"))
    # By the largest: one by a parameter sums 256 samples'.
    errors["gradients"] = max(float((r - o.cpu()).abs().max() / r.abs().max().clamp(min=1)) for r, o in pairs)
    if not all(errors[name] < TOLERANCE[name] for name in errors):
        raise WorkError(f"the engine {engine} on {device} is wrong: largest errors {errors}")
    return errors


def measure(device: str, chip: Chip, batches: Sequence[int]) -> dict[str, Any]:
    """Check both engines, then time them at each batch."""
    (cone,) = light_cones(paper_problem().circuit)
    work = count_work(cone.compiled)
    results: dict[str, Any] = {
        "chip": asdict(chip),
        "work": {kind: {**asdict(each), "limit": each.limit(chip)} for kind, each in work.items()},
        "checks": {name: check(device, engine) for name, engine in ENGINES.items()},
        "batches": [],
    }
    with progress("measuring the GPU", len(batches) * len(ENGINES), unit="parts") as advance:
        for batch in batches:
            row: dict[str, Any] = {"batch": batch}
            for name, engine in ENGINES.items():
                row[name] = _rates(batch, engine, device)
                advance(1)
            results["batches"].append(row)
    return results


def _rates(batch: int, engine: str, device: str) -> dict[str, float] | None:
    """Return samples a second, or None where the batch does not fit into memory."""
    run = Step(paper_problem(), batch, torch.float32, engine, device)
    try:
        return {
            "forward": batch / time_call(run.forward, device),
            "step": batch / time_call(run.step, device),
        }
    except (TooLargeError, torch.OutOfMemoryError):
        return None


def as_markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    machine, chip, work = results["machine"], results["chip"], results["work"]
    parts = [
        "# The circuit engine on a GPU",
        f"Made by `{results['command']}` on {machine['date']}: {chip['name']}, {machine['cpu']}, "
        f"Python {machine['python']}, torch {machine['torch']}, triton {machine['triton']}, "
        f"qdllm {machine['qdllm']}.",
        "The paper's circuit, 11 qubits and 2 layers, float32, through `StatevectorSimulator`. *Step* is the "
        "forward run and the gradients by all inputs and parameters. Samples a second by wall time, calls "
        "queued one after another, median of seven readings; in brackets the share of the chip's limit.",
    ]
    for kind in ("forward", "step"):
        parts += [
            f"## {kind.capitalize()}",
            table(
                "batch | Triton | torch | times as fast",
                (_row(row, kind, work[kind]["limit"]) for row in results["batches"]),
            ),
        ]
    parts += [
        "## The limit",
        f"Single precision at most {chip['flops'] / 1e12:.1f} TFLOP/s: multiprocessors × lanes × 2 × highest "
        "clock, which only fused multiply-adds reach. A copy within its memory, counted both ways, moves "
        f"{chip['bandwidth'] / 1e12:.2f} TB/s, measured. A sample takes "
        f"{work['forward']['flops'] / 1e6:.2f} MFLOP and {work['forward']['bytes'] / 1e3:.1f} kB forward, "
        f"{work['step']['flops'] / 1e6:.2f} MFLOP and {work['step']['bytes'] / 1e3:.1f} kB a step, counted "
        "from the stages (`count_work` in `benchmarks/gpu.py` says how). The limit is what neither lets the "
        f"chip exceed: {work['forward']['limit'] / 1e6:.0f} million samples a second forward, "
        f"{work['step']['limit'] / 1e6:.0f} million steps.",
        "Largest errors on 256 samples against torch in float64 on the CPU: "
        + "; ".join(
            f"{name}: values {errors['values']:.1e}, gradients {errors['gradients']:.1e} of the largest"
            for name, errors in results["checks"].items()
        )
        + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _row(row: dict[str, Any], kind: str, limit: float) -> list[str]:
    rates = [row[name] and row[name][kind] for name in ENGINES]
    cells = [f"{rate:,.0f} ({100 * rate / limit:.1f} %)" if rate else "does not fit" for rate in rates]
    return [f"{row['batch']:,}", *cells, f"{rates[0] / rates[1]:.1f}" if all(rates) else ""]


if __name__ == "__main__":
    main()

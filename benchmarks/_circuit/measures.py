"""What is measured of ours: the paper's circuit, families, sizes, threads and memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from _circuit.problems import Step, families, paper_problem, random_problem
from _circuit.timing import Timing, running_on, time_call
from qdllm.circuits import compile_circuit, qd_llm
from qdllm.errors import TooLargeError, WorkError
from qdllm.simulate import StatevectorSimulator

BATCHES = (1, 64, 256)
FASTEST = torch.float32


@dataclass(frozen=True)
class Settings:
    """How much is measured, and how long.

    Parameters
    ----------
    seconds : float
        Of one timing; the peers take 1.
    readings : int
        Of one timing at least; the peers take 7.
    family_qubits : int
        Qubits of the families' circuits.
    sizes : tuple of int
        Qubits of the paper's circuit, forward and backward.
    largest : int
        Qubits of the one that is run forward only.
    thread_batches : tuple of int
        Samples for one thread against two.
    rounds : int
        Of what is measured in turn.
    """

    seconds: float = 1.0
    readings: int = 7
    family_qubits: int = 11
    sizes: tuple[int, ...] = (4, 8, 11, 14, 17, 20)
    largest: int = 24
    thread_batches: tuple[int, ...] = (256, 1024)
    rounds: int = 5


FULL = Settings()
QUICK = Settings(0.01, 1, family_qubits=3, sizes=(2, 3), largest=4, thread_batches=(32,), rounds=1)


def engines() -> tuple[str, ...]:
    """Return the engines that are here, the one that ``auto`` takes first."""
    has_kernel = StatevectorSimulator(qd_llm(2, 1)).engine.startswith("kernel")
    return ("kernel", "torch") if has_kernel else ("torch",)


def time_paper(settings: Settings, engine: str, dtype: torch.dtype) -> dict[str, dict[str, Timing]]:
    """Time the paper's circuit: "forward" and "step" (with all gradients), for each batch."""
    timings: dict[str, dict[str, Timing]] = {"forward": {}, "step": {}}
    for batch in BATCHES:
        run = Step(paper_problem(), batch, dtype, engine)
        timings["forward"][str(batch)] = time_call(run.forward, settings.seconds, settings.readings)
        timings["step"][str(batch)] = time_call(run.step, settings.seconds, settings.readings)
    return timings


def measure_families(settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield each family's time a compiled stage, in a training step on 256 samples; the paper's first."""
    problems = {name: random_problem(c, 256) for name, c in families(settings.family_qubits).items()}
    steps = {name: Step(problem, 256, FASTEST) for name, problem in problems.items()}
    timings = dict.fromkeys(steps, Timing())
    for _ in range(settings.rounds):
        for name, step in steps.items():
            timings[name] += time_call(step.step, settings.seconds / settings.rounds, settings.readings)
    papers = None
    for name, step in steps.items():
        compiled = compile_circuit(problems[name].circuit)
        timing = timings[name].as_dict()
        per_stage = timing["cpu_ms"] / len(compiled.stages)
        papers = papers or per_stage
        yield {
            "family": name,
            "engine": step.simulator.engine,
            "gates": len(problems[name].circuit.gates),
            "stages": len(compiled.stages),
            "rotations": len(compiled.angles),
            "step": timing,
            "cpu_ms_per_stage": per_stage,
            "relative_to_papers": per_stage / papers,
        }


def measure_size(settings: Settings, n_qubits: int) -> dict[str, Any]:
    """Return the CPU time a sample of the paper's circuit on that many qubits."""
    batch = max(16, min(256, 2 ** (19 - n_qubits)))
    row: dict[str, Any] = {"qubits": n_qubits, "batch": batch}
    problem = random_problem(qd_llm(n_qubits, 2), batch)
    try:
        run = Step(problem, batch, FASTEST)
        row["engine"] = run.simulator.engine
        forward = time_call(run.forward, settings.seconds, min(3, settings.readings)).as_dict()
        row["forward_us_per_sample"] = 1e3 * forward["cpu_ms"] / batch
        if n_qubits < settings.largest:
            step = time_call(run.step, settings.seconds, min(3, settings.readings)).as_dict()
            row["step_us_per_sample"] = 1e3 * step["cpu_ms"] / batch
    except TooLargeError as error:
        row["refused"] = str(error)
    return row


def measure_threads(settings: Settings, cores: list[int], batch: int) -> dict[str, Any]:
    """Return a training step's wall time on one thread and on two, call by call, free to use all cores."""
    step = Step(paper_problem(), batch, FASTEST)
    step.step()
    walls: dict[int, list[float]] = {1: [], 2: []}
    end = time.perf_counter() + 2 * settings.rounds * settings.seconds
    with running_on(cores):
        try:
            while time.perf_counter() < end or len(walls[2]) < settings.readings:
                for threads, found in walls.items():
                    torch.set_num_threads(threads)
                    started = time.perf_counter()
                    step.step()
                    found.append(1e3 * (time.perf_counter() - started))
        finally:
            torch.set_num_threads(1)
    pairs = sorted(one / two for one, two in zip(walls[1], walls[2], strict=True))
    return {
        "batch": batch,
        "one_thread_wall_ms": min(walls[1]),
        "two_threads_wall_ms": min(walls[2]),
        "speedup": min(walls[1]) / min(walls[2]),
        "median_of_pairs": pairs[len(pairs) // 2],
        "pairs": len(pairs),
    }


def measure_memory() -> dict[str, float]:
    """Return megabytes: after `import torch`, and the peak of training steps on 256 samples above it.

    Raises
    ------
    WorkError
        If the process that measures it fails.
    """
    folder = Path(__file__).resolve().parents[1]
    call = [sys.executable, "-m", "_circuit.peak_memory"]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkError(f"the peak memory could not be measured: {done.stderr.strip().splitlines()[-1]}")
    found = {name: n_bytes / 1e6 for name, n_bytes in json.loads(done.stdout).items()}
    return {
        "torch_mb": found["torch"],
        "qdllm_imports_mb": found["with_qdllm"] - found["torch"],
        "peak_above_torch_mb": found["peak"] - found["torch"],
    }

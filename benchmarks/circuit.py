"""The circuit engine: times on one core, beside peers, by family, size, thread and memory.

    qdllm bench circuit [--peer NAME=PYTHON]… [--json] [--out FOLDER] [--quick]

NAME is a script of the folder that the environment variable QDLLM_PEERS names, PYTHON the interpreter of that
library's own environment. Everything is measured in one run on one core, but two threads against one, which
take all cores. Writes circuit.json, circuit.md and circuit-sizes.png.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from _circuit.bars import judge
from _circuit.measures import (
    BATCHES,
    FASTEST,
    FULL,
    QUICK,
    Settings,
    engines,
    measure_families,
    measure_memory,
    measure_size,
    measure_threads,
    time_paper,
)
from _circuit.page import as_markdown, plot_sizes
from _circuit.peers import Peer, find_peers, peers_folder, run_peer
from _circuit.problems import Reference, Step, paper_problem, reference_of
from _circuit.timing import Timing, running_on, usable_cores

from qdllm.cli.printing import errors_in_one_line
from qdllm.errors import WorkError
from qdllm.extras import require
from qdllm.files import write_json, write_text
from qdllm.machine import describe_machine
from qdllm.progress import progress

Round = dict[str, dict[str, Timing]]


def main() -> None:
    """Measure, print the page, and write circuit.json, circuit.md and circuit-sizes.png."""
    parser = argparse.ArgumentParser(prog="qdllm bench circuit", description=__doc__.splitlines()[0])
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="repeatable")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--quick", action="store_true", help="a trial in seconds, whose figures say nothing")
    options = parser.parse_args()
    with errors_in_one_line():
        require("matplotlib.figure", "plot", "the plot of sizes")
        folder = peers_folder()
        peers = find_peers(options.peer, folder)
        results = measure(QUICK if options.quick else FULL, peers, reference_of(folder))
        results["command"] = " ".join(
            ["qdllm bench circuit", *(f"--peer {request.split('=')[0]}=PYTHON" for request in options.peer)]
        )
        plot_sizes(results["sizes"], options.out / "circuit-sizes.png")
        write_json(options.out / "circuit.json", results)
        write_text(options.out / "circuit.md", as_markdown(results))
        print(json.dumps(results, indent=2, ensure_ascii=False) if options.json else as_markdown(results))
        failed = [f"{row['peer']} ({row['failed']})" for row in results["peers"] if "failed" in row]
        if failed:
            raise WorkError(
                f"not measured: {'; '.join(failed)}; the rest is in {options.out / 'circuit.json'}"
            )


def measure(settings: Settings, peers: Sequence[Peer], reference: Reference) -> dict[str, Any]:
    """Measure everything in one run."""
    torch.set_num_threads(1)
    cores = usable_cores()
    fastest, *others = [(engine, dtype) for engine in engines() for dtype in (FASTEST, torch.float64)]
    results: dict[str, Any] = {
        "schema": {"name": "qdllm.circuit", "version": 1},
        "command": "",
        "machine": describe_machine("torch", "numpy"),
        "core": cores[-1],
        "quick": settings is QUICK,
        "load": [os.getloadavg()[0]],
    }
    sizes = (*settings.sizes, settings.largest)
    batches = settings.thread_batches if len(cores) > 1 else ()
    total = 2 + len(peers) + len(others) + 1 + len(sizes) + len(batches) + 1
    with progress("measuring the circuit", total, unit="parts") as advance, running_on(cores[-1:]):
        results["checks"] = {
            "reference": reference.source,
            "engines": [
                {"engine": engine, "dtype": _name(dtype), "errors": reference.check(dtype, engine)}
                for engine, dtype in (fastest, *others)
            ],
        }
        rounds = [time_paper(settings, *fastest)]
        advance(1)
        results["peers"] = []
        for peer in peers:
            rows = run_peer(peer)
            rounds.append(time_paper(settings, *fastest))
            results["peers"] += [_beside_ours(row, rounds[-2:]) for row in rows]
            advance(1)
        slower = []
        for kind in others:
            slower.append(_paper_row(*kind, [time_paper(settings, *kind)]))
            advance(1)
        results["families"] = list(measure_families(settings))
        advance(1)
        results["sizes"] = []
        for n_qubits in sizes:
            results["sizes"].append(measure_size(settings, n_qubits))
            advance(1)
        rounds.append(time_paper(settings, *fastest))
        advance(1)
        results["paper"] = [_paper_row(*fastest, rounds), *slower]
        results["threads"] = []
        for batch in batches:
            results["threads"].append(measure_threads(settings, cores, batch))
            advance(1)
        results["memory"] = measure_memory()
        advance(1)
    results["load"].append(os.getloadavg()[0])
    results["bars"] = judge(results)
    return results


def _paper_row(engine: str, dtype: torch.dtype, rounds: Sequence[Round]) -> dict[str, Any]:
    named = Step(paper_problem(), 1, dtype, engine).simulator.engine
    return {"engine": named, "dtype": _name(dtype), **_pooled(rounds)}


def _beside_ours(row: dict[str, Any], rounds: Sequence[Round]) -> dict[str, Any]:
    """Add ours, timed right before and after a peer, and how many times as long the peer takes."""
    if "failed" in row:
        return row
    ours = _pooled(rounds)
    ratios = {
        kind: {batch: row[kind][batch]["cpu_ms"] / ours[kind][batch]["cpu_ms"] for batch in row[kind]}
        for kind in ours
    }
    return {**row, "ours": ours, "times_ours": ratios}


def _pooled(rounds: Sequence[Round]) -> dict[str, dict[str, dict[str, float]]]:
    return {
        kind: {
            str(batch): sum((one[kind][str(batch)] for one in rounds), Timing()).as_dict()
            for batch in BATCHES
        }
        for kind in ("forward", "step")
    }


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    main()

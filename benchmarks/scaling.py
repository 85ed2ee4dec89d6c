"""Where does the classical form stop being small? Accuracy, cost, terms and ranks against qubits and depth.

    qdllm bench scaling --runs FOLDER [--tasks topic,hiding] [--qubits 4,8,…] [--depths 1,2,…]
                        [--rows 2000] [--epochs 10] [--minutes M] [--json] [--out FOLDER]

FOLDER holds a run a task, whose features and labels students of every size are trained on: bricks of two
qubits, which beyond 24 qubits, as below, run on their light cones. Each is expanded by Pauli propagation and
compressed to a proven error of 0.01. Beside them stand the same circuits untrained and deeper, their angles
uniform in ±π: how many terms these come to says what training has to do with it. Points that the file in
--out holds already are not measured again, so that --minutes, which starts no point later than that, can be
called again and again.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from qdllm.circuits import make_ansatz
from qdllm.cli.printing import errors_in_one_line
from qdllm.compare import one_thread
from qdllm.encoders import Features
from qdllm.errors import TooLargeError
from qdllm.extras import require
from qdllm.files import atomic_path, read_json, write_json, write_text
from qdllm.machine import describe_machine
from qdllm.pipeline import RunFolder
from qdllm.student import Student
from qdllm.surrogate import compress, expand_student
from qdllm.surrogate.propagation import expand
from qdllm.surrogate.structure import describe_polynomial

_SCHEMA = {"name": "qdllm.bench-scaling", "version": 2}
_MAX_ERROR, _TRUNCATION = 0.01, 0.0005
_UNTRAINED = (1, 2, 3, 4, 6, 8, 10)  # depths
_PLOTS = {
    "accuracy": "test accuracy, %",
    "train_seconds": "training, CPU seconds",
    "terms": "terms of the formula",
    "bytes": "bytes of the certified form",
}


def main() -> None:
    """Measure, print the page, and write scaling.json, scaling.md and the plots."""
    parser = argparse.ArgumentParser(prog="qdllm bench scaling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="a folder with a run a task")
    parser.add_argument("--tasks", default="topic,hiding", help="comma-separated")
    parser.add_argument("--qubits", default="4,8,11,16,24,32,40", help="comma-separated")
    parser.add_argument("--depths", default="1,2,3,4,6", help="comma-separated")
    parser.add_argument("--rows", type=int, default=2000, help="to train on, at most")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--minutes", type=float, help="start no point later")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    settings = {"rows": options.rows, "epochs": options.epochs, "max_error": _MAX_ERROR}
    results: dict[str, Any] = {
        "schema": _SCHEMA,
        "command": f"qdllm bench scaling --rows {options.rows} --epochs {options.epochs}",
        "machine": describe_machine("numpy", "torch"),
        "settings": settings,
        "points": [],
        "untrained": [],
    }
    path = options.out / "scaling.json"
    earlier = read_json(path) if path.is_file() else {}
    if all(earlier.get(name) == results[name] for name in ("schema", "settings")):
        results |= {name: earlier[name] for name in ("points", "untrained")}
    started = time.monotonic()
    done = {(p.get("task"), p["qubits"], p["depth"]) for p in results["points"] + results["untrained"]}
    qubits, tasks = _numbers(options.qubits), options.tasks.split(",")
    # Small ones first, so that a short call already shows where things lead.
    wanted: list[tuple[int, int, str | None]] = [
        *product(_numbers(options.depths), qubits, tasks),
        *product(_UNTRAINED, qubits, [None]),
    ]
    with errors_in_one_line():
        require("matplotlib.figure", "plot", "the plots")
        for depth, n, task in wanted:
            if options.minutes and time.monotonic() - started > 60 * options.minutes:
                break
            if (task, n, depth) in done:
                continue
            size = {"qubits": n, "depth": depth}
            with one_thread():
                if task is None:
                    results["untrained"].append({**size, **expand_untrained(n, depth)})
                else:
                    point = measure(RunFolder(options.runs / task), n, depth, settings)
                    results["points"].append({"task": task, **size, **point})
            write_json(path, results)
    for measured in _PLOTS:
        plot(results["points"], measured, options.out / f"scaling-{measured.replace('_', '-')}.png")
    write_text(options.out / "scaling.md", as_markdown(results))
    print(json.dumps(results, indent=2) if options.json else as_markdown(results))


def measure(run: RunFolder, qubits: int, depth: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Train one student and take its formula apart."""
    split = pq.read_table(run.split, columns=["row_id", "label", "part"]).to_pydict()
    x, part = Features.read(run.features).align(split["row_id"]), np.array(split["part"])
    y = np.array([str(label) for label in split["label"]])
    train, test = np.flatnonzero(part == "train")[: settings["rows"]], part == "test"
    rows = np.concatenate([train, np.flatnonzero(part == "validation")])
    student = Student(
        ansatz="brick",
        n_qubits=qubits,
        n_layers=depth,
        epochs=settings["epochs"],
        batch_size=256,
        learning_rate=0.008,
        patience=settings["epochs"],
    )
    started = time.process_time()
    student.fit(x[rows], y[rows], validation=part[rows] == "validation")
    trained = time.process_time()
    point: dict[str, Any] = {
        "engine": student.model_.simulator.engine,
        "train_rows": len(train),
        "test_rows": int(test.sum()),
        "train_seconds": trained - started,
        "accuracy": float((student.predict(x[test]) == y[test]).mean()),
        "simulate_seconds": time.process_time() - trained,
    }
    started = time.process_time()
    try:
        expansion = expand_student(student, max_error=_TRUNCATION)
    except TooLargeError as error:
        return {**point, "refused": str(error), "expand_seconds": time.process_time() - started}
    expanded = time.process_time()
    found = describe_polynomial(expansion.polynomial)
    form, errors = compress(expansion.polynomial, _MAX_ERROR - float(expansion.dropped.max()))
    return {
        **point,
        "expand_seconds": expanded - started,
        "compress_seconds": time.process_time() - expanded,
        "strings": expansion.n_strings,
        "terms": found["terms"],
        "largest_order": int(np.flatnonzero(np.array(found["orders"]) > 1e-4).max(initial=0)) + 1,
        "rank": max(found["ranks"]),
        "form": form.kind,
        "size": form.size,
        "bytes": sum(array.nbytes for array in form.arrays.values()),
        "proven": float((errors + expansion.dropped).max()),
    }


def expand_untrained(qubits: int, depth: int) -> dict[str, Any]:
    """Count the strings and terms of a circuit whose angles are uniform in ±π, read out at random."""
    circuit = make_ansatz("brick", qubits, depth)
    rng = np.random.default_rng([qubits, depth])
    angles = rng.uniform(-np.pi, np.pi, circuit.n_parameters)
    weights = rng.normal(size=(2, qubits)) / np.sqrt(qubits)
    started = time.process_time()
    try:
        expansion = expand(circuit, angles, weights, max_error=_TRUNCATION)
    except TooLargeError as error:
        return {"refused": str(error), "expand_seconds": time.process_time() - started}
    return {
        "strings": expansion.n_strings,
        "terms": len(expansion.polynomial),
        "expand_seconds": time.process_time() - started,
    }


def as_markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    machine, settings = results["machine"], results["settings"]
    points = sorted(results["points"], key=lambda p: (p["task"], p["depth"], p["qubits"]))
    lines = [
        "# Where the classical form stops being small",
        "",
        f"Made by `{results['command']}` on {machine['date']}: {machine['cpu']}, Python {machine['python']}, "
        f"NumPy {machine['numpy']}, torch {machine['torch']}, qdllm {machine['qdllm']}; seed 0.",
        "",
        f"Students of bricks (`qdllm inspect brick`), trained on at most {settings['rows']:,} rows "
        f"for {settings['epochs']} epochs on gold labels, exactly, on their light cones; then expanded to a "
        f"polynomial within {_TRUNCATION:g} and compressed to a proven error of {settings['max_error']:g} in "
        "every logit. One seed a point: accuracies move by a point or two.",
        "",
        *(f"![{title}](scaling-{name.replace('_', '-')}.png)\n" for name, title in _PLOTS.items()),
        *_answer(points),
        "",
        "| task | depth | qubits | accuracy, % | training, s | most strings | terms | angles that meet "
        "| largest rank | form | bytes |",
        "|---" * 11 + "|",
    ]
    for p in points:
        if "refused" in p:
            rest = "more than 4,194,304 | | | | refused | |"
        else:
            rest = (
                f"{p['strings']:,} | {p['terms']:,} | {p['largest_order']} | {p['rank']} | {p['form']} "
                f"| {p['bytes']:,} |"
            )
        lines.append(
            f"| {p['task']} | {p['depth']} | {p['qubits']} | {100 * p['accuracy']:.1f} "
            f"| {p['train_seconds']:.1f} | {rest}"
        )
    lines += _untrained(results["untrained"])
    return "\n".join(lines) + "\n"


def _answer(points: list[dict[str, Any]]) -> list[str]:
    """Say in a sentence a depth how the certified size grows with the qubits."""
    lines = []
    for depth in sorted({p["depth"] for p in points}):
        here = [p for p in points if p["depth"] == depth]
        sizes = [p["bytes"] for p in here if "bytes" in p]
        refused = [p["qubits"] for p in here if "refused" in p]
        text = f"- Depth {depth}: "
        if sizes:
            within = sum(size <= 16_000 for size in sizes)
            text += f"{min(sizes):,} to {max(sizes):,} bytes; {within} of {len(here)} students fit into 16 kB"
        if refused:
            text += f"{'; ' if sizes else ''}no polynomial from {min(refused)} qubits on"
        lines.append(text + ".")
    return lines


def _untrained(points: list[dict[str, Any]]) -> list[str]:
    """Return a table of the terms of untrained circuits, a row a depth."""
    qubits, depths = (sorted({p[name] for p in points}) for name in ("qubits", "depth"))
    found = {(p["depth"], p["qubits"]): "refused" if "refused" in p else f"{p['terms']:,}" for p in points}
    lines = [
        "",
        "## Untrained",
        "",
        "Terms of the same circuits with all angles uniform in ±π and a random readout of two classes, "
        f"within {_TRUNCATION:g}, not compressed further. Refused: more than 4,194,304 strings on the way.",
        "",
        f"| depth | {' | '.join(f'{n} qubits' for n in qubits)} |",
        "|---" * (len(qubits) + 1) + "|",
    ]
    cells = {depth: " | ".join(found.get((depth, n), "") for n in qubits) for depth in depths}
    return [*lines, *(f"| {depth} | {row} |" for depth, row in cells.items())]


def plot(points: list[dict[str, Any]], measured: str, path: Path) -> None:
    """Draw one figure against the qubits, a line a depth, a panel a task."""
    from matplotlib.figure import Figure

    tasks = sorted({p["task"] for p in points})
    figure = Figure(figsize=(4.5 * max(len(tasks), 1), 3.4), layout="constrained")
    panels = figure.subplots(1, max(len(tasks), 1), squeeze=False, sharey=True)[0]
    for task, axes in zip(tasks, panels, strict=True):
        here = [p for p in points if p["task"] == task and measured in p]
        for depth in sorted({p["depth"] for p in here}):
            line = sorted((p["qubits"], p[measured]) for p in here if p["depth"] == depth)
            factor = 100 if measured == "accuracy" else 1
            axes.plot([q for q, _ in line], [factor * v for _, v in line], marker="o", label=f"depth {depth}")
        axes.set_title(task)
        axes.set_xlabel("qubits")
        axes.grid(alpha=0.3)
        if measured != "accuracy":
            axes.set_yscale("log")
    panels[0].set_ylabel(_PLOTS[measured])
    panels[0].legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _numbers(words: str) -> list[int]:
    return [int(word) for word in words.split(",")]


if __name__ == "__main__":
    main()

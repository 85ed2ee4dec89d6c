"""The results as a page and a plot."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qdllm.extras import require
from qdllm.files import atomic_path

_TRIAL = "**A trial run (`--quick`): its figures say nothing.**"

_BUSY = """\
**The machine was busy.** Other work takes the caches, which lengthens CPU times too, and the cores, so that
wall times and the speedup of two threads say little here."""

_METHOD = """\
The paper's circuit, 11 qubits and 2 layers, all 144 parameters and 11 inputs, as `qd_llm()` gives it.
*Step* is the forward run and the gradients of a weighted sum of all ⟨Z⟩ to parameters and inputs, through
`StatevectorSimulator` and `backward()`. Everything but the two-thread rows runs on one core, to which this
process and the peers' are tied. Times are CPU time of the process, median over at least 7 readings and 1 s
after a warm-up (a reading of less than 2 ms repeats the call); wall time where it says so."""

_PEERS = """\
Every peer is a process of its own on the same core, one after another; ours is timed before and after each,
and the two together are what it is compared with. A peer checks its values and all gradients against the
reference that ours is checked against, to 1e-4, before it is timed. `literal` keeps every gate as
published, `merged` adds up consecutive rotations first; the words are the script's arguments. Single
precision; qulacs has double alone."""

_FAMILIES = """\
A training step on 256 samples, float32. A stage is an element of `compile_circuit(circuit).stages`: a
diagonal, or one rotation of each of some qubits (the first writes down the product state). The bar compares
CPU time by the number of stages. Each circuit is deep enough that every ⟨Z⟩ depends on every qubit, so that
no light cone makes it smaller."""

_THREADS = """\
Wall time, float32, free to run on all cores; one call on one thread, one on two, and so on. The speedup is
that of the best calls, which other work on the machine disturbs least; the median over pairs stands beside
it."""

_MEMORY = """\
In a fresh process: resident memory right after `import torch`, and the most that was ever resident (VmHWM
of /proc/self/status, what `ru_maxrss` counts, without the share of the process that started it) by the end
of five training steps on 256 samples in float32. The difference holds the import of qdllm's simulator, the
compiled circuit, arguments, gradients and everything that the kernel takes."""

_SIZES = """\
The same two layers on more or fewer qubits, float32. Below 17 qubits a batch of many samples, from there on
16: one vector's worth. The largest is run forward only."""

_REPRODUCE = """\
## How to reproduce

Ours alone, about two minutes:

```bash
qdllm bench circuit
```

Beside peers, each in an environment of its own. `QDLLM_PEERS` names the folder of their scripts, with
`common.py` and `reference.npz`; what a script has to do is said in `benchmarks/_circuit/peers.py`. Where
torch is needed it comes first and exactly.

```bash
python3.11 -m venv peers/tc && peers/tc/bin/pip install numpy jax jaxlib tensorcircuit-ng
python3.11 -m venv peers/mq && peers/mq/bin/pip install mindquantum
python3.11 -m venv peers/ql && peers/ql/bin/pip install qulacs
python3.11 -m venv peers/pl && peers/pl/bin/pip install torch==2.13.0
peers/pl/bin/pip install torch==2.13.0 pennylane pennylane-lightning
export QDLLM_PEERS=FOLDER
qdllm bench circuit --peer tensorcircuit_ng=peers/tc/bin/python --peer mindquantum_sim=peers/mq/bin/python \\
    --peer qulacs_sim=peers/ql/bin/python --peer pennylane_torch=peers/pl/bin/python \\
    --peer pennylane_lightning=peers/pl/bin/python
```"""


def as_markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    machine, memory = results["machine"], results["memory"]
    parts = [
        "# The circuit engine: times, peers, sizes",
        f"Made by `{results['command']}` on {machine['date']}: {machine['cpu']}, {machine['cores']} cores, "
        f"Python {machine['python']}, torch {machine['torch']}, numpy {machine['numpy']}, "
        f"qdllm {machine['qdllm']}; {results['paper'][0]['engine']}. Load average of the machine, 1 of it "
        f"this run: {results['load'][0]:.1f} before, {results['load'][1]:.1f} after.",
        *([_TRIAL] if results["quick"] else []),
        *([_BUSY] if max(results["load"]) > machine["cores"] else []),
        _METHOD,
        "## Bars",
        table("bar | wanted | measured | verdict", map(_bar_row, results["bars"])),
        "Against TensorCircuit-NG it reaches for 40 and 60. The ALU floor is the arithmetic counted by hand, "
        "0.75 to 1 ms on a 3.6 GHz core with AVX-512; the bar takes 0.75.",
        "## Peers",
        *_peers(results),
        "## The paper's circuit",
        table(
            "engine | type | batch | forward, ms | least | wall | step, ms | least | wall | µs a sample",
            (cells for row in results["paper"] for cells in _paper_rows(row)),
        ),
        _checks(results["checks"]),
        "## Families",
        _FAMILIES,
        table(
            "family | engine | gates | stages | rotations | step, ms | µs a stage | to the paper's",
            map(_family_row, results["families"]),
        ),
        "## Two threads",
        _THREADS,
        table(
            "batch | one thread, ms | two, ms | speedup | median of pairs",
            map(_thread_row, results["threads"]),
        )
        if results["threads"]
        else "Not measured: one core.",
        "## Memory",
        _MEMORY,
        f"{memory['peak_above_torch_mb']:.1f} MB above the {memory['torch_mb']:.0f} MB of torch, "
        f"{memory['qdllm_imports_mb']:.1f} MB of them for imports.",
        "## Sizes",
        _SIZES,
        table("qubits | batch | forward, µs a sample | step, µs a sample", map(_size_row, results["sizes"])),
        "![CPU time a sample by number of qubits](circuit-sizes.png)",
        _REPRODUCE,
    ]
    return "\n\n".join(parts) + "\n"


def table(heading: str, rows: Iterable[list[str]]) -> str:
    lines = [f"| {heading} |", "|" + "---|" * (heading.count("|") + 1)]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in rows)])


def _bar_row(bar: dict[str, Any]) -> list[str]:
    wanted = f"at most {bar['at_most']:g}" if "at_most" in bar else f"at least {bar['at_least']:g}"
    measured = "" if bar["measured"] is None else _three(bar["measured"])
    verdict = {None: "not measured", True: "met", False: "**missed**"}[bar["met"]]
    return [bar["bar"], wanted, measured, verdict]


def _peers(results: dict[str, Any]) -> list[str]:
    if not results["peers"]:
        return ["None were given."]
    batches = (f"forward {batch}, ms | step {batch} | ours | times ours" for batch in (64, 256))
    heading = " | ".join(["library | as", *batches])
    measured = [row for row in results["peers"] if "failed" not in row]
    measured.sort(key=lambda row: row["step"]["256"]["cpu_ms"])
    failed = [row for row in results["peers"] if "failed" in row]
    notes = [f"- {row['peer']}, {row['arguments']}: not measured, {row['failed']}." for row in failed]
    return [_PEERS, table(heading, map(_peer_row, measured)), *(["\n".join(notes)] if notes else [])]


def _peer_row(row: dict[str, Any]) -> list[str]:
    cells = [f"{row['library']} {row['version']}", row["variant"]]
    for batch in ("64", "256"):
        cells += [
            _three(times[batch]["cpu_ms"]) for times in (row["forward"], row["step"], row["ours"]["step"])
        ]
        cells.append(f"**{_three(row['times_ours']['step'][batch])}**")
    return cells


def _paper_rows(row: dict[str, Any]) -> Iterable[list[str]]:
    for batch, forward in row["forward"].items():
        cells = [row["engine"], row["dtype"], batch]
        for times in (forward, row["step"][batch]):
            cells += [_three(times[name]) for name in ("cpu_ms", "cpu_min_ms", "wall_ms")]
        yield [*cells, _three(1e3 * row["step"][batch]["cpu_ms"] / int(batch))]


def _checks(checks: dict[str, Any]) -> str:
    worst: dict[str, float] = {}
    for row in checks["engines"]:
        worst[row["dtype"]] = max(worst.get(row["dtype"], 0.0), *row["errors"].values())
    said = " and ".join(f"{error:.0e} in {dtype}" for dtype, error in worst.items())
    return (
        "Values and all gradients of three samples, checked in the same run against "
        f"{checks['reference']}: largest error {said}."
    )


def _family_row(row: dict[str, Any]) -> list[str]:
    return [
        row["family"],
        row["engine"],
        *(str(row[name]) for name in ("gates", "stages", "rotations")),
        _three(row["step"]["cpu_ms"]),
        _three(1e3 * row["cpu_ms_per_stage"]),
        f"{row['relative_to_papers']:.2f}",
    ]


def _thread_row(row: dict[str, Any]) -> list[str]:
    times = [_three(row[name]) for name in ("one_thread_wall_ms", "two_threads_wall_ms")]
    return [str(row["batch"]), *times, f"{row['speedup']:.2f}", f"{row['median_of_pairs']:.2f}"]


def _size_row(row: dict[str, Any]) -> list[str]:
    missing = f"refused: {row['refused']}" if "refused" in row else ""
    times = (row.get(name) for name in ("forward_us_per_sample", "step_us_per_sample"))
    return [str(row["qubits"]), str(row["batch"]), *(_three(time) if time else missing for time in times)]


def _three(value: float) -> str:
    """Return a number in three digits, or whole."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def plot_sizes(sizes: list[dict[str, Any]], path: Path) -> None:
    """Plot CPU time a sample by number of qubits, with the line of 2^n through the paper's circuit."""
    figure = require("matplotlib.figure", "plot", "the plot of sizes").Figure(
        figsize=(7, 4.5), layout="constrained"
    )
    axes = figure.add_subplot()
    for name, label in (("step_us_per_sample", "with all gradients"), ("forward_us_per_sample", "forward")):
        rows = [row for row in sizes if name in row]
        if not rows:
            continue
        (line,) = axes.plot([r["qubits"] for r in rows], [r[name] for r in rows], "o-", label=label)
        anchor = min(rows, key=lambda row: abs(row["qubits"] - 11))
        ends = [rows[0]["qubits"], rows[-1]["qubits"]]
        powers = [anchor[name] * 2.0 ** (n - anchor["qubits"]) for n in ends]
        axes.plot(ends, powers, "--", color=line.get_color(), linewidth=0.8, label=f"2ⁿ, {label}")
    axes.set(
        yscale="log",
        xlabel="qubits",
        ylabel="CPU time a sample, µs",
        title="qd_llm, 2 layers, float32, one core",
    )
    axes.set_xticks([row["qubits"] for row in sizes])
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)

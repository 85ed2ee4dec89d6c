"""Drawings of a circuit: text, and matplotlib."""

from typing import TYPE_CHECKING

from qdllm.circuits.circuit import Circuit, Gate
from qdllm.extras import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["columns", "draw_mpl", "draw_text"]


def columns(circuit: Circuit) -> list[list[Gate]]:
    """Return the gates in columns, each as far left as it can stand without crossing another's wires."""
    free = [0] * circuit.n_qubits
    placed: list[list[Gate]] = []
    for gate in circuit.gates:
        span = range(min(gate.qubits), max(gate.qubits) + 1)
        column = max(free[q] for q in span)
        if column == len(placed):
            placed.append([])
        placed[column].append(gate)
        for q in span:
            free[q] = column + 1
    return placed


def draw_text(circuit: Circuit, width: int = 110) -> str:
    """Return the circuit in box characters, in blocks of at most `width` columns where gates allow."""
    prefix = max(len(f"q{circuit.n_qubits - 1}: "), 4)
    drawn = [_text_column(circuit.n_qubits, column) for column in columns(circuit)]
    blocks: list[list[list[str]]] = [[]]
    used = prefix
    for column in drawn:
        if blocks[-1] and used + len(column[0]) > width:
            blocks.append([])
            used = prefix
        blocks[-1].append(column)
        used += len(column[0])
    texts = []
    for block in blocks:
        rows = (
            ["".join(cells) for cells in zip(*block, strict=True)]
            if block
            else [""] * (2 * circuit.n_qubits - 1)
        )
        heads = [f"q{row // 2}: ".ljust(prefix) if row % 2 == 0 else " " * prefix for row in range(len(rows))]
        tails = ["─" if row % 2 == 0 else "" for row in range(len(rows))]
        texts.append("\n".join((h + r + t).rstrip() for h, r, t in zip(heads, rows, tails, strict=True)))
    return "\n\n".join(texts)


def _labels(gate: Gate) -> dict[int, str]:
    """Return what stands on each of a gate's qubits."""
    angles = f"({', '.join(map(str, gate.angles))})" if gate.angles else ""
    match gate.name:
        case "CNOT":
            return dict(zip(gate.qubits, "●X", strict=True))
        case "CZ":
            return dict(zip(gate.qubits, "●●", strict=True))
        case "SWAP":
            return dict(zip(gate.qubits, "xx", strict=True))
        case _:
            return dict.fromkeys(gate.qubits, gate.name + angles)


def _text_column(n_qubits: int, gates: list[Gate]) -> list[str]:
    """Return 2 n - 1 strings of one width: wires on even rows, links on odd ones."""
    cells = {q: label for gate in gates for q, label in _labels(gate).items()}
    width = max(map(len, cells.values()))
    rows = [
        cells.get(row // 2, "").ljust(width, "─") if row % 2 == 0 else " " * width
        for row in range(2 * n_qubits - 1)
    ]
    for gate in gates:
        low, high = min(gate.qubits), max(gate.qubits)
        for row in range(2 * low + 1, 2 * high):
            mark = "│" if row % 2 else "┼"
            rows[row] = mark + rows[row][1:]
    return [("─" if row % 2 == 0 else " ") + text for row, text in enumerate(rows)]


def draw_mpl(circuit: Circuit) -> "Figure":
    """Return the circuit drawn by matplotlib.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    figure_module = require("matplotlib.figure", "plot", "drawing a circuit")
    placed = columns(circuit)
    size = (max(3.0, 0.75 * len(placed) + 1), max(1.5, 0.6 * circuit.n_qubits + 0.4))
    figure: Figure = figure_module.Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-1, max(len(placed), 1))
    axes.set_ylim(circuit.n_qubits - 0.4, -0.6)
    axes.hlines(
        range(circuit.n_qubits), -0.6, max(len(placed), 1) - 0.4, color="0.6", linewidth=0.8, zorder=0
    )
    for qubit in range(circuit.n_qubits):
        axes.text(-0.7, qubit, f"q{qubit}", ha="right", va="center", fontsize=8)
    for x, column in enumerate(placed):
        for gate in column:
            axes.vlines(x, min(gate.qubits), max(gate.qubits), color="black", linewidth=0.8, zorder=1)
            for qubit, label in _labels(gate).items():
                if label == "●":
                    axes.plot(x, qubit, "o", color="black", markersize=5)
                else:
                    box = {
                        "boxstyle": "round,pad=0.25",
                        "facecolor": "white",
                        "edgecolor": "black",
                        "linewidth": 0.6,
                    }
                    text = label.replace("(", "\n(", 1)
                    axes.text(x, qubit, text, ha="center", va="center", fontsize=6, bbox=box, zorder=2)
    return figure

"""A search as a page to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["as_markdown", "front_table", "side_by_side"]


def as_markdown(results: Mapping[str, Any]) -> str:
    """Write what front.json holds as Markdown."""
    machine, rows, trials = results["machine"], results["rows"], results["trials"]
    return "\n".join(
        [
            f"# Designs for {results['data']}",
            "",
            f"{trials['finished']} designs of {len(results['space'])} open fields, seed {results['seed']}, "
            f"on {machine['date']}: {trials['trained']} trained to the end, {len(trials['pruned'])} given "
            f"up early ({trials['seconds']:.0f} s). Trained on {rows['train']:,} rows, compared on "
            f"{rows['compared_on']:,}{_unlabelled(rows)}. Teacher: {results['teacher']}; encoder: "
            f"{results['encoder']}.",
            "",
            "## The front",
            "",
            "No other design is at least as good in all of validation accuracy (percent), two-qubit gates "
            "and trained parameters, and better in one. **Bold**: the chosen one, the cheapest within one "
            f"standard error ({100 * results['standard_error']:.1f} points) of the most accurate. A circuit "
            "is named with its qubits × layers; how each was trained is in `front.json`.",
            "",
            *front_table(results),
            "",
            "## The chosen design and the paper's",
            "",
            *side_by_side(results),
            "",
        ]
    )


def front_table(results: Mapping[str, Any]) -> list[str]:
    """Return the front as lines of a table."""
    lines = [
        _line(["trial", "accuracy", "two-qubit gates", "parameters", "circuit", "encoding", "readout"]),
        _line(["---"] * 7),
    ]
    for found in results["front"]:
        trial, accuracy, design = found["trial"], f"{100 * found['accuracy']:.1f}", found["design"]
        if trial == results["chosen"]["trial"]:
            trial, accuracy = f"**{trial}**", f"**{accuracy}**"
        circuit = f"{design['ansatz']} {design['n_qubits']} × {design['n_layers']}"
        costs = [found["two_qubit_gates"], f"{found['parameters']:,}"]
        lines.append(_line([trial, accuracy, *costs, circuit, design["encoding"], design["readout"]]))
    return lines


def side_by_side(results: Mapping[str, Any]) -> list[str]:
    """Return how the chosen design and the paper's compare, as lines of a table with what it says."""
    final, chosen, paper = results["final"], results["chosen"], results["paper"]
    lines = [
        f"Accuracy in percent, mean of {len(final['seeds'])} seeds, [95 % over rows]; the difference is "
        "paired over rows. The choice was made on the validation rows, which flatters it there; no test row "
        "was looked at before it was made. The paper's circuit and encoding are trained with the defaults "
        "of this package, the chosen design with the settings that were found with it. Formula: of the first "
        "seed's student, compiled to a proven error.",
        "",
        _line(["", "two-qubit gates", "parameters", "validation", "test", "formula"]),
        _line(["---"] * 6),
    ]
    for name, of in (("chosen", chosen), ("paper", paper)):
        accuracies = [_percent(final[part], name) for part in ("validation", "test")]
        title = {"chosen": f"chosen (trial {chosen['trial']})", "paper": "the paper's"}[name]
        costs = [of["two_qubit_gates"], f"{of['parameters']:,}"]
        lines.append(_line([title, *costs, *accuracies, _formula(final["formulas"][name])]))
    differences = [_percent(final[part], "difference", "+") for part in ("validation", "test")]
    lines.append(_line(["difference, points", "", "", *differences, ""]))
    if not chosen["two_qubit_gates"]:
        lines += ["", "The chosen design needs no two-qubit gate: nothing in it has to be entangled."]
    return lines


def _formula(found: Mapping[str, Any]) -> str:
    if "refused" in found:
        return f"none: {found['refused']}"
    size, error = found["size"], f"within {found['max_error']:.2g}"
    if found["form"] == "sparse":
        return f"{size['terms']:,} terms a class, {error}"
    return f"train of {size['numbers']:,} numbers, {error}"


def _unlabelled(rows: Mapping[str, int]) -> str:
    without = rows["compared_on"] - rows["validation_labelled"]
    return (
        f" ({without:,} of them without a label: there, accuracy is agreement with the teacher)"
        if without
        else ""
    )


def _percent(part: Mapping[str, Any] | None, name: str, sign: str = "") -> str:
    if part is None:
        return "no labels"
    value, low, high = (f"{100 * part[name][key]:{sign}.1f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"

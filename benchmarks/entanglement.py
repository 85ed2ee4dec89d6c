"""Where does entanglement pay? Students of few qubits beside themselves without two-qubit gates.

    qdllm bench entanglement [--tasks news,topic] [--kinds one,same,odd] [--qubits 2,3,4] [--seeds 10]
        [--budget 2] [--encoder SPEC | --encoder TASK=SPEC …] [--config FILE | --config FOLDER]
        [--workers N] [--work FOLDER] [--out FOLDER] [--json]

Three kinds of question are asked of each task's texts. One: the class of a text. Same: are two texts of one
class? Odd: is an odd number of three texts in every second class? In the last two, what the answer depends on
multiplies. Tasks, options and interruption as in `qdllm bench comparison`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from comparison import add_task_options, begin, configure, is_finished, is_measured
from numpy.typing import NDArray

from qdllm.cli.printing import errors_in_one_line
from qdllm.compare import ComparisonTask, Rows, Workers, available_cores, compare, controls, holm, select
from qdllm.errors import ConfigError
from qdllm.files import write_json, write_text
from qdllm.pipeline import RunFolder, distill
from qdllm.pipeline.splits import make_task

KINDS = {"one": 1, "same": 2, "odd": 3}
"""How many texts each kind of question is about."""

CONTENDERS = ("student", "no-entanglement", "mlp")
READOUTS = ("z", "strings")
_SCHEMA = {"name": "qdllm.entanglement", "version": 1}
_PER_ROW = 2  # questions about several texts, as a multiple of the rows of each part


def main() -> None:
    """Measure, print the page, and write entanglement.json and .md."""
    options = _parse()
    path = options.out / "entanglement.json"
    settings = {"seeds": options.seeds, "budget": options.budget}
    results = begin(path, _SCHEMA, settings, "cells")
    for task in options.tasks.split(","):
        measure(task, options, results["cells"], lambda: write_json(path, results))
    write_text(options.out / "entanglement.md", as_page(results))
    print(json.dumps(results, indent=2) if options.json else as_page(results))


def measure(task: str, options: argparse.Namespace, cells: dict[str, Any], keep: Callable[[], None]) -> None:
    """Fill in the cells of a task that are missing, one by one."""
    config = configure(task, options)
    folder = options.work / task
    missing = [
        (kind, qubits, readout)
        for kind in options.kinds.split(",")
        for qubits in map(int, options.qubits.split(","))
        for readout in READOUTS
        if not is_measured(cells.get(f"{task} {kind} {qubits} {readout}"), config)
    ]
    if not missing:
        return
    if not is_finished(RunFolder(folder), config):
        distill(config, folder, quiet=options.json)
    splits = [make_task(RunFolder(folder), number) for number in range(options.seeds)]
    with tempfile.TemporaryDirectory() as temporary, Workers(options.workers) as workers:
        for kind, qubits, readout in missing:
            tasks = {split.seed: Path(temporary) / f"{kind}-{split.seed}.parquet" for split in splits}
            for split in splits:
                if not tasks[split.seed].is_file():
                    ask(split, kind).write(tasks[split.seed])
            changed = config.student.model_copy(update={"n_qubits": qubits, "readout": readout})
            found = compare(
                tasks,
                select(controls({**changed.parameters(), "encoding": "linear"}), CONTENDERS),
                budget=options.budget,
                store=folder / "entanglement",
                workers=workers,
                quiet=options.json,
            )
            if failed := [row for row in found["results"] if row["status"] == "failed"]:
                row = failed[0]
                raise ConfigError(
                    f"{task}, {kind}, {qubits} qubits: {row['contender']} failed: {row['reason']}"
                )
            accuracies = {name: one["summary"]["accuracy"] for name, one in found["contenders"].items()}
            cells[f"{task} {kind} {qubits} {readout}"] = {
                "config": config.model_dump(mode="json"),
                "task": task,
                "kind": kind,
                "qubits": qubits,
                "readout": readout,
                "rows": found["rows"],
                "accuracy": accuracies,
                "differences": {entry["minus"]: entry for entry in found["differences"]},
            }
            keep()


def ask(task: ComparisonTask, kind: str) -> ComparisonTask:
    """Turn a task about single texts into one about several, part by part: no text leaves its part.

    Features are joined side by side. Half of the answers are yes; the teacher's follow from its
    probabilities for each text.

    Parameters
    ----------
    task : ComparisonTask
        With a gold label in every row.
    kind : str
        One of `KINDS`; "one" returns the task itself.
    """
    if kind == "one":
        return task
    codes = np.where(task.part == "test", task.truth, task.rows.y)
    rng = np.random.default_rng([task.seed, 41, KINDS[kind]])
    parts = ("train", "validation", "test")
    drawn = {
        name: _draw(np.flatnonzero((task.part == name) & (codes >= 0)), codes, kind, rng) for name in parts
    }
    texts = np.concatenate([drawn[name][0] for name in parts])
    answers = np.concatenate([drawn[name][1] for name in parts])
    part = np.repeat(np.array(parts), [len(drawn[name][1]) for name in parts])
    soft = None
    if task.rows.soft is not None:
        yes = _probability(task.rows.soft[texts], kind)
        soft = np.stack([1 - yes, yes], axis=1)
    rows = Rows(
        tuple("\n".join(task.rows.texts[i] for i in several) for several in texts),
        np.concatenate([task.rows.x[column] for column in texts.T], axis=1),
        np.where(part == "test", -1, answers),
        soft,
    )
    return ComparisonTask(
        task.seed, ("no", "yes"), rows, part, np.where(part == "test", answers, -1), about=task.about
    )


def _draw(
    rows: NDArray[np.int64], codes: NDArray[np.int64], kind: str, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw texts (n, k) from some rows, and the answers (n,): the last text is drawn to fit its answer."""
    count = _PER_ROW * len(rows)
    answers = rng.integers(0, 2, count)
    texts = np.empty((count, KINDS[kind]), dtype=np.int64)
    texts[:, :-1] = rng.choice(rows, (count, KINDS[kind] - 1))
    before = codes[texts[:, 0]] if kind == "same" else codes[texts[:, :-1]].sum(axis=1) % 2
    for state, answer in {*zip(before.tolist(), answers.tolist(), strict=True)}:
        if kind == "same":
            fitting = rows[(codes[rows] == state) == bool(answer)]
        else:
            fitting = rows[(codes[rows] + state) % 2 == answer]
        here = (before == state) & (answers == answer)
        texts[here, -1] = rng.choice(fitting, int(here.sum()))
    return texts, answers


def _probability(soft: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """From class probabilities (n, k, C) to that of a yes (n,), the texts taken as independent."""
    if kind == "same":
        return np.asarray(soft.prod(axis=1).sum(axis=1))
    return np.asarray((1 - (1 - 2 * soft[:, :, 1::2].sum(axis=2)).prod(axis=1)) / 2)


def as_page(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    machine, settings, cells = results["machine"], results["settings"], list(results["cells"].values())
    adjusted = holm([cell["differences"]["no-entanglement"]["p"] for cell in cells])
    gains = [cell["differences"]["no-entanglement"]["difference"] for cell in cells]
    pays = sum(gain > 0 and p < 0.05 for gain, p in zip(gains, adjusted, strict=True))
    harms = sum(gain < 0 and p < 0.05 for gain, p in zip(gains, adjusted, strict=True))
    lines = [
        "# Where entanglement pays",
        "",
        f"Of {len(cells)} combinations of question, qubits and readout entanglement pays in {pays} and does "
        f"harm in {harms}; in the others no difference has been shown (paired test over splits, "
        "Holm-corrected over the whole table).",
        "",
        "*One*: the class of a text. *Same*: are two texts of one class? *Odd*: is an odd number of three "
        "texts in every second class? Readout *z*: ⟨Z⟩ of each qubit; *strings*: every product of Zs. *No "
        "entanglement*: the same student, trained alike, without two-qubit gates; *MLP*: at least as many "
        f"parameters as the student. {settings['seeds']} splits, at most {settings['budget']} settings a "
        "model, chosen on validation rows; mean test accuracy in percent; differences in points with the "
        "95 % interval of the corrected resampled t-test. Questions never mix texts of two "
        "parts of a split.",
        "",
        "| task | question | qubits | readout | student | no entanglement | MLP | student − no entanglement "
        "| p, adjusted | student − MLP |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell, p in zip(cells, adjusted, strict=True):
        scores = [f"{100 * cell['accuracy'][name]['mean']:.1f}" for name in CONTENDERS]
        first, second = (_points(cell["differences"][name]) for name in CONTENDERS[1:])
        row = [cell["task"], cell["kind"], str(cell["qubits"]), cell["readout"], *scores, first, f"{p:.3f}"]
        lines.append(f"| {' | '.join([*row, second])} |")
    lines += [
        "",
        f"Made by `qdllm bench entanglement` on {machine['date']}: {machine['cpu']}, {machine['cores']} "
        f"cores, Python {machine['python']}, torch {machine['torch']}, qdllm {machine['qdllm']}. Each task's "
        "configuration stands in entanglement.json.",
    ]
    return "\n".join(lines) + "\n"


def _points(found: dict[str, float]) -> str:
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * found[key] for key in ("difference", "low", "high")))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qdllm bench entanglement", description=(__doc__ or "").splitlines()[0]
    )
    add_task_options(parser, work="runs/entanglement")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"comma-separated: {', '.join(KINDS)}")
    parser.add_argument("--qubits", default="2,3,4", help="comma-separated")
    parser.add_argument("--seeds", type=int, default=10, help="splits a task")
    parser.add_argument("--budget", type=int, default=2, help="settings a model")
    options = parser.parse_args()
    if unknown := sorted(set(options.kinds.split(",")) - set(KINDS)):
        raise ConfigError(f"--kinds: no kind {unknown[0]!r}; there are {', '.join(KINDS)}")
    options.workers = options.workers or available_cores()
    options.out.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    with errors_in_one_line():
        main()

"""Few labels: what distilling is worth where a teacher knows much and labels are few.

    qdllm bench few-labels [--tasks news,topic] [--labels 16,64,256] [--draws 10] [--budget 1]
        [--encoder SPEC | --encoder TASK=SPEC …] [--config FILE | --config FOLDER]
        [--workers N] [--work FOLDER] [--out FOLDER] [--json]

All labels but K a class are hidden from teacher and student; the teacher, a probe fitted on these, labels all
training texts. Each draw is another split with other visible labels. Tasks, options and interruption as in
`qdllm bench comparison`.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from _machines import by_machine
from comparison import add_task_options, begin, configure, is_finished, is_measured

from qdllm.cli.printing import errors_in_one_line
from qdllm.compare import resampled_test
from qdllm.extras import require
from qdllm.files import atomic_path, write_json, write_text
from qdllm.pipeline import RunConfig, RunFolder, compare_run, distill

TAUGHT = "student"
ALONE = "no-teacher"
CONTENDERS = (TAUGHT, ALONE, "no-entanglement", "mlp", "logistic-regression")
_SCHEMA = {"name": "qdllm.few-labels", "version": 1}
_GAIN = 0.03  # over the same student on labels alone, with 16 labels a class


def main() -> None:
    """Measure, print the page, and write few-labels.json, .md and .png."""
    options = _parse()
    path = options.out / "few-labels.json"
    settings = {"draws": options.draws, "budget": options.budget}
    results = begin(path, _SCHEMA, settings, "tasks")
    for labels in map(int, options.labels.split(",")):
        for task in options.tasks.split(","):
            config = _hide(configure(task, options), labels)
            kept = results["tasks"].setdefault(task, {})
            if not is_measured(kept.get(str(labels)), config):
                found = measure(config, labels, task, options)
                about = {"config": config.model_dump(mode="json"), "machine": results["machine"]}
                kept[str(labels)] = {**about, **found}
                write_json(path, results)
    write_text(options.out / "few-labels.md", as_page(results))
    plot(results, options.out / "few-labels.png")
    print(json.dumps(results, indent=2) if options.json else as_page(results))


def measure(config: RunConfig, labels: int, task: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return accuracies by contender, draw by draw, and the differences that the bars are about."""
    folder = options.work / f"{task}-{labels}-labels"
    if not is_finished(RunFolder(folder), config):
        distill(config, folder, quiet=options.json)
    found = compare_run(
        folder,
        seeds=options.draws,
        budget=options.budget,
        only=CONTENDERS,
        workers=options.workers,
        quiet=options.json,
    )
    accuracy: dict[str, dict[int, float]] = {"teacher": {}, **{name: {} for name in CONTENDERS}}
    for row in found["teacher"]["results"]:
        accuracy["teacher"][row["seed"]] = row["measures"]["accuracy"]
    for row in found["results"]:
        if row["status"] == "done":
            accuracy[row["contender"]][row["seed"]] = row["measures"]["accuracy"]
    rows = found["rows"]
    return {
        "rows": rows,
        "accuracy": {name: list(values.values()) for name, values in accuracy.items()},
        "differences": {
            name: _difference(accuracy[TAUGHT], other, rows)
            for name, other in accuracy.items()
            if name != TAUGHT
        },
    }


def _difference(a: dict[int, float], b: dict[int, float], rows: dict[str, int]) -> dict[str, float]:
    values = [a[seed] - b[seed] for seed in a if seed in b]
    test = resampled_test(values, rows["train"], rows["test"])
    interval = test.difference
    return {"value": interval.value, "low": interval.low, "high": interval.high, "p": test.p}


def _hide(config: RunConfig, labels: int) -> RunConfig:
    return config.model_copy(
        update={"data": config.data.model_copy(update={"labels_per_class": labels})}, deep=True
    )


def as_page(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    settings = results["settings"]
    lines = [
        "# Few labels: what distilling is worth",
        "",
        *_bars(results["tasks"]),
        "",
        "K labels a class are visible to the teacher (a probe on the language model's hidden states) and to "
        "every model; all other training texts have the teacher's probabilities alone. *Alone*: the same "
        f"student on the K labels without the teacher. {settings['draws']} draws of split and labels; mean "
        "test accuracy in percent ± standard deviation over draws; differences in points with the 95 % "
        "interval of the corrected resampled t-test. Where a configuration names the probe's layer, it was "
        "chosen with all labels of another split, which may flatter the teacher.",
        "",
        "![accuracy by labels a class](few-labels.png)",
        "",
        "| task | K | teacher | student | alone | no entanglement | MLP | logistic regression "
        "| student − alone | student − teacher | − no entanglement | − MLP | − logistic regression |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for task, by_labels in results["tasks"].items():
        for labels, one in sorted(by_labels.items(), key=lambda item: int(item[0])):
            scores = [_spread(one["accuracy"][name]) for name in ("teacher", *CONTENDERS)]
            order = (ALONE, "teacher", *CONTENDERS[2:])
            gains = [_points(one["differences"][name]) for name in order]
            lines.append(f"| {' | '.join([task, labels, *scores, *gains])} |")
    lines += [
        "",
        f"Made by `qdllm bench few-labels`; settings a model: {settings['budget']}. Each task's "
        "configuration stands in few-labels.json. Measured:",
        "",
        *by_machine(
            (task, labels, one["machine"])
            for task, by_labels in results["tasks"].items()
            for labels, one in by_labels.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _bars(tasks: dict[str, Any]) -> list[str]:
    with_16 = [one["16"]["differences"] for one in tasks.values() if "16" in one]
    gains = sum(one[ALONE]["value"] >= _GAIN for one in with_16)
    above = sum(one["teacher"]["value"] > 0 for one in with_16)
    both = sum(one[ALONE]["value"] >= _GAIN and one["teacher"]["value"] > 0 for one in with_16)
    return [
        f"With 16 labels a class the distilled student is at least 3 points above the same student on those "
        f"labels alone on {gains} of {len(with_16)} tasks, above its teacher on {above}, both on {both} "
        "(bar: both on four of six)."
    ]


def _spread(values: list[float]) -> str:
    mean = sum(values) / len(values)
    deviation = (sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)) ** 0.5
    return f"{100 * mean:.1f} ± {100 * deviation:.1f}"


def _points(found: dict[str, float]) -> str:
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * found[key] for key in ("value", "low", "high")))


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw accuracy against labels a class, a panel a task."""
    figure_module = require("matplotlib.figure", "plot", "plotting few labels")
    tasks = results["tasks"]
    columns = min(len(tasks), 3)
    rows = math.ceil(len(tasks) / columns)
    figure = figure_module.Figure(figsize=(3.6 * columns, 3 * rows), layout="constrained")
    for position, (task, by_labels) in enumerate(tasks.items()):
        axes = figure.add_subplot(rows, columns, position + 1)
        labels = sorted(map(int, by_labels))
        for name in ("teacher", TAUGHT, ALONE, "logistic-regression"):
            runs = [by_labels[str(k)]["accuracy"][name] for k in labels]
            means = [100 * sum(values) / len(values) for values in runs]
            axes.plot(labels, means, "o-", label=name, markersize=3, linewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_xticks(labels, [str(k) for k in labels])
        axes.set_title(task, fontsize=9)
        axes.set_xlabel("labels a class")
        if position % columns == 0:
            axes.set_ylabel("test accuracy, %")
        if position == 0:
            axes.legend(fontsize=7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qdllm bench few-labels", description=(__doc__ or "").splitlines()[0]
    )
    add_task_options(parser, work="runs/few-labels")
    parser.add_argument("--labels", default="16,64,256", help="labels a class, comma-separated")
    parser.add_argument("--draws", type=int, default=10, help="draws of split and labels")
    parser.add_argument("--budget", type=int, default=1, help="settings a model")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    with errors_in_one_line():
        main()

"""Automatic design: what a search finds on real tasks, and how it compares with the paper's fixed design.

    qdllm bench search [--tasks topic,reviews] [--trials 60] [--encoder minilm] [--json] [--out FOLDER]
                       [--work FOLDER]

Each task is one `qdllm search`, kept in the folder WORK/TASK: what was searched there already is not searched
again. The demonstration tasks come with `qdllm fetch`; topic, hiding and emotion from the folder that
QDLLM_TASKS names, as TASK_train.csv and TASK_test.csv. Writes search.json, search.md and search-TASK.png.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdllm.cli.printing import errors_in_one_line
from qdllm.data import DEMO_TASKS
from qdllm.errors import ConfigError
from qdllm.extras import require
from qdllm.files import atomic_path, write_json, write_text
from qdllm.pipeline import RunConfig, demo_config, search
from qdllm.pipeline.config import DataConfig, EncoderConfig
from qdllm.search.page import front_table, side_by_side

_BLUE, _GREY, _RED = "#1f5fa8", "#9aa5b1", "#b8432f"


def main() -> None:
    """Search, print the page, and write search.json, search.md and a plot of each task."""
    parser = argparse.ArgumentParser(prog="qdllm bench search", description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default="topic", help="comma-separated")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--work", type=Path, default=Path("runs/search"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    with errors_in_one_line():
        require("matplotlib.figure", "plot", "the plot of a front")
        tasks = options.tasks.split(",")
        configs = {task: _config(task, options.encoder) for task in tasks}
        results: dict[str, Any] = {
            "schema": {"name": "qdllm.bench-search", "version": 1},
            "command": f"qdllm bench search --tasks {options.tasks} --trials {options.trials} "
            f"--encoder {options.encoder}",
            "tasks": {},
        }
        for task, config in configs.items():
            found = search(config, options.work / task, trials=options.trials)
            results["tasks"][task] = found
            plot_front(found, options.out / f"search-{task}.png")
            write_json(options.out / "search.json", results)
        write_text(options.out / "search.md", as_markdown(results))
        print(json.dumps(results, indent=2, ensure_ascii=False) if options.json else as_markdown(results))


def as_markdown(results: Mapping[str, Any]) -> str:
    """Return the results as a page."""
    machine = next(iter(results["tasks"].values()))["machine"]
    lines = [
        "# Automatic design",
        "",
        f"Made by `{results['command']}` on {machine['date']}: {machine['cpu']}, {machine['cores']} cores, "
        f"Python {machine['python']}, torch {machine['torch']}, Optuna {machine['optuna']}, qdllm "
        f"{machine['qdllm']}; soft labels and features cached.",
        "",
        "A search draws circuit, encoding, readout, size and training settings, trains each design on the "
        "training rows and compares them on the validation rows: accuracy against needed two-qubit gates and "
        "trained parameters. The rules are in the [guide](../guides/search.md).",
    ]
    for task, found in results["tasks"].items():
        rows, trials = found["rows"], found["trials"]
        setting = {name: found["chosen"]["design"][name] for name in found["space"]}
        lines += [
            "",
            f"## {task}",
            "",
            f"{rows['train']:,} rows to train, {rows['validation']:,} to choose by, {rows['test']:,} to "
            f"test; {len(found['classes'])} classes. Teacher: {found['teacher']}. {trials['finished']} "
            f"designs in {trials['seconds'] / 60:.0f} minutes, beside other work: {trials['trained']} "
            f"trained to the end, {len(trials['pruned'])} given up early.",
            "",
            f"![accuracy against gates and parameters](search-{task}.png)",
            "",
            "All designs that were trained to the end, but for those far below the front.",
            "",
            "The front: accuracy in percent on validation rows, one seed. **Bold**: the chosen one, the "
            f"cheapest within one standard error ({100 * found['standard_error']:.1f} points) of the best.",
            "",
            *front_table(found),
            "",
            f"Chosen: {', '.join(f'`{name}` {value}' for name, value in setting.items())}.",
            "",
            *side_by_side(found),
        ]
    return "\n".join(lines) + "\n"


def plot_front(found: Mapping[str, Any], path: Path) -> None:
    """Draw all trained designs, the front, the chosen one and the paper's, against both costs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    paper = {**found["paper"], "accuracy": found["final"]["validation"]["paper"]["value"]}
    costs = {"two_qubit_gates": "two-qubit gates", "parameters": "trained parameters"}
    for axes, (cost, title) in zip(panels, costs.items(), strict=True):
        for points, style in (
            (found["candidates"], {"color": _GREY, "s": 14, "label": "trained"}),
            (found["front"], {"color": _BLUE, "s": 24, "label": "front"}),
            ([found["chosen"]], {"color": _BLUE, "s": 130, "marker": "*", "label": "chosen"}),
            ([paper], {"color": _RED, "s": 50, "marker": "D", "label": "the paper's, 3 seeds"}),
        ):
            axes.scatter([p[cost] for p in points], [100 * p["accuracy"] for p in points], **style)
        axes.set_xlabel(title)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("validation accuracy, %")
    # What failed altogether would press the rest into a line.
    panels[0].set_ylim(bottom=100 * min(p["accuracy"] for p in [*found["front"], paper]) - 3)
    panels[0].legend(loc="lower right", fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _config(task: str, encoder: str) -> RunConfig:
    section = EncoderConfig(source=encoder)
    if task in DEMO_TASKS:
        return demo_config(task).model_copy(update={"encoder": section})
    if "QDLLM_TASKS" not in os.environ:
        raise ConfigError(f"{task}: set QDLLM_TASKS to the folder of {task}_train.csv and {task}_test.csv")
    folder = Path(os.environ["QDLLM_TASKS"])
    data = DataConfig(path=str(folder / f"{task}_train.csv"), test=str(folder / f"{task}_test.csv"))
    return RunConfig(data=data, encoder=section)


if __name__ == "__main__":
    main()

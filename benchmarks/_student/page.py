"""The page of the benchmark: a verdict and a table for each task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from _machines import by_machine

from _student.variants import BASELINE, KINDS, VARIANTS
from qdllm.compare import in_points

__all__ = ["as_page", "verdict"]

_SURE = 0.05  # of p: above it, a difference is no more than noise
_WORTHWHILE = 0.005  # of the mean difference, on every task

Found = Mapping[str, Any]


def as_page(results: Found) -> str:
    """Return the results as a page."""
    settings, tasks = results["settings"], results["tasks"]
    lines = ["# A better student: what was tried, and what failed", ""]
    lines += [f"**{task}.** {verdict(one)}\n" for task, one in tasks.items()]
    lines += [
        _on_every_task(tasks),
        "",
        "Each variant changes one thing of the run's own student, the baseline, and is trained on the same "
        f"training rows. {settings['splits']} splits a task, seed {settings['seed']}; accuracy in percent "
        "and loss on the **validation** rows, which also choose every training's epoch. Test rows choose "
        "nothing here: no student is asked about them, so that whatever is taken up can still be tested. "
        "Where a run's settings were themselves chosen on validation rows, that favours the baseline. "
        "Differences in points, paired by split, with the 95 % interval of the corrected resampled t-test; "
        "more than noise is p < 0.05, and of twenty variants that change nothing one will look so. Loss: "
        "−log of the label's probability, in nats. Parameters: of the student that is kept. CPU seconds: of "
        "one training, beside other work.",
    ]
    for task, one in tasks.items():
        lines += ["", f"## {task}", "", *_table(one)]
    lines += [
        "",
        "## Techniques",
        "",
        "These are in the benchmark alone; every other variant is an [option](../ideas/student.md) of the "
        "student. None was tuned, but for the step size of natural gradient and gradient descent: of 0.1 "
        "and 1, on the first split of two tasks.",
        "",
        *(f"- `{variant.name}`: {variant.about}" for variant in VARIANTS if variant.technique),
        "",
        "Made by `qdllm bench student`. Each task's configuration stands in student.json. Measured:",
        "",
        *by_machine((task, "", one["machine"]) for task, one in tasks.items()),
    ]
    return "\n".join(lines) + "\n"


def verdict(one: Found) -> str:
    """Say which variants of a task helped by more than noise, which harmed, and which failed."""
    found = one["variants"]
    trained = {name: entry for name, entry in found.items() if "difference" in entry}
    sure = {name: entry for name, entry in trained.items() if entry["p"] < _SURE}
    helped = [name for name in _sorted(sure) if sure[name]["difference"] > 0]
    harmed = [name for name in reversed(_sorted(sure)) if sure[name]["difference"] < 0]
    failed = [name for name, entry in found.items() if "failed" in entry]
    sentences = [
        f"The baseline has {100 * _mean(found[BASELINE.name]['accuracy']):.1f} %.",
        f"Of {len(trained)} variants {_named(helped, sure)} helped by more than noise; "
        f"{_named(harmed, sure)} harmed; the other {len(trained) - len(sure)} differ by no more than noise.",
    ]
    if failed:
        sentences.append(f"Could not be trained: {', '.join(f'`{name}`' for name in failed)}.")
    return " ".join(sentences)


def _on_every_task(tasks: Found) -> str:
    """Name what was worth half a point everywhere, more than noise or not."""
    gains = [
        {name for name, entry in one["variants"].items() if entry.get("difference", 0.0) >= _WORTHWHILE}
        for one in tasks.values()
    ]
    everywhere = sorted(set.intersection(*gains))
    names = ", ".join(f"`{name}`" for name in everywhere) or "none"
    return f"At least {100 * _WORTHWHILE} points above the baseline in the mean on every task: {names}."


def _table(one: Found) -> list[str]:
    rows, found = one["rows"], one["variants"]
    lines = [
        f"{rows['train']:,} rows to train, {rows['validation']:,} to judge by.",
        "",
        "| kind | variant | accuracy | − baseline | p | loss | parameters | CPU s |",
        "|---|---|---|---|---|---|---|---|",
        _line("", BASELINE.name, found[BASELINE.name]),
    ]
    for kind in KINDS:
        of_kind = {name: entry for name, entry in found.items() if entry["kind"] == kind}
        lines += [_line(kind, f"`{name}`", of_kind[name]) for name in _sorted(of_kind)]
    missing = [name for name in one["left_out"] if name not in found]
    if missing:
        lines += ["", f"Not measured: {', '.join(f'`{name}`' for name in missing)}."]
    return lines


def _line(kind: str, name: str, entry: Found) -> str:
    if "failed" in entry:
        return f"| {kind} | {name} | failed: {entry['failed']} | | | | | |"
    compared = "difference" in entry
    cells = [
        kind,
        name,
        f"{100 * _mean(entry['accuracy']):.1f}",
        in_points(entry) if compared else "",
        f"{entry['p']:.3f}" if compared else "",
        f"{_mean(entry['loss']):.4f}",
        f"{entry['n_trained']:,}",
        f"{_mean(entry['cpu_seconds']):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _sorted(found: Found) -> list[str]:
    """Names by difference, the best first; what failed comes last."""
    return sorted(found, key=lambda name: -found[name].get("difference", -1.0))


def _named(names: list[str], found: Found) -> str:
    listed = ", ".join(f"`{name}` {in_points(found[name])}" for name in names)
    return f"{len(names)} ({listed})" if names else "none"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)

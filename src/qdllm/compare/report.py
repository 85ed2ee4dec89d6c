"""A comparison as a page, a table and plots. Every word is made from the figures of compare.json."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from qdllm.compare.comparison import STUDENT
from qdllm.errors import MissingExtraError
from qdllm.extras import require
from qdllm.files import atomic_path, write_json, write_text

__all__ = ["as_markdown", "in_points", "verdict", "write_comparison", "write_plots"]

Found = Mapping[str, Any]

_ALPHA = 0.05
# What it says of a part of the student where the student is better than, level with, or worse than a control.
_PARTS = {
    "no-circuit": ("The circuit", "without it"),
    "no-entanglement": ("Its entanglement", "without it"),
    "frozen-circuit": ("Training the circuit", "with its circuit random and frozen"),
    "no-teacher": ("The teacher", "trained on the labels alone"),
}
_PLOTS = {"bytes": ("bytes", "bytes on disk"), "time": ("microseconds_256", "µs a text, in batches of 256")}
_MARKERS = {"student": "D", "control": "o", "baseline": "s"}
_NAME_WIDTH, _NAME_HEIGHT = 100.0, 9.5  # room for a name in a plot, in points


def in_points(entry: Found) -> str:
    """Write a difference of accuracies as "+0.4 [-0.1, +0.9]", in points.

    Examples
    --------
    >>> in_points({"difference": -0.0001, "low": -0.002, "high": 0.003})
    '+0.0 [-0.2, +0.3]'
    """
    # 0 is added, so that what rounds to 0 from below is not shown as -0
    value, low, high = (f"{round(100 * entry[key], 1) + 0.0:+.1f}" for key in ("difference", "low", "high"))
    return f"{value} [{low}, {high}]"


def write_comparison(found: Found, folder: Path, *, title: str) -> list[Path]:
    """Write compare.json, compare.parquet, compare.md, and where matplotlib is installed two plots.

    Returns
    -------
    list of Path
        The files.
    """
    json_file, table, page = (folder / f"compare.{kind}" for kind in ("json", "parquet", "md"))
    write_json(json_file, found)
    _write_parquet(found, table)
    try:
        plots = write_plots(found, folder, title=title)
    except MissingExtraError:
        plots = []
    write_text(page, as_markdown(found, title=title, plots=[plot.name for plot in plots]))
    return [json_file, table, page, *plots]


def verdict(found: Found) -> str:
    """Say in a paragraph who wins, by how much, and whether circuit and entanglement earned their place."""
    summary = {name: about["summary"] for name, about in found["contenders"].items()}
    ranked = sorted(
        (name for name in summary if "accuracy" in summary[name]),
        key=lambda name: -summary[name]["accuracy"]["mean"],
    )
    if STUDENT not in ranked:
        return "The student could not be trained; see the failed rows below."
    if len(ranked) == 1:
        return f"The student alone was trained: {_percent(summary[STUDENT]['accuracy'])} %."
    differences = {entry["minus"]: entry for entry in found["differences"]}
    first, second = ranked[:2]
    score = f"{_percent(summary[first]['accuracy'])} %"
    if first == STUDENT:
        lead = f"The student has the highest mean accuracy, {score}; next is {second}"
        sentences = [f"{lead}, {_behind(differences.get(second))}."]
    else:
        lead = f"{first} has the highest mean accuracy, {score}; the student has"
        own = f"{_percent(summary[STUDENT]['accuracy'])} %"
        sentences = [f"{lead} {own}, {_behind(differences.get(first))}."]
    sentences += [_earned(name, differences[name]) for name in _PARTS if name in differences]
    return " ".join(sentences)


def as_markdown(found: Found, *, title: str, plots: Sequence[str] = (), heading: str = "#") -> str:
    """Return the comparison as a page, or as a part of one that begins with the sign `heading`."""
    machine, rows = found["machine"], found["rows"]
    lines = [f"{heading} {title}: the student and what stands beside it", "", verdict(found), ""]
    lines += [
        f"{len(found['seeds'])} {_splits(found)}, each with {rows['train']:,} rows to train, "
        f"{rows['validation']:,} to choose by, {rows['test']:,} to test; {len(found['classes'])} classes. "
        f"Every model sees the same rows, features, labels and soft labels, tries at most {found['budget']} "
        "settings, and is chosen on validation rows anew in each split. " + _about_intervals(found),
        "",
        *_quality_table(found),
        "",
        "Accuracy, F1 and agreement in percent; ± is the standard deviation over splits; KL(teacher‖model) "
        "in nats; ECE is the expected calibration error in 15 bins of equal width, in percent; p by Holm "
        "over all differences of this table. McNemar: on how many splits the student is better (+) or worse "
        f"(−) by McNemar's test at {100 * _ALPHA:.0f} %, by Holm over all models of a split.",
        *_not_alike(found),
        "",
        *_cost_table(found),
        "",
        f"With one thread of {machine['cpu']}. In brackets: with the encoder that the model's features need. "
        "Memory: by how much the process grew at most while training. Seconds: CPU time of training the "
        "chosen setting.",
    ]
    if found["skipped"]:
        lines += ["", "Skipped:", ""]
        lines += [f"- {entry['contender']}: {entry['reason']}" for entry in found["skipped"]]
    if failed := [row for row in found["results"] if row["status"] == "failed"]:
        lines += ["", "Failed:", ""]
        lines += [f"- {row['contender']}, seed {row['seed']}: {row['reason']}" for row in failed]
    if partly := [
        f"- {row['contender']}, seed {row['seed']}, {_setting(tried['setting'])}: {tried['failed']}"
        for row in found["results"]
        if row["status"] == "done"
        for tried in row["tried"]
        if tried["failed"] is not None
    ]:
        lines += ["", "Settings that failed, where another one served:", "", *partly]
    for plot in plots:
        lines += ["", f"![Pareto plot]({plot})"]
    lines += [
        "",
        f"{machine['date']}, {machine['cores']} cores, Python {machine['python']}, torch {machine['torch']}, "
        f"scikit-learn {machine['scikit-learn']}, qdllm {machine['qdllm']}.",
    ]
    return "\n".join(lines) + "\n"


def write_plots(found: Found, folder: Path, *, title: str) -> list[Path]:
    """Draw accuracy against bytes and against time, of the models alone and with the encoder they need.

    A line joins those that no other beats in both.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    require("matplotlib", "plot", "a Pareto plot")
    from matplotlib.figure import Figure

    paths = []
    for kind, (cost, label) in _PLOTS.items():
        figure = Figure(figsize=(11, 6), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, suffix, which in zip(
            panels, ("", "_with_encoder"), ("alone", "with its encoder"), strict=True
        ):
            axes.set(title=f"{title}: each model {which}", xlabel=label)
            _draw(axes, found, cost + suffix)
        panels[0].set_ylabel("test accuracy, percent")
        path = folder / f"compare-{kind}.png"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=120)
        paths.append(path)
    return paths


def _draw(axes: Any, found: Found, cost: str) -> None:
    points = {
        name: (about["summary"][cost]["mean"], 100 * about["summary"]["accuracy"]["mean"])
        for name, about in found["contenders"].items()
        if cost in about["summary"]
    }
    for name, point in points.items():
        axes.plot(*point, _MARKERS[found["contenders"][name]["group"]])
    if points:
        costs = [x for x, _ in points.values()]
        axes.set_xscale("log" if max(costs) > 3 * min(costs) else "linear")
        axes.plot(*zip(*pareto_front(list(points.values())), strict=True), color="grey", lw=0.8, zorder=0)
        axes.margins(x=0.25)
        _name(axes, points)


def _name(axes: Any, points: Mapping[str, tuple[float, float]]) -> None:
    """Write each name beside its point, and below what is written there already, with a line to the point.

    Downwards, since points crowd at the top, where the best are.
    """
    axes.figure.draw_without_rendering()  # settles what lies where
    size = 72 / axes.figure.dpi
    places = {name: size * axes.transData.transform(point) for name, point in points.items()}
    written: list[tuple[float, float]] = []
    for name, (x, y) in sorted(places.items(), key=lambda item: -item[1][1]):
        height = y
        for other_x, other_height in sorted(written, key=lambda place: -place[1]):
            if abs(x - other_x) < _NAME_WIDTH and abs(height - other_height) < _NAME_HEIGHT:
                height = other_height - _NAME_HEIGHT
        written.append((x, height))
        line = {"arrowstyle": "-", "color": "grey", "lw": 0.5} if height < y else None
        offset = (10 if line else 5, height - y - 3)
        axes.annotate(
            name, points[name], xytext=offset, textcoords="offset points", fontsize=8, arrowprops=line
        )


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points (cost, accuracy) that no other one equals or beats in both, cheapest first.

    Examples
    --------
    >>> pareto_front([(3, 90), (1, 80), (2, 70), (4, 90)])
    [(1, 80), (3, 90)]
    """
    front: list[tuple[float, float]] = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or accuracy > front[-1][1]:
            front.append((cost, accuracy))
    return front


def _write_parquet(found: Found, path: Path) -> None:
    """Write one row for each contender and seed; a failed row has its reason and no figures."""
    names = dict.fromkeys(
        name for row in found["results"] for kind in ("measures", "costs") for name in row[kind] or {}
    )
    columns: dict[str, Any] = {
        name: pa.array([row[name] for row in found["results"]])
        for name in ("contender", "group", "seed", "status")
    }
    columns["reason"] = pa.array([row["reason"] for row in found["results"]], pa.string())
    columns["setting"] = pa.array(
        [_setting(row["setting"]) if row["setting"] is not None else None for row in found["results"]],
        pa.string(),
    )
    for name in names:
        values = [{**(row["measures"] or {}), **(row["costs"] or {})}.get(name) for row in found["results"]]
        columns[name] = pa.array(values, pa.float64())
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def _quality_table(found: Found) -> list[str]:
    differences = {entry["minus"]: entry for entry in found["differences"]}
    lines = [
        "| model | accuracy [95 %] | ± | F1 | as teacher | KL | ECE | student − model [95 %] | p | McNemar |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    rows = {name: about["summary"] for name, about in found["contenders"].items()}
    order = sorted(rows, key=lambda name: -rows[name].get("accuracy", {"mean": -1.0})["mean"])
    if found["teacher"] is not None:
        lines.append(_quality_row("the teacher", found["teacher"]["summary"], None))
    for name in order:
        shown = f"**{name}**" if name == STUDENT else name
        if rows[name]:
            lines.append(_quality_row(shown, rows[name], differences.get(name)))
        else:
            lines.append(f"| {shown} | failed | | | | | | | | |")
    return lines + [f"| {entry['contender']} | skipped | | | | | | | | |" for entry in found["skipped"]]


def _quality_row(name: str, summary: Found, difference: Found | None) -> str:
    cells = [
        name,
        _percent(summary["accuracy"]),
        _number(summary["accuracy"]["std"], 100),
        _number(_mean(summary, "f1_weighted"), 100),
        _number(_mean(summary, "agreement_with_teacher"), 100),
        _number(_mean(summary, "kl_to_teacher"), 1, 3),
        _number(_mean(summary, "calibration_error"), 100),
        "" if difference is None else in_points(difference),
        "" if difference is None else _p(difference["p_holm"]),
        "" if difference is None else _mcnemar(difference["splits"]),
    ]
    return f"| {' | '.join(cells)} |"


def _mcnemar(splits: Sequence[Found]) -> str:
    """Count the splits on which the two differ by McNemar's test, for the student and against it."""
    real = [split["difference"] > 0 for split in splits if split["p_mcnemar_holm"] < _ALPHA]
    return f"+{sum(real)} −{len(real) - sum(real)} of {len(splits)}"


def _cost_table(found: Found) -> list[str]:
    lines = [
        "| model | trained | parameters | bytes | MB of memory | CPU s | µs a text, one by one | "
        "… in batches of 256 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, about in found["contenders"].items():
        summary = about["summary"]
        if not summary:
            continue
        cells = [name, f"{_mean(summary, 'trained'):,.0f}"]
        cells += [_both(summary, cost) for cost in ("parameters", "bytes")]
        cells += [_number(_mean(summary, cost), 1) for cost in ("peak_megabytes", "training_cpu_seconds")]
        cells += [_both(summary, cost) for cost in ("microseconds_1", "microseconds_256")]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _both(summary: Found, cost: str) -> str:
    """Alone, and with the encoder where that is more and known."""
    alone, with_encoder = _mean(summary, cost), _mean(summary, f"{cost}_with_encoder")
    form = ",.1f" if alone is not None and alone < 100 and cost.startswith("micro") else ",.0f"
    if with_encoder is None:
        return f"{alone:{form}} [not known]"
    return f"{alone:{form}}" if with_encoder == alone else f"{alone:{form}} [{with_encoder:,.0f}]"


def _behind(entry: Found | None) -> str:
    """Say by how much the second is behind the first."""
    if entry is None:
        return "on other splits"
    sign = 100 if entry["difference"] > 0 else -100
    low, high = sorted((sign * entry["low"], sign * entry["high"]))
    points = f"{sign * entry['difference']:.1f} points behind [{low:.1f}, {high:.1f}]"
    return f"{points}, {_p_words(entry)}" + ("" if entry["p_holm"] < _ALPHA else ": not shown to differ")


def _earned(name: str, entry: Found) -> str:
    """Say whether a part of the student earned its place."""
    part, otherwise = _PARTS[name]
    figures = f"{in_points(entry)} points, {_p_words(entry)}"
    if entry["p_holm"] >= _ALPHA:
        return f"{part} has not been shown to earn its place: {otherwise} the difference is {figures}."
    if entry["difference"] > 0:
        return f"{part} earned its place: beside the student {otherwise} it gains {figures}."
    return f"{part} does harm: beside the student {otherwise} it gains {figures}."


def _about_intervals(found: Found) -> str:
    if found["test_rows_redrawn"]:
        return "Test rows are redrawn: intervals and p values are those of the corrected resampled t-test."
    return "The test rows are the same for every seed; intervals and p values are over test rows."


def _not_alike(found: Found) -> list[str]:
    """Say which models had shorter texts or fewer settings than the rest."""
    settings = {row["contender"]: row["setting"] for row in found["results"] if row["setting"] is not None}
    kinds = {
        "texts cut after so many tokens": {
            name: setting["max_tokens"] for name, setting in settings.items() if "max_tokens" in setting
        },
        "fewer settings to try": {
            name: about["settings"]
            for name, about in found["contenders"].items()
            if about["settings"] < found["budget"]
        },
    }
    said = [
        f"{kind}: " + ", ".join(f"{name} ({number:,})" for name, number in of.items())
        for kind, of in kinds.items()
        if of
    ]
    return ["", "Not alike: " + "; ".join(said) + "."] if said else []


def _splits(found: Found) -> str:
    kind = "split" if found["test_rows_redrawn"] else "seed"
    return kind if len(found["seeds"]) == 1 else f"{kind}s"


def _setting(setting: Found) -> str:
    return ", ".join(f"{name}={value}" for name, value in setting.items()) or "its defaults"


def _mean(summary: Found, name: str) -> float | None:
    return summary[name]["mean"] if name in summary else None


def _number(value: float | None, factor: float, digits: int = 1) -> str:
    return "" if value is None else f"{factor * value:,.{digits}f}"


def _percent(spread: Found) -> str:
    return f"{100 * spread['mean']:.1f} [{100 * spread['low']:.1f}, {100 * spread['high']:.1f}]"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _p_words(entry: Found) -> str:
    return f"p {'' if entry['p_holm'] < 0.001 else '= '}{_p(entry['p_holm'])}"
